"""The public spatial-temporal reward, for scoring chains of thought: R = w_acc acc + w_fmt fmt + w_cam cam + w_obj obj.

acc: the letter is exactly right. fmt: 0.5 for both pairs of tags, 0.4 for naming both kinds of centre, 0.1 for more than 20
characters of thinking. cam, obj: exp(-mean L2 error over the states), 0 where the numbers of states differ, 1 where neither
side has any. Nulls are dropped before pairing.

In two points this is kinder than the public code, which its own format contradicts there: ``Object Center: null`` names the kind
(there, a bracket must follow both labels, so that a question about the camera alone earns 0.92 at most), and a solution of None
means no state (there, it raises; ``ms-swift-grpo`` exports write ``[]``, which both read alike). In one it is stricter: the tags
themselves count towards the 20 characters there, so that any thinking is long enough.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Centers = Sequence[Sequence[float] | None] | None
Weights = tuple[float, float, float, float]

CODE_WEIGHTS: Weights = (0.6, 0.2, 0.1, 0.1)
"""Accuracy, format, camera, object, as in the public code."""
PAPER_WEIGHTS: Weights = (0.5, 0.2, 0.15, 0.15)
"""The same as in the paper."""

_STRICT = {who: re.compile(rf"{who} Center:\s*(\[.*?\])") for who in ("Camera", "Object")}
_LABEL = {
    who: re.compile(rf"{who}[ _]?cent(?:er|re)[*_`]*(?:\s*\([^()\n]{{0,20}}\))?[*_`]*\s*[:=]", re.IGNORECASE)
    for who in ("Camera", "Object")
}
_TOLERANT = {
    who: re.compile(label.pattern + r"[*_`\s]*([\[(][\[(\s]*[^\[\]()]{0,200}[\])]|null|none|n/a)", re.IGNORECASE)
    for who, label in _LABEL.items()
}
_LETTER = re.compile(
    r"\W*(?:(?:the )?(?:correct |right )?(?:answer|option|choice)(?: is)?\W+)?([A-Z])(?![A-Za-z'])", re.IGNORECASE
)
_FAR_M = 1e12  # farther is no position; NaN and infinity fail the comparison too
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class Reward:
    """The reward and its four parts, each in [0, 1]."""

    total: float
    accuracy: float
    format: float
    camera: float
    object: float


def reward(
    response: str,
    answer: str,
    camera_center: Centers,
    object_center: Centers,
    *,
    weights: Weights = CODE_WEIGHTS,
    parser: Literal["strict", "tolerant"] = "strict",
) -> Reward:
    """Score a response against its solution.

    Args:
        response: the assistant's turn.
        answer: the right letter.
        camera_center: two 3-vectors (metres, world frame), or None where the question needs none.
        object_center: likewise.
        weights: of accuracy, format, camera, object.
        parser: ``strict`` reads as the public code does (line by line; one malformed list empties its kind);
            ``tolerant`` also reads bold labels, units, round brackets, nested and broken lists, and a letter in other words
            ("(a)", "Option A"): a slip of form is no wrong state. On well-formed text both give the same.
    """
    thinking = _between(response, "thinking")
    letter = _between(response, "answer")
    accuracy = float((response if letter is None else letter).strip() == answer)
    if parser == "tolerant" and letter is not None:
        found = _LETTER.match(letter)
        accuracy = float(found is not None and found[1].upper() == answer)
    text = thinking if thinking is not None else response
    named = all(f"{who} Center:" in text or (parser == "tolerant" and _LABEL[who].search(text)) for who in ("Camera", "Object"))
    form = 0.5 * (thinking is not None and letter is not None) + 0.4 * named + 0.1 * (len((thinking or "").strip()) > 20)
    camera = centre_score(read_centers(text, "Camera", parser), camera_center)
    obj = centre_score(read_centers(text, "Object", parser), object_center)
    total = sum(w * part for w, part in zip(weights, (accuracy, form, camera, obj), strict=True))
    return Reward(float(total), accuracy, form, camera, obj)


def read_centers(
    text: str, who: Literal["Camera", "Object"], parser: Literal["strict", "tolerant"] = "strict"
) -> list[list[float]]:
    """The centres that a text states, in order, nulls left out."""
    if parser == "tolerant":
        return [values for found in _TOLERANT[who].findall(text) if (values := _tolerant_list(found)) is not None]
    found = [_strict_list(stated) for line in text.splitlines() for stated in _STRICT[who].findall(line)]
    return [] if None in found else [values for values in found if values is not None]


def centre_score(stated: Sequence[Sequence[float]], truth: Centers) -> float:
    """``exp(-mean L2 error)`` over paired states, metres."""
    wanted = [center for center in truth or () if center is not None]
    if not wanted and not stated:
        return 1.0
    if len(wanted) != len(stated):
        return 0.0
    return math.exp(-float(np.mean(np.linalg.norm(np.asarray(stated, float) - np.asarray(wanted, float), axis=1))))


def _between(response: str, tag: str) -> str | None:
    found = re.search(f"<{tag}>(.*?)</{tag}>", response, re.DOTALL)
    return None if found is None else found[1]


def _strict_list(text: str) -> list[float] | None:
    try:
        values: Any = json.loads(text)
    except ValueError:  # JSONDecodeError is one; so is an integer of more digits than Python reads
        return None
    good = isinstance(values, list) and len(values) == 3
    good = good and all(isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < _FAR_M for v in values)
    return [float(v) for v in values] if good else None


def _tolerant_list(text: str) -> list[float] | None:
    if text[0] not in "[(":
        return None
    values = [float(number) for number in _NUMBER.findall(text)]
    return values if len(values) == 3 and all(abs(v) < _FAR_M for v in values) else None
