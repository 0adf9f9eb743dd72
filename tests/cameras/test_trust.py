"""The vetoes, and the second motion that makes a path ambiguous."""

import numpy as np
import pytest

from curation.cameras import trust
from curation.cameras.bundle import Tracks
from curation.cameras.calibrate import judged_offset
from curation.geometry import inverse, transform
from schemas.config import CamerasConfig
from schemas.outcome import Rejected
from tests.cameras import room

GOOD = {
    "length_m": 2.0, "error_m": 0.005, "sigma_m": 0.004, "link_ratio": 0.8, "kept_ratio": 0.8, "links": 300,
    "rival": trust.Rival(0.1, 0.2, False),
}  # fmt: skip


def test_a_sound_path_passes():
    trust.veto(CamerasConfig(), **GOOD)


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("pose_few_tracks", {"links": 49}),
        ("pose_outliers", {"link_ratio": 0.3}),
        ("pose_outliers", {"kept_ratio": 0.3}),
        ("pose_ambiguous", {"rival": trust.Rival(0.9, 1.0, False)}),
        ("pose_ambiguous", {"rival": trust.Rival(0.3, 0.4, True)}),
        ("pose_ambiguous", {"rival": trust.Rival(0.1, 2.5, False)}),
        ("pose_uncertain", {"error_m": 0.021}),
        ("pose_uncertain", {"sigma_m": 0.021}),
        ("pose_uncertain", {"error_m": float("nan")}),
    ],
)
def test_each_doubt_refuses_the_path_with_its_reason(reason, change):
    with pytest.raises(Rejected, match=reason):
        trust.veto(CamerasConfig(), **{**GOOD, **change})


def test_a_long_path_may_be_wrong_by_its_share():
    trust.veto(CamerasConfig(), **{**GOOD, "length_m": 50.0, "error_m": 0.4, "sigma_m": 0.4})


def two_motions(share: float, depth_m: tuple[float, float]) -> tuple[Tracks, np.ndarray]:
    """Tracks of a static world at one depth, and of a rigid body at another that moves sideways, over ``share`` of the width."""
    rng, view, frames = np.random.default_rng(0), room.camera(), 20
    poses = room.path(frames, (0.1, 0, 0.6))
    pixels = rng.uniform([0, 0], [view.width, view.height], (900, 2))
    mover = pixels[:, 0] < share * view.width
    points = view.unproject(pixels, np.where(mover, depth_m[1], depth_m[0]) * rng.uniform(0.8, 1.2, 900))
    uvd = np.empty((900, frames, 3))
    for t in range(frames):
        y = transform(inverse(poses[t]), points + mover[:, None] * [0.06 * t, 0.02 * t, 0])
        uvd[:, t] = np.column_stack([view.project(y), view.fx * 0.12 / y[:, 2]])
    uvd[..., :2] += 0.1 * rng.standard_normal(uvd[..., :2].shape)
    return Tracks(np.zeros(900, int), uvd, np.arange(900)), poses


def test_one_motion_has_no_rival():
    tracks, poses = two_motions(0.0, (6.0, 6.0))
    assert trust.rival_motion(tracks, poses, room.camera(), 0.12, 0.0).share == 0.0


def test_a_mover_in_front_is_seen_as_a_rival_of_its_size():
    tracks, poses = two_motions(0.4, (8.0, 3.0))
    rival = trust.rival_motion(tracks, poses, room.camera(), 0.12, 0.0)
    assert 0.5 < rival.share < 0.9 and not rival.behind


def test_a_path_of_the_mover_finds_the_world_behind_it():
    tracks, poses = two_motions(0.7, (8.0, 3.0))
    body = poses.copy()
    body[:, :3, 3] -= np.arange(20)[:, None] * [0.06, 0.02, 0]  # the path that explains the mover as if it stood
    rival = trust.rival_motion(tracks, body, room.camera(), 0.12, 0.0)
    assert rival.share > 0.25 and rival.behind


class _Free:
    offset_px, offset_sigma_px = 0.5, 0.01


@pytest.mark.parametrize(
    ("gain", "halves", "offset", "sigma", "applied"),
    [
        (0.02, (0.49, 0.51), 0.5, 0.01, True),
        (0.0005, (0.49, 0.51), 0.5, 0.01, False),  # hardly any gain
        (0.02, (0.2, 0.8), 0.5, 0.01, False),  # halves disagree
        (0.02, (0.49, 0.51), 0.5, 0.2, False),  # not sharp
        (0.02, (8.0, 8.1), 8.0, 0.01, False),  # absurd
        (0.02, (0.05, 0.05), 0.05, 0.001, False),  # too small to tell from the tracker's bias
    ],
)
def test_only_a_sharp_and_agreed_offset_is_applied(gain, halves, offset, sigma, applied):
    free = _Free()
    free.offset_px, free.offset_sigma_px = offset, sigma
    value, doubt = judged_offset(free, gain, *halves)  # type: ignore[arg-type]
    assert value == (offset if applied else 0.0)
    assert doubt > 0
