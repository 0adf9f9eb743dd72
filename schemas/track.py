"""What was measured of a moving object, and the facts that follow from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from schemas.camera import Array


@dataclass(frozen=True)
class ObjectTrack:
    """One object that moves in the world, over the measuring frames of its clip (T frames).

    Attributes:
        object_id: ``obj_1``, ``obj_2``, ... by falling size.
        visible: (T,) the object was measured at this frame. Everything below is NaN / None / empty elsewhere.
        centroid_m: (T, 3) world frame. Of the object's own fitted points (its model carried by its motion), so that
            the displacement between two frames is the object's and not that of its visible surface.
        centroid_cov_m2: (T, 3, 3) covariance of each centroid, calibrated; errors of different frames count as
            independent of each other.
        common_sigma_rel: relative error of the range that all frames share (baseline, disparity offset at the object's
            distance); it scales distances and does not average out. Dimensionless.
        points_m: (T, M, 3) float32 points of the object's surface in the world frame, the same M points at every frame where
            the object is rigid; NaN where unknown. They serve distances to any camera.
        points_sigma_m: (T,) one-sigma uncertainty, along the line of sight, of the nearest of ``points_m``.
        moving: (T,) the object moves at this frame (False while it stands still).
        masks: per frame a COCO RLE ``{"size": [h, w], "counts": str}`` of the visible part, or None.
        bbox_xyxy_px: (T, 4) of the mask.
        stats: small JSON values for the record (tracks used, gates, residuals).
    """

    object_id: str
    visible: Bool[Array, "t"]
    centroid_m: Float[Array, "t 3"]
    centroid_cov_m2: Float[Array, "t 3 3"]
    common_sigma_rel: float
    points_m: Float[Array, "t m 3"]
    points_sigma_m: Float[Array, "t"]
    moving: Bool[Array, "t"]
    masks: tuple[dict[str, Any] | None, ...]
    bbox_xyxy_px: Float[Array, "t 4"]
    num_points: Int[Array, "t"]
    stats: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        length = len(self.visible)
        names = ("centroid_m", "centroid_cov_m2", "points_m", "points_sigma_m", "moving", "masks", "bbox_xyxy_px", "num_points")
        for name in names:
            if len(getattr(self, name)) != length:
                raise ValueError(f"track {self.object_id}: {name} has {len(getattr(self, name))} frames, visible has {length}")
        if not np.isfinite(self.centroid_m[self.visible]).all():
            raise ValueError(f"track {self.object_id}: a visible frame has no centroid")


@dataclass(frozen=True)
class Description:
    """Words for one object. ``text`` completes "How far did ... move": lower case, with article ("the red object on the left").

    ``text`` is empty where no description that fits this object alone was found; it is then not asked about.
    """

    object_id: str
    category: str
    text: str
    source: str  # "geometry" (colour, size, place) or the name of a model


@dataclass(frozen=True)
class Fact:
    """One measured relation of a clip between question frames ``frame_i`` and ``frame_j``.

    Attributes:
        kind: one of ``relations.KINDS``.
        object_id, other_object_id: "" where the kind has none.
        value: the measured number, in ``unit``; None for a fact without a number (up-to-scale camera direction).
        label: the word of a categorical kind ("forward", "closer"); "" for a purely numeric one.
        sigma: one-sigma uncertainty of ``value``, same unit, calibrated.
        margin: distance of ``value`` to the nearest boundary where the label would change, in units of ``sigma``; for a
            numeric kind ``|value| / sigma``.
        threshold: the least margin at which the fact may be asked.
        details: further numbers that questions and reasoning use (components, centres at both frames in the world frame).
    """

    clip_id: str
    kind: str
    object_id: str
    other_object_id: str
    frame_i: int
    frame_j: int
    value: float | None
    unit: str
    label: str
    sigma: float | None
    margin: float
    threshold: float
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def fact_id(self) -> str:
        """Stable within a run: what the fact is about, not the order it was found in."""
        about = "+".join(part for part in (self.object_id, self.other_object_id) if part) or "camera"
        return f"{self.clip_id}:{self.kind}:{about}:{self.frame_i}-{self.frame_j}"

    @property
    def safe(self) -> bool:
        """Whether the margin allows the fact to be asked."""
        return math.isfinite(self.margin) and self.margin >= self.threshold
