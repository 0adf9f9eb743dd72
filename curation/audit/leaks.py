"""Checks that need no truth: does anything beat chance without the video, and does a bench clip reach training?"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curation.audit.blind import LEARNERS, blind_guessers
from curation.audit.published import Row, read_table

QUESTION_TABLES = ("sft", "bench", "st_cot", "rft")
TRAINING_TABLES = ("sft", "st_cot", "rft")
MAX_EXCESS = 0.02
FALSE_ALARM = 1e-3  # probability that a sound table is refused
FEW_CLIPS = 8
MAX_ROWS = 60_000  # per table that are looked at; more would only take longer


def guess_blindly(run: Path, max_excess: float = MAX_EXCESS) -> dict[str, list[dict[str, Any]]]:
    """Per table of questions the guessers that break the bound (``broken_bounds``).

    Chains of thought repeat questions: each question counts once per table. Of large tables whole clips are drawn.
    """
    out = {}
    for name in QUESTION_TABLES:
        rows = {row["question"] + row["clip_id"] + str(row["options"]): row for row in read_table(run, name)}
        if rows:
            out[name] = broken_bounds(_some_clips(list(rows.values())), max_excess)
    return out


def broken_bounds(rows: Sequence[Row], max_excess: float = MAX_EXCESS) -> list[dict[str, Any]]:
    """The guessers that answer more than ``max_excess`` above chance, and more than luck explains.

    Luck: were every answer drawn by lot, the probability of as many hits or more (exact binomial, at the mean chance) is below
    ``FALSE_ALARM`` divided by the number of (guesser, kind) pairs looked at. Questions of one clip have answers that go together,
    so from ``FEW_CLIPS`` clips on, the same must hold of Student's t over the sums by clip; with fewer, guessers that learn are
    not believed at all. A small table is thus refused only where it is surely broken. Each entry says why, under ``why``.
    """
    from scipy.stats import binom, t

    table = blind_guessers(rows)
    broken = []
    for entry in table:
        hits = round(entry["accuracy"] * entry["count"])
        luck = float(binom.sf(hits - 1, entry["count"], entry["chance"]))
        if entry["clips"] >= FEW_CLIPS:
            luck = max(luck, float(t.sf(entry["excess"] / max(entry["clip_sigma"], 1e-9), entry["clips"] - 1)))
        elif entry["guesser"] in LEARNERS:
            continue
        if entry["excess"] > max_excess and luck < FALSE_ALARM / len(table):
            found = f"{entry['accuracy']:.1%} right of {entry['count']} questions, {entry['chance']:.1%} by chance"
            why = f"{WHY[entry['guesser']]} ({found}; by luck with probability {luck:.0e})"
            broken.append({**entry, "luck": luck, "why": why})
    return broken


WHY = {
    **dict.fromkeys(
        ("smallest", "second_smallest", "second_largest", "largest"), "the right number has a usual rank among its options"
    ),
    **dict.fromkeys(
        ("nearest_to_mean", "nearest_to_midrange", "nearest_to_geometric_mean", "central_in_ratios", "arithmetic_middle"),
        "the wrong numbers lie around the right one",
    ),
    "half_or_double_present": "wrong numbers are halves or doubles of the right one",
    "longest_option": "right options are longer",
    "shortest_option": "right options are shorter",
    "smoothest_sequence": "wrong courses have more bends than right ones",
    "majority_letter": "letters are not uniform",
    "majority_label": "labels are not balanced among questions that offer the same",
    "majority_of_template": "a wording is tied to an answer",
    "typical_value": "right numbers are typical of their kind, wrong ones are not",
    "typical_value_of_span": "right numbers are typical of the length of the interval, wrong ones are not",
    "typical_value_of_height": "right numbers are typical of how high in the picture the object is told to be, wrong ones not",
    "told_places": "where the words put an object goes with the way that it moves, or lies from another",
    "words_of_question": "words of the question go with a label",
    "value_from_words": "words of the question go with the size of the number",
    "text_classifier": "question and options together give the answer away",
}


def _some_clips(rows: list[Row]) -> list[Row]:
    """All rows of clips drawn by the hash of their ids, up to about ``MAX_ROWS``."""
    if len(rows) <= MAX_ROWS:
        return rows
    share = MAX_ROWS / len(rows)
    return [row for row in rows if zlib.crc32(row["clip_id"].encode()) / 2**32 < share]


def leaked_sources(run: Path) -> list[str]:
    """Sources (by content, then by name) with clips in ``bench`` and in a training table."""
    clips: dict[str, Row] = {row["clip_id"]: row for row in read_table(run, "clips")}

    def contents(name: str) -> dict[str, str]:
        rows = (clips[row["clip_id"]] for row in read_table(run, name) if row["clip_id"] in clips)
        return {row["source_sha256"]: row["source"] for row in rows}

    held_out = contents("bench")
    trained = {sha for name in TRAINING_TABLES for sha in contents(name)}
    return sorted(held_out[sha] for sha in held_out.keys() & trained)
