"""Does one rigid motion explain a track? Triangulation of many tracks at once, and the residuals it leaves.

A track (u, v, disparity over its life) of a point that is fixed in some frame is explained by a single 3D point of that
frame. For the world frame this is the test for "it stands still"; for the frame of a moving object it is the test for
"it belongs to that object".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from curation.objects.point_tracks import PointTracks
from schemas.camera import Array, Intrinsics

_ITERATIONS = 4
_HUBER = 3.0
_CAP = 25.0  # a single wild observation adds at most this much to a track's chi2


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


@dataclass(frozen=True)
class Triangulation:
    """Points of tracks in one rigid frame and how well they explain them.

    Attributes:
        points: (N, 3) in the frame that the poses map from; NaN where a track has no disparity at all.
        covariance: (N, 3, 3) formal, from the sigmas given.
        residual: (K, 3) observed minus predicted (u, v, disparity), divided by sigma; NaN where unmeasured.
        chi2: (N,) capped sum of squares; dof: (N,) its degrees of freedom.
    """

    points: Float[Array, "n 3"]
    covariance: Float[Array, "n 3 3"]
    residual: Float[Array, "k 3"]
    chi2: Float[Array, "n"]
    dof: Float[Array, "n"]

    @property
    def reduced(self) -> Float[Array, "n"]:
        """chi2 per degree of freedom; NaN where there are none."""
        return np.where(self.dof > 0, self.chi2 / np.maximum(self.dof, 1), np.nan)


def sum_per_track(values: Float[Array, "k *c"], tracks: PointTracks) -> Float[Array, "n *c"]:
    """Sums of the observations' values over each track."""
    if tracks.count == 0:
        return np.zeros((0, *values.shape[1:]), values.dtype)
    return np.add.reduceat(values, tracks.first, axis=0)


def triangulate(
    tracks: PointTracks,
    cam_from_frame: Float[Array, "t 4 4"],
    rig: Rig,
    sigma: Float[Array, "k 3"],
    *,
    iterations: int = _ITERATIONS,
    start: Float[Array, "n 3"] | None = None,
) -> Triangulation:
    """The point of each track, in a rigid frame that each camera pose is given relative to.

    Args:
        tracks: observations.
        cam_from_frame: per clip frame, camera axes from the rigid frame; NaN for frames that must not be used.
        rig: the stereo camera.
        sigma: (K, 3) of each observed (u, v, disparity), pixels.
        iterations: Gauss-Newton steps.
        start: points to begin from; triangulated from the nearest observation where None.

    Returns:
        Points, covariance and residuals. Observations in frames whose pose is NaN have NaN residuals.
    """
    n = tracks.count
    poses = np.nan_to_num(cam_from_frame)
    rotation, translation = poses[:, :3, :3][tracks.frame], poses[:, :3, 3][tracks.frame]
    usable = np.isfinite(cam_from_frame[:, 0, 3])[tracks.frame]
    observed = tracks.uvd.astype(np.float64)
    seen = np.isfinite(observed) & usable[:, None]
    points = _first_guess(tracks, rotation, translation, observed, seen, rig) if start is None else start.copy()
    weight0 = np.where(seen, 1.0 / sigma**2, 0.0)
    observed = np.nan_to_num(observed)
    hessian = np.zeros((n, 3, 3))
    for _ in range(iterations):
        local = np.einsum("kij,kj->ki", rotation, np.nan_to_num(points)[tracks.track]) + translation
        residual = observed - rig.project(local)
        jacobian = rig.jacobian(local) @ rotation
        huber = _HUBER / np.maximum(np.abs(residual) / sigma, _HUBER)
        weight = weight0 * huber
        weighted = jacobian * weight[..., None]
        hessian = sum_per_track(np.swapaxes(weighted, -1, -2) @ jacobian, tracks)
        gradient = sum_per_track((np.swapaxes(weighted, -1, -2) @ residual[..., None])[..., 0], tracks)
        damped = hessian + 1e-9 * np.trace(hessian, axis1=1, axis2=2)[:, None, None] * np.eye(3) + 1e-12 * np.eye(3)
        step = np.linalg.solve(damped, gradient[..., None])[..., 0]
        reach = 0.5 * np.linalg.norm(np.nan_to_num(points), axis=1) + 1.0
        points = points + step * np.minimum(1.0, reach / np.maximum(np.linalg.norm(step, axis=1), 1e-12))[:, None]
    local = np.einsum("kij,kj->ki", rotation, np.nan_to_num(points)[tracks.track]) + translation
    whitened = np.where(seen, (observed - rig.project(local)) / sigma, np.nan)
    whitened = np.where(seen & (local[:, 2:] < 1e-2), 10.0, whitened)  # a point behind the camera explains nothing
    cost = np.minimum(np.nan_to_num(whitened) ** 2, _CAP)
    chi2 = sum_per_track(cost.sum(1), tracks)
    dof = sum_per_track(seen.sum(1).astype(float), tracks) - 3
    covariance = np.full((n, 3, 3), np.nan)
    good = np.isfinite(points).all(1) & (dof > 0)
    covariance[good] = np.linalg.inv(hessian[good] + 1e-12 * np.eye(3))
    return Triangulation(points, covariance, whitened, np.where(good, chi2, np.nan), np.where(good, dof, 0))


def _first_guess(tracks: PointTracks, rotation: Array, translation: Array, observed: Array, seen: Array, rig: Rig) -> Array:
    """The point of the nearest (largest disparity) observation of each track, with the track's median-like disparity."""
    measured = seen[:, 2] & (observed[:, 2] > 0.05)
    score = np.where(measured, observed[:, 2], -1.0)
    if tracks.count == 0:
        return np.zeros((0, 3))
    best = np.maximum.reduceat(score, tracks.first)
    is_best = np.flatnonzero((score == best[tracks.track]) & measured)
    owner, index = np.unique(tracks.track[is_best], return_index=True)
    rows = is_best[index]
    local = rig.unproject(observed[rows])
    points = np.full((tracks.count, 3), np.nan)
    points[owner] = np.einsum("kji,kj->ki", rotation[rows], local - translation[rows])
    return points
