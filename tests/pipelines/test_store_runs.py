"""Runs whose input and output live in an S3-compatible store: no disk in common, the same bytes, whole or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import status
from pipelines.lease import Lease
from pipelines.ledger import OutputIsBusy
from pipelines.mirror import LATEST
from pipelines.run import Refused
from pipelines.storage import Store, StoreError
from tests.pipelines.fakes import make_input
from tests.pipelines.stores import KEY, SECRET, FlakyServer, make_bucket, put_folder, s3_server, tiny_video
from tests.pipelines.test_run import build, hashes, start, wait_for

pytestmark = pytest.mark.usefixtures("kept_hosts")


@pytest.fixture(scope="module")
def server() -> Iterator[FlakyServer]:
    with s3_server() as running:
        yield running


@pytest.fixture
def bucket(server: FlakyServer, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A bucket of the test's own; calls of stages are counted outside of the run folder."""
    monkeypatch.setenv("FAKE_CALLS", str(tmp_path / "calls"))
    server.fail_every = 0
    return make_bucket("b" + hashlib.sha256(request.node.name.encode()).hexdigest()[:12])


def local(tmp_path: Path, **more: Any) -> dict[str, Any]:
    """Settings of a machine whose scratch folder is its own."""
    return {"run": {"scratch": str(tmp_path / "scratch"), **more}}


def published(uri: str) -> dict[str, str]:
    """What a reader sees: name -> hash, of the version that LATEST names."""
    store = Store(uri)
    version = store.read(LATEST).decode().strip()
    names = sorted(store.listing(f"publish/{version}"))
    return {name: hashlib.sha256(store.read(f"publish/{version}/{name}")).hexdigest() for name in names}


def report(uri: str) -> dict[str, Any]:
    return json.loads(Store(uri).read("run.json"))


def count(tmp_path: Path) -> dict[str, int]:
    counts = {}
    for file in sorted((tmp_path / "calls").glob("*")):
        counts[file.name] = len(file.read_text().split())
        file.unlink()
    return counts


SOURCES: dict[str, dict[str, Any]] = {
    "a": {"clips": 2},
    "b": {"clips": 1},
    "dull": {"at": "objects", "does": "reject"},
    "broken": {"at": "relations", "does": "error"},
    "native": {"at": "cameras", "does": "segfault"},
    "unplannable": {"at": "source", "does": "error"},
}


def test_a_run_from_store_to_store_publishes_the_bytes_of_a_local_one(tmp_path: Path, bucket: str) -> None:
    source = make_input(tmp_path / "in", **SOURCES)
    remote, out = put_folder(source, f"{bucket}/in"), f"{bucket}/runs/a"
    assert build(remote, out, **local(tmp_path, workers=2, max_failure_rate=1.0)) == 0
    assert build(source, tmp_path / "out", run={"max_failure_rate": 1.0}) == 0
    assert published(out) == hashes(tmp_path / "out")
    ours, theirs = report(out), json.loads((tmp_path / "out" / "run.json").read_text())
    assert ours["clips"] == theirs["clips"] and ours["sources"] == theirs["sources"] and ours["run_id"] == theirs["run_id"]
    assert ours["output"] == out and ours["input"] == remote
    assert not list((tmp_path / "scratch" / "work").iterdir()), "workers leave nothing behind"
    count(tmp_path)
    again = local(tmp_path, max_failure_rate=1.0)
    assert build(remote, out, **again) == 0
    elsewhere = local(tmp_path / "other_machine", max_failure_rate=1.0)
    assert build(remote, out, **elsewhere) == 0, "another machine knows from the store alone what is done"
    assert count(tmp_path) == {}


