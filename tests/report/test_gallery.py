"""The gallery shows what the tables say, of any run, and nothing in a table can break out of its page."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from urllib.parse import unquote

import cv2
import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pipelines.report
from curation.report.clip_page import facts_of, player_data
from curation.report.clip_view import read_clip
from curation.report.figures import Curve, PathLine, band, curves, paths, reliability
from curation.report.frames import decode_frames
from curation.report.outlines import outlines
from curation.report.page import file_name, script_json
from curation.report.pictures import overlay
from pipelines.report import main
from pipelines.run_facts import balance
from schemas.tables import PUBLISHED
from tests.audit.fabricated import BOXES, QUESTIONS
from tests.report.made import Page, run_with_video

HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=1'>\"'&${x}{{ 7*7 }}$\\alpha$\u2028"


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run, worlds = run_with_video(tmp_path_factory.mktemp("gallery"))
    assert main([str(run), "--truth", str(worlds)]) == 0
    return run / "report"


def _edit(run: Path, table: str, change: dict[str, object]) -> None:
    path = run / "publish" / table / "train-00000-of-00001.parquet"
    rows = [row | change for row in pq.read_table(path).to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, schema=PUBLISHED[table]), path)


def test_every_file_that_a_page_needs_lies_beside_it(gallery: Path) -> None:
    pages = sorted(gallery.rglob("*.html"))
    assert [p.relative_to(gallery).as_posix() for p in pages] == ["clips/c1.html", "index.html"]
    for page in pages:
        links = [link for link in Page(page).links if link != "data:,"]
        assert any(link.endswith("style.css") for link in links)
        for link in links:
            assert "//" not in link and not link.startswith("/")
            assert (page.parent / unquote(link)).exists(), link


def test_the_page_of_a_clip_shows_its_questions_and_what_the_truth_says_of_them(gallery: Path) -> None:
    text = Page(gallery / "clips" / "c1.html").text
    assert "4 questions" in text and "2 moving objects" in text
    assert text.count("object distance frames 2 → 22 obj_1 wrong") == 1
    assert "0.5 ± 0.01 m" in text and "1 m, off by 0.5 m = 50 σ" in text
    assert "1 wrong" in Page(gallery / "index.html").text


def test_the_player_gets_masks_boxes_paths_and_poses_of_every_frame(gallery: Path) -> None:
    data = Page(gallery / "clips" / "c1.html").json[0]
    assert len(data["times"]) == len(data["poses"]) == QUESTIONS and data["metric"]
    first = data["objects"][0]["frames"][7]
    x0, y0, x1, y1 = BOXES[0]
    assert first["box"] == pytest.approx([x0 / 80, y0 / 50, x1 / 80, y1 / 50])
    outline = np.array(first["mask"][0]).reshape(-1, 2) * (80, 50)
    assert outline.min(0) == pytest.approx([x0 + 0.5, y0 + 0.5], abs=0.01)
    assert outline.max(0) == pytest.approx([x1 - 0.5, y1 - 0.5], abs=0.01)
    assert data["objects"][0]["truth"][7] == first["mask"]
    assert np.allclose(data["objects"][0]["true_path"][7], first["at"], atol=1e-4)


def test_frames_of_the_sheet_are_those_that_the_tables_name(gallery: Path, tmp_path: Path) -> None:
    sheet = cv2.imread(str(gallery / "clips" / "c1.jpg"))
    about = Page(gallery / "clips" / "c1.html").json[0]["sheet"]
    for k in (0, 13, 31):
        row, column = divmod(k, about["columns"])
        tile = sheet[row * about["height"] : (row + 1) * about["height"], column * about["width"] : (column + 1) * about["width"]]
        assert (tile[5] > 160).all(-1).sum() == pytest.approx(2 * k + 2, abs=2)
    run, _ = run_with_video(tmp_path)
    with pytest.raises(ValueError, match=r"expected frames \[40\] in c1.mp4"):
        decode_frames(run / "publish" / "videos" / "c1.mp4", [3, 40])


def test_figures_are_what_plotly_accepts_and_say_what_was_measured(gallery: Path) -> None:
    figures = Page(gallery / "clips" / "c1.html").json[1:]
    assert [figure["id"] for figure in figures] == ["paths", "distance", "travel"]
    for figure in figures:
        go.Figure(data=figure["data"], layout=figure["layout"])  # validates
    distance = {trace["name"]: trace for trace in figures[1]["data"] if "customdata" in trace}
    assert distance["obj_1"]["y"][10] == pytest.approx(6.0) and distance["obj_1"]["customdata"][10] == pytest.approx(0.05)
    camera = figures[0]["data"][1]
    assert camera["name"] == "camera" and camera["y"][20] == pytest.approx(2.0 * np.cos(np.radians(12)), rel=1e-4)  # forward
    go.Figure(**{k: reliability({"a": ([0.3, 0.7], [0.2, 0.9], 50)})[k] for k in ("data", "layout")})


def test_bands_leave_out_frames_without_a_measurement() -> None:
    nan = np.nan
    time, value = np.arange(6.0), np.array([1, 2, nan, 4, 5, 6.0])
    line = Curve("a", "#102030", time, value, np.full(6, 0.5))
    x, y = band(line, 2)
    assert x == [0, 1, 1, 0, None, 3, 4, 5, 5, 4, 3]
    assert y == [2, 3, 1, 0, None, 5, 6, 7, 5, 4, 3]
    assert curves([line], "m")["data"][0]["fillcolor"] == "rgba(16,32,48,0.13)"


def test_paths_in_space_are_turned_so_that_up_is_up() -> None:
    figure = paths([PathLine("p", "#000000", np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 4.0]]), follow="p")], None, (1, 1), "m")
    trace = figure["data"][0]
    assert (trace["x"], trace["y"], trace["z"]) == ([1, 1], [3, 4], [-2, -2])
    assert figure["follow"] == [{"trace": 1, "at": [[1, 3, -2], [1, 4, -2]]}]


def test_masks_with_holes_become_outlines_with_holes() -> None:
    mask = np.zeros((40, 60), bool)
    mask[5:35, 10:50] = True
    mask[15:25, 20:40] = False
    assert len(outlines(mask)) == 2
    assert outlines(np.zeros((4, 4), bool)) == outlines(None) == []


def test_names_from_videos_cannot_break_out_of_a_page(tmp_path: Path) -> None:
    run, _ = run_with_video(tmp_path)
    _edit(run, "clips", {"source": HOSTILE, "assumed": [HOSTILE]})
    _edit(run, "objects", {"description": HOSTILE})
    _edit(run, "sft", {"question": HOSTILE, "kind": HOSTILE, "options": [HOSTILE] * 4, "answer": "B", "answer_value": None})
    assert main([str(run)]) == 0
    for page in (run / "report").rglob("*.html"):
        found = Page(page)
        scripts = [attrs for tag, attrs in found.tags if tag == "script"]
        assert all(attrs.get("src", "").endswith(".js") or attrs.get("type") == "application/json" for attrs in scripts)
        assert not [attrs for tag, attrs in found.tags if any(name.startswith("on") for name in attrs)]
        assert not [attrs for tag, attrs in found.tags if tag == "img" and attrs.get("src") == "x"]
        assert "window.hacked" in found.text  # it is shown, as text
        assert "{{ 7*7 }}" in found.text
    data = Page(run / "report" / "clips" / "c1.html").json[0]
    assert data["objects"][0]["words"] == HOSTILE


def test_json_in_a_page_starts_no_tag_and_knows_no_nan() -> None:
    text = script_json({"a": "</script><!--", "b": [float("nan"), np.float64(1.5), np.array([1, 2])], "c": float("inf")})
    assert "<" not in text and ">" not in text
    assert json.loads(text) == {"a": "</script><!--", "b": [None, 1.5, [1, 2]], "c": None}


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a" * 90, "x\n"])
def test_a_clip_id_does_not_choose_where_pages_are_written(name: str) -> None:
    with pytest.raises(ValueError, match="expected a clip id of letters"):
        file_name(name)


def test_the_same_run_gives_the_same_bytes(gallery: Path, tmp_path: Path) -> None:
    run, worlds = run_with_video(tmp_path)
    assert main([str(run), "--truth", str(worlds)]) == 0
    for path in sorted(gallery.rglob("*")):
        again = run / "report" / path.relative_to(gallery)
        assert path.is_dir() or path.read_bytes() == again.read_bytes(), path


def test_balance_counts_open_questions_and_those_with_options_apart() -> None:
    asked = {
        "kind": "object_speed",
        "options": ["1 m/s", "3 m/s", "2 m/s"],
        "answer": "B",
        "answer_text": "3 m/s",
        "answer_value": 3.0,
    }
    open_one = {"kind": "object_speed", "options": None, "answer": "", "answer_text": "3 m/s", "answer_value": 3.0}
    told = {"kind": "passing", "options": ["in front", "behind"], "answer": "A", "answer_text": "in front", "answer_value": None}
    found = balance([asked, asked, open_one, told])
    assert found["kinds"] == {"object_speed": 3, "passing": 1} and found["ranks"] == {"3": 2}
    assert found["letters"] == {2: {"A": 1}, 3: {"B": 2}} and found["labels"] == {"passing": {"in front": 1}}


def test_a_question_about_two_objects_shows_both(gallery: Path) -> None:
    run = gallery.parent
    view = read_clip(run, "c1")
    assert view is not None
    question = view.clip.questions[1]
    fact = next(f for f in view.clip.facts if f["fact_id"] in question["fact_ids"])
    fact |= {"other_object_id": "obj_2+obj_3", "unit": "m/s"}
    assert facts_of(question, view.clip) == {"facts": [fact], "unit": "m/s", "about": ["obj_1", "obj_2", "obj_3"]}


def test_a_run_without_clips_says_what_became_of_its_sources(tmp_path: Path) -> None:
    plan = {"clips": [], "stages": {"video": False, "reasoning": True}, "losses": {"rejected": {"too_short": 3}, "failed": {}}}
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / "plan.json").write_text(json.dumps(plan))
    assert main([str(tmp_path), "--output", str(tmp_path / "out")]) == 0
    text = Page(tmp_path / "out" / "index.html").text
    assert "The run has no clips." in text and "source rejected too_short 3" in text


def test_clips_that_were_rejected_or_are_not_done_have_cards_with_the_reason(tmp_path: Path) -> None:
    run, _ = run_with_video(tmp_path)
    ledger = run / "ledger"
    (ledger / "video" / "c2").mkdir(parents=True)
    (ledger / "plan.json").write_text(
        json.dumps({"clips": ["c1", "c2", "c3"], "stages": {"video": False}, "losses": {"rejected": {}, "failed": {}}})
    )
    record = {
        "item_id": "c2",
        "stage": "video",
        "fingerprint": "x",
        "outcome": "rejected",
        "reason": "too_dark",
        "message": "night",
    }
    (ledger / "video" / "c2" / "c2.json").write_text(json.dumps(record))
    (run / "run.json").write_text(json.dumps({"status": "running"}))
    assert main([str(run)]) == 0
    text = Page(run / "report" / "index.html").text
    assert "rejected: video: too_dark" in text and "night" in text and "This run is not finished" in text
    assert text.count("pending") >= 2  # c1 has no record, c3 nothing at all


def test_many_clips_are_spread_over_pages_and_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = tmp_path / "ledger"
    ledger.mkdir()
    ids = [f"{k:016x}" for k in range(7)]
    plan = {"clips": ids, "stages": {"video": False}, "losses": {"rejected": {}, "failed": {}}}
    (ledger / "plan.json").write_text(json.dumps(plan))
    monkeypatch.setattr(pipelines.report, "CLIPS_A_PAGE", 3)
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.html").write_text("kept")
    assert main([str(tmp_path), "--output", str(out)]) == 0
    assert [name for name in ("index.html", "clips-2.html", "clips-3.html", "clips-4.html") if (out / name).exists()] == [
        "index.html", "clips-2.html", "clips-3.html",
    ]  # fmt: skip
    assert ids[6] in Page(out / "clips-3.html").text
    assert main([str(tmp_path), "--output", str(out), "--clips", "4"]) == 0
    assert "3 more clips of the run are not in this gallery" in Page(out / "index.html").text
    assert not (out / "clips-3.html").exists() and (out / "mine.html").exists()


def test_one_broken_clip_does_not_cost_the_gallery(tmp_path: Path) -> None:
    run, _ = run_with_video(tmp_path)
    (run / "publish" / "videos" / "c1.mp4").write_bytes(b"no video")
    assert main([str(run)]) == 1
    assert "page failed" in Page(run / "report" / "index.html").text


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "expected a run folder" in capsys.readouterr().err
    run, _ = run_with_video(tmp_path)
    assert main([str(run), "--truth", str(tmp_path / "elsewhere")]) == 2
    assert "--truth is the folder" in " ".join(capsys.readouterr().err.split())
    assert main(["s3://bucket/run"]) == 2
    assert "expected a folder of this machine" in capsys.readouterr().err


def test_pictures_without_a_player_mark_measured_and_true(tmp_path: Path) -> None:
    run, _ = run_with_video(tmp_path)
    view = read_clip(run, "c1")
    assert view is not None
    grey = np.full((500, 800, 3), 90, np.uint8)
    plain = overlay(grey, view.clip, 3, only=[], most_px=800)
    assert (plain == grey).all()
    drawn = overlay(grey, view.clip, 3, only=["obj_2"], most_px=800)
    x0, y0, x1, y1 = (10 * v for v in BOXES[2])
    changed = np.argwhere((drawn != grey).any(-1))
    assert (changed.min(0)[0] >= y0 - 30) and (np.abs(changed.max(0)[0] - y1) < 30)  # its label and path stay near it
    mask = np.zeros((50, 80), bool)
    mask[30:40, 60:70] = True
    true = overlay(grey, view.clip, 3, only=[], true_masks=[mask], most_px=800)
    white = np.argwhere((true > 200).all(-1))
    assert white.min(0) == pytest.approx([300, 600], abs=2) and white.max(0) == pytest.approx([399, 699], abs=2)
    assert player_data(view.clip)["missed"] == []


def test_recordings_need_their_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run, _ = run_with_video(tmp_path)
    monkeypatch.setitem(sys.modules, "rerun", None)
    monkeypatch.delitem(sys.modules, "curation.report.recording", raising=False)
    assert main([str(run), "--rerun"]) == 2
    assert "install the extra" in " ".join(capsys.readouterr().err.split())


def test_a_recording_is_written_for_each_clip(tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="the extra `rerun` is not installed")
    run, _ = run_with_video(tmp_path)
    assert main([str(run), "--rerun"]) == 0
    data = (run / "report" / "rerun" / "c1.rrd").read_bytes()
    assert data[:3] == b"RRF" and len(data) > 20_000
    assert b"obj_1" in data
