"""The public spatial-temporal reward, for scoring chains of thought: R = w_acc acc + w_fmt fmt + w_cam cam + w_obj obj.

acc: the letter is exactly right. fmt: 0.5 for both pairs of tags, 0.4 for naming both kinds of centre, 0.1 for more than 20
characters of thinking. cam, obj: exp(-mean L2 error over the states), 0 where the numbers of states differ, 1 where neither
side has any. Nulls are dropped before pairing.
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
_TOLERANT = {
    who: re.compile(rf"{who}[ _]cent(?:er|re)[*_`]*\s*[:=][*_`\s]*([\[(][^\n]*[\])]|null|none|n/a)", re.IGNORECASE)
    for who in ("Camera", "Object")
}
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
            ``tolerant`` also reads bold labels, units, round brackets and nested lists: a slip of form is no wrong state.
    """
    thinking = _between(response, "thinking")
    letter = _between(response, "answer")
    accuracy = float((letter or "").strip() == answer)
    if parser == "tolerant" and letter is not None:
        found = re.match(r"\W*([A-Z])\b", letter.strip())
        accuracy = float(found is not None and found[1] == answer)
    text = thinking if thinking is not None else response
    named = all(re.search(f"{who} Center:", text) for who in ("Camera", "Object"))
    form = 0.5 * (thinking is not None and letter is not None) + 0.4 * named + 0.1 * (len((thinking or "").strip()) > 20)
    camera = centre_score(read_centers(text, "Camera", parser), camera_center)
    obj = centre_score(read_centers(text, "Object", parser), object_center)
    total = sum(w * part for w, part in zip(weights, (accuracy, form, camera, obj), strict=True))
    return Reward(float(total), accuracy, form, camera, obj)


def read_centers(
    text: str, who: Literal["Camera", "Object"], parser: Literal["strict", "tolerant"] = "strict"
) -> list[list[float]]:
    """The centres that a text states, in order, nulls left out."""
    centers: list[list[float]] = []
    for line in text.splitlines():
        for found in (_STRICT if parser == "strict" else _TOLERANT)[who].findall(line):
            values = _strict_list(found) if parser == "strict" else _tolerant_list(found)
            if values is None:
                if parser == "strict":
                    return []
                continue
            centers.append(values)
    return centers


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
    except json.JSONDecodeError:
        return None
    good = isinstance(values, list) and len(values) == 3
    good = good and all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values)
    return [float(v) for v in values] if good else None


def _tolerant_list(text: str) -> list[float] | None:
    if text[0] not in "[(":
        return None
    values = [float(number) for number in _NUMBER.findall(text)]
    return values if len(values) == 3 else None
