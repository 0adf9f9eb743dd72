"""Runs side by side, and the rates of learned backends."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import bench_models, compare
from schemas import run_folder as names
from schemas.clip import ClipFrames
from schemas.config import Config
from tests.objects.flat_world import CAMERA


def a_run(folder: Path, categories: list[str], sound: int | None) -> Path:
    clip = folder / names.CLIPS / "0"
    clip.mkdir(parents=True)
    (folder / names.RUN_JSON).write_text(json.dumps({"run_id": "1", "stages": {"objects": {"cpu_s": 12.0}}}))
    pq.write_table(pa.table({"category": categories}), clip / names.OBJECTS)
    pq.write_table(pa.table({"kind": ["a"] * 5}), clip / names.QUESTIONS)
    if sound is not None:
        movers = {"found": 2, "eligible": 3} | dict.fromkeys(("phantoms", "parked", "jumped", "partial", "loose", "fragments"), 0)
        said = {"movers": movers, "questions": {"all": {"right": 4, "asked": 4, "sound": sound}}}
        said |= {"clips": [{"iou": {"obj_1": 0.5, "obj_2": 0.7}}, {"iou": {"obj_1": 0.9}}], "run_id": "1"}
        (folder / "audit.json").write_text(json.dumps(said | {"calibration": {"tracks": {"within_2": 0.97}}}))
    return folder


def test_runs_stand_side_by_side_judged_or_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [a_run(tmp_path / "a", ["object", "object"], None), a_run(tmp_path / "b", ["car", "object"], 3)]
    assert compare.main([str(r) for r in runs]) == 0
    out = capsys.readouterr().out
    assert "| | a | b |" in out and "| of them with a noun | 0 | 1 |" in out
    assert (
        "| questions published, sound | - | 3 of 4 |" in out and "| processor time of objects, a clip | 12.0 s | 12.0 s |" in out
    )
    assert "| overlap of outline and body, median | - | 0.70 |" in out
    assert compare.main([str(tmp_path / "none")]) == 2


def test_an_audit_of_what_the_run_was_before_is_not_shown_as_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = a_run(tmp_path / "a", ["car"], 3)
    (run / names.RUN_JSON).write_text(json.dumps({"run_id": "2"}))
    assert compare.main([str(run)]) == 0
    out = capsys.readouterr().out
    assert "| audit | of an earlier build |" in out and "sound" not in out


def test_a_backend_is_timed_or_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="needs the extra `models`")
    from curation.objects import backends

    index = np.arange(3)
    clip = ClipFrames("c", np.zeros((3, 300, 480, 3), np.uint8), None, index / 10, index, index, index, CAMERA, None)
    seen: list[str] = []
    monkeypatch.setattr(backends, "find_instances", lambda left, config: seen.append(config.backend))
    timed = bench_models.measure("objects.sam3", [clip], Config(), 2)
    assert seen == ["sam3"] * 3 and timed.clips_per_hour > 0 and not timed.lacks
    lacking = bench_models.measure("depth.moge2", [clip], Config(), 2)
    assert "pip install" in lacking.lacks and lacking.clips_per_hour == 0
    text = bench_models.table([timed, lacking], clip)
    assert "| objects.sam3 |" in text and "this model comes in a package of its own" in text


def test_the_bench_of_models_says_what_is_wrong_with_its_call(capsys, tmp_path) -> None:
    assert bench_models.main(["--set", "depht.mono=zoedepth"]) == 2 and "did you mean 'depth'?" in capsys.readouterr().err
    assert bench_models.main(["--input", str(tmp_path)]) == 2 and "expected videos below" in capsys.readouterr().err
