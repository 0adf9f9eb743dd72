"""What a model sees: detections of one frame, and instances that link them over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from pycocotools import mask as coco

from curation.objects.masks import decode
from schemas.camera import Array


@dataclass(frozen=True)
class Detection:
    """One thing in one frame: class, confidence 0..1, box (u0, v0, u1, v1) in pixels, COCO RLE of its pixels where known.

    ``exact`` is False for pixels of its class in its box, which lack its limbs, or have a neighbour's.
    """

    category: str
    score: float
    box_px: Float[Array, "4"]
    mask: dict[str, Any] | None = None
    exact: bool = True


@dataclass(frozen=True)
class Instance:
    """One thing that a model followed through the T measuring frames of a clip.

    Attributes:
        category: what the model calls it, a lower-case noun; "" where its votes disagree.
        certainty: share of its votes (summed confidence) for that noun, 0..1.
        scores: (T,) confidence per frame; 0 where it was not seen.
        boxes_px: (T, 4) u0, v0, u1, v1; NaN where it was not seen.
        masks: per frame a COCO RLE, None where unseen, or where the model gives boxes only.
        source: name of the model.
        exact: its masks are its own pixels; else they are those of its class in its box, and a hint only.
    """

    category: str
    certainty: float
    scores: Float[Array, "t"]
    boxes_px: Float[Array, "t 4"]
    masks: tuple[dict[str, Any] | None, ...]
    source: str
    exact: bool = True

    def __post_init__(self) -> None:
        length = len(self.scores)
        if self.boxes_px.shape != (length, 4) or len(self.masks) != length:
            got = f"{self.boxes_px.shape} boxes and {len(self.masks)} masks"
            raise ValueError(f"instance {self.category!r}: expected {length} boxes and masks, got {got}")

    @property
    def seen(self) -> Bool[Array, "t"]:
        """Frames in which the model saw it."""
        return self.scores > 0

    @property
    def score(self) -> float:
        """Mean confidence over the frames in which it was seen; 0 if never."""
        return float(self.scores[self.seen].mean()) if self.seen.any() else 0.0

    def region(self, frame: int, shape: tuple[int, int]) -> Bool[Array, "h w"] | None:
        """Its pixels in a frame: the mask where that is exact, else the box; None where it was not seen."""
        if not self.seen[frame]:
            return None
        rle = self.masks[frame]
        return decode(rle) if rle is not None and self.exact else box_region(self.boxes_px[frame], shape)


def box_region(box_px: Float[Array, "4"], shape: tuple[int, int]) -> Bool[Array, "h w"]:
    """The pixels whose centres lie in a box."""
    out = np.zeros(shape, bool)
    u0, v0, u1, v1 = np.round(np.nan_to_num(box_px)).astype(int)
    out[max(v0, 0) : max(v1, 0), max(u0, 0) : max(u1, 0)] = True
    return out


def box_iou(a: Float[Array, "n 4"], b: Float[Array, "m 4"]) -> Float[Array, "n m"]:
    """Intersection over union of boxes; 0 with a NaN box."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    area_a, area_b = (a[:, 2:] - a[:, :2]).prod(-1), (b[:, 2:] - b[:, :2]).prod(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        out = shared / (area_a[:, None] + area_b[None] - shared)
    return np.nan_to_num(out)


def box_of(mask: dict[str, Any]) -> Float[Array, "4"]:
    """(u0, v0, u1, v1) around an RLE's pixels; NaN where it is empty."""
    packed = {"size": mask["size"], "counts": mask["counts"].encode("ascii")}
    u, v, width, height = (float(x) for x in coco.toBbox(packed))
    return np.array([u, v, u + width, v + height]) if width > 0 else np.full(4, np.nan)
