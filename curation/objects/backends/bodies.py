"""One body or two? Objects split, joined, and followed while they stand, on the word of a model and the proof of geometry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float

from curation.objects.backends.instances import Instance
from curation.objects.backends.register import Views, measure_shift
from curation.objects.masks import decode, encode
from schemas.camera import Array
from schemas.track import ObjectTrack

_LEAST_POINTS = 6
_STEP = 3  # frames between two measurements of a part's own motion
_STILL_M, _STILL_SIGMAS, _STILL_SIGMA_M = 0.06, 3.0, 0.04
_STILL_OF_STEP = 0.3  # of the way it would have gone at its last speed: a body that went on is never called standing
_LEAST_STOOD = 3  # frames
_AGREE, _AGREEING = 0.5, 8  # share and number of points that must show that a body stands
_APART_M, _APART_SHARE = 0.4, 0.3  # two parts of one body differ by less than this in what they travelled
_STRUCK_OUT = 3  # frames in a row in which a standing body is not found before it counts as gone


def split(track: ObjectTrack, own: Instance, others: Sequence[Instance], views: Views) -> ObjectTrack | None:
    """The part of an object that is one instance: its points, its pixels, and the motion that these show.

    Geometry took the bodies for one because they moved alike. The part starts with the common motion and corrects it by what its
    own points show, step by step; what a step cannot measure ends it.

    Returns:
        The part; None where too few points or frames are its own.
    """
    mine = _own_points(track, own, others, views)
    if mine.sum() < _LEAST_POINTS:
        return None
    points = track.points_m[:, mine].astype(float)
    visible = track.visible & own.seen
    if visible.sum() < 2 * _STEP:
        return None
    index = np.flatnonzero(visible)
    offset, covariance = _own_motion(points, index, views)
    good = np.asarray(np.isfinite(offset).all(1))
    masks, share = _own_masks(track, own, others, good)
    good &= np.array([mask is not None for mask in masks])
    if good.sum() < 2 * _STEP:
        return None
    moved = points + offset[:, None]
    centroid = moved.mean(1)
    boxes = np.full((len(good), 4), np.nan)
    for t in np.flatnonzero(good):
        v, u = np.nonzero(decode(masks[t]))  # type: ignore[arg-type]
        boxes[t] = u.min(), v.min(), u.max() + 1, v.max() + 1
    about = {**track.stats, "split_from": track.object_id, "mask_share": round(share, 5)}
    return replace(
        track,
        visible=good,
        centroid_m=np.where(good[:, None], centroid, np.nan),
        centroid_cov_m2=np.where(good[:, None, None], track.centroid_cov_m2 + covariance, np.nan),
        points_m=np.where(good[:, None, None], moved, np.nan).astype(np.float32),
        points_sigma_m=np.where(good, np.sqrt(track.points_sigma_m**2 + np.trace(covariance, axis1=1, axis2=2) / 3), np.nan),
        moving=track.moving & good,
        masks=tuple(m if g else None for m, g in zip(masks, good, strict=True)),
        bbox_xyxy_px=boxes,
        num_points=np.where(good, np.round(track.num_points * mine.mean()).astype(track.num_points.dtype), 0),
        stats=about,
    )


def _own_points(track: ObjectTrack, own: Instance, others: Sequence[Instance], views: Views) -> Bool[Array, "m"]:
    """Points that lie in this instance's region and in no other's, by a vote of the frames."""
    votes, seen = np.zeros(track.points_m.shape[1]), np.zeros(track.points_m.shape[1])
    shape = views.frames.left.shape[1:3]
    for t in np.flatnonzero(track.visible & own.seen):
        at = views.seen(int(t), track.points_m[t].astype(float))
        good = np.isfinite(at).all(1)
        column, row = np.nan_to_num(at[:, 0]).astype(int), np.nan_to_num(at[:, 1]).astype(int)
        region = own.region(int(t), shape)
        assert region is not None
        alone = region.copy()
        for other in others:
            beside = other.region(int(t), shape)
            if beside is not None:
                alone &= ~beside
        votes += good & alone[row, column]
        # a point in the overlap of two boxes says nothing
        seen += good & (alone[row, column] | ~region[row, column])
    return (seen >= 2) & (votes >= 0.7 * seen)


def _own_motion(points: Float[Array, "t m 3"], index: Array, views: Views) -> tuple[Float[Array, "t 3"], Float[Array, "t 3 3"]]:
    """Offset of a part from the common motion per frame, and its covariance; NaN beyond a step that cannot be measured."""
    total = len(points)
    offset, covariance = np.full((total, 3), np.nan), np.zeros((total, 3, 3))
    middle = len(index) // 2
    offset[index[middle]] = 0.0
    for way in (range(middle, len(index) - 1), range(middle, 0, -1)):
        knots = [*list(way)[::_STEP], way.stop]
        for k, following in zip(knots[:-1], knots[1:], strict=True):
            a, b = int(index[k]), int(index[following])
            shift = measure_shift(views, a, b, points[a] + offset[a], points[b] + offset[a])
            if shift is None or shift.agreeing < _LEAST_POINTS:
                break
            between = index[min(k, following) : max(k, following) + 1]
            for t in between[between != a]:
                share = abs(int(t) - a) / abs(b - a)
                offset[t] = offset[a] + share * shift.offset_m
                covariance[t] = covariance[a] + shift.covariance
    return offset, covariance


def _own_masks(
    track: ObjectTrack, own: Instance, others: Sequence[Instance], good: Bool[Array, "t"]
) -> tuple[list[dict[str, Any] | None], float]:
    """The object's pixels that lie in this instance's region and not nearer to another's; and the largest share of a frame."""
    out: list[dict[str, Any] | None] = [None] * len(good)
    share = 0.0
    for t in np.flatnonzero(good):
        rle = track.masks[t]
        if rle is None:
            continue
        mask = decode(rle)
        region = own.region(int(t), mask.shape)
        assert region is not None
        mine = mask & region
        for other in others:
            beside = other.region(int(t), mask.shape)
            if beside is not None:
                contested = mine & beside
                v, u = np.nonzero(contested)
                a, b = own.boxes_px[t].reshape(2, 2).mean(0), other.boxes_px[t].reshape(2, 2).mean(0)
                size_a, size_b = np.ptp(own.boxes_px[t].reshape(2, 2), 0), np.ptp(other.boxes_px[t].reshape(2, 2), 0)
                far = (((np.column_stack([u, v]) - a) / size_a) ** 2).sum(1) > (
                    ((np.column_stack([u, v]) - b) / size_b) ** 2
                ).sum(1)
                mine[v[far], u[far]] = False
        if mine.sum() >= 20:
            out[t] = encode(mine)
            share = max(share, float(mine.mean()))
    return out, share


