"""Does one rigid motion explain a track? Triangulation of many tracks at once, and the residuals it leaves.

A track (u, v, disparity over its life) of a point that is fixed in some frame is explained by a single 3D point of that
frame. For the world frame this is the test for "it stands still"; for the frame of a moving object it is the test for
"it belongs to that object".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float

from curation.objects.point_tracks import PointTracks
from curation.objects.rig import Rig
from schemas.camera import Array

_ITERATIONS = 4
_HUBER = 3.0
_BLOCK = 16_000  # observations
_CAP = 25.0  # a single wild observation adds at most this much to a track's chi2


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


def _blocks(tracks: PointTracks) -> Iterator[tuple[int, int, int, int]]:
    """Runs of whole tracks i..j of about ``_BLOCK`` observations a..b each."""
    ends = tracks.first + tracks.length
    i = 0
    while i < tracks.count:
        j = max(i + 1, int(np.searchsorted(ends, tracks.first[i] + _BLOCK, side="right")))
        yield i, j, int(tracks.first[i]), int(ends[j - 1])
        i = j


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
    if len(tracks.frame) > 2 * _BLOCK:  # tracks do not know of each other: in parts that fit a processor's cache
        parts = [
            triangulate(
                tracks.span(i, j),
                cam_from_frame,
                rig,
                sigma[a:b],
                iterations=iterations,
                start=None if start is None else start[i:j],
            )
            for i, j, a, b in _blocks(tracks)
            for begin in [None if start is None else start[i:j]]
        ]
        return Triangulation(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Triangulation)))
    n = tracks.count
    poses = np.nan_to_num(cam_from_frame)
    rotation, translation = poses[:, :3, :3][tracks.frame], poses[:, :3, 3][tracks.frame]
    usable = np.isfinite(cam_from_frame[:, 0, 3])[tracks.frame]
    observed = tracks.uvd.astype(np.float64)
    seen = np.isfinite(observed) & usable[:, None]
    points = _first_guess(tracks, rotation, translation, observed, seen, rig) if start is None else start.copy()
    problem = _Problem.of(tracks, rotation, translation, np.nan_to_num(observed), np.where(seen, 1.0 / sigma, 0.0))
    hessian = np.zeros((n, 3, 3))
    for _ in range(iterations):
        hessian, gradient = problem.normal_equations(points, rig)
        damped = hessian + 1e-9 * np.trace(hessian, axis1=1, axis2=2)[:, None, None] * np.eye(3) + 1e-12 * np.eye(3)
        step = np.linalg.solve(damped, gradient[..., None])[..., 0]
        reach = 0.5 * np.linalg.norm(np.nan_to_num(points), axis=1) + 1.0
        points = points + step * np.minimum(1.0, reach / np.maximum(np.linalg.norm(step, axis=1), 1e-12))[:, None]
    white, depth = problem.residuals(points, rig)
    whitened = np.where(seen, white.T, np.nan)
    whitened[seen & (depth < 1e-2)[:, None]] = 10.0  # a point behind the camera explains nothing
    cost = np.minimum(np.nan_to_num(whitened) ** 2, _CAP)
    chi2 = sum_per_track(cost.sum(1), tracks)
    dof = sum_per_track(seen.sum(1).astype(float), tracks) - 3
    covariance = np.full((n, 3, 3), np.nan)
    good = np.isfinite(points).all(1) & (dof > 0)
    covariance[good] = np.linalg.inv(hessian[good] + 1e-12 * np.eye(3))
    return Triangulation(points, covariance, whitened, np.where(good, chi2, np.nan), np.where(good, dof, 0))


@dataclass(frozen=True)
class _Problem:
    """One triangulation, an array per coordinate: sums over long columns are several times faster than products of 3 x 3 blocks.

    ``rotation`` is indexed [row][column], ``inverse_sigma`` 0 where unseen.
    """

    tracks: PointTracks
    rotation: list[list[Array]]
    translation: list[Array]
    observed: list[Array]
    inverse_sigma: list[Array]

    @staticmethod
    def of(tracks: PointTracks, rotation: Array, translation: Array, observed: Array, inverse_sigma: Array) -> _Problem:
        columns = [[np.ascontiguousarray(rotation[:, i, j]) for j in range(3)] for i in range(3)]
        rest = ([np.ascontiguousarray(values[:, c]) for c in range(3)] for values in (translation, observed, inverse_sigma))
        return _Problem(tracks, columns, *rest)

    def _local(self, points: Array) -> list[Array]:
        x = np.nan_to_num(points)[self.tracks.track].T
        return [r[0] * x[0] + r[1] * x[1] + r[2] * x[2] + t for r, t in zip(self.rotation, self.translation, strict=True)]

    def _white(self, x: Array, y: Array, inverse_z: Array, rig: Rig) -> list[Array]:
        predicted = (rig.fx * x * inverse_z + rig.cx, rig.fy * y * inverse_z + rig.cy, rig.fb * inverse_z)
        return [(o - p) * s for o, p, s in zip(self.observed, predicted, self.inverse_sigma, strict=True)]

    def residuals(self, points: Array, rig: Rig) -> tuple[Array, Array]:
        """Whitened residuals (3, K) and depths (K,)."""
        x, y, z = self._local(points)
        return np.stack(self._white(x, y, 1.0 / np.maximum(z, 1e-3), rig)), z

    def normal_equations(self, points: Array, rig: Rig) -> tuple[Array, Array]:
        """Hessians (N, 3, 3) and right sides (N, 3) of a Gauss-Newton step with Huber weights."""
        x, y, z = self._local(points)
        inverse_z = 1.0 / np.maximum(z, 1e-3)
        white = self._white(x, y, inverse_z, rig)
        r0, r1, r2 = self.rotation
        x_z, y_z = x * inverse_z, y * inverse_z
        scale_d = -rig.fb * inverse_z**2
        rows = (
            [rig.fx * inverse_z * (a - x_z * c) for a, c in zip(r0, r2, strict=True)],
            [rig.fy * inverse_z * (b - y_z * c) for b, c in zip(r1, r2, strict=True)],
            [scale_d * c for c in r2],
        )
        sums = np.zeros((9, len(z)))
        for row, error, inverse_sigma in zip(rows, white, self.inverse_sigma, strict=True):
            huber = _HUBER / np.maximum(np.abs(error), _HUBER) * inverse_sigma
            right = huber * error
            weight = huber * inverse_sigma
            weighted = [weight * j for j in row]
            for k, (i, j) in enumerate(_UPPER):
                sums[k] += weighted[i] * row[j]
            for i in range(3):
                sums[6 + i] += right * row[i]
        total = np.add.reduceat(sums, self.tracks.first, axis=1) if self.tracks.count else np.zeros((9, 0))
        return total[_FULL].T.reshape(-1, 3, 3), total[6:].T


_UPPER = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
_FULL = [0, 1, 2, 1, 3, 4, 2, 4, 5]


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
