"""The published folder: deterministic bytes, complete or absent, and readable by ``datasets`` offline."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import load_dataset

from curation.shards.card import card
from curation.shards.load import load
from curation.shards.publish import LAYOUT, PublishedClip, publish
from curation.shards.writer import ShardWriter, read_table, table_of, write_table
from schemas import run_folder as names
from schemas import tables
from schemas.config import ShardsConfig

ABOUT = {"seed": 0, "k_sigma": 3.0, "question_frames": 32, "bench_share": 0.1}
KIND = "camera_distance"


def question(clip_id: str, n: int) -> dict[str, Any]:
    return {
        "id": f"{clip_id}-{n:03d}",
        "clip_id": clip_id,
        "video": f"videos/{clip_id}.mp4",
        "kind": KIND,
        "question": "How far?",
        "options": ["1 m", "2 m"],
        "answer": "A",
        "answer_text": "1 m",
        "answer_value": 1.0,
        "object_id": "",
        "frame_i": 0,
        "frame_j": 31,
        "fact_ids": [f"{clip_id}:f"],
        "messages": [{"role": "user", "content": "<video>How far?"}, {"role": "assistant", "content": "A"}],
        "generator": "test",
        "run_id": "",
    }


def make_clip(root: Path, clip_id: str, split: str = "train", questions: int = 3, objects: int = 1) -> PublishedClip:
    """A clip folder with a few rows of every table."""
    folder = root / clip_id
    folder.mkdir(parents=True)
    (folder / names.CLIP_VIDEO).write_bytes(clip_id.encode() * 50)
    pose = [float(x) for x in range(16)]
    asked = [question(clip_id, n) for n in range(questions)]
    content: dict[str, list[dict[str, Any]]] = {
        "cameras": [
            {"clip_id": clip_id, "frame": f, "time_s": f / 10, "world_from_camera": pose, "scale": "metric"} for f in range(2)
        ],
        "objects": [{"clip_id": clip_id, "object_id": f"obj_{n}", "description": "the ball"} for n in range(objects)],
        "tracks": [
            {
                "clip_id": clip_id,
                "object_id": f"obj_{n}",
                "frame": 0,
                "visible": True,
                "mask_rle": {"size": [4, 4], "counts": "0"},
            }
            for n in range(objects)
        ],
        "facts": [{"fact_id": f"{clip_id}:f", "clip_id": clip_id, "kind": KIND, "value": 1.0, "details": "{}"}],
        "sft": asked,
        "st_cot": [q | {"thinking": "t", "camera_center": [[0.0] * 3] * 2, "object_center": None, "path": 0} for q in asked],
        "rft": [q | {"solution": [{"answer": "A", "camera_center": [[0.0] * 3] * 2, "object_center": None}]} for q in asked],
    }
    for name, rows in content.items():
        write_table(folder / LAYOUT[name][0], table_of(rows, tables.PUBLISHED[name]))
    row = {"clip_id": clip_id, "source": "x", "split": split, "video": f"videos/{clip_id}.mp4", "num_frames": 32}
    return PublishedClip(folder, row, reasoned=split == "train")


def ids(count: int) -> list[str]:
    return sorted(hashlib.sha256(bytes([n])).hexdigest()[:16] for n in range(count))


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()
    }


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("published")
    clips = [make_clip(root / "clips", c, "test" if n == 1 else "train", objects=n % 2) for n, c in enumerate(ids(5))]
    counts = publish(clips, root / "publish", ShardsConfig(rows_per_shard=5), "run1", ABOUT)
    assert counts["rows"]["sft"] == {"train": 12} and counts["rows"]["bench"] == {"test": 3} and counts["videos"] == 5
    assert counts["kinds"]["sft"] == {KIND: 12}
    return root / "publish"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("empty")
    publish([], root / "publish", ShardsConfig(), "run0", ABOUT)
    return root / "publish"


@pytest.fixture(autouse=True)
def offline() -> None:
    assert os.environ["HF_HUB_OFFLINE"] == "1", "these tests must not reach out"


@pytest.mark.parametrize("name", names.PUBLISHED_TABLES)
def test_every_config_loads_offline_with_its_columns(published: Path, tmp_path: Path, name: str) -> None:
    found = load_dataset(str(published), name, cache_dir=str(tmp_path))
    assert set(found) == set(LAYOUT[name][1])
    for split in found:
        assert found[split].column_names == tables.PUBLISHED[name].names
        assert found[split].num_rows > 0, f"{name} has no {split} rows to test with"


def test_every_config_that_the_card_lists_loads_and_the_others_are_told_of(published: Path, empty: Path, tmp_path: Path) -> None:
    some = tmp_path / "some"
    publish([make_clip(tmp_path / "clips", c, objects=0) for c in ids(2)], some / "publish", ShardsConfig(), "r", ABOUT)
    for folder, missing in ((published, set()), (some / "publish", {"bench", "objects", "tracks"}), (empty, set(LAYOUT))):
        text = (folder / "README.md").read_text()
        listed = {c["config_name"] for c in yaml.safe_load(text.split("---\n")[1])["configs"]}
        assert listed == set(LAYOUT) - missing
        for name in listed:
            assert all(len(split) for split in load_dataset(str(folder), name, cache_dir=str(tmp_path / "cache")).values())
        told = [line for line in text.splitlines() if line.startswith("Without rows in this run")]
        assert len(told) == bool(missing) and all(f"`{name}`" in told[0] for name in missing)


@pytest.mark.parametrize("name", names.PUBLISHED_TABLES)
def test_every_table_loads_offline_without_any_row(empty: Path, tmp_path: Path, name: str) -> None:
    found = load(empty, name, cache_dir=str(tmp_path))
    assert set(found) == set(LAYOUT[name][1])
    for split in found:
        assert found[split].num_rows == 0 and found[split].column_names == tables.PUBLISHED[name].names


def test_a_clips_rows_can_be_chosen_and_its_chains_replaced(tmp_path: Path) -> None:
    clips = [make_clip(tmp_path / "clips", c, "test" if n else "train") for n, c in enumerate(ids(2))]
    ids_of = {name: pq.read_table(clips[n].folder / LAYOUT[name][0])["id"].to_pylist() for name, n in (("rft", 0), ("bench", 1))}
    choice = {"rft": {ids_of["rft"][1]}, "bench": set(ids_of["bench"][:2])}

    def chains(folder: Path) -> list[dict[str, Any]]:
        return [{**question(folder.name, 7), "thinking": "anew", "rewritten_by": "m"}]

    chosen = [PublishedClip(c.folder, c.row, c.reasoned, choice, chains) for c in clips]
    counts = publish(chosen, tmp_path / "publish", ShardsConfig(), "r", ABOUT)
    assert (
        counts["rows"]["rft"] == {"train": 1} and counts["rows"]["bench"] == {"test": 2} and counts["rows"]["sft"] == {"train": 3}
    )
    (file,) = (tmp_path / "publish" / "st_cot").iterdir()
    assert pq.read_table(file)["thinking"].to_pylist() == ["anew"]


@pytest.mark.parametrize("name", names.PUBLISHED_TABLES)
def test_without_held_out_sources_the_training_tables_load(tmp_path: Path, name: str) -> None:
    publish([make_clip(tmp_path / "clips", c) for c in ids(2)], tmp_path / "publish", ShardsConfig(), "r", ABOUT)
    if name != "bench":
        assert set(load_dataset(str(tmp_path / "publish"), name, cache_dir=str(tmp_path / "cache"))) == {"train"}
    found = load(tmp_path / "publish", name, cache_dir=str(tmp_path / "cache"))
    assert set(found) == set(LAYOUT[name][1])
    assert (sum(found[split].num_rows for split in found) > 0) == (name != "bench")


def test_empty_and_loaded_tables_have_the_same_features(published: Path, empty: Path, tmp_path: Path) -> None:
    for name in names.PUBLISHED_TABLES:
        one, other = load(published, name, cache_dir=str(tmp_path)), load(empty, name, cache_dir=str(tmp_path))
        assert {split: one[split].features for split in one} == {split: other[split].features for split in other}


def test_empty_and_full_folders_have_the_same_types(published: Path, empty: Path) -> None:
    for name, schema in tables.PUBLISHED.items():
        for folder in (published, empty):
            for file in (folder / name).glob("*.parquet"):
                assert pq.read_schema(file).equals(schema), file


def test_shards_are_full_but_for_the_last_and_say_how_many_they_are(published: Path) -> None:
    files = sorted(p.name for p in (published / "sft").iterdir())
    assert files == [f"train-{n:05d}-of-00003.parquet" for n in range(3)]
    assert [pq.read_metadata(published / "sft" / f).num_rows for f in files] == [5, 5, 2]


@pytest.mark.parametrize("name", ["clips", "sft", "st_cot", "rft", "facts", "tracks", "cameras"])
def test_rows_are_in_the_order_of_their_ids_across_files(published: Path, name: str) -> None:
    key = next(k for k in ("id", "fact_id", "clip_id") if k in tables.PUBLISHED[name].names)
    for split in LAYOUT[name][1]:
        found = [x for f in sorted((published / name).glob(f"{split}-*")) for x in pq.read_table(f)[key].to_pylist()]
        assert found == sorted(found)


def test_the_run_id_is_filled_in(published: Path) -> None:
    for name in ("sft", "st_cot", "rft", "bench"):
        for file in (published / name).iterdir():
            assert set(pq.read_table(file)["run_id"].to_pylist()) == {"run1"}


def test_videos_are_where_the_tables_say(published: Path) -> None:
    rows = [r for f in (published / "clips").iterdir() for r in pq.read_table(f).to_pylist()]
    assert all((published / row["video"]).read_bytes() == row["clip_id"].encode() * 50 for row in rows)
    assert len(rows) == len(list((published / "videos").iterdir())) == 5


def test_no_temporary_file_is_published(published: Path) -> None:
    assert not [p for p in published.rglob("*") if p.name.startswith(".") or p.suffix in (".part", ".tmp")]
    assert sorted(p.name for p in published.parent.iterdir()) == ["clips", "publish"]


def test_the_card_says_what_there_is(published: Path) -> None:
    text = (published / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert [c["config_name"] for c in front["configs"]] == list(names.PUBLISHED_TABLES)
    assert "| `sft` | 12 train |" in text and "run1" in text and f"| `{KIND}` | 12 |" in text
    assert str(published.parent) not in text


def test_the_card_speaks_of_held_out_sources_only_where_some_are(published: Path) -> None:
    counts = {"rows": {name: {"train": 1, "test": 0} for name in tables.PUBLISHED}, "videos": 1, "kinds": {}}
    said = [card(counts, ABOUT | {"run_id": "r", "bench_share": share}) for share in (0.1, 0.0)]
    assert "hold about 10.0 % of the source videos" in said[0] and "Nothing is held out" not in said[0]
    assert "Nothing is held out" in said[1] and "of the source videos" not in said[1]


def test_the_same_clips_give_the_same_bytes(tmp_path: Path) -> None:
    clips = [make_clip(tmp_path / "clips", c) for c in ids(4)]
    for name in ("a", "b"):
        publish(iter(clips), tmp_path / name / "publish", ShardsConfig(rows_per_shard=4), "r", ABOUT)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_bytes_do_not_depend_on_how_rows_were_handed_in(tmp_path: Path) -> None:
    rows = [question(c, n) for c in ids(10) for n in range(7)]
    table = table_of(rows, tables.SFT)
    for name, step in (("one", len(rows)), ("few", 9), ("single", 1)):
        writer = ShardWriter(tmp_path / name, "train", tables.SFT, 20)
        for start in range(0, len(rows), step):
            writer.add(table.slice(start, step))
        writer.close()
    assert hashes(tmp_path / "one") == hashes(tmp_path / "few") == hashes(tmp_path / "single")


def test_clips_out_of_order_are_an_error_and_leave_nothing(tmp_path: Path) -> None:
    clips = [make_clip(tmp_path / "clips", c) for c in ids(2)]
    with pytest.raises(ValueError, match="order of their ids"):
        publish(clips[::-1], tmp_path / "publish", ShardsConfig(), "r", ABOUT)
    assert not (tmp_path / "publish").exists() and [p.name for p in tmp_path.iterdir()] == ["clips"]


def test_a_publish_that_breaks_leaves_the_old_one_whole(tmp_path: Path) -> None:
    clips = [make_clip(tmp_path / "clips", c) for c in ids(3)]
    publish(clips[:2], tmp_path / "publish", ShardsConfig(), "r1", ABOUT)
    before = hashes(tmp_path / "publish")
    (clips[2].folder / names.FACTS).write_bytes(b"broken")
    with pytest.raises(pa.ArrowInvalid):
        publish(clips, tmp_path / "publish", ShardsConfig(), "r2", ABOUT)
    assert hashes(tmp_path / "publish") == before
    (tmp_path / ".publish.1.staging").mkdir()  # of a run that was killed
    publish(clips[:1], tmp_path / "publish", ShardsConfig(), "r3", ABOUT)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clips", "publish"]


def test_the_folder_is_never_absent_while_it_is_replaced(tmp_path: Path) -> None:
    clips = [make_clip(tmp_path / "clips", c) for c in ids(2)]
    publish(clips[:1], tmp_path / "publish", ShardsConfig(), "r", ABOUT)
    looks, absent, stop = 0, 0, threading.Event()

    def look() -> None:
        nonlocal looks, absent
        while not stop.is_set():
            looks += 1
            absent += not (tmp_path / "publish").exists()

    reader = threading.Thread(target=look)
    reader.start()
    for n in range(8):
        publish(clips[: 1 + n % 2], tmp_path / "publish", ShardsConfig(), f"r{n}", ABOUT)
    stop.set()
    reader.join()
    assert looks > 100 and absent == 0


def test_a_misspelt_column_is_an_error() -> None:
    with pytest.raises(ValueError, match="anwser"):
        table_of([{"id": "x", "anwser": "A"}], tables.SFT)


def test_a_table_reads_back_as_it_was_written(tmp_path: Path) -> None:
    table = table_of([question("a" * 16, 0)], tables.SFT)
    write_table(tmp_path / "x.parquet", table)
    assert read_table(tmp_path / "x.parquet", tables.SFT).equals(table)
