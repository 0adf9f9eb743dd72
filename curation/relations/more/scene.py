"""What all kinds share: one clip as measured, how far a thing went with what doubt, and where two things stand to each other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from curation.relations.doubt import Estimate, axes_variance, carried_variance, shared_range_error
from curation.relations.objects import swing_m as swing_of
from curation.relations.wholeness import only_in_part
from schemas.camera import Array, CameraPath
from schemas.config import RelationsConfig
from schemas.track import ObjectTrack

NEVER = -1.0
"""Margin of an answer that no sigma covers."""


@dataclass(frozen=True)
class Scene:
    """A clip's measured camera, its clock, and the thresholds.

    Attributes:
        question: (Q,) measuring frames that a question can name; a course is followed over these.
        times_s: (T,) of the measuring frames.
        scale_rel: relative error that all lengths share.
        memo: what several kinds ask for is worked out once.
    """

    path: CameraPath
    question: Int[Array, "q"]
    times_s: Float[Array, "t"]
    config: RelationsConfig
    scale_rel: float
    memo: dict[tuple[Any, ...], Any] = field(default_factory=dict, compare=False, repr=False)

    def once(self, key: tuple[Any, ...], work: Callable[[], Any]) -> Any:
        """The result of ``work``, which depends on ``key`` alone."""
        if key not in self.memo:
            self.memo[key] = work()
        return self.memo[key]

    def seconds(self, a: int, b: int) -> float:
        """Time from measuring frame a to b."""
        return float(self.times_s[b] - self.times_s[a])

    def between(self, a: int, b: int) -> list[int]:
        """The question frames from a to b, both included, as measuring frames."""
        return [int(k) for k in self.question if a <= k <= b]

    def parts(self, a: int, b: int, count: int) -> list[int] | None:
        """Question frames nearest to the ends of ``count`` equal parts of the time from a to b; None where two coincide."""
        inside = self.between(a, b)
        times = self.times_s[inside]
        ends = [inside[int(np.argmin(np.abs(times - t)))] for t in np.linspace(self.times_s[a], self.times_s[b], count + 1)]
        return ends if len(set(ends)) == count + 1 else None


def sigmas(distance: float, sigma: float) -> float:
    """``distance`` in units of ``sigma``; a sigma of zero cannot make an unsafe distance safe."""
    return float(distance / max(sigma, 1e-6))


def seen(track: ObjectTrack, frames: list[int]) -> bool:
    """Whether the object was measured at all of ``frames``."""
    return bool(track.visible[frames].all() and np.isfinite(track.centroid_cov_m2[frames]).all())


def went(scene: Scene, track: ObjectTrack, a: int, b: int) -> Estimate:
    """Straight distance between the object's places at a and b, world frame, metres."""

    def measure() -> Estimate:
        way = track.centroid_m[b] - track.centroid_m[a]
        length = float(np.linalg.norm(way))
        if length > 0:
            return toward(scene, track, a, b, way / length)
        return Estimate(0.0, max(toward(scene, track, a, b, u).sigma for u in np.eye(3)))

    found: Estimate = scene.once(("went", track.object_id, a, b), measure)
    return found


def toward(scene: Scene, track: ObjectTrack, a: int, b: int, u: Float[Array, "3"]) -> Estimate:
    """How far the object went from a to b along the unit world vector ``u``, metres.

    Doubt: both sightings, both poses, errors of range and scale that they share, and the turn of the object. What is measured are
    points of the side that is seen; as the object turns, they swing about its middle.
    """
    path, start, end = scene.path, track.centroid_m[a], track.centroid_m[b]
    camera_a, camera_b = path.centers_m[a], path.centers_m[b]
    variance = float(u @ (track.centroid_cov_m2[a] + track.centroid_cov_m2[b]) @ u)
    variance += carried_variance(path, a, start, u) + carried_variance(path, b, end, u)
    variance += swing_m(scene, track, a, b) ** 2
    shared = shared_range_error(start - camera_a, end - camera_b, u, math.hypot(track.common_sigma_rel, scene.scale_rel))
    shared += scene.scale_rel * abs(float(u @ (camera_b - camera_a)))
    return Estimate(float(u @ (end - start)), math.sqrt(max(variance, 0.0) + shared**2))


