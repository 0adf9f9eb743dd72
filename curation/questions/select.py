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

import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from curation.questions.exchange import exchange_labels, exchange_numbers
from curation.questions.places import SIDED, height_of, offset_of, side_of
from curation.questions.rows import Row, label_of
from curation.questions.shares import in_shares, shares_of
from curation.relations.kinds import KINDS, STEP
from curation.seeding import generator
from schemas.config import QuestionsConfig

__all__ = ["label_of", "select"]

# Rows that a cell of its own must have to be worth its losses: of labelled rows few are lost, of numbers those far from others.
_CELL_LABELS, _CELL_NUMBERS, _CELL_SPANS = 16, 240, 48
_FEW = 4
# what a thing is makes some answers likelier (cars are faster than people); one class per line
_CLASSES = {
    "person": "person people man men woman women child children boy girl pedestrian walker runner player",
    "animal": "dog cat horse cow sheep bird duck animal",
    "vehicle": "car truck van bus lorry taxi train tram vehicle",
    "cycle": "bicycle bike motorcycle motorbike scooter cyclist rider skateboard",
    "ball": "ball football",
}
_CLASS_OF = {word: name for name, words in _CLASSES.items() for word in words.split()}
_THING = re.compile(rf"\b({'|'.join(_CLASS_OF)})s?\b", re.IGNORECASE)


def select(rows: Iterable[Row], config: QuestionsConfig, seed: int) -> list[Row]:
    """The rows to publish out of one split's, in the order of their ids, with their final options and letters.

    Call it once per split (rows of other splits must not lend their answers), and before anything is reasoned about the rows.
    The rows given are not changed.
    """
    ordered = sorted(rows, key=lambda row: row["id"])
    if not config.balance:
        return ordered
    kept: list[Row] = [row for row in ordered if not row["options"]]
    for kind_rows in _parts([row for row in ordered if row["options"]], lambda row: row["kind"]):
        mine: list[Row] = []
        for cell in _cells(kind_rows):
            exchange = exchange_labels if cell[0]["answer_value"] is None else exchange_numbers
            mine += exchange(cell, config, generator(seed, cell[0]["id"], "exchange"))
        taken = {row["id"] for row in mine}
        others = [row for row in kind_rows if row["id"] not in taken]
        lots = generator(seed, kind_rows[0]["kind"], "few").permutation(len(others)).tolist()
        kept += mine + [others[n] for n in lots[: max(0, _FEW - len(mine))]]
    return in_shares(sorted(kept, key=lambda row: row["id"]), shares_of(config), seed)


def _cells(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of one kind, split by what changes which answers are likely, or possible.

    Always by the places that are told, by the bends of a course and by the number of objects to count; by the things that are
    named, and by span, only as far as the parts stay large.
    """
    cells: list[list[Row]] = []
    for part in _parts(rows, lambda row: (_told(row), _bends(row), _counted(row))):
        for thing in _large_parts(part, _things):
            if thing[0]["answer_value"] is not None:
                cells += _by_span(thing)
                continue
            spans = _parts(thing, _span)
            cells += spans if min(map(len, spans)) >= _CELL_LABELS else [thing]
    return cells


def _by_span(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows with numbers, in up to eight cells of much the same span: an angle, say, grows with the time that it takes."""
    ordered = sorted(rows, key=lambda row: (row["frame_j"] - row["frame_i"], row["id"]))
    count = max(1, min(8, len(rows) // _CELL_SPANS))
    edges = [round(n * len(rows) / count) for n in range(count + 1)]
    return [ordered[a:b] for a, b in itertools.pairwise(edges)]


def _large_parts(rows: Sequence[Row], key: Callable[[Row], Any]) -> list[list[Row]]:
    """The parts that are large, and all that are not as one."""
    parts = _parts(rows, key)
    least = _least(rows)
    small = [row for part in parts if len(part) < least for row in part]
    return [part for part in parts if len(part) >= least] + ([small] if small else [])


def _least(rows: Sequence[Row]) -> int:
    return _CELL_LABELS if rows[0]["answer_value"] is None else _CELL_NUMBERS


def _bends(row: Row) -> int:
    """How often a course changes its direction: options with as many bends are equally smooth."""
    if not KINDS[row["kind"]].sequence:
        return 0
    steps = label_of(row).split(STEP)
    return sum(a != b for a, b in itertools.pairwise(steps))


def _counted(row: Row) -> int:
    """Number of objects of a kind that counts them."""
    return row["id"].count("+") if KINDS[row["kind"]].subject == "several" else 0


def _things(row: Row) -> tuple[str, ...]:
    """The classes of things that the question names, in its order."""
    return tuple(_CLASS_OF[word.lower()] for word in _THING.findall(row["question"])) if row["object_id"] else ()


def _parts(rows: Sequence[Row], key: Callable[[Row], Any]) -> list[list[Row]]:
    parts: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        parts[key(row)].append(row)
    return list(parts.values())


def _told(row: Row) -> Any:
    """Where the words of a question put its objects, as far as that is a guess at the answer."""
    if row["kind"] in SIDED:
        return side_of(row["question"])
    if row["kind"] == "object_camera_distance":
        return height_of(row["question"])
    return offset_of(row) if row["kind"] == "object_object_direction" else ""


def _span(row: Row) -> int:
    """Short, middle or long interval: more can happen in a longer one."""
    span = row["frame_j"] - row["frame_i"]
    return 0 if span <= 10 else 1 if span <= 20 else 2
