"""Corners of a clip as witnesses of a path that something else found."""

import numpy as np
import pytest

from curation.cameras import matching, verdict, witness
from curation.cameras.corner_adjust import aligned
from curation.geometry import inverse, rotation_from_vector
from schemas.config import CamerasConfig
from schemas.outcome import Rejected
from tests.cameras import room

FRAMES = 14
TRUE = room.path(FRAMES, (0.4, 0.0, 1.0), (0, 5, 0))
VIEW = room.camera(480, 300)


@pytest.fixture(scope="module")
def corners() -> witness.Corners:
    return witness.follow_corners([matching.gray(frame) for frame in room.clip(TRUE, view=VIEW).left], VIEW)


def off(path: np.ndarray) -> float:
    """Largest distance from the truth after alignment, as a share of the way."""
    apart = aligned(path, TRUE)[:, :3, 3] - TRUE[:, :3, 3]
    return float(np.linalg.norm(apart, axis=1).max() / np.linalg.norm(np.diff(TRUE[:, :3, 3], axis=0), axis=1).sum())


def bent(amount: float, turn_deg: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    walk, spin = (np.cumsum(rng.standard_normal((FRAMES, 3)), axis=0) for _ in range(2))
    path = TRUE.copy()
    path[:, :3, 3] += amount * walk / np.linalg.norm(walk, axis=1).max()
    path[:, :3, :3] = rotation_from_vector(np.radians(turn_deg) * spin / np.linalg.norm(spin, axis=1).max()) @ path[:, :3, :3]
    return inverse(path[0]) @ path


def changed(change: str) -> np.ndarray:
    path, half = TRUE.copy(), FRAMES // 2
    if change == "turned about":
        path[:, :3, 3] *= -1
    elif change == "mirrored":
        path[:, 0, 3] *= -1
    elif change == "inverted":
        path = inverse(path)
    elif change == "with another scale from the middle on":
        path[half:, :3, 3] = path[half, :3, 3] + 0.6 * (path[half:, :3, 3] - path[half, :3, 3])
    elif change == "with a scale that drifts":
        steps = np.diff(TRUE[:, :3, 3], axis=0) * np.linspace(1, 0.6, FRAMES - 1)[:, None]
        path[1:, :3, 3] = np.cumsum(steps, axis=0)
    elif change == "of a camera that only turns":
        path[:, :3, 3] = 0
    elif change == "bent a little":
        path = bent(0.1, 0.5)
    return path


def test_the_true_path_is_believed_in_any_unit(corners):
    for scale in (1.0, 1e-3, 50.0):
        path = TRUE.copy()
        path[:, :3, 3] *= scale
        found = verdict.judge(corners, path, CamerasConfig(), seed=0)
        assert found.stats["worst_explained_share"] > 0.8 and found.stats["drawn_rel"] < 0.004
        assert found.doubt.shape == (FRAMES,)


@pytest.mark.parametrize(
    "change",
    [
        "turned about", "mirrored", "inverted", "with another scale from the middle on", "with a scale that drifts",
        "of a camera that only turns", "bent a little",
    ],
)  # fmt: skip
def test_a_path_that_is_not_the_clips_is_refused(corners, change):
    with pytest.raises(Rejected, match="^pose_"):
        verdict.judge(corners, changed(change), CamerasConfig(), seed=0)


def test_how_far_the_corners_draw_a_path_tells_how_wrong_it_is(corners):
    loose = CamerasConfig(max_relative_error=1.0, min_inlier_ratio=0.0)
    for amount in (0.02, 0.04):
        path = bent(amount, 0.0)
        drawn = verdict.judge(corners, path, loose, seed=0).stats["drawn_rel"]
        assert 0.6 * off(path) < drawn < 1.5 * off(path) + 0.003


def test_a_rough_path_settles_on_the_true_one(corners):
    rough = bent(0.12, 2.0)
    assert off(rough) > 0.02
    assert off(verdict.settle(corners, rough)) < 0.004


def test_corners_know_their_depth_in_the_units_of_the_path(corners):
    path = TRUE.copy()
    path[:, :3, 3] *= 10
    said = witness.hear(corners, path)
    pixels, depth = witness.depth_at_corners(corners, path, said.explained)
    # All walls of the room stand parallel to an axis: a point of frame 0 lies on the nearest that its ray meets.
    ray = np.concatenate([(pixels[0] - [VIEW.cx, VIEW.cy]) / [VIEW.fx, VIEW.fy], np.ones((len(depth[0]), 1))], axis=1)
    with np.errstate(divide="ignore"):
        walls = [(0, 1, 4), (0, -1, 4), (1, 1, 2), (1, -1, 2), (2, 1, 9)]  # axis, side, distance
        true = np.min([np.where(ray[:, k] * side > 0, far / np.abs(ray[:, k]), np.inf) for k, side, far in walls], axis=0)
    assert len(true) > 100 and np.median(np.abs(depth[0] / 10 / true - 1)) < 0.02


def test_a_second_path_that_explains_as_many_corners_makes_it_ambiguous():
    way = np.linspace(0, 1, FRAMES)
    board = (np.stack([-0.9 + 0.5 * way, 0.1 * way, 2.2 + 0 * way], axis=1), (2.6, 3.2))
    clip = room.clip(TRUE, view=VIEW, board=board)
    found = witness.follow_corners([matching.gray(frame) for frame in clip.left], VIEW)
    with pytest.raises(Rejected, match="pose_ambiguous|pose_outliers|pose_uncertain"):
        verdict.judge(found, TRUE, CamerasConfig(), seed=0)


def test_frames_without_corners_are_refused_and_not_divided_by():
    empty = witness.follow_corners([np.full((300, 480), 90, np.uint8)] * 6, VIEW)
    with pytest.raises(Rejected, match="pose_few_tracks"):
        verdict.judge(empty, TRUE[:6], CamerasConfig(), seed=0)
    with pytest.raises(Rejected, match="pose_few_tracks"):
        verdict.settle(empty, TRUE[:6])


def test_the_same_clip_gives_the_same_verdict_to_the_bit(corners):
    one, two = (verdict.judge(corners, TRUE, CamerasConfig(), seed=3) for _ in range(2))
    assert one.stats == two.stats and np.array_equal(one.doubt, two.doubt)
