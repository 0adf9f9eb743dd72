"""Where the words of a question put its objects ("about 37% from the left ... of the view"): a hint at some answers."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from curation.questions.wordings import wordings

Row = dict[str, Any]
Place = tuple[float, float | None]
SIDED = ("object_camera_lateral", "object_direction", "object_trajectory")
"""Kinds of which an object at the side of the view has likelier answers: it can hardly go farther out."""
_PLACE = re.compile(
    r"\bon the (left|right)\b|\bin the (middle) of the view\b|\b(\d+) ?% from the left(?: and (\d+) ?% from the top)?"
)
_WORDS = {"left": 17.0, "middle": 50.0, "right": 83.0}
_FIELD = re.compile(r"\{(\w+)\}")
_APART_X, _APART_Y = 10.0, 5.0  # percent of the picture from which on two places are told as different


def place_of(text: str) -> Place | None:
    """Percent from the left, and from the top where that is told, of the first place in a text; None where there is none."""
    found = _PLACE.search(text)
    if found is None:
        return None
    word = found[1] or found[2]
    return (_WORDS[word], None) if word else (float(found[3]), float(found[4]) if found[4] else None)


def side_of(text: str) -> str:
    """Third of the picture's width in which a text puts its first object: left, middle, right; "" where it does not say."""
    place = place_of(text)
    return "" if place is None else "left" if place[0] < 40 else "right" if place[0] > 60 else "middle"


def height_of(text: str) -> str:
    """Third of the picture's height likewise: what stands low in a picture mostly stands near."""
    place = place_of(text)
    if place is None or place[1] is None:
        return ""
    return "high" if place[1] < 45 else "low" if place[1] > 60 else "level"


def offset_of(row: Row) -> tuple[int, int]:
    """Where the words put the second of two objects as seen from the first: signs to the right and down, 0 where it is open."""
    named = _two(row["kind"], row["question"])
    one, other = (place_of(text) for text in named) if named else (None, None)
    if one is None or other is None:
        return 0, 0
    right, low = other[0] - one[0], 0.0 if one[1] is None or other[1] is None else other[1] - one[1]
    return _sign(right, _APART_X), _sign(low, _APART_Y)


def _sign(value: float, least: float) -> int:
    return 0 if abs(value) < least else 1 if value > 0 else -1


def _two(kind: str, question: str) -> tuple[str, str] | None:
    """What a question calls its first and its second object, whichever it names first; None where no wording fits."""
    for pattern in _patterns(kind):
        if found := pattern.search(question):
            return found["object"], found["other"]
    return None


@cache
def _patterns(kind: str) -> tuple[re.Pattern[str], ...]:
    out = []
    for template in wordings().questions[kind]:
        pieces, seen = [], set()
        for n, piece in enumerate(_FIELD.split(template)):
            name = piece.lower()
            if n % 2 == 0:
                pieces.append(re.escape(piece))
            elif name in ("object", "other") and name not in seen:
                seen.add(name)
                pieces.append(f"(?P<{name}>.+?)")
            else:
                pieces.append(".+?")
        if {"object", "other"} <= seen:
            out.append(re.compile("".join(pieces) + "$"))
    return tuple(out)
