"""The kinds beyond the paper's seven: motions worked out on paper, and labels against the truth of pixel-free clips."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.audit.answers_further import NUMERIC_FURTHER, further_answer
from curation.geometry import pose, rotation_from_vector
from curation.relations import clip_facts
from curation.relations.kinds import FURTHER
from curation.relations.more.camera_move import move
from curation.relations.more.camera_rotation import rotation, rotation_angle
from curation.relations.more.closest import closest_to_camera, closest_to_each_other
from curation.relations.more.first_mover import first_mover
from curation.relations.more.moving_count import moving_count
from curation.relations.more.object_course import course, stop_time
from curation.relations.more.object_direction import direction, trajectory
from curation.relations.more.object_speed import speed, speed_change, speed_comparison
from curation.relations.more.pair_direction import pair_direction, pair_side
from curation.relations.more.pair_distance import pair_distance_change
from curation.relations.more.pair_heading import heading
from curation.relations.more.passing import passing
from curation.relations.more.scene import Scene
from curation.relations.more.true_motion import true_motion
from schemas.config import RelationsConfig
from schemas.track import ObjectTrack
from tests.audit.pixel_free import pixel_free
from tests.relations.fabricated import FRAMES, QUESTION, TIMES_S, camera_path, track

CONFIG = RelationsConfig()
LAST = FRAMES - 1
S = np.linspace(0, 1, FRAMES)


def scene(places: np.ndarray | None = None, turns_deg: np.ndarray | None = None) -> Scene:
    """A camera at ``places`` (T, 3) with rotation vectors ``turns_deg`` (T, 3)."""
    places = np.zeros((FRAMES, 3)) if places is None else places
    turns = np.zeros((FRAMES, 3)) if turns_deg is None else np.radians(turns_deg)
    poses = np.stack([pose(rotation_from_vector(t), c) for t, c in zip(turns, places, strict=True)])
    return Scene(camera_path(poses, sigma_m=0.001), QUESTION, TIMES_S, CONFIG, 0.003)


def going(*corners: tuple[float, float, float], name: str = "obj_1", at: np.ndarray = S, size_m: float = 0.3) -> ObjectTrack:
    """An object that passes ``corners`` in equal times; ``at`` (T,) in 0..1 is how far along it is."""
    points = np.array(corners, float)
    knots = np.linspace(0, 1, len(points))
    centroids = np.stack([np.interp(at, knots, points[:, k]) for k in range(3)], 1)
    moving = np.linalg.norm(np.gradient(centroids, axis=0), axis=1) > 0.004
    masks = tuple({"size": [400, 640], "counts": ""} for _ in S)
    made = track(centroids, name=name, sigma_m=0.01, size_m=size_m)
    boxes = np.stack([320 + 40 * centroids[:, 0], 0 * S + 100, 360 + 40 * centroids[:, 0], 0 * S + 200], 1)
    return dataclasses.replace(made, moving=moving, masks=masks, bbox_xyxy_px=boxes)


def along(vector: tuple[float, float, float]) -> np.ndarray:
    return S[:, None] * np.array(vector)


def said(answer: object) -> tuple[str, bool]:
    """Label, and whether it is safe."""
    assert isinstance(answer, tuple)
    return answer[1], answer[3] >= CONFIG.k_sigma


@pytest.mark.parametrize(
    "turn, label",
    [((0, 20, 0), "right"), ((0, -20, 0), "left"), ((20, 0, 0), "up"), ((-20, 0, 0), "down"), ((0, 0, 20), "clockwise"),
     ((0, 0, -20), "counterclockwise"), ((0, 0.4, 0), "not turning")],
)  # fmt: skip
def test_a_camera_turns_the_way_a_viewer_would_say(turn: tuple, label: str) -> None:
    answer = rotation(scene(turns_deg=along(turn)), 0, LAST)
    assert said(answer) == (label, True) and answer[0] == pytest.approx(max(map(abs, turn)), abs=1e-6)


def test_a_point_of_the_scene_shifts_as_the_named_turn_demands() -> None:
    """A turn to the right moves the picture left, up moves it down, clockwise turns it counterclockwise."""
    ahead, beside = np.array([0, 0, 5.0]), np.array([1.0, 0, 5.0])
    for turn, axis, sign in (((0, 9, 0), 0, -1), ((9, 0, 0), 1, 1)):
        seen = rotation_from_vector(np.radians(turn)).T @ ahead
        assert np.sign(seen[axis]) == sign
    assert (rotation_from_vector(np.radians([0, 0, 9.0])).T @ beside)[1] < 0  # what is on the right goes up in the picture


def test_between_turning_and_not_turning_nothing_is_asked_and_mixed_turns_have_no_sense() -> None:
    assert not said(rotation(scene(turns_deg=along((0, 2.7, 0))), 0, LAST))[1]
    assert not said(rotation(scene(turns_deg=along((15, 16, 0))), 0, LAST))[1]
    value, _, sigma, margin, _ = rotation_angle(scene(turns_deg=along((15, 16, 0))), 0, LAST)
    assert value == pytest.approx(np.hypot(15, 16), abs=0.5) and sigma is not None and margin > 3  # but an angle


@pytest.mark.parametrize(
    "place, turn, label",
    [((0, 0, 2), (0, 0, 0), "dolly in"), ((0, 0, -2), (0, 0, 0), "dolly out"), ((2, 0, 0), (0, 0, 0), "truck right"),
     ((-2, 0, 0), (0, 0, 0), "truck left"), ((0, -2, 0), (0, 0, 0), "pedestal up"), ((0, 2, 0), (0, 0, 0), "pedestal down"),
     ((0, 0, 0), (0, 30, 0), "pan right"), ((0, 0, 0), (0, -30, 0), "pan left"), ((0, 0, 0), (25, 0, 0), "tilt up"),
     ((0, 0, 0), (-25, 0, 0), "tilt down"), ((2, 0, 0.2), (0, -25, 0), "arc right"), ((-2, 0, 0.2), (0, 25, 0), "arc left"),
     ((0, 0, 0), (0, 0, 0), "static")],
)  # fmt: skip
def test_camera_moves_have_the_names_of_the_trade(place: tuple, turn: tuple, label: str) -> None:
    assert said(move(scene(along(place), along(turn)), 0, LAST)) == (label, True)


def test_a_move_that_no_single_word_fits_is_not_named() -> None:
    back_and_forth = np.sin(2 * np.pi * S)[:, None] * [0, 0, 1.0] + along((0, 0, 0.5))
    for path in (scene(back_and_forth), scene(along((0, 0, 2)), along((0, 30, 0))), scene(along((2, 0, 0)), along((0, 30, 0)))):
        assert not said(move(path, 0, LAST))[1]


def test_a_pan_that_swings_back_is_no_static_shot() -> None:
    assert said(move(scene(turns_deg=np.sin(np.pi * S)[:, None] * [0, 20.0, 0]), 0, LAST)) != ("static", True)


def test_directions_are_those_of_the_view_at_the_first_frame() -> None:
    turns = np.tile([0, 90.0, 0], (FRAMES, 1))  # from frame 1 on it looks along world +X
    turns[0] = 0
    mover, first = going((3, 0, 5), (6, 0, 5)), int(QUESTION[1])
    assert said(direction(scene(), mover, 0, LAST)) == ("right", True)
    assert said(direction(scene(turns_deg=turns), mover, first, LAST)) == ("away", True)
    assert said(direction(scene(turns_deg=turns), going((6, 0, 5), (3, 0, 5)), first, LAST)) == ("towards", True)
    assert said(direction(scene(), going((0, 0, 5), (0, -2, 5)), 0, LAST)) == ("up", True)
    assert said(direction(scene(), going((0, 0, 5), (0, 0, 5)), 0, LAST)) == ("not moving", True)
    assert not said(direction(scene(), going((0, 0, 5), (1, 0, 6)), 0, LAST))[1]  # a diagonal has no main direction
    assert not said(direction(scene(), going((0, 0, 5), (0.12, 0, 5)), 0, LAST))[1]


def test_a_course_is_told_third_by_third() -> None:
    mover = going((0, 0, 5), (2, 0, 5), (2, 0, 8), (0.5, 0, 8))
    answer = trajectory(scene(), mover, 0, LAST)
    assert answer is not None and said(answer) == ("right > away > left", True)


def test_speed_is_distance_over_time_and_only_of_straight_ways() -> None:
    seconds = float(TIMES_S[LAST] - TIMES_S[0])
    answer = speed(scene(), going((0, 0, 5), (3, 0, 5)), 0, LAST)
    assert answer is not None and answer[0] == pytest.approx(3 / seconds, rel=1e-3) and answer[3] > 3
    assert speed(scene(), going((0, 0, 5), (2, 0, 5), (2, 0, 8)), 0, LAST) is None
    assert speed(scene(), going((0, 0, 5), (2, 0, 5), (0.5, 0, 5)), 0, LAST) is None


@pytest.mark.parametrize("at, label", [(S**2, "faster"), (1 - (1 - S) ** 2, "slower"), (S, "as fast")])
def test_changes_of_speed_compare_two_halves(at: np.ndarray, label: str) -> None:
    answer = speed_change(scene(), going((0, 0, 5), (4, 0, 5), at=at), 0, LAST)
    assert answer is not None and said(answer) == (label, True)


PAUSE = np.clip(np.interp(S, [0, 0.35, 0.65, 1], [0, 0.5, 0.5, 1]), 0, 1)


@pytest.mark.parametrize(
    "at, label",
    [(S, "keeps moving"), (np.clip(2 * S - 1, 0, 1), "starts moving"), (np.clip(2 * S, 0, 1), "comes to a stop"),
     (PAUSE, "stops and goes on"), (1 - np.abs(2 * S - 1), "turns back"), (0 * S, "stays still")],
)  # fmt: skip
def test_courses_are_told_apart(at: np.ndarray, label: str) -> None:
    answer = course(scene(), going((0, 0, 5), (4, 0, 5), at=at), 0, LAST)
    assert answer is not None and said(answer) == (label, True)


def test_the_time_of_a_stop_is_asked_of_what_stops_and_of_what_never_does() -> None:
    early, late = np.clip(5 * S, 0, 1), np.clip(1.25 * S, 0, 1)
    for at, label in ((early, "first third"), (late, "last third"), (np.clip(2 * S, 0, 1), "middle third"), (S, "never")):
        answer = stop_time(scene(), going((0, 0, 5), (4, 0, 5), at=at), 0, LAST)
        assert answer is not None and said(answer) == (label, True)
    assert stop_time(scene(), going((0, 0, 5), (4, 0, 5), at=np.clip(2 * S - 1, 0, 1)), 0, LAST) is None  # it only starts


def test_true_motion_is_told_from_the_cameras() -> None:
    mover, parked = going((-1, 0, 5), (1, 0, 5)), going((-1, 0, 5), (-1, 0, 5), name="obj_2")
    shifted = dataclasses.replace(parked, bbox_xyxy_px=mover.bbox_xyxy_px)
    still, moving = scene(), scene(along((1.5, 0, 0)))
    for place, thing, label in ((still, mover, "only the object"), (moving, mover, "both"), (moving, shifted, "only the camera")):
        answer = true_motion(place, thing, 0, LAST)
        assert answer is not None and said(answer) == (label, True)
    assert true_motion(moving, parked, 0, LAST) is None  # nothing shifts in the picture, so there is nothing to explain
    answer = true_motion(still, shifted, 0, LAST)
    assert answer is not None and not said(answer)[1]  # a shift that nothing explains is a mistake of the measurement


def test_the_closest_approach_has_its_third() -> None:
    by = going((-4, 0, 5), (4, 0, 5))
    answer = closest_to_camera(scene(), by, 0, LAST)
    assert (
        answer is not None and said(answer) == ("middle third", True) and answer[0] == pytest.approx(TIMES_S[LAST] / 2, abs=0.4)
    )
    leaving = closest_to_camera(scene(along((0, 0, -3))), going((0, 0, 5), (0, 0, 8)), 0, LAST)
    assert leaving is not None and said(leaving) == ("first third", True)
    met = closest_to_each_other(scene(), by, going((4, 0, 6), (-4, 0, 6), name="obj_2"), 0, LAST)
    assert met is not None and said(met) == ("middle third", True)


def test_pairs_approach_leave_and_keep_their_distance() -> None:
    one = going((0, 0, 5), (1.5, 0, 5))
    cases = (
        (((4, 0, 5), (4, 0, 5)), "closer"),
        (((-1, 0, 5), (-3, 0, 5)), "farther"),
        (((3, 0, 5), (4.5, 0, 5)), "not changing"),
    )
    for other, label in cases:
        answer = pair_distance_change(scene(), one, going(*other, name="obj_2"), 0, LAST)
        assert answer is not None and said(answer) == (label, True)


def test_places_of_pairs_for_the_viewer_and_for_the_traveller() -> None:
    one = going((0, 0, 5), (0, 0, 8))  # goes away from the viewer
    for place, viewer, traveller in (((5, 0, 8), "right", "right"), ((-5, 0, 8), "left", "left"), ((0, 0, 14), "behind", "ahead"),
                                     ((0, 0, 2), "in front", "behind")):  # fmt: skip
        other = going(place, place, name="obj_2")
        assert said(pair_direction(scene(), one, other, 0, LAST)) == (viewer, True)
        assert said(pair_side(scene(), one, other, 0, LAST)) == (traveller, True)
    back = going((0, 0, 8), (0, 0, 5))  # comes towards the viewer: its right is the viewer's left
    assert said(pair_side(scene(), back, going((-5, 0, 5), (-5, 0, 5), name="obj_2"), 0, LAST)) == ("right", True)
    near = going((0.5, 0, 8.4), (0.5, 0, 8.4), name="obj_2", size_m=1.0)
    assert not said(pair_direction(scene(), one, near, 0, LAST))[1]  # large things close together are in no clear direction


def test_headings_and_passing() -> None:
    one = going((0, 0, 5), (4, 0, 5))
    cases = (
        (((2, 0, 8), (3, 0, 8)), "same way", "first"),
        (((-2, 0, 8), (6, 0, 8)), "same way", "second"),
        (((4, 0, 8), (0, 0, 8)), "opposite ways", "each other"),
        (((6, 0, 8), (10, 0, 8)), "same way", "neither"),
    )
    for ways, way, who in cases:
        other = going(*ways, name="obj_2")
        assert said(heading(scene(), one, other, 0, LAST)) == (way, True)
        assert said(passing(scene(), one, other, 0, LAST)) == (who, True)
    across = going((2, 0, 4), (2, 0, 8), name="obj_2")
    assert said(heading(scene(), one, across, 0, LAST)) == ("crosswise", True)
    assert passing(scene(), one, across, 0, LAST) is None
    assert heading(scene(), one, going((2, 0, 4), (2, 0, 4), name="obj_2"), 0, LAST) is None


def test_who_is_faster_and_who_leaves_first() -> None:
    quick, slow = going((0, 0, 5), (4, 0, 5)), going((0, 0, 7), (1, 0, 7), name="obj_2")
    assert said(speed_comparison(scene(), quick, slow, 0, LAST)) == ("first", True)
    assert said(speed_comparison(scene(), slow, quick, 0, LAST)) == ("second", True)
    assert not said(speed_comparison(scene(), quick, going((0, 0, 7), (3.8, 0, 7), name="obj_2"), 0, LAST))[1]
    late = going((0, 0, 7), (2, 0, 7), name="obj_2", at=np.clip(2 * S - 1, 0, 1))
    assert said(first_mover(scene(), quick, late, 0, LAST)) == ("first", True)
    assert said(first_mover(scene(), late, quick, 0, LAST)) == ("second", True)
    assert first_mover(scene(), quick, going((0, 0, 7), (0, 0, 7), name="obj_2"), 0, LAST) is None


def test_only_named_objects_are_counted_and_each_must_be_sure() -> None:
    go, also = going((0, 0, 5), (2, 0, 5)), going((0, 0, 7), (2, 0, 7), name="obj_2")
    stay, creep = going((1, 0, 5), (1, 0, 5), name="obj_3"), going((0, 0, 5), (0.16, 0, 5), name="obj_4")
    assert said(moving_count(scene(), [go, stay, also], 0, LAST)) == ("2", True)
    assert said(moving_count(scene(), [stay], 0, LAST)) == ("0", True)
    assert not said(moving_count(scene(), [go, creep], 0, LAST))[1]


def test_a_body_that_turns_in_place_is_said_neither_to_move_nor_to_stay() -> None:
    """Its seen side swings about a middle that nobody saw."""
    centre, lever = np.array([0, 0, 6.0]), 0.8
    angles = np.radians(90) * S
    made = going((0, 0, 5), (1, 0, 5), size_m=1.6)
    shape = made.points_m[0] - made.points_m[0].mean(0)
    arms = np.stack([np.sin(angles), 0 * S, -np.cos(angles)], 1) * lever
    turns = [rotation_from_vector(np.array([0, -a, 0])) for a in angles]
    points = np.stack([centre + arm + shape @ r.T for arm, r in zip(arms, turns, strict=True)])
    swings = dataclasses.replace(made, centroid_m=centre + arms, points_m=points.astype(np.float32), moving=np.ones(FRAMES, bool))
    label, safe = said(direction(scene(), swings, 0, LAST))
    assert not safe and not said(moving_count(scene(), [swings, dataclasses.replace(made, object_id="obj_2")], 0, LAST))[1], label


@settings(max_examples=25, deadline=None)
@given(st.floats(-3.0, 3.0), st.floats(-2, 2), st.floats(-2, 2))
def test_pair_kinds_do_not_depend_on_where_the_world_is(turn: float, x: float, z: float) -> None:
    frame = pose(rotation_from_vector(np.array([0, turn, 0])), np.array([x, 0, z]))
    ways = (((0, 0, 5), (3, 0, 6)), ((1, 0, 9), (4, 0, 4)))
    moved = [tuple(tuple(frame[:3, :3] @ p + frame[:3, 3]) for p in way) for way in ways]
    here, there = ([going(*way, name=f"obj_{n}") for n, way in enumerate(some)] for some in (ways, moved))
    for ask in (pair_side, heading, passing, pair_distance_change):
        before, after = ask(scene(), *here, 0, LAST), ask(scene(), *there, 0, LAST)
        assert (before is None) == (after is None)
        if before is not None and after is not None and before[3] > 8 and after[3] > 8:
            assert before[1] == after[1]


def test_what_is_safe_is_true_on_clips_without_pixels() -> None:
    """Every safe fact of the further kinds against the truth that ``curation.audit`` works out on its own."""
    asked: Counter[str] = Counter()
    wrong = []
    for seed in (2, 3, 5, 6, 8, 13):
        clip = pixel_free(seed)
        for fact in clip_facts(f"{seed:x}", clip.question, clip.times_s, clip.path, clip.tracks, CONFIG, seed=0):
            if fact.kind not in FURTHER or not fact.safe:
                continue
            ids = [name for name in (fact.object_id, *fact.other_object_id.split("+")) if name]
            frames = (int(clip.question[fact.frame_i]), int(clip.question[fact.frame_j]))
            answer = further_answer(fact.kind, clip.truth, [clip.bodies[name] for name in ids], *frames)
            asked[fact.kind] += 1
            if fact.kind in NUMERIC_FURTHER:
                assert fact.value is not None and fact.sigma is not None and answer.value is not None
                right = abs(fact.value - answer.value) < 6 * fact.sigma
            else:
                right = answer.label == fact.label
            if not right:
                wrong.append((seed, fact.fact_id, fact.label, answer))
    assert sum(asked.values()) > 700 and len(asked) >= 14, asked
    assert len(wrong) <= 0.005 * sum(asked.values()), wrong


@pytest.mark.parametrize(
    "start, end, one_body",
    [
        ((0.5, 0.4, 5), (2.5, 0.4, 5), True),  # legs under a body, carried along
        ((0.5, 0.4, 5), (2.7, 0.4, 5.2), True),  # a limb that swings about it
        ((0.3, 0.4, 5), (2.8, 0.4, 5), True),  # a stride
        ((0.5, 0.4, 5), (3.5, 0.4, 5), False),  # it pulls ahead
        ((2.5, 0.4, 5), (4.5, 0.4, 5), True),  # front and rear of a lorry
        ((2.5, 0.4, 5), (4.8, 0.4, 5), False),  # one ahead of the other, and gaining
        ((9.0, 0.4, 5), (11.0, 0.4, 5), False),  # in step, but too far apart
        ((0.0, 0.4, 7.5), (2.0, 0.4, 7.5), False),  # in step beside each other, never near
    ],
)
def test_what_may_be_two_parts_of_one_body_is_never_a_pair(start, end, one_body):
    whole = going((0.0, 0, 5), (2.0, 0, 5), size_m=0.5)
    part = going(start, end, name="obj_2", size_m=0.3)
    still = scene()
    facts = clip_facts("0123456789abcdef", QUESTION, TIMES_S, still.path, [whole, part], CONFIG, seed=0)
    together = {fact.kind for fact in facts if fact.other_object_id}
    assert (not together) == one_body
    assert one_body or {"object_object_distance_change", "moving_count"} <= together


def timed(metres: np.ndarray, name: str = "obj_1", across: np.ndarray | None = None) -> ObjectTrack:
    """An object at (metres, 0, 5), as a function of the frames' times; it "moves" where it is faster than 0.08 m/s."""
    centroids = np.stack([metres, 0 * metres, 5 + (0 * metres if across is None else across)], 1)
    made = track(centroids, name=name, sigma_m=0.005, size_m=0.3)
    fast = np.linalg.norm(np.gradient(centroids, TIMES_S, axis=0), axis=1) > 0.08
    return dataclasses.replace(made, moving=fast)


