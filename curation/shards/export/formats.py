"""What a row becomes for each trainer or benchmark.

Sources: the data loaders named at each format, as their public code or documentation describes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from curation.questions.options import LETTERS

Row = dict[str, Any]
VIDEO_TAG = "<video>"
_TALK = ("id", "video", "messages")
_ASKED = ("id", "clip_id", "video", "kind", "question", "options", "answer", "answer_text")


@dataclass(frozen=True)
class Format:
    """How one trainer or benchmark wants its rows.

    Attributes:
        tables: that it can be made of; the first by default.
        suffixes: of the files that its reader opens; the first by default.
        columns: of the table that ``convert`` reads.
        convert: (row, path of the video, number of the row) -> what is written.
        reader: who reads it, and what to tell it.
    """

    tables: tuple[str, ...]
    suffixes: tuple[str, ...]
    columns: tuple[str, ...]
    convert: Callable[[Row, str, int], Row]
    reader: str


def turns(row: Row, names: dict[str, str]) -> list[Row]:
    """The row's turns as ``from`` / ``value``, roles renamed; a role without a name is put before the user's words.

    Raises:
        ValueError: the user's turns do not hold exactly one video.
    """
    tags = sum(turn["content"].count(VIDEO_TAG) for turn in row["messages"])
    if tags != 1 or not any(t["role"] == "user" and t["content"].startswith(VIDEO_TAG) for t in row["messages"]):
        raise ValueError(f"{row['id']}: expected one {VIDEO_TAG}, at the start of the user's turn; found {tags} in its turns")
    out: list[Row] = []
    before = ""
    for turn in row["messages"]:
        if turn["role"] not in names:
            before += turn["content"] + "\n\n"
            continue
        text = turn["content"]
        if before and turn["role"] == "user":
            text, before = text.replace(VIDEO_TAG + "\n", f"{VIDEO_TAG}\n{before}", 1), ""
        out.append({"from": names[turn["role"]], "value": text})
    return out


def _mllm4d(row: Row, video: str, _: int) -> Row:
    names = {"system": "system", "user": "user", "assistant": "assistant"}
    return {"id": row["id"], "video": video, "conversations": turns(row, names)}


def _qwen(row: Row, video: str, _: int) -> Row:
    # Its loader takes every turn that is not `human` for the assistant's, a system turn too: that goes to the user.
    return {"id": row["id"], "video": video, "conversations": turns(row, {"user": "human", "assistant": "gpt"})}


def _llava(row: Row, video: str, _: int) -> Row:
    said = turns(row, {"user": "human", "assistant": "gpt"})
    # LLaVA-NeXT and LLaVA-Video mark the place of a video with the tag of an image.
    said = [{**turn, "value": turn["value"].replace(VIDEO_TAG, "<image>", 1)} for turn in said]
    return {"id": row["id"], "video": video, "conversations": said}


def _llama_factory(row: Row, video: str, _: int) -> Row:
    system = "\n\n".join(turn["content"] for turn in row["messages"] if turn["role"] == "system")
    said = turns(
        {**row, "messages": [t for t in row["messages"] if t["role"] != "system"]}, {"user": "human", "assistant": "gpt"}
    )
    return {"conversations": said, "system": system, "videos": [video]}


def _swift(row: Row, video: str, _: int) -> Row:
    turns(row, {})
    return {"messages": [{"role": t["role"], "content": t["content"]} for t in row["messages"]], "videos": [video]}


def _swift_grpo(row: Row, video: str, n: int) -> Row:
    # A state that is not needed is an empty list: the public reward iterates over the value. Two nulls would say the same, but
    # datasets 4.8.4, which ms-swift 4.6 asks for, gives a row with nulls the positions of another row, silently.
    solution = [
        {"answer": s["answer"], **{key: s[key] or [] for key in ("camera_center", "object_center")}} for s in row["solution"]
    ]
    return {**_swift(row, video, n), "solution": solution}


def _trl(row: Row, video: str, _: int) -> Row:
    """The video stands in the turn (key ``path``); the empty ``images`` makes TRL take the row for one that is seen."""
    turns(row, {})
    said = [{"role": turn["role"], "content": _parts(turn["content"], video)} for turn in row["messages"]]
    if "solution" in row:
        return {"prompt": said, "images": [], "videos": [video], "solution": json.dumps(row["solution"][0])}
    return {"messages": said, "images": [], "videos": [video]}


def _parts(text: str, video: str) -> list[Row]:
    spoken = {"type": "text", "text": text.removeprefix(VIDEO_TAG).lstrip("\n"), "path": None}
    return [{"type": "video", "text": None, "path": video}, spoken] if text.startswith(VIDEO_TAG) else [spoken]


def _eval(row: Row, video: str, _: int) -> Row:
    return {
        "id": row["id"],
        "video": video,
        "question_type": "multiple-choice",
        "kind": row["kind"],
        "question": row["question"],
        "choices": dict(zip(LETTERS, row["options"], strict=False)),
        "answer": row["answer_text"],
    }


def _vsi(row: Row, video: str, n: int) -> Row:
    """VSI-Bench finds a video at ``<dataset>/<scene_name>.mp4``: with ours, below the dataset folder."""
    return {
        "id": n,
        "dataset": "videos",
        "scene_name": row["clip_id"],
        "question_type": row["kind"],
        "question": row["question"],
        "options": [f"{letter}. {option}" for letter, option in zip(LETTERS, row["options"], strict=False)],
        "ground_truth": row["answer"],
        "video": video,
        "question_id": row["id"],
    }


_JSON, _LINES, _PARQUET = ".json", ".jsonl", ".parquet"
FORMATS: dict[str, Format] = {
    "mllm4d-sft": Format(
        ("sft", "st_cot"), (_JSON, _LINES), _TALK, _mllm4d,
        "MLLM-4D's SFT code: annotation_path is this file, data_path the folder that its videos are relative to",
    ),
    "mllm4d-cold-start": Format(
        ("st_cot",), (_JSON, _LINES), _TALK, _mllm4d,
        "MLLM-4D's SFT code, after SFT: annotation_path is this file, data_path the folder that its videos are relative to",
    ),
    "qwen-vl": Format(
        ("sft", "st_cot"), (_JSON, _LINES), _TALK, _qwen,
        "Qwen-VL's finetune code: annotation_path is this file, data_path the folder that its videos are relative to",
    ),
    "ms-swift-sft": Format(
        ("sft", "st_cot"), (_LINES, _JSON), _TALK, _swift, "swift sft --dataset FILE (relative videos: from where it is run)"
    ),
    "ms-swift-grpo": Format(
        ("rft",), (_LINES, _JSON), (*_TALK, "solution"), _swift_grpo,
        "swift rlhf --rlhf_type grpo --dataset FILE --reward_funcs mllm4d_st "
        "--external_plugins curation/reasoning/swift_plugin.py",
    ),
    "trl": Format(
        ("sft", "st_cot", "rft"), (_PARQUET, _LINES), (*_TALK, "solution"), _trl,
        "load_dataset('parquet', data_files=FILE); SFTTrainer with assistant_only_loss=True. Of `rft`: TRL's GRPO shows "
        "a video to the generation but not to the scoring; train on frames, as pipelines.train grpo --backend trl does",
    ),
    "llava": Format(
        ("sft", "st_cot"), (_JSON,), _TALK, _llava, "LLaVA-NeXT: --data_path FILE --video_folder the folder of relative videos"
    ),
    "llama-factory": Format(
        ("sft", "st_cot"), (_JSON, _LINES), _TALK, _llama_factory,
        "llamafactory-cli train with dataset_dir: the folder of FILE, dataset: its name (dataset_info.json stands beside it)",
    ),
    "eval": Format(
        ("bench", "sft"), (_JSON,), _ASKED, _eval,
        'MLLM-4D\'s and VLM4D\'s evaluation; add "response" to each entry and score it with pipelines.evaluate score',
    ),
    "vsi": Format(
        ("bench", "sft"), (_LINES, _JSON, _PARQUET), _ASKED, _vsi,
        "readers of VSI-Bench's records (options and letter; its scorer knows its own question types only)",
    ),
}  # fmt: skip
