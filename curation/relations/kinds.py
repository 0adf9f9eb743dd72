"""The seven relations, their labels and units (MLLM-4D, section on spatial-temporal relations)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Kind:
    """One relation between two frames.

    Attributes:
        subject: whose relation it is; an object's facts need that object to be visible.
        labels: the words a categorical kind answers with; empty where the answer is a number.
        unit: of the fact's value.
        needs_camera: a chain of thought about it states the camera's centres.
        needs_object: ... and the object's.
        meaning: the definition in words and symbols; C, R are centre and rotation of world_from_camera, P an object's points.
    """

    subject: Literal["camera", "object"]
    labels: tuple[str, ...]
    unit: str
    needs_camera: bool
    needs_object: bool
    meaning: str

    @property
    def numeric(self) -> bool:
        """Whether the answer is a number."""
        return not self.labels


KINDS: dict[str, Kind] = {
    "camera_distance": Kind("camera", (), "m", True, False, "|C_j - C_i|"),
    "camera_direction": Kind(
        "camera",
        ("right", "left", "down", "up", "forward", "backward"),
        "m",
        True,
        False,
        "dominant axis of R_i^T (C_j - C_i): +X right, +Y down, +Z forward of the camera at frame i",
    ),
    "object_distance": Kind("object", (), "m", False, True, "|centroid(P_j) - centroid(P_i)|, world frame"),
    "object_camera_distance": Kind(
        "object", (), "m", True, True, "min |P_j - C_i|: the camera at i, the object's nearest point at j"
    ),
    "object_camera_distance_change": Kind(
        "object", ("closer", "farther", "not moving"), "m", True, True, "d_j - d_i with d_k = min |P_k - C_k|"
    ),
    "object_camera_lateral": Kind(
        "object", ("left", "right"), "m", True, True, "change of the centroid's x, both times in the frame of the camera at i"
    ),
    "object_camera_longitudinal": Kind(
        "object", ("closer", "farther"), "m", True, True, "change of the centroid's z, both times in the frame of the camera at i"
    ),
}
