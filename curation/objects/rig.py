"""The rectified stereo camera: between points in camera axes and (u, v, disparity)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from schemas.camera import Array, Intrinsics


@dataclass(frozen=True)
class Rig:
    """The stereo camera: ``fx fy cx cy`` pixels and ``fb`` = fx * baseline (pixel metres)."""

    fx: float
    fy: float
    cx: float
    cy: float
    fb: float

    @staticmethod
    def of(camera: Intrinsics, baseline_m: float) -> Rig:
        """The rig of a rectified pair."""
        return Rig(camera.fx, camera.fy, camera.cx, camera.cy, camera.fx * baseline_m)

    def project(self, points: Float[Array, "*n 3"]) -> Float[Array, "*n 3"]:
        """(u, v, disparity) of points in camera axes, metres."""
        z = np.maximum(points[..., 2], 1e-3)
        out = np.empty(points.shape)  # filled by column: this is the innermost loop of every fit
        out[..., 0] = self.fx * points[..., 0] / z + self.cx
        out[..., 1] = self.fy * points[..., 1] / z + self.cy
        out[..., 2] = self.fb / z
        return out

    def unproject(self, uvd: Float[Array, "*n 3"]) -> Float[Array, "*n 3"]:
        """Points in camera axes, metres, of (u, v, disparity)."""
        z = self.fb / uvd[..., 2]
        return np.stack([(uvd[..., 0] - self.cx) / self.fx * z, (uvd[..., 1] - self.cy) / self.fy * z, z], -1)

    def jacobian(self, points: Float[Array, "*n 3"]) -> Float[Array, "*n 3 3"]:
        """d(u, v, disparity) / d(point in camera axes)."""
        z = np.maximum(points[..., 2], 1e-3)
        out = np.zeros((*points.shape, 3))
        out[..., 0, 0] = self.fx / z
        out[..., 0, 2] = -self.fx * points[..., 0] / z**2
        out[..., 1, 1] = self.fy / z
        out[..., 1, 2] = -self.fy * points[..., 1] / z**2
        out[..., 2, 2] = -self.fb / z**2
        return out
