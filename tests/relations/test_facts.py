"""What is asked, what is not, and how certain it claims to be."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.geometry import pose, rotation_from_vector
from curation.relations import KINDS, clip_facts
from curation.relations.camera import camera_distance, direction_answer
from curation.relations.kinds import PAPER_KINDS, STEP
from curation.relations.objects import object_answers, object_camera_distance, object_distance
from curation.relations.pairs import choose_pairs
from curation.relations.wholeness import turn_lever_m
from curation.seeding import generator
from schemas.camera import CameraPath, RelativeCameraPath
from schemas.config import RelationsConfig
from schemas.track import Fact, ObjectTrack
from tests.audit.pixel_free import pixel_free
from tests.relations.fabricated import FRAMES, QUESTION, TIMES_S, camera_path, smooth_poses, smooth_track, track

CONFIG = RelationsConfig()


def facts_of(path: CameraPath | RelativeCameraPath, tracks: list[ObjectTrack], seed: int = 0, **kwargs: object) -> list[Fact]:
    return clip_facts("c0ffee", QUESTION, TIMES_S, path, tracks, CONFIG, seed=seed, **kwargs)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def moving() -> tuple[CameraPath, list[ObjectTrack]]:
    rng = np.random.default_rng(5)
    return camera_path(smooth_poses(rng)), [smooth_track(rng, "obj_1"), smooth_track(rng, "obj_2")]


def test_facts_are_the_same_for_the_same_seed_and_differ_for_another(moving: tuple) -> None:
    assert facts_of(*moving) == facts_of(*moving)
    assert {f.fact_id for f in facts_of(*moving)} != {f.fact_id for f in facts_of(*moving, seed=1)}


def test_moving_clips_have_facts_of_all_kinds_with_unique_ids(moving: tuple) -> None:
    facts = facts_of(*moving)
    assert {f.kind for f in facts} >= set(PAPER_KINDS)
    clip = pixel_free(1)
    more = [
        clip_facts("c", clip.question, clip.times_s, clip.path, clip.tracks, CONFIG, seed=0) for clip in (clip, pixel_free(6))
    ]
    assert {f.kind for f in (*facts, *more[0], *more[1])} == set(KINDS)
    for mine in (facts, *more):
        assert len({f.fact_id for f in mine}) == len(mine)
        assert any(f.frame_i == 0 and f.frame_j == len(QUESTION) - 1 for f in mine)
        for fact in mine:
            kind = KINDS[fact.kind]
            assert fact.frame_i < fact.frame_j
            assert fact.unit == (kind.unit if fact.value is not None else "")
            assert bool(fact.other_object_id) == (kind.subject in ("pair", "several"))
            assert json.loads(json.dumps(fact.details)) == fact.details
            if fact.safe and not kind.numeric:
                assert all(step in kind.labels for step in fact.label.split(STEP))
            if kind.numeric:
                assert fact.label == ""


def test_an_object_is_only_asked_about_where_it_was_seen(moving: tuple) -> None:
    path, (mover, _) = moving
    visible = np.zeros(FRAMES, bool)
    visible[30:60] = True
    facts = facts_of(path, [dataclasses.replace(mover, visible=visible)])
    seen = {q for q, m in enumerate(QUESTION) if 30 <= m < 60}
    pairs = {(f.frame_i, f.frame_j) for f in facts if f.object_id}
    assert pairs and {frame for pair in pairs for frame in pair} <= seen
    assert (min(seen), max(seen)) in pairs


def test_a_static_camera_is_asked_neither_distance_nor_direction() -> None:
    path = camera_path(np.tile(np.eye(4), (FRAMES, 1, 1)), static=True)
    facts = facts_of(path, [smooth_track(np.random.default_rng(0), "obj_1")])
    mine = [f for f in facts if f.kind in ("camera_distance", "camera_direction")]
    assert mine and not any(f.safe for f in mine)
    assert {f.details["veto"] for f in mine} == {"static_camera"}
    assert any(f.safe for f in facts if f.object_id)


def test_an_object_that_stands_still_is_not_asked_about_motion_but_about_distance() -> None:
    path = camera_path(smooth_poses(np.random.default_rng(1)))
    centroids = np.tile([0.5, 0, 6.0], (FRAMES, 1)) + np.random.default_rng(2).normal(0, 0.02, (FRAMES, 3))
    parked = dataclasses.replace(track(centroids, sigma_m=0.02), moving=np.zeros(FRAMES, bool))
    facts = facts_of(path, [parked])
    for kind in ("object_distance", "object_camera_lateral", "object_camera_longitudinal"):
        mine = [f for f in facts if f.kind == kind]
        assert mine and not any(f.safe for f in mine) and {f.details["veto"] for f in mine} == {"standstill"}
    assert any(f.safe for f in facts if f.kind == "object_camera_distance")
    assert any(f.safe for f in facts if f.kind == "object_camera_distance_change")


def test_near_a_diagonal_no_direction_is_safe() -> None:
    def margin(degrees: float, length: float = 5.0) -> float:
        step = length * np.array([np.sin(np.radians(degrees)), 0, np.cos(np.radians(degrees))])
        path = camera_path(np.stack([np.eye(4), pose(np.eye(3), step)]), sigma_m=0.001)
        return direction_answer(path, 0, 1, CONFIG)[3]

    assert margin(0) > 3 and margin(20) > 3 and margin(80) > 3
    assert margin(40) < 0 and margin(45) < 0 and margin(50) < 0
    assert margin(0, length=0.05) < 0


def test_not_moving_is_only_said_far_below_the_change_that_counts_as_moving() -> None:
    path = camera_path(np.tile(np.eye(4), (2, 1, 1)), static=True)

    def answer(change: float, sigma: float) -> tuple[str, float]:
        mover = track(np.array([[0, 0, 5.0], [0, 0, 5.0 + change]]), sigma_m=sigma, size_m=0.0)
        _, label, _, margin, _ = object_answers(path, mover, 0, 1, CONFIG, scale_rel=0)["object_camera_distance_change"]
        return label, margin

    label, margin = answer(0.0, 0.02)
    assert label == "not moving" and margin > 3
    assert answer(0.0, 0.05)[1] < 3
    for change in (0.16, -0.2, 0.25, -0.29):
        assert answer(change, 0.005)[1] < 0
    assert answer(1.0, 0.02) == ("farther", pytest.approx(0.7 / np.hypot(0.0283, 0.006), rel=0.01))
    assert answer(-1.0, 0.02)[0] == "closer"


def test_the_side_that_nobody_saw_vetoes_the_distance() -> None:
    """Camera j sees the object from the front, camera i stood behind it."""
    behind = pose(np.eye(3), np.array([0, 0, 12.0]))
    path = camera_path(np.stack([np.eye(4), behind, np.eye(4)]))
    mover = track(np.tile([0, 0, 6.0], (3, 1)))
    answer = object_answers(path, mover, 1, 2, CONFIG, scale_rel=0)["object_camera_distance"]
    assert answer[3] < 0 and answer[4]["veto"] == "other_side"
    assert "veto" not in object_answers(path, mover, 0, 2, CONFIG, scale_rel=0)["object_camera_distance"][4]


@pytest.mark.parametrize(
    "step, lateral, longitudinal, change",
    [([1.0, 0, 1.0], "right", "farther", "farther"), ([-1.0, 0, -1.0], "left", "closer", "closer")],
)
def test_object_labels_say_what_a_viewer_at_frame_i_would_say(
    step: list[float], lateral: str, longitudinal: str, change: str
) -> None:
    path = camera_path(np.tile(np.eye(4), (2, 1, 1)), static=True)
    mover = track(np.array([[0, 0, 5.0], np.add([0, 0, 5.0], step)]), sigma_m=0.02)
    answers = object_answers(path, mover, 0, 1, CONFIG, scale_rel=0)
    assert answers["object_camera_lateral"][1] == lateral and answers["object_camera_lateral"][3] > 3
    assert answers["object_camera_longitudinal"][1] == longitudinal and answers["object_camera_longitudinal"][3] > 3
    assert answers["object_camera_distance_change"][1] == change


def test_a_turned_camera_calls_sides_by_its_own_axes() -> None:
    """Looking along world +X, the world's +Z lies to the left and +X is farther."""
    turned = pose(rotation_from_vector(np.array([0, np.pi / 2, 0])), np.zeros(3))
    path = camera_path(np.stack([np.eye(4), turned, np.eye(4)]))
    mover = track(np.array([[5.0, 0, 0], [5.0, 0, 0], [6.0, 0, 1.5]]), sigma_m=0.02)
    answers = object_answers(path, mover, 1, 2, CONFIG, scale_rel=0)
    assert answers["object_camera_lateral"][:2] == (pytest.approx(-1.5), "left")
    assert answers["object_camera_longitudinal"][:2] == (pytest.approx(1.0), "farther")


