"""Bundle adjustment of a stereo clip: poses, points and (optionally) one disparity offset, with covariance.

Residuals are (u, v, d): the pixel in the left eye and the disparity, of a corner followed over some frames. A point is a
ray of the frame where it was first seen plus an inverse depth, in a chart that stays fixed during the adjustment; so a
point at infinity is as well conditioned as a near one. Points are eliminated (Schur complement): a track sees a window of
consecutive frames, so all tracks that start in one frame fold into one dense block by one matrix product, and 40 frames
take well under a second in numpy.

Poses are perturbed as ``R <- exp(w) R``, ``C <- C + c`` in world axes: the parameters whose covariance is reported.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from curation.geometry import rotation_from_vector, skew
from schemas.camera import Array, Intrinsics

MAD_TO_SIGMA = 1.4826
# Reweighted least squares sees the robust cost as more curved than it is, so its steps are short by about this much.
_OVER_RELAXATION = 1.5
_OFFSET_PRIOR_PX = 0.5  # holds the offset near 0 where nothing in the clip tells it (a camera that stands or turns)


@dataclass(frozen=True)
class Tracks:
    """Corners followed over consecutive frames, one row per track (or per piece of a track).

    Attributes:
        start: (P,) the frame of column 0.
        uvd: (P, L, 3) left pixel (u, v) and disparity, column k at frame ``start + k``; NaN where not measured.
        parent: (P,) the tracked corner that this row is (a piece of).
    """

    start: Int[Array, "p"]
    uvd: Float[Array, "p l 3"]
    parent: Int[Array, "p"]

    def __len__(self) -> int:
        return len(self.start)

    def select(self, rows: Array) -> Tracks:
        """The given rows (indices or mask)."""
        return Tracks(self.start[rows], self.uvd[rows], self.parent[rows])

    def pieces(self, length: int, least: int = 3) -> Tracks:
        """Every track cut into pieces of at most ``length`` frames; those with fewer than ``least`` are dropped.

        Neighbouring pieces share a frame, and different tracks are cut at different frames: every step from a frame to the
        next lies inside a piece of every track that sees both.
        """
        total = self.uvd.shape[1]
        length = min(length, total)
        if length < least:
            return self.select(np.zeros(len(self), bool))
        step = length - 1
        phase = (self.parent * 7) % step if length < total else np.zeros(len(self), int)
        starts, values = [], []
        for first in range(0, total + step, step):
            index = first - phase[:, None] + np.arange(length)
            part = np.take_along_axis(self.uvd, np.clip(index, 0, total - 1)[..., None], axis=1)
            part[(index < 0) | (index >= total)] = np.nan
            starts.append(self.start + first - phase)
            values.append(part)
        cut = Tracks(np.concatenate(starts), np.concatenate(values), np.tile(self.parent, len(starts)))
        enough = np.isfinite(cut.uvd[..., 0]).sum(axis=1) >= least
        return cut.select(enough & np.isfinite(cut.uvd[..., 2]).any(axis=1)).left_aligned()

    def left_aligned(self) -> Tracks:
        """Rows shifted so that column 0 is measured, without columns that no row uses."""
        measured = np.isfinite(self.uvd[..., 0])
        lead = np.argmax(measured, axis=1)
        length = self.uvd.shape[1]
        index = lead[:, None] + np.arange(length)[None]
        rows = np.take_along_axis(self.uvd, np.minimum(index, length - 1)[..., None], axis=1)
        rows[index >= length] = np.nan
        used = max(1, int(np.max(np.where(np.isfinite(rows[..., 0]), np.arange(length) + 1, 0), initial=1)))
        return Tracks(self.start + lead, rows[:, :used], self.parent)


@dataclass(frozen=True)
class Adjusted:
    """The result of ``adjust``.

    Attributes:
        world_from_camera: (T, 4, 4).
        offset_px: constant added to measured disparities (0 unless it was solved for).
        covariance: (D, D) of the free parameters in the order pose 1 .. T-1 (position, rotation), then the offset.
        by_offset: (T, 6) how (position, rotation) of each pose would follow a change of the disparity offset, per pixel.
        residual: (P, L, 3) model - measured, pixels, NaN where not measured.
        sigma_px: robust noise of (u, v) and of d.
        cost: robust cost at the solution.
        iterations: Levenberg-Marquardt steps taken.
    """

    world_from_camera: Float[Array, "t 4 4"]
    offset_px: float
    covariance: Float[Array, "d d"]
    by_offset: Float[Array, "t 6"]
    residual: Float[Array, "p l 3"]
    sigma_px: tuple[float, float]
    cost: float
    iterations: int

    @property
    def offset_sigma_px(self) -> float:
        """Formal uncertainty of the offset; infinite where it was not solved for."""
        poses = 6 * (len(self.world_from_camera) - 1)
        return float(np.sqrt(self.covariance[-1, -1])) if len(self.covariance) > poses else float("inf")


@dataclass(frozen=True)
class _State:
    """Free values: rotations (T, 3, 3), centres (T, 3), points (P, 3) as (x/z, y/z, 1/z) in their chart, offset."""

    rotation: Array
    center: Array
    point: Array
    offset: float


class _Problem:
    """The measurements with everything that does not change during the adjustment."""

    def __init__(self, tracks: Tracks, poses: Array, camera: Intrinsics, baseline_m: float, solve_offset: bool) -> None:
        self.tracks, self.camera, self.baseline_m, self.solve_offset = tracks, camera, baseline_m, solve_offset
        self.frames = len(poses)
        row, column = np.nonzero(np.isfinite(tracks.uvd[..., 0]))  # row-major: sorted by track
        self.row, self.column, self.frame = row, column, tracks.start[row] + column
        self.measured = tracks.uvd[row, column]
        self.has_d = np.isfinite(self.measured[:, 2])
        self.measured = np.nan_to_num(self.measured)
        self.first = np.flatnonzero(np.r_[True, np.diff(row) > 0])  # every row has an observation
        self.chart_r, self.chart_c = poses[tracks.start, :3, :3], poses[tracks.start, :3, 3]

    def initial(self, poses: Array, offset: float) -> _State:
        camera, uvd = self.camera, self.tracks.uvd
        inverse = (np.nanmedian(uvd[..., 2], axis=1) + offset) / (camera.fx * self.baseline_m)
        first_d = (uvd[:, 0, 2] + offset) / (camera.fx * self.baseline_m)
        inverse = np.where(np.isfinite(first_d), first_d, inverse)
        point = np.stack([(uvd[:, 0, 0] - camera.cx) / camera.fx, (uvd[:, 0, 1] - camera.cy) / camera.fy, inverse], axis=1)
        return _State(poses[:, :3, :3].copy(), poses[:, :3, 3].copy(), point, offset)

    def residuals(self, state: _State) -> tuple[Array, Array, Array, Array]:
        """(n, 3) model - measured; and what the Jacobian reuses: ray in world axes h, ray in camera axes y, camera_from_world."""
        point = state.point
        ray = np.einsum("pij,pj->pi", self.chart_r, np.concatenate([point[:, :2], np.ones((len(point), 1))], axis=1))
        ray = ray + point[:, 2:] * self.chart_c
        h = ray[self.row] - point[self.row, 2:] * state.center[self.frame]
        turn = np.swapaxes(state.rotation, 1, 2)[self.frame]
        y = np.einsum("nij,nj->ni", turn, h)
        z = np.where(y[:, 2] > 1e-3, y[:, 2], 1e-3)
        camera = self.camera
        model = np.stack(
            [
                camera.fx * y[:, 0] / z + camera.cx,
                camera.fy * y[:, 1] / z + camera.cy,
                camera.fx * self.baseline_m * point[self.row, 2] / z - state.offset,
            ],
            axis=1,
        )
        residual = model - self.measured
        residual[~self.has_d, 2] = 0.0
        return residual, h, y, turn

    def jacobians(self, state: _State, h: Array, y: Array, turn: Array) -> tuple[Array, Array]:
        """(n, 3, 6) by pose (position, rotation; world axes) and (n, 3, 3) by point."""
        camera = self.camera
        inverse = state.point[self.row, 2]
        z = np.where(y[:, 2] > 1e-3, y[:, 2], 1e-3)
        project = np.zeros((len(y), 3, 3))
        project[:, 0, 0] = camera.fx / z
        project[:, 0, 2] = -camera.fx * y[:, 0] / z**2
        project[:, 1, 1] = camera.fy / z
        project[:, 1, 2] = -camera.fy * y[:, 1] / z**2
        project[:, 2, 2] = -camera.fx * self.baseline_m * inverse / z**2
        by_ray = project @ turn  # by h, in world axes
        by_ray[~self.has_d, 2] = 0.0
        by_pose = np.concatenate([-inverse[:, None, None] * by_ray, by_ray @ skew(h)], axis=2)
        chart = self.chart_r[self.row]
        by_point = np.concatenate(
            [by_ray @ chart[:, :, :2], by_ray @ (self.chart_c[self.row] - state.center[self.frame])[:, :, None]], axis=2
        )
        by_point[:, 2, 2] += np.where(self.has_d, camera.fx * self.baseline_m / z, 0.0)
        return by_pose, by_point


def robust_weight(squared: Array, scale: float) -> Array:
    """Geman-McClure's weight of a squared residual in sigmas: 1 inside, falling as the fourth power beyond ``scale``."""
    return 1.0 / (1.0 + squared / scale**2) ** 2


