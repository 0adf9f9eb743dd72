"""Everything that breaks in a long run: kills, a full disk, a leak, a clock that goes back, code that changes meanwhile."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipelines import files
from pipelines.ledger import Ledger
from pipelines.plan import NO_RECORD
from schemas.config import Config
from tests.pipelines.fakes import make_input
from tests.pipelines.test_run import LINE, build, calls, hashes, report, start

pytestmark = pytest.mark.usefixtures("kept_hosts")


def mixed_input(folder: Path) -> Path:
    """Nine clips, some of which end otherwise than well."""
    slow = {
        f"s{n}": {"n": n, "at": stage, "does": "slow", "seconds": 0.15}
        for n, stage in enumerate(["video", "objects", "questions"])
    }
    broken = {"dull": {"at": "objects", "does": "reject"}, "broken": {"at": "relations", "does": "error"}}
    return make_input(folder, a={"clips": 3}, native={"at": "cameras", "does": "segfault"}, **slow, **broken)


SCRIPT = """
import sys
from tests.pipelines.test_run import build
sys.exit(build(sys.argv[1], sys.argv[2], run={"workers": 2, "max_failure_rate": 1.0}, shards={"rows_per_shard": 4}))
"""


def kill_and_resume(tmp_path: Path, kills: int, seed: int) -> None:
    """Kill the driver at random moments, over and over, then let it finish: the bytes must be those of an unbroken run.

    A run that ends before its kill is held against the whole one too, and the kills go on with a new one.
    """
    source, out = mixed_input(tmp_path / "in"), tmp_path / "out"
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    options: dict[str, Any] = {"run": {"workers": 2, "max_failure_rate": 1.0}, "shards": {"rows_per_shard": 4}}
    began = time.monotonic()
    assert build(source, tmp_path / "whole", **options) == 0
    whole_s = time.monotonic() - began + 1.5
    rng, landed, tried = random.Random(seed), 0, 0
    while landed < kills:
        tried += 1
        assert tried < 4 * kills, f"{landed} kills of {tried} came in time"
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(source), str(out)], env=variables, stdout=subprocess.DEVNULL
        )
        try:
            process.wait(rng.uniform(0.3, whole_s))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            landed += 1
        if (out / "publish").exists():
            assert hashes(out) == hashes(tmp_path / "whole"), "a reader finds all of it or nothing"
        if process.returncode == 0:
            out = tmp_path / f"out{tried}"
    assert build(source, out, **options) == 0
    assert hashes(out) == hashes(tmp_path / "whole")
    assert report(out)["clips"] == report(tmp_path / "whole")["clips"]
    assert not [p for p in (out / "publish").rglob("*") if p.name.startswith(".")], "nothing half-made is published"


def test_a_driver_killed_six_times_publishes_the_same_bytes(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, 6, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_driver_killed_twenty_times_publishes_the_same_bytes(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, 20, seed=2)


def test_a_clip_that_grows_without_end_is_one_failed_clip(tmp_path: Path) -> None:
    source = make_input(tmp_path / "in", good={"clips": 2}, leak={"at": "objects", "does": "grow"})
    assert build(source, tmp_path / "out", run={"clip_memory_gb": 1.5, "max_failure_rate": 1.0}) == 0
    found = report(tmp_path / "out")
    assert found["clips"]["kept"] == 2 and found["stages"]["objects"]["failed"] == {"MemoryError": 1}


def test_a_full_disk_costs_the_clips_that_met_it_and_is_told(tmp_path: Path) -> None:
    """From a stage of one clip on the kernel takes no byte of its process: no product, no record, not even its output."""
    source = make_input(
        tmp_path / "in", good={"clips": 2}, full={"at": "cameras", "does": "disk_full", "flag": str(tmp_path / "flag")}
    )
    out = tmp_path / "out"
    assert build(source, out, run={"max_failure_rate": 1.0}) == 0
    found = report(out)
    assert found["clips"]["kept"] == 2 and found["clips"]["failed"] == 1
    (record,) = [
        r for p in (out / "ledger" / "cameras").rglob("*.json") if (r := json.loads(p.read_text()))["outcome"] == "failed"
    ]
    assert record["reason"] == "OSError" and "File too large" in record["message"]
    assert build(source, out, retry_failed=True) == 0
    assert build(source, tmp_path / "fresh") == 0
    assert hashes(out) == hashes(tmp_path / "fresh")


def test_a_disk_that_is_full_for_the_driver_leaves_a_run_to_continue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = make_input(tmp_path / "in", a={"clips": 2}), tmp_path / "out"
    real = files.os.replace

    def full(a: Any, b: Any) -> None:
        if "selection" in str(b):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(a, b)

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        build(source, out)
    assert report(out)["status"] == "failed" and not (out / "publish").exists()
    monkeypatch.undo()
    calls(out)
    assert build(source, out) == 0
    assert set(calls(out)) <= {"reasoning"}, "what was measured stays measured"


def test_a_clock_that_goes_back_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = make_input(tmp_path / "in", a={"clips": 2}), tmp_path / "out"
    assert build(source, out) == 0
    first, _ = hashes(out), calls(out)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 10 * 365 * 86400)
    assert build(source, out) == 0
    assert calls(out) == {} and hashes(out) == first
    make_input(source, b={})
    assert build(source, out) == 0
    assert report(out)["clips"]["kept"] == 3 and report(out)["seconds"] >= 0
    monkeypatch.undo()
    assert build(source, out) == 0
    assert calls(out)["video"] == 1


def test_other_code_on_a_worker_than_in_the_driver_is_a_failure_and_not_a_silent_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver keeps the code that it was started with; hosts that start later import what lies on the disk then."""
    from tests.pipelines import fakes

    source, out = make_input(tmp_path / "in", a={}), tmp_path / "out"
    stages = tuple(s if s.name != "objects" else type(s)(**{**vars(s), "version": 2}) for s in fakes.STAGES)
    monkeypatch.setattr(fakes, "STAGES", stages)
    assert build(source, out, run={"max_failure_rate": 0.0}) == 1
    found = report(out)
    assert found["clips"]["failed"] == 1 and found["clips"]["pending"] == 0
    assert {kind for s in found["stages"].values() for kind in s["failed"]} == {"CodeDiffers"}
    monkeypatch.undo()
    assert build(source, out) == 0


