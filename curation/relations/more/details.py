"""What questions and reasoning need to know of an object, besides the answer."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from curation.relations.more.scene import Scene, went
from curation.relations.objects import displacement_details
from schemas.camera import Array
from schemas.track import ObjectTrack


def seen_frames(scene: Scene, tracks: list[ObjectTrack]) -> list[int]:
    """Question frames at which all of ``tracks`` were measured."""
    return [
        q
        for q, m in enumerate(scene.question)
        if all(track.visible[m] and np.isfinite(track.centroid_cov_m2[m]).all() for track in tracks)
    ]


def object_details(scene: Scene, track: ObjectTrack, a: int, b: int) -> dict[str, Any]:
    """Centres, shift, outlines at a and b, and the mark: the first question frame that shows its outline, and that outline."""
    moved = went(scene, track, a, b)
    out: dict[str, Any] = {
        "object_center": [floats(track.centroid_m[a]), floats(track.centroid_m[b])],
        "object_shift": floats(displacement_details(scene.path, track, a, b)),
        "object_moved_m": [round(moved.value, 6), round(moved.sigma, 6)],
    }
    boxes = track.bbox_xyxy_px[[a, b]]
    if np.isfinite(boxes).all():
        out["boxes_px"] = [floats(box) for box in boxes]
    mark = mark_of(scene, track)
    if mark is not None:
        out["mark"] = mark
    return out


def mark_of(scene: Scene, track: ObjectTrack) -> dict[str, Any] | None:
    """``{"frame": q, "box_px": [x1, y1, x2, y2]}`` of the first question frame that shows the object; None where none does."""
    for q, m in enumerate(scene.question):
        if track.visible[m] and np.isfinite(track.bbox_xyxy_px[m]).all():
            return {"frame": q, "box_px": [round(float(x), 1) for x in track.bbox_xyxy_px[m]]}
    return None


def floats(values: Float[Array, "n"]) -> list[float]:
    """Rounded for the record."""
    return [float(x) for x in np.round(np.asarray(values, float), 6)]
