"""Questions to put to a model, from a published table or from a file in the MLLM-4D / VLM4D shape."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.evaluate.answers import chosen, letter_of
from curation.questions.options import LETTERS, listed
from curation.reasoning.chain import prompt, states
from curation.shards.export import read
from curation.shards.products import fact_of

Row = dict[str, Any]
Centers = list[list[float]] | None
_DIRECT = "Reply with one letter only."


@dataclass(frozen=True)
class Item:
    """One question.

    Attributes:
        id: unique within its file.
        kind: what accuracy is broken down by.
        video: file.
        frames: of the video to show, in order; None means uniform over it.
        question: without its options.
        options: texts, in the order of the letters.
        answer: the right letter.
        value: the right answer where it is a number with a unit, else None.
        camera_center, object_center: true states at both frames (metres), where known.
        row: as it came.
    """

    id: str
    kind: str
    video: Path
    frames: tuple[int, ...] | None
    question: str
    options: tuple[str, ...]
    answer: str
    value: float | None
    camera_center: Centers
    object_center: Centers
    row: Row

    def turns(self, reasoning: bool) -> list[dict[str, str]]:
        """System and user turns, without a place for the video."""
        row = {"question": self.question, "options": self.options}
        if reasoning:
            said = prompt(row)
            return [*said[:-1], {"role": "user", "content": said[-1]["content"].removeprefix("<video>\n")}]
        asked = [t["content"] for t in self.row.get("messages") or () if t["role"] == "user"]
        text = asked[0].removeprefix("<video>\n") if asked else f"{self.question}\n{listed(self.options)}\n{_DIRECT}"
        return [{"role": "user", "content": text}]


def bench_items(folder: Path, table: str = "bench") -> list[Item]:
    """The questions of a published table, with the frames that they count and the states that are true.

    Args:
        folder: a dataset folder.
        table: ``bench``, or a training table, to see what a model makes of what it was trained on.

    Raises:
        FileNotFoundError: there is no such table.
    """
    rows = list(read.rows(folder, table))
    clips = {row["clip_id"]: row for row in read.rows(folder, "clips", ("clip_id", "video_index"))} if rows else {}
    wanted = {fact for row in rows for fact in row["fact_ids"] or ()}
    facts = {}
    if wanted and (folder / "facts").is_dir():
        facts = {row["fact_id"]: fact_of(row) for row in read.rows(folder, "facts") if row["fact_id"] in wanted}
    out = []
    for row in rows:
        known = [facts[f] for f in row["fact_ids"] or () if f in facts and "camera_center" in facts[f].details]
        camera, obj = states(known[0]) if known else (None, None)
        index = (clips.get(row["clip_id"]) or {}).get("video_index")
        frames, options = tuple(index) if index else None, tuple(row["options"])
        about = row["question"], options, row["answer"], row["answer_value"]
        out.append(Item(row["id"], row["kind"], folder / row["video"], frames, *about, camera, obj, row))
    return out


def file_items(rows: Sequence[Mapping[str, Any]], where: str = "", skipped: list[str] | None = None) -> list[Item]:
    """Entries in the MLLM-4D / VLM4D shape: ``choices`` by letter, ``answer`` the text of one (which may be a number).

    Args:
        rows: the entries.
        where: they come from, for errors.
        skipped: gets the errors of entries whose answer is none of their choices, which are then left out.

    Raises:
        ValueError: an entry lacks a key, or its answer is none of its choices.
    """
    out = []
    for n, given in enumerate(rows):
        row = dict(given)
        name = str(row.get("id", n))
        if missing := {"question", "choices", "answer"} - set(row):
            raise ValueError(f"{where} entry {name}: expected the keys id, question, choices, answer; without {sorted(missing)}")
        choices = row["choices"]
        texts = list(choices.values()) if isinstance(choices, dict) else list(choices)
        options = tuple(str(text) for text in texts)
        answer = letter_of(row["answer"], options)
        if answer is None:
            problem = f"{where} entry {name}: expected one of {list(options)} as its answer, got {row['answer']!r}"
            if skipped is None:
                raise ValueError(f"{problem}; --skip-broken leaves such entries out")
            skipped.append(problem)
            continue
        kind = str(row.get("kind") or row.get("category") or row.get("question_type") or "question")
        kind = f"{kind} (kind)" if kind == "all" else kind  # "all" is the line of the sums
        asked = Path(str(row.get("video", ""))), None, str(row["question"]), options, answer
        out.append(Item(name, kind, *asked, row.get("answer_value"), row.get("camera_center"), row.get("object_center"), row))
    if len({item.id for item in out}) < len(out):
        raise ValueError(f"{where}: expected every id once; {len(out) - len({item.id for item in out})} come again")
    return out


def entry(item: Item, response: str | None) -> Row:
    """The item in the MLLM-4D / VLM4D shape, with what scoring it again needs; ``response`` is left out where there is none."""
    row = {key: item.row.get(key) for key in ("clip_id", "frame_i", "frame_j") if item.row.get(key) is not None}
    return {
        "id": item.id,
        "video": str(item.row.get("video") or item.video),
        "question_type": str(item.row.get("question_type") or "multiple-choice"),
        "kind": item.kind,
        "question": item.question,
        "choices": dict(zip(LETTERS, item.options, strict=False)),
        "answer": item.options[LETTERS.index(item.answer)],
        **row,
        "answer_value": item.value,
        "camera_center": item.camera_center,
        "object_center": item.object_center,
        **({} if response is None else {"response": response, "prediction": chosen(response, item.options)}),
    }


def read_entries(path: Path) -> list[Row]:
    """A JSON array or JSON lines of objects.

    Raises:
        ValueError: it is neither.
    """
    text = path.read_text(encoding="utf-8")
    try:
        found = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines() if line]
    except json.JSONDecodeError as error:
        raise ValueError(f"expected a JSON array or JSON lines in {path}: {error}") from error
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise ValueError(f"expected a list of objects in {path}")
    return found


def as_blind_rows(items: Sequence[Item]) -> Iterator[Row]:
    """Items as the rows that ``curation.audit.blind`` guesses at."""
    for item in items:
        yield {
            "id": item.id,
            "clip_id": item.row.get("clip_id") or str(item.video),
            "kind": item.kind,
            "question": item.question,
            "options": list(item.options),
            "answer": item.answer,
            "answer_text": item.options[LETTERS.index(item.answer)],
            "answer_value": item.value,
            "frame_i": item.row.get("frame_i") or 0,
            "frame_j": item.row.get("frame_j") or 0,
        }
