"""The relations as bare geometry: no doubt, no labels, no frames to choose.

Poses are ``world_from_camera``, metres, OpenCV axes. With w2c poses by mistake every formula here is wrong: a camera that
turns in place would move by its distance from the origin.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from schemas.camera import Array


def camera_displacement(world_from_i: Float[Array, "4 4"], world_from_j: Float[Array, "4 4"]) -> Float[Array, "3"]:
    """C_j - C_i in world axes, metres."""
    return np.asarray(world_from_j[:3, 3] - world_from_i[:3, 3])


def in_camera_axes(world_from_camera: Float[Array, "4 4"], vector: Float[Array, "3"]) -> Float[Array, "3"]:
    """A world-frame difference of positions, in the camera's axes (+X right, +Y down, +Z forward)."""
    return np.asarray(world_from_camera[:3, :3].T @ vector)


def nearest_point(points: Float[Array, "m 3"], center: Float[Array, "3"]) -> Float[Array, "3"] | None:
    """The finite one of ``points`` nearest to ``center``; None where all are NaN."""
    squared = np.sum((points - center) ** 2, axis=1)
    if not np.isfinite(squared).any():
        return None
    return np.asarray(points[int(np.nanargmin(squared))], dtype=float)


def dominant_axis(vector: Float[Array, "3"]) -> tuple[int, int]:
    """Index of the component of largest magnitude, and its sign (+1 or -1)."""
    axis = int(np.argmax(np.abs(vector)))
    return axis, (1 if vector[axis] >= 0 else -1)


DIRECTIONS: dict[tuple[int, int], str] = {
    (0, 1): "right",
    (0, -1): "left",
    (1, 1): "down",
    (1, -1): "up",
    (2, 1): "forward",
    (2, -1): "backward",
}
