"""Bodies that a model tells apart are measured each from its own points; whether they move is still geometry's to say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curation.objects.backends.continuity import steady
from curation.objects.backends.instances import Instance
from curation.objects.backends.refine import refine
from curation.objects.measure import Measured, measure_tracks
from schemas.camera import CameraPath
from schemas.clip import ClipFrames
from schemas.config import DepthConfig
from tests.objects.flat_world import Board, film, line
from tests.objects.test_refine import SHAPE, T, box_of, instance, track_of

World = tuple[ClipFrames, CameraPath, Measured, np.ndarray, Board, Board, Board]


@pytest.fixture(scope="module")
def street() -> World:
    """One comes near while another goes away behind it; a third stands."""
    eyes = line((0, 0, 0), (0.1, 0, 0.1), T)
    comes = Board(line((-0.75, 0.1, 3.4), (0.1, 0, -0.7), T), 0.8, 1)
    goes = Board(line((0.2, 0, 4.0), (-0.1, 0, 0.6), T), 0.9, 2)
    stands = Board(np.tile([1.4, 0.2, 3.6], (T, 1)), 0.7, 3)
    frames, path = film([comes, goes, stands], eyes)
    return frames, path, measure_tracks(frames, path, DepthConfig()), eyes, comes, goes, stands


def people(eyes: np.ndarray, *boards: Board) -> list[Instance]:
    return [instance("person", box_of(board, eyes)) for board in boards]


def way(board: Board, a: int, b: int) -> np.ndarray:
    return board.centre_m[b] - board.centre_m[a]


def test_a_body_without_an_object_becomes_one_only_if_its_points_move(street: World) -> None:
    frames, path, measured, eyes, comes, goes, stands = street
    found = refine([], frames, people(eyes, comes, goes, stands), path, measured=measured)
    assert len(found) == 2 and all(t.stats["seeded_by"] == "m" and t.stats["category"] == "person" for t in found)
    for track in found:
        board = min((comes, goes), key=lambda b: abs(b.centre_m[8, 2] - track.centroid_m[8, 2]))
        a, b = np.flatnonzero(track.visible)[[0, -1]]
        assert b - a >= 10
        assert np.linalg.norm(track.centroid_m[b] - track.centroid_m[a] - way(board, a, b)) < 0.06
    assert refine([], frames, people(eyes, stands), path, measured=measured) == []
    # A word for a patch of the wall makes nothing move either.
    wall = [instance("car", np.tile([20.0, 20.0, 120.0, 90.0], (T, 1)))]
    assert refine([], frames, wall, path, measured=measured) == []


def test_an_object_that_changed_its_body_is_replaced_by_the_bodies(street: World) -> None:
    frames, path, measured, eyes, comes, goes, _ = street
    early, late = np.arange(T) < T // 2, np.arange(T) >= T // 2
    first, second = track_of([(comes, (0.0, 1.0))], eyes, comes, early), track_of([(goes, (0.0, 1.0))], eyes, goes, late)
    names = ("centroid_m", "centroid_cov_m2", "points_m", "points_sigma_m", "moving", "bbox_xyxy_px", "num_points")
    halves = {n: np.concatenate([getattr(first, n)[: T // 2], getattr(second, n)[T // 2 :]]) for n in names}
    masks = (*first.masks[: T // 2], *second.masks[T // 2 :])
    mixed = replace(first, visible=np.ones(T, bool), masks=masks, **halves)
    both = people(eyes, comes, goes)
    assert refine([mixed], frames, both, path) == []  # without the points it can only be dropped
    found = refine([mixed], frames, both, path, measured=measured)
    assert len(found) == 2
    for track in found:
        nearer = [abs(track.centroid_m[t, 2] - comes.centre_m[t, 2]) < 0.25 for t in np.flatnonzero(track.visible)]
        assert all(nearer) or not any(nearer), "each stays on one body"


def test_an_object_of_two_bodies_gives_way_to_each(street: World) -> None:
    frames, path, measured, eyes, comes, goes, _ = street
    couple = track_of([(comes, (0.0, 1.0)), (goes, (0.0, 1.0))], eyes, comes)
    found = refine([couple], frames, people(eyes, comes, goes), path, measured=measured)
    assert len(found) == 2 and all("seeded_by" in t.stats for t in found)


def test_a_good_object_stays_as_geometry_measured_it(street: World) -> None:
    frames, path, measured, eyes, comes, _, _ = street
    own = track_of([(comes, (0.0, 1.0))], eyes, comes)
    (kept,) = refine([own], frames, people(eyes, comes), path, measured=measured)
    assert np.array_equal(kept.centroid_m, own.centroid_m) and "seeded_by" not in kept.stats


def test_an_instance_whose_distance_jumps_is_two(street: World) -> None:
    frames, _, measured, eyes, comes, goes, _ = street
    a, b = box_of(comes, eyes), box_of(goes, eyes)
    swapped = instance("person", np.where((np.arange(T) < 8)[:, None], b, a))
    parts = steady([swapped], measured.coarse, SHAPE)
    assert sorted(np.flatnonzero(p.seen).tolist() for p in parts) == [list(range(8)), list(range(8, T))]
    fast = Board(line((0, 0, 4.0), (0, 0, -1.8), T), 0.6, 5)  # 4.0 m to 1.3 m
    frames, path = film([fast], np.zeros((T, 3)))
    (same,) = steady([instance("person", box_of(fast, np.zeros((T, 3))))], measured_coarse(frames), SHAPE)
    assert same.seen.all()


def measured_coarse(frames: ClipFrames) -> np.ndarray:
    from curation.objects.backends.register import Views

    path = CameraPath(np.tile(np.eye(4), (T, 1, 1)), np.zeros((T, 6, 6)), False, 0.0, 0.0, 0.1, {})
    return Views(frames, path).disparity


def test_two_instances_of_one_body_that_take_turns_are_one(street: World) -> None:
    _, _, measured, eyes, comes, goes, _ = street
    t = np.arange(T)
    halves = [instance("person", box_of(comes, eyes), t < 9), instance("person", box_of(comes, eyes) + 1, t >= 7)]
    other = instance("person", box_of(goes, eyes))
    found = steady([*halves, other], measured.coarse, SHAPE)
    assert sorted(int(i.seen.sum()) for i in found) == [T, T]
