"""The whole estimate where it is hard: movers, blackouts, offsets, slow cameras, views that must be refused."""

import dataclasses

import numpy as np
import pytest

from curation.cameras import estimate_path
from curation.geometry import inverse, vector_from_rotation
from schemas.camera import CameraPath
from schemas.clip import ClipFrames
from schemas.config import CamerasConfig
from schemas.outcome import Rejected
from tests.cameras import room

CONFIG = CamerasConfig(corners=500)


def measured(poses: np.ndarray, **options) -> CameraPath:
    return estimate_path(room.clip(poses, **options), CONFIG)


def errors_m(found: CameraPath, poses: np.ndarray) -> np.ndarray:
    return np.linalg.norm(found.centers_m - poses[:, :3, 3], axis=1)


def turn_error_deg(found: CameraPath, poses: np.ndarray) -> float:
    turns = found.world_from_camera[:, :3, :3] @ np.swapaxes(poses[:, :3, :3], 1, 2)
    return float(np.rad2deg(np.linalg.norm(vector_from_rotation(turns), axis=1).max()))


def test_hand_shake_with_turning_is_followed():
    poses = room.path(12, (0.3, 0, 0.8), (2, 8, -3), shake_m=0.03)
    poses = inverse(poses[0]) @ poses
    found = measured(poses)
    assert errors_m(found, poses).max() < 0.006
    assert turn_error_deg(found, poses) < 0.1


def board_path(count: int) -> np.ndarray:
    return np.stack([np.linspace(-1, 1, count), np.zeros(count), np.full(count, 3.0)], axis=1)


def test_a_slow_camera_is_not_called_static():
    poses = room.path(14, (0.03, 0, 0))
    found = measured(poses)
    assert not found.static and errors_m(found, poses).max() < 0.002


def test_a_camera_that_moves_and_comes_back_is_not_called_static():
    poses = room.path(15)
    poses[:, 0, 3] = 0.2 * np.sin(np.linspace(0, np.pi, 15))
    found = measured(poses)
    assert not found.static and errors_m(found, poses).max() < 0.003


def test_a_board_that_moves_before_a_third_of_the_image_does_not_pull_the_path():
    poses = room.path(14, (0, 0, 0.8))
    found = measured(poses, board=(board_path(14), (1.5, 1.5)))
    assert errors_m(found, poses).max() < 0.008


def test_a_board_that_fills_most_of_the_image_is_refused_and_not_taken_for_the_world():
    poses = room.path(14, (0, 0, 0.8))
    with pytest.raises(Rejected, match="pose_"):
        measured(poses, board=(board_path(14), (2.8, 2.6)))


def test_an_offset_of_the_disparities_is_found_and_undone():
    poses = room.path(14, (0.2, 0, 2.4))
    found = measured(poses, offset_px=0.5, baseline_m=0.25)
    assert abs(found.disparity_offset_px + 0.5) < 0.05 and 0 < found.disparity_offset_sigma_px < 0.25
    assert errors_m(found, poses).max() < 0.02


def test_a_short_blackout_is_bridged_and_doubted():
    poses = room.path(14, (0.6, 0, 0.3))
    found = measured(poses, dark=(6, 7))
    assert found.stats["unposed_frames"] == 2
    error, sigma = errors_m(found, poses), found.position_sigma_m
    assert np.delete(error, [6, 7]).max() < 0.004  # a frame that is seen is as good as ever
    assert (error[[6, 7]] < 3 * sigma[[6, 7]]).all() and sigma[6] > 3 * sigma[5]


@pytest.mark.parametrize(
    ("reason", "options"),
    [
        ("pose_lost", {"dark": range(5, 14)}),
    ],
)
def test_a_view_that_is_gone_is_refused_with_a_reason(reason, options):
    with pytest.raises(Rejected, match=reason):
        measured(room.path(14, (0.6, 0, 0.3)), **options)


def noise_clip(seed: int) -> ClipFrames:
    frames = room.clip(room.path(10, (0.3, 0, 0)))
    rng = np.random.default_rng(seed)
    left, right = (rng.integers(0, 256, frames.left.shape, dtype=np.uint8) for _ in range(2))
    return dataclasses.replace(frames, left=left, right=right)


def test_noise_is_refused():
    with pytest.raises(Rejected, match="pose_"):
        estimate_path(noise_clip(0), CONFIG)


def test_frames_of_unrelated_places_are_refused():
    clips = [room.clip(room.path(2, (0.05, 0, 0)), seed=seed) for seed in range(3)]
    frames = room.clip(room.path(6, (0.3, 0, 0)))
    mixed = dataclasses.replace(
        frames, left=np.concatenate([c.left for c in clips]), right=np.concatenate([c.right for c in clips])
    )
    with pytest.raises(Rejected, match="pose_lost"):
        estimate_path(mixed, CONFIG)


def test_a_mono_clip_is_an_error_of_the_caller():
    frames = dataclasses.replace(room.clip(room.path(3)), right=None, baseline_m=None)
    with pytest.raises(ValueError, match="stereo"):
        estimate_path(frames, CONFIG)
