"""Reading and rewriting the options of rows of ``schemas.tables.SFT``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from curation.questions.options import LETTERS, listed
from curation.questions.wordings import read

Row = dict[str, Any]
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


def option_values(row: Row) -> list[float]:
    """The numbers of a numeric row's options, in the order of the letters."""
    return [float(_NUMBER.findall(option)[0]) for option in row["options"]]


def label_of(row: Row, text: str | None = None) -> str:
    """The label that an option's text says (the right one's by default); the text itself where it is not one of our wordings."""
    text = row["answer_text"] if text is None else text
    found = read(row["kind"], text)
    return text if found is None else found[1]


def way_of(row: Row) -> int | None:
    """Number of the way in which the row words labels; None where its answer is not one of our wordings."""
    found = read(row["kind"], row["answer_text"])
    return None if found is None else found[0]


def with_options(row: Row, options: Sequence[str], place: int) -> Row:
    """The row with other options, the right one at ``place``. Its turns follow."""
    old, new, letter = listed(row["options"]), listed(options), LETTERS[place]
    turns = [
        {**turn, "content": turn["content"].replace(old, new) if turn["role"] == "user" else letter} for turn in row["messages"]
    ]
    return {**row, "options": list(options), "answer": letter, "answer_text": options[place], "messages": turns}
