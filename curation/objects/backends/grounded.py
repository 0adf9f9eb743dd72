"""Boxes that a text-prompted detector finds on key frames, turned into masks and followed by a promptable video segmenter."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import UInt8

from curation.objects.backends.doubles import one_per_body
from curation.objects.backends.following import vote
from curation.objects.backends.instances import Detection, Instance, box_iou, box_of
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

DETECTOR = "IDEA-Research/grounding-dino-base"
_ADVICE = download_advice(DETECTOR, "about 0.9 GB", "Apache-2.0", "objects.detector")
_KEY_FRAMES = 8
_TEXT_SCORE = 0.25
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of SAM 2 and EdgeTAM
_BOX_CORNERS = (2, 3)  # labels of a box's two corners among SAM's point prompts
_DOUBLE_IOU = 0.7  # of two boxes of one key frame
_SAME_IOU = 0.5  # of a new box with the box of a body that is followed already
_LEAST_PIXELS = 20
_KEPT_ON_HOST = 1 << 30  # bytes of encoded frames


@dataclass
class _Body:
    """A thing under way: prompted with one box, then voted on by every later box that lands on it."""

    frame: int
    box_px: Array
    votes: dict[str, float]
    count: int = 1
    masks: dict[int, dict[str, Any]] = field(default_factory=dict)
    presence: dict[int, float] = field(default_factory=dict)


def find_instances(
    left: UInt8[Array, "t h w 3"], config: ObjectsConfig, model_class: str, weights: str, advice: str
) -> list[Instance]:
    """Instances of ``config.prompts``.

    The detector looks at key frames, in batches. Its boxes become prompts of the segmenter, which carries each forward and back
    through the whole clip; a box of a later key frame that lands on a body which is followed already adds a vote for its noun.

    Args:
        left: (T, H, W, 3) RGB frames.
        config: prompts, batch size, device.
        model_class: of the segmenter, in ``transformers``.
        weights: folder or Hugging Face id of the segmenter.
        advice: what to do when ``weights`` are missing.

    Raises:
        WeightsMissing: one of the two checkpoints is not here.
        MemoryError: one frame, or one object, alone does not fit in memory.
    """
    torch, transformers = torch_and_transformers(f"objects.backend={config.backend}")
    place = runtime(config, torch)
    keys = np.unique(np.linspace(0, len(left) - 1, _KEY_FRAMES).round().astype(int)).tolist()
    boxes = detect(left[keys], config, place)
    model, _ = load(model_class, "", weights, place, "objects.weights", advice)
    session = getattr(transformers, model_class.replace("Model", "InferenceSession"))(
        video=video_pixels(left, model.config.image_size, _MEAN, _STD, place.dtype),
        video_height=left.shape[1],
        video_width=left.shape[2],
        inference_device=place.device,
        inference_state_device=place.device,
        dtype=getattr(torch, place.dtype),
        max_vision_features_cache_size=len(left),
    )
    _keep_what_was_encoded(session, place)
    bodies: list[_Body] = []
    for key, found in zip(keys, boxes, strict=True):
        prompts = _prompts(key, [d for d in found if not _known(bodies, key, d)])
        bodies += in_batches(prompts, config.batch, lambda some: _followed(model, session, some))
    return one_per_body(_instances(bodies, len(left), weights.rstrip("/").rsplit("/", 1)[-1]))


def detect(images: UInt8[Array, "k h w 3"], config: ObjectsConfig, place: Runtime) -> list[list[Detection]]:
    """What Grounding DINO finds of the prompts in each image, most certain first (Liu et al. 2024).

    In float32 everywhere: it looks at a few frames only, and its boxes are shares of the picture, which half precision would
    round to 5 pixels of 1280.
    """
    import torch

    name, place = config.detector or DETECTOR, replace(place, dtype="float32")
    model, processor = load("GroundingDinoForObjectDetection", "GroundingDinoProcessor", name, place, "objects.detector", _ADVICE)
    text = ". ".join(config.prompts) + "."

    def look(batch: Sequence[Array]) -> list[list[Detection]]:
        inputs = processor(images=list(batch), text=[text] * len(batch), return_tensors="pt").to(place.device)
        with torch.inference_mode():
            outputs = model(**inputs)
        sizes = [image.shape[:2] for image in batch]
        found = processor.post_process_grounded_object_detection(
            outputs, inputs["input_ids"], threshold=config.least_score, text_threshold=_TEXT_SCORE, target_sizes=sizes
        )
        return [_detections(result, config.prompts, images.shape[1:3]) for result in found]

    return in_batches(list(images), config.batch, look)


def _detections(result: dict[str, Any], prompts: Sequence[str], shape: tuple[int, int]) -> list[Detection]:
    """Boxes whose text is one of the prompts, each once per noun."""
    limit = np.array([shape[1], shape[0]] * 2, float)
    out: list[Detection] = []
    rows = zip(result["scores"].tolist(), result["text_labels"], result["boxes"].float().cpu().numpy(), strict=True)
    for score, text, box in sorted(rows, key=lambda row: -row[0]):
        category = prompt_of(text, prompts)
        corner = np.clip(box.astype(float), 0, limit)
        if not category or not np.isfinite(box).all() or (corner[2:] - corner[:2] < 2).any():
            continue
        if all(d.category != category or _iou(corner, d.box_px) < _DOUBLE_IOU for d in out):
            out.append(Detection(category, float(score), corner))
    return out


def prompt_of(text: str, prompts: Sequence[str]) -> str:
    """The one prompt that a detector's text names; "" where it names none or several (it joins words of neighbouring prompts)."""
    words = " " + " ".join(re.sub(r"\[[a-z]+\]|[^a-z0-9\- ]", " ", text.lower()).split()) + " "
    named = [p for p in prompts if f" {p.lower()} " in words]
    longest = [p for p in named if not any(p != q and p.lower() in q.lower() for q in named)]
    return longest[0] if len(longest) == 1 else ""


