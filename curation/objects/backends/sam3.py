"""SAM 3 video: everything that a noun names, segmented and followed through a clip by one model (Carion et al. 2025)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from curation.objects.backends.doubles import one_per_body
from curation.objects.backends.instances import Instance, box_of
from curation.objects.backends.runtime import (
    Runtime,
    download_advice,
    in_batches,
    load,
    runtime,
    torch_and_transformers,
    video_pixels,
)
from curation.objects.masks import encode
from schemas.camera import Array
from schemas.config import ObjectsConfig

MODEL = "facebook/sam3"
_ADVICE = download_advice(MODEL, "about 3.4 GB", "SAM License; access is granted on its page", "objects.weights")
_MEAN = _STD = (0.5, 0.5, 0.5)
_TEXT_LENGTH = 32
_LEAST_PIXELS = 20
_MEMORY = "SAM 3 wants about 8 GB; objects.backend=edgetam needs 1 to 2."


def find_instances(left: UInt8[Array, "t h w 3"], config: ObjectsConfig) -> list[Instance]:
    """What the prompts name, segmented in every frame.

    All prompts share one pass over the video while the memory lasts; else they are halved. What it remembers of each object and
    frame (1.7 MB) stays on the device; where one prompt alone names more than fits, it goes to the host's memory.

    Raises:
        WeightsMissing: the checkpoint is not here.
        MemoryError: one prompt alone does not fit.
    """
    torch, _ = torch_and_transformers("objects.backend=sam3")
    place = runtime(config, torch)
    model, tokenizer = load("Sam3VideoModel", "AutoTokenizer", config.weights or MODEL, place, "objects.weights", _ADVICE)
    pixels = video_pixels(left, model.config.image_size, _MEAN, _STD, place.dtype)

    def segment(prompts: Sequence[str], memory: str) -> list[list[Instance]]:
        found = _segment(model, tokenizer, pixels, left.shape[1:3], prompts, place, memory)
        return [[i for i in found if i.category == prompt] for prompt in prompts]

    def remembering(memory: str) -> list[list[Instance]]:
        size = max(len(config.prompts), 1)
        return in_batches(config.prompts, size, lambda prompts: segment(prompts, memory), advice=_MEMORY)

    try:
        each = remembering(place.device)
    except MemoryError:
        if place.device == "cpu":
            raise
        each = remembering("cpu")
    return one_per_body([i for some in each for i in some if i.score >= config.least_score])


def _segment(
    model: Any, tokenizer: Any, pixels: Any, shape: tuple[int, int], prompts: Sequence[str], place: Runtime, memory: str
) -> list[Instance]:
    import torch
    from transformers import Sam3VideoInferenceSession

    session = Sam3VideoInferenceSession(
        video=pixels,
        video_height=shape[0],
        video_width=shape[1],
        inference_device=place.device,
        inference_state_device=memory,
        dtype=getattr(torch, place.dtype),
    )
    for prompt in prompts:
        key = session.add_prompt(prompt)
        text = tokenizer(prompt, return_tensors="pt", padding="max_length", truncation=True, max_length=_TEXT_LENGTH)
        session.prompt_input_ids[key] = text.input_ids.to(place.device)
        session.prompt_attention_masks[key] = text.attention_mask.to(place.device)
    total = len(pixels)
    scores: dict[int, Array] = defaultdict(lambda: np.zeros(total))
    masks: dict[int, list[dict[str, Any] | None]] = defaultdict(lambda: [None] * total)
    names: dict[int, str] = {}
    for output in model.propagate_in_video_iterator(session):
        hidden = set(output.suppressed_obj_ids or ()) | session.hotstart_removed_obj_ids
        known = session.obj_id_to_prompt_id  # what the model takes back is not in it
        for i, own in _masks(output, {i for i in output.obj_id_to_mask if i in known} - hidden, shape).items():
            names[i] = session.prompts[known[i]]
            scores[i][int(output.frame_idx)] = float(output.obj_id_to_score[i])
            masks[i][int(output.frame_idx)] = encode(own)
    out = []
    for i in sorted(masks):
        boxes = np.stack([np.full(4, np.nan) if m is None else box_of(m) for m in masks[i]])
        out.append(Instance(names[i], 1.0, scores[i], boxes, tuple(masks[i]), "sam3"))
    return out


def _masks(output: Any, wanted: set[int], shape: tuple[int, int]) -> dict[int, Bool[Array, "h w"]]:
    """Masks of one frame in the size of the video."""
    import torch

    ids = sorted(wanted)
    if not ids:
        return {}
    low = torch.cat([output.obj_id_to_mask[i] for i in ids]).float()[:, None]
    claimed = (torch.nn.functional.interpolate(low, shape, mode="bilinear", align_corners=False)[:, 0] > 0).cpu().numpy()
    return {i: own for i, own in zip(ids, claimed, strict=True) if own.sum() >= _LEAST_PIXELS}