def test_the_nearest_point_is_the_one_nearest_to_the_camera_at_i() -> None:
    path = camera_path(np.stack([np.eye(4), pose(np.eye(3), np.array([0, 0, 2.0])), pose(np.eye(3), np.array([3.0, 0, 2.0]))]))
    mover = track(np.tile([0, 0, 8.0], (3, 1)), size_m=4.0)
    found = object_camera_distance(path, mover, 1, 2, scale_rel=0)
    assert found is not None
    distances = np.linalg.norm(mover.points_m[2] - np.array([0, 0, 2.0]), axis=1)
    assert found.value == pytest.approx(distances.min(), abs=1e-6)
    assert distances.argmin() != np.linalg.norm(mover.points_m[2] - np.array([3.0, 0, 2.0]), axis=1).argmin()


def test_doubt_about_the_cameras_turn_grows_with_the_distance_of_what_it_sees() -> None:
    path = camera_path(np.tile(np.eye(4), (FRAMES, 1, 1)), sigma_m=0.0, sigma_rad=0.01)
    sigmas = []
    for depth in (5.0, 50.0):
        mover = track(np.linspace([0, 0, depth], [1.0, 0, depth], FRAMES), sigma_m=1e-6, relative=0.0)
        sigmas.append(object_distance(path, mover, 40, 90, scale_rel=0).sigma)
    assert sigmas[1] == pytest.approx(10 * sigmas[0], rel=0.05)
    # 0.01 rad, grown by 40/93 and 90/93 of 2, at 50 m
    assert sigmas[1] == pytest.approx(50 * 0.01 * np.sqrt(2 * (40 + 90) / 93), rel=0.1)


