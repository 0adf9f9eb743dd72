"""Which way, and how far, the camera turned from frame i to frame j.

w = log(R_i^T R_j), a rotation vector in the axes of camera i (OpenCV: +X right, +Y down, +Z forward), degrees. About +Y the
view turns right, about +X up, about +Z the camera rolls clockwise as seen from behind it. The label is the largest component
(Euler's theorem: one turn about one axis); below ``still_turn_deg``, at every question frame between, it is "not turning", and up
to ``turning_deg`` nothing is asked.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from curation.geometry import vector_from_rotation
from curation.relations.camera import Answer
from curation.relations.more.axes import dominant
from curation.relations.more.scene import Scene, sigmas
from schemas.camera import Array

SENSES = {(1, 1): "right", (1, -1): "left", (0, 1): "up", (0, -1): "down", (2, 1): "clockwise", (2, -1): "counterclockwise"}


def turn_deg(scene: Scene, a: int, b: int) -> Float[Array, "3"]:
    """Rotation vector of R_a^T R_b, degrees, in the axes of camera a."""
    poses = scene.path.world_from_camera
    return np.asarray(np.degrees(vector_from_rotation(poses[a, :3, :3].T @ poses[b, :3, :3])))


def turn_sigma_deg(scene: Scene, a: int, b: int, u: Float[Array, "3"], angle_deg: float) -> float:
    """Doubt of the turn about the unit vector ``u`` (axes of camera a): both poses, and the focal length, which scales angles."""
    axis = scene.path.world_from_camera[a, :3, :3] @ u
    variance = sum(float(axis @ scene.path.covariance[k, 3:, 3:] @ axis) for k in (a, b))
    return math.hypot(math.degrees(math.sqrt(max(variance, 0.0))), scene.config.calibration_sigma_rel * angle_deg)


def rotation(scene: Scene, a: int, b: int) -> Answer:
    """Sense of the net turn; the value is its angle, degrees."""
    config, turn = scene.config, turn_deg(scene, a, b)
    angle = float(np.linalg.norm(turn))
    along = turn / angle if angle > 0 else np.array([0.0, 1.0, 0.0])
    sigma = max(turn_sigma_deg(scene, a, b, u, angle) for u in (along, *np.eye(3)))
    details = {"turn_deg": [round(float(x), 6) for x in turn]}
    widest = max(float(np.linalg.norm(turn_deg(scene, a, k))) for k in scene.between(a, b))  # there and back is a turn
    still, turning = sigmas(config.still_turn_deg - widest, sigma), sigmas(angle - config.turning_deg, sigma)
    if still >= turning:
        return angle, "not turning", sigma, still, details
    axis, sign, margin = dominant(turn, config.direction_band_deg, lambda u: turn_sigma_deg(scene, a, b, u, angle))
    return angle, SENSES[axis, sign], sigma, min(margin, turning), details


def rotation_angle(scene: Scene, a: int, b: int) -> Answer:
    """Angle of the net turn, degrees."""
    turn = turn_deg(scene, a, b)
    angle = float(np.linalg.norm(turn))
    along = turn / angle if angle > 0 else np.array([0.0, 1.0, 0.0])
    sigma = turn_sigma_deg(scene, a, b, along, angle)
    return angle, "", sigma, sigmas(angle - scene.config.turning_deg, sigma), {"turn_deg": [round(float(x), 6) for x in turn]}
