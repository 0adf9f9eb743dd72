"""One body, one instance: models that look for each noun by itself find a van as a car and as a truck.

Two instances whose pixels are the same wherever both are seen are one body, and their nouns vote on its name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from pycocotools import mask as coco

from curation.objects.backends.classes import COCO
from curation.objects.backends.following import vote
from curation.objects.backends.instances import Instance, box_of
from curation.objects.masks import decode, encode
from schemas.camera import Array

_SAME_IOU = 0.7
_LEAST_FRAMES = 3
_MOSTLY = 0.6  # of the frames in which both are seen
_LEAST_PIXELS = 20


def one_per_body(instances: Sequence[Instance]) -> list[Instance]:
    """Instances of which no two are one body and none claims a pixel of another: it is the more certain one's.

    Args:
        instances: with masks wherever they are seen.

    Returns:
        Instances, most certain first.
    """
    if len(instances) < 2:
        return list(instances)
    body = _bodies(instances)
    whole = [_united([i for i, b in zip(instances, body, strict=True) if b == n]) for n in sorted(set(body.tolist()))]
    return sorted(_apart(whole), key=lambda i: -float(i.scores.sum()))


def _bodies(instances: Sequence[Instance]) -> Int[Array, "n"]:
    """Number of the body that each instance is."""
    count = len(instances)
    both, same = np.zeros((count, count), int), np.zeros((count, count), int)
    for t in range(len(instances[0].scores)):
        there = [n for n, i in enumerate(instances) if i.masks[t] is not None]
        alike = _ious([instances[n].masks[t] for n in there]) >= _SAME_IOU
        both[np.ix_(there, there)] += 1
        same[np.ix_(there, there)] += alike
    least = min(_LEAST_FRAMES, len(instances[0].scores))
    body = np.arange(count)
    for a in range(count):
        for b in range(a):
            if both[a, b] >= least and same[a, b] >= _MOSTLY * both[a, b]:
                body[body == body[a]] = body[b]
    return body


def _ious(masks: Sequence[dict[str, Any] | None]) -> Float[Array, "n n"]:
    packed = [{"size": m["size"], "counts": m["counts"].encode("ascii")} for m in masks if m is not None]
    return np.asarray(coco.iou(packed, packed, [0] * len(packed))) if packed else np.zeros((0, 0))


def _united(doubles: Sequence[Instance]) -> Instance:
    """Instances of one body as one: in each frame what the most certain of them says."""
    if len(doubles) == 1:
        return doubles[0]
    best = max(doubles, key=lambda i: float(i.scores.sum()))
    votes: dict[str, float] = defaultdict(float)
    for i in doubles:
        if best.category not in COCO or i.category in COCO:  # what a prompt calls it beside may be another word for the same
            votes[i.category] += float(i.scores.sum())
    noun, share = vote(votes) if best.category in COCO else (best.category, best.certainty)
    first = np.argmax([i.scores for i in doubles], axis=0)
    frames = range(len(first))
    return replace(
        best,
        category=noun,
        certainty=share,
        scores=np.max([i.scores for i in doubles], axis=0),
        boxes_px=np.stack([doubles[first[t]].boxes_px[t] for t in frames]),
        masks=tuple(doubles[first[t]].masks[t] for t in frames),
    )


def _apart(instances: Sequence[Instance]) -> list[Instance]:
    """Instances without the pixels that a more certain one claims in the same frame."""
    masks = [list(i.masks) for i in instances]
    for t in range(len(instances[0].scores)):
        there = sorted((n for n in range(len(instances)) if masks[n][t] is not None), key=lambda n: -instances[n].scores[t])
        shared = _ious([instances[n].masks[t] for n in there]) > 0
        for k, n in enumerate(there):
            above = [m for m, touching in zip(there[:k], shared[k, :k], strict=True) if touching and masks[m][t] is not None]
            if above:
                own = _pixels(masks[n][t])
                for m in above:
                    own &= ~_pixels(masks[m][t])
                masks[n][t] = encode(own) if own.sum() >= _LEAST_PIXELS else None
    out = []
    for instance, left in zip(instances, masks, strict=True):
        seen = np.array([m is not None for m in left])
        boxes = np.stack([np.full(4, np.nan) if m is None else box_of(m) for m in left])
        if seen.any():
            out.append(replace(instance, scores=np.where(seen, instance.scores, 0.0), boxes_px=boxes, masks=tuple(left)))
    return out


def _pixels(mask: dict[str, Any] | None) -> Bool[Array, "h w"]:
    assert mask is not None
    return decode(mask)
