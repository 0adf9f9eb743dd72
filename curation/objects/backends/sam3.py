"""SAM 3 video: everything that a noun names, segmented and followed through a clip by one model (Carion et al. 2025)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from curation.objects.backends.instances import Instance, box_of
from curation.objects.backends.runtime import Runtime, download_advice, in_batches, load, runtime, torch_and_transformers
from curation.objects.masks import encode
from schemas.camera import Array
from schemas.config import ObjectsConfig

MODEL = "facebook/sam3"
_ADVICE = download_advice(MODEL, "about 3.4 GB", "SAM License; access is granted on its page", "objects.weights")
_MEMORY = "SAM 3 wants about 8 GB; objects.backend=edgetam needs 1 to 2."


def find_instances(left: UInt8[Array, "t h w 3"], config: ObjectsConfig) -> list[Instance]:
    """What the prompts name, segmented in every frame.

    All prompts share one pass over the video while the memory lasts; else they are halved.

    Raises:
        WeightsMissing: the checkpoint is not here.
        MemoryError: one prompt alone does not fit.
    """
    torch, _ = torch_and_transformers("sam3")
    place = runtime(config, torch)
    model, processor = load("Sam3VideoModel", "Sam3VideoProcessor", config.weights or MODEL, place, "objects.weights", _ADVICE)

    def segment(prompts: Sequence[str]) -> list[list[Instance]]:
        found = _segment(model, processor, left, prompts, place)
        return [[i for i in found if i.category == prompt] for prompt in prompts]

    each = in_batches(config.prompts, max(len(config.prompts), 1), segment, advice=_MEMORY)
    found = [i for instances in each for i in instances if i.score >= config.least_score]
    return sorted(found, key=lambda i: -float(i.scores.sum()))


def _segment(model: Any, processor: Any, left: UInt8[Array, "t h w 3"], prompts: Sequence[str], place: Runtime) -> list[Instance]:
    import torch

    session = processor.init_video_session(
        video=list(left),
        inference_device=place.device,
        video_storage_device="cpu",
        dtype=getattr(torch, place.dtype),
    )
    processor.add_text_prompt(session, list(prompts))
    total = len(left)
    scores: dict[int, Array] = defaultdict(lambda: np.zeros(total))
    masks: dict[int, list[dict[str, Any] | None]] = defaultdict(lambda: [None] * total)
    names: dict[int, str] = {}
    for output in model.propagate_in_video_iterator(session):
        frame = int(output.frame_idx)
        found = processor.postprocess_outputs(session, output)
        for prompt, ids in found["prompt_to_obj_ids"].items():
            names |= {int(i): prompt for i in ids}
        pixels = found["masks"].cpu().numpy()
        for row, (i, score) in enumerate(zip(found["object_ids"].tolist(), found["scores"].tolist(), strict=True)):
            if pixels[row].any():
                scores[i][frame], masks[i][frame] = score, encode(pixels[row])
    out = []
    for i in sorted(masks):
        boxes = np.stack([np.full(4, np.nan) if m is None else box_of(m) for m in masks[i]])
        out.append(Instance(names[i], 1.0, scores[i], boxes, tuple(masks[i]), "sam3"))
    return out