def swing_m(scene: Scene, track: ObjectTrack, a: int, b: int) -> float:
    """``objects.swing_m``, worked out once."""
    partial = scene.once(("partial", track.object_id), lambda: only_in_part(track))
    return float(scene.once(("swing", track.object_id, a, b), lambda: swing_of(track, a, b, partial)))


def excursion(scene: Scene, track: ObjectTrack, a: int, b: int) -> tuple[Estimate, float]:
    """How far the object got from its place at a until b, at most.

    And the least margin by which it stayed within ``place_m`` of that place all the time (negative where it did not).
    """
    away = [went(scene, track, a, k) for k in scene.between(a, b)[1:]]
    farthest = max(away, key=lambda e: e.value)
    return farthest, min(sigmas(scene.config.place_m - e.value, e.sigma) for e in away)


def stays(scene: Scene, track: ObjectTrack, a: int, b: int) -> float:
    """Margin of "it keeps its place from a to b"; ``NEVER`` where it was found moving or was not seen all the time."""
    if not seen(track, scene.between(a, b)) or track.moving[a : b + 1].any():
        return NEVER
    return excursion(scene, track, a, b)[1]


def moves(scene: Scene, track: ObjectTrack, a: int, b: int) -> float:
    """Margin of "it is somewhere else at b than at a"; ``NEVER`` where it was found standing throughout."""
    if not track.moving[a : b + 1].any():
        return NEVER
    distance = went(scene, track, a, b)
    return sigmas(distance.value - scene.config.min_object_motion_m, distance.sigma)


def winding(scene: Scene, track: ObjectTrack, a: int, b: int) -> float | None:
    """How much longer the way from a to b is than the straight line, metres, over four parts of the time; None if unseen."""
    ends = scene.parts(a, b, 4)
    if ends is None or not seen(track, ends):
        return None
    places = track.centroid_m[ends]
    way = float(np.linalg.norm(np.diff(places, axis=0), axis=1).sum())
    return max(way - float(np.linalg.norm(places[-1] - places[0])), 0.0)


def straight(scene: Scene, track: ObjectTrack, a: int, b: int) -> bool:
    """Whether its way from a to b hardly winds, so that one heading holds for all of it."""
    excess = winding(scene, track, a, b)
    distance = went(scene, track, a, b)
    return excess is not None and excess <= scene.config.max_winding * distance.value + distance.sigma


def reach_m(track: ObjectTrack, k: int) -> float:
    """How far the middle of the whole object may lie from the middle of what was measured: the unseen back."""
    points = track.points_m[k]
    points = points[np.isfinite(points).all(1)]
    return 0.75 * float(np.linalg.norm(np.ptp(points, axis=0))) if len(points) >= 4 else float("inf")


def apart_along(scene: Scene, a: ObjectTrack, b: ObjectTrack, k: int, u: Float[Array, "3"]) -> Estimate:
    """(centroid of b - centroid of a) at frame k along the unit world vector ``u``, metres.

    The camera's own place cancels; its turn, both sightings and the range error that they share remain.
    """
    path = scene.path
    gap = b.centroid_m[k] - a.centroid_m[k]
    variance = float(u @ (a.centroid_cov_m2[k] + b.centroid_cov_m2[k]) @ u) + axes_variance(path, k, gap, u, 0.0)
    center = path.centers_m[k]
    relative = math.hypot(max(a.common_sigma_rel, b.common_sigma_rel), scene.scale_rel)
    shared = shared_range_error(a.centroid_m[k] - center, b.centroid_m[k] - center, u, relative)
    return Estimate(float(u @ gap), math.sqrt(max(variance, 0.0) + shared**2))


def apart(scene: Scene, a: ObjectTrack, b: ObjectTrack, k: int) -> tuple[Estimate, Float[Array, "3"]]:
    """Distance between the centroids at frame k, metres, and its direction (unit, world frame, from a to b)."""
    gap = b.centroid_m[k] - a.centroid_m[k]
    u = gap / max(float(np.linalg.norm(gap)), 1e-9)
    return apart_along(scene, a, b, k, u), u


def third_of(scene: Scene, a: int, b: int, k: int) -> int:
    """In which third of the time from a to b frame k lies: 0, 1, 2."""
    share = scene.seconds(a, k) / max(scene.seconds(a, b), 1e-9)
    return min(int(3 * share), 2)