def test_a_clip_without_a_record_at_the_end_is_a_failed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines import run as module
    from pipelines.local_runner import LocalRunner, Reply

    class Liar(LocalRunner):
        def run(self, tasks):  # type: ignore[no-untyped-def]
            for task in tasks:
                if task.call.endswith("run_clip"):
                    yield task, Reply(task.id, {"outcome": "ok", "stage": "", "reason": "", "message": "", "records": []})
                else:
                    yield from super().run([task])

    monkeypatch.setattr(module, "LocalRunner", Liar)
    source, out = make_input(tmp_path / "in", a={"clips": 2}), tmp_path / "out"
    assert build(source, out) == 1
    assert report(out)["clips"]["failed"] == 2 and report(out)["stages"]["video"]["failed"] == {NO_RECORD: 2}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_looking_for_clips_ends_the_run_at_once(tmp_path: Path, sent: signal.Signals) -> None:
    flag = tmp_path / "flag"
    source = make_input(tmp_path / "in", slow={"at": "source", "does": "slow", "seconds": 60, "flag": str(flag)})
    process = start(source, tmp_path / "out")
    deadline = time.monotonic() + 60
    while not flag.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(sent)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command continues" in said


def test_the_log_has_a_line_per_stage_with_clip_and_reason_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-0123456789abcdef")
    source = make_input(
        tmp_path / "in", good={}, leak={"at": "objects", "does": "leak"}, bad={"at": "cameras", "does": "leak_and_abort"}
    )
    assert build(source, tmp_path / "out", run={"max_failure_rate": 1.0}) == 0
    (file,) = (tmp_path / "out" / "logs").glob("*.jsonl")
    assert "sk-0123456789abcdef" not in file.read_text()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines[-1]["event"] == "end" and lines[-1]["clips"]["kept"] == 1
    stages = [line for line in lines if line["event"] == "stage"]
    assert {(s["source"], s["stage"], s["outcome"]) for s in stages} >= {
        ("good", "video", "ok"), ("good", "reasoning", "ok"), ("leak", "objects", "failed"), ("bad", "cameras", "failed"),
    }  # fmt: skip
    assert all(len(s["clip"]) == 16 and s["seconds"] >= 0 for s in stages)
    (words,) = [line for line in lines if line["event"] == "last_output"]
    assert "key ***" in words["text"] and words["stage"] == "cameras"


def test_run_json_is_enough_to_repeat_the_run(tmp_path: Path) -> None:
    source = make_input(tmp_path / "in", a={"clips": 3}, b={"clips": 1})
    assert build(source, tmp_path / "out", questions={"max_per_clip": 2}, seed=7, command=["--seed", "7"]) == 0
    known = report(tmp_path / "out")
    assert {"command", "working_folder", "input_content", "code", "git", "versions", "machine", "seed"} <= set(known)
    from pipelines.run import run

    assert run(known["input"], tmp_path / "again", Config.model_validate(known["config"]), line=LINE) == 0
    assert report(tmp_path / "again")["run_id"] == known["run_id"] and hashes(tmp_path / "again") == hashes(tmp_path / "out")


def test_a_clip_in_quarantine_leaves_it_only_when_asked(tmp_path: Path) -> None:
    source = make_input(tmp_path / "in", broken={"at": "cameras", "does": "error"})
    out, settings = tmp_path / "out", {"max_attempts": 2, "max_failure_rate": 1.0}
    for retry, attempts in ((False, 1), (True, 2), (True, 2)):
        assert build(source, out, run=settings, retry_failed=retry) == 0
        (record,) = [Ledger(out).read("cameras", p.stem) for p in (out / "ledger" / "cameras").rglob("*.json")]
        assert record is not None and record.attempts == attempts
