"""A whole run over cheap stages: what is done, what is counted, what is done again."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines import status
from pipelines.ledger import Ledger, OutputIsBusy
from pipelines.progress import Progress
from pipelines.run import Refused, run
from schemas.config import Config
from tests.pipelines.fakes import make_input

pytestmark = pytest.mark.usefixtures("kept_hosts")

LINE = "tests.pipelines.fakes"


def config(**sections: Any) -> Config:
    shared = {"run": {"workers": 1, **sections.pop("run", {})}, "shards": {"bench_share": 0.0, **sections.pop("shards", {})}}
    return Config.model_validate({**shared, **sections})


def build(source: Path | str, out: Path | str, **sections: Any) -> int:
    options = {name: sections.pop(name) for name in ("retry_failed", "dry_run", "command") if name in sections}
    return run(source, out, config(**sections), line=LINE, **options)


def report(out: Path) -> dict[str, Any]:
    return json.loads((out / "run.json").read_text())


def calls(out: Path) -> dict[str, int]:
    """How often each stage ran since the last look."""
    counts = {}
    for file in sorted((out / "calls").glob("*")):
        counts[file.name] = len(file.read_text().split())
        file.unlink()
    return counts


def hashes(out: Path) -> dict[str, str]:
    folder = out / "publish"
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A finished run over good, rejected and broken sources."""
    root = tmp_path_factory.mktemp("mixed")
    source = make_input(
        root / "in",
        good={"clips": 3},
        dull={"at": "objects", "does": "reject"},
        broken={"at": "relations", "does": "error"},
        native={"at": "cameras", "does": "segfault"},
        unplannable={"at": "source", "does": "abort"},
        hung={"at": "cameras", "does": "hang", "pids": str(root / "pids")},
    )
    (source / "odd.bad").write_text("")
    assert build(source, root / "out", run={"clip_timeout_s": 2.0, "workers": 2, "max_failure_rate": 0.9}) == 0
    return source, root / "out"


def test_every_outcome_is_counted_with_its_reason(mixed: tuple[Path, Path]) -> None:
    found = report(mixed[1])
    assert found["clips"] == {"planned": 7, "kept": 3, "rejected": 1, "failed": 3, "pending": 0}
    assert found["sources"] == {"found": 6, "rejected": {"unreadable_file": 1}, "failed": {"crashed": 1}}
    stages = found["stages"]
    assert list(stages) == ["video", "cameras", "objects", "relations", "questions", "reasoning"]
    assert stages["cameras"]["failed"] == {"crashed": 1, "timeout": 1} and stages["cameras"]["ok"] == 5
    assert stages["objects"]["rejected"] == {"too_dull": 1}
    assert stages["relations"]["failed"] == {"ValueError": 1}
    assert stages["questions"]["ok"] == stages["reasoning"]["ok"] == 3
    assert found["status"] == "finished" and found["exit_status"] == 0
    assert found["machine"]["cores"] >= 1 and found["versions"]["pyarrow"]


def test_failed_clips_are_in_quarantine_with_stage_and_message(mixed: tuple[Path, Path]) -> None:
    rows = {row["source"]: row for row in pq.read_table(mixed[1] / "quarantine.parquet").to_pylist()}
    assert {name: (row["stage"], row["kind"]) for name, row in rows.items()} == {
        "broken": ("relations", "ValueError"),
        "native": ("cameras", "crashed"),
        "hung": ("cameras", "timeout"),
        "unplannable": ("source", "crashed"),
    }
    assert "broken in the usual way" in rows["broken"]["message"] and "fakes.py" in rows["broken"]["message"]
    assert all(row["attempts"] == 1 for row in rows.values())


def test_stages_after_a_rejection_do_not_run(mixed: tuple[Path, Path]) -> None:
    ledger, out = Ledger(mixed[1]), mixed[1]
    (clip_id,) = [c.name for c in (out / "clips").iterdir() if (r := ledger.read("objects", c.name)) and r.outcome == "rejected"]
    assert ledger.read("relations", clip_id) is None and not (out / "clips" / clip_id / "facts.parquet").exists()


