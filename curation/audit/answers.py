"""The true answers, from the truth alone.

Written apart from ``curation.relations`` on purpose: an error there must not hide itself here. Definitions: MLLM-4D's, with
world_from_camera poses; see ``meaning`` of ``curation.relations.kinds.KINDS``.

What the true centroid is: the mean of the body's whole surface. Only its *displacement* is compared, since a measurement
fits other points of the body. For a body that turns while it moves, displacements of different points differ; that
difference counts as error of the measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from curation.worlds.truth import Truth
from schemas.camera import Array

OBJECT_KINDS = (
    "object_distance",
    "object_camera_distance",
    "object_camera_distance_change",
    "object_camera_lateral",
    "object_camera_longitudinal",
)
NUMERIC_KINDS = ("camera_distance", "object_distance", "object_camera_distance")
_AXES = {"right": (0, 1), "left": (0, -1), "down": (1, 1), "up": (1, -1), "forward": (2, 1), "backward": (2, -1)}


@dataclass(frozen=True)
class TrueAnswer:
    """What is true about a kind between two source frames.

    Attributes:
        value: metres; for camera_direction the motion along ``axis``.
        vector: the camera's displacement in the axes of camera i (camera_direction only), metres.
    """

    value: float
    vector: tuple[float, float, float] | None = None


def nearest_m(truth: Truth, body: int, at: int, camera_at: int) -> float:
    """Least distance of the body's surface at frame ``at`` to the camera's centre at frame ``camera_at``, metres."""
    center = truth.world_from_camera[camera_at, :3, 3]
    return float(np.linalg.norm(truth.points_m[body][at] - center, axis=1).min())


def true_answer(kind: str, truth: Truth, body: int | None, i: int, j: int) -> TrueAnswer:
    """The true value of a kind between source frames ``i`` and ``j``.

    Raises:
        ValueError: an unknown kind, or an object's kind without a body.
    """
    pose_i, pose_j = truth.world_from_camera[i], truth.world_from_camera[j]
    step = pose_j[:3, 3] - pose_i[:3, 3]
    if kind == "camera_distance":
        return TrueAnswer(float(np.linalg.norm(step)))
    if kind == "camera_direction":
        local = pose_i[:3, :3].T @ step
        return TrueAnswer(float(local[np.abs(local).argmax()]), tuple(float(x) for x in local))  # type: ignore[arg-type]
    if kind not in OBJECT_KINDS:
        raise ValueError(f"expected a kind out of camera_distance, camera_direction, {', '.join(OBJECT_KINDS)}, got {kind!r}")
    if body is None:
        raise ValueError(f"{kind} needs a body")
    moved = truth.centroid_m[j, body] - truth.centroid_m[i, body]
    if kind == "object_distance":
        return TrueAnswer(float(np.linalg.norm(moved)))
    if kind == "object_camera_distance":
        return TrueAnswer(nearest_m(truth, body, j, i))
    if kind == "object_camera_distance_change":
        return TrueAnswer(nearest_m(truth, body, j, j) - nearest_m(truth, body, i, i))
    local = pose_i[:3, :3].T @ moved
    return TrueAnswer(float(local[0 if kind == "object_camera_lateral" else 2]))


def true_label(kind: str, answer: TrueAnswer, offered: Sequence[str], still_m: float) -> str:
    """The right one of the offered labels, or "" where none of them is true.

    ``still_m`` is the change of distance at which "not moving" ends.
    """
    if kind == "camera_direction":
        vector = np.asarray(answer.vector)
        axis = int(np.abs(vector).argmax())
        words = [w for w in offered if _AXES.get(w) == (axis, 1 if vector[axis] >= 0 else -1)]
        return words[0] if words else ""
    if kind == "object_camera_lateral":
        return "right" if answer.value >= 0 else "left"
    if kind == "object_camera_longitudinal":
        return "farther" if answer.value >= 0 else "closer"
    if kind == "object_camera_distance_change":
        if "not moving" in offered and abs(answer.value) < still_m:
            return "not moving"
        return "farther" if answer.value > 0 else "closer"
    raise ValueError(f"{kind} is answered with a number, not a label")


def along_axis(answer: TrueAnswer, label: str) -> float:
    """The true motion of the camera along the axis that ``label`` names, signed as the axis is: what a fact's value states."""
    axis, _ = _AXES[label]
    assert answer.vector is not None
    return answer.vector[axis]


def rebased(truth: Truth, first: int) -> Float[Array, "4 4"]:
    """``clip_from_world``: the published world is the left camera of the clip's first frame, source frame ``first``."""
    return np.asarray(np.linalg.inv(truth.world_from_camera[first]))
