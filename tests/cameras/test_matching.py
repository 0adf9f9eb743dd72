"""Sub-pixel matching on images shifted by a known amount."""

import cv2
import numpy as np
import pytest

from curation.cameras import matching

SCALE = 8  # the scene is drawn so many times finer than the images that see it


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    rng = np.random.default_rng(3)
    out = np.zeros((200 * SCALE, 340 * SCALE), np.float32)
    for blur in (10, 25, 70):
        layer = cv2.resize(rng.standard_normal((out.shape[0] // 4, out.shape[1] // 4)).astype(np.float32), out.shape[::-1])
        layer = cv2.GaussianBlur(layer, (0, 0), blur)
        out += layer / layer.std()
    return 120 + 25 * out / out.std()


def view(scene: np.ndarray, shift_px: float, down_px: float = 0.0, noise: float = 1.0, seed: int = 0) -> np.ndarray:
    """300 x 160 pixels of the scene; what lies at u in the unshifted view lies at u - shift_px."""
    x, y = 20 * SCALE + round(shift_px * SCALE), 20 * SCALE - round(down_px * SCALE)
    cut = scene[y : y + 160 * SCALE, x : x + 300 * SCALE]
    image = cv2.resize(cut, (300, 160), interpolation=cv2.INTER_AREA)
    return np.clip(np.round(image + noise * np.random.default_rng(seed).standard_normal(image.shape)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shift_px", [0.0, 0.25, 3.5, 11.125])
def test_a_known_disparity_is_measured_without_bias(scene, shift_px):
    left, right = view(scene, 0, seed=1), view(scene, shift_px, seed=2)
    corners = matching.detect_corners(left, 400)
    disparity, valid = matching.match_right(left, right, corners, np.full(len(corners), shift_px + 0.8))
    assert valid.mean() > 0.85
    assert abs(np.median(disparity[valid]) - shift_px) < 0.01
    assert 1.4826 * np.median(np.abs(disparity[valid] - shift_px)) < 0.06


def test_points_keep_their_own_convention(scene):
    """A point half a pixel into the image is the centre of the top-left pixel: shifting both changes nothing."""
    left, right = view(scene, 0, seed=1), view(scene, 2.5, seed=2)
    blob = np.full((100, 100), 40, np.uint8)
    cv2.circle(blob, (50, 60), 6, 200, -1)
    moved = np.roll(blob, (3, 5), axis=(0, 1))
    place, ok = matching.track(blob, moved, np.array([[50.5, 60.5]]))
    assert ok[0] and np.allclose(place[0], [55.5, 63.5], atol=0.05)
    assert left.shape == right.shape


def test_a_match_that_leaves_its_row_is_refused(scene):
    left, right = view(scene, 0, seed=1), view(scene, 4.0, down_px=1.5, seed=2)
    corners = matching.detect_corners(left, 200)
    _, strict = matching.match_right(left, right, corners, np.full(len(corners), 4.0))
    _, loose = matching.match_right(left, right, corners, np.full(len(corners), 4.0), max_vertical_px=3.0)
    assert strict.mean() < 0.1 and loose.mean() > 0.8


def test_unknown_guesses_and_points_give_nan_and_nothing_else(scene):
    left, right = view(scene, 0, seed=1), view(scene, 4.0, seed=2)
    corners = matching.detect_corners(left, 50)
    guess = np.full(len(corners), 4.0)
    guess[::2] = np.nan
    corners[1] = np.nan
    disparity, valid = matching.match_right(left, right, corners, guess)
    assert not valid[::2].any() and not valid[1] and np.isnan(disparity[~valid]).all() and np.isfinite(disparity[valid]).all()
    assert valid[3::2].mean() > 0.8


def test_no_points_are_no_error(scene):
    left = view(scene, 0)
    none = np.zeros((0, 2))
    assert matching.match_right(left, left, none, np.zeros(0))[0].shape == (0,)
    assert matching.track(left, left, none)[0].shape == (0, 2)
    assert matching.correlation(left, left, none, none).shape == (0,)


def test_unrelated_noise_is_not_a_match():
    rng = np.random.default_rng(0)
    left, right = (rng.integers(0, 255, (160, 300), dtype=np.uint8) for _ in range(2))
    corners = matching.detect_corners(left, 300)
    _, valid = matching.match_right(left, right, corners, np.full(len(corners), 5.0))
    assert valid.mean() < 0.1


def test_correlation_tells_the_same_patch_from_noise(scene):
    left, again, other = view(scene, 0, seed=1), view(scene, 0, seed=2), view(scene, 9.0, seed=3)
    corners = matching.detect_corners(left, 200)
    assert np.median(matching.correlation(left, again, corners, corners)) > 0.98
    assert np.median(matching.correlation(left, other, corners, corners)) < 0.6
    assert np.median(matching.correlation(left, other, corners, corners - [9.0, 0.0])) > 0.98


def test_corners_keep_their_distance_and_spread_over_the_image(scene):
    image = view(scene, 0)
    image[:, :60] = np.random.default_rng(0).integers(0, 255, (160, 60))  # by far the strongest texture
    held = np.array([[150.5, 80.5]])
    corners = matching.detect_corners(image, 200, held, distance_px=8)
    gaps = np.linalg.norm(corners[:, None] - corners[None], axis=-1) + 99 * np.eye(len(corners))
    assert len(corners) == 200 and gaps.min() > 6 and np.linalg.norm(corners - held, axis=1).min() > 6
    assert (corners[:, 0] < 60).mean() < 0.35


def test_the_coarse_disparity_reaches_to_the_left_edge(scene):
    left, right = view(scene, 0, seed=1), view(scene, 9.0, seed=2)
    coarse = matching.coarse_disparity(left, right, 32)
    assert coarse.shape == left.shape
    assert abs(np.nanmedian(coarse) - 9.0) < 1.0
    assert np.isfinite(coarse[:, 10:20]).mean() > 0.5  # the match of column 10 lies at column 1
    points = np.array([[50.5, 50.5], [150.5, 90.5]])
    assert np.allclose(matching.sample_disparity(coarse, points), 9.0, atol=1.0)
