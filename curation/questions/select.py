"""Which rows of a split are published, with options from which nobody can answer without the video.

* Labels: rows with different answers come together, and the labels of such a group become the options of each of its rows. Of
  the rows that offer the same labels, every label is then the right one equally often.
* Numbers: four rows whose true values stand apart come together, one of them is drawn, and the four values are its options.
  Given the options, each is the right one with probability 1/4 exactly, whatever values are typical: only the lot decides.

This is done within cells of rows that a reader can tell apart without the video (where the description puts the object, how
long the interval is), as far as a cell has rows enough. Rows that find no company are left out, but for a few of each kind, from
which nothing can be learnt. The outcome does not depend on the rows' order.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from curation.questions.exchange import exchange_labels, exchange_numbers
from curation.questions.rows import Row, label_of
from curation.seeding import generator
from schemas.config import QuestionsConfig

__all__ = ["label_of", "select"]

_CELL_ROWS = 120  # a span's own cell must have this many rows to be worth its losses
_FEW = 4
_SIDE = re.compile(r"\bon the (left|right)\b|\b(\d+) ?% from the left\b")


def select(rows: Iterable[Row], config: QuestionsConfig, seed: int) -> list[Row]:
    """The rows to publish out of one split's, in the order of their ids, with their final options and letters.

    Call it once per split (rows of other splits must not lend their answers), and before anything is reasoned about the rows.
    The rows given are not changed.
    """
    ordered = sorted(rows, key=lambda row: row["id"])
    if not config.balance:
        return ordered
    kept: list[Row] = []
    for kind_rows in _parts(ordered, lambda row: row["kind"]):
        mine: list[Row] = []
        for cell in _cells(kind_rows):
            exchange = exchange_labels if cell[0]["answer_value"] is None else exchange_numbers
            mine += exchange(cell, config, generator(seed, cell[0]["id"], "exchange"))
        taken = {row["id"] for row in mine}
        others = [row for row in kind_rows if row["id"] not in taken]
        lots = generator(seed, kind_rows[0]["kind"], "few").permutation(len(others)).tolist()
        kept += mine + [others[n] for n in lots[: max(0, _FEW - len(mine))]]
    return sorted(kept, key=lambda row: row["id"])


def _cells(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of one kind, split by the side that is named, and by span where both parts stay large."""
    cells: list[list[Row]] = []
    for side in _parts(rows, _side):
        spans = _parts(side, _span)
        cells += spans if min(map(len, spans)) >= _CELL_ROWS else [side]
    return cells


def _parts(rows: Sequence[Row], key: Callable[[Row], Any]) -> list[list[Row]]:
    parts: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        parts[key(row)].append(row)
    return list(parts.values())


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
    return "left" if percent < 40 else "right" if percent > 60 else "middle"


def _span(row: Row) -> int:
    """Short, middle or long interval: more can happen in a longer one."""
    span = row["frame_j"] - row["frame_i"]
    return 0 if span <= 10 else 1 if span <= 20 else 2