def test_the_margin_of_a_direction_looks_at_doubt_across_the_diagonal_only() -> None:
    """Uncertain along (1, 0, 1): a motion along it slides along the diagonal, a motion along (1, 0, -1) would cross it."""
    along = np.array([1.0, 0, 1.0]) / np.sqrt(2)
    margins = []
    for step in ([2.0, 0, 1.0], [2.0, 0, -1.0]):
        path = camera_path(np.stack([np.eye(4), pose(np.eye(3), np.array(step))]))
        covariance = np.zeros((2, 6, 6))
        covariance[1, :3, :3] = 0.2**2 * np.outer(along, along) + 1e-6 * np.eye(3)
        margins.append(direction_answer(dataclasses.replace(path, covariance=covariance), 0, 1, CONFIG)[3])
    assert margins[0] > 4 * margins[1] > 0


def test_a_long_object_that_comes_nearer_with_one_end_only_is_not_asked_about() -> None:
    path = camera_path(np.tile(np.eye(4), (2, 1, 1)), static=True)
    train = track(np.array([[0, 0, 20.0], [1.0, 0, 20.5]]), sigma_m=0.02, size_m=1.0)
    train.points_m[1, 0] = [0, 0, 12.0]
    _, label, _, margin, details = object_answers(path, train, 0, 1, CONFIG, scale_rel=0)["object_camera_distance_change"]
    assert label == "closer" and margin < 0 and details["veto"] == "parts_disagree"


