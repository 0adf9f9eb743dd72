"""Wrong numbers that are the right numbers of other questions."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from curation.questions.options import LETTERS, NUMBERS, in_words, least_ratio, listed
from curation.seeding import generator
from schemas.camera import Array
from schemas.config import QuestionsConfig

Row = dict[str, Any]
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
_FEW = 8  # fewer rows than this teach nobody what is typical: they keep the options they came with
_IDLE_ROUNDS = 25
_CLASSES = (1.35, 1.5, 1.8)  # of the least ratio that a row needs


def option_values(row: Row) -> list[float]:
    """The numbers of a numeric row's options, in the order of the letters."""
    return [float(_NUMBER.findall(option)[0]) for option in row["options"]]


def exchange_numbers(rows: Sequence[Row], config: QuestionsConfig, seed: int) -> list[Row]:
    """Numeric rows of one cell (sorted by id) with options that say nothing about which one is right.

    Each round deals the rows that are left into fours; a four whose values stand far enough apart, for the least certain of them,
    gives up one row, drawn by lot, whose options the four values become. The others are dealt again, so that hardly any set of
    options comes up twice. Rows that find no company (values that all are alike) are left out. The certain rows are dealt among
    themselves first: an uncertain one in a four asks for wide gaps all around.
    """
    if len(rows) < _FEW:
        return list(rows)
    values = np.array([row["answer_value"] for row in rows], float)
    needs = np.array([least_ratio(row["answer_value"], row["answer_sigma"], config) or np.inf for row in rows])
    rng = generator(seed, rows[0]["kind"], f"exchange:{rows[0]['id']}")
    out: list[Row] = []
    left = np.empty(0, int)
    for low, high in itertools.pairwise((0.0, *_CLASSES, np.inf)):
        left = np.union1d(left, np.flatnonzero((needs > low) & (needs <= high) & np.isfinite(needs)))
        idle = 0
        while len(left) >= NUMBERS and idle < _IDLE_ROUNDS:
            # half of the rounds deal across the quarters of the range: the crowded values meet no others otherwise
            groups = _deal(left, values if idle % 2 else None, rng)
            groups = groups[_apart(values[groups], needs[groups], config.max_ratio)]
            chosen = groups[np.arange(len(groups)), rng.integers(NUMBERS, size=len(groups))]
            orders = rng.permuted(np.tile(np.arange(NUMBERS), (len(groups), 1)), axis=1)
            for row, group, order in zip(chosen.tolist(), groups, orders, strict=True):
                out.append(_with_numbers(rows[row], row, group[order].tolist(), values))
            left = np.setdiff1d(left, chosen, assume_unique=True)
            idle = idle + 1 if len(chosen) < 1 + len(left) // 200 else 0
    return out


def with_options(row: Row, options: Sequence[str]) -> Row:
    """The row with other options; its letter stays. User turns that list the old ones list the new ones."""
    old, new = listed(row["options"]), listed(options)
    return {
        **row,
        "options": list(options),
        "answer_text": options[LETTERS.index(row["answer"])],
        "messages": [
            {**turn, "content": turn["content"].replace(old, new)} if turn["role"] == "user" else turn for turn in row["messages"]
        ],
    }


def _deal(left: Int[Array, "n"], values: Float[Array, "m"] | None, rng: np.random.Generator) -> Int[Array, "g 4"]:
    """Random fours of the rows that are left; with ``values``, one out of each quarter of their range."""
    count = len(left) // NUMBERS
    if values is None:
        return rng.permutation(left)[: count * NUMBERS].reshape(count, NUMBERS)
    ordered = left[np.argsort(values[left], kind="stable")]
    ordered = np.delete(ordered, rng.choice(len(ordered), len(ordered) - count * NUMBERS, replace=False))
    return rng.permuted(ordered.reshape(NUMBERS, count), axis=1).T


def _apart(values: Float[Array, "g 4"], needs: Float[Array, "g 4"], max_ratio: float) -> Bool[Array, "g"]:
    ordered = np.sort(values, axis=1)
    ratios = ordered[:, 1:] / ordered[:, :-1]
    return np.asarray((ratios.min(1) >= needs.max(1)) & (ordered[:, -1] <= max_ratio * ordered[:, 0]))


def _with_numbers(row: Row, index: int, group: list[int], values: Float[Array, "m"]) -> Row:
    place = LETTERS.index(row["answer"])
    order = [other for other in group if other != index]
    order.insert(place, index)
    return with_options(row, in_words([float(values[n]) for n in order]))
