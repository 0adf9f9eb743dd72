"""Guessers that never see the video. A dataset is sound where none of them beats chance."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from curation.questions.exchange import option_values
from curation.questions.select import label_of

Row = dict[str, Any]
Guess = Callable[[list[float]], int]


def _nearest(values: list[float], target: float) -> int:
    return int(np.argmin(np.abs(np.asarray(values) - target)))


def _half_double(values: list[float]) -> int:
    """The option that has most partners at half or double its value, within 6 %."""
    return int(np.argmax([sum(_is_double(other, value) for other in values) for value in values]))


def _is_double(a: float, b: float) -> bool:
    return min(a, b) > 0 and abs(abs(math.log2(a / b)) - 1) < 0.085


def _ratio_product(values: list[float]) -> int:
    """The option that sits most centrally in ratios: least sum of |log| to the others."""
    logs = np.log(np.maximum(values, 1e-9))
    return int(np.argmin(np.abs(logs[:, None] - logs[None]).sum(1)))


def _arithmetic(values: list[float]) -> int:
    """The option that is nearest to the mean of two others."""
    best = [min(abs(v - (a + b) / 2) for a in values for b in values if a != v and b != v and a < b) / v for v in values]
    return int(np.argmin(best))


NUMERIC: dict[str, Guess] = {
    "smallest": lambda v: int(np.argmin(v)),
    "second_smallest": lambda v: int(np.argsort(v)[1]),
    "second_largest": lambda v: int(np.argsort(v)[-2]),
    "largest": lambda v: int(np.argmax(v)),
    "nearest_to_mean": lambda v: _nearest(v, float(np.mean(v))),
    "nearest_to_midrange": lambda v: _nearest(v, (min(v) + max(v)) / 2),
    "nearest_to_geometric_mean": lambda v: _nearest(
        list(np.log(np.maximum(v, 1e-9))), float(np.mean(np.log(np.maximum(v, 1e-9))))
    ),
    "central_in_ratios": _ratio_product,
    "half_or_double_present": _half_double,
    "arithmetic_middle": _arithmetic,
}


def blind_guessers(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """How often each blind guesser is right.

    Guessers that learn (majority letter, majority label, typical value, words of the question) are fitted on one half of the
    clips and tested on the other, both ways.

    Returns:
        One row per guesser and kind ("all": every kind it applies to): guesser, kind, count, accuracy, chance, excess
        (accuracy - chance), sigma (standard error of the accuracy under chance).
    """
    rows = list(rows)
    numeric = [row for row in rows if row["answer_value"] is not None]
    labelled = [row for row in rows if row["answer_value"] is None]
    right: dict[str, list[tuple[Row, bool]]] = {}
    for name, guess in NUMERIC.items():
        right[name] = [(row, _letter(guess(option_values(row))) == row["answer"]) for row in numeric]
    for name, pick in (("longest_option", max), ("shortest_option", min)):
        right[name] = [(row, _letter(row["options"].index(pick(row["options"], key=len))) == row["answer"]) for row in rows]
    halves = _halves(rows)
    learners: dict[str, tuple[Callable[[Sequence[Row]], Callable[[Row], str]], Sequence[Row]]] = {
        "majority_letter": (_fit_letter, rows),
        "majority_label": (_fit_label, labelled),
        "typical_value": (_fit_typical, numeric),
        "typical_value_of_span": (_fit_typical_span, numeric),
        "words_of_question": (_fit_words, labelled),
    }
    for name, (fit, population) in learners.items():
        parts = [[row for row in population if halves[row["clip_id"]] == half] for half in (0, 1)]
        right[name] = []
        for train, test in ((parts[0], parts[1]), (parts[1], parts[0])):
            if train and test:
                guess_row = fit(train)
                right[name] += [(row, guess_row(row) == row["answer"]) for row in test]
    return [entry for name, outcomes in right.items() for entry in _tally(name, outcomes)]


def _tally(name: str, outcomes: Sequence[tuple[Row, bool]]) -> list[dict[str, Any]]:
    groups: dict[str, list[tuple[Row, bool]]] = defaultdict(list)
    for row, hit in outcomes:
        groups["all"].append((row, hit))
        groups[row["kind"]].append((row, hit))
    table = []
    for kind, group in sorted(groups.items()):
        chances = np.array([1 / len(row["options"]) for row, _ in group])
        accuracy, chance = float(np.mean([hit for _, hit in group])), float(chances.mean())
        table.append(
            {
                "guesser": name,
                "kind": kind,
                "count": len(group),
                "accuracy": accuracy,
                "chance": chance,
                "excess": accuracy - chance,
                "sigma": float(np.sqrt((chances * (1 - chances)).sum())) / len(group),
            }
        )
    return table


def _letter(place: int) -> str:
    return "ABCDEFGH"[place]


def _halves(rows: Sequence[Row]) -> dict[str, int]:
    return {row["clip_id"]: hashlib.sha256(row["clip_id"].encode()).digest()[0] % 2 for row in rows}


def _fit_letter(train: Sequence[Row]) -> Callable[[Row], str]:
    counts: dict[int, Counter[str]] = defaultdict(Counter)
    for row in train:
        counts[len(row["options"])][row["answer"]] += 1
    return lambda row: counts[len(row["options"])].most_common(1)[0][0] if counts[len(row["options"])] else "A"


def _offered(row: Row) -> tuple[str, ...]:
    return (row["kind"], *sorted(label_of(row, text) for text in row["options"]))


def _fit_label(train: Sequence[Row]) -> Callable[[Row], str]:
    counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for row in train:
        counts[_offered(row)][label_of(row)] += 1
    return lambda row: _best(row, lambda label: counts[_offered(row)][label])


def _fit_words(train: Sequence[Row]) -> Callable[[Row], str]:
    """Naive Bayes over the words of the question."""
    seen: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    total: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for row in train:
        key = _offered(row)
        total[key][label_of(row)] += 1
        for word in set(row["question"].lower().split()):
            seen[key][f"{label_of(row)} {word}"] += 1

    def score(row: Row, label: str) -> float:
        key = _offered(row)
        n = total[key][label]
        prior = math.log(n + 1)
        return prior + sum(
            math.log((seen[key][f"{label} {word}"] + 1) / (n + 2)) for word in set(row["question"].lower().split())
        )

    return lambda row: _best(row, lambda label: score(row, label))


def _best(row: Row, score: Callable[[str], float]) -> str:
    scores = [score(label_of(row, text)) for text in row["options"]]
    return _letter(int(np.argmax(scores)))


def _fit_typical(train: Sequence[Row], key: Callable[[Row], Any] = lambda row: row["kind"]) -> Callable[[Row], str]:
    """The option at which the training half's truths of the kind are densest, on a log scale."""
    logs: dict[Any, list[float]] = defaultdict(list)
    for row in train:
        logs[key(row)].append(math.log(row["answer_value"]))
    models = {k: (np.sort(v), max(float(np.std(v)), 0.1) * len(v) ** -0.2) for k, v in logs.items()}

    def guess(row: Row) -> str:
        if key(row) not in models:
            return "A"
        values, width = models[key(row)]
        at = np.log(np.maximum(option_values(row), 1e-9))
        counts = np.searchsorted(values, at + width) - np.searchsorted(values, at - width)
        return _letter(int(np.argmax(counts)))

    return guess


def _fit_typical_span(train: Sequence[Row]) -> Callable[[Row], str]:
    return _fit_typical(train, lambda row: (row["kind"], (row["frame_j"] - row["frame_i"]) // 8))
