"""The audit finds exactly the errors that were planted."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pytest

from curation.audit.accuracy import wilson_low
from curation.audit.answers import true_answer, true_label
from curation.audit.published import seen_by
from curation.audit.trajectories import align, coverage
from curation.audit.verdicts import length_of
from curation.geometry import pose, rotation_from_vector
from curation.worlds.truth import save_truth
from pipelines.audit import about_run, audit, main
from schemas.camera import Intrinsics
from tests.audit.fabricated import BOXES, FIRST, QUESTIONS, Run, truth

LENGTHS = ["0.50 m", "1.00 m", "2.00 m", "4.00 m"]


def _report(run: Run, tmp_path):
    return audit(*run.write(tmp_path), max_blind_excess=0.03)


def test_true_answers_are_those_worked_out_on_paper():
    t = truth()
    assert true_answer("camera_distance", t, None, 0, 30).value == pytest.approx(3.0)
    # looking 60 deg to the right, a step along the world's Z is mostly a step to the left
    turned = true_answer("camera_direction", t, None, 30, 39)
    assert turned.vector == pytest.approx((-0.9 * np.sin(np.radians(60)), 0, 0.9 * np.cos(np.radians(60))))
    assert true_label("camera_direction", turned, ["left", "right", "forward"], 0.2) == "left"
    assert true_label("camera_direction", true_answer("camera_direction", t, None, 0, 9), ["left", "forward"], 0.2) == "forward"
    assert true_label("camera_direction", turned, ["right", "forward"], 0.2) == ""
    assert true_answer("object_distance", t, 0, 3, 23).value == pytest.approx(1.0)
    assert true_answer("object_camera_distance", t, 1, 0, 10).value == pytest.approx(np.sqrt(0.8**2 + 0.2**2 + 7.8**2))
    change = true_answer("object_camera_distance_change", t, 2, 0, 20)
    assert change.value == pytest.approx(np.sqrt(0.08 + (8.8 + 2.0) ** 2) - np.sqrt(0.08 + 8.8**2))
    assert true_label("object_camera_distance_change", change, ["closer", "farther", "not moving"], 0.2) == "farther"
    assert true_answer("object_camera_lateral", t, 0, 0, 20).value == pytest.approx(-1.0)
    assert (
        true_label("object_camera_lateral", true_answer("object_camera_lateral", t, 0, 0, 20), ["left", "right"], 0.2) == "left"
    )
    # seen from frame 30 (turned 60 deg to the right) the van that goes to -X comes closer
    longitudinal = true_answer("object_camera_longitudinal", t, 0, 30, 39)
    assert longitudinal.value == pytest.approx(-0.45 * np.sin(np.radians(60)))
    assert true_label("object_camera_longitudinal", longitudinal, ["closer", "farther"], 0.2) == "closer"


def test_a_perfect_run_passes(tmp_path):
    run = Run()
    run.ask("camera_distance", 0, 20, LENGTHS, "C", 2.0)
    run.ask("camera_direction", 0, 5, ["Left", "Right", "Forward", "Backward"], "C", 0.489, label="forward")
    run.ask("object_distance", 0, 20, LENGTHS, "B", 1.0, object_id="obj_1")
    run.ask("object_camera_lateral", 0, 20, ["To the left", "To the right"], "A", -1.0, object_id="obj_1", label="left")
    report = _report(run, tmp_path)
    assert report["questions"]["all"] | {"accuracy_low_95": None} == {
        "asked": 4, "right": 4, "sound": 4, "accuracy": 1.0, "accuracy_low_95": None,
        "phantom": 0, "parked": 0, "static_camera": 0,
    }  # fmt: skip
    assert report["wrong"] == []
    movers = report["movers"]
    assert (movers["eligible"], movers["found"], movers["recall"], movers["asked"]) == (2, 2, 1.0, 1)
    assert (movers["phantoms"], movers["parked"], movers["jumped"], movers["fragments"]) == (0, 0, 0, 0)
    assert report["trajectories"]["percent"]["worst"] < 1e-9
    assert report["tracks"]["error_m"]["worst"] < 1e-9 and report["tracks"]["material_m"]["worst"] < 1e-9


def test_exactly_the_planted_wrong_labels_are_found(tmp_path):
    run = Run()
    good = [
        run.ask("camera_distance", 0, 20, LENGTHS, "C", 2.1),  # a little off, and still the nearest option
        run.ask("object_camera_distance_change", 0, 25, ["Closer", "Farther"], "B", 2.4, object_id="obj_2", label="farther"),
    ]
    bad = [
        run.ask("camera_distance", 1, 21, LENGTHS, "D", 4.0),
        run.ask("camera_direction", 0, 3, ["Left", "Forward"], "A", -0.3, label="left"),
        run.ask("object_distance", 2, 22, LENGTHS, "A", 0.5, object_id="obj_1"),
        run.ask("object_camera_lateral", 0, 10, ["Left", "Right"], "B", 0.5, object_id="obj_1", label="right"),
        run.ask("object_camera_distance_change", 3, 28, ["Closer", "Farther", "About the same distance"], "C", 0.0,
                object_id="obj_2", label="not moving"),
    ]  # fmt: skip
    report = _report(run, tmp_path)
    assert {row["id"] for row in report["wrong"]} == set(bad)
    assert {row["id"] for row in report["worst"]} == set(bad + good)
    assert report["questions"]["camera_distance"]["right"] == 1
    wrong = next(row for row in report["wrong"] if row["id"] == bad[0])
    assert wrong["truth"] == pytest.approx(2.0) and wrong["true_option"] == "2.00 m" and wrong["labelled"] == "4.00 m"
    assert wrong["error"] == pytest.approx(2.0)


def test_parked_and_phantom_objects_are_told_apart(tmp_path):
    run = Run()
    run.add_object("obj_3", 1, BOXES[1])  # the car that stands
    run.add_object("obj_4", 0, (0, 42, 12, 50))  # nothing is there
    parked = run.ask("object_distance", 0, 20, LENGTHS, "A", 0.5, object_id="obj_3")
    phantom = run.ask("object_camera_lateral", 0, 20, ["Left", "Right"], "A", -1.0, object_id="obj_4", label="left")
    report = _report(run, tmp_path)
    problems = {row["id"]: row["problem"] for row in report["worst"]}
    assert problems == {parked: "parked", phantom: "phantom"}
    assert report["questions"]["object_distance"]["parked"] == 1
    assert report["questions"]["object_camera_lateral"] | {"accuracy_low_95": 0} == {
        "asked": 1, "right": 0, "sound": 0, "accuracy": 0.0, "accuracy_low_95": 0, "phantom": 1, "parked": 0, "static_camera": 0,
    }  # fmt: skip
    (clip,) = report["clips"]
    assert clip["parked"] == ["obj_3"] and clip["phantoms"] == ["obj_4"]


def test_a_missed_mover_and_a_doubled_one_are_counted(tmp_path):
    run = Run()
    run.rows["tracks"] = [r for r in run.rows["tracks"] if r["object_id"] == "obj_1"]
    run.rows["objects"] = [r for r in run.rows["objects"] if r["object_id"] == "obj_1"]
    run.add_object("obj_9", 0, (50, 10, 70, 24))
    report = _report(run, tmp_path)
    assert report["movers"]["recall"] == 0.5 and report["movers"]["fragments"] == 1
    assert report["clips"][0]["missed"] == ["green_ball_2"]


def test_a_part_of_a_mover_is_that_mover_and_a_larger_thing_is_not(tmp_path):
    run = Run()
    run.add_object("obj_5", 2, (36, 26, 44, 30))  # a corner of the ball and a little more
    run.add_object("obj_6", 2, (20, 5, 48, 48))  # a region with the ball in it
    right = run.ask("object_distance", 0, 20, LENGTHS, "D", 4.0, object_id="obj_5")
    (clip,) = (report := _report(run, tmp_path))["clips"]
    assert clip["partial"] == ["obj_5"] and clip["phantoms"] == ["obj_6"] and clip["fragments"] == 1
    assert report["wrong"] == [] and report["worst"][0]["id"] == right and report["worst"][0]["body"] == "green_ball_2"


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ("the red object", "fits"),
        ("the blue object", "wrong_colour"),
        ("the object (about 75% from the left and 40% from the top of the view at frame 7)", "fits"),
        ("the red object (about 15% from the left and 60% from the top of the view at frame 7)", "points_elsewhere"),
        ("the van that a model described", "unjudged"),
    ],
)
def test_a_description_is_judged_by_its_colour_and_its_place(tmp_path, words, verdict):
    run = Run()
    run.rows["objects"][0]["description"] = words
    run.ask("object_distance", 0, 20, LENGTHS, "B", 1.0, object_id="obj_1")
    report = _report(run, tmp_path)
    assert report["clips"][0]["descriptions"] == {"obj_1": verdict} and report["descriptions"][verdict] == 1
    assert report["questions"]["all"]["right"] == 1
    assert report["questions"]["all"]["sound"] == (verdict in ("fits", "unjudged"))


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ("the red object", "ambiguous"),
        ("the red object (on the right of the view at frame 3)", "fits"),
        ("the red object (on the left of the view at frame 3)", "points_elsewhere"),
        ("the red object (in the middle of the view at frame 3)", "fits"),
    ],
)
def test_a_parked_namesake_makes_a_colour_ambiguous(words, verdict):
    from dataclasses import replace

    from curation.audit.matching import Match
    from curation.audit.naming import judge_description
    from curation.audit.published import PublishedClip

    twins = replace(truth(), colours=("red", "red", "green"))  # body 1 stands on the left
    clip = PublishedClip(Run().rows["clips"][0], [], [], {}, [], [])
    assert judge_description(words, clip, twins, Match("obj_1", 0, 1.0, 1.0, 1.0, True)) == verdict


def test_a_track_that_jumps_to_another_body_is_seen(tmp_path):
    from tests.audit.fabricated import box_mask

    run = Run()
    for row in run.rows["tracks"]:
        if row["object_id"] == "obj_1" and row["frame"] >= 24:
            row["mask_rle"] = box_mask(BOXES[1])
    report = _report(run, tmp_path)
    assert report["clips"][0]["jumped"] == ["obj_1"]


def test_a_path_that_is_two_percent_long_is_measured_as_such(tmp_path):
    run = Run()
    for row in run.rows["cameras"]:
        matrix = np.array(row["world_from_camera"]).reshape(4, 4)
        matrix[:3, 3] *= 1.02
        row["world_from_camera"] = matrix.ravel().tolist()
    report = _report(run, tmp_path)
    steps = 0.02 * np.arange(QUESTIONS) * 0.1
    assert report["trajectories"]["rms_m"]["worst"] == pytest.approx(np.sqrt((steps**2).mean()))
    assert report["trajectories"]["percent"]["worst"] == pytest.approx(100 * np.sqrt((steps**2).mean()) / 3.1)
    assert report["trajectories"]["aligned_percent"]["worst"] < report["trajectories"]["percent"]["worst"]


def test_a_track_that_lags_is_measured_against_the_body(tmp_path):
    run = Run()
    start = {r["object_id"]: np.array(r["centroid_m"]) for r in run.rows["tracks"] if r["frame"] == 0}
    for row in run.rows["tracks"]:
        first = start[row["object_id"]]
        row["centroid_m"] = (first + 0.9 * (np.array(row["centroid_m"]) - first)).tolist()
    report = _report(run, tmp_path)
    assert report["tracks"]["error_m"]["worst"] == pytest.approx(0.1 * 0.2 * (QUESTIONS - 1))


def test_sigma_is_judged_by_how_often_it_holds(tmp_path):
    rng = np.random.default_rng(0)
    run = Run()
    for i in range(24):
        for j in range(i + 4, 32):
            run.ask("camera_distance", i, j, LENGTHS, "A", 0.1 * (j - i) + rng.normal() * 0.02, sigma=0.01)
    report = _report(run, tmp_path)
    row = report["calibration"]["facts"]["camera_distance"]
    assert row["count"] == len(run.rows["facts"])
    assert row["within_1"] == pytest.approx(0.383, abs=0.07) and row["median_ratio"] == pytest.approx(2.0, rel=0.15)


def test_facts_below_their_margin_do_not_count_as_asked(tmp_path):
    run = Run()
    run.ask("camera_distance", 0, 20, LENGTHS, "C", 2.0, margin=9.0)
    run.ask("camera_distance", 0, 21, LENGTHS, "C", 2.1, margin=1.0)
    calibration = _report(run, tmp_path)["calibration"]
    assert calibration["facts"]["camera_distance"]["count"] == 2 and calibration["facts_asked"]["camera_distance"]["count"] == 1


def test_a_smaller_published_picture_is_matched_all_the_same(tmp_path):
    run = Run()
    clip = run.rows["clips"][0]
    clip["width"], clip["height"] = 40, 26  # half, and a row more than half
    for row in run.rows["cameras"]:
        for key in ("fx", "fy", "cx", "cy"):
            row[key] /= 2
    from pycocotools import mask as coco

    for row in run.rows["tracks"]:
        x0, y0, x1, y1 = (v // 2 for v in BOXES[0 if row["object_id"] == "obj_1" else 2])
        mask = np.zeros((26, 40), np.uint8)
        mask[y0:y1, x0:x1] = 1
        rle = coco.encode(np.asfortranarray(mask))
        row["mask_rle"] = {"size": [26, 40], "counts": rle["counts"].decode()}
    report = _report(run, tmp_path)
    assert report["clips"][0]["iou"] == {"obj_1": 1.0, "obj_2": 1.0}


def test_a_mask_is_carried_between_cameras_by_rays():
    mask = np.zeros((10, 10), bool)
    mask[2:4, 6:8] = True
    small, large = Intrinsics(10, 10, 5, 5, 10, 10), Intrinsics(20, 20, 12, 10, 24, 20)
    carried = seen_by(mask, small, large)
    assert carried.shape == (20, 24) and np.argwhere(carried).min(0).tolist() == [4, 14] and carried.sum() == 16


def test_the_command_fails_on_wrong_labels_and_writes_every_number(tmp_path, capsys):
    run = Run()
    run.ask("camera_distance", 0, 20, LENGTHS, "D", 4.0)
    folder, worlds = run.write(tmp_path)
    assert main(["--truth", str(worlds), str(folder)]) == 1
    text = capsys.readouterr().out
    assert "of 1 questions 1 labels are wrong" in " ".join(text.split()) and "4.00 m" in text
    written = json.loads((folder / "audit.json").read_text())
    assert written["questions"]["all"]["accuracy"] == 0.0 and written["failures"]
    assert written["date"] == datetime.datetime.now(datetime.UTC).date().isoformat() and written["run_id"] is None
    (tmp_path / "run.json").write_text(json.dumps({"run_id": "0a1b2c", "git": {"revision": "f" * 40, "changed": False}}))
    assert about_run(tmp_path) == {"run_id": "0a1b2c", "revision": "f" * 40}
    assert main(["--truth", str(worlds), "--min-accuracy", "0", str(folder)]) == 0


def test_a_world_that_yielded_no_clip_is_named(tmp_path):
    folder, worlds = Run().write(tmp_path)
    save_truth(truth(), worlds / "deeper" / "world_b" / "truth")
    assert audit(folder, worlds, max_blind_excess=0.03)["worlds_without_clip"] == ["deeper/world_b"]


def test_a_path_without_scale_is_compared_after_alignment_and_owes_no_movers(tmp_path):
    run = Run()
    for name in ("objects", "tracks"):
        run.rows[name] = []
    for row in run.rows["cameras"]:
        matrix = np.array(row["world_from_camera"]).reshape(4, 4)
        matrix[:3, 3] *= 7.0
        row |= {"world_from_camera": None, "relative_from_camera": matrix.ravel().tolist(), "scale": "relative"}
    report = _report(run, tmp_path)
    assert report["trajectories"]["percent"]["count"] == 0 and report["trajectories"]["aligned_percent"]["worst"] < 1e-6
    assert report["movers"]["eligible"] == 0


def test_a_bench_source_that_is_trained_on_fails_the_audit(tmp_path, capsys):
    run = Run()
    run.ask("camera_distance", 0, 20, LENGTHS, "C", 2.0)
    run.ask("camera_distance", 0, 21, LENGTHS, "C", 2.1, table="bench")
    folder, _ = run.write(tmp_path)
    assert main([str(folder)]) == 1
    assert "world_a is in bench and in training" in capsys.readouterr().out


def test_labels_that_can_be_guessed_fail_the_audit(tmp_path, capsys):
    run = Run()
    for k in range(200):
        run.ask("camera_distance", k % 20, 31, ["0.50 m", "1.00 m", "2.00 m", "4.00 m"], "D", 4.0)
    folder, _ = run.write(tmp_path)
    assert main([str(folder)]) == 1
    assert "guesser largest answers" in " ".join(capsys.readouterr().out.split())


def test_a_run_without_publications_is_named(tmp_path, capsys):
    assert main(["--truth", str(tmp_path), str(tmp_path)]) == 2
    assert "Was the run finished?" in " ".join(capsys.readouterr().out.split())


def test_a_truth_folder_that_holds_other_worlds_is_named(tmp_path, capsys):
    folder, _ = Run().write(tmp_path)
    (tmp_path / "other").mkdir()
    assert main(["--truth", str(tmp_path / "other"), str(folder)]) == 2
    assert "'world_a'" in capsys.readouterr().out


def test_alignment_recovers_a_rigid_motion_and_a_scale():
    rng = np.random.default_rng(1)
    source = rng.normal(size=(20, 3))
    motion = pose(rotation_from_vector(np.array([0.3, -1.0, 0.4])), np.array([1.0, 2.0, 3.0]))
    target = 2.5 * source @ motion[:3, :3].T + motion[:3, 3]
    rotation, shift, scale = align(target, source, with_scale=True)
    assert np.allclose(rotation, motion[:3, :3]) and np.allclose(shift, motion[:3, 3]) and scale == pytest.approx(2.5)
    assert align(target, source)[2] == 1.0


def test_lengths_are_read_with_their_units():
    assert [length_of(t) for t in ("1.30 m", "About 45 cm", "0.5 m", "2 km")] == [1.3, 0.45, 0.5, 2000.0]
    with pytest.raises(ValueError, match="expected an option with a length"):
        length_of("far away")


def test_a_small_count_cannot_prove_a_high_accuracy():
    assert wilson_low(10, 10) < 0.75 < wilson_low(20, 20) < wilson_low(1000, 1000)
    assert wilson_low(0, 0) is None


def test_coverage_of_a_normal_error_is_that_of_the_book():
    row = coverage(np.random.default_rng(0).normal(size=20000).tolist())
    assert row["within_1"] == pytest.approx(0.683, abs=0.01) and row["within_2"] == pytest.approx(0.954, abs=0.005)
    assert row["median_ratio"] == pytest.approx(1, abs=0.02)
    assert FIRST == 6
