"""Options that do not give the answer away.

Numbers: the four options form a ladder whose three steps are independent draws from one distribution of ratios, and the truth
stands on each rung with the same probability. Every test that decides whether the ladder may be used looks at the ladder as a
whole, never at the rung of the truth; so nothing that can be computed from the options (rank, ratios, halves and doubles,
middles, digits) says more about the answer than chance. What remains is knowledge of typical values: ``select``, which sees the
whole run, takes that away by drawing the wrong options anew from the true values of other questions.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from curation.relations.kinds import KINDS, STEP
from schemas.config import QuestionsConfig

NUMBERS = 4
LETTERS = "ABCDEF"
_ROUNDING = 1.1  # share by which neighbours stand farther apart than doubt alone demands, so that rounding is covered


def listed(options: Sequence[str]) -> str:
    """The options as lines of a question: ``A. ...``."""
    return "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))


class Letters:
    """Letters in randomly permuted rounds, so that each is used equally often, for every number of options."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._left: dict[int, list[int]] = {}

    def next(self, count: int) -> int:
        """Where to put the right one of ``count`` options."""
        if not self._left.get(count):
            self._left[count] = self._rng.permutation(count).tolist()
        return self._left[count].pop()


@dataclass(frozen=True)
class Ladder:
    """Option texts in rising order, and the rung on which the truth stands."""

    texts: tuple[str, ...]
    rung: int


def least_ratio(value: float, sigma: float, config: QuestionsConfig) -> float | None:
    """The least factor between neighbouring options around a measured length, or None where it is too uncertain to be asked.

    A wrong option must be farther from the truth than ``option_sigmas`` sigma: with twice the k of the facts, the labelled option
    stays the nearest one even if the measurement errs by k sigma. Below the truth this asks 1 - 1/r of the value.
    """
    share = config.option_sigmas * sigma / value if value > 0 else 1.0
    if not 0 <= share < 0.9:
        return None
    ratio = max(config.least_ratio, _ROUNDING / (1 - share) if share > 0 else 1.0)
    return ratio if ratio <= config.max_least_ratio else None


def ladder(value: float, sigma: float, config: QuestionsConfig, draws: Sequence[float], unit: str = "m") -> Ladder | None:
    """Four numbers around a measured one, or None where it is too uncertain. ``draws``: four uniforms in [0, 1)."""
    low = least_ratio(value, sigma, config)
    if low is None:
        return None
    span = math.log(config.ratio_spread)
    rung = int(draws[0] * NUMBERS)
    levels = [0.0]
    for draw in draws[1:NUMBERS]:
        levels.append(levels[-1] + math.log(low) + draw * span)
    return Ladder(in_words([value * math.exp(level - levels[rung]) for level in levels], unit), rung)


UNITS = {"m": " m", "deg": "\u00b0", "m/s": " m/s"}


def in_words(values: Sequence[float], unit: str = "m") -> tuple[str, ...]:
    """Numbers as option texts, all rounded alike: the number of decimals depends on all of them together."""
    ordered = sorted(values)
    decimals = 3 if ordered[1] - ordered[0] < 0.03 else 2 if ordered[-1] < 10 else 1
    return tuple(f"{v:.{decimals}f}{UNITS[unit]}" for v in values)


_LEVEL = ("right", "left", "forward", "backward")
# The level set comes up most: few cameras move up or down, and a set can only be used as often as its rarest label.
DIRECTION_SETS: tuple[tuple[str, ...], ...] = (
    (*_LEVEL, "down", "up"),
    _LEVEL,
    _LEVEL,
    _LEVEL,
    _LEVEL,
    ("down", "up", "forward", "backward"),
    ("right", "left", "down", "up"),
    ("right", "left"),
    ("down", "up"),
    ("forward", "backward"),
)
CHANGE_SETS: tuple[tuple[str, ...], ...] = (("closer", "farther", "not moving"), ("closer", "farther"))


_OFFERED = 4  # of kinds with more labels than letters
# What mirrors, swaps and turns the level directions into each other: a course keeps its bends.
_LEVEL_CYCLE = ("right", "away", "left", "towards")


def label_set(kind: str, label: str, labels: tuple[str, ...], draw: float) -> tuple[str, ...]:
    """The labels offered with the true one: one of a few sets that hold it. ``select`` chooses anew, seeing the whole run."""
    fitting = _fitting(kind, label, labels)
    return fitting[int(draw * len(fitting))]


@cache
def _fitting(kind: str, label: str, labels: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """The sets that hold ``label``."""
    if KINDS[kind].sequence:
        others = _alike(label)
        return tuple((label, *some) for some in itertools.combinations(others, min(_OFFERED - 1, len(others))))
    if len(labels) > len(LETTERS):
        rest = [other for other in labels if other != label]
        return tuple((label, *some) for some in itertools.combinations(rest, _OFFERED - 1))
    sets = {"camera_direction": DIRECTION_SETS, "object_camera_distance_change": CHANGE_SETS}.get(kind, (labels,))
    return tuple(s for s in sets if label in s)


@cache
def _alike(sequence: str) -> tuple[str, ...]:
    """Sequences with the same bends as ``sequence``: mirrored, turned by quarters, read in other directions."""
    steps = sequence.split(STEP)
    out = set()
    for turn, flip in itertools.product(range(4), (1, -1)):
        cycle = {name: _LEVEL_CYCLE[(flip * n + turn) % 4] for n, name in enumerate(_LEVEL_CYCLE)}
        for upright in ({}, {"up": "down", "down": "up"}):
            out.add(STEP.join({**cycle, **upright}.get(step, step) for step in steps))
    return tuple(sorted(out - {sequence}))
