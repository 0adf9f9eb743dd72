"""How fast an object went on average, whether it became faster, and which of two was faster.

Speed = distance travelled / (t_j - t_i), metres per second in the scene. The distance travelled is taken as the straight one,
and only asked about where the way hardly winds (the way over four parts exceeds it by less than ``max_winding`` of it); what
it does exceed it by counts as doubt. Changes and comparisons hold where one speed exceeds the other by ``speed_ratio``; "as
fast" where neither exceeds the other by a tenth, and nothing between.
"""

from __future__ import annotations

import math
from typing import Any

from curation.relations.camera import Answer
from curation.relations.doubt import Estimate
from curation.relations.more.scene import NEVER, Scene, moves, seen, sigmas, stays, straight, went, winding
from schemas.track import ObjectTrack

_ALIKE = 1.1


def mean_speed(scene: Scene, track: ObjectTrack, a: int, b: int) -> Estimate | None:
    """Average speed from a to b, m/s; None where the way winds or was not seen."""
    if not straight(scene, track, a, b):
        return None
    distance, excess = went(scene, track, a, b), winding(scene, track, a, b) or 0.0
    seconds = scene.seconds(a, b)
    return Estimate(distance.value / seconds, math.hypot(distance.sigma, excess / 2) / seconds)


def speed(scene: Scene, track: ObjectTrack, a: int, b: int) -> Answer | None:
    """Average speed, m/s."""
    found = mean_speed(scene, track, a, b)
    return None if found is None else (found.value, "", found.sigma, moves(scene, track, a, b), {})


def speed_change(scene: Scene, track: ObjectTrack, a: int, b: int) -> Answer | None:
    """Average speed in the second half of the time, compared with the first half; the value is the difference, m/s."""
    ends = scene.parts(a, b, 2)
    if ends is None or not seen(track, ends) or moves(scene, track, a, b) < 0:
        return None
    first, second = mean_speed(scene, track, ends[0], ends[1]), mean_speed(scene, track, ends[1], ends[2])
    if first is None or second is None:
        return None
    details: dict[str, Any] = {"speeds_m_s": [round(e.value, 6) for e in (first, second)]}
    details["middle_s"] = round(float(scene.times_s[ends[1]]), 6)
    ratio = scene.config.speed_ratio
    up, down = _exceeds(second, first, ratio), _exceeds(first, second, ratio)
    alike = -max(_exceeds(second, first, _ALIKE), _exceeds(first, second, _ALIKE))
    label, margin = max((("faster", up), ("slower", down), ("as fast", alike)), key=lambda item: item[1])
    if label == "as fast" and min(stays(scene, track, *ends[n : n + 2]) for n in (0, 1)) > 0:
        return None
    return second.value - first.value, label, math.hypot(first.sigma, second.sigma), margin, details


def speed_comparison(scene: Scene, track: ObjectTrack, other: ObjectTrack, a: int, b: int) -> Answer | None:
    """Which of two objects is faster on average; the value is the first one's speed less the second one's, m/s."""
    one, two = mean_speed(scene, track, a, b), mean_speed(scene, other, a, b)
    if one is None or two is None or max(moves(scene, track, a, b), moves(scene, other, a, b)) <= NEVER:
        return None
    details = {"speeds_m_s": [round(e.value, 6) for e in (one, two)]}
    ratio = scene.config.speed_ratio
    first, second = _exceeds(one, two, ratio), _exceeds(two, one, ratio)
    # a thing that winds or stands is slow in this sense and fast in another: the faster one at least must go somewhere
    margin = min(max(first, second), moves(scene, track if first >= second else other, a, b))
    label = "first" if first >= second else "second"
    return one.value - two.value, label, math.hypot(one.sigma, two.sigma), margin, details


def _exceeds(fast: Estimate, slow: Estimate, ratio: float) -> float:
    return sigmas(fast.value - ratio * slow.value, math.hypot(fast.sigma, ratio * slow.sigma))
