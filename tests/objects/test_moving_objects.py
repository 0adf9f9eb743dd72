from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from curation.objects import find_moving_objects
from curation.objects.masks import decode
from curation.objects.overlay import contact_sheet, draw_overlay
from schemas.config import DepthConfig, ObjectsConfig
from tests.objects.flat_world import Board, film, line

TOTAL = 18
EYES = line((0, 0, 0), (0.15, 0.0, 0.4), TOTAL)


@cache
def moving_and_parked():
    mover = Board(line((-0.9, 0.1, 4.0), (0.5, 0.0, -0.2), TOTAL), 0.9, 1)
    parked = Board(line((1.3, 0.1, 4.0), (0, 0, 0), TOTAL), 0.9, 1)  # the same texture: a twin
    frames, path = film([mover, parked], EYES)
    return frames, path, mover, find_moving_objects(frames, path, ObjectsConfig(), DepthConfig())


def test_a_mover_is_found_with_its_displacement_and_its_parked_twin_is_not():
    _, _, mover, tracks = moving_and_parked()
    assert [t.object_id for t in tracks] == ["obj_1"]
    track = tracks[0]
    seen = np.flatnonzero(track.visible)
    assert len(seen) >= TOTAL - 3
    i, j = seen[0], seen[-1]
    error = (track.centroid_m[j] - track.centroid_m[i]) - (mover.centre_m[j] - mover.centre_m[i])
    assert np.linalg.norm(error) < 0.03
    sigma = np.sqrt(np.trace(track.centroid_cov_m2[i] + track.centroid_cov_m2[j]))
    assert np.linalg.norm(error) < 4 * sigma < 0.5


def test_the_mask_lies_on_the_mover():
    frames, path, mover, tracks = moving_and_parked()
    middle = TOTAL // 2
    mask = decode(tracks[0].masks[middle])
    half = np.array([mover.side_m / 2, mover.side_m / 2, 0])
    low, high = frames.camera.project(mover.centre_m[middle] + np.stack([-half, half]) - EYES[middle])
    truth = np.zeros_like(mask)
    truth[round(low[1]) : round(high[1]), round(low[0]) : round(high[0])] = True
    assert (mask & truth).sum() / (mask | truth).sum() > 0.8


def test_surface_points_are_as_far_as_the_board():
    _, _, mover, tracks = moving_and_parked()
    track = tracks[0]
    assert 8 <= track.points_m.shape[1] <= 64
    for t in np.flatnonzero(track.visible):
        assert np.abs(np.median(track.points_m[t, :, 2]) - mover.centre_m[t, 2]) < 0.06
        assert 0 < track.points_sigma_m[t] < 0.3


def test_nothing_moves_in_a_standing_world():
    boards = [Board(line((x, 0.1, z), (0, 0, 0), TOTAL), 0.9, seed) for x, z, seed in ((-0.9, 4.0, 1), (1.2, 5.0, 2))]
    frames, path = film(boards, EYES)
    assert find_moving_objects(frames, path, ObjectsConfig(), DepthConfig()) == []


def test_a_pause_is_labelled_as_standstill():
    total = 24
    going = np.concatenate([np.arange(10), np.full(14, 9)])
    centre = np.array([-0.9, 0.1, 4.0]) + going[:, None] / 10 * np.array([0.8, 0, 0])
    frames, path = film([Board(centre, 0.9, 1)], line((0, 0, 0), (0.15, 0, 0.2), total))
    (track,) = find_moving_objects(frames, path, ObjectsConfig(), DepthConfig())
    assert track.moving[2:7].all()
    assert track.visible[15:22].all() and not track.moving[15:22].any()


def test_the_same_clip_gives_the_same_tracks_twice():
    frames, path, _, first = moving_and_parked()
    second = find_moving_objects(frames, path, ObjectsConfig(), DepthConfig())
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.masks == b.masks
        np.testing.assert_array_equal(a.centroid_m, b.centroid_m)
        np.testing.assert_array_equal(a.centroid_cov_m2, b.centroid_cov_m2)


def test_a_mono_clip_is_refused_with_a_reason():
    frames, path = film([], EYES[:3])
    object.__setattr__(frames, "right", None)
    with pytest.raises(ValueError, match="expected a clip with a right eye"):
        find_moving_objects(frames, path, ObjectsConfig(), DepthConfig())


def test_an_overlay_tints_the_mask_and_the_sheet_holds_every_tile():
    frames, path, _, tracks = moving_and_parked()
    pictures = draw_overlay(frames, path, tracks)
    assert len(pictures) == TOTAL
    mask = decode(tracks[0].masks[TOTAL // 2])
    assert (pictures[TOTAL // 2][mask] != frames.left[TOTAL // 2][mask]).any(1).mean() > 0.9
    assert contact_sheet(pictures, columns=3, count=6, width_px=120).shape == (2 * 75, 360, 3)
    with pytest.raises(ValueError, match="at least one image"):
        contact_sheet([])
