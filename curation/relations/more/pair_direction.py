"""Where the second of two objects is, seen from the first: for a viewer at the camera, and for one who travels with the first.

* For the viewer at camera i: the dominant axis of R_i^T (centroid(B_j) - centroid(A_j)): right / left, below / above, and in
  depth behind (farther from the viewer) / in front.
* For one who stands at A_j and looks the way A went from i to j, with the first camera's Y axis for down: ahead / behind,
  right / left. A must have gone ``move_m`` or more, and straight.
The unseen middles of both objects count in full against the answer.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from curation.relations.camera import Answer
from curation.relations.closed_form import in_camera_axes
from curation.relations.doubt import axes_variance
from curation.relations.more.axes import dominant
from curation.relations.more.scene import NEVER, Scene, apart_along, moves, reach_m, sigmas, straight, toward, went
from schemas.camera import Array
from schemas.track import ObjectTrack

PLACES = {(0, 1): "right", (0, -1): "left", (1, 1): "below", (1, -1): "above", (2, 1): "behind", (2, -1): "in front"}
SIDES = {(2, 1): "ahead", (2, -1): "behind", (0, 1): "right", (0, -1): "left"}
DOWN = np.array([0.0, 1.0, 0.0])  # of the clip's first camera, which people hold upright


def pair_direction(scene: Scene, track: ObjectTrack, other: ObjectTrack, a: int, b: int) -> Answer | None:
    """Where ``other`` is at b, seen from ``track`` in the view of camera a; the value is the distance along that axis, metres."""
    world_from_camera = scene.path.world_from_camera[a]
    gap = other.centroid_m[b] - track.centroid_m[b]
    vector = in_camera_axes(world_from_camera, gap)
    slack = reach_m(track, b) + reach_m(other, b)
    if not math.isfinite(slack):
        return None

    def sigma_along(u: Float[Array, "3"]) -> float:
        u_world = world_from_camera[:3, :3] @ u
        turned = axes_variance(scene.path, a, gap, u_world, math.radians(scene.config.axis_sigma_deg))
        return math.hypot(apart_along(scene, track, other, b, u_world).sigma, math.sqrt(max(turned, 0.0)))

    axis, sign, margin = dominant(vector, scene.config.direction_band_deg, sigma_along, slack)
    details = {"other_from_object": [round(float(x), 6) for x in vector]}
    return float(vector[axis]), PLACES[axis, sign], sigma_along(np.eye(3)[axis]), margin, details


def pair_side(scene: Scene, track: ObjectTrack, other: ObjectTrack, a: int, b: int) -> Answer | None:
    """Where ``other`` is at b for one at ``track`` who looks the way it went; the value is the distance along that axis."""
    way = track.centroid_m[b] - track.centroid_m[a]
    distance = went(scene, track, a, b)
    if distance.value < scene.config.move_m or moves(scene, track, a, b) <= NEVER or not straight(scene, track, a, b):
        return None
    ahead = way / distance.value
    right = np.cross(DOWN, ahead)
    if float(np.linalg.norm(right)) < 0.7:  # it rises or falls
        return None
    right /= np.linalg.norm(right)
    axes = np.stack([right, np.cross(ahead, right), ahead])
    gap = other.centroid_m[b] - track.centroid_m[b]
    vector = axes @ gap
    slack = reach_m(track, b) + reach_m(other, b)
    if not math.isfinite(slack):
        return None
    heading_sigma = toward(scene, track, a, b, right).sigma / distance.value  # rad

    def sigma_along(u: Float[Array, "3"]) -> float:
        return math.hypot(apart_along(scene, track, other, b, axes.T @ u).sigma, heading_sigma * float(np.linalg.norm(gap)))

    axis, sign, margin = dominant(vector, scene.config.direction_band_deg, sigma_along, slack)
    if (axis, sign) not in SIDES:
        return None
    far_enough = sigmas(distance.value - scene.config.move_m, distance.sigma)
    return float(vector[axis]), SIDES[axis, sign], sigma_along(np.eye(3)[axis]), min(margin, far_enough), {}
