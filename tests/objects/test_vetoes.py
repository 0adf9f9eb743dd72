"""What moves and is no object of its own: shadows where no ground is seen, limbs of a body that stays."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from curation.geometry import rotation_from_vector
from curation.objects import weigh as weigh_module
from curation.objects.candidates import _without_parts
from curation.objects.surface import Ground, thickness_m
from curation.objects.weigh import GATES, Candidate, weigh
from tests.objects.test_parting import FRAMES, cloud, group_of, scene_of

STILL = np.tile(np.eye(4), (FRAMES, 1, 1))


@pytest.mark.parametrize("pitch_deg", [-14.0, 0.0, 14.0])
def test_what_lies_flat_is_thin_however_the_camera_looks_down(pitch_deg: float) -> None:
    rng = np.random.default_rng(1)
    flat = np.array([0.0, 1.4, 5.0]) + rng.uniform([-0.4, 0, -0.3], [0.4, 0, 0.3], (60, 3))
    upright = cloud((0.0, 0.9, 5.0), 60, 2)
    turn = rotation_from_vector(np.radians([pitch_deg, 0, 0]))
    noise = np.tile(np.eye(3) * 0.01**2, (60, 1, 1))
    jitter = rng.normal(0, 0.01, (60, 3))
    assert thickness_m(flat @ turn.T + jitter, noise, STILL) < 0.08
    assert thickness_m(upright @ turn.T + jitter, noise, STILL) > 0.3
    assert thickness_m(flat[:4], noise[:4], STILL) == float("inf"), "too few points tell nothing"


@pytest.mark.parametrize(
    ("moved_m", "centre", "refused"),
    [
        (0.5, (0.25, 0.0, 5.0), "part_of_another"),  # an arm of somebody who turns
        (2.0, (0.25, 0.0, 5.0), ""),  # passes by, and goes on
        (0.5, (2.5, 0.0, 5.0), ""),  # beside
        (0.5, (0.25, 0.0, 8.0), ""),  # behind
    ],
)
def test_a_limb_of_a_body_that_stays_is_no_object(moved_m: float, centre: tuple[float, float, float], refused: str) -> None:
    points = np.concatenate([cloud((0, 0, 5.0), 100, 0), cloud(centre, 30, 1)])
    shift = np.zeros((FRAMES, 3))
    scene = scene_of(points, shift, [(0, 39)] * 130)
    body, limb = (replace(group_of(scene, shift, points[m]), members=m) for m in (np.arange(100), np.arange(100, 130)))
    none = np.zeros(0, int)
    stays = Candidate(body, None, "moved_too_little", {"displacement_m": 0.5 * GATES.displacement_m, "depth_m": 5.0}, none)
    moves = Candidate(limb, None, "", {"displacement_m": moved_m, "depth_m": centre[2]}, none)
    found = {len(c.group.members): c.refused for c in _without_parts(scene, [stays, moves])}
    assert found == {100: "moved_too_little", 30: refused}


@pytest.mark.parametrize(
    ("low_m", "high_m", "refused"),
    [
        (0.50, 0.55, "rim"),  # the level top of a plain crate, all around
        (0.05, 0.55, ""),  # the whole crate
        (0.20, 0.55, ""),  # as much of it as is seen over a kerb
    ],
)
def test_a_level_rim_high_over_the_ground_is_where_two_outlines_cross(
    low_m: float, high_m: float, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weigh_module, "carried_support", lambda *_: (60, 60))
    monkeypatch.setattr(weigh_module, "on_surface_share", lambda scene, still, members, frames: (0 * members, 0 * members))
    rng = np.random.default_rng(4)
    ground_m = 1.4  # below the camera; +Y is down
    points = np.array([0, ground_m, 5.0]) + rng.uniform([-0.4, -high_m, -0.3], [0.4, -low_m, 0.3], (60, 3))
    shift = np.stack([0.04 * np.arange(FRAMES), np.zeros(FRAMES), -0.03 * np.arange(FRAMES)], 1)
    scene = scene_of(points, shift, [(0, 39)] * 60)
    measured = SimpleNamespace(
        scene=scene, images=None, still=np.zeros(60, bool), ground=Ground(np.array([0.0, -1.0, 0.0]), ground_m)
    )
    assert weigh(measured, group_of(scene, shift, points)).refused == refused
