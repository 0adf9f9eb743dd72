"""Detections of single frames linked over time, for models that look at one frame at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from curation.objects.backends.classes import group_of
from curation.objects.backends.instances import Detection, Instance, box_iou
from schemas.camera import Array

_LEAST_IOU = 0.25
_SURE = 0.5  # detections above this may start an instance, weaker ones only continue one (Zhang et al., ByteTrack, 2022)
_LEAST_SEEN = 3
_CLEAR = 0.6  # of an instance's votes that its noun must have


class _Open:
    """An instance under way."""

    def __init__(self, frame: int, detection: Detection) -> None:
        self.found = {frame: detection}

    @property
    def last(self) -> int:
        return max(self.found)

    def expected(self, frame: int) -> Array:
        """Its box at a frame, moved on at its recent speed."""
        frames = sorted(self.found)
        now = self.found[frames[-1]].box_px
        before = next((f for f in reversed(frames[:-1]) if frames[-1] - f <= 3), None)
        if before is None:
            return now
        centre = now.reshape(2, 2).mean(0) - self.found[before].box_px.reshape(2, 2).mean(0)
        return now + np.tile(centre * (frame - frames[-1]) / (frames[-1] - before), 2)


def follow(
    detections: Sequence[Sequence[Detection]], source: str, *, max_gap: int = 5, sure: float = _SURE
) -> list[Instance]:
    """Link detections of consecutive frames.

    Classes that models confuse (car, truck, bus) are followed as one; the noun is then decided by all votes of the instance.

    Args:
        detections: per frame.
        source: name of the model.
        max_gap: frames that an instance may be missed for.
        sure: confidence from which a detection starts an instance.

    Returns:
        Instances seen in at least three frames, most certain first.
    """
    total = len(detections)
    done: list[_Open] = []
    live: list[_Open] = []
    for frame, here in enumerate(detections):
        live, ended = [o for o in live if frame - o.last <= max_gap], [o for o in live if frame - o.last > max_gap]
        done += ended
        rest = list(here)
        for strong in (True, False):
            chosen = [d for d in rest if (d.score >= sure) == strong]
            free = [o for o in live if o.last < frame]
            taken = _link(frame, free, chosen)
            rest = [d for d in rest if id(d) not in taken]
        live += [_Open(frame, d) for d in rest if d.score >= sure]
    found = [_instance(o, total, source) for o in (*done, *live) if len(o.found) >= min(_LEAST_SEEN, total)]
    return sorted(found, key=lambda i: -float(i.scores.sum()))


def _link(frame: int, live: list[_Open], here: list[Detection]) -> set[int]:
    """Continue instances with detections, in place; the ids of those used."""
    if not live or not here:
        return set()
    iou = box_iou(np.stack([o.expected(frame) for o in live]), np.stack([d.box_px for d in here]))
    same = [[group_of(o.found[o.last].category) == group_of(d.category) for d in here] for o in live]
    iou[~np.array(same)] = 0.0
    used = set()
    for i, j in zip(*linear_sum_assignment(-iou), strict=True):
        if iou[i, j] >= _LEAST_IOU:
            live[i].found[frame] = here[j]
            used.add(id(here[j]))
    return used


def _instance(track: _Open, total: int, source: str) -> Instance:
    votes: dict[str, float] = defaultdict(float)
    scores, boxes = np.zeros(total), np.full((total, 4), np.nan)
    masks: list[dict[str, object] | None] = [None] * total
    for frame, detection in track.found.items():
        votes[detection.category] += detection.score
        scores[frame], boxes[frame], masks[frame] = detection.score, detection.box_px, detection.mask
    noun, share = vote(votes)
    return Instance(noun, share, scores, boxes, tuple(masks), source)


def vote(votes: dict[str, float]) -> tuple[str, float]:
    """The noun with most votes and its share; the name of its group where it is not clear; "" where even that is not."""
    total = sum(votes.values())
    best = max(sorted(votes), key=lambda name: votes[name])
    if votes[best] >= _CLEAR * total:
        return best, votes[best] / total
    group = group_of(best)
    share = sum(v for name, v in votes.items() if group_of(name) == group) / total
    return (group, share) if share >= _CLEAR and group != best else ("", share)