T = TIMES_S


def test_of_two_that_are_under_way_already_the_faster_is_no_first_mover() -> None:
    fast, slow = timed(1.0 * T), timed(0.3 * T, "obj_2")
    answer = first_mover(scene(), fast, slow, 0, LAST)
    assert answer is None or not said(answer)[1]
    crawls, rushes = timed(0.12 * T), timed(np.where(T > 0.5, 2.0 * (T - 0.5), 0.0), "obj_2")
    answer = first_mover(scene(), crawls, rushes, 0, LAST)  # the one that crawls set off first, and gets away second
    assert answer is None or answer[1] == "first" or not said(answer)[1]


def test_a_stop_is_told_only_where_it_also_ends_to_move() -> None:
    end = float(T[-1])
    third = end / 3
    start = np.minimum(T, third + 0.4)  # it brakes gently until 0.4 s after the first third
    braking = timed(0.25 * ((third + 0.4) ** 2 - (third + 0.4 - start) ** 2))
    found = stop_time(scene(), braking, 0, LAST)
    assert found is None or found[1] == "middle third" or not said(found)[1]


def test_what_turns_back_has_no_other_course_and_no_certain_never() -> None:
    end = float(T[-1])
    there_and_back = np.interp(T, [0, 0.3 * end, 0.6 * end, 0.85 * end, end], [0, 0, 2.0, 0.8, 0.8])
    assert course(scene(), timed(there_and_back), 0, LAST) is None
    pausing = np.interp(T, [0, 0.45 * end, 0.55 * end, end], [0, 2, 2, 0])
    assert stop_time(scene(), timed(pausing), 0, LAST) is None


