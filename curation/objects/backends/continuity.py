"""Is it the same body all along? Followers swap bodies where one passes in front of another; depth and pixels tell.

An instance whose distance jumps is two instances. An object that first lies on one body and later on another is no object: what
moves of it is measured anew from the points of each body (``seeded``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Bool, Float

from curation.objects.backends.association import Overlap
from curation.objects.backends.classes import group_of
from curation.objects.backends.instances import Instance
from curation.objects.masks import decode
from schemas.camera import Array

_INSET_U, _INSET_V = 0.25, 0.15  # of a box: its rim shows what is behind the body
_JUMP = 0.3  # natural logarithm of the ratio of two distances
_MEMORY = 5  # frames that a distance is extrapolated from
_LEAST = 3  # frames
_SAME, _SAME_DEPTH = 0.65, 0.15  # share of the smaller box; logarithm of the ratio of distances
_TOUCHED = 0.3  # share of an object's pixels that lie on an instance
_TOGETHER = 0.34  # of the rarer one's frames: two that are touched at once this often are side by side, not one after the other
_APART = 0.5  # of the smaller box
_THROUGHOUT = 0.5  # of the frames: the object's own instance, beside which others come and go


def steady(instances: Sequence[Instance], coarse: Float[Array, "t h2 w2"], shape: tuple[int, int]) -> list[Instance]:
    """Instances without jumps in distance; pieces of one body that overlap in time are one again.

    Args:
        instances: of a model that sees one eye.
        coarse: rough dense disparity of each frame, at any resolution and in any unit (only ratios count); NaN unknown.
        shape: height and width of the frames.

    Returns:
        Instances seen in at least three frames (or as many as there were), most certain first.
    """
    pieces: list[Instance] = []
    for instance in instances:
        parts = _cut_at_jumps(instance, _closeness(instance, coarse, shape))
        pieces += [p for p in parts if len(parts) == 1 or p.seen.sum() >= _LEAST]
    whole: list[Instance] = []
    for piece in sorted(pieces, key=lambda i: -float(i.scores.sum())):
        for n, other in enumerate(whole):
            if _one_body(other, piece, coarse, shape):
                whole[n] = _united(other, piece)
                break
        else:
            whole.append(piece)
    return sorted(whole, key=lambda i: -float(i.scores.sum()))


def _closeness(instance: Instance, coarse: Float[Array, "t h2 w2"], shape: tuple[int, int]) -> Float[Array, "t"]:
    """Median disparity of the middle of an instance per frame; NaN where it is not seen or has none."""
    out = np.full(len(coarse), np.nan)
    rows, cols = coarse.shape[1:]
    scale = np.array([cols / shape[1], rows / shape[0]])
    for t in np.flatnonzero(instance.seen):
        rle = instance.masks[t]
        if rle is not None:
            small = cv2.resize(decode(rle).astype(np.uint8), (cols, rows), interpolation=cv2.INTER_NEAREST)
            values = coarse[t][small > 0]
        else:
            low, high = instance.boxes_px[t].reshape(2, 2)
            inset = np.array([_INSET_U, _INSET_V]) * (high - low)
            (c0, r0), (c1, r1) = np.maximum((low + inset) * scale, 0).astype(int), np.ceil((high - inset) * scale).astype(int)
            values = coarse[t, r0:r1, c0:c1].ravel()
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
        if float(np.median(np.abs(ratios))) > _JUMP and step > _JUMP:
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


def _one_body(a: Instance, b: Instance, coarse: Float[Array, "t h2 w2"], shape: tuple[int, int]) -> bool:
    """Whether two instances are one thing: where both are seen, which is seldom, they are at one place and one distance."""
    both = a.seen & b.seen
    if both.sum() < 2 or both.sum() > 0.5 * min(a.seen.sum(), b.seen.sum()) or group_of(a.category) != group_of(b.category):
        return False
    if np.median(_shared(a.boxes_px[both], b.boxes_px[both])) < _SAME:
        return False
    near, other = (_closeness(_within(i, both), coarse, shape)[both] for i in (a, b))
    known = np.isfinite(near) & np.isfinite(other)
    return bool(known.any() and np.median(np.abs(np.log(near[known] / other[known]))) < _SAME_DEPTH)


def _shared(a: Float[Array, "n 4"], b: Float[Array, "n 4"]) -> Float[Array, "n"]:
    """Shared area of boxes over the smaller one's."""
    sides = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None).prod(1)
    smaller = np.minimum((a[:, 2:] - a[:, :2]).prod(1), (b[:, 2:] - b[:, :2]).prod(1))
    return np.asarray(sides / np.maximum(smaller, 1e-9))


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
        a.exact and b.exact,
    )


def changes_body(shares: Overlap, o: int, instances: Sequence[Instance]) -> bool:
    """Whether an object first lies on one body and later on another.

    They are two bodies where both are seen at once and apart, for two frames at least. An instance that the object lies on
    throughout is its own, whatever else comes and goes beside it.
    """
    touched = np.nan_to_num(shares.inside[o]) >= _TOUCHED
    often = [int(i) for i in np.flatnonzero(touched.sum(1) >= _LEAST)]
    for a in often:
        for b in often:
            both = touched[a] & touched[b]
            if both.sum() > _TOGETHER * min(touched[a].sum(), touched[b].sum()) or not _two_bodies(instances[a], instances[b]):
                continue
            first, later = np.flatnonzero(touched[a] & ~both), np.flatnonzero(touched[b] & ~both)
            if first.max() > later.min():
                continue
            if not any(touched[c, first].mean() > _THROUGHOUT and touched[c, later].mean() > _THROUGHOUT for c in often):
                return True
    return False


def _two_bodies(a: Instance, b: Instance) -> bool:
    both = a.seen & b.seen
    return bool(both.sum() >= 2 and np.median(_shared(a.boxes_px[both], b.boxes_px[both])) < _APART)
