"""Which of two objects leaves its place first, from frame i to frame j.

t(A) = the first time at which |centroid(A_t) - centroid(A_i)| passes ``place_m``. A is first where there is a question frame
at which A has certainly passed it and B, at that frame and all before, certainly has not and was found standing: of two that
are under way from the start the faster one is no first. The margin is the best such frame's. The value is t(A) - t(B), seconds
(negative where A is first), where both leave; no value where B stays.
"""

from __future__ import annotations

import numpy as np

from curation.relations.camera import Answer
from curation.relations.more.scene import NEVER, Scene, moves, seen, sigmas, went
from schemas.track import ObjectTrack


def first_mover(scene: Scene, track: ObjectTrack, other: ObjectTrack, a: int, b: int) -> Answer | None:
    """Which one it is; both must leave their places until b, so that the question makes sense."""
    frames = scene.between(a, b)
    if not (seen(track, frames) and seen(other, frames)):
        return None
    place = scene.config.place_m
    away = [[went(scene, one, a, k) for k in frames[1:]] for one in (track, other)]
    gone = np.array([[sigmas(e.value - place, e.sigma) for e in course] for course in away])
    still = np.minimum.accumulate(-gone, axis=1)
    stands = np.array([[not one.moving[a : k + 1].any() for k in frames[1:]] for one in (track, other)])
    first, second = (float(np.where(stands[1 - n], np.minimum(gone[n], still[1 - n]), NEVER).max()) for n in (0, 1))
    left = [next((k for k, e in zip(frames[1:], course, strict=True) if e.value > place), None) for course in away]
    if None in left or min(moves(scene, one, a, b) for one in (track, other)) <= NEVER:
        return None
    lag = float(scene.times_s[left[0]] - scene.times_s[left[1]])  # type: ignore[index]
    both = min(float(course.max()) for course in gone)
    label, margin = ("first", first) if first >= second else ("second", second)
    return lag, label, None, min(margin, both), {"left_s": [round(float(scene.times_s[k]), 6) for k in left]}  # type: ignore[index]
