"""Tracks that may be less than a body: what is measured of a part need not hold for the whole, nor between two parts of one."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from schemas.camera import Array
from schemas.track import ObjectTrack

_BORDER_SHARE = 0.01
_NEAR_M = 1.0  # between the points of two parts of one body, at the least
_SWING_M, _SIGMAS = 0.3, 3.0  # how far one part may move about the other, besides what is not known of both ...
_STRIDE_M = 0.8  # ... and how far where they never part: a walker's legs about the head
_LONG_M, _STIFF_M, _IN_LINE = 6.0, 0.1, 0.85  # a lorry; how far its ends may stretch; cosine to the way it goes


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


def may_be_one(one: ObjectTrack, other: ObjectTrack) -> bool:
    """Whether two tracks may be parts of one body: at some time they are near each other, and neither moves about the other.

    A limb does move about its body, by a stride at most, and is near it at every time. Front and rear of a long vehicle with a
    plain middle are metres apart, one behind the other, and stay so.

    Such parts are no pair: "their distance does not change" says nothing, and two of them are not two movers. Tracks that are
    never seen together have no common frames to ask about.
    """
    both = np.flatnonzero(one.visible & other.visible)
    if not len(both):
        return False
    apart = other.centroid_m[both] - one.centroid_m[both]
    variance = np.trace(one.centroid_cov_m2[both] + other.centroid_cov_m2[both], axis1=1, axis2=2)
    unknown_m = _SIGMAS * float(np.sqrt(np.nanmean(variance)))
    swing = float(np.linalg.norm(np.ptp(apart, axis=0))) - unknown_m
    stiff = float(np.ptp(np.linalg.norm(apart, axis=1))) - min(unknown_m, 2 * _STIFF_M) <= _STIFF_M
    way, between = one.centroid_m[both[-1]] - one.centroid_m[both[0]], apart.mean(axis=0)
    in_line = abs(float(between @ way)) > _IN_LINE * float(np.linalg.norm(between) * np.linalg.norm(way))
    ends_of_one = stiff and in_line
    if swing > _STRIDE_M and not ends_of_one:
        return False
    gaps_m = [_gap_m(one.points_m[t], other.points_m[t]) for t in both]
    if ends_of_one and min(gaps_m) < _LONG_M:
        return True
    return swing <= _STRIDE_M and (min(gaps_m) if swing <= _SWING_M else max(gaps_m)) < _NEAR_M


def _gap_m(one: Float[Array, "m 3"], other: Float[Array, "n 3"]) -> float:
    """Least distance between two sets of points, metres; NaN rows are unknown. Endless where a set is empty."""
    one, other = (points[np.isfinite(points).all(1)] for points in (one, other))
    return float(cKDTree(one).query(other)[0].min()) if len(one) and len(other) else np.inf


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
