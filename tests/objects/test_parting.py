"""Two that met are told apart by their places in the moving frame; one body with a plain middle stays one."""

from __future__ import annotations

import numpy as np
import pytest

from curation.geometry import inverse
from curation.objects.grouping import Group, Scene
from curation.objects.motion_fit import Fit, Motion
from curation.objects.parting import parted
from curation.objects.point_tracks import PointTracks
from tests.objects.test_motion_parts import NOISE, RIG, camera_path, seen_tracks

FRAMES = 40


def scene_of(points: np.ndarray, shift: np.ndarray, seen: list[tuple[int, int]]) -> Scene:
    """Points (N, 3) of frame 0 that go along ``shift`` (T, 3), each seen from a first to a last frame."""
    cam_from_world = inverse(camera_path(FRAMES))
    carry = np.tile(np.eye(4), (FRAMES, 1, 1))
    carry[:, :3, 3] = shift
    whole = seen_tracks(points, cam_from_world @ carry)
    spans = np.array(seen)
    good = (whole.frame >= spans[whole.track, 0]) & (whole.frame <= spans[whole.track, 1])
    tracks: PointTracks = whole.where(good)
    chi2 = np.full(tracks.count, 1e4)
    return Scene(tracks, np.full((len(tracks.frame), 3), NOISE), chi2, np.full(tracks.count, 20.0), cam_from_world, RIG, 0.1)


def group_of(scene: Scene, shift: np.ndarray, points: np.ndarray) -> Group:
    motion = Motion(0, 0, points.mean(0), np.tile(np.eye(3), (FRAMES, 1, 1)), shift, np.zeros((FRAMES, 6, 6)))
    return Group(np.arange(scene.tracks.count), Fit(motion, points, np.zeros((len(scene.tracks.frame), 3))))


def cloud(centre: tuple[float, float, float], count: int, seed: int) -> np.ndarray:
    return np.array(centre) + np.random.default_rng(seed).uniform([-0.2, -0.6, -0.15], [0.2, 0.6, 0.15], (count, 3))


def test_one_who_comes_and_one_who_goes_are_two():
    t = np.arange(FRAMES)
    # towards the camera up to frame 20, away from it afterwards: the motions of two walkers, as one group
    shift = np.stack([0 * t, 0 * t, np.where(t < 20, -0.1 * t, -2.0 + 0.08 * (t - 20))], 1)
    points = np.concatenate([cloud((0, 0, 5.0), 40, 0), cloud((0.7, 0, 6.9), 30, 1)])
    scene = scene_of(points, shift, [(0, 22)] * 40 + [(18, 39)] * 30)
    one, two = parted(scene, group_of(scene, shift, points))
    assert set(one.members) == set(range(40)) and set(two.members) == set(range(40, 70))
    assert (one.fit.motion.first, one.fit.motion.last) == (0, 22) and (two.fit.motion.first, two.fit.motion.last) == (18, 39)
    for part in (one, two):
        motion = part.fit.motion
        true = shift[motion.first : motion.last + 1] - shift[motion.reference]
        assert np.abs(motion.shift - true).max() < 0.03 and np.isfinite(motion.covariance).all()
        own = np.median(points[part.members], 0) + shift[motion.reference]
        assert np.abs(motion.pivot - own).max() < 0.1, "turns are taken about the body itself"


@pytest.mark.parametrize(
    "spans",
    [
        [(0, 39)] * 40 + [(0, 39)] * 30,  # both ends all the time
        [(0, 30)] * 40 + [(12, 39)] * 30,  # one end comes into view while the other is still there
    ],
)
def test_a_long_body_with_a_plain_middle_is_one(spans):
    t = np.arange(FRAMES)
    shift = np.stack([0.05 * t, 0 * t, -0.05 * t], 1)
    points = np.concatenate([cloud((0, 0, 6.0), 40, 2), cloud((2.0, 0, 7.5), 30, 3)])
    scene = scene_of(points, shift, spans)
    (only,) = parted(scene, group_of(scene, shift, points))
    assert len(only.members) == 70


def test_strays_do_not_part_a_body():
    t = np.arange(FRAMES)
    shift = np.stack([0.05 * t, 0 * t, 0 * t], 1)
    points = np.concatenate([cloud((0, 0, 6.0), 60, 4), cloud((2.0, 0, 9.0), 3, 5)])
    scene = scene_of(points, shift, [(0, 15)] * 60 + [(25, 39)] * 3)
    (only,) = parted(scene, group_of(scene, shift, points))
    assert len(only.members) == 63