def with_outline(mover: ObjectTrack, boxes: np.ndarray) -> ObjectTrack:
    return dataclasses.replace(mover, bbox_xyxy_px=boxes.astype(float), masks=({"size": [400, 640], "counts": ""},) * len(boxes))


def test_a_part_at_the_border_does_not_speak_for_the_whole() -> None:
    """A van of which only the tail is ever in view turns by 10 degrees: its middle moves otherwise than its tail."""
    path = camera_path(np.tile(np.eye(4), (2, 1, 1)), static=True)
    mover = track(np.array([[-3.0, 0, 6.0], [-2.0, 0, 6.0]]), sigma_m=0.01, size_m=1.0)
    turn = rotation_from_vector(np.radians([0, 10.0, 0]))
    mover.points_m[1] = (mover.points_m[0] - mover.centroid_m[0]) @ turn.T + mover.centroid_m[1]
    cut = with_outline(mover, np.array([[0, 100, 80, 200], [0, 100, 120, 200]]))
    once_whole = with_outline(mover, np.array([[0, 100, 80, 200], [20, 100, 140, 200]]))
    answers, whole = (object_answers(path, t, 0, 1, CONFIG, scale_rel=0) for t in (cut, once_whole))
    assert answers["object_distance"][2] > 0.15 > 0.05 > whole["object_distance"][2]  # type: ignore[operator]
    for kind in ("object_camera_distance", "object_camera_distance_change"):
        assert answers[kind][4]["veto"] == "out_of_view" and "veto" not in whole[kind][4]


def test_the_lever_of_a_turn_is_the_diameter_times_the_chord() -> None:
    points = np.random.default_rng(0).normal(size=(50, 3))
    diameter = 2 * np.sqrt(((points - points.mean(0)) ** 2).sum(1).mean())
    for degrees in (0.0, 30.0, 90.0, 180.0):
        turned = points @ rotation_from_vector(np.radians([0, degrees, 0])).T + [1.0, 2, 3]
        assert turn_lever_m(points, turned) == pytest.approx(diameter * 2 * np.sin(np.radians(degrees) / 2), abs=1e-6)
    assert turn_lever_m(points[:3], points[:3]) == 0.0


def test_an_assumed_calibration_widens_every_sigma(moving: tuple) -> None:
    given_, assumed = facts_of(*moving), facts_of(*moving, assumed=("baseline_m",))
    far = [n for n, f in enumerate(given_) if f.kind == "camera_distance" and f.value is not None and f.value > 1]
    for n in far:
        assert assumed[n].sigma > 5 * given_[n].sigma  # type: ignore[operator]
        assert assumed[n].sigma == pytest.approx(np.hypot(given_[n].sigma, given_[n].value), rel=0.01)  # type: ignore[arg-type]


def test_a_clip_of_assumed_scale_is_asked_no_number_and_states_no_position(moving: tuple) -> None:
    facts = facts_of(*moving, assumed=("baseline_m",))
    assert any(f.safe for f in facts if f.kind == "camera_direction")
    assert not [f for f in facts if f.safe and f.unit == "m" and not f.label]
    assert not [f for f in facts if "camera_center" in f.details]


def test_a_path_without_scale_gives_directions_without_values_and_nothing_else() -> None:
    poses = smooth_poses(np.random.default_rng(7))
    poses[:, :3, 3] = np.linspace(0, 1, FRAMES)[:, None] * [0.1, 0, 3.0]
    relative = RelativeCameraPath(poses, np.full(FRAMES, 1.0), True, {})
    facts = facts_of(relative, [])
    assert {f.kind for f in facts} == {"camera_direction"}
    assert all(f.value is None and f.sigma is None and f.unit == "" for f in facts)
    assert any(f.safe for f in facts) and not any("camera_center" in f.details for f in facts)
    doubtful = dataclasses.replace(relative, direction_sigma_deg=np.full(FRAMES, 30.0))
    assert not any(f.safe for f in facts_of(doubtful, []))