def join(main: ObjectTrack, other: ObjectTrack) -> ObjectTrack | None:
    """Two objects that lie on one instance as one body; None where their motions say that they are two.

    Seen together they are a body and a part of it, and the larger one speaks for both. Seen one after the other they are a body
    that was out of sight: its place on the body is known to no better than the body's size, and the covariance says so.
    """
    together = main.visible & other.visible
    if together.sum() >= 2:
        a, b = main.centroid_m[together], other.centroid_m[together]
        apart = np.linalg.norm((a - a[0]) - (b - b[0]), axis=1).max()
        reach = max(np.linalg.norm(a - a[0], axis=1).max(), np.linalg.norm(b - b[0], axis=1).max())
        gap = np.linalg.norm(np.median(a - b, axis=0))
        size = float(main.stats.get("size_m", 1.0)) + float(other.stats.get("size_m", 1.0))
        if apart > _APART_M + _APART_SHARE * reach or gap > size:
            return None
    extra = other.visible & ~main.visible
    masks: list[dict[str, Any] | None] = list(main.masks)
    boxes = main.bbox_xyxy_px.copy()
    for t in np.flatnonzero(other.visible):
        mine, theirs = masks[t], other.masks[t]
        if theirs is None:
            continue
        both = decode(theirs) if mine is None else decode(theirs) | decode(mine)
        masks[t] = encode(both)
        v, u = np.nonzero(both)
        boxes[t] = u.min(), v.min(), u.max() + 1, v.max() + 1
    count = max(main.points_m.shape[1], other.points_m.shape[1])
    size = max(float(main.stats.get("size_m", 1.0)), float(other.stats.get("size_m", 1.0)))
    doubt = (size / 2) ** 2 * np.eye(3)
    pick = extra[:, None]
    return replace(
        main,
        visible=main.visible | other.visible,
        centroid_m=np.where(pick, other.centroid_m, main.centroid_m),
        centroid_cov_m2=np.where(pick[..., None], other.centroid_cov_m2 + doubt, main.centroid_cov_m2),
        common_sigma_rel=max(main.common_sigma_rel, other.common_sigma_rel),
        points_m=np.where(pick[..., None], _padded(other.points_m, count), _padded(main.points_m, count)),
        points_sigma_m=np.where(extra, other.points_sigma_m, main.points_sigma_m),
        moving=np.where(extra, other.moving, main.moving),
        masks=tuple(masks),
        bbox_xyxy_px=boxes,
        num_points=np.where(extra, other.num_points, main.num_points),
        stats={**main.stats, "joined": [*main.stats.get("joined", []), other.object_id]},
    )


def _padded(points: Float[Array, "t m 3"], count: int) -> Float[Array, "t n 3"]:
    return np.concatenate([points, np.full((len(points), count - points.shape[1], 3), np.nan, points.dtype)], axis=1)


