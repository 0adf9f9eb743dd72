"""How the uncertainty of poses and tracks reaches a relation. First-order propagation, conservative where it must choose.

Errors of two poses of one path are correlated, as they grow along the path; the variance of a difference is then below the sum
of both, so the sum is what is used. Range errors that all frames share (baseline, disparity offset) scale and are added apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from curation.geometry import skew
from schemas.camera import Array, CameraPath, RelativeCameraPath
from schemas.config import RelationsConfig


@dataclass(frozen=True)
class Estimate:
    """A measured number and its one-sigma uncertainty, same unit."""

    value: float
    sigma: float


def metric(path: CameraPath | RelativeCameraPath) -> CameraPath:
    """The path, if it is in metres.

    Raises:
        TypeError: the path is known up to scale only, so nothing in metres may be computed from it.
    """
    if not isinstance(path, CameraPath):
        raise TypeError(
            f"expected a metric CameraPath, got {type(path).__name__}: without scale only camera_direction can be asked"
        )
    return path


_SCALING = {"baseline_m", "hfov_deg"}  # an assumed frame rate or principal point does not scale lengths


def scale_sigma_rel(path: CameraPath, config: RelationsConfig, assumed: tuple[str, ...]) -> float:
    """Relative error of all lengths of the clip: calibration as given, or assumed, and what the path itself claims."""
    floor = config.assumed_sigma_rel if _SCALING & set(assumed) else config.calibration_sigma_rel
    return math.hypot(floor, float(path.stats.get("scale_sigma_rel", 0.0)))


def center_variance(path: CameraPath, k: int, u: Float[Array, "3"]) -> float:
    """Variance of C_k along the unit vector ``u``, square metres."""
    return float(u @ path.covariance[k, :3, :3] @ u)


def carried_variance(path: CameraPath, k: int, point: Float[Array, "3"], u: Float[Array, "3"]) -> float:
    """Variance along ``u`` of a world point that was measured from camera ``k``, due to that pose alone, square metres."""
    lever = point - path.world_from_camera[k, :3, 3]
    # dP = dC + dtheta x lever = dC - [lever]x dtheta
    jacobian = np.concatenate([u, -u @ skew(lever)])
    return float(jacobian @ path.covariance[k] @ jacobian)


def axes_variance(path: CameraPath, k: int, vector: Float[Array, "3"], u: Float[Array, "3"], axis_sigma_rad: float) -> float:
    """Variance along ``u`` of a world vector read in the axes of camera ``k``, whose rotation is uncertain."""
    lever = np.cross(vector, u)
    return float(lever @ path.covariance[k, 3:, 3:] @ lever) + axis_sigma_rad**2 * float(lever @ lever)


def shared_range_error(seen_i: Float[Array, "3"], seen_j: Float[Array, "3"], u: Float[Array, "3"], relative: float) -> float:
    """What a range error that all frames share does to the difference of two sightings, along ``u``, metres.

    ``seen_k`` runs from camera k to the object. A wrong baseline scales both; a wrong disparity offset errs with the square of
    the range. ``relative`` is given at the mean range; the larger of the two effects is returned.
    """
    range_i, range_j = float(np.linalg.norm(seen_i)), float(np.linalg.norm(seen_j))
    mean = max((range_i + range_j) / 2, 1e-9)
    linear = abs(float(u @ (seen_j - seen_i)))
    squared = abs(float(u @ (range_j * seen_j - range_i * seen_i))) / mean
    return relative * max(linear, squared)
