"""Rigid transforms and the one place where OpenCV's pixel convention meets ours.

Names read ``target_from_source``; composition reads left to right: ``a_from_c = a_from_b @ b_from_c``.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from schemas.camera import Array

_HALF_PIXEL = 0.5


def from_opencv(pixels: Float[Array, "*n 2"]) -> Float[Array, "*n 2"]:
    """OpenCV's pixels (top-left pixel centred on (0, 0)) -> ours, COLMAP's (centred on (0.5, 0.5))."""
    return pixels + _HALF_PIXEL


def to_opencv(pixels: Float[Array, "*n 2"]) -> Float[Array, "*n 2"]:
    """The inverse of ``from_opencv``."""
    return pixels - _HALF_PIXEL


def opencv_camera_matrix(fx: float, fy: float, cx: float, cy: float) -> Float[Array, "3 3"]:
    """The 3x3 matrix that OpenCV functions expect for a camera whose ``cx cy`` are in our convention."""
    return np.array([[fx, 0, cx - _HALF_PIXEL], [0, fy, cy - _HALF_PIXEL], [0, 0, 1]], float)


def transform(target_from_source: Float[Array, "*b 4 4"], points: Float[Array, "*n 3"]) -> Float[Array, "*n 3"]:
    """Points of the source frame, expressed in the target frame. Batch dimensions broadcast over the points'."""
    rotation, translation = target_from_source[..., :3, :3], target_from_source[..., :3, 3]
    return np.einsum("...ij,...j->...i", rotation, points) + translation


def inverse(target_from_source: Float[Array, "*b 4 4"]) -> Float[Array, "*b 4 4"]:
    """``source_from_target``, using that the rotation is orthonormal."""
    rotation_t = np.swapaxes(target_from_source[..., :3, :3], -1, -2)
    out = np.zeros_like(target_from_source)
    out[..., :3, :3] = rotation_t
    out[..., :3, 3] = -np.einsum("...ij,...j->...i", rotation_t, target_from_source[..., :3, 3])
    out[..., 3, 3] = 1.0
    return out


def pose(rotation: Float[Array, "3 3"], translation: Float[Array, "3"]) -> Float[Array, "4 4"]:
    """A 4x4 ``target_from_source`` of a 3x3 rotation and a translation."""
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = rotation, translation
    return out


def skew(v: Float[Array, "*b 3"]) -> Float[Array, "*b 3 3"]:
    """The matrix with ``skew(v) @ x == cross(v, x)``."""
    x, y, z = v[..., 0], v[..., 1], v[..., 2]
    o = np.zeros_like(x)
    return np.stack([np.stack([o, -z, y], -1), np.stack([z, o, -x], -1), np.stack([-y, x, o], -1)], -2)


def rotation_from_vector(vector: Float[Array, "*b 3"]) -> Float[Array, "*b 3 3"]:
    """Rodrigues' formula: rotation vector (radians) to matrix."""
    vector = np.asarray(vector, float)
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    k = skew(vector)
    small = angle < 1e-8
    safe = np.where(small, 1.0, angle)
    a = np.where(small, 1.0 - angle**2 / 6, np.sin(safe) / safe)
    b = np.where(small, 0.5, (1 - np.cos(safe)) / safe**2)
    return np.eye(3) + a * k + b * (k @ k)


def vector_from_rotation(rotation: Float[Array, "*b 3 3"]) -> Float[Array, "*b 3"]:
    """Rotation vector (radians, angle in [0, pi]) of a rotation matrix."""
    from scipy.spatial.transform import Rotation

    flat = np.asarray(rotation, float).reshape(-1, 3, 3)
    return Rotation.from_matrix(flat).as_rotvec().reshape(*rotation.shape[:-2], 3)