def stands_on(track: ObjectTrack, own: Instance, views: Views) -> ObjectTrack:
    """The track with the frames before and after in which the model still sees the body and its points prove that it stands.

    A frame counts if, by the pixels of the body's points in both eyes, it has not moved from where it was last (first) measured.
    """
    index = np.flatnonzero(track.visible)
    if len(index) < 4:
        return track
    arrays = {name: getattr(track, name).copy() for name in _COPIED}
    masks: list[dict[str, Any] | None] = list(track.masks)
    stood = 0
    for a, way in (
        (int(index[-1]), range(int(index[-1]) + 1, len(track.visible))),
        (int(index[0]), range(int(index[0]) - 1, -1, -1)),
    ):
        missed = 0
        points = _shown(track, a, views)
        speed_m = _speed(track, index, a)
        proven = {}
        for b in way:
            found = _still_there(track, own, a, b, points, speed_m * abs(b - a), views) if own.seen[b] else None
            if found is not None:
                proven[b] = found
            missed = 0 if found is not None else missed + 1
            if missed >= _STRUCK_OUT:
                break
        if len(proven) < _LEAST_STOOD:
            continue
        for b, (covariance, mask, agreeing) in proven.items():
            arrays["visible"][b], arrays["moving"][b] = True, False
            arrays["centroid_m"][b], arrays["points_m"][b] = track.centroid_m[a], track.points_m[a]
            arrays["centroid_cov_m2"][b] = track.centroid_cov_m2[a] + covariance
            arrays["points_sigma_m"][b] = np.sqrt(track.points_sigma_m[a] ** 2 + np.trace(covariance) / 3)
            arrays["num_points"][b] = agreeing
            masks[b] = encode(mask)
            v, u = np.nonzero(mask)
            arrays["bbox_xyxy_px"][b] = u.min(), v.min(), u.max() + 1, v.max() + 1
            stood += 1
    if not stood:
        return track
    return replace(track, **arrays, masks=tuple(masks), stats={**track.stats, "stood": stood})


_COPIED = ("visible", "moving", "centroid_m", "points_m", "centroid_cov_m2", "points_sigma_m", "num_points", "bbox_xyxy_px")


def _speed(track: ObjectTrack, index: Array, a: int) -> float:
    """Metres per frame around its first or last visible frame ``a``."""
    near = index[:4] if a == index[0] else index[-4:]
    return float(np.linalg.norm(track.centroid_m[near[-1]] - track.centroid_m[near[0]])) / int(near[-1] - near[0])


def _shown(track: ObjectTrack, frame: int, views: Views) -> Float[Array, "k 3"]:
    """The track's points that lie on its mask in a frame."""
    points = track.points_m[frame].astype(float)
    at, rle = views.seen(frame, points), track.masks[frame]
    if rle is None:
        return np.zeros((0, 3))
    good = np.asarray(np.isfinite(at).all(1))
    mask = decode(rle)
    good[good] &= mask[at[good, 1].astype(int), at[good, 0].astype(int)]
    return points[good]


def _still_there(
    track: ObjectTrack, own: Instance, a: int, b: int, points: Float[Array, "k 3"], step_m: float, views: Views
) -> tuple[Float[Array, "3 3"], Bool[Array, "h w"], int] | None:
    """Covariance of "it has not moved since frame a", its mask at frame b, and the points that say so; None where unproven.

    ``step_m`` is how far it would have gone at its last speed.
    """
    if len(points) < _AGREEING:
        return None
    shift = measure_shift(views, a, b, points, points)
    if shift is None or shift.agreeing < max(_AGREEING, _AGREE * shift.wanted):
        return None
    sigma = float(np.sqrt(np.trace(shift.covariance)))
    off = float(np.linalg.norm(shift.offset_m))
    if sigma > _STILL_SIGMA_M or off > min(_STILL_M, _STILL_SIGMAS * sigma):
        return None
    if track.moving[a] and off > _STILL_OF_STEP * step_m:
        return None
    shape = views.frames.left.shape[1:3]
    region = own.region(b, shape)
    at = views.seen(b, points)
    good = np.isfinite(at).all(1)
    assert region is not None
    if not good.any() or region[at[good, 1].astype(int), at[good, 0].astype(int)].mean() < 0.7:
        return None
    if own.masks[b] is not None and own.exact:
        return shift.covariance, region, shift.agreeing
    moved = _carried_mask(track, a, b, points, views)
    return (shift.covariance, moved & region, shift.agreeing) if (moved & region).any() else None


def _carried_mask(track: ObjectTrack, a: int, b: int, points: Float[Array, "k 3"], views: Views) -> Bool[Array, "h w"]:
    """The mask of frame a at the depth of the points, as frame b sees it."""
    rle = track.masks[a]
    assert rle is not None
    mask = decode(rle)
    at_a, at_b = views.seen(a, points), views.seen(b, points)
    good = np.isfinite(at_a).all(1) & np.isfinite(at_b).all(1)
    similar, _ = cv2.estimateAffinePartial2D(at_a[good, :2].astype(np.float32), at_b[good, :2].astype(np.float32))
    if similar is None:
        return np.zeros_like(mask)
    return cv2.warpAffine(mask.astype(np.uint8), similar, mask.shape[::-1], flags=cv2.INTER_NEAREST) > 0
