"""Guessers that never see the video. A dataset is sound where none of them beats chance."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from curation.audit.blind_places import height_key, told_places
from curation.audit.blind_text import fit_reader
from curation.questions.options import LETTERS
from curation.questions.rows import label_of, option_values
from curation.relations.kinds import STEP
from schemas.camera import Array

_LEAST_TO_LEARN = 50
LEARNERS = (
    "majority_letter",
    "majority_label",
    "majority_of_template",
    "typical_value",
    "typical_value_of_span",
    "typical_value_of_height",
    "words_of_question",
    "value_from_words",
    "text_classifier",
)
Row = dict[str, Any]
Values = Float[Array, "n k"]


def _nearest(values: Values, target: Float[Array, "n"]) -> Int[Array, "n"]:
    return np.asarray(np.argmin(np.abs(values - target[:, None]), axis=1))


def _logs(values: Values) -> Values:
    return np.asarray(np.log(np.maximum(values, 1e-9)))


def _half_double(values: Values) -> Int[Array, "n"]:
    """The option that has most partners at half or double its value, within 6 %."""
    octaves = np.abs(_logs(values)[:, :, None] - _logs(values)[:, None]) / math.log(2)
    return np.asarray((np.abs(octaves - 1) < 0.085).sum(2).argmax(1))


def _central_in_ratios(values: Values) -> Int[Array, "n"]:
    """The option with the least sum of |log ratio| to the others."""
    return np.asarray(np.abs(_logs(values)[:, :, None] - _logs(values)[:, None]).sum(2).argmin(1))


def _arithmetic(values: Values) -> Int[Array, "n"]:
    """The option that lies nearest, relatively, to the middle between two others."""
    count = values.shape[1]
    misses = np.full((*values.shape, count, count), np.inf)
    for v, a, b in itertools.product(range(count), repeat=3):
        if a < b and v not in (a, b):
            misses[:, v, a, b] = np.abs(values[:, v] - (values[:, a] + values[:, b]) / 2) / np.maximum(values[:, v], 1e-9)
    return np.asarray(misses.min((2, 3)).argmin(1))


NUMERIC: dict[str, Callable[[Values], Int[Array, "n"]]] = {
    "smallest": lambda v: v.argmin(1),
    "second_smallest": lambda v: np.argsort(v, axis=1)[:, 1],
    "second_largest": lambda v: np.argsort(v, axis=1)[:, -2],
    "largest": lambda v: v.argmax(1),
    "nearest_to_mean": lambda v: _nearest(v, v.mean(1)),
    "nearest_to_midrange": lambda v: _nearest(v, (v.min(1) + v.max(1)) / 2),
    "nearest_to_geometric_mean": lambda v: _nearest(_logs(v), _logs(v).mean(1)),
    "central_in_ratios": _central_in_ratios,
    "half_or_double_present": _half_double,
    "arithmetic_middle": _arithmetic,
}


def blind_guessers(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """How often each blind guesser is right.

    Guessers that learn (majority letter, label and template, typical value, words of the question, a text classifier) are fitted
    on one half of the clips and tested on the other, both ways.

    Returns:
        One row per guesser and kind ("all": every kind it applies to): guesser, kind, count, accuracy, chance, excess
        (accuracy - chance), sigma (standard error of the accuracy under chance), clips, clip_sigma (standard error when answers
        of one clip may go together).
    """
    rows = [row for row in rows if row["options"]]  # an open question offers nothing to guess from
    numeric = [row for row in rows if row["answer_value"] is not None]
    labelled = [row for row in rows if row["answer_value"] is None]
    right: dict[str, list[tuple[Row, bool]]] = {}
    values = [option_values(row) for row in numeric]
    for count in sorted({len(v) for v in values if len(v) > 2}):
        group = [(row, v) for row, v in zip(numeric, values, strict=True) if len(v) == count]
        truths = np.array([LETTERS.index(row["answer"]) for row, _ in group])
        for name, guess in NUMERIC.items():
            hits = guess(np.array([v for _, v in group])) == truths
            right.setdefault(name, []).extend((row, bool(hit)) for (row, _), hit in zip(group, hits, strict=True))
    for name, pick in (("longest_option", max), ("shortest_option", min)):
        right[name] = [(row, LETTERS[row["options"].index(pick(row["options"], key=len))] == row["answer"]) for row in rows]
    courses = [row for row in labelled if any(STEP in label_of(row, text) for text in row["options"])]
    right["smoothest_sequence"] = [(row, _best(row, lambda label: -_bends(label)) == row["answer"]) for row in courses]
    right["told_places"] = told_places(labelled)
    halves = _halves(rows)
    learners: dict[str, tuple[Callable[[Sequence[Row]], Callable[[Row], str]], Sequence[Row]]] = {
        "majority_letter": (_fit_letter, rows),
        "majority_label": (_fit_label, labelled),
        "majority_of_template": (_fit_template, rows),
        "typical_value": (_fit_typical, numeric),
        "typical_value_of_span": (_fit_typical_span, numeric),
        "typical_value_of_height": (lambda train: _fit_typical(train, height_key), numeric),
        "words_of_question": (_fit_words, labelled),
        "value_from_words": (_fit_value_words, numeric),
    }
    for name, (fit, population) in learners.items():
        parts = [[row for row in population if halves[row["clip_id"]] == half] for half in (0, 1)]
        right[name] = []
        for train, test in ((parts[0], parts[1]), (parts[1], parts[0])):
            if train and test:
                guess_row = fit(train)
                right[name] += [(row, guess_row(row) == row["answer"]) for row in test]
    parts = [[row for row in rows if halves[row["clip_id"]] == half] for half in (0, 1)]
    right["text_classifier"] = []
    for train, test in ((parts[0], parts[1]), (parts[1], parts[0])):
        if len(train) >= _LEAST_TO_LEARN and test:
            letters = fit_reader(train)(test)
            right["text_classifier"] += [(row, letter == row["answer"]) for row, letter in zip(test, letters, strict=True)]
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
                **_between_clips(group, chances),
            }
        )
    return table


def _between_clips(group: Sequence[tuple[Row, bool]], chances: Float[Array, "n"]) -> dict[str, Any]:
    """Number of clips, and the standard error of the accuracy when answers of one clip go together (sums by clip, squared)."""
    sums: dict[str, float] = defaultdict(float)
    mean = float(np.mean([hit - chance for (_, hit), chance in zip(group, chances, strict=True)]))
    for (row, hit), chance in zip(group, chances, strict=True):
        sums[row["clip_id"]] += hit - chance - mean
    spread = math.sqrt(sum(value**2 for value in sums.values())) / len(group)
    return {"clips": len(sums), "clip_sigma": spread}


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


def _fit_template(train: Sequence[Row]) -> Callable[[Row], str]:
    """The most frequent label, or rank of the number, of each template."""
    counts: dict[Any, Counter[str]] = defaultdict(Counter)
    for row in train:
        counts[_template(row)][_said(row, LETTERS.index(row["answer"]))] += 1

    def guess(row: Row) -> str:
        scores = [counts[_template(row)][_said(row, n)] for n in range(len(row["options"]))]
        return LETTERS[int(np.argmax(scores))]

    return guess


def _template(row: Row) -> tuple[Any, ...]:
    """What tells templates apart: kind, offered labels, and the first words of the last sentences."""
    words = [word for word in row["question"].split() if not any(c.isdigit() for c in word)]
    offered = _offered(row) if row["answer_value"] is None else (row["kind"],)
    return (offered, *words[:14:2], words[-1])


def _said(row: Row, n: int) -> str:
    """What option number n says: its label, or the rank of its number."""
    if row["answer_value"] is None:
        return label_of(row, row["options"][n])
    values = option_values(row)
    return str(sorted(values).index(values[n]))


def _bends(label: str) -> int:
    steps = label.split(STEP)
    return sum(a != b for a, b in itertools.pairwise(steps))


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
    return LETTERS[int(np.argmax(scores))]


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
        return LETTERS[int(np.argmax(counts))]

    return guess


def _fit_typical_span(train: Sequence[Row]) -> Callable[[Row], str]:
    return _fit_typical(train, lambda row: (row["kind"], (row["frame_j"] - row["frame_i"]) // 8))


def _fit_value_words(train: Sequence[Row]) -> Callable[[Row], str]:
    """Ridge regression of the logarithm of the answer on the words of the question; the nearest option to what it says."""
    counts = Counter(word for row in train for word in _words(row))
    column = {word: n for n, (word, count) in enumerate(counts.most_common(400)) if count >= 5}

    def features(rows: Sequence[Row]) -> Float[Array, "n w"]:
        out = np.zeros((len(rows), len(column)))
        for n, row in enumerate(rows):
            out[n, [column[word] for word in _words(row) if word in column]] = 1
        return out

    x, y = features(train), np.log([max(row["answer_value"], 1e-9) for row in train])
    middle = x.mean(0)
    weights = np.linalg.solve((x - middle).T @ (x - middle) + 5 * np.eye(len(column)), (x - middle).T @ (y - y.mean()))

    def guess(row: Row) -> str:
        expected = float(y.mean() + (features([row])[0] - middle) @ weights)
        return LETTERS[int(np.argmin(np.abs(np.log(np.maximum(option_values(row), 1e-9)) - expected)))]

    return guess


def _words(row: Row) -> set[str]:
    return {row["kind"], *row["question"].lower().split()}
