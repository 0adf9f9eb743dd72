"""The true answers of the kinds beyond the paper's seven, from the truth alone, at every source frame.

Written apart from ``curation.relations`` on purpose (see ``answers``): no function of it is used. Where a relation leaves a no
man's land between two labels, the truth divides it in its middle; where it follows question frames, the truth follows all frames.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from curation.worlds.truth import Truth
from schemas.camera import Array

CAMERA_FURTHER = ("camera_rotation", "camera_rotation_angle", "camera_move")
NUMERIC_FURTHER = {"camera_rotation_angle": "deg", "object_speed": "m/s"}
THIRDS = ("first third", "middle third", "last third")
PLACE_M, MOVED_M, STILL_M = 0.15, 0.15, 0.225
CAMERA_STILL_M, CAMERA_STILL_DEG = 0.10, 2.75
TRAVEL_M, TURN_DEG, SLIGHT_TURN_DEG = 0.30, 8.0, 4.0
STANDS_M_S, LEAST_RUN_S = 0.08, 0.3
SPEED_RATIO, ALIKE = 1.25, 1.125


@dataclass(frozen=True)
class FurtherAnswer:
    """The true label ("" where no label is true), and the true number of the fact where it has one to be compared."""

    label: str
    value: float | None = None


def further_answer(kind: str, truth: Truth, bodies: Sequence[int], i: int, j: int) -> FurtherAnswer:
    """What is true of a further kind between source frames ``i`` < ``j``, of ``bodies`` in the order of the question.

    Raises:
        ValueError: an unknown kind.
    """
    if kind in CAMERA_FURTHER:
        return _camera(kind, truth, i, j)
    frames = np.arange(i, j + 1)
    ways = [truth.centroid_m[frames, body] for body in bodies]
    seconds = (j - i) / float(truth.info["fps"])
    if kind == "moving_count":
        return FurtherAnswer(str(sum(np.linalg.norm(way[-1] - way[0]) >= MOVED_M for way in ways)))
    if len(ways) == 2:
        return _pair(kind, truth, ways, i, seconds)
    return _single(kind, truth, ways[0], i, j, seconds)


def _camera(kind: str, truth: Truth, i: int, j: int) -> FurtherAnswer:
    poses = np.linalg.inv(truth.world_from_camera[i]) @ truth.world_from_camera[i : j + 1]
    turns = np.degrees(Rotation.from_matrix(poses[:, :3, :3]).as_rotvec())
    turn, angle = turns[-1], float(np.linalg.norm(turns[-1]))
    sense = _named(turn, (("up", "down"), ("right", "left"), ("clockwise", "counterclockwise")))
    if kind == "camera_rotation":
        return FurtherAnswer("not turning" if angle < CAMERA_STILL_DEG else sense, angle)
    if kind == "camera_rotation_angle":
        return FurtherAnswer("", angle)
    places = poses[:, :3, 3]
    far, wide = (float(np.linalg.norm(x, axis=1).max()) for x in (places, turns))
    if far < CAMERA_STILL_M and wide < CAMERA_STILL_DEG:
        return FurtherAnswer("static")
    goes = float(np.linalg.norm(places[-1])) >= TRAVEL_M and _onward(places)
    turned = angle >= TURN_DEG and _onward(turns)
    way = _named(places[-1], (("right", "left"), ("down", "up"), ("forward", "backward")))
    if turned and far < PLACE_M and sense in ("left", "right", "up", "down"):
        return FurtherAnswer(f"{'pan' if sense in ('left', 'right') else 'tilt'} {sense}")
    if goes and wide < SLIGHT_TURN_DEG:
        word = {"forward": "dolly in", "backward": "dolly out", "up": "pedestal up", "down": "pedestal down"}
        return FurtherAnswer(word.get(way, f"truck {way}"))
    if goes and turned and {way, sense} == {"left", "right"}:
        return FurtherAnswer(f"arc {way}")
    return FurtherAnswer("")


def _single(kind: str, truth: Truth, way: Float[Array, "n 3"], i: int, j: int, seconds: float) -> FurtherAnswer:
    away = np.linalg.norm(way - way[0], axis=1)
    view = truth.world_from_camera[i, :3, :3]
    if kind == "object_direction":
        return FurtherAnswer("not moving" if away.max() < PLACE_M else _direction(view, way[-1] - way[0]))
    if kind == "object_speed":
        return FurtherAnswer("", _length(way) / seconds)
    if kind == "object_speed_change":
        middle = (len(way) - 1) // 2  # an odd number of steps has halves of unequal length
        first, second = _length(way[: middle + 1]) / max(middle, 1), _length(way[middle:]) / max(len(way) - 1 - middle, 1)
        ratio = second / max(first, 1e-9)
        if 1 / ALIKE < ratio < ALIKE:
            return FurtherAnswer("as fast")
        between = (1 + SPEED_RATIO) / 2
        return FurtherAnswer("faster" if ratio > between else "slower" if ratio < 1 / between else "")
    step_s = seconds / max(len(way) - 1, 1)
    if kind == "object_motion_pattern":
        return FurtherAnswer(_course(way, seconds)[0])
    if kind == "object_stop_time":
        label, stop = _course(way, seconds)
        if label == "keeps moving":
            return FurtherAnswer("never")
        if stop is None:
            return FurtherAnswer("")
        fast = np.flatnonzero(np.linalg.norm(np.diff(way[: stop + 1], axis=0), axis=1) > STANDS_M_S * step_s)
        return FurtherAnswer(_third(int(fast[-1]) + 1, len(way)) if len(fast) else "")
    if kind == "object_trajectory":
        ends = np.linspace(0, len(way) - 1, 4).round().astype(int)
        return FurtherAnswer(" > ".join(_direction(view, way[b] - way[a]) for a, b in itertools.pairwise(ends)))
    if kind == "object_true_motion":
        moved, still = away[-1] >= MOVED_M, away.max() < PLACE_M
        poses = np.linalg.inv(truth.world_from_camera[i]) @ truth.world_from_camera[i : j + 1]
        turns = np.degrees(Rotation.from_matrix(poses[:, :3, :3]).magnitude())
        camera = float(np.linalg.norm(poses[:, :3, 3], axis=1).max()) >= CAMERA_STILL_M or turns.max() >= CAMERA_STILL_DEG
        if moved:
            return FurtherAnswer("both" if camera else "only the object")
        return FurtherAnswer("only the camera" if camera and still else "")
    if kind == "object_camera_closest_time":
        ranges = np.linalg.norm(way - truth.world_from_camera[i : j + 1, :3, 3], axis=1)
        return FurtherAnswer(_third(int(ranges.argmin()), len(way)))
    raise ValueError(f"no truth is known for kind {kind!r}")


def _pair(kind: str, truth: Truth, ways: list[Float[Array, "n 3"]], i: int, seconds: float) -> FurtherAnswer:
    one, two = ways
    gaps = two - one
    apart = np.linalg.norm(gaps, axis=1)
    steps = [way[-1] - way[0] for way in ways]
    if kind == "object_object_distance_change":
        change = float(apart[-1] - apart[0])
        return FurtherAnswer("not changing" if abs(change) < STILL_M else "farther" if change > 0 else "closer", change)
    if kind == "object_object_direction":
        local = truth.world_from_camera[i, :3, :3].T @ gaps[-1]
        return FurtherAnswer(_named(local, (("right", "left"), ("below", "above"), ("behind", "in front"))))
    if kind == "object_object_side":
        forward = steps[0] / max(float(np.linalg.norm(steps[0])), 1e-9)
        level = gaps[-1] - gaps[-1] * [0, 1, 0]
        along, across = float(level @ forward), float(level @ [forward[2], 0.0, -forward[0]])
        if abs(along) >= abs(across):
            return FurtherAnswer("ahead" if along > 0 else "behind")
        return FurtherAnswer("right" if across > 0 else "left")
    if kind == "object_speed_comparison":
        lengths = [_length(way) / seconds for way in ways]
        return FurtherAnswer("first" if lengths[0] > lengths[1] else "second", lengths[0] - lengths[1])
    if kind == "object_first_mover":
        left = [np.flatnonzero(np.linalg.norm(way - way[0], axis=1) > PLACE_M) for way in ways]
        step_m = STANDS_M_S * seconds / max(len(one) - 1, 1)
        starts = [np.flatnonzero(np.linalg.norm(np.diff(way, axis=0), axis=1) > step_m) for way in ways]
        if not all(map(len, (*left, *starts))):
            return FurtherAnswer("")
        orders = {bool(a[0] < b[0]) for a, b in (left, starts)}  # who sets off first also gets away first
        if len(orders) > 1 or starts[0][0] == starts[1][0]:
            return FurtherAnswer("")
        return FurtherAnswer("first" if True in orders else "second")
    if kind == "object_object_closest_time":
        return FurtherAnswer(_third(int(apart.argmin()), len(apart)))
    cosine = float(steps[0] @ steps[1]) / max(float(np.linalg.norm(steps[0]) * np.linalg.norm(steps[1])), 1e-9)
    angle = math.degrees(math.acos(min(max(cosine, -1.0), 1.0)))
    if kind == "object_object_heading":
        return FurtherAnswer("same way" if angle < 45 else "opposite ways" if angle > 135 else "crosswise", angle)
    if kind == "object_passing":
        forward = steps[0] / np.linalg.norm(steps[0]) + (steps[1] / np.linalg.norm(steps[1]) if angle < 90 else 0)
        lead = -gaps @ forward  # of the first before the second
        if (lead > 0).all() or (lead < 0).all():
            return FurtherAnswer("neither")
        if angle >= 90:
            return FurtherAnswer("each other" if lead[0] < 0 < lead[-1] else "")
        return FurtherAnswer("first" if lead[0] < 0 < lead[-1] else "second" if lead[-1] < 0 < lead[0] else "")
    raise ValueError(f"no truth is known for kind {kind!r}")


def _named(vector: Float[Array, "3"], words: Sequence[tuple[str, str]]) -> str:
    """The word for the positive or the negative side of the largest component."""
    axis = max(range(3), key=lambda k: abs(float(vector[k])))
    return words[axis][int(vector[axis] < 0)]


def _direction(rotation: Float[Array, "3 3"], step: Float[Array, "3"]) -> str:
    return _named(rotation.T @ step, (("right", "left"), ("down", "up"), ("away", "towards")))


def _length(way: Float[Array, "n 3"]) -> float:
    return float(np.linalg.norm(np.diff(way, axis=0), axis=1).sum())


def _third(at: int, count: int) -> str:
    return THIRDS[min(3 * at // max(count - 1, 1), 2)]


def _onward(course: Float[Array, "n 3"]) -> bool:
    """Whether it never falls back by more than a third of the whole."""
    along = course @ course[-1] / max(float(np.linalg.norm(course[-1])), 1e-9)
    return bool(np.max(np.maximum.accumulate(along) - along) <= along[-1] / 3)


def _course(way: Float[Array, "n 3"], seconds: float) -> tuple[str, int | None]:
    """The course, and the frame at which a standstill that lasts begins, where it stops."""
    step_s = seconds / max(len(way) - 1, 1)
    speed = np.linalg.norm(np.diff(way, axis=0), axis=1) / step_s
    runs = _runs(speed > STANDS_M_S, math.ceil(LEAST_RUN_S / step_s))
    pattern = tuple(moving for moving, _ in runs)
    if pattern in ((True,), (True, False, True)):
        turn = int(np.linalg.norm(way - way[0], axis=1).argmax())
        out, back = way[turn] - way[0], way[-1] - way[turn]
        sizes = float(np.linalg.norm(out)), float(np.linalg.norm(back))
        if min(sizes) >= TRAVEL_M and float(out @ back) < -0.7 * sizes[0] * sizes[1]:
            return "turns back", None
    if pattern == (True,):
        return "keeps moving", None
    names = {
        (False,): "stays still",
        (False, True): "starts moving",
        (True, False): "comes to a stop",
        (True, False, True): "stops and goes on",
    }
    label = names.get(pattern, "")
    # not the end of the standstill: it may hold a first step, too short to count, of going on
    return label, runs[0][1] if label in ("comes to a stop", "stops and goes on") else None


def _runs(flags: Bool[Array, "n"], least: int) -> list[tuple[bool, int]]:
    """Runs of equal flags that last, with their last frame; shorter ones count with what is before them."""
    out: list[tuple[bool, int]] = []
    at = 0
    for flag, group in itertools.groupby(flags.tolist()):
        count = len(list(group))
        at += count
        if out and (out[-1][0] == flag or count < least):
            out[-1] = (out[-1][0], at)
        elif count >= least:
            out.append((bool(flag), at))
    return out
