"""Accuracy with its doubt, kind by kind, beside what chance and a guesser without the video reach."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from curation.audit.blind import blind_guessers
from curation.evaluate.answers import chosen, same_option
from curation.evaluate.items import Centers, Item, as_blind_rows
from curation.reasoning.reward import read_centers

ALL = "all"
CHANCE, BLIND = "chance", "blind guesser"


def wilson(right: float, count: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % confidence interval of a share (Wilson 1927); (0, 1) where nothing was counted."""
    if not count:
        return 0.0, 1.0
    share, z2 = right / count, z * z
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = z * math.sqrt(share * (1 - share) / count + z2 / (4 * count * count)) / (1 + z2 / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def score(items: Sequence[Item], responses: Mapping[str, Any]) -> dict[str, Any]:
    """Scores of one model.

    A question without a response, or with one that chooses no option, counts as wrong.

    Args:
        items: all questions.
        responses: by id.

    Returns:
        ``kinds``: for each kind and "all": count, right, accuracy, low, high (95 %), unclear (responses that choose nothing),
        unanswered; ``mean_of_kinds``; ``states``: for camera and object: count (questions with a known state), stated (of them,
        with as many centres as asked for), mean_error_m, median_error_m over the stated.
    """
    groups: dict[str, list[tuple[bool, bool, bool]]] = defaultdict(list)
    for item in items:
        response = responses.get(item.id)
        letter = None if response is None else chosen(response, item.options)
        entry = same_option(letter, item.answer, item.options), response is not None and letter is None, response is None
        groups[ALL].append(entry)
        groups[item.kind].append(entry)
    kinds = {kind: _tally(groups[kind]) for kind in sorted(groups, key=lambda k: (k != ALL, k))}
    return {"kinds": kinds, "mean_of_kinds": _mean_of_kinds(kinds), "states": _states(items, responses)}


def _tally(group: Sequence[tuple[bool, bool, bool]]) -> dict[str, Any]:
    right, unclear, unanswered = (sum(entry[n] for entry in group) for n in range(3))
    low, high = wilson(right, len(group))
    return {
        "count": len(group), "right": right, "accuracy": right / len(group), "low": low, "high": high,
        "unclear": unclear, "unanswered": unanswered,
    }  # fmt: skip


def _mean_of_kinds(kinds: Mapping[str, Mapping[str, Any]]) -> float | None:
    shares = [entry["accuracy"] for kind, entry in kinds.items() if kind != ALL]
    return float(np.mean(shares)) if shares else None


def _states(items: Sequence[Item], responses: Mapping[str, Any]) -> dict[str, Any]:
    out = {}
    truths: tuple[tuple[Any, str], ...] = (("Camera", "camera_center"), ("Object", "object_center"))
    for who, field in truths:
        known: list[tuple[Item, Centers]] = [(item, getattr(item, field)) for item in items if getattr(item, field)]
        errors = []
        for item, truth in known:
            said = read_centers(str(responses.get(item.id) or ""), who, "tolerant")
            if truth is not None and len(said) == len(truth):
                errors.append(float(np.mean(np.linalg.norm(np.array(said) - np.array(truth), axis=1))))
        out[who.lower()] = {
            "count": len(known),
            "stated": len(errors),
            "mean_error_m": float(np.mean(errors)) if errors else None,
            "median_error_m": float(np.median(errors)) if errors else None,
        }
    return out


def baselines(items: Sequence[Item]) -> dict[str, dict[str, Any]]:
    """Rows for ``chance`` (one over the number of options) and ``blind guesser`` (the best of those that never see the video).

    The guesser that does best on all questions is named in ``guesser``. It was chosen in hindsight: on few questions the best of
    many stands above chance by luck. Those that learn are fitted on the other half of the videos.
    """
    by_kind: dict[str, list[float]] = defaultdict(list)
    for item in items:
        by_kind[ALL].append(1 / len(item.options))
        by_kind[item.kind].append(1 / len(item.options))
    chance: dict[str, dict[str, Any]] = {
        kind: {"count": len(p), "accuracy": float(np.mean(p)), "low": None, "high": None} for kind, p in sorted(by_kind.items())
    }
    out: dict[str, dict[str, Any]] = {CHANCE: {"kinds": chance, "mean_of_kinds": _mean_of_kinds(chance)}}
    table = blind_guessers(as_blind_rows(items))
    names = {entry["guesser"] for entry in table}
    found: dict[str, dict[str, Any]] = {}
    for name in sorted(names):
        own = {entry["kind"]: entry for entry in table if entry["guesser"] == name}
        # where a guesser says nothing of a kind (numbers, labels), it is as good as chance
        kinds: dict[str, dict[str, Any]] = {
            kind: {"count": entry["count"], "accuracy": own[kind]["accuracy"] if kind in own else entry["accuracy"]}
            for kind, entry in chance.items()
            if kind != ALL
        }
        total = sum(entry["count"] for entry in kinds.values())
        right = sum(entry["count"] * entry["accuracy"] for entry in kinds.values())
        kinds[ALL] = {"count": total, "accuracy": right / total}
        for entry in kinds.values():
            entry["low"], entry["high"] = wilson(entry["accuracy"] * entry["count"], entry["count"])
        found[name] = {"kinds": kinds, "mean_of_kinds": _mean_of_kinds(kinds), "guesser": name, "guessers": len(names)}
    if found:
        out[BLIND] = max(found.values(), key=lambda entry: entry["kinds"][ALL]["accuracy"])
    return out
