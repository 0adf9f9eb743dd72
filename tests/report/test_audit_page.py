"""The audit as a page, evo's errors against ours, and the curves of calibration and time."""

from __future__ import annotations

import json
import math
from pathlib import Path
from urllib.parse import unquote

import cv2
import numpy as np
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.audit.trajectories import SIGMAS, camera_errors, evo_errors, over_time, reliability
from curation.geometry import pose, rotation_from_vector
from pipelines.audit import main
from pipelines.report import main as report
from tests.audit.fabricated import FIRST, QUESTIONS, Run, truth
from tests.report.made import LENGTHS, Page, run_with_video


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run, worlds = run_with_video(tmp_path_factory.mktemp("audited"))
    assert report([str(run), "--truth", str(worlds)]) == 0
    assert main([str(run), "--truth", str(worlds)]) == 1  # one label is wrong
    return run


def test_the_page_opens_from_disk_with_all_that_it_needs(audited: Path) -> None:
    page = audited / "audit" / "index.html"
    links = [link for link in Page(page).links if link != "data:,"]
    assert sum(link.startswith("pictures/") for link in links) == 2 * (4 * 2 + 3)  # shown, and to be enlarged
    for link in links:
        assert "//" not in link and (page.parent / unquote(link)).exists(), link
    report([str(audited)])
    assert "../audit/index.html" in Page(audited / "report" / "index.html").links


def test_the_wrong_question_comes_first_with_measurement_and_truth(audited: Path) -> None:
    text = Page(audited / "audit" / "index.html").text
    worst = text[text.index("The worst questions") :]
    first = worst[worst.index("wrong") : worst.index("camera d")]
    assert "frames 2 → 22 · obj_1 is red_van_0" in first
    assert "A 0.50 m labelled" in first and "B 1.00 m true" in first
    assert "0.5 ± 0.01 m" in first and "0.5 m = 50 σ" in first


def test_pictures_of_the_worst_show_the_object_of_the_question_and_its_true_body(audited: Path) -> None:
    picture = cv2.imread(str(audited / "audit" / "pictures" / "c1-obj_1-2.jpg")).astype(int)
    inside, outside = picture[15:25, 55:65].mean((0, 1)), picture[40:48, 30:40].mean((0, 1))
    assert inside[2] > outside[2] + 30 and abs(outside - 90).max() < 12  # tinted red, in OpenCV's order


def test_figures_of_the_audit_are_what_plotly_accepts(audited: Path) -> None:
    figures = {figure["id"]: figure for figure in Page(audited / "audit" / "index.html").json}
    assert set(figures) == {"measured", "facts", "camera_time", "object_time"}
    for figure in figures.values():
        go.Figure(data=figure["data"], layout=figure["layout"])
    assert max(v for v in figures["camera_time"]["data"][0]["y"] if v is not None) < 1e-9
    claimed = figures["object_time"]["data"][-1]
    assert claimed["name"] == "claimed" and claimed["y"][2] == pytest.approx(math.sqrt(3) * 0.01 * math.sqrt(2), rel=1e-4)


def test_audit_json_says_where_errors_are(audited: Path) -> None:
    values = json.loads((audited / "audit.json").read_text())
    assert values["wrong"][0]["clip_id"] == "c1"
    clip = values["clips"][0]
    assert clip["bodies"] == {"obj_1": "red_van_0", "obj_2": "green_ball_2"}
    assert len(clip["over_time"]["camera"]["error_m"]) == QUESTIONS
    assert values["trajectories"]["evo"]["ape_m"]["worst"] < 1e-9
    assert values["calibration"]["curves"]["tracks"]["found"] == [1.0] * len(SIGMAS)


def test_no_page_is_written_where_none_is_wanted(tmp_path: Path) -> None:
    run, worlds = run_with_video(tmp_path)
    assert main([str(run), "--truth", str(worlds), "--no-html"]) == 1
    assert not (run / "audit").exists()
    assert main([str(run), "--html", str(tmp_path / "page")]) == 0  # without a truth
    assert "Without looking" in Page(tmp_path / "page" / "index.html").text


def test_a_run_whose_videos_are_gone_has_a_page_without_pictures(tmp_path: Path) -> None:
    run = Run()
    run.ask("camera_distance", 0, 20, LENGTHS, "C", 2.0)
    run.rows["clips"][0] |= {"frame_times_s": [k / 10 for k in range(QUESTIONS)]}
    folder, worlds = run.write(tmp_path)
    assert main([str(folder), "--truth", str(worlds)]) == 0
    assert not [link for link in Page(folder / "audit" / "index.html").links if link.startswith("pictures/")]


