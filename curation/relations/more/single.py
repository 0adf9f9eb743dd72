"""The further kinds about one object."""

from __future__ import annotations

from collections.abc import Callable

from curation.relations.camera import Answer
from curation.relations.more.closest import closest_to_camera
from curation.relations.more.object_course import course_once, stop_time
from curation.relations.more.object_direction import direction, trajectory
from curation.relations.more.object_speed import speed, speed_change
from curation.relations.more.scene import Scene
from curation.relations.more.true_motion import true_motion
from schemas.track import ObjectTrack

SINGLE: dict[str, Callable[[Scene, ObjectTrack, int, int], Answer | None]] = {
    "object_direction": direction,
    "object_speed": speed,
    "object_speed_change": speed_change,
    "object_motion_pattern": course_once,
    "object_stop_time": stop_time,
    "object_trajectory": trajectory,
    "object_true_motion": true_motion,
    "object_camera_closest_time": closest_to_camera,
}


def single_answers(scene: Scene, track: ObjectTrack, a: int, b: int) -> dict[str, Answer]:
    """By kind, the answers that have a meaning between measuring frames a and b."""
    found = {kind: answer(scene, track, a, b) for kind, answer in SINGLE.items()}
    return {kind: answer for kind, answer in found.items() if answer is not None}
