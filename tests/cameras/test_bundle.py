"""Bundle adjustment on simulated tracks: the answer, its covariance, its robustness."""

import numpy as np
import pytest

from curation.cameras.bundle import Tracks, _Linear, _moved, _Problem, adjust
from curation.geometry import inverse, pose, rotation_from_vector, transform
from tests.cameras import room

VIEW, BASELINE_M = room.camera(), 0.12


def simulated(seed: int, frames: int = 12, points: int = 250, sigma_px: float = 0.1, offset_px: float = 0.0, movers: float = 0.0):
    """Poses, start values, and tracks with Gaussian noise of points in front of a camera on a curve."""
    rng = np.random.default_rng(seed)
    poses = room.path(frames, (0.4, 0.1, 1.2), (1.0, 6.0, 0.5))
    pixels = rng.uniform([0, 0], [VIEW.width, VIEW.height], (points, 2))
    world = VIEW.unproject(pixels, rng.uniform(2.0, 12.0, points))
    uvd = np.full((points, frames, 3), np.nan)
    moving = rng.random(points) < movers
    for t in range(frames):
        y = transform(inverse(poses[t]), world + moving[:, None] * t * np.array([0.05, 0, 0]))
        uv = VIEW.project(y)
        inside = (uv > 0).all(axis=1) & (uv < [VIEW.width, VIEW.height]).all(axis=1)
        uvd[inside, t] = np.column_stack([uv, VIEW.fx * BASELINE_M / y[:, 2] - offset_px])[inside]
    uvd += sigma_px * rng.standard_normal(uvd.shape)
    uvd[rng.random(uvd.shape[:2]) < 0.1, 2] = np.nan  # a disparity is missing now and then
    tracks = Tracks(np.zeros(points, int), uvd, np.arange(points)).left_aligned().pieces(frames)
    start = np.stack([p @ pose(rotation_from_vector(rng.normal(0, 0.003, 3)), rng.normal(0, 0.02, 3)) for p in poses])
    start[0] = np.eye(4)
    return poses, start, tracks, moving


def test_the_jacobians_are_the_derivatives():
    poses, start, tracks, _ = simulated(0, frames=4, points=20)
    problem = _Problem(tracks, start, VIEW, BASELINE_M, True)
    state = problem.initial(start, 0.1)
    residual, h, y, turn = problem.residuals(state)
    by_pose, by_point = problem.jacobians(state, h, y, turn)
    step = 1e-6
    for axis in range(6):
        move = np.zeros(6 * 3 + 1)
        move[axis:-1:6] = step
        moved = problem.residuals(_moved(state, problem, move, np.zeros_like(state.point)))[0]
        free = problem.frame > 0
        assert np.allclose(((moved - residual) / step)[free], by_pose[free, :, axis], rtol=1e-3, atol=1e-2)
    for axis in range(3):
        shift = np.zeros_like(state.point)
        shift[:, axis] = step
        moved = problem.residuals(_moved(state, problem, np.zeros(6 * 3 + 1), shift))[0]
        assert np.allclose((moved - residual) / step, by_point[:, :, axis], rtol=1e-3, atol=1e-1)


def test_the_schur_complement_is_that_of_the_full_normal_equations():
    _, start, tracks, _ = simulated(1, frames=4, points=30)
    problem = _Problem(tracks, start, VIEW, BASELINE_M, True)
    state = problem.initial(start, 0.0)
    linear = _Linear(problem, state, np.full(3, 0.1), 1e6)
    size = 6 * 3 + 1
    full = np.zeros((3 * len(problem.row), size + 3 * len(tracks)))
    for n, (row, frame) in enumerate(zip(problem.row, problem.frame, strict=True)):
        lines = slice(3 * n, 3 * n + 3)
        if frame > 0:
            full[lines, 6 * (frame - 1) : 6 * frame] = linear.jc[n]
        full[3 * n + 2, size - 1] = linear.jo[n]
        full[lines, size + 3 * row : size + 3 * row + 3] = linear.jp[n]
    normal = full.T @ full
    points = normal[size:, size:]
    schur = normal[:size, :size] - normal[:size, size:] @ np.linalg.solve(points, normal[size:, :size])
    schur[-1, -1] += 0.5**-2  # the prior of the offset
    assert np.allclose(linear.reduced(0.0)[0], schur, rtol=1e-4, atol=1e-4 * np.abs(schur).max())


