"""Guessers that read nothing but where the words of a question put its objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from curation.questions.options import LETTERS
from curation.questions.places import SIDED, height_of, offset_of, place_of
from curation.questions.rows import label_of
from curation.relations.kinds import STEP

Row = dict[str, Any]
Outcomes = list[tuple[Row, bool]]


def told_places(rows: Sequence[Row]) -> Outcomes:
    """Labelled rows about a direction, and whether the guess is right, as far as a place is told.

    Of one object: it goes towards the middle of the view. Of two: the second is where the words put it as seen from the first,
    and what is lower in the picture is in front.
    """
    out = []
    for row in rows:
        scores = _of_one(row) if row["kind"] in SIDED else _of_two(row) if row["kind"] == "object_object_direction" else {}
        if scores:
            offered = [scores.get(label_of(row, text).split(STEP)[0], 0.0) for text in row["options"]]
            out.append((row, LETTERS[offered.index(max(offered))] == row["answer"]))
    return out


def _of_one(row: Row) -> dict[str, float]:
    place = place_of(row["question"])
    return {} if place is None else {"left": place[0] - 50, "right": 50 - place[0]}


def _of_two(row: Row) -> dict[str, float]:
    right, low = offset_of(row)
    return {"right": right, "left": -right, "in front": 0.9 * low, "behind": -0.9 * low} if right or low else {}


def height_key(row: Row) -> tuple[str, str]:
    """Rows whose object is told to be as high in the picture: low means near."""
    return row["kind"], height_of(row["question"])