def test_a_rerun_of_a_finished_run_does_nothing(mixed: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    source, out = mixed
    calls(out)
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file() and p.name != ".lock" and "plan.json" not in p.name}
    assert build(source, out, run={"clip_timeout_s": 2.0, "workers": 2, "max_failure_rate": 0.9}) == 0
    after = {p: p.stat().st_mtime_ns for p in before}
    assert calls(out) == {}
    assert {p.name for p in before if before[p] != after[p]} <= {"config.resolved.yaml"}
    assert "nothing was left to do" in capsys.readouterr().out


def test_a_finished_run_starts_with_one_look_at_each_clip(mixed: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a start costs with many clips: the last record of a done clip, and of its reasoning, is read once."""
    source, out = mixed
    looked: list[str] = []
    real = Ledger.read
    monkeypatch.setattr(Ledger, "read", lambda self, stage, item: (looked.append(stage), real(self, stage, item))[1])
    assert build(source, out, run={"clip_timeout_s": 2.0, "workers": 2, "max_failure_rate": 0.9}) == 0
    assert (looked.count("questions"), looked.count("reasoning")) == (7, 3), "seven clips, three of them kept"


def test_the_status_of_a_running_run_names_its_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flag = tmp_path / "flag"
    slow = {"at": "objects", "does": "slow", "seconds": 60, "flag": str(flag)}
    source, out = make_input(tmp_path / "in", a={"clips": 1}, slow=slow), tmp_path / "out"
    process = start(source, out)
    wait_for(flag)
    time.sleep(1.5)
    assert status.main([str(out)]) == 0
    said = capsys.readouterr().out
    process.kill()
    process.communicate()
    assert f"running (pid {process.pid} on" in said and "1 of 2 done: 1 ok" in said and "clips an hour" in said
    assert status.main([str(out)]) == 0
    assert "stopped without a summary" in capsys.readouterr().out


def test_the_status_is_read_from_files_alone(mixed: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert status.main([str(mixed[1])]) == 0
    said = capsys.readouterr().out
    assert "7 of 7 done: 3 ok, 1 rejected, 3 failed" in said and "rejected too_dull 1" in said and "finished" in said
    assert status.main([str(mixed[0])]) == 2


def test_published_bytes_do_not_depend_on_workers_or_on_the_order_of_work(tmp_path: Path) -> None:
    source = make_input(tmp_path / "in", a={"clips": 3}, b={"clips": 2}, c={"clips": 2})
    assert build(source, tmp_path / "one", shards={"bench_share": 0.4, "rows_per_shard": 5}) == 0
    assert build(source, tmp_path / "three", shards={"bench_share": 0.4, "rows_per_shard": 5}, run={"workers": 3}) == 0
    assert hashes(tmp_path / "one") == hashes(tmp_path / "three")
    more = make_input(tmp_path / "in2", b={"clips": 2})
    assert build(more, tmp_path / "grown") == 0
    assert build(source, tmp_path / "grown", shards={"bench_share": 0.4, "rows_per_shard": 5}) == 0
    assert hashes(tmp_path / "one") == hashes(tmp_path / "grown"), "a run that grew must equal one made at once"
    assert len(hashes(tmp_path / "one")) > 12


def test_a_changed_option_reruns_its_stage_and_what_depends_on_it(tmp_path: Path) -> None:
    source, out = make_input(tmp_path / "in", a={"clips": 2}), tmp_path / "out"
    assert build(source, out) == 0
    assert calls(out) == dict.fromkeys(("video", "cameras", "objects", "relations", "questions", "reasoning"), 2)
    assert build(source, out, questions={"max_per_clip": 1}) == 0
    first = calls(out)
    assert first["questions"] == 2 and set(first) <= {"questions", "reasoning"}
    assert build(source, out, depth={"max_disparity_share": 0.3}, questions={"max_per_clip": 1}) == 0
    assert set(calls(out)) - {"reasoning"} == {"objects", "relations", "questions"}
    assert (
        build(source, out, run={"clip_timeout_s": 55.0}, depth={"max_disparity_share": 0.3}, questions={"max_per_clip": 1}) == 0
    )
    assert calls(out) == {}
    assert build(source, out, seed=1) == 0
    assert calls(out)["video"] == 2


def test_new_videos_cost_only_themselves(tmp_path: Path) -> None:
    source, out = make_input(tmp_path / "in", a={"clips": 2}), tmp_path / "out"
    assert build(source, out) == 0
    calls(out)
    first = report(out)["run_id"]
    make_input(source, b={"clips": 1})
    assert build(source, out) == 0
    assert set(calls(out).values()) == {1}
    assert report(out)["clips"]["kept"] == 3 and report(out)["run_id"] != first


def test_a_moved_input_is_not_measured_again(tmp_path: Path) -> None:
    source, out = make_input(tmp_path / "in", a={"clips": 2}), tmp_path / "out"
    assert build(source, out) == 0
    before, _ = hashes(out), calls(out)
    source.rename(tmp_path / "elsewhere")
    assert build(tmp_path / "elsewhere", out) == 0
    assert calls(out) == {} and hashes(out) == before


def test_a_failed_clip_waits_for_retry_and_is_given_up_after_max_attempts(tmp_path: Path) -> None:
    source = make_input(tmp_path / "in", good={}, broken={"at": "cameras", "does": "error"})
    out, settings = tmp_path / "out", {"max_attempts": 2}
    assert build(source, out, run=settings) == 0
    calls(out)
    assert build(source, out, run=settings) == 0
    assert calls(out) == {}
    assert build(source, out, run=settings, retry_failed=True) == 0
    assert calls(out) == {"cameras": 1}, "the video stage was fine and is not repeated"
    assert pq.read_table(out / "quarantine.parquet")["attempts"].to_pylist() == [2]
    assert build(source, out, run=settings, retry_failed=True) == 0
    assert calls(out) == {}


def test_a_clip_that_recovers_leaves_quarantine(tmp_path: Path) -> None:
    source = make_input(tmp_path / "in", shy={"at": "objects", "does": "segfault", "flag": str(tmp_path / "flag")})
    assert build(source, tmp_path / "out", run={"max_failure_rate": 1.0}) == 0
    assert build(source, tmp_path / "out", retry_failed=True) == 0
    assert report(tmp_path / "out")["clips"]["kept"] == 1
    assert pq.read_table(tmp_path / "out" / "quarantine.parquet").num_rows == 0


def test_secrets_reach_no_file_and_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "sk-0123456789abcdef"
    monkeypatch.setenv("SOME_API_KEY", secret)
    source = make_input(tmp_path / "in", a={"at": "cameras", "does": "leak"}, b={"at": "objects", "does": "leak_and_abort"})
    command = ["--set", f"llm.url=https://host/?key={secret}"]
    assert build(source, tmp_path / "out", run={"max_failure_rate": 1.0}, command=command) == 0
    said = capsys.readouterr()
    assert "401 Unauthorized for ***" in said.out and "last output: key ***" in said.out
    assert secret not in said.out + said.err
    for file in (tmp_path / "out").rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes(), file


def test_no_half_of_a_secret_is_left_where_words_are_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "abcdefgh-12345678-ijklmnop-90"
    monkeypatch.setenv("SOME_API_KEY", secret)
    wishes = {how: {"at": "cameras", "does": "leak_at_the_cut", "how": how} for how in ("raise", "abort")}
    assert build(make_input(tmp_path / "in", **wishes), tmp_path / "out", run={"max_failure_rate": 1.0}) == 0
    found = [json.loads(p.read_text()) for p in (tmp_path / "out" / "ledger" / "cameras").rglob("*.json")]
    assert sorted(record["reason"] for record in found) == ["ValueError", "crashed"]
    for file in (tmp_path / "out").rglob("*"):
        text = file.read_bytes().decode("latin1") if file.is_file() else ""
        assert not any(half in text for half in (secret[:10], secret[-10:])), file


@pytest.mark.parametrize("secret", ['pass"word\\0123', "schlüssel-0123", "a/b+c=d e&0123456"])
def test_a_secret_is_known_in_json_in_an_address_and_in_quotes(secret: str) -> None:
    import urllib.parse

    from pipelines.masking import scrub

    for text in (
        secret,
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
        urllib.parse.quote(secret),
        urllib.parse.quote_plus(secret),
    ):
        assert scrub(f"<{text}>", {secret}) == "<***>"


def test_an_error_of_the_driver_is_told_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipelines import build as command

    def breaks(*_: object, **__: object) -> int:
        raise OSError(28, f"No space left on device for {os.environ['SOME_API_KEY']}")

    monkeypatch.setenv("SOME_API_KEY", "sk-0123456789abcdef")
    monkeypatch.setattr("pipelines.run.run", breaks)
    assert command.main(["--input", str(tmp_path), "--output", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "No space left on device for ***" in said and "the same command continues" in said and "sk-0123" not in said


def test_secrets_of_every_service_reach_no_file_and_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = (
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    )
    names += ("AWS_SESSION_TOKEN", "GOOGLE_API_KEY", "WANDB_API_KEY", "RAY_AUTH_TOKEN", "DB_PASSWORD")
    planted = {name: f"planted-{n:02d}-{name.lower()[:4]}-0123456789" for n, name in enumerate(names)}
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    source = make_input(
        tmp_path / "in",
        **{f"s{n}": {"at": "cameras", "does": "leak_variable", "name": name} for n, name in enumerate(planted)},
        plan={"at": "source", "does": "leak_variable", "name": "HF_TOKEN"},
    )
    assert build(source, tmp_path / "out", run={"max_failure_rate": 1.0, "workers": 2}) == 0
    said = capsys.readouterr()
    assert said.out.count("refused ***") >= len(planted) + 1
    every = [said.out, said.err, *(f.read_bytes().decode("latin1") for f in (tmp_path / "out").rglob("*") if f.is_file())]
    assert len(every) > 3 * len(planted)
    assert not [name for name, value in planted.items() if any(value in text for text in every)]


def test_a_terminal_has_a_bar_per_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    with Progress("clips", 3, ["video", "objects"]) as progress:
        progress.done("a", "ok", "ok", 1.0, [("video", "ok"), ("objects", "ok")])
        progress.done("b", "rejected", "rejected", 1.0, [("video", "rejected")])
        progress.done("c", "failed", "FAILED at objects: crashed", 1.0, [("objects", "failed")])
    seen = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue().replace("\r", "\n"))
    last = [line for line in seen.splitlines() if line.strip()][-3:]
    assert [line.split()[0] for line in last] == ["clips", "video", "objects"]
    assert "3/3" in last[0] and "1 failed 1 ok 1 rejected" in last[0]
    assert "2/2" in last[1] and "1 ok 1 rejected" in last[1], "one was done by an earlier run"
    assert "2/2" in last[2] and "1 failed 1 ok" in last[2], "one never came so far"
    assert "c FAILED at objects: crashed" in screen.getvalue()


class Screen(io.StringIO):
    """A terminal, wide enough."""

    def isatty(self) -> bool:
        return True


def test_too_many_failures_fail_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_input(tmp_path / "in", good={}, broken={"at": "cameras", "does": "error"})
    assert build(source, tmp_path / "out", run={"max_failure_rate": 0.4}) == 1
    assert "TOO MANY FAILED" in capsys.readouterr().out and report(tmp_path / "out")["exit_status"] == 1
    assert build(source, tmp_path / "out", run={"max_failure_rate": 0.4}) == 1, "a rerun says so again"
    assert build(source, tmp_path / "out", run={"max_failure_rate": 0.6}) == 0


def test_a_rejected_clip_is_no_failure(tmp_path: Path) -> None:
    source = make_input(tmp_path / "in", dull={"at": "video", "does": "reject"})
    assert build(source, tmp_path / "out", run={"max_failure_rate": 0.0}) == 0
    assert report(tmp_path / "out")["clips"]["rejected"] == 1


def test_two_runs_on_one_output_refuse_each_other(tmp_path: Path) -> None:
    from pipelines.ledger import Lock

    source = make_input(tmp_path / "in", a={})
    with Lock(tmp_path / "out"), pytest.raises(OutputIsBusy, match=f"pid {os.getpid()}"):
        build(source, tmp_path / "out")
    assert build(source, tmp_path / "out") == 0


def test_bench_sources_reach_no_training_table(tmp_path: Path) -> None:
    source = make_input(tmp_path / "in", **{f"s{n}": {"clips": 2, "n": n} for n in range(8)})
    out = tmp_path / "out"
    assert build(source, out, shards={"bench_share": 0.5}, run={"workers": 2}) == 0
    clips = {row["clip_id"]: row for split in ("train", "test") for row in table(out, "clips", split)}
    held_out = {row["source_sha256"] for row in clips.values() if row["split"] == "test"}
    assert 0 < len(held_out) < 8
    for name in ("sft", "st_cot", "rft"):
        assert not {clips[row["clip_id"]]["source_sha256"] for row in table(out, name, "train")} & held_out
    assert {clips[row["clip_id"]]["source_sha256"] for row in table(out, "bench", "test")} == held_out
    assert not list((out / "publish").glob("sft/test-*"))


def table(out: Path, name: str, split: str) -> list[dict[str, Any]]:
    return [row for file in sorted((out / "publish" / name).glob(f"{split}-*")) for row in pq.read_table(file).to_pylist()]


def test_run_id_is_that_of_input_and_options_not_of_time_or_place(tmp_path: Path) -> None:
    source = make_input(tmp_path / "in", a={})
    for name in ("x", "y"):
        assert build(source, tmp_path / name, run={"clip_timeout_s": 50.0 if name == "x" else 60.0}) == 0
    assert report(tmp_path / "x")["run_id"] == report(tmp_path / "y")["run_id"]
    assert {row["run_id"] for row in table(tmp_path / "x", "sft", "train")} == {report(tmp_path / "x")["run_id"]}
    assert build(source, tmp_path / "x", questions={"max_per_clip": 3}) == 0
    assert report(tmp_path / "x")["run_id"] != report(tmp_path / "y")["run_id"]


def test_a_dry_run_measures_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_input(tmp_path / "in", a={"clips": 2})
    assert build(source, tmp_path / "out", dry_run=True) == 0
    said = capsys.readouterr().out
    assert "2 clips, 2 of them with work to do" in said and "video, cameras" in said
    assert not (tmp_path / "out" / "clips").exists() and not (tmp_path / "out" / "run.json").exists()


@pytest.mark.parametrize(
    ("source", "output", "words"),
    [
        ("absent", "out", "expected a folder of videos"),
        ("empty", "out", "expected videos below"),
        ("empty", "empty/out", "outside of --input"),
        ("ftp://bucket/x", "out", "expected a path, s3://"),
        ("s3://key:secret@bucket/x", "out", "without keys in it"),
    ],
)
def test_unusable_folders_are_refused_with_what_to_do(tmp_path: Path, source: str, output: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(Refused, match=words):
        build(source if "://" in source else tmp_path / source, tmp_path / output)


SCRIPT = """
import sys
from pipelines.build import _interrupt
import signal
signal.signal(signal.SIGTERM, _interrupt)
from tests.pipelines.test_run import build
sys.exit(build(sys.argv[1], sys.argv[2], run={"workers": 2, "runner": sys.argv[3]}))
"""


def start(
    source: Path | str, out: Path | str, *, runner: str = "local", environment: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    """A run in a process of its own."""
    variables = {**os.environ, **(environment or {}), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    call = [sys.executable, "-c", SCRIPT, str(source), str(out), runner]
    return subprocess.Popen(call, env=variables, stdout=subprocess.PIPE, text=True)


def wait_for(path: Path, within_s: float = 120.0) -> None:
    deadline = time.monotonic() + within_s
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_continues_where_it_stopped(tmp_path: Path, sent: signal.Signals) -> None:
    flag = tmp_path / "flag"
    slow = {"at": "objects", "does": "slow", "seconds": 60, "flag": str(flag)}
    source, out = make_input(tmp_path / "in", a={"clips": 1}, slow=slow), tmp_path / "out"
    process = start(source, out)
    wait_for(flag)
    time.sleep(0.5)
    process.send_signal(sent)
    said, _ = process.communicate(timeout=120)
    if sent != signal.SIGKILL:
        assert process.returncode == 130
        assert report(out)["status"] == "interrupted" and report(out)["clips"]["pending"] == 1
        assert "the same command continues" in said
    assert not (out / "publish").exists()
    calls(out)
    assert build(source, out) == 0
    repeated = calls(out)
    assert repeated["objects"] == 1 and "video" not in repeated, "what was done stays done"
    assert build(source, tmp_path / "fresh") == 0
    assert hashes(out) == hashes(tmp_path / "fresh")
