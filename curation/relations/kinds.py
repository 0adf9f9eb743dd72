"""What is asked: MLLM-4D's seven relations and the further kinds, with their labels and units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Kind:
    """One relation between two frames, or over the time between them.

    Attributes:
        subject: whose relation it is; an object's facts need that object to be visible. A "pair" has two objects, in the order
            in which the question names them (``object_id``, ``other_object_id``); "several" has all of ``details["objects"]``.
        labels: the words a categorical kind answers with; empty where the answer is a number.
        unit: of the fact's value.
        needs_camera: a chain of thought about it states the camera's centres.
        needs_object: ... and the object's.
        meaning: the definition in words and symbols; C, R are centre and rotation of world_from_camera, P an object's points.
        sequence: the answer is one label after another, joined by ``STEP`` ("right > away > away").
    """

    subject: Literal["camera", "object", "pair", "several"]
    labels: tuple[str, ...]
    unit: str
    needs_camera: bool
    needs_object: bool
    meaning: str
    sequence: bool = False

    @property
    def numeric(self) -> bool:
        """Whether the answer is a number."""
        return not self.labels


STEP = " > "
THIRDS = ("first third", "middle third", "last third")

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

PAPER_KINDS = tuple(KINDS)

# The kinds beyond the paper's. Frames are always (frame_i, frame_j), i < j.
FURTHER: dict[str, Kind] = {
    "camera_rotation": Kind(
        "camera",
        ("left", "right", "up", "down", "clockwise", "counterclockwise", "not turning"),
        "deg",
        True,
        False,
        "largest component of the rotation vector of R_i^T R_j: about +Y right, about +X up, about +Z clockwise",
    ),
    "camera_rotation_angle": Kind("camera", (), "deg", True, False, "angle of R_i^T R_j"),
    "camera_move": Kind(
        "camera",
        (
            "static",
            "pan left",
            "pan right",
            "tilt up",
            "tilt down",
            "dolly in",
            "dolly out",
            "truck left",
            "truck right",
            "pedestal up",
            "pedestal down",
            "arc left",
            "arc right",
        ),
        "",
        True,
        False,
        "cinematographer's word for the whole motion between i and j: turning alone (pan, tilt), moving alone along an axis of "
        "camera i (dolly, truck, pedestal), or moving sideways while turning the other way (arc), going one way throughout",
    ),
    "object_direction": Kind(
        "object",
        ("right", "left", "up", "down", "away", "towards", "not moving"),
        "m",
        True,
        True,
        "dominant axis of R_i^T (centroid(P_j) - centroid(P_i))",
    ),
    "object_speed": Kind("object", (), "m/s", False, True, "|centroid(P_j) - centroid(P_i)| / (t_j - t_i), for straight ways"),
    "object_speed_change": Kind(
        "object",
        ("faster", "slower", "as fast"),
        "m/s",
        False,
        True,
        "average speed in the second half of the time from i to j less that in the first half",
    ),
    "object_motion_pattern": Kind(
        "object",
        ("keeps moving", "starts moving", "comes to a stop", "stops and goes on", "turns back", "stays still"),
        "",
        False,
        True,
        "which of six courses the centroid's way from i to j takes",
    ),
    "object_stop_time": Kind(
        "object", (*THIRDS, "never"), "s", False, True, "when, between i and j, it comes to a stop, if it does"
    ),
    "object_trajectory": Kind(
        "object",
        ("right", "left", "up", "down", "away", "towards"),
        "",
        True,
        True,
        "object_direction of three equal parts of the time from i to j, all in the axes of camera i",
        sequence=True,
    ),
    "object_true_motion": Kind(
        "object",
        ("only the object", "only the camera", "both"),
        "m",
        True,
        True,
        "what moves in the scene between i and j, of an object that shifts in the picture",
    ),
    "object_camera_closest_time": Kind(
        "object", THIRDS, "s", True, True, "when, between i and j, d_k = |centroid(P_k) - C_k| is least"
    ),
    "object_object_distance_change": Kind(
        "pair",
        ("closer", "farther", "not changing"),
        "m",
        False,
        True,
        "D_j - D_i with D_k = |centroid(B_k) - centroid(A_k)|, world frame",
    ),
    "object_object_direction": Kind(
        "pair",
        ("right", "left", "above", "below", "behind", "in front"),
        "m",
        True,
        True,
        "dominant axis of R_i^T (centroid(B_j) - centroid(A_j)): where B is, seen from A, for a viewer at camera i",
    ),
    "object_object_side": Kind(
        "pair",
        ("ahead", "behind", "left", "right"),
        "m",
        False,
        True,
        "where B is at j for someone who stands at A and looks the way A went from i to j (world frame, level)",
    ),
    "object_object_heading": Kind(
        "pair",
        ("same way", "opposite ways", "crosswise"),
        "deg",
        False,
        True,
        "angle between the displacements of A and B from i to j, world frame",
    ),
    "object_speed_comparison": Kind(
        "pair", ("first", "second"), "m/s", False, True, "which of A and B has the larger |displacement| / (t_j - t_i)"
    ),
    "object_first_mover": Kind(
        "pair", ("first", "second"), "s", False, True, "which of A and B leaves its place first, between i and j"
    ),
    "object_passing": Kind(
        "pair",
        ("first", "second", "each other", "neither"),
        "m",
        False,
        True,
        "sign of (A_k - B_k) along the way they go, at i and at j: who was behind and is now ahead",
    ),
    "object_object_closest_time": Kind("pair", THIRDS, "s", False, True, "when, between i and j, D_k is least"),
    "moving_count": Kind(
        "several", ("0", "1", "2", "3", "4"), "", False, False, "how many of the objects that are named move between i and j"
    ),
}

KINDS |= FURTHER
