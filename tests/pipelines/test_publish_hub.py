"""Publishing: nothing without a licence, private unless told otherwise, one commit a run, and what was cut off goes on.

The Hub is a stand-in on the loopback (``hub_server``); the client is the real ``huggingface_hub``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from datasets import Video, load_dataset
from huggingface_hub import HfApi, constants

from curation.shards.hub.croissant import validate
from pipelines import hub as uploading
from pipelines.publish import main
from schemas.publishing import SCHEMA_VERSION, TEMPLATE, Info
from tests.pipelines.hub_server import TOKEN, Hub, hub
from tests.shards.published import make_dataset

INFO = {
    "license": "cc-by-4.0",
    "video_source": "Recorded by the authors on the streets of Bern in 2026",
    "video_license": "ours, cc-by-4.0",
    "personal_data": "faces and number plates were blurred",
    "rights_holder": "The authors",
    "contact": "https://example.org",
}
REPORT: dict[str, Any] = {
    "status": "finished",
    "run_id": "abc123",
    "seed": 7,
    "started": "2026-03-01T12:00:00+00:00",
    "seconds": 5.0,
    "input": "/home/someone/videos",
    "output": "/home/someone/run",
    "command": ["--input", "/home/someone/videos"],
    "config": {
        "relations": {"k_sigma": 3.0},
        "video": {"question_frames": 32},
        "shards": {"bench_share": 0.1},
        "reasoning": {
            "api_key": "sk-secret-value",
            "endpoint": "https://user:pass@host/v1?key=abc",
            "weights": "/home/someone/w.onnx",
        },
    },
    "git": {"revision": "f" * 40, "changed": False},
    "versions": {"python": "3.11"},
    "machine": {"host": "someones-laptop"},
    "sources": {"found": 3, "rejected": {}, "failed": {}},
    "clips": {"planned": 4, "kept": 3},
    "stages": {},
}


def audit(right: int = 30, failures: tuple[str, ...] = ()) -> dict[str, Any]:
    row = {"asked": 30, "right": right, "sound": right, "accuracy": right / 30, "accuracy_low_95": 0.886}
    return {
        "blind": {"sft": []}, "failures": list(failures), "clips_audited": 3, "questions": {"all": row, "camera_distance": row},
        "movers": {"found": 5, "eligible": 6},
    }  # fmt: skip


def make_run(folder: Path, run_id: str = "abc123", **dataset: Any) -> Path:
    folder.mkdir(parents=True)
    make_dataset(folder / "publish", **dataset)
    (folder / "publish" / "README.md").write_text("---\n---\n")
    (folder / "run.json").write_text(json.dumps(REPORT | {"run_id": run_id}))
    (folder / "publish.yaml").write_text(yaml.safe_dump(INFO))
    (folder / "audit.json").write_text(json.dumps(audit()))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run")


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client may connect, but only the stand-in is ever named to it."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)


def send(server: Hub, folder: Path, run_id: str = "abc123", private: bool = True) -> str:
    api = HfApi(endpoint=server.url, token=TOKEN)
    tags = (f"v{SCHEMA_VERSION}", f"run-{run_id}")
    return uploading.upload(folder, "me/demo", private=private, message=f"Run {run_id}", tags=tags, api=api)


def staged(run: Path, *more: str) -> Path:
    assert main([str(run), "--repo", "me/demo", "--dry-run", *more]) == 0
    return run / "hub"


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_command_publishes_and_datasets_reads_the_revision_back(run: Path) -> None:
    environment = {
        **os.environ, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN, "HF_HOME": str(run / "cache"),
        "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
    }  # fmt: skip
    with hub() as server:
        environment["HF_ENDPOINT"] = server.url
        command = [sys.executable, "-m", "pipelines.publish", str(run), "--repo", "me/demo"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        code = (
            "import datasets, json; d = datasets.load_dataset('me/demo', 'sft', split='train', revision='v"
            + SCHEMA_VERSION
            + "');"
            "b = datasets.load_dataset('me/demo', 'bench', split='test', revision='run-abc123');"
            "print(json.dumps([d[0], len(d), len(b)]))"
        )
        read = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
        assert read.returncode == 0, read.stderr
    first, trained, benched = json.loads(read.stdout)
    assert (trained, benched) == (24, 12) and first["messages"][0]["content"].startswith("<video>")
    assert server.private and [message for _, message, _ in server.commits] == ["initial", "Run abc123"]
    assert server.files == content(run / "hub") | {".gitattributes": server.files[".gitattributes"]}
    assert set(server.tags) == {f"v{SCHEMA_VERSION}", "run-abc123"}
    assert f"Bearer {TOKEN}" in server.tokens and TOKEN not in done.stderr + done.stdout
    assert not any(TOKEN.encode() in data for data in server.files.values())


def test_a_second_call_sends_nothing_and_a_second_run_is_a_second_commit(run: Path, tmp_path: Path, online: None) -> None:
    first = staged(run)
    with hub() as server:
        one = send(server, first)
        puts = server.count("PUT", "/lfs/")
        assert send(server, first) == one and len(server.commits) == 2 and server.count("PUT", "/lfs/") == puts
        other = make_run(tmp_path / "other", "def456", clips=1)
        two = send(server, staged(other), "def456")
        assert two != one and len(server.commits) == 3
        gone = set(content(first)) - set(content(other / "hub"))
        assert gone and not gone & set(server.files), "what the second run lacks is gone from its revision"
        assert server.tags == {f"v{SCHEMA_VERSION}": two, "run-abc123": one, "run-def456": two}
        assert server.at("run-abc123")[1].keys() >= set(content(first)), "and still there in the first"


def test_what_was_cut_off_goes_on_with_what_is_missing(run: Path, online: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploading, "_ATTEMPTS", 1)
    monkeypatch.setattr("time.sleep", lambda _: None)
    folder = staged(run)
    with hub() as server:
        server.faults = [["POST", "/commit/", 500, 1]]
        with pytest.raises(Exception, match="500"):
            send(server, folder)
        assert len(server.commits) == 1, "no half of a run is ever seen"
        puts = server.count("PUT", "/lfs/")
        assert puts > 0
        send(server, folder)
        assert server.count("PUT", "/lfs/") == puts, "nothing that arrived was sent again"
        assert len(server.commits) == 2


def test_passing_faults_are_tried_again(run: Path, online: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    folder = staged(run)
    with hub() as server:
        server.faults = [["POST", "/api/repos/create", 503, 1], ["POST", "/commit/", 500, 1], ["POST", "/tag/", 502, 1]]
        send(server, folder)
        assert len(server.commits) == 2 and len(server.tags) == 2


def test_a_repository_of_the_other_visibility_is_not_touched(run: Path, online: None) -> None:
    folder = staged(run)
    with hub() as server:
        send(server, folder, private=False)
        assert not server.private
        with pytest.raises(ValueError, match="exists and is public, not private"):
            send(server, folder)


def test_a_refusal_is_told_without_the_token(run: Path) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "0", "HF_TOKEN": TOKEN, "HF_HOME": str(run / "cache"), "no_proxy": "127.0.0.1"}
    with hub() as server:
        server.faults = [["POST", "/api/repos/create", 401, 99]]
        environment["HF_ENDPOINT"] = server.url
        command = [sys.executable, "-m", "pipelines.publish", str(run), "--repo", "me/demo"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "401" in done.stderr and TOKEN not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def fails(run: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    assert main([str(run), "--repo", "me/demo", "--dry-run", *more]) == 2
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("field", [name for name, about in Info.model_fields.items() if about.is_required()])
@pytest.mark.parametrize("value", [None, "?", ""])
def test_nothing_is_published_without_each_of_the_owners_fields(
    run: Path, capsys: pytest.CaptureFixture[str], field: str, value: str | None
) -> None:
    (run / "publish.yaml").write_text(yaml.safe_dump(INFO | {field: value}))
    assert field in fails(run, capsys)
    assert not (run / "hub").exists()


def test_the_form_is_written_once_and_refused_while_empty(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(yaml.safe_load(TEMPLATE)) == set(Info.model_fields)
    (run / "publish.yaml").unlink()
    assert "--write-info" in fails(run, capsys)
    assert main([str(run), "--write-info"]) == 0 and main([str(run), "--write-info"]) == 2
    capsys.readouterr()
    message = fails(run, capsys)
    assert all(name in message for name, about in Info.model_fields.items() if about.is_required())
    (run / "publish.yaml").write_text(yaml.safe_dump(INFO | {"license": "other"}))
    assert "needs license_link" in fails(run, capsys)
    (run / "publish.yaml").write_text(yaml.safe_dump(INFO | {"licence": "cc0-1.0"}))
    assert "licence" in fails(run, capsys)


def test_a_failed_or_outdated_audit_and_an_unfinished_run_are_not_published(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "audit.json").write_text(json.dumps(audit(20, ("of 30 questions 10 labels are wrong",))))
    assert "10 labels are wrong" in fails(run, capsys)
    assert "66.7 %" in (staged(run, "--despite-audit") / "README.md").read_text()
    capsys.readouterr()
    os.utime(run / "audit.json", (1, 1))
    assert "older than the data" in fails(run, capsys)
    (run / "audit.json").write_text(json.dumps(audit() | {"run_id": "of another"}))
    assert "speaks of run of another, the data are of run abc123" in fails(run, capsys)
    (run / "run.json").write_text(json.dumps(REPORT | {"status": "interrupted"}))
    assert "interrupted, not finished" in fails(run, capsys)


def test_the_card_says_what_was_measured_and_claims_nothing_else(run: Path, tmp_path: Path) -> None:
    card = (staged(run) / "README.md").read_text()
    matter = yaml.safe_load(card.split("---")[1])
    assert matter["license"] == "cc-by-4.0" and "license_name" not in matter
    assert {config["config_name"] for config in matter["configs"]} == {"clips", "sft", "st_cot", "rft", "bench"}
    for text in (
        *[INFO[k] for k in ("video_source", "personal_data", "video_license")],
        "100.0 %",
        "88.6 %",
        "5 of 6",
        "assets/balance.png",
    ):
        assert text in card
    assert "| camera_distance | 30 | 30 |" in card and "run-abc123" in card and "@misc{demo2026" in card
    assert (run / "hub" / "assets" / "accuracy.png").stat().st_size > 2000
    (run / "audit.json").unlink()
    silent = (staged(run) / "README.md").read_text()
    assert "no accuracy is claimed" in silent and "100.0 %" not in silent and "accuracy.png" not in silent
    measured = {"date": "2026-02-03", "run_id": "0a1b2c", "revision": "e" * 40}
    (tmp_path / "worlds.json").write_text(json.dumps(audit() | measured))
    other = (staged(run, "--audit", str(tmp_path / "worlds.json")) / "README.md").read_text()
    assert "Measured on 2026-02-03" in other and "not on the videos of this dataset" in other
    assert f"run `0a1b2c`, program revision `{'e' * 12}`." in other


def test_the_card_names_methods_other_than_those_that_it_describes(run: Path) -> None:
    assert "Other methods" not in (staged(run) / "README.md").read_text()
    report = json.loads((run / "run.json").read_text())
    report["config"] |= {"objects": {"backend": "sam3", "points": "flow"}, "depth": {"mono": "moge2"}}
    (run / "run.json").write_text(json.dumps(report))
    said = " ".join((staged(run) / "README.md").read_text().split())
    assert "Other methods took part in this run: `depth.mono` was `moge2`, `objects.backend` was `sam3`." in said


def test_nothing_private_of_the_machine_is_in_what_is_sent(run: Path) -> None:
    text = "".join(data.decode(errors="replace") for data in content(staged(run)).values())
    for secret in ("someone", "sk-secret-value", "user:pass", "key=abc", str(run)):
        assert secret not in text
    known = json.loads((run / "hub" / "provenance.json").read_text())
    assert known["config"]["reasoning"]["weights"] == ".../w.onnx" and known["git"]["revision"] == "f" * 40


def test_croissant_is_valid_and_its_reader_finds_every_row(run: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="needs the extra `publish`")
    folder = staged(run)
    assert validate(folder / "croissant.json") == []
    described = json.loads((folder / "croissant.json").read_text())
    for record_set in described["recordSet"]:
        name = record_set["name"]
        records = list(mlcroissant.Dataset(jsonld=str(folder / "croissant.json")).records(name))
        assert len(records) == sum(pq.read_metadata(p).num_rows for p in (folder / name).glob("*.parquet"))
    assert {r["name"] for r in described["recordSet"]} == {"bench", "clips", "rft", "sft", "st_cot"}
    assert records[0]["st_cot/messages"][0]["st_cot/messages/role"] == b"system"
    del described["recordSet"][0]["field"][0]["dataType"]
    (folder / "croissant.json").write_text(json.dumps(described))
    with pytest.raises(ValueError, match="Croissant finds fault"):
        validate(folder / "croissant.json")


def test_videos_can_be_inside_the_table_as_datasets_reads_them(run: Path, tmp_path: Path) -> None:
    folder = staged(run, "--embed-videos")
    assert not (folder / "videos").exists() and "inside `clips`" in (folder / "README.md").read_text()
    first = content(folder)
    clips = load_dataset(str(folder), "clips", split="train", cache_dir=str(tmp_path / "c"))
    assert isinstance(clips.features["video"], Video)
    for row in clips.cast_column("video", Video(decode=False)):
        assert row["video"]["bytes"] == (run / "publish" / row["video_path"]).read_bytes()
        assert row["video_path"] == f"videos/{row['clip_id']}.mp4"
    assert len(clips) == 3
    assert content(staged(run, "--embed-videos")) == first, "the same bytes again"
    assert validate(folder / "croissant.json") == []


def test_too_many_files_for_the_hub_are_refused_before_anything_is_sent(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = staged(run)
    monkeypatch.setattr(uploading, "MOST_FILES", 2)
    with pytest.raises(ValueError, match="use --embed-videos"):
        uploading.check_size(folder)
