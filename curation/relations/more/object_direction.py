"""Which way an object went from frame i to frame j, as the camera at i sees it; and step by step.

The dominant axis of R_i^T (centroid(P_j) - centroid(P_i)): right / left, down / up, away / towards. "not moving" where it
stayed within ``place_m`` of its place at every question frame between, and was found standing at every measuring frame. The
trajectory is the same for three equal parts of the time, all in the axes of camera i; it is asked only where every part is
safe.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from curation.relations.camera import Answer
from curation.relations.closed_form import in_camera_axes
from curation.relations.doubt import axes_variance
from curation.relations.kinds import STEP
from curation.relations.more.axes import dominant
from curation.relations.more.scene import NEVER, Scene, moves, seen, stays, toward, went
from curation.relations.objects import depth_is_distance
from schemas.camera import Array
from schemas.track import ObjectTrack

WAYS = {(0, 1): "right", (0, -1): "left", (1, 1): "down", (1, -1): "up", (2, 1): "away", (2, -1): "towards"}


def direction(scene: Scene, track: ObjectTrack, a: int, b: int, view: int | None = None) -> Answer:
    """The main direction in the axes of camera ``view`` (a by default). The value is the motion along it, metres."""
    view = a if view is None else view
    still = stays(scene, track, a, b)
    world_from_camera = scene.path.world_from_camera[view]
    vector = in_camera_axes(world_from_camera, track.centroid_m[b] - track.centroid_m[a])
    details = {"object_shift": [round(float(x), 6) for x in vector]}
    if still > 0:
        distance = went(scene, track, a, b)
        return distance.value, "not moving", distance.sigma, still, details

    def sigma_along(u: Float[Array, "3"]) -> float:
        u_world = world_from_camera[:3, :3] @ u
        turned = axes_variance(
            scene.path, view, world_from_camera[:3, :3] @ vector, u_world, math.radians(scene.config.axis_sigma_deg)
        )
        return math.hypot(toward(scene, track, a, b, u_world).sigma, math.sqrt(max(turned, 0.0)))

    axis, sign, margin = dominant(vector, scene.config.direction_band_deg, sigma_along)
    if axis == 2 and not depth_is_distance(scene.path, track, a, b):
        margin = NEVER  # "towards the camera" would be said of what gets farther from it
    return float(vector[axis]), WAYS[axis, sign], sigma_along(np.eye(3)[axis]), min(margin, moves(scene, track, a, b)), details


def trajectory(scene: Scene, track: ObjectTrack, a: int, b: int) -> Answer | None:
    """The sequence of main directions in three equal parts of the time; it has no value."""
    ends = scene.parts(a, b, 3)
    if ends is None or not seen(track, ends):
        return None
    steps = [direction(scene, track, start, end, view=a) for start, end in zip(ends[:-1], ends[1:], strict=True)]
    if any(label == "not moving" for _, label, *_ in steps):
        return None
    shifts = [details["object_shift"] for *_, details in steps]
    times = [round(float(scene.times_s[k]), 6) for k in ends]
    return (
        None,
        STEP.join(step[1] for step in steps),
        None,
        min(step[3] for step in steps),
        {"steps": shifts, "step_times_s": times},
    )
