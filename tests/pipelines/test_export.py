"""Exports as their readers take them: by the readers' own code where it is installed, else by their documented contract."""

from __future__ import annotations

import json
import os
import re
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import load_dataset

from curation.reasoning import trl_rewards
from curation.shards.export import read
from curation.shards.export.formats import FORMATS
from pipelines.export import export, main
from tests.shards.published import make_dataset, response

Row = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("run") / "publish")


def exported(folder: Path, path: Path, name: str, **options: Any) -> list[Row]:
    assert export(folder, name, path, **options) > 0
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]


def table(folder: Path, name: str) -> list[Row]:
    return list(read.rows(folder, name))


def chat(item: Row, base: Path, roles: dict[str, str], tag: str = "<video>") -> list[Row]:
    """The contract of MLLM-4D's and Qwen-VL's loaders: tags take videos from a pool, which must be empty at the end."""
    pool = [str((base / item["video"]).resolve())]
    messages = []
    for turn in item["conversations"]:
        role = roles.get(turn["from"], "assistant")
        parts = re.split(f"({tag})", turn["value"]) if role == "user" else [turn["value"]]
        content = [{"video": pool.pop(0)} if part == tag else {"text": part.strip()} for part in parts if part.strip()]
        messages.append({"role": role, "content": content})
    assert not pool, "video(s) remain unused"
    return messages


@pytest.mark.parametrize(
    "name, table_name, roles, tag, first",
    [
        ("mllm4d-sft", "sft", {"user": "user", "system": "system"}, "<video>", "user"),
        ("mllm4d-cold-start", "st_cot", {"user": "user", "system": "system"}, "<video>", "system"),
        ("qwen-vl", "sft", {"human": "user"}, "<video>", "user"),
        ("qwen-vl", "st_cot", {"human": "user"}, "<video>", "user"),
        ("llava", "sft", {"human": "user"}, "<image>", "user"),
    ],
)
@pytest.mark.parametrize("relative", [True, False])
def test_conversations_give_each_row_one_video_its_question_and_its_answer(
    folder: Path, tmp_path: Path, name: str, table_name: str, roles: dict[str, str], tag: str, first: str, relative: bool
) -> None:
    items = exported(folder, tmp_path / "x.json", name, table=table_name, root=folder if relative else None)
    source = table(folder, table_name)
    assert len(items) == len(source)
    for item, row in zip(items, source, strict=True):
        assert os.path.isabs(item["video"]) != relative
        messages = chat(item, folder, roles, tag)
        assert [m["role"] for m in messages] == (["system"] if first == "system" else []) + ["user", "assistant"]
        user, assistant = messages[-2]["content"], messages[-1]["content"]
        assert user[0] == {"video": str((folder / row["video"]).resolve())}
        asked = [turn["content"] for turn in row["messages"] if turn["role"] == "user"][0]
        assert user[1]["text"].endswith(asked.removeprefix("<video>").strip()) and len(user) == 2
        assert assistant == [{"text": row["answer"] if table_name == "sft" else row["response"]}]
        if (name, table_name) == ("qwen-vl", "st_cot"):
            assert row["messages"][0]["content"] in user[1]["text"], "the system turn must not be lost"


def test_the_public_sft_reader_of_json_lines_finds_the_same(folder: Path, tmp_path: Path) -> None:
    assert exported(folder, tmp_path / "x.json", "mllm4d-sft") == exported(folder, tmp_path / "x.jsonl", "mllm4d-sft")


@pytest.mark.parametrize("name", ["ms-swift-sft", "ms-swift-grpo"])
def test_ms_swift_rows_have_its_documented_columns_after_its_loader(folder: Path, tmp_path: Path, name: str) -> None:
    """ms-swift reads JSON lines with ``datasets``; ``messages`` and ``videos`` are its documented columns."""
    path = tmp_path / "x.jsonl"
    export(folder, name, path)
    loaded = load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    source = table(folder, FORMATS[name].tables[0])
    assert len(loaded) == len(source)
    for item, row in zip(loaded, source, strict=True):
        assert item["videos"] == [str((folder / row["video"]).resolve())]
        assert sum(turn["content"].count("<video>") for turn in item["messages"]) == len(item["videos"])
        assert [t["role"] for t in item["messages"]] == [t["role"] for t in row["messages"]]
        if name == "ms-swift-grpo":
            assert item["messages"][-1]["role"] == "user"
            (solution,) = item["solution"]
            assert solution["answer"] == row["answer"]
            for key in ("camera_center", "object_center"):
                stated = solution[
                    key
                ]  # iterable: the public reward iterates over it; without nulls: datasets 4.8 moves rows then
                assert np.allclose(stated, row["solution"][0][key] or [], rtol=1e-12), "the JSON reader rounds in the last digit"
            assert trl_rewards.st_reward(completions=[response(row)], solution=[item["solution"]]) == [pytest.approx(1.0)]


