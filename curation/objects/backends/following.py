"""Detections of single frames linked over time, for models that look at one frame at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8
from scipy.optimize import linear_sum_assignment

from curation.objects.backends.classes import group_of
from curation.objects.backends.instances import Detection, Instance, box_iou
from schemas.camera import Array

_LEAST_IOU = 0.25
_SURE = 0.5  # detections above this may start an instance, weaker ones only continue one (Zhang et al., ByteTrack, 2022)
_LEAST_SEEN = 3
_ALIKE = 0.55  # Bhattacharyya coefficient of colour histograms
_LEARNS = 0.2
_BINS = (6, 16, 16)  # of lightness, a, b
_CLEAR = 0.6  # of an instance's votes that its noun must have


class _Open:
    """An instance under way: its detections by frame, and what it looked like when it was last seen."""

    def __init__(self, frame: int, detection: Detection, look: Array) -> None:
        self.found = {frame: detection}
        self.look = look

    def add(self, frame: int, detection: Detection, look: Array) -> None:
        """One more detection."""
        self.found[frame] = detection
        self.look = (1 - _LEARNS) * self.look + _LEARNS * look

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
    detections: Sequence[Sequence[Detection]],
    source: str,
    left: UInt8[Array, "t h w 3"],
    *,
    max_gap: int = 5,
    sure: float = _SURE,
) -> list[Instance]:
    """Link detections of consecutive frames.

    Classes that models confuse (car, truck, bus) are followed as one; the noun is then decided by all votes of the instance.

    Args:
        detections: per frame.
        source: name of the model.
        left: RGB frames: what crosses in front of an instance looks different, and does not become it.
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
            taken = _link(frame, free, chosen, left[frame])
            rest = [d for d in rest if id(d) not in taken]
        live += [_Open(frame, d, _look(left[frame], d)) for d in rest if d.score >= sure]
    found = [_instance(o, total, source) for o in (*done, *live) if len(o.found) >= min(_LEAST_SEEN, total)]
    return sorted(found, key=lambda i: -float(i.scores.sum()))


def _look(image: UInt8[Array, "h w 3"], detection: Detection) -> Array:
    """Colours of the middle of a detection: a smoothed histogram over (lightness, a, b), of unit sum."""
    u0, v0, u1, v1 = detection.box_px
    inset = np.array([0.2 * (u1 - u0), 0.15 * (v1 - v0)])
    low, high = np.floor(detection.box_px[:2] + inset).astype(int), np.ceil(detection.box_px[2:] - inset).astype(int)
    crop = image[max(low[1], 0) : max(high[1], 1), max(low[0], 0) : max(high[0], 1)]
    if crop.size == 0:
        return np.full(np.prod(_BINS), 1 / np.prod(_BINS), np.float32)
    lab = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGB2LAB)
    counts = cv2.calcHist([lab], [0, 1, 2], None, list(_BINS), [0, 256] * 3).reshape(_BINS)
    for axis in range(3):  # a colour on the border of two bins is in both
        counts = counts + 0.5 * (np.roll(counts, 1, axis) + np.roll(counts, -1, axis))
    return (counts / max(float(counts.sum()), 1e-6)).ravel()


def _link(frame: int, live: list[_Open], here: list[Detection], image: UInt8[Array, "h w 3"]) -> set[int]:
    """Continue instances with detections, in place; the ids of those used."""
    if not live or not here:
        return set()
    iou = box_iou(np.stack([o.expected(frame) for o in live]), np.stack([d.box_px for d in here]))
    same = [[group_of(o.found[o.last].category) == group_of(d.category) for d in here] for o in live]
    iou[~np.array(same)] = 0.0
    looks = [_look(image, d) for d in here]
    alike = np.array([[float(np.sqrt(o.look * look).sum()) for look in looks] for o in live])
    iou[alike < _ALIKE] = 0.0
    used = set()
    for i, j in zip(*linear_sum_assignment(-iou), strict=True):
        if iou[i, j] >= _LEAST_IOU:
            live[i].add(frame, here[j], looks[j])
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
    exact = all(d.exact for d in track.found.values())
    return Instance(noun, share, scores, boxes, tuple(masks), source, exact)


def vote(votes: dict[str, float]) -> tuple[str, float]:
    """The noun with most votes and its share; the name of its group where it is not clear; "" where even that is not."""
    total = sum(votes.values())
    best = max(sorted(votes), key=lambda name: votes[name])
    if votes[best] >= _CLEAR * total:
        return best, votes[best] / total
    group = group_of(best)
    share = sum(v for name, v in votes.items() if group_of(name) == group) / total
    return (group, share) if share >= _CLEAR and group != best else ("", share)
