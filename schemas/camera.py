"""Cameras and camera paths. Poses are world_from_camera, OpenCV axes (+X right, +Y down, +Z forward), metres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera without distortion. The centre of the top-left pixel is (0.5, 0.5), COLMAP's convention.

    ``fx fy cx cy`` are in pixels; ``width height`` are the image size they belong to.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def __post_init__(self) -> None:
        numbers = (self.fx, self.fy, self.cx, self.cy)
        if not all(np.isfinite(numbers)) or self.fx <= 0 or self.fy <= 0 or self.width < 1 or self.height < 1:
            raise ValueError(f"expected finite intrinsics with positive focal lengths and size, got {self}")

    def project(self, points: Float[Array, "*n 3"]) -> Float[Array, "*n 2"]:
        """Pixels (u, v) of points in camera axes, metres. Points at or behind the camera give NaN."""
        z = np.where(points[..., 2] > 1e-9, points[..., 2], np.nan)
        return np.stack([self.fx * points[..., 0] / z + self.cx, self.fy * points[..., 1] / z + self.cy], -1)

    def unproject(self, pixels: Float[Array, "*n 2"], depth_m: Float[Array, "*n"]) -> Float[Array, "*n 3"]:
        """Points in camera axes, metres, seen at ``pixels`` (u, v) with ``depth_m`` along +Z."""
        x = (pixels[..., 0] - self.cx) / self.fx * depth_m
        y = (pixels[..., 1] - self.cy) / self.fy * depth_m
        return np.stack([x, y, np.broadcast_to(depth_m, x.shape)], -1)

    def scaled(self, factor: float, width: int, height: int) -> Intrinsics:
        """The same camera after its image was resized by ``factor`` to ``width`` x ``height``."""
        return Intrinsics(self.fx * factor, self.fy * factor, self.cx * factor, self.cy * factor, width, height)


@dataclass(frozen=True)
class CameraPath:
    """A metric camera path over a clip's measuring frames. World = the left camera of frame 0.

    Attributes:
        world_from_camera: (T, 4, 4) float64, metres; the first is the identity.
        covariance: (T, 6, 6), of (position in world axes [m], rotation vector in world axes [rad]) of each pose
            relative to frame 0; calibrated, so that |error| / sigma has unit spread. Zero for frame 0.
        static: the camera did not move at all; every pose is then the identity.
        disparity_offset_px: constant to add to a measured disparity before turning it into depth
            (self-calibrated; 0 where no sharp minimum was found).
        disparity_offset_sigma_px: its uncertainty, which is common to all frames of the clip.
        noise_px: robust (MAD) reprojection residual of the inliers, per coordinate, in pixels.
        stats: small JSON values for the record (inlier ratio, split-half difference, number of tracks, ...).
    """

    world_from_camera: Float[Array, "t 4 4"]
    covariance: Float[Array, "t 6 6"]
    static: bool
    disparity_offset_px: float
    disparity_offset_sigma_px: float
    noise_px: float
    stats: dict[str, Any]

    def __post_init__(self) -> None:
        poses = self.world_from_camera
        if poses.ndim != 3 or poses.shape[1:] != (4, 4) or not np.isfinite(poses).all():
            raise ValueError(f"expected finite (T, 4, 4) poses, got shape {poses.shape}")
        if not np.allclose(poses[0], np.eye(4), atol=1e-9):
            raise ValueError("the world is the left camera of the first frame: its pose must be the identity")

    @property
    def centers_m(self) -> Float[Array, "t 3"]:
        """Camera centres in the world frame, metres."""
        return self.world_from_camera[:, :3, 3]

    @property
    def position_sigma_m(self) -> Float[Array, "t"]:
        """One-sigma uncertainty of each centre: root of the trace of its covariance divided by 3 (per axis)."""
        trace = np.trace(self.covariance[:, :3, :3], axis1=1, axis2=2)
        return np.asarray(np.sqrt(np.maximum(trace, 0.0) / 3.0))


@dataclass(frozen=True)
class RelativeCameraPath:
    """A camera path known up to an unknown scale (monocular structure from motion).

    A type of its own, so that nothing metric can be computed from it by accident: it has no ``centers_m``.

    Attributes:
        world_from_camera: (T, 4, 4), translation in arbitrary units; the first is the identity.
        direction_sigma_deg: (T,) uncertainty of the direction of each translation from frame 0.
        intrinsics_assumed: the focal length was a guess, not a calibration.
        stats: small JSON values for the record.
    """

    world_from_camera: Float[Array, "t 4 4"]
    direction_sigma_deg: Float[Array, "t"]
    intrinsics_assumed: bool
    stats: dict[str, Any]
