"""Which rows of a split are published, so that nobody can answer without the video.

* Labels: of the rows that offer the same labels, every label is the right one equally often.
* Numbers: four rows whose true values stand apart come together, one of them is drawn, and the four values are its options.
  Given the options, each is the right one with probability 1/4 exactly, whatever values are typical: only the lot decides.
* Letters: among equals, rows are kept so that the letters come out even.

This is done within cells of rows that a reader can tell apart without the video (where the description puts the object, how
long the interval is), as far as a cell has rows enough. The outcome does not depend on the rows' order.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from curation.questions.exchange import exchange_numbers
from curation.questions.wordings import wordings
from schemas.config import QuestionsConfig

Row = dict[str, Any]
_CELL_ROWS = 30  # least number of rows per label for which a finer cell is worth its losses
_SIDE = re.compile(r"\bon the (left|right)\b|\b(\d+) ?% from the left\b")


def select(rows: Iterable[Row], config: QuestionsConfig, seed: int) -> list[Row]:
    """The rows to publish out of one split's, in the order of their ids; numeric ones with new wrong options.

    Call it once per split and table: rows of other splits must not lend their values. The rows given are not changed.
    """
    ordered = sorted(rows, key=lambda row: row["id"])
    if not config.balance:
        return ordered
    lots = {row["id"]: _lot(seed, row["id"]) for row in ordered}
    kept: list[Row] = []
    for cell in _cells(ordered):
        if cell[0]["answer_value"] is None:
            kept += _even_labels(cell, lots)
        else:
            kept += exchange_numbers(cell, config, seed)
    return sorted(kept, key=lambda row: row["id"])


def label_of(row: Row, text: str | None = None) -> str:
    """The label that an option's text says (the right one's by default); the text itself where it is not one of our wordings."""
    text = row["answer_text"] if text is None else text
    return _labels().get(row["kind"], {}).get(text, text)


@cache
def _labels() -> dict[str, dict[str, str]]:
    return {kind: {text: label for way in ways for label, text in way.items()} for kind, ways in wordings().options.items()}


def _lot(seed: int, row_id: str) -> float:
    return int.from_bytes(hashlib.blake2b(f"{seed}:{row_id}".encode(), digest_size=8).digest(), "little") / 2.0**64


def _cells(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of one kind and one set of options, split further by side and by span where both parts stay large."""
    coarse: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        offered = () if row["answer_value"] is not None else tuple(sorted(label_of(row, text) for text in row["options"]))
        coarse[row["kind"], offered].append(row)
    cells = list(coarse.values())
    for feature in (_side, _span):
        finer: list[list[Row]] = []
        for cell in cells:
            parts: dict[Any, list[Row]] = defaultdict(list)
            for row in cell:
                parts[feature(row)].append(row)
            enough = _CELL_ROWS * len(cell[0]["options"])
            finer += parts.values() if min(map(len, parts.values())) >= enough or feature is _side else [cell]
        cells = finer
    return cells


def _side(row: Row) -> str:
    """Where the words of a question put the object: a guess at which way it can go."""
    if row["kind"] != "object_camera_lateral":
        return ""
    found = _SIDE.search(row["question"])
    if found is None:
        return ""
    if found[1]:
        return found[1]
    percent = int(found[2])
    return "left" if percent < 40 else "right" if percent > 60 else "centre"


def _span(row: Row) -> int:
    """Short, middle or long interval: more can happen in a longer one."""
    span = row["frame_j"] - row["frame_i"]
    return 0 if span <= 10 else 1 if span <= 20 else 2


def _even_labels(cell: list[Row], lots: dict[str, float]) -> list[Row]:
    by_label: dict[str, list[Row]] = {label_of(cell[0], text): [] for text in cell[0]["options"]}
    for row in cell:
        by_label[label_of(row)].append(row)
    count = min(map(len, by_label.values()))
    return [row for group in by_label.values() for row in _even_letters(group, count, lots)]


def _even_letters(group: list[Row], count: int, lots: dict[str, float]) -> list[Row]:
    """``count`` of the rows, dealt letter by letter."""
    by_letter: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(group, key=lambda r: lots[r["id"]]):
        by_letter[row["answer"]].append(row)
    dealt = sorted(
        ((turn, lots[row["id"]], row["id"], row) for rows in by_letter.values() for turn, row in enumerate(rows)),
        key=lambda entry: entry[:3],
    )
    return [row for *_, row in dealt[:count]]