def _prompts(frame: int, found: Sequence[Detection]) -> list[_Body]:
    """One body per place, most certain first; a second noun for the same box is a vote."""
    out: list[_Body] = []
    for d in found:
        double = next((b for b in out if _iou(b.box_px, d.box_px) >= _DOUBLE_IOU), None)
        if double is None:
            out.append(_Body(frame, d.box_px, {d.category: d.score}))
        else:
            double.votes[d.category] = double.votes.get(d.category, 0.0) + d.score
            double.count += 1
    return out


def _iou(a: Array, b: Array) -> float:
    return float(box_iou(a[None], b[None])[0, 0])


def _known(bodies: Sequence[_Body], frame: int, detection: Detection) -> bool:
    """Whether a body that is followed already is there; then the detection is a vote for its noun."""
    there = [body for body in bodies if frame in body.masks]
    if not there:
        return False
    iou = box_iou(np.stack([box_of(body.masks[frame]) for body in there]), detection.box_px[None])[:, 0]
    best = int(iou.argmax())
    if iou[best] < _SAME_IOU:
        return False
    votes = there[best].votes
    votes[detection.category] = votes.get(detection.category, 0.0) + detection.score
    there[best].count += 1
    return True


def _keep_what_was_encoded(session: Any, place: Runtime) -> None:
    """Every key frame with something new is a pass through the clip: the encoder, most of the work, sees each frame in one only.

    What it says of where a pixel is, five times as large as what it says of the picture, is the same for all frames: kept once.
    """
    import torch

    kept = session.cache.cache_vision_features
    where: list[Any] = []

    def keep(frame: int, features: dict[str, Any]) -> None:
        if not where:
            where.append(features["vision_pos_embeds"])
            size = sum(level.numel() * level.element_size() for level in features["vision_feats"])
            free = torch.cuda.mem_get_info(place.device)[0] // 4 if place.device.startswith("cuda") else _KEPT_ON_HOST
            session.cache.max_vision_features_cache_size = max(1, min(session.num_frames, int(free // size)))
        kept(frame, features | {"vision_pos_embeds": where[0]})

    session.cache.cache_vision_features = keep


def _followed(model: Any, session: Any, prompts: Sequence[_Body]) -> list[_Body]:
    """The bodies with their masks through the clip. The session keeps the frames, and forgets the bodies before."""
    import torch

    session.reset_tracking_data()
    frame, size = prompts[0].frame, model.config.image_size
    to_input = torch.tensor([size / session.video_width, size / session.video_height])
    for n, body in enumerate(prompts):
        corners = torch.tensor(body.box_px, dtype=torch.float32).reshape(1, 1, 2, 2) * to_input
        labels = torch.tensor(_BOX_CORNERS, dtype=torch.int32).reshape(1, 1, 2)
        session.add_point_inputs(session.obj_id_to_idx(n), frame, {"point_coords": corners, "point_labels": labels})
    session.obj_with_new_inputs = list(range(len(prompts)))
    found = [_Body(b.frame, b.box_px, dict(b.votes), b.count) for b in prompts]
    with torch.inference_mode():
        model(inference_session=session, frame_idx=frame)
        for reverse in (False, True):
            for output in model.propagate_in_video_iterator(session, start_frame_idx=frame, reverse=reverse):
                _keep(found, output, (session.video_height, session.video_width))
    return found


def _keep(bodies: Sequence[_Body], output: Any, shape: tuple[int, int]) -> None:
    """Files the masks (B, 1, h, w logits) of one frame with their bodies, in the size of the video."""
    import torch

    logits = torch.nn.functional.interpolate(output.pred_masks.float(), shape, mode="bilinear", align_corners=False)
    pixels = (logits[:, 0] > 0).cpu().numpy()
    presence = torch.sigmoid(output.object_score_logits.float()).reshape(-1).cpu().tolist()
    for body, own, present in zip(bodies, pixels, presence, strict=True):
        if present > 0.5 and own.sum() >= _LEAST_PIXELS:
            body.masks[int(output.frame_idx)] = encode(own)
            body.presence[int(output.frame_idx)] = present


def _instances(bodies: Sequence[_Body], total: int, source: str) -> list[Instance]:
    out = []
    for body in bodies:
        if len(body.masks) < min(3, total):
            continue
        noun, share = vote(defaultdict(float, body.votes))
        score = sum(body.votes.values()) / body.count
        scores, boxes = np.zeros(total), np.full((total, 4), np.nan)
        masks: list[dict[str, Any] | None] = [None] * total
        for frame, rle in body.masks.items():
            scores[frame], boxes[frame], masks[frame] = score * body.presence[frame], box_of(rle), rle
        out.append(Instance(noun, share, scores, boxes, tuple(masks), source))
    return sorted(out, key=lambda i: -float(i.scores.sum()))
