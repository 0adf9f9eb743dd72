"""The truth of the further kinds, worked out on paper, and verdicts about them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from curation.audit.answers_further import FurtherAnswer, further_answer
from pipelines.audit import audit
from tests.audit.fabricated import Run, truth


def label(kind: str, bodies: list[int], i: int, j: int) -> str:
    return further_answer(kind, truth(), bodies, i, j).label


def test_true_answers_of_the_camera_are_those_worked_out_on_paper() -> None:
    """It goes forward by 0.1 m and turns right by 2 deg a frame."""
    assert further_answer("camera_rotation", truth(), [], 0, 20) == FurtherAnswer("right", pytest.approx(40.0))
    assert label("camera_rotation", [], 0, 1) == "not turning"
    assert further_answer("camera_rotation_angle", truth(), [], 5, 15).value == pytest.approx(20.0)
    assert label("camera_move", [], 0, 20) == ""  # it turns as it goes: no single word
    assert label("camera_move", [], 30, 39) == "arc left"  # turned by 60 deg, the way along Z is to the left, and it turns right


def test_true_answers_about_one_body_are_those_worked_out_on_paper() -> None:
    """Body 0 goes along -X by 0.5 m/s, body 1 stands, body 2 goes along +Z by 2 m/s."""
    assert [label("object_direction", [k], 0, 20) for k in range(3)] == ["left", "not moving", "away"]
    assert label("object_direction", [0], 30, 39) == "towards"  # seen after a turn of 60 deg to the right
    assert further_answer("object_speed", truth(), [2], 4, 24).value == pytest.approx(2.0)
    assert label("object_speed_change", [0], 0, 20) == "as fast"
    assert [label("object_motion_pattern", [k], 0, 20) for k in range(3)] == ["keeps moving", "stays still", "keeps moving"]
    assert label("object_stop_time", [0], 0, 20) == "never" and label("object_stop_time", [1], 0, 20) == ""
    assert label("object_trajectory", [2], 0, 20) == "away > away > away"
    assert [label("object_true_motion", [k], 0, 20) for k in range(3)] == ["both", "only the camera", "both"]
    assert label("object_camera_closest_time", [1], 0, 39) == "last third"


@pytest.mark.parametrize("goes_on", [0, 2])
def test_who_stops_and_has_just_gone_on_stopped_when_the_standstill_began(goes_on: int) -> None:
    """Up to frame 15 of 28 under way; a first step or two of going on at the end last too short to count."""
    speed = np.r_[np.full(15, 1.0), np.zeros(13 - goes_on), np.full(goes_on, 0.6)]
    world = truth()
    poses = world.world_from_object.copy()
    poses[:, 0, :3, 3] = poses[0, 0, :3, 3]
    poses[1:29, 0, 0, 3] += np.cumsum(speed) / 10
    world = dataclasses.replace(
        world, world_from_object=poses, world_from_piece=(poses[:, 0][:, None], *world.world_from_piece[1:])
    )
    assert further_answer("object_stop_time", world, [0], 0, 28).label == "middle third"


def test_true_answers_about_pairs_are_those_worked_out_on_paper() -> None:
    assert label("object_object_distance_change", [0, 1], 0, 20) == "closer"
    assert label("object_object_distance_change", [1, 2], 0, 20) == "farther"
    assert label("object_object_direction", [0, 2], 0, 20) == "behind"
    assert label("object_object_side", [2, 1], 0, 20) == "behind"  # body 2 has gone from z = 9 to 13
    assert label("object_object_side", [0, 2], 0, 20) == "right"  # who goes along -X has +Z on the right
    assert label("object_object_heading", [0, 2], 0, 20) == "crosswise"
    assert label("object_speed_comparison", [0, 2], 0, 20) == "second"
    assert label("object_first_mover", [0, 2], 0, 20) == ""  # both are under way from the start: the faster one is no first
    assert label("object_first_mover", [0, 1], 0, 20) == ""
    assert label("object_object_closest_time", [1, 2], 0, 30) == "first third"
    assert label("moving_count", [0, 1, 2], 0, 20) == "2"


def test_an_unknown_kind_has_no_truth() -> None:
    for bodies in ([0], [0, 1]):
        with pytest.raises(ValueError, match="no truth is known"):
            further_answer("no_such_kind", truth(), bodies, 0, 20)


def test_wrong_and_right_answers_about_pairs_and_cameras_are_told_apart(tmp_path) -> None:
    run = Run()
    said = {"right": "Turned to the right", "left": "Turned to the left"}
    run.ask("camera_rotation", 0, 20, list(said.values()), "A", 40.0, label="right")
    run.ask("camera_rotation", 0, 25, list(said.values()), "B", 50.0, label="left")
    run.ask("camera_rotation_angle", 0, 10, ["10.0°", "20.0°", "40.0°", "80.0°"], "B", 20.0)
    run.ask("object_speed", 0, 20, ["0.25 m/s", "0.50 m/s"], "A", 0.25, object_id="obj_1")
    report = audit(*run.write(tmp_path), max_blind_excess=0.5)
    found = {kind: (row["asked"], row["right"]) for kind, row in report["questions"].items()}
    assert found["camera_rotation"] == (2, 1) and found["camera_rotation_angle"] == (1, 1) and found["object_speed"] == (1, 0)
    wrong = {row["kind"]: row["true_option"] for row in report["wrong"]}
    assert wrong == {"camera_rotation": "Turned to the right", "object_speed": "0.50 m/s"}
    assert json.loads(json.dumps(report["wrong"], default=float))
    assert np.isfinite(report["calibration"]["facts"]["camera_rotation"]["worst"])