@pytest.mark.parametrize("later, safe", [(1.0, True), (1.05, True), (1.18, False), (1.5, True)])
def test_between_as_fast_and_faster_lies_what_nobody_asks(later: float, safe: bool) -> None:
    half = float(T[-1]) / 2
    answer = speed_change(scene(), timed(np.where(half > T, T, half + later * (T - half))), 0, LAST)
    assert answer is not None and said(answer)[1] == safe
    assert not safe or answer[1] == ("as fast" if later < 1.1 else "faster")


def test_depth_that_runs_against_distance_is_not_asked_about() -> None:
    crossing = timed(2.6 * T / T[-1], across=-0.3 * T / T[-1])  # nearer in depth, farther from the camera
    facts = clip_facts("0123456789abcdef", QUESTION, TIMES_S, scene().path, [crossing], CONFIG, seed=0)
    depth = [
        f for f in facts if f.kind == "object_camera_longitudinal" or (f.kind == "object_direction" and f.label == "towards")
    ]
    assert depth and not [f for f in depth if f.margin >= f.threshold]


def test_there_and_back_is_neither_still_nor_sideways() -> None:
    swing = scene(turns_deg=np.outer(np.sin(np.pi * S), [0, 30, 0]))
    assert not said(rotation(swing, 0, LAST))[1]
    loop = scene(places=np.stack([S, 0 * S, 3 * np.sin(np.pi * S)], 1))
    assert not said(move(loop, 0, LAST))[1]


def test_a_curved_way_has_no_sides_and_no_heading() -> None:
    bend = going((0.0, 0, 5), (5, 0, 5), (5, 0, 10))
    beside = going((2.5, 0, 14), (2.6, 0, 15), name="obj_2")
    assert pair_side(scene(), bend, beside, 0, LAST) is None and heading(scene(), bend, beside, 0, LAST) is None
