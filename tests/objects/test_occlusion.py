from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from curation.objects import find_moving_objects
from curation.objects.link import link
from curation.objects.measure import calibrate_noise
from schemas.config import DepthConfig, ObjectsConfig
from tests.objects.flat_world import Board, film, line

TOTAL = 30
EYES = line((0, 0, 0), (0.05, 0.0, 0.2), TOTAL)
MOVER = Board(line((-1.6, 0.1, 4.2), (1.1, 0.0, 0.0), TOTAL), 0.7, 1)
PILLAR = Board(line((0.0, 0.0, 3.0), (0, 0, 0), TOTAL), 1.0, 3)


@cache
def behind_a_pillar():
    frames, path = film([MOVER, PILLAR], EYES)
    return frames, path, find_moving_objects(frames, path, ObjectsConfig(), DepthConfig())


def test_what_passes_behind_a_pillar_is_one_object_and_its_displacement_holds():
    _, _, tracks = behind_a_pillar()
    (track,) = tracks
    seen = np.flatnonzero(track.visible)
    assert track.stats["linked"] == 1
    assert seen[0] < 4 and seen[-1] > TOTAL - 5 and np.diff(seen).max() >= 3
    moved = track.centroid_m[seen[-1]] - track.centroid_m[seen[0]]
    truth = MOVER.centre_m[seen[-1]] - MOVER.centre_m[seen[0]]
    sigma = np.sqrt(np.trace(track.centroid_cov_m2[seen[0]] + track.centroid_cov_m2[seen[-1]]))
    assert np.linalg.norm(moved - truth) < min(2.5 * sigma, 0.3)


def halves(track):
    gap = int(np.argmax(np.diff(np.flatnonzero(track.visible))))
    middle = int(np.flatnonzero(track.visible)[gap]) + 1
    stats = {k: v for k, v in track.stats.items() if k != "linked"}

    def part(keep):
        visible = track.visible & keep
        masks = tuple(m if v else None for m, v in zip(track.masks, visible, strict=True))
        centroid = np.where(visible[:, None], track.centroid_m, np.nan)
        return replace(track, visible=visible, masks=masks, centroid_m=centroid, stats=stats)

    before = np.arange(TOTAL) < middle
    return part(before), part(~before)


def test_two_that_could_both_be_it_are_left_apart():
    frames, path, tracks = behind_a_pillar()
    first, later = halves(tracks[0])
    assert len(link([first, later], frames, path)) == 1
    twin = replace(later, centroid_m=later.centroid_m + np.array([0.0, 0.0, 0.1]))
    assert len(link([first, later, twin], frames, path)) == 3


@pytest.mark.parametrize("shift", [(0.0, 0.0, 1.5), (1.2, 0.0, 0.0), (-1.4, 0.0, 0.0)])
def test_what_comes_out_elsewhere_is_another(shift):
    frames, path, tracks = behind_a_pillar()
    first, later = halves(tracks[0])
    assert len(link([first, replace(later, centroid_m=later.centroid_m + np.array(shift))], frames, path)) == 2


def test_what_comes_out_in_another_colour_is_another():
    frames, path, tracks = behind_a_pillar()
    first, later = halves(tracks[0])
    left = frames.left.copy()
    left[later.visible] = left[later.visible][..., ::-1] // 3
    assert len(link([first, later], replace(frames, left=left), path)) == 2


def test_noise_grows_with_less_texture_as_it_was_made():
    rng = np.random.default_rng(0)
    texture = 10 ** rng.uniform(0.7, 3, 20_000)
    sigma = np.sqrt(0.09**2 + 0.4**2 / texture)[:, None]
    noise, slope = calibrate_noise(np.abs(rng.normal(0, sigma, (20_000, 3))), texture, 0.08)
    assert noise == pytest.approx(0.09, rel=0.1)
    assert slope == pytest.approx(0.4, rel=0.15)


def test_noise_of_a_clip_full_of_movers_is_bounded_by_the_path():
    texture = np.full(20_000, 100.0)
    noise, slope = calibrate_noise(np.full((20_000, 3), 5.0), texture, 0.08)
    assert np.sqrt(noise**2 + slope**2 / 100).max() < 0.4


@pytest.mark.parametrize("count", [0, 10])
def test_noise_of_hardly_any_residuals_is_still_a_number(count):
    noise, slope = calibrate_noise(np.full((count, 3), 0.1), np.full(count, 50.0), 0.08)
    assert np.isfinite(noise).all() and (noise >= 0.06).all() and (slope == 0).all()
