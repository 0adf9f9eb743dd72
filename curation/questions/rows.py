"""Reading and rewriting the options of rows of ``schemas.tables.SFT``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from curation.questions.options import LETTERS, listed
from curation.questions.wordings import wordings

Row = dict[str, Any]
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


def option_values(row: Row) -> list[float]:
    """The numbers of a numeric row's options, in the order of the letters."""
    return [float(_NUMBER.findall(option)[0]) for option in row["options"]]


def label_of(row: Row, text: str | None = None) -> str:
    """The label that an option's text says (the right one's by default); the text itself where it is not one of our wordings."""
    text = row["answer_text"] if text is None else text
    return _labels().get(row["kind"], {}).get(text, ("", text))[1]


def way_of(row: Row) -> dict[str, str] | None:
    """How the row words every label of its kind; None where its answer is not one of our wordings."""
    found = _labels().get(row["kind"], {}).get(row["answer_text"])
    return None if found is None else wordings().options[row["kind"]][found[0]]


def with_options(row: Row, options: Sequence[str], place: int) -> Row:
    """The row with other options, the right one at ``place``. Its turns follow."""
    old, new, letter = listed(row["options"]), listed(options), LETTERS[place]
    turns = [
        {**turn, "content": turn["content"].replace(old, new) if turn["role"] == "user" else letter} for turn in row["messages"]
    ]
    return {**row, "options": list(options), "answer": letter, "answer_text": options[place], "messages": turns}


@cache
def _labels() -> dict[str, dict[str, tuple[int, str]]]:
    """By kind and text: the number of the way and the label."""
    return {
        kind: {text: (n, label) for n, way in enumerate(ways) for label, text in way.items()}
        for kind, ways in wordings().options.items()
    }
