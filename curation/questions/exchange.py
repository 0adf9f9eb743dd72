"""Wrong options that are the right answers of other questions."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from curation.questions.options import LETTERS, NUMBERS, Letters, in_words, least_ratio
from curation.questions.rows import Row, label_of, way_of, with_options
from curation.questions.wordings import say
from curation.relations.kinds import KINDS
from schemas.camera import Array
from schemas.config import QuestionsConfig

_IDLE_ROUNDS, _PATIENT_DEALS = 25, 4000  # rounds in vain before giving up; more where a round costs little
_SMALL = 200
_CLASSES = (1.35, 1.5, 1.8)  # of the least ratio that a row needs
_GROUP_SIZES = (2, 2, 3, 3, 4, 4, 4, 6)  # labels per question; drawn, as far as there are labels left


def exchange_labels(rows: Sequence[Row], config: QuestionsConfig, rng: np.random.Generator) -> list[Row]:
    """Labelled rows of one cell (sorted by id), in groups of different answers: a group's labels are the options of all its rows.

    Every group takes the most frequent label that is left and others in proportion to what is left of them. Given the options,
    each is the right one equally often, exactly. The rows of a label that finds no other are left out.
    """
    queues: dict[str, list[Row]] = defaultdict(list)
    for n in rng.permutation(len(rows)):
        if way_of(rows[n]) is not None:
            queues[label_of(rows[n])].append(rows[n])
    labels = sorted(queues)
    left = np.array([len(queues[label]) for label in labels], float)
    letters = Letters(rng)
    out: list[Row] = []
    while (left > 0).sum() > 1:
        size = int(min(_GROUP_SIZES[rng.integers(len(_GROUP_SIZES))], (left > 0).sum()))
        first = int(np.argmax(left))
        rest = left.copy()
        rest[first] = 0
        others = rng.choice(len(labels), size - 1, replace=False, p=rest / rest.sum())
        group = [labels[n] for n in (first, *others)]
        left[[first, *others]] -= 1
        for label in group:
            row = queues[label].pop()
            way = way_of(row) or 0
            place = letters.next(size)
            wrong = [other for other in group if other != label]
            order = [wrong[n] for n in rng.permutation(size - 1)]
            order.insert(place, label)
            out.append(with_options(row, [say(row["kind"], way, name) for name in order], place))
    return out


def exchange_numbers(rows: Sequence[Row], config: QuestionsConfig, rng: np.random.Generator) -> list[Row]:
    """Numeric rows of one cell (sorted by id) with options that say nothing about which one is right.

    Each round deals the rows that are left into fours; a four whose values stand far enough apart, for the least certain of them,
    gives up one row, drawn by lot, whose options the four values become. The others are dealt again, so that hardly any set of
    options comes up twice; in a small cell, where company is scarce, all four rows are given up together. Rows that find no
    company (values that all are alike) are left out. The certain rows are dealt among themselves first: an uncertain one in a
    four asks for wide gaps all around.
    """
    values = np.array([row["answer_value"] for row in rows], float)
    needs = np.array([least_ratio(row["answer_value"], row["answer_sigma"], config) or np.inf for row in rows])
    out: list[Row] = []
    left = np.empty(0, int)
    for low, high in itertools.pairwise((0.0, *_CLASSES, np.inf)):
        left = np.union1d(left, np.flatnonzero((needs > low) & (needs <= high) & np.isfinite(needs)))
        idle = 0
        patience = max(_IDLE_ROUNDS, _PATIENT_DEALS // max(len(left), 1))
        while len(left) >= NUMBERS and idle < patience:
            # half of the rounds deal across the quarters of the range: the crowded values meet no others otherwise
            groups = _deal(left, values if idle % 2 else None, rng)
            groups = groups[_apart(values[groups], needs[groups], config.max_ratio)]
            if not len(groups):  # most rounds of a small cell
                idle += 1
                continue
            if len(rows) >= _SMALL:
                chosen = groups[np.arange(len(groups)), rng.integers(NUMBERS, size=len(groups))]
            else:
                chosen, groups = groups.ravel(), np.repeat(groups, NUMBERS, axis=0)
            orders = rng.permuted(np.tile(np.arange(NUMBERS), (len(groups), 1)), axis=1)
            for row, group, order in zip(chosen.tolist(), groups, orders, strict=True):
                out.append(_with_numbers(rows[row], row, group[order].tolist(), values))
            left = np.setdiff1d(left, chosen, assume_unique=True)
            idle = idle + 1 if len(chosen) < 1 + len(left) // 200 else 0
    return out


def _deal(left: Int[Array, "n"], values: Float[Array, "m"] | None, rng: np.random.Generator) -> Int[Array, "g 4"]:
    """Random fours of the rows that are left; with ``values``, one out of each quarter of their range."""
    count = len(left) // NUMBERS
    if values is None:
        return rng.permutation(left)[: count * NUMBERS].reshape(count, NUMBERS)
    ordered = left[np.argsort(values[left], kind="stable")]
    ordered = np.delete(ordered, rng.choice(len(ordered), len(ordered) - count * NUMBERS, replace=False))
    return np.asarray(rng.permuted(ordered.reshape(NUMBERS, count), axis=1).T)


def _apart(values: Float[Array, "g 4"], needs: Float[Array, "g 4"], max_ratio: float) -> Bool[Array, "g"]:
    ordered = np.sort(values, axis=1)
    ratios = ordered[:, 1:] / ordered[:, :-1]
    need = needs.max(1)
    widest = np.maximum(max_ratio, 1.5 * need ** (NUMBERS - 1))
    return np.asarray((ratios.min(1) >= need) & (ordered[:, -1] <= widest * ordered[:, 0]))


def _with_numbers(row: Row, index: int, group: list[int], values: Float[Array, "m"]) -> Row:
    place = LETTERS.index(row["answer"])
    order = [other for other in group if other != index]
    order.insert(place, index)
    return with_options(row, in_words([float(values[n]) for n in order], KINDS[row["kind"]].unit), place)