class Recorder:
    """In the place of a processor: keeps what TRL's collator asks it to tokenize."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def apply_chat_template(self, messages: Any, **_: Any) -> Any:
        import torch

        self.messages += messages
        ones = torch.ones((len(messages), 3), dtype=torch.long)
        return {"input_ids": ones, "attention_mask": ones, "assistant_masks": ones}


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_trl_takes_the_rows_for_conversations_with_a_video_and_its_collator_passes_it_on(
    folder: Path, tmp_path: Path, suffix: str
) -> None:
    pytest.importorskip("trl", reason="needs the extra `train`")
    from trl.data_utils import is_conversational
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    kind = "parquet" if suffix == ".parquet" else "json"
    for name in ("sft", "st_cot", "rft"):
        path = tmp_path / f"{name}{suffix}"
        export(folder, "trl", path, table=name)
        loaded = load_dataset(kind, data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
        source = table(folder, name)
        assert len(loaded) == len(source) and is_conversational(loaded[0])
        if name == "rft":
            assert loaded[0]["prompt"][-1]["content"][0]["path"].endswith(".mp4")
            done = [[{"role": "assistant", "content": response(row)}] for row in source]
            assert trl_rewards.st_reward(completions=done, solution=loaded["solution"]) == [pytest.approx(1.0)] * len(source)
            continue
        recorder = Recorder()
        DataCollatorForVisionLanguageModeling(recorder, assistant_only_loss=True)([loaded[n] for n in range(3)])
        for messages, row in zip(recorder.messages, source, strict=False):
            user, assistant = messages[-2], messages[-1]
            video, text = user["content"]
            assert (video["type"], video["path"]) == ("video", str((folder / row["video"]).resolve()))
            assert (
                "video" not in text and text["path"] is None and row["question"] in text["text"] and "<video>" not in text["text"]
            )
            assert assistant["content"][0]["text"] == row["messages"][-1]["content"]


def test_llama_factory_finds_its_columns_through_dataset_info(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text('{"other": {"file_name": "o.json"}}')
    export(folder, "llama-factory", tmp_path / "ours.json", table="st_cot")
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    assert set(info) == {"other", "ours"}, "what stood there stays"
    about = info["ours"]
    loaded = load_dataset("json", data_files=str(tmp_path / about["file_name"]), split="train", cache_dir=str(tmp_path / "c"))
    columns, tags = about["columns"], about["tags"]
    for item, row in zip(loaded, table(folder, "st_cot"), strict=True):
        turns = item[columns["messages"]]
        assert [turn[tags["role_tag"]] for turn in turns] == [tags["user_tag"], tags["assistant_tag"]]
        assert item[columns["system"]] == row["messages"][0]["content"]
        assert sum(turn[tags["content_tag"]].count("<video>") for turn in turns) == len(item[columns["videos"]]) == 1
        assert turns[1][tags["content_tag"]] == row["response"]


def test_the_evaluation_shape_has_the_text_of_the_right_choice(folder: Path, tmp_path: Path) -> None:
    items = exported(folder, tmp_path / "x.json", "eval")
    for item, row in zip(items, table(folder, "bench"), strict=True):
        assert item["question_type"] == "multiple-choice" and item["id"] == row["id"]
        assert item["choices"][row["answer"]] == item["answer"] == row["answer_text"]
        assert list(item["choices"].values()) == row["options"]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_vsi_records_lead_to_their_video_as_its_readers_build_the_path(folder: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    export(folder, "vsi", path)
    kind = "parquet" if suffix == ".parquet" else "json"
    for item, row in zip(
        load_dataset(kind, data_files=str(path), split="train", cache_dir=str(tmp_path / "c")),
        table(folder, "bench"),
        strict=True,
    ):
        assert (folder / item["dataset"] / f"{item['scene_name']}.mp4").is_file() and isinstance(item["id"], int)
        assert item["options"]["ABCDEF".index(item["ground_truth"])] == f"{row['answer']}. {row['answer_text']}"


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_the_same_twice_and_names_its_reader(folder: Path, tmp_path: Path, name: str) -> None:
    suffix = FORMATS[name].suffixes[0]
    for n in (1, 2):
        (tmp_path / str(n)).mkdir()
        export(folder, name, tmp_path / str(n) / f"x{suffix}", root=folder)
    first, second = (sorted((tmp_path / str(n)).iterdir()) for n in (1, 2))
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    assert FORMATS[name].reader


def test_memory_does_not_grow_with_the_number_of_rows(tmp_path: Path) -> None:
    peaks = []
    for n, clips in enumerate((8, 24)):
        folder = make_dataset(tmp_path / str(n), clips=clips, questions=250, rows_per_shard=20000)
        tracemalloc.start()
        assert export(folder, "mllm4d-sft", tmp_path / f"{n}.json") == clips * 250
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0], peaks


def test_a_failed_export_leaves_what_was_there(folder: Path, tmp_path: Path) -> None:
    copy = make_dataset(tmp_path / "publish", clips=2)
    target = tmp_path / "x.json"
    target.write_text("before")
    (copy / "videos" / f"{1:016x}.mp4").unlink()
    with pytest.raises(FileNotFoundError, match=f"expected its video videos/{1:016x}.mp4"):
        export(copy, "mllm4d-sft", target)
    assert target.read_text() == "before" and [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    assert export(copy, "mllm4d-sft", target, check=False) == 24


def test_the_command_line_says_what_is_wrong(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(*arguments: str) -> str:
        assert main([str(folder.parent), *arguments]) == 2
        return " ".join(capsys.readouterr().err.split())

    assert "made of rft, got --table sft" in fails(
        "--format", "ms-swift-grpo", "--output", str(tmp_path / "x.jsonl"), "--table", "sft"
    )
    assert "read from .json or .jsonl files" in fails("--format", "mllm4d-sft", "--output", str(tmp_path / "x.txt"))
    assert "belongs with --paths relative" in fails(
        "--format", "mllm4d-sft", "--output", str(tmp_path / "x.json"), "--relative-to", "/"
    )
    assert main([str(tmp_path), "--format", "eval", "--output", str(tmp_path / "x.json")]) == 2
    assert "Was the run finished?" in capsys.readouterr().err
    assert main([str(folder), "--format", "eval", "--output", str(tmp_path / "x.json"), "--limit", "3"]) == 0
    assert len(json.loads((tmp_path / "x.json").read_text())) == 3
