"""The course of an object's way from frame i to frame j: does it keep moving, start, stop, stop and go on, turn back or stay?

The runs of ``track.moving`` (those shorter than ``least_run_s`` count with their neighbours) say where it may have stood;
places decide. Standing: it stays within ``place_m`` of where the standing began. Moving: it ends a run elsewhere than it
began it. Turning back: it gets away by ``move_m``, then back by as much, in the opposite direction. It keeps moving where
every part of the time (``least_run_s`` or more) takes it on along the whole way. Its stop: the first time after which it stays
within ``place_m`` of its resting place; asked about only where that and the end of its moving lie in the same third.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from curation.relations.camera import Answer
from curation.relations.kinds import THIRDS
from curation.relations.more.scene import NEVER, Scene, excursion, moves, seen, sigmas, toward, went
from schemas.track import ObjectTrack

_FLAG_S = 0.25  # ``track.moving`` at a frame speaks of the half second about it
_COURSES = {
    (False,): "stays still",
    (False, True): "starts moving",
    (True, False): "comes to a stop",
    (True, False, True): "stops and goes on",
}


def course(scene: Scene, track: ObjectTrack, a: int, b: int) -> Answer | None:
    """Which course it takes; None where it was not seen all the time. It has no value."""
    if not seen(track, scene.between(a, b)):
        return None
    runs = _runs(scene, track, a, b)
    if runs is None:
        return None
    if [moving for moving, *_ in runs] == [True]:
        back = _turns_back(scene, track, a, b)
        if back > 0:
            return None, "turns back", None, back, {}
        return None, "keeps moving", None, _keeps_moving(scene, track, a, b), {}
    label = _COURSES.get(tuple(moving for moving, *_ in runs), "")
    if not label or (label != "stays still" and _turns_back(scene, track, a, b) > 0):
        return None  # of two true answers neither can be asked for
    margins = [(moves if moving else _stands)(scene, track, start, end) for moving, start, end in runs]
    return None, label, None, min(margins), {"runs_s": [[round(float(scene.times_s[k]), 6) for k in run[1:]] for run in runs]}


def course_once(scene: Scene, track: ObjectTrack, a: int, b: int) -> Answer | None:
    """``course``, worked out once for all kinds that need it."""
    found: Answer | None = scene.once(("course", track.object_id, a, b), lambda: course(scene, track, a, b))
    return found


def stop_time(scene: Scene, track: ObjectTrack, a: int, b: int) -> Answer | None:
    """In which third of the time it comes to a stop, or "never"; the value is the time of the stop, seconds of the clip."""
    found = course_once(scene, track, a, b)
    if found is None:
        return None
    if found[1] == "keeps moving":  # what turns back may pause there
        return None, "never", None, found[3], {}
    if found[1] not in ("comes to a stop", "stops and goes on"):
        return None
    _, slows, rest = _runs(scene, track, a, b)[1]  # type: ignore[index]
    frames = scene.between(a, rest)
    away = {k: went(scene, track, rest, k) for k in frames[:-1]}
    place = scene.config.place_m
    late = [k for k in away if away[k].value >= place]
    if not late:
        return None
    stop = frames[frames.index(max(late)) + 1]
    seconds = scene.seconds(a, b)
    third = min(int(3 * scene.seconds(a, stop) / seconds), 2)
    low, high = (scene.times_s[a] + seconds * n / 3 for n in (third, third + 1))
    if not low <= scene.times_s[slows] - _FLAG_S <= scene.times_s[slows] < high:
        return None  # near its resting place, and yet under way
    before = [k for k in away if scene.times_s[k] >= low]  # at some frame of this third it must still be under way
    after = [k for k in away if scene.times_s[k] > high]
    under_way = max((sigmas(away[k].value - place, away[k].sigma) for k in before), default=NEVER)
    at_rest = min((sigmas(place - away[k].value, away[k].sigma) for k in after), default=np.inf)
    end_of_third = [k for k in frames if scene.times_s[k] <= high]
    if end_of_third and end_of_third[-1] in away:
        at_rest = min(at_rest, sigmas(place - away[end_of_third[-1]].value, away[end_of_third[-1]].sigma))
    return float(scene.times_s[stop]), THIRDS[third], None, float(min(found[3], under_way, at_rest)), {}


def _runs(scene: Scene, track: ObjectTrack, a: int, b: int) -> list[tuple[bool, int, int]] | None:
    """(moving, first, last question frame) of every run from a to b that lasts; None where none does."""
    frames = scene.between(a, b)
    flags = [bool(track.moving[s : e + 1].any()) for s, e in pairwise(frames)]
    runs: list[tuple[bool, int, int]] = []
    for flag, (start, end) in zip(flags, pairwise(frames), strict=True):
        if runs and runs[-1][0] == flag:
            runs[-1] = (flag, runs[-1][1], end)
        else:
            runs.append((flag, start, end))
    lasting = [run for run in runs if scene.seconds(run[1], run[2]) >= scene.config.least_run_s]
    merged: list[tuple[bool, int, int]] = []
    for run in lasting:
        if merged and merged[-1][0] == run[0]:
            merged[-1] = (run[0], merged[-1][1], run[2])
        else:
            merged.append(run)
    if merged:  # short runs at the ends go with their neighbours
        merged[0] = (merged[0][0], a, merged[0][2])
        merged[-1] = (merged[-1][0], merged[-1][1], b)
    return merged or None


def _stands(scene: Scene, track: ObjectTrack, a: int, b: int) -> float:
    return excursion(scene, track, a, b)[1]


def _keeps_moving(scene: Scene, track: ObjectTrack, a: int, b: int) -> float:
    """Margin of: every part of the time takes it on along the whole, by a quarter of its due at least."""
    count = max(4, min(10, int(scene.seconds(a, b) / scene.config.least_run_s)))
    ends = scene.parts(a, b, count)
    whole = track.centroid_m[b] - track.centroid_m[a]
    length = float(np.linalg.norm(whole))
    if ends is None or length <= 0 or scene.seconds(a, b) < 4 * scene.config.least_run_s or not track.moving[a : b + 1].all():
        return NEVER
    steps = [toward(scene, track, s, e, whole / length) for s, e in pairwise(ends)]
    least = min(sigmas(step.value - length / count / 4, step.sigma) for step in steps)
    return min(least, moves(scene, track, a, b))


def _turns_back(scene: Scene, track: ObjectTrack, a: int, b: int) -> float:
    """Margin of: it goes away by ``move_m`` and comes back by as much."""
    frames = scene.between(a, b)
    turn = frames[int(np.argmax([went(scene, track, a, k).value for k in frames]))]
    if turn in (a, b):
        return NEVER
    out, back = (track.centroid_m[e] - track.centroid_m[s] for s, e in ((a, turn), (turn, b)))
    if float(out @ back) > -0.8 * float(np.linalg.norm(out) * np.linalg.norm(back)):
        return NEVER
    legs = (went(scene, track, a, turn), went(scene, track, turn, b))
    return min(sigmas(leg.value - scene.config.move_m, leg.sigma) for leg in legs)