def test_noiseless_tracks_give_the_exact_path():
    poses, start, tracks, _ = simulated(2, sigma_px=0.0)
    found = adjust(tracks, start, VIEW, BASELINE_M)
    assert np.abs(found.world_from_camera - poses).max() < 1e-4


@pytest.mark.slow
def test_errors_have_the_spread_that_the_covariance_claims():
    scores = []
    for seed in range(12):
        poses, start, tracks, _ = simulated(seed)
        found = adjust(tracks, start, VIEW, BASELINE_M)
        error = found.world_from_camera[-1, :3, 3] - poses[-1, :3, 3]
        last = found.covariance[-6:-3, -6:-3]
        scores.append(error @ np.linalg.solve(last, error) / 3)
    assert 0.5 < np.mean(scores) < 1.8


def test_errors_of_twice_the_noise_are_twice_the_sigma():
    sigmas = []
    for noise in (0.1, 0.2):
        _, start, tracks, _ = simulated(5, sigma_px=noise)
        found = adjust(tracks, start, VIEW, BASELINE_M)
        assert abs(found.sigma_px[0] / noise - 1) < 0.15
        sigmas.append(np.sqrt(np.trace(found.covariance[-6:-3, -6:-3])))
    assert 1.6 < sigmas[1] / sigmas[0] < 2.4


def test_an_offset_of_the_disparity_is_found():
    poses, start, tracks, _ = simulated(3, frames=14, points=400, offset_px=0.4)
    found = adjust(tracks, start, VIEW, BASELINE_M, solve_offset=True)
    assert abs(found.offset_px - 0.4) < 4 * found.offset_sigma_px < 0.2
    ignored = adjust(tracks, start, VIEW, BASELINE_M)
    error, error_ignored = (np.linalg.norm(f.world_from_camera[-1, :3, 3] - poses[-1, :3, 3]) for f in (found, ignored))
    assert error < error_ignored / 3
    # What the linear prediction says that ignoring it does is what it did.
    predicted = -0.4 * ignored.by_offset[-1, :3]
    assert np.linalg.norm(predicted - (ignored.world_from_camera[-1, :3, 3] - poses[-1, :3, 3])) < 0.35 * np.linalg.norm(
        predicted
    )


def test_forty_percent_of_movers_do_not_pull_the_path():
    poses, start, tracks, moving = simulated(4, movers=0.4)
    trusted = ~moving[tracks.parent]
    found = adjust(tracks, poses, VIEW, BASELINE_M, trusted=trusted)
    assert np.linalg.norm(found.world_from_camera[:, :3, 3] - poses[:, :3, 3], axis=1).max() < 0.01


def test_pieces_share_a_frame_and_cover_every_step_once():
    uvd = np.arange(25, dtype=float)[None, :, None] + np.zeros((3, 25, 3))
    tracks = Tracks(np.array([0, 4, 9]), uvd, np.array([0, 1, 2]))
    cut = tracks.pieces(10, least=2)
    for parent in range(3):
        steps = []
        for row in np.flatnonzero(cut.parent == parent):
            seen = np.flatnonzero(np.isfinite(cut.uvd[row, :, 0])) + cut.start[row]
            assert len(seen) <= 10
            steps += list(zip(seen[:-1], seen[1:], strict=True))
            assert np.array_equal(cut.uvd[row, seen - cut.start[row], 0], seen - tracks.start[parent])
        first = tracks.start[parent]
        assert sorted(steps) == [(t, t + 1) for t in range(first, first + 24)]
