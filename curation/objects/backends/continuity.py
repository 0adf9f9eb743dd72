"""Is it the same body all along? Followers swap bodies where one passes in front of another; depth and pixels tell.

Two repairs, both of which only ever take something apart or away. An instance whose distance jumps is two instances. An object
that first lies on one body and later on another, both seen at once and apart, is two objects: each part is then measured
anew from its own points, and is kept only where it surely moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from curation.objects.backends.association import Overlap
from curation.objects.backends.classes import group_of
from curation.objects.backends.instances import Instance, box_iou
from curation.objects.masks import decode
from schemas.camera import Array
from schemas.track import ObjectTrack

_INSET_U, _INSET_V = 0.25, 0.15  # of a box: its rim shows what is behind the body
_JUMP = 0.3  # natural logarithm of the ratio of two distances
_MEMORY = 5  # frames that a distance is extrapolated from
_LEAST = 3  # frames
_SAME_IOU = 0.5
_TOUCHED = 0.3  # share of an object's pixels that lie on an instance
_TOGETHER = 0.34  # of the rarer one's frames: two that are touched at once this often are side by side, not one after the other
_APART = 0.5  # of the smaller box


def steady(instances: Sequence[Instance], coarse: Float[Array, "t h w"]) -> list[Instance]:
    """Instances without jumps in distance; pieces of one body that overlap in time are one again.

    Args:
        instances: of a model that sees one eye.
        coarse: rough dense disparity per frame at any scale, pixels (any unit: only ratios count), NaN unknown.

    Returns:
        Instances seen in at least three frames (or as many as there were), most certain first.
    """
    pieces: list[Instance] = []
    for instance in instances:
        parts = _cut_at_jumps(instance, _closeness(instance, coarse))
        pieces += [p for p in parts if len(parts) == 1 or p.seen.sum() >= _LEAST]
    whole: list[Instance] = []
    for piece in sorted(pieces, key=lambda i: -float(i.scores.sum())):
        for n, other in enumerate(whole):
            if _one_body(other, piece):
                whole[n] = _united(other, piece)
                break
        else:
            whole.append(piece)
    return sorted(whole, key=lambda i: -float(i.scores.sum()))


def _closeness(instance: Instance, coarse: Float[Array, "t h w"]) -> Float[Array, "t"]:
    """Median disparity of the middle of an instance per frame; NaN where it is not seen or has none."""
    out = np.full(len(coarse), np.nan)
    for t in np.flatnonzero(instance.seen):
        here, rle = coarse[t], instance.masks[t]
        if rle is not None:
            mask = decode(rle)
            scale = np.array(mask.shape) / np.array(here.shape)
            rows, cols = np.nonzero(np.isfinite(here))
            at = ((np.column_stack([rows, cols]) + 0.5) * scale).astype(int)
            values = here[rows, cols][mask[at[:, 0], at[:, 1]]]
        else:
            size = np.array(coarse.shape[:0:-1])
            frame = 2 * np.array([coarse.shape[2], coarse.shape[1]])  # see ``Views.coarse``: half the frame's size
            u0, v0, u1, v1 = instance.boxes_px[t]
            low = np.array([u0 + _INSET_U * (u1 - u0), v0 + _INSET_V * (v1 - v0)]) * size / frame
            high = np.array([u1 - _INSET_U * (u1 - u0), v1 - _INSET_V * (v1 - v0)]) * size / frame
            (c0, r0), (c1, r1) = np.maximum(np.floor(low), 0).astype(int), np.ceil(high).astype(int)
            values = here[r0:r1, c0:c1].ravel()
        values = values[np.isfinite(values) & (values > 0)]
        if len(values) >= 8:
            out[t] = np.median(values)
    return out


def _cut_at_jumps(instance: Instance, closeness: Float[Array, "t"]) -> list[Instance]:
    known = np.flatnonzero(np.isfinite(closeness))
    distance = 1.0 / closeness[known]
    cuts = []
    for k in range(2, len(known) - 1):
        before, after = slice(max(0, k - _MEMORY), k), slice(k, k + _MEMORY)
        ahead = _line(known[before], distance[before], known[after][:_LEAST])
        back = _line(known[after], distance[after], known[before][-_LEAST:])
        stayed = np.median(distance[before][-_LEAST:]), np.median(distance[after][:_LEAST])
        ratios = (
            float(np.median(np.log(distance[after][:_LEAST] / ahead))),
            float(np.median(np.log(distance[before][-_LEAST:] / back))),
            float(np.log(stayed[1] / stayed[0])),
        )
        step = abs(float(np.log(distance[k] / distance[k - 1])))
        if min(abs(r) for r in ratios) > _JUMP and step > _JUMP:
            cuts.append(int(known[k]))
    bounds = [0, *cuts, len(closeness)]
    frames = np.arange(len(closeness))
    return [_within(instance, (frames >= a) & (frames < b)) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]


def _line(at: Array, values: Array, wanted: Array) -> Float[Array, "k"]:
    """A straight line through values, continued; never below a third of their median."""
    middle = at.mean()
    slope = ((at - middle) * (values - values.mean())).sum() / max(float(((at - middle) ** 2).sum()), 1e-9)
    return np.maximum(values.mean() + slope * (wanted - middle), np.median(values) / 3)


def _within(instance: Instance, keep: Bool[Array, "t"]) -> Instance:
    """An instance in some of its frames."""
    return replace(
        instance,
        scores=np.where(keep, instance.scores, 0.0),
        boxes_px=np.where(keep[:, None], instance.boxes_px, np.nan),
        masks=tuple(m if k else None for m, k in zip(instance.masks, keep, strict=True)),
    )


def _one_body(a: Instance, b: Instance) -> bool:
    """Whether two instances are one thing: where both are seen, which is seldom, they are at one place."""
    both = np.flatnonzero(a.seen & b.seen)
    if len(both) < 2 or group_of(a.category) != group_of(b.category):
        return False
    if len(both) > 0.5 * min(a.seen.sum(), b.seen.sum()):
        return False
    return bool(np.median([box_iou(a.boxes_px[t][None], b.boxes_px[t][None])[0, 0] for t in both]) >= _SAME_IOU)


def _united(a: Instance, b: Instance) -> Instance:
    """Both as one; of two detections in a frame the more certain one."""
    pick = b.scores > a.scores
    certainty = (a.certainty * a.scores.sum() + b.certainty * b.scores.sum()) / max(float((a.scores + b.scores).sum()), 1e-9)
    return Instance(
        a.category or b.category,
        float(certainty) if a.category == b.category else min(a.certainty, b.certainty),
        np.where(pick, b.scores, a.scores),
        np.where(pick[:, None], b.boxes_px, a.boxes_px),
        tuple(y if p else x for x, y, p in zip(a.masks, b.masks, pick, strict=True)),
        a.source,
    )


def changes(shares: Overlap, o: int, instances: Sequence[Instance]) -> list[Bool[Array, "t"]]:
    """The stretches of time over which an object stays on one body (or on the same few); one stretch where it never changes.

    It changes from one instance to another where it lies on the first and later on the second, and both are seen at once and
    apart for two frames at least: then they are two bodies. Frames in which it lies on both are in no stretch.
    """
    inside = np.nan_to_num(shares.inside[o])
    touched = inside >= _TOUCHED
    total = inside.shape[1]
    blocked, borders = np.zeros(total, bool), []
    often = np.flatnonzero(touched.sum(1) >= _LEAST)
    for a in often:
        for b in often:
            of_a, of_b = np.flatnonzero(touched[a]), np.flatnonzero(touched[b])
            if a == b or np.median(of_a) >= np.median(of_b) or not _two_bodies(instances[a], instances[b]):
                continue
            both = touched[a] & touched[b]
            if both.sum() > _TOGETHER * min(len(of_a), len(of_b)):
                continue
            only_a, only_b = np.flatnonzero(touched[a] & ~both), np.flatnonzero(touched[b] & ~both)
            if not len(only_a) or not len(only_b) or only_a.max() > only_b.min():
                continue
            blocked[only_a.max() + 1 : only_b.min()] = True
            borders.append(int(only_b.min()))
    edges = [0, *sorted(set(borders)), total]
    frames = np.arange(total)
    return [(frames >= a) & (frames < b) & ~blocked for a, b in zip(edges[:-1], edges[1:], strict=True)]


def _two_bodies(a: Instance, b: Instance) -> bool:
    both = a.seen & b.seen
    if both.sum() < 2:
        return False
    of_a, of_b = a.boxes_px[both], b.boxes_px[both]
    shared = np.clip(np.minimum(of_a[:, 2:], of_b[:, 2:]) - np.maximum(of_a[:, :2], of_b[:, :2]), 0, None).prod(1)
    smaller = np.minimum((of_a[:, 2:] - of_a[:, :2]).prod(1), (of_b[:, 2:] - of_b[:, :2]).prod(1))
    return bool(np.median(shared / np.maximum(smaller, 1e-9)) < _APART)


def during(track: ObjectTrack, keep: Bool[Array, "t"]) -> ObjectTrack:
    """A track in some of its frames."""
    good = track.visible & keep
    return replace(
        track,
        visible=good,
        centroid_m=np.where(good[:, None], track.centroid_m, np.nan),
        centroid_cov_m2=np.where(good[:, None, None], track.centroid_cov_m2, np.nan),
        points_m=np.where(good[:, None, None], track.points_m, np.nan).astype(np.float32),
        points_sigma_m=np.where(good, track.points_sigma_m, np.nan),
        moving=track.moving & good,
        masks=tuple(m if g else None for m, g in zip(track.masks, good, strict=True)),
        bbox_xyxy_px=np.where(good[:, None], track.bbox_xyxy_px, np.nan),
        num_points=np.where(good, track.num_points, 0),
    )


def surely_moves(track: ObjectTrack, least_m: float, sigmas: float) -> bool:
    """Whether the centroid is at two places at two frames, farther apart than ``least_m`` and than ``sigmas`` of its doubt."""
    at, covariance = track.centroid_m[track.visible], track.centroid_cov_m2[track.visible]
    if len(at) < 2:
        return False
    between = at[:, None] - at[None]
    far = np.linalg.norm(between, axis=-1)
    direction = between / np.maximum(far, 1e-9)[..., None]
    along = np.einsum("abi,aij,abj->ab", direction, covariance, direction)
    sure = far > sigmas * np.sqrt(np.maximum(along + along.T, 0.0))
    return bool((far[sure] > least_m).any())
