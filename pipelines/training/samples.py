"""Rows of a run as what TRL's trainers take, made when they are asked for: two million rows fit as well as ten."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

from curation.shards.load import load
from schemas import run_folder as names

VIDEO = "<video>"
IGNORED = -100


def parts(content: str, video: Path) -> list[dict[str, str]]:
    """A turn's text with ``<video>`` as the parts that a processor reads.

    Raises:
        ValueError: the text has more than one ``<video>``.
    """
    before, found, after = content.partition(VIDEO)
    if VIDEO in after:
        raise ValueError(f"expected at most one {VIDEO} in a turn, got {content[:200]!r}")
    out = [{"type": "text", "text": before}] if before else []
    if found:
        out.append({"type": "video", "path": str(video)})
        after = after.lstrip("\n")
    return [*out, {"type": "text", "text": after}] if after else out


def conversation(messages: list[dict[str, str]], video: Path) -> list[dict[str, Any]]:
    """Published turns with their video."""
    return [{"role": turn["role"], "content": parts(turn["content"], video)} for turn in messages]


def supervised(run: Path, table: str, cache: Path) -> Any:
    """A ``datasets.Dataset`` of ``id`` and ``messages``, the last of which is the answer to learn."""
    folder = run / names.PUBLISH

    def convert(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        turns = zip(batch["messages"], batch["video"], strict=True)
        return {"id": batch["id"], "messages": [conversation(m, folder / video) for m, video in turns]}

    return _rows(folder, table, cache, ["id", "video", "messages"]).with_transform(convert)


def prompts(run: Path, table: str, cache: Path) -> Any:
    """A ``datasets.Dataset`` of ``id``, ``prompt`` and ``solution`` (JSON), for reinforcement."""
    folder = run / names.PUBLISH

    def convert(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        turns = zip(batch["messages"], batch["video"], strict=True)
        return {
            "id": batch["id"],
            "prompt": [conversation(m, folder / video) for m, video in turns],
            "solution": [json.dumps(solution) for solution in batch["solution"]],
        }

    return _rows(folder, table, cache, ["id", "video", "messages", "solution"]).with_transform(convert)


def _rows(folder: Path, table: str, cache: Path, columns: list[str]) -> Any:
    return load(folder, table, cache_dir=str(cache))["train"].select_columns(columns)


class AnswerOnly:
    """Collates conversations into a batch whose labels are the last turn's tokens and its end, nothing else.

    A sample longer than ``max_length`` is not cut, since that would part a video from its frames: its labels are all
    ignored, and it is counted in ``too_long``.
    """

    def __init__(self, processor: Any, max_length: int) -> None:
        self.processor, self.max_length = processor, max_length
        self._count = multiprocessing.Value("q", 0)  # of all the loader's processes

    @property
    def too_long(self) -> int:
        """How many samples were longer than ``max_length``."""
        return self._count.value

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """``input_ids``, ``attention_mask``, ``labels``, ``mm_token_type_ids`` (b, n), right-padded, and the videos."""
        import torch

        encoded = [self._encode(example) for example in examples]
        width = max(len(one["input_ids"]) for one in encoded)
        fill = {
            "input_ids": self.processor.tokenizer.pad_token_id, "attention_mask": 0, "labels": IGNORED, "mm_token_type_ids": 0,
        }  # fmt: skip
        padded = {name: [one[name] + [value] * (width - len(one[name])) for one in encoded] for name, value in fill.items()}
        batch: dict[str, Any] = {name: torch.tensor(rows) for name, rows in padded.items()}
        for name in ("pixel_values_videos", "video_grid_thw"):
            batch[name] = torch.cat([one[name] for one in encoded])
        return batch

    def _encode(self, example: dict[str, Any]) -> dict[str, Any]:
        template = self.processor.apply_chat_template
        messages = example["messages"]
        whole = template([messages], tokenize=True, return_dict=True)
        head = template([messages[:-1]], tokenize=True, return_dict=True, add_generation_prompt=True)["input_ids"][0]
        tokens = list(whole["input_ids"][0])
        if tokens[: len(head)] != list(head):
            raise ValueError(f"{example['id']}: the chat template does not write a prompt the same with and without its answer")
        end = len(tokens)
        while tokens[end - 1] != self.processor.tokenizer.eos_token_id:  # what the template writes behind the end of the turn
            end -= 1
            if end <= len(head):
                raise ValueError(f"{example['id']}: the chat template does not end the answer with the end-of-turn token")
        labels = [IGNORED] * len(head) + tokens[len(head) : end] + [IGNORED] * (len(tokens) - end)
        if len(tokens) > self.max_length:
            with self._count.get_lock():
                self._count.value += 1
            labels = [IGNORED] * len(tokens)
        types = whole["mm_token_type_ids"][0]
        sizes = {"input_ids": tokens, "attention_mask": [1] * len(tokens), "labels": labels, "mm_token_type_ids": list(types)}
        return sizes | {name: whole[name] for name in ("pixel_values_videos", "video_grid_thw")}