def _path(seed: int, bend: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    steps = np.cumsum(rng.normal([0, 0, 0.1], 0.02, (20, 3)), 0)
    return np.stack([pose(rotation_from_vector(bend * rng.normal(0, 0.1, 3)), p) for p in steps])


@given(st.integers(0, 50), st.floats(0, 1))
def test_evos_errors_do_not_see_a_rigid_motion_after_alignment_and_do_before(seed: int, bend: float) -> None:
    true = _path(seed, bend)
    moved = pose(rotation_from_vector(np.array([0.1, -0.2, 0.3])), np.array([1.0, 0, 0])) @ true
    found = evo_errors(true, moved, metric=True)
    assert found["ape_aligned_m"]["max"] < 1e-9 and found["rpe_m"]["max"] < 1e-9 and found["rpe_deg"]["max"] < 1e-5
    assert found["ape_m"]["rmse"] > 0.3


def test_evos_absolute_error_is_our_own(tmp_path: Path) -> None:
    run = Run()
    for k, row in enumerate(run.rows["cameras"]):
        row["world_from_camera"][3] += 0.01 * math.sin(k)
        row["world_from_camera"][11] *= 1.02
    run.rows["clips"][0] |= {"frame_times_s": [k / 10 for k in range(QUESTIONS)]}
    from curation.audit.published import read_run

    clip = read_run(run.write(tmp_path)[0])[0]
    found = camera_errors(clip, truth())
    assert found is not None and found["rms_m"] > 0.01
    assert found["evo"]["ape_m"]["rmse"] == pytest.approx(found["rms_m"])
    assert 100 * found["evo"]["ape_aligned_m"]["rmse"] / found["path_m"] == pytest.approx(found["aligned_percent"])
    assert found["evo"]["rpe_m"]["rmse"] < found["evo"]["ape_m"]["rmse"]


def test_evo_takes_straight_paths_standing_cameras_and_paths_without_scale() -> None:
    line = np.stack([pose(np.eye(3), np.array([0, 0, 0.1 * k])) for k in range(12)])
    assert evo_errors(line, line, metric=True)["ape_aligned_m"]["max"] < 1e-9
    still = np.tile(np.eye(4), (12, 1, 1))
    assert evo_errors(still, still, metric=True)["ape_aligned_m"]["max"] < 1e-9
    scaled = _path(3, 1).copy()
    scaled[:, :3, 3] *= 7
    found = evo_errors(_path(3, 1), scaled, metric=False)
    assert found["ape_m"] is None and found["ape_aligned_m"]["max"] < 1e-9 and found["rpe_aligned_m"]["max"] < 1e-9


def test_errors_over_time_are_those_that_were_put_in(tmp_path: Path) -> None:
    from curation.audit.matching import match_objects
    from curation.audit.published import read_run

    run = Run()
    run.rows["cameras"][9]["world_from_camera"][3] += 0.03
    track = [row for row in run.rows["tracks"] if row["object_id"] == "obj_2"][20]
    track["centroid_m"][1] += 0.2
    run.rows["tracks"] = [row for row in run.rows["tracks"] if (row["object_id"], row["frame"]) != ("obj_2", 5)]
    clip = read_run(run.write(tmp_path)[0])[0]
    found = over_time(clip, truth(), match_objects(clip, truth()))
    assert found["camera"]["error_m"][9] == pytest.approx(0.03) and max(found["camera"]["error_m"][:9]) < 1e-9
    errors = found["objects"]["obj_2"]["error_m"]
    assert errors[20] == pytest.approx(0.2) and errors[5] is None and errors[4] < 1e-9
    assert found["objects"]["obj_2"]["claimed_m"][5] is None
    assert FIRST == 6 and found["time_s"][9] == pytest.approx(0.9)


def test_reliability_of_a_normal_distribution_lies_on_the_diagonal() -> None:
    z = np.random.default_rng(0).normal(size=20_000).tolist()
    true, small = reliability(z), reliability((2 * np.array(z)).tolist())
    assert np.abs(np.array(true["found"]) - true["claimed"]).max() < 0.01
    assert (np.array(small["found"]) < np.array(small["claimed"]) - 0.002).all()
    assert reliability([])["found"] == []
