import numpy as np
import pytest

from curation.cameras import estimate_path
from schemas.config import CamerasConfig
from schemas.outcome import Rejected
from tests.cameras.room import clip, path

CONFIG = CamerasConfig()
FRAMES = 16


@pytest.mark.parametrize(
    ("way_m", "seed"),
    [((0.0, 0.0, 1.2), 1), ((0.9, 0.0, 0.0), 2), ((0.0, -0.5, 0.3), 3)],
    ids=["forward is +z", "to the right is +x", "up is -y"],
)
def test_a_known_motion_is_measured_in_metres_and_world_from_camera(way_m: tuple, seed: int) -> None:
    true = path(FRAMES, way_m)
    found = estimate_path(clip(true, seed=seed), CONFIG)
    error = np.linalg.norm(found.centers_m - true[:, :3, 3], axis=1).max()
    assert error < 0.01 * np.linalg.norm(way_m)
    assert not found.static


def test_a_camera_that_turns_in_place_goes_nowhere() -> None:
    # read the wrong way round (camera_from_world), this turn about a far point would become metres of motion
    true = path(FRAMES, turn_deg=(0.0, 25.0, 0.0))
    found = estimate_path(clip(true, seed=4), CONFIG)
    assert np.linalg.norm(found.centers_m, axis=1).max() < 0.01
    assert np.abs(found.world_from_camera[-1, :3, :3] - true[-1, :3, :3]).max() < 2e-3


def test_a_turn_while_moving_keeps_the_world_of_the_first_frame() -> None:
    true = path(FRAMES, (0.5, 0.0, 0.8), (0.0, 20.0, 0.0))
    found = estimate_path(clip(true, seed=5), CONFIG)
    assert np.linalg.norm(found.centers_m - true[:, :3, 3], axis=1).max() < 0.01


def test_played_backwards_the_path_is_the_inverse() -> None:
    true = path(FRAMES, (0.2, 0.0, 0.9))
    back = np.linalg.inv(true[-1]) @ true[::-1]
    found = estimate_path(clip(back, seed=6), CONFIG)
    assert np.linalg.norm(found.centers_m[-1] + true[-1, :3, 3]) < 0.01


def test_a_camera_that_stands_is_snapped_to_the_identity_although_something_moves() -> None:
    board = (np.stack([np.linspace(-1, 1, FRAMES), np.zeros(FRAMES), np.full(FRAMES, 3.0)], 1), (0.8, 0.8))
    found = estimate_path(clip(path(FRAMES), seed=7, board=board), CONFIG)
    assert found.static
    assert np.array_equal(found.world_from_camera, np.tile(np.eye(4), (FRAMES, 1, 1)))


@pytest.mark.parametrize("kind", ["dark", "plain"])
def test_a_clip_that_shows_nothing_is_rejected_and_never_guessed(kind: str) -> None:
    frames = clip(path(FRAMES, (0.0, 0.0, 1.0)), seed=8, dark=range(FRAMES) if kind == "dark" else (), plain=kind == "plain")
    with pytest.raises(Rejected, match="^pose_"):
        estimate_path(frames, CONFIG)


def test_the_same_clip_gives_the_same_path_to_the_bit() -> None:
    frames = clip(path(10, (0.0, 0.0, 0.6)), seed=9)
    first, second = estimate_path(frames, CONFIG), estimate_path(frames, CONFIG)
    assert np.array_equal(first.world_from_camera, second.world_from_camera)
    assert np.array_equal(first.covariance, second.covariance)


def test_errors_stay_within_what_sigma_claims() -> None:
    ratios = []
    for seed in range(4):
        true = path(FRAMES, (0.3 * (-1) ** seed, 0.05, 0.7))
        found = estimate_path(clip(true, seed=20 + seed, noise=2.0), CONFIG)
        error = (found.centers_m - true[:, :3, 3])[1:]
        ratios.append(np.abs(error) / found.position_sigma_m[1:, None])
    within = np.mean(np.concatenate(ratios) < 2)
    assert within > 0.85
