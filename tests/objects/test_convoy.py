"""Two bodies that travel as one are told apart by colours that stand side by side; one body of two colours stays one."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from curation.objects.convoy import _halves
from curation.objects.grouping import Scene
from schemas.camera import Array
from tests.objects.test_motion_parts import RIG
from tests.objects.test_parting import FRAMES, cloud, group_of, scene_of

RED, GREEN, GREY = (190, 30, 30), (40, 160, 50), (120, 120, 120)
SHIFT = np.stack([0.04 * np.arange(FRAMES), 0 * np.arange(FRAMES), -0.03 * np.arange(FRAMES)], 1)
LEFT, RIGHT = cloud((-0.4, 0.0, 5.0), 60, 0), cloud((0.4, 0.0, 5.3), 50, 1)


def pictures(scene: Scene, colour_of: list[tuple[int, int, int]]) -> Array:
    """Grey frames with a dot of its colour at every track."""
    left = np.full((FRAMES, round(2 * RIG.cy), round(2 * RIG.cx), 3), GREY, np.uint8)
    for track, frame, (u, v, _) in zip(scene.tracks.track, scene.tracks.frame, scene.tracks.uvd, strict=True):
        left[frame, max(0, int(v) - 2) : int(v) + 3, max(0, int(u) - 2) : int(u) + 3] = colour_of[track]
    return left


def halves(points: np.ndarray, colours: list[tuple[int, int, int]]) -> list[set[int]]:
    scene = scene_of(points, SHIFT, [(0, 39)] * len(points))
    measured = SimpleNamespace(scene=scene, ground=None)
    found = _halves(measured, pictures(scene, colours), group_of(scene, SHIFT, points))
    for part in found:
        own = part.fit.motion
        assert np.abs(own.shift - (SHIFT[own.first : own.last + 1] - SHIFT[own.reference])).max() < 0.05
    return [set(part.members.tolist()) for part in found]


@pytest.mark.parametrize("more", [0, 8])
def test_two_colours_side_by_side_are_two_bodies(more: int) -> None:
    """Some tracks of each have the colour of what lies behind."""
    colours = [RED] * (60 - more) + [GREY] * more + [GREEN] * (50 - more) + [GREY] * more
    one, two = halves(np.concatenate([LEFT, RIGHT]), colours)
    assert len(one ^ set(range(60))) <= 2 and len(two ^ set(range(60, 110))) <= 2


def test_one_colour_is_one_body() -> None:
    assert halves(np.concatenate([LEFT, RIGHT]), [RED] * 110) == []


def test_a_shirt_over_trousers_is_one_body() -> None:
    shirt, trousers = LEFT * [1, 0.5, 1] - [0, 0.5, 0], LEFT * [1, 0.5, 1] + [0.05, 0.5, 0]
    assert halves(np.concatenate([shirt, trousers]), [RED] * 60 + [GREEN] * 60) == []


def test_a_pattern_of_two_colours_is_one_body() -> None:
    assert halves(np.concatenate([LEFT, RIGHT]), [RED, GREEN] * 55) == []


def test_plain_colours_are_those_of_wheels_and_of_what_lies_behind() -> None:
    assert halves(np.concatenate([LEFT, RIGHT]), [RED] * 60 + [GREY] * 50) == []


def test_a_few_tracks_of_another_colour_are_no_body() -> None:
    assert halves(np.concatenate([LEFT, RIGHT[:9]]), [RED] * 60 + [GREEN] * 9) == []