def test_secrets_of_the_store_reach_no_object(tmp_path: Path, bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    remote = put_folder(make_input(tmp_path / "in", a={"at": "cameras", "does": "leak_store_key"}, b={}), f"{bucket}/in")
    assert build(remote, f"{bucket}/out", **local(tmp_path, max_failure_rate=1.0)) == 0
    store, said = Store(bucket), capsys.readouterr()
    everything = {name: store.read(name) for name in store.listing()}
    everything |= {str(f): f.read_bytes() for f in (tmp_path / "scratch").rglob("*") if f.is_file()}
    everything["terminal"] = (said.out + said.err).encode()
    assert "***" in said.out
    for name, data in everything.items():
        assert SECRET.encode() not in data and KEY.encode() not in data, name


def test_a_changed_option_and_new_videos_cost_only_themselves_in_a_store(tmp_path: Path, bucket: str) -> None:
    source = make_input(tmp_path / "in", a={"clips": 2})
    remote, out = put_folder(source, f"{bucket}/in"), f"{bucket}/out"
    assert build(remote, out, **local(tmp_path)) == 0
    first = Store(out).read(LATEST)
    count(tmp_path)
    assert build(remote, out, questions={"max_per_clip": 1}, **local(tmp_path)) == 0
    assert set(count(tmp_path)) <= {"questions", "reasoning"}
    put_folder(make_input(source, b={}), remote)
    assert build(remote, out, questions={"max_per_clip": 1}, **local(tmp_path)) == 0
    assert set(count(tmp_path).values()) == {1}
    assert build(source, tmp_path / "out", questions={"max_per_clip": 1}) == 0
    assert published(out) == hashes(tmp_path / "out")
    versions = {name.split("/")[0] for name in Store(out).listing("publish") if "/" in name}
    assert len(versions) == 2 and first.decode().strip() not in versions, "the version before is kept, older ones are not"


def test_every_tenth_call_failing_changes_nothing(tmp_path: Path, bucket: str, server: FlakyServer) -> None:
    source = make_input(tmp_path / "in", a={"clips": 3}, b={"clips": 2})
    remote, out = put_folder(source, f"{bucket}/in"), f"{bucket}/out"
    server.fail_every, server.failed = 10, 0
    try:
        assert build(remote, out, **local(tmp_path, workers=2)) == 0
    finally:
        server.fail_every = 0
    assert server.failed > 20, "the server must have failed often for this test to say anything"
    assert report(out)["clips"] == {"planned": 5, "kept": 5, "rejected": 0, "failed": 0, "pending": 0}
    assert build(source, tmp_path / "out") == 0
    assert published(out) == hashes(tmp_path / "out")


def test_a_store_that_is_away_is_told_and_the_run_continues_later(tmp_path: Path, bucket: str, server: FlakyServer) -> None:
    remote = put_folder(make_input(tmp_path / "in", a={}), f"{bucket}/in")
    server.fail_every = 1
    started = time.monotonic()
    with pytest.raises(StoreError, match="cannot read s3://.*the same command then continues"):
        Store(remote, attempts=2).read("a.fake")
    assert time.monotonic() - started < 30
    server.fail_every = 0
    with pytest.raises(Refused, match="NO_SUCH_BUCKET|does not exist"):
        build(remote, "s3://no-such-bucket-here/out", **local(tmp_path))
    assert build(remote, f"{bucket}/out", **local(tmp_path)) == 0


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_in_a_store_continues_where_it_stopped(tmp_path: Path, bucket: str, sent: signal.Signals) -> None:
    flag = tmp_path / "flag"
    slow = {"at": "objects", "does": "slow", "seconds": 60, "flag": str(flag)}
    source = make_input(tmp_path / "in", a={"clips": 1}, slow=slow)
    remote, out = put_folder(source, f"{bucket}/in"), f"{bucket}/out"
    process = start(remote, out, environment={"TMPDIR": str(tmp_path)})
    wait_for(flag)
    time.sleep(1.0)
    process.send_signal(sent)
    process.communicate(timeout=60)
    assert not Store(out).listing("publish")
    if sent == signal.SIGTERM:
        assert report(out)["status"] == "interrupted" and not Store(out).listing("lock")
    else:
        Store(out).delete_folder("lock")  # it would expire after 90 s
    count(tmp_path)
    assert build(remote, out, **local(tmp_path)) == 0
    repeated = count(tmp_path)
    assert repeated["objects"] == 1 and "video" not in repeated, "what was done stays done"
    assert build(source, tmp_path / "fresh") == 0
    assert published(out) == hashes(tmp_path / "fresh")


def test_a_reader_sees_the_old_version_whole_until_the_new_one_is(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote, out = put_folder(make_input(tmp_path / "in", a={"clips": 2}), f"{bucket}/in"), f"{bucket}/out"
    assert build(remote, out, **local(tmp_path)) == 0
    before = published(out)
    real, left = Store.upload, [3]

    def breaks_off(self: Store, file: Path, name: str) -> None:
        if name.startswith("publish/"):
            left[0] -= 1
            if left[0] < 0:
                raise StoreError("the line was cut")
        real(self, file, name)

    monkeypatch.setattr(Store, "upload", breaks_off)
    with pytest.raises(Refused, match="the line was cut"):
        build(remote, out, questions={"max_per_clip": 1}, **local(tmp_path))
    assert published(out) == before
    monkeypatch.undo()
    monkeypatch.setenv("FAKE_CALLS", str(tmp_path / "calls"))
    assert build(remote, out, questions={"max_per_clip": 1}, **local(tmp_path)) == 0
    assert published(out) != before


def test_two_runs_on_one_output_in_a_store_refuse_each_other(tmp_path: Path, bucket: str) -> None:
    remote, out = put_folder(make_input(tmp_path / "in", a={}), f"{bucket}/in"), f"{bucket}/out"
    with Lease(Store(out)), pytest.raises(OutputIsBusy, match=f"{out}.*pid {os.getpid()}"):
        build(remote, out, **local(tmp_path))
    assert build(remote, out, **local(tmp_path)) == 0


def test_a_dead_runs_lease_expires_and_one_that_was_cut_off_learns_it(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store, told = Store(f"{bucket}/out"), []
    monkeypatch.setattr("_thread.interrupt_main", lambda: told.append(True))
    dead = Lease(store, beat_s=1000, expires_s=2)
    dead.__enter__()
    with pytest.raises(OutputIsBusy), Lease(store, beat_s=1000, expires_s=2):
        pass
    time.sleep(3.5)
    with Lease(store, beat_s=0.2, expires_s=2) as second:
        dead._beat_s = 0.1
        dead._mark()
        dead.lost = bool(dead._live())
        assert dead.lost, "the one that slept sees the other"
        time.sleep(0.6)
        assert second.lost and told, "and of two that both go on, both end"
    dead._beat_s = 0.1
    dead.__exit__(None, None, None)


def test_bytes_that_changed_since_the_plan_are_not_measured(tmp_path: Path, bucket: str) -> None:
    remote, out = put_folder(make_input(tmp_path / "in", a={}), f"{bucket}/in"), f"{bucket}/out"
    assert build(remote, out, **local(tmp_path)) == 0
    Store(remote).write("a.fake", b'{"name": "other bytes"}')
    from pipelines.workplace import at_hand
    from schemas.clip import Source
    from schemas.config import RunConfig

    known = json.loads(next(data for name, data in _objects(out) if "/scan/" in name))["stats"]["source"]
    planned = Source(**{**known, "assumed": ()})
    with (
        pytest.raises(RuntimeError, match="expected the bytes of 'a' that were planned"),
        at_hand(planned, RunConfig(scratch=str(tmp_path / "fresh"))),
    ):
        pass
    assert build(remote, out, **local(tmp_path)) == 0
    assert report(out)["clips"]["kept"] == 1


def _objects(uri: str) -> list[tuple[str, bytes]]:
    store = Store(uri)
    return [(name, store.read(name)) for name in store.listing()]


def test_models_at_an_address_are_fetched_once_per_machine(tmp_path: Path, bucket: str, server: FlakyServer) -> None:
    from pipelines.workplace import with_local_files
    from schemas.config import Config

    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "weights.bin").write_bytes(b"w" * 5000)
    uri = put_folder(tmp_path / "model", f"{bucket}/models/sam")
    sections = {"objects": {"weights": uri}, "depth": {"weights": f"{uri}/weights.bin"}}
    config = Config.model_validate({**sections, "run": {"scratch": str(tmp_path / "scratch")}})
    here = with_local_files(config)
    folder, file = Path(here.objects.weights), Path(here.depth.weights)
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "weights.bin"] and file.read_bytes() == b"w" * 5000
    calls = server.calls
    assert with_local_files(config) == here and server.calls == calls
    missing = Config.model_validate(
        {"objects": {"weights": f"{bucket}/models/none"}, "run": {"scratch": str(tmp_path / "scratch")}}
    )
    with pytest.raises(FileNotFoundError):
        with_local_files(missing)


def test_annotations_beside_a_source_are_fetched_with_it_and_held_against_the_plan(tmp_path: Path, bucket: str) -> None:
    from curation.imports import read_annotations
    from pipelines.clip_task import look_at_candidate
    from pipelines.remote_input import remote_candidates
    from pipelines.workplace import at_hand
    from schemas.clip import Source
    from schemas.config import Config

    folder = tiny_video(tmp_path / "in") / "pan.annotations"
    folder.mkdir()
    (folder / "about.yaml").write_text("{format: 1, maker: me, image_size: [192, 144]}")
    np.savez(folder / "poses.npz", world_from_camera=np.tile(np.eye(4), (40, 1, 1)))
    uri = put_folder(tmp_path / "in", f"{bucket}/in")
    config = Config.model_validate({"run": {"scratch": str(tmp_path / "scratch")}})
    (found,), refused = remote_candidates(uri, "pipelines.stages", config.run)
    assert not refused and set(found.files) == {"pan.mp4", "pan.annotations/about.yaml", "pan.annotations/poses.npz"}
    payload = {"input": uri, "candidate": dataclasses.asdict(found), "line": "pipelines.stages", "how": "", "key": "k"}
    payload |= {"fingerprint": "f", "store": f"{bucket}/out", "config": config.model_dump(mode="json")}
    records = {r["stage"]: r for r in look_at_candidate(payload, lambda stage: None)["records"]}
    assert records["scan"]["outcome"] == "ok", records["scan"]["message"]
    source = Source(**{**records["scan"]["stats"]["source"], "assumed": tuple(records["scan"]["stats"]["source"]["assumed"])})
    assert source.annotations == f"{uri}/pan.annotations/" and source.annotations_sha256
    elsewhere = config.run.model_copy(update={"scratch": str(tmp_path / "another_machine")})
    for run in (config.run, elsewhere):  # kept from the plan; fetched anew
        with at_hand(source, run) as here:
            assert read_annotations(here.annotations).world_from_camera.shape == (40, 4, 4)
    (folder / "about.yaml").write_text("{format: 1, maker: somebody, image_size: [192, 144]}")
    put_folder(tmp_path / "in", uri)
    (changed,), _ = remote_candidates(uri, "pipelines.stages", config.run)
    assert changed.state != found.state, "so that it is planned anew"
    third = config.run.model_copy(update={"scratch": str(tmp_path / "a_third")})
    with pytest.raises(RuntimeError, match="expected the annotations of 'pan' that were planned"), at_hand(source, third):
        pass


def test_the_status_of_a_run_in_a_store(tmp_path: Path, bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    remote, out = put_folder(make_input(tmp_path / "in", **SOURCES), f"{bucket}/in"), f"{bucket}/out"
    assert build(remote, out, **local(tmp_path, max_failure_rate=1.0)) == 0
    capsys.readouterr()
    assert status.main([out]) == 0
    said = capsys.readouterr().out
    assert "finished" in said and "6 of 6 done: 3 ok, 1 rejected, 2 failed" in said and f"{out}/publish/" in said
    assert status.main([f"{bucket}/nothing"]) == 2


def test_objects_with_hostile_names_write_nothing_outside(tmp_path: Path, bucket: str) -> None:
    remote = put_folder(make_input(tmp_path / "in", good={}), f"{bucket}/in")
    store = Store(f"file://{tmp_path}/store")  # a store that takes any name
    from pipelines import remote_input
    from schemas.config import RunConfig

    listing = {**Store(remote).listing()}
    entry = listing["good.fake"]
    hostile = {
        "../../evil.fake": entry,
        "/abs.fake": entry,
        "a//b.fake": entry,
        "x" * 2000 + ".fake": entry,
        "good.fake/in.fake": entry,
    }
    original = Store.listing
    Store.listing = lambda self, folder="": {**listing, **hostile}  # type: ignore[method-assign]
    try:
        found, refused = remote_input.remote_candidates(remote, "tests.pipelines.fakes", RunConfig(scratch=str(tmp_path / "s")))
    finally:
        Store.listing = original  # type: ignore[method-assign]
    assert [item.name for item in found] == ["good"] and len(refused) == 5
    assert not list(tmp_path.rglob("evil*")) and store.listing() == {}
