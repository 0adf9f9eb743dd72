from __future__ import annotations

import numpy as np
import pytest

from curation.geometry import inverse, rotation_from_vector, transform, vector_from_rotation
from curation.objects.grouping import _row_medians
from curation.objects.lift import spread_out
from curation.objects.masks import decode, encode
from curation.objects.motion_fit import Motion, fit_motion, turn_of
from curation.objects.point_tracks import PointTracks
from curation.objects.rig import Rig
from curation.objects.static_test import triangulate
from curation.objects.surface import find_ground

RIG = Rig(400.0, 400.0, 320.0, 200.0, 48.0)
NOISE = 0.1


def seen_tracks(points: np.ndarray, cam_from_points: np.ndarray, noise: float = NOISE) -> PointTracks:
    """Every point observed in every frame."""
    count, frames = len(points), len(cam_from_points)
    local = transform(cam_from_points[None], points[:, None])
    rng = np.random.default_rng(0)
    uvd = RIG.project(local) + rng.normal(0, noise, (count, frames, 3))
    track, frame = np.repeat(np.arange(count), frames), np.tile(np.arange(frames), count)
    first = np.arange(count) * frames
    return PointTracks(
        uvd.reshape(-1, 3).astype(np.float32), frame, track, np.full(len(frame), 99.0), first, np.full(count, frames)
    )


def camera_path(frames: int) -> np.ndarray:
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 0, 3] = 0.05 * np.arange(frames)
    return poses


def test_a_standing_point_leaves_residuals_like_the_noise():
    rng = np.random.default_rng(1)
    points = rng.uniform([-2, -1, 3], [2, 1, 8], (200, 3))
    cam_from_world = inverse(camera_path(15))
    tracks = seen_tracks(points, cam_from_world)
    result = triangulate(tracks, cam_from_world, RIG, np.full((len(tracks.frame), 3), NOISE))
    assert 0.9 < np.median(result.reduced) < 1.1
    sigma = np.sqrt(np.einsum("nii->ni", result.covariance))
    assert 0.85 < np.std((result.points - points) / sigma) < 1.15


def test_a_moving_point_does_not_pass_for_a_standing_one():
    rng = np.random.default_rng(2)
    points = rng.uniform([-1, -1, 3], [1, 1, 5], (50, 3))
    cam_from_world = inverse(camera_path(15))
    carry = np.tile(np.eye(4), (15, 1, 1))
    carry[:, 1, 3] = 0.02 * np.arange(15)
    tracks = seen_tracks(points, cam_from_world @ carry)
    assert (triangulate(tracks, cam_from_world, RIG, np.full((len(tracks.frame), 3), NOISE)).reduced > 5).all()


def test_frames_without_a_pose_are_ignored():
    points = np.array([[0.0, 0, 4], [1, 0.5, 5]])
    cam_from_world = inverse(camera_path(12))
    tracks = seen_tracks(points, cam_from_world, 0.0)
    partly = cam_from_world.copy()
    partly[6:] = np.nan
    result = triangulate(tracks, partly, RIG, np.full((len(tracks.frame), 3), NOISE))
    assert np.allclose(result.points, points, atol=1e-3) and (result.reduced < 0.01).all()


def test_the_motion_of_a_turning_object_is_recovered():
    rng = np.random.default_rng(3)
    frames = 12
    points = rng.uniform([-0.5, -0.5, 4.0], [0.5, 0.5, 4.6], (60, 3))
    pivot = points.mean(0)
    cam_from_world = inverse(camera_path(frames))
    carry = np.tile(np.eye(4), (frames, 1, 1))
    for t in range(frames):
        turn = rotation_from_vector(np.array([0, 0.06 * t, 0]))
        carry[t, :3, :3] = turn
        carry[t, :3, 3] = pivot + np.array([0.08, 0, -0.03]) * t - turn @ pivot
    tracks = seen_tracks(points, cam_from_world @ carry)
    still = Motion(0, 0, pivot, np.tile(np.eye(3), (frames, 1, 1)), np.zeros((frames, 3)), np.zeros((frames, 6, 6)))
    sigma = np.full((len(tracks.frame), 3), NOISE)
    fit = fit_motion(tracks, still, points + rng.normal(0, 0.02, points.shape), cam_from_world, RIG, sigma, 0.1, iterations=20)
    assert np.abs(fit.motion.shift - np.array([0.08, 0, -0.03]) * np.arange(frames)[:, None]).max() < 0.02
    assert np.degrees(np.linalg.norm(turn_of(fit.motion.rotation[-1] @ carry[-1, :3, :3].T))) < 1.5


@pytest.mark.parametrize("vector", [[0, 0, 0], [0.3, -0.2, 0.1], [1e-7, 0, 0], [0, 2.0, 0.5]])
def test_the_quick_rotation_vector_agrees_with_the_exact_one(vector):
    rotation = rotation_from_vector(np.array(vector, float))
    assert np.allclose(turn_of(rotation), vector_from_rotation(rotation), atol=1e-8)


def test_only_the_longest_good_run_of_a_track_is_kept():
    tracks = seen_tracks(np.array([[0.0, 0, 4], [0, 0, 5]]), np.tile(np.eye(4), (6, 1, 1)), 0.0)
    good = np.array([1, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], bool)
    kept = tracks.where(good)
    assert kept.count == 1 and kept.frame.tolist() == [2, 3, 4]


def test_the_ground_is_the_plane_below_and_not_a_wall():
    rng = np.random.default_rng(4)
    floor = np.column_stack([rng.uniform(-3, 3, 400), np.full(400, 1.5), rng.uniform(2, 9, 400)])
    wall = np.column_stack([rng.uniform(-3, 3, 900), rng.uniform(-1, 1.4, 900), np.full(900, 9.0)])
    points = np.concatenate([floor, wall]) + rng.normal(0, 0.005, (1300, 3))
    covariance = np.tile(np.eye(3) * 1e-4, (1300, 1, 1))
    ground = find_ground(points, covariance, np.tile(np.eye(4), (5, 1, 1)), seed=0)
    assert ground is not None
    assert np.abs(ground.height_m(np.array([[0.0, 1.5, 5.0], [0.0, 0.5, 5.0]])) - [0, 1]).max() < 0.02
    assert find_ground(wall, covariance[:900], np.tile(np.eye(4), (5, 1, 1)), seed=0) is None


def test_masks_survive_their_encoding():
    mask = np.zeros((20, 30), bool)
    mask[3:9, 4:20] = True
    rle = encode(mask)
    assert rle["size"] == [20, 30] and isinstance(rle["counts"], str)
    assert (decode(rle) == mask).all()


def test_a_sample_of_points_covers_their_extent():
    points = np.random.default_rng(5).uniform(0, 1, (500, 3))
    chosen = spread_out(points, 32)
    assert len(np.unique(chosen)) == 32
    assert (np.ptp(points[chosen], axis=0) > 0.9).all()


def test_row_medians_are_those_of_numpy_without_nan() -> None:
    values = np.random.default_rng(3).normal(size=(200, 9))
    values[np.random.default_rng(4).random(values.shape) < 0.5] = np.nan
    values[:, 0] = np.where(np.isfinite(values).any(1), values[:, 0], 1.0)
    values[7] = np.nan
    expected = np.full(len(values), np.nan)
    known = np.isfinite(values).any(1)
    expected[known] = np.nanmedian(values[known], axis=1)
    np.testing.assert_array_equal(_row_medians(values), expected)