def _curvature_share(squared: Array, dimensions: int, scale: float) -> float:
    """Mean curvature of the robust cost over that of its reweighted stand-in, for residuals of so many dimensions."""
    weight = robust_weight(squared, scale)
    slope = weight * (1.0 - 4.0 / dimensions * (squared / scale**2) / (1.0 + squared / scale**2))
    return float(slope.sum() / max(weight.sum(), 1e-30))


def _robust_cost(squared: Array, scale: float) -> Array:
    return squared / (1.0 + squared / scale**2)


class _Linear:
    """Normal equations at one state, points eliminated."""

    def __init__(self, problem: _Problem, state: _State, sigma: Array, scale: float) -> None:
        self.problem, self.offset = problem, state.offset
        residual, h, y, turn = problem.residuals(state)
        by_pose, by_point = problem.jacobians(state, h, y, turn)
        whitened = residual / sigma
        squared_uv, squared_d = (whitened[:, :2] ** 2).sum(axis=1), whitened[:, 2] ** 2
        self.curvature = (2 * _curvature_share(squared_uv, 2, scale) + _curvature_share(squared_d[problem.has_d], 1, scale)) / 3
        self.cost = float(_robust_cost(squared_uv, scale).sum() + _robust_cost(squared_d, scale).sum())
        self.cost += (state.offset / _OFFSET_PRIOR_PX) ** 2
        root = np.stack([np.sqrt(robust_weight(squared_uv, scale))] * 2 + [np.sqrt(robust_weight(squared_d, scale))], axis=1)
        root = root / sigma
        self.r = residual * root
        self.jc, self.jp = by_pose * root[..., None], by_point * root[..., None]
        self.jo = -(root[:, 2] * problem.has_d)  # of the disparity residual by the offset
        self.v = np.add.reduceat(np.swapaxes(self.jp, 1, 2) @ self.jp, problem.first)
        self.gp = np.add.reduceat(np.einsum("nij,ni->nj", self.jp, self.r), problem.first)
        length = problem.tracks.uvd.shape[1]
        self.e = np.zeros((len(problem.tracks), length, 6, 3))
        self.e[problem.row, problem.column] = np.swapaxes(self.jc, 1, 2) @ self.jp
        self.gc_obs = np.einsum("nij,ni->nj", self.jc, self.r)
        self.eo = np.add.reduceat(self.jo[:, None] * self.jp[:, 2], problem.first)

    def _whiten(self, damping: float) -> tuple[Array, Array]:
        """Damped point blocks: their inverse, and a factor with F F^T = inverse."""
        v = self.v.copy()
        diagonal = np.einsum("pii->pi", v)
        diagonal *= 1.0 + damping
        diagonal += 1e-9 * (diagonal.sum(axis=1, keepdims=True) + 1e-12)
        inverse = np.linalg.inv(v)
        inverse = (inverse + np.swapaxes(inverse, 1, 2)) / 2
        return inverse, np.linalg.cholesky(inverse)

    def reduced(self, damping: float) -> tuple[Array, Array, Array]:
        """The Schur complement (D, D) of the free parameters, its right-hand side (D,), and the inverted point blocks."""
        s, g, inverse = self.reduced_with_offset(damping)
        free = len(g) if self.problem.solve_offset else len(g) - 1
        return s[:free, :free], g[:free], inverse

    def reduced_with_offset(self, damping: float) -> tuple[Array, Array, Array]:
        """The same with the offset as last parameter, whether it is solved for or not."""
        problem = self.problem
        frames, length = problem.frames, problem.tracks.uvd.shape[1]
        size = 6 * (frames + length) + 1  # windows may run past the last frame; the last row is the offset
        s, g = np.zeros((size, size)), np.zeros(size)
        inverse, factor = self._whiten(damping)
        reduced_gp = np.einsum("pij,pj->pi", inverse, self.gp)
        hcc = np.swapaxes(self.jc, 1, 2) @ self.jc
        hco = np.swapaxes(self.jc, 1, 2)[:, :, 2] * self.jo[:, None]
        order = np.argsort(problem.frame, kind="stable")
        present, where = np.unique(problem.frame[order], return_index=True)
        sums = [np.add.reduceat(a[order], where) for a in (hcc, hco, self.gc_obs)]
        for index, frame in enumerate(present):
            block = slice(6 * frame, 6 * frame + 6)
            s[block, block] = sums[0][index]
            s[block, -1] = s[-1, block] = sums[1][index]
            g[block] = sums[2][index]
        s[-1, -1] = (self.jo**2).sum() + _OFFSET_PRIOR_PX**-2
        g[-1] = (self.jo * self.r[:, 2]).sum() + self.offset * _OFFSET_PRIOR_PX**-2
        for start in np.unique(problem.tracks.start):
            rows = np.flatnonzero(problem.tracks.start == start)
            e = self.e[rows].reshape(len(rows), 6 * length, 3)
            e = np.concatenate([e, self.eo[rows][:, None]], axis=1)
            f = (e @ factor[rows]).transpose(1, 0, 2).reshape(6 * length + 1, -1)
            index = np.r_[6 * start : 6 * (start + length), size - 1]
            s[np.ix_(index, index)] -= f @ f.T
            g[index] -= np.einsum("pij,pj->i", e, reduced_gp[rows])
        keep = np.r_[6 : 6 * frames, size - 1]
        return s[np.ix_(keep, keep)], g[keep], inverse

    def back_substitute(self, inverse: Array, step: Array) -> Array:
        """The points' step (P, 3) that goes with the poses' step (T, 6) and the offset's, stacked in ``step``."""
        problem = self.problem
        length = problem.tracks.uvd.shape[1]
        poses = np.zeros((problem.frames + length, 6))
        poses[1 : problem.frames] = step[: 6 * (problem.frames - 1)].reshape(-1, 6)
        window = poses[problem.tracks.start[:, None] + np.arange(length)]
        rhs = self.gp + np.einsum("plij,pli->pj", self.e, window)
        if problem.solve_offset:
            rhs = rhs + self.eo * step[-1]
        return np.asarray(-np.einsum("pij,pj->pi", inverse, rhs))

    def influence(self, inverse: Array) -> Array:
        """(parents, D) gradient contributed by each tracked corner after its points were eliminated."""
        problem = self.problem
        frames, length = problem.frames, problem.tracks.uvd.shape[1]
        parents, parent = np.unique(problem.tracks.parent, return_inverse=True)
        out = np.zeros((len(parents), 6 * (frames + length) + 1))
        per_row = np.zeros((len(problem.tracks), length, 6))
        per_row[problem.row, problem.column] = self.gc_obs
        reduced_gp = np.einsum("pij,pj->pi", inverse, self.gp)
        per_row -= np.einsum("plij,pj->pli", self.e, reduced_gp)
        index = 6 * problem.tracks.start[:, None] + np.arange(6 * length)
        np.add.at(out, (parent[:, None], index), per_row.reshape(len(per_row), -1))
        own = np.add.reduceat(self.jo * self.r[:, 2], problem.first) - np.einsum("pi,pi->p", self.eo, reduced_gp)
        np.add.at(out[:, -1], parent, own)
        keep = np.r_[6 : 6 * frames, out.shape[1] - 1] if problem.solve_offset else np.r_[6 : 6 * frames]
        return out[:, keep]


