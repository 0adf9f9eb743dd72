"""What a model sees refines what geometry found: exact little worlds of boards, with instances made by hand."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from curation.objects.backends.association import best_instance, merged_bodies, overlap
from curation.objects.backends.instances import Instance
from curation.objects.backends.outline import from_box, from_mask
from curation.objects.backends.refine import _outlined, refine
from curation.objects.backends.register import Views, measure_shift
from curation.objects.masks import decode, encode
from schemas.camera import CameraPath
from schemas.clip import ClipFrames
from schemas.track import ObjectTrack
from tests.objects.flat_world import CAMERA, Board, film, line

T = 16
SHAPE = (CAMERA.height, CAMERA.width)


def box_of(board: Board, eyes: np.ndarray, share: tuple[float, float] = (0.0, 1.0)) -> np.ndarray:
    """(T, 4) pixels of a board, or of a vertical strip of it."""
    half = board.side_m / 2
    u = -half + board.side_m * np.array(share)
    low = CAMERA.project(board.centre_m + np.array([u[0], -half, 0]) - eyes)
    high = CAMERA.project(board.centre_m + np.array([u[1], half, 0]) - eyes)
    return np.concatenate([low, high], 1)


def mask_of(boxes: np.ndarray) -> list[np.ndarray]:
    out = []
    for u0, v0, u1, v1 in np.round(boxes).astype(int):
        mask = np.zeros(SHAPE, bool)
        mask[max(v0, 0) : max(v1, 0), max(u0, 0) : max(u1, 0)] = True
        out.append(mask)
    return out


def track_of(
    parts: list[tuple[Board, tuple[float, float]]], eyes: np.ndarray, carrier: Board, visible: np.ndarray | None = None
) -> ObjectTrack:
    """An object that geometry might have found: points on (strips of) boards, all carried by the motion of ``carrier``."""
    seen = np.ones(T, bool) if visible is None else visible
    points, masks = [], [np.zeros(SHAPE, bool) for _ in range(T)]
    for board, (low, high) in parts:
        u, v = np.meshgrid(np.linspace(low + 0.05, high - 0.05, 6) - 0.5, np.linspace(-0.45, 0.45, 8))
        local = np.stack([u.ravel(), v.ravel(), 0 * u.ravel()], -1) * board.side_m
        points.append(local + board.centre_m[T // 2])
        masks = [a | b for a, b in zip(masks, mask_of(box_of(board, eyes, (low, high))), strict=True)]
    start = np.concatenate(points)
    carried = start[None] + (carrier.centre_m - carrier.centre_m[T // 2])[:, None]
    boxes = np.full((T, 4), np.nan)
    for t in np.flatnonzero(seen):
        v, u = np.nonzero(masks[t])
        boxes[t] = u.min(), v.min(), u.max() + 1, v.max() + 1
    hide = ~seen
    centroid, cov, cloud = carried.mean(1), np.tile(1e-4 * np.eye(3), (T, 1, 1)), carried.astype(np.float32)
    for array in (centroid, cov, cloud):
        array[hide] = np.nan
    return ObjectTrack(
        "obj_1",
        seen,
        centroid,
        cov,
        0.01,
        cloud,
        np.where(seen, 0.02, np.nan),
        seen.copy(),
        tuple(encode(m) if s else None for m, s in zip(masks, seen, strict=True)),
        boxes,
        np.where(seen, 40, 0),
        {"size_m": 0.8, "mask_share": max(float(m.mean()) for m in masks)},
    )


def instance(category: str, boxes: np.ndarray, seen: np.ndarray | None = None, certainty: float = 1.0) -> Instance:
    there = np.ones(T, bool) if seen is None else seen
    return Instance(category, certainty, np.where(there, 0.8, 0.0), np.where(there[:, None], boxes, np.nan), (None,) * T, "m")


@pytest.fixture(scope="module")
def two() -> tuple[ClipFrames, CameraPath, np.ndarray, Board, Board]:
    """Two boards side by side; the second is a little faster, so that one motion does not quite fit both."""
    eyes = line((0, 0, 0), (0.15, 0, 0), T)
    first = Board(line((-0.9, 0, 3.2), (0.5, 0, 0.1), T), 0.8, 1)
    second = Board(line((-0.05, 0, 3.2), (0.62, 0, 0.1), T), 0.8, 2)
    return *film([first, second], eyes), eyes, first, second


def test_no_instance_changes_nothing_and_an_instance_alone_makes_no_object(two) -> None:
    frames, path, eyes, first, second = two
    track = track_of([(first, (0.0, 1.0))], eyes, first)
    (same,) = refine([track], frames, [], path)
    assert same is track
    assert refine([], frames, [instance("car", box_of(second, eyes))], path) == []
    assert len(refine([track], frames, [instance("car", box_of(second, eyes))], path)) == 1


def test_what_geometry_saw_for_a_moment_is_not_lost_because_a_model_looked(two) -> None:
    frames, path, eyes, first, second = two
    short = track_of([(first, (0.0, 1.0))], eyes, first, visible=np.arange(T) < 6)
    (kept,) = refine([short], frames, [instance("car", box_of(second, eyes))], path)
    assert np.array_equal(kept.visible, short.visible)


def test_an_object_gets_the_name_of_the_instance_that_it_is(two) -> None:
    frames, path, eyes, first, second = two
    track = track_of([(first, (0.0, 1.0))], eyes, first)
    cars = [instance("car", box_of(first, eyes)), instance("person", box_of(second, eyes))]
    (named,) = refine([track], frames, cars, path)
    assert named.stats["category"] == "car" and named.stats["category_source"] == "m"
    assert np.allclose(named.centroid_m, track.centroid_m) and np.array_equal(named.visible, track.visible)


@pytest.mark.parametrize(
    ("seen", "name", "size_m", "certainty"),
    [
        (np.arange(T) < 3, "car", 0.8, 1.0),  # too short to be believed
        (np.ones(T, bool), "sports ball", 3.0, 1.0),  # no ball is that large
        (np.ones(T, bool), "car", 0.8, 0.4),  # its votes disagree
        (np.ones(T, bool), "", 0.8, 1.0),
    ],
)
def test_a_name_that_is_not_sure_is_not_given(two, seen: np.ndarray, name: str, size_m: float, certainty: float) -> None:
    frames, path, eyes, first, _ = two
    track = track_of([(first, (0.0, 1.0))], eyes, first)
    track = replace(track, stats={**track.stats, "size_m": size_m})
    (out,) = refine([track], frames, [instance(name, box_of(first, eyes), seen, certainty)], path)
    assert "category" not in out.stats


def test_instances_of_two_classes_that_fit_alike_leave_the_name_open(two) -> None:
    _, _, eyes, first, _ = two
    track = track_of([(first, (0.0, 1.0))], eyes, first)
    rivals = [instance("car", box_of(first, eyes)), instance("dog", box_of(first, eyes))]
    assert best_instance(overlap([track], rivals), 0, rivals, T) is None


def test_people_that_geometry_took_for_one_are_split_and_each_moves_as_it_does(two) -> None:
    frames, path, eyes, first, second = two
    merged = track_of([(first, (0.0, 1.0)), (second, (0.0, 1.0))], eyes, first)
    people = [instance("person", box_of(first, eyes)), instance("person", box_of(second, eyes))]
    assert sorted(merged_bodies(overlap([merged], people), 0, people, T)) == [0, 1]
    out = refine([merged], frames, people, path)
    assert len(out) == 2 and [o.object_id for o in out] == ["obj_1", "obj_2"]
    for board, part in zip((first, second), sorted(out, key=lambda o: o.centroid_m[T // 2, 0]), strict=True):
        good = np.flatnonzero(part.visible)
        assert len(good) >= T - 3
        moved = part.centroid_m[good[-1]] - part.centroid_m[good[0]]
        truth = board.centre_m[good[-1]] - board.centre_m[good[0]]
        sigma = np.sqrt(np.trace(part.centroid_cov_m2[good[-1]] + part.centroid_cov_m2[good[0]]))
        assert np.linalg.norm(moved - truth) < 0.03, f"{moved} against {truth}"
        assert np.linalg.norm(moved - truth) < 3 * sigma
        own = mask_of(box_of(board, eyes))[good[5]]
        mask = decode(part.masks[good[5]])
        assert (mask & own).sum() / (mask | own).sum() > 0.75
    # the uncorrected common motion would have been wrong by more than that for the second board
    wrong = np.linalg.norm((first.centre_m[-1] - first.centre_m[0]) - (second.centre_m[-1] - second.centre_m[0]))
    assert wrong > 0.1


def test_one_body_under_two_boxes_that_overlap_is_not_split(two) -> None:
    _, _, eyes, first, _ = two
    track = track_of([(first, (0.0, 1.0))], eyes, first)
    twice = [instance("person", box_of(first, eyes, (0.0, 0.75))), instance("person", box_of(first, eyes, (0.25, 1.0)))]
    assert merged_bodies(overlap([track], twice), 0, twice, T) == []


def test_fragments_of_one_instance_become_one_object(two) -> None:
    frames, path, eyes, first, _ = two
    halves = [track_of([(first, part)], eyes, first) for part in ((0.0, 0.5), (0.5, 1.0))]
    halves[1] = replace(halves[1], object_id="obj_2")
    (whole,) = refine(halves, frames, [instance("car", box_of(first, eyes))], path)
    assert whole.stats["joined"] and whole.visible.all()
    own = mask_of(box_of(first, eyes))[8]
    mask = decode(whole.masks[8])
    assert (mask & own).sum() / (mask | own).sum() > 0.8


def test_two_that_go_different_ways_stay_two_under_one_box(two) -> None:
    frames, path, eyes, first, _ = two
    other = Board(line((-0.9, 0, 3.2), (0.5, 0, 0.1), T) + line((0, 0, 0), (0, 0, 0.6), T), 0.8, 1)
    halves = [track_of([(first, (0.0, 0.5))], eyes, first), track_of([(first, (0.5, 1.0))], eyes, other)]
    assert len(refine(halves, frames, [instance("car", box_of(first, eyes))], path)) == 2


def test_a_body_that_was_out_of_sight_is_one_object_with_honest_doubt(two) -> None:
    frames, path, eyes, first, _ = two
    early = track_of([(first, (0.0, 1.0))], eyes, first, np.arange(T) < 9)
    late = track_of([(first, (0.3, 1.0))], eyes, first, np.arange(T) > 10)
    (one,) = refine([early, replace(late, object_id="obj_2")], frames, [instance("car", box_of(first, eyes))], path)
    assert one.visible.sum() >= 14 and not one.visible[9:11].any()
    jump = np.linalg.norm((one.centroid_m[12] - one.centroid_m[5]) - (first.centre_m[12] - first.centre_m[5]))
    assert jump < 2 * np.sqrt(np.trace(one.centroid_cov_m2[12])), "the doubt covers what is unknown"
    assert np.trace(one.centroid_cov_m2[5]) < np.trace(one.centroid_cov_m2[12])


def test_an_object_that_jumps_to_another_body_is_dropped(two) -> None:
    frames, path, eyes, first, second = two
    honest = track_of([(first, (0.0, 1.0))], eyes, first)
    masks = [a if t < 9 else encode(b) for t, (a, b) in enumerate(zip(honest.masks, mask_of(box_of(second, eyes)), strict=True))]
    boxes = np.where((np.arange(T) < 9)[:, None], honest.bbox_xyxy_px, box_of(second, eyes))
    both = [instance("person", box_of(first, eyes)), instance("person", box_of(second, eyes))]
    assert refine([replace(honest, masks=tuple(masks), bbox_xyxy_px=boxes)], frames, both, path) == []
    assert len(refine([honest], frames, both, path)) == 1


def going_then_standing(last: int) -> tuple[ClipFrames, CameraPath, np.ndarray, Board]:
    eyes = line((0, 0, 0), (0.12, 0, 0.1), T)
    way = np.minimum(np.arange(T), last)[:, None] * np.array([0.05, 0.0, 0.01])
    board = Board(np.array([-0.4, 0.1, 3.0]) + way, 0.9, 5)
    return *film([board], eyes), eyes, board


def test_a_body_that_stands_still_is_kept_where_its_pixels_prove_it() -> None:
    frames, path, eyes, board = going_then_standing(last=9)
    track = track_of([(board, (0.0, 1.0))], eyes, board, np.arange(T) < 10)
    (out,) = refine([track], frames, [instance("car", box_of(board, eyes))], path)
    assert out.visible.all() and not out.moving[10:].any() and out.moving[:10].all()
    assert np.allclose(out.centroid_m[10:], track.centroid_m[9])
    own, mask = mask_of(box_of(board, eyes))[13], decode(out.masks[13])
    assert (mask & own).sum() / (mask | own).sum() > 0.8


def test_a_body_that_goes_on_is_never_said_to_stand() -> None:
    frames, path, eyes, board = going_then_standing(last=T)
    track = track_of([(board, (0.0, 1.0))], eyes, board, np.arange(T) < 10)
    (out,) = refine([track], frames, [instance("car", box_of(board, eyes))], path)
    assert np.array_equal(out.visible, track.visible)


def test_a_shift_is_measured_to_millimetres_and_its_doubt_covers_the_error(two) -> None:
    frames, path, eyes, first, _ = two
    track = track_of([(first, (0.0, 1.0))], eyes, first)
    views = Views(frames, path)
    points = track.points_m.astype(float)
    for wrong in (np.zeros(3), np.array([0.03, -0.02, 0.0]), np.array([0.0, 0.0, 0.05])):
        shift = measure_shift(views, 4, 9, points[4], points[9] + wrong)
        assert shift is not None and shift.agreeing > 20
        assert np.abs(shift.offset_m + wrong)[:2].max() < 0.008 and abs(shift.offset_m + wrong)[2] < 0.03
        assert (np.abs(shift.offset_m + wrong) < 3 * np.sqrt(np.diag(shift.covariance))).all()


def test_a_box_grows_a_fragment_to_the_body() -> None:
    image = np.full((80, 100, 3), 140, np.uint8) + np.random.default_rng(0).integers(0, 12, (80, 100, 3), dtype=np.uint8)
    body = np.zeros((80, 100), bool)
    body[20:60, 30:70] = True
    image[body] = (190, 40, 40)
    fragment = np.zeros_like(body)
    fragment[25:45, 34:60] = True
    grown = from_box(image, fragment, np.array([29.0, 19, 71, 61]), np.zeros_like(body))
    assert (grown & body).sum() / (grown | body).sum() > 0.9
    elsewhere = from_box(image, fragment, np.array([75.0, 5, 95, 15]), np.zeros_like(body))
    assert np.array_equal(elsewhere, fragment), "a box that is not the object's changes nothing"


def test_a_models_mask_is_taken_where_it_is_the_same_thing() -> None:
    own, model = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    own[5:12, 5:12], model[4:14, 4:14] = True, True
    assert np.array_equal(from_mask(own, model), model)
    model[:] = False
    model[10:20, 10:20] = True
    assert np.array_equal(from_mask(own, model), own)


def test_a_models_mask_of_something_else_leaves_the_box_to_bound_the_object(two) -> None:
    frames, path, eyes, first, _ = two
    spilt = track_of([(first, (0.0, 1.0))], eyes, first)
    boxes = box_of(first, eyes)
    wide = [np.zeros(SHAPE, bool) for _ in range(T)]
    scrap = [np.zeros(SHAPE, bool) for _ in range(T)]
    for t in range(T):
        u0, v0, u1, v1 = boxes[t].round().astype(int)
        wide[t][v0:v1, u0 : u1 + 8] = True  # a strip of the wall beside
        scrap[t][v0 : v0 + 12, u0 : u0 + 12] = True
    spilt = replace(spilt, masks=tuple(encode(m) for m in wide))
    said = replace(instance("car", boxes), masks=tuple(encode(m) for m in scrap))
    masked = replace(instance("car", boxes), masks=tuple(encode(m) for m in mask_of(boxes)))
    out = _outlined(spilt, said, [said], frames)
    for t in (0, T // 2):
        u1 = out.bbox_xyxy_px[t, 2]
        assert u1 < boxes[t, 2] + 5, "the strip is gone"
        assert (decode(_outlined(spilt, masked, [masked], frames).masks[t]) == decode(masked.masks[t])).all()


def test_a_rough_mask_without_legs_does_not_cut_them_off(two) -> None:
    frames, path, eyes, first, _ = two
    track, boxes = track_of([(first, (0.0, 1.0))], eyes, first), box_of(first, eyes)
    torso = mask_of(boxes)
    for t, mask in enumerate(torso):
        mask[int(boxes[t, [1, 3]].mean()) :] = False
    exact = replace(instance("person", boxes), masks=tuple(encode(m) for m in torso))
    rough = replace(exact, exact=False)
    whole, half = (_outlined(track, i, [i], frames) for i in (rough, exact))
    for t in (0, T // 2):
        own = decode(track.masks[t])
        assert (decode(whole.masks[t]) & own).sum() > 0.95 * own.sum()
        assert (decode(half.masks[t]) == torso[t]).all(), "what is exact is taken as it is"
        assert rough.region(t, SHAPE).sum() > 1.8 * exact.region(t, SHAPE).sum(), "whose pixels are whose is asked of the box"


def test_refinement_is_the_same_every_time(two) -> None:
    frames, path, eyes, first, second = two
    merged = track_of([(first, (0.0, 1.0)), (second, (0.0, 1.0))], eyes, first)
    people = [instance("person", box_of(first, eyes)), instance("person", box_of(second, eyes))]
    assert pickle.dumps(refine([merged], frames, people, path)) == pickle.dumps(refine([merged], frames, people, path))
