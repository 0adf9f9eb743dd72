"""Facts about the camera: how far it moved between two frames, and in which direction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from curation.relations.closed_form import DIRECTIONS, camera_displacement, dominant_axis, in_camera_axes
from curation.relations.doubt import Estimate, axes_variance, center_variance, metric
from schemas.camera import Array, CameraPath, RelativeCameraPath
from schemas.config import RelationsConfig

Answer = tuple[float | None, str, float | None, float, dict[str, Any]]
"""value, label, sigma, margin, details"""


def camera_distance(path: CameraPath, i: int, j: int, *, scale_rel: float) -> Estimate:
    """|C_j - C_i| in metres; ``i j`` are measuring frames. Raises TypeError for a path without scale."""
    path = metric(path)
    difference = camera_displacement(path.world_from_camera[i], path.world_from_camera[j])
    length = float(np.linalg.norm(difference))
    if length > 0:
        variance = sum(center_variance(path, k, difference / length) for k in (i, j))
    else:
        variance = float(sum(np.linalg.eigvalsh(path.covariance[k, :3, :3])[-1] for k in (i, j)))
    return Estimate(length, math.sqrt(max(variance, 0.0) + (scale_rel * length) ** 2))


def distance_answer(path: CameraPath, i: int, j: int, config: RelationsConfig, *, scale_rel: float) -> Answer:
    """The fact's numbers. The margin counts from the least motion that is asked about; a static camera has none."""
    estimate = camera_distance(path, i, j, scale_rel=scale_rel)
    margin = _sigmas(estimate.value - config.min_camera_motion_m, estimate.sigma)
    return estimate.value, "", estimate.sigma, margin, {}


def direction_answer(path: CameraPath | RelativeCameraPath, i: int, j: int, config: RelationsConfig) -> Answer:
    """The dominant axis of the motion in the axes of camera i.

    The value is the motion along that axis (None without scale). The margin is the distance, in sigma, to the edge of the band
    around the nearest diagonal within which neither direction is dominant, or to the least motion, whichever is nearer.
    """
    world = camera_displacement(path.world_from_camera[i], path.world_from_camera[j])
    vector = in_camera_axes(path.world_from_camera[i], world)
    length = float(np.linalg.norm(vector))
    axis, sign = dominant_axis(vector)
    label = DIRECTIONS[axis, sign]
    if length == 0.0:
        return (0.0 if isinstance(path, CameraPath) else None), "", None, _sigmas(-1.0, 0.0), {}
    band = math.sin(math.radians(config.direction_band_deg))
    magnitudes = np.abs(vector)
    # signed distances to the planes |v_axis| = |v_other|, less the band
    room = {o: (magnitudes[axis] - magnitudes[o]) / math.sqrt(2) - band * length for o in range(3) if o != axis}
    details: dict[str, Any] = {"toward_camera_i": vector.round(6).tolist()}
    if isinstance(path, RelativeCameraPath):
        sigma_deg = _relative_direction_sigma_deg(path, i, j, length)
        if not math.isfinite(sigma_deg) or sigma_deg > config.max_direction_sigma_deg:
            return None, label, None, _sigmas(-1.0, 0.0), {"direction_sigma_deg": None}
        details["direction_sigma_deg"] = round(sigma_deg, 6)
        sideways = math.tan(math.radians(math.hypot(sigma_deg, config.axis_sigma_deg))) * length
        return None, label, None, min(_sigmas(r, sideways) for r in room.values()), details
    axis_sigma = math.radians(config.axis_sigma_deg)
    rotation = path.world_from_camera[i, :3, :3]

    def sigma_along(u_camera: Array) -> float:
        u = rotation @ u_camera
        variance = center_variance(path, i, u) + center_variance(path, j, u) + axes_variance(path, i, world, u, axis_sigma)
        return math.sqrt(max(variance, 0.0))

    margins = []
    for other, distance in room.items():
        normal = np.zeros(3)
        normal[axis], normal[other] = sign, -math.copysign(1.0, vector[other])
        margins.append(_sigmas(distance, sigma_along(normal / math.sqrt(2))))
    margins.append(_sigmas(length - config.min_camera_motion_m, sigma_along(vector / length)))
    return float(vector[axis]), label, sigma_along(np.eye(3)[axis]), min(margins), details


def _relative_direction_sigma_deg(path: RelativeCameraPath, i: int, j: int, length: float) -> float:
    """Bound on the angle error of C_j - C_i, from the angle errors of both translations from frame 0."""
    arms = [
        float(np.linalg.norm(path.world_from_camera[k, :3, 3])) * math.radians(float(path.direction_sigma_deg[k]))
        for k in (i, j)
        if np.any(path.world_from_camera[k, :3, 3])
    ]
    return math.degrees(sum(arms) / length)


def _sigmas(distance: float, sigma: float) -> float:
    """``distance`` in units of ``sigma``; a sigma of exactly zero cannot make an unsafe distance safe."""
    return float(distance / max(sigma, 1e-6))