def _moved(state: _State, problem: _Problem, step: Array, points: Array) -> _State:
    poses = step[: 6 * (problem.frames - 1)].reshape(-1, 6)
    rotation, center = state.rotation.copy(), state.center.copy()
    rotation[1:] = rotation_from_vector(poses[:, 3:]) @ rotation[1:]
    center[1:] += poses[:, :3]
    offset = state.offset + (float(step[-1]) if problem.solve_offset else 0.0)
    return _State(rotation, center, state.point + points, offset)


def robust_sigma(residual: Array) -> float:
    """Standard deviation of the inliers, from the median absolute value (zero-mean residuals)."""
    return float(MAD_TO_SIGMA * np.median(np.abs(residual))) if residual.size else float("nan")


def adjust(
    tracks: Tracks,
    world_from_camera: Float[Array, "t 4 4"],
    camera: Intrinsics,
    baseline_m: float,
    *,
    sigma_px: tuple[float, float] | None = None,
    trusted: Bool[Array, "p"] | None = None,
    offset_px: float = 0.0,
    solve_offset: bool = False,
    scale: float = 3.0,
    iterations: int = 30,
    tolerance: float = 0.05,
    covariance: bool = True,
) -> Adjusted:
    """Refine poses and points to the least robust (Geman-McClure) sum of squared (u, v, d) residuals.

    Args:
        tracks: measurements; every row must be measured in its column 0 and carry at least one disparity.
        world_from_camera: start values; frame 0 stays as it is. Every frame must be seen by tracks.
        camera: of the left eye.
        baseline_m: distance of the eyes.
        sigma_px: noise of (u, v) and of d; estimated from the residuals at the start (and once more on the way) if None.
        trusted: rows that the noise is estimated from; all if None. (Of corners on movers there may be more than of others.)
        offset_px: constant added to the measured disparities (the start value, if it is solved for).
        solve_offset: also solve for it.
        scale: where the robust cost lets go, in sigmas.
        iterations: most Levenberg-Marquardt steps.
        tolerance: stop when a step is shorter than this, in sigmas per free parameter.
        covariance: also compute the covariance; left zero where False.

    Returns:
        Poses, covariance and residuals. The covariance is cluster-robust over tracked corners (the "sandwich"): the
        errors of one corner in different frames may be correlated in any way; those of different corners may not.
    """
    problem = _Problem(tracks, world_from_camera, camera, baseline_m, solve_offset)
    state = problem.initial(world_from_camera, offset_px)
    fixed = sigma_px is not None
    use = np.ones(len(problem.row), bool) if trusted is None else trusted[problem.row]
    sigma = (
        _sigma_of(problem, problem.residuals(state)[0], use) if sigma_px is None else np.array([sigma_px[0]] * 2 + [sigma_px[1]])
    )
    linear = _Linear(problem, state, sigma, scale)
    damping, relax, step_number, refreshed = 1e-4, 1.0, 0, fixed
    while step_number < iterations and damping < 1e6:
        step_number += 1
        s, g, inverse = linear.reduced(damping)
        s[np.diag_indices_from(s)] *= 1.0 + damping
        try:
            step = -np.linalg.solve(s, g)
        except np.linalg.LinAlgError:
            damping = max(damping, 1e-6) * 10
            continue
        length = float(np.sqrt(max(-float(g @ step), 0.0) / len(g)))  # in sigmas, per parameter
        points = linear.back_substitute(inverse, step)
        trial = _moved(state, problem, relax * step, relax * points)
        tried = _Linear(problem, trial, sigma, scale)
        if not (np.isfinite(tried.cost) and tried.cost <= linear.cost):
            damping, relax = max(damping, 1e-6) * 10, 1.0
            continue
        state, linear, damping = trial, tried, max(damping / 10, 1e-9)
        if length < 1.0 and not refreshed:
            sigma, refreshed = _sigma_of(problem, problem.residuals(state)[0], use), True
            linear = _Linear(problem, state, sigma, scale)
        elif length < tolerance:
            break
        elif length < 1.0:
            relax = _OVER_RELAXATION
    return _result(problem, state, linear, sigma, step_number, covariance)


