"""The real stages on one small rendered world, end to end."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from curation.shards.load import load
from curation.shards.products import load_path, load_tracks
from pipelines import build, simulate
from pipelines.ledger import Ledger
from schemas import run_folder as names
from tests.pipelines.test_run import hashes, report, table

pytestmark = pytest.mark.slow
OPTIONS = ["--set", "shards.bench_share=0"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("line")
    scene = ["--worlds", "1", "--size", "320x200", "--frames", "32", "--cameras", "orbit", "--workers", "1"]
    assert simulate.main(["--output", str(root / "worlds"), *scene]) == 0
    assert run(root, "out", "--workers", "1") == 0
    return root


def run(root: Path, out: str, *more: str) -> int:
    return build.main(["--input", str(root / "worlds"), "--output", str(root / out), *OPTIONS, *more])


def test_a_world_becomes_questions_that_load(world: Path, tmp_path: Path) -> None:
    found = report(world / "out")
    assert found["clips"] == {"planned": 1, "kept": 1, "rejected": 0, "failed": 0, "pending": 0}
    rows = load(world / "out" / "publish", "sft", cache_dir=str(tmp_path))["train"]
    assert len(rows) >= 5 and {row["kind"] for row in rows} & {"camera_distance", "camera_direction"}
    for row in rows:
        assert row["options"]["ABCDEF".index(row["answer"])] == row["answer_text"]
        assert (world / "out" / "publish" / row["video"]).stat().st_size > 1000
    facts = {row["fact_id"]: row for row in table(world / "out", "facts", "train")}
    assert all(facts[fact]["margin"] >= facts[fact]["threshold"] for row in rows for fact in row["fact_ids"])
    chains = load(world / "out" / "publish", "st_cot", cache_dir=str(tmp_path))["train"]
    by_id = {row["id"]: row for row in rows}
    assert len(chains) and all(by_id[c["id"]]["answer"] == c["answer"] for c in chains if c["id"] in by_id)


def test_published_poses_and_tracks_are_those_that_were_measured(world: Path) -> None:
    (folder,) = (world / "out" / names.CLIPS).iterdir()
    path, tracks = load_path(folder / names.CAMERA_PATH), load_tracks(folder / names.TRACK_ARRAYS)
    question = json.loads((folder / names.CLIP_JSON).read_text())["question"]
    rows = table(world / "out", "cameras", "train")
    np.testing.assert_array_equal([row["world_from_camera"] for row in rows], path.world_from_camera[question].reshape(-1, 16))
    assert {t.object_id for t in tracks} == {row["object_id"] for row in table(world / "out", "objects", "train")}
    assert len(table(world / "out", "tracks", "train")) == len(tracks) * len(question)


def test_the_real_stages_give_the_same_bytes_again(world: Path) -> None:
    assert run(world, "again", "--workers", "2") == 0
    assert hashes(world / "again") == hashes(world / "out")


def test_new_questions_are_asked_without_reading_a_video(world: Path) -> None:
    """The video is overwritten with zeros behind the factory's back: decoding it would fail."""
    assert run(world, "asked") == 0
    ledger = Ledger(world / "asked")
    (clip_id,) = (path.name for path in (world / "asked" / names.CLIPS).iterdir())
    before = {stage: ledger.read(stage, clip_id) for stage in report(world / "asked")["stages"]}
    for file in (world / "worlds").glob("*/*.mp4"):
        status = file.stat()
        file.write_bytes(bytes(status.st_size))
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert run(world, "asked", "--set", "questions.max_per_clip=6") == 0
    after = {stage: ledger.read(stage, clip_id) for stage in before}
    assert {stage for stage in before if before[stage] != after[stage]} == {"questions", "reasoning"}
    assert pq.read_table(next((world / "asked" / "publish" / "sft").iterdir())).num_rows <= 6