@given(seed=st.integers(0, 10_000), count=st.integers(2, 60), wanted=st.integers(1, 20))
def test_pairs_are_distinct_apart_and_start_with_the_longest(seed: int, count: int, wanted: int) -> None:
    frames = sorted(np.random.default_rng(seed).choice(90, count, replace=False).tolist())
    pairs = choose_pairs(frames, wanted, np.random.default_rng(seed), min_span=4, apart=3)
    if frames[-1] - frames[0] < 4:
        assert pairs == []
        return
    assert pairs[0] == (frames[0], frames[-1]) and len(pairs) <= wanted
    assert {frame for pair in pairs for frame in pair} <= set(frames)
    for n, (i, j) in enumerate(pairs):
        assert j - i >= 4
        assert all(max(abs(i - a), abs(j - b)) >= 3 for a, b in pairs[:n])


def test_spans_are_varied() -> None:
    spans = [j - i for seed in range(50) for i, j in choose_pairs(list(range(32)), 12, generator(seed, "c", "p"), min_span=4)]
    share = np.histogram(spans, bins=[4, 11, 18, 25, 32])[0] / len(spans)
    assert share.min() > 0.12, share


def test_claimed_sigmas_have_the_spread_of_the_errors() -> None:
    """Poses and tracks are disturbed as their covariances say; the relations' errors must then be as large as claimed.

    Independent errors are the worst case for a difference, so the spread is near 1 here and below it for correlated poses.
    """
    rng = np.random.default_rng(11)
    true_poses = smooth_poses(rng)
    true_track = smooth_track(rng, "obj_1", sigma_m=0.05)
    path, i, j = camera_path(true_poses, sigma_m=0.02, sigma_rad=2e-3), 40, 90
    errors: dict[str, list[float]] = {}
    truth = _measured(camera_path(true_poses), true_track, i, j)
    for _ in range(400):
        noise = rng.normal(size=(FRAMES, 6)) * np.sqrt(np.diagonal(path.covariance, axis1=1, axis2=2))
        poses = true_poses.copy()
        poses[:, :3, 3] += noise[:, :3]
        poses[:, :3, :3] = rotation_from_vector(noise[:, 3:]) @ true_poses[:, :3, :3]
        shift = rng.normal(0, 0.05, (FRAMES, 3))
        # a point is measured from its frame's camera, and lands in the world through that camera's wrong pose
        local = np.einsum("tji,tmj->tmi", true_poses[:, :3, :3], true_track.points_m - true_poses[:, None, :3, 3])
        points = np.einsum("tij,tmj->tmi", poses[:, :3, :3], local) + poses[:, None, :3, 3] + shift[:, None]
        seen = dataclasses.replace(true_track, points_m=points, centroid_m=points.mean(1))
        for name, estimate in _measured(dataclasses.replace(path, world_from_camera=poses), seen, i, j).items():
            errors.setdefault(name, []).append((estimate[0] - truth[name][0]) / estimate[1])
    for name, scores in errors.items():
        assert 0.8 < np.std(scores) < 1.2, (name, np.std(scores))
        assert np.mean(np.abs(scores) < 2) > 0.9, name


def _measured(path: CameraPath, mover: ObjectTrack, i: int, j: int) -> dict[str, tuple[float, float]]:
    estimates = {
        "camera": camera_distance(path, i, j, scale_rel=0),
        "object": object_distance(path, dataclasses.replace(mover, common_sigma_rel=0.0), i, j, scale_rel=0),
        "between": object_camera_distance(path, dataclasses.replace(mover, common_sigma_rel=0.0), i, j, scale_rel=0),
    }
    return {name: (e.value, e.sigma) for name, e in estimates.items() if e is not None}