def _sigma_of(problem: _Problem, residual: Array, use: Array) -> Array:
    uv, d = robust_sigma(residual[use, :2]), robust_sigma(residual[problem.has_d & use, 2])
    return np.array([max(uv, 0.02)] * 2 + [max(d, 0.02)])


def _sandwich(linear: _Linear) -> tuple[Array, Array]:
    """Covariance of the free parameters that holds however the errors of one corner hang together; poses by the offset."""
    full, _, inverse = linear.reduced_with_offset(0.0)
    influence = linear.influence(inverse)
    free = influence.shape[1]
    # Geman-McClure's cost curves less than the reweighted squares that ``full`` sums up: the sandwich needs the true bread.
    bread = np.linalg.pinv(full[:free, :free], hermitian=True) / max(linear.curvature, 0.3)
    by_offset = np.zeros((linear.problem.frames, 6))
    by_offset[1:] = -np.linalg.lstsq(full[:-1, :-1], full[:-1, -1], rcond=None)[0].reshape(-1, 6)
    return bread @ (influence.T @ influence) @ bread, by_offset


def _result(problem: _Problem, state: _State, linear: _Linear, sigma: Array, iterations: int, wanted: bool) -> Adjusted:
    size = 6 * (problem.frames - 1) + problem.solve_offset
    covariance, by_offset = _sandwich(linear) if wanted else (np.zeros((size, size)), np.zeros((problem.frames, 6)))
    poses = np.tile(np.eye(4), (problem.frames, 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = state.rotation, state.center
    residual = np.full(problem.tracks.uvd.shape, np.nan)
    value = problem.residuals(state)[0]
    value[~problem.has_d, 2] = np.nan
    residual[problem.row, problem.column] = value
    noise = (float(sigma[0]), float(sigma[2]))
    return Adjusted(poses, state.offset, covariance, by_offset, residual, noise, linear.cost, iterations)
