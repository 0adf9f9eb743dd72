"""Objects of which the picture never shows more than a part: what is measured of the part need not hold for the whole."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from schemas.camera import Array
from schemas.track import ObjectTrack

_BORDER_SHARE = 0.01


def cut_sideways(track: ObjectTrack) -> Bool[Array, "t"]:
    """(T,) whether the left or right border of the picture cuts the object, at frames where it has an outline.

    Top and bottom do not count: things stand upright, and their near side is seen in the middle too.
    """
    widths = np.array([np.nan if mask is None else mask["size"][1] for mask in track.masks], float)
    with np.errstate(invalid="ignore"):
        left, right = track.bbox_xyxy_px[:, 0] / widths, track.bbox_xyxy_px[:, 2] / widths
        return np.asarray((left < _BORDER_SHARE) | (right > 1 - _BORDER_SHARE))


def only_in_part(track: ObjectTrack) -> bool:
    """Whether the object is cut at every frame that shows it."""
    outlined = track.visible & np.array([mask is not None for mask in track.masks])
    return bool(outlined.any() and cut_sideways(track)[outlined].all())


def turn_lever_m(start: Float[Array, "m 3"], end: Float[Array, "m 3"]) -> float:
    """How far a point that lies one diameter off would move more than the middle of the points does, as the object turns.

    Diameter times 2 sin(angle / 2) of the rotation that takes ``start`` to ``end`` (Kabsch; the same points, NaN where unknown).
    """
    known = np.isfinite(start).all(1) & np.isfinite(end).all(1)
    if known.sum() < 4:
        return 0.0
    a, b = start[known].astype(float), end[known].astype(float)
    a, b = a - a.mean(0), b - b.mean(0)
    u, _, vt = np.linalg.svd(a.T @ b)
    flip = np.array([1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))])
    rotation = (vt.T * flip) @ u.T
    diameter = 2 * float(np.sqrt((a**2).sum(1).mean()))
    return diameter * float(np.linalg.norm(rotation - np.eye(3))) / np.sqrt(2)
