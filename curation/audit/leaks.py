"""Checks that need no truth: does anything beat chance without the video, and does a bench clip reach training?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curation.audit.blind import blind_guessers
from curation.audit.published import Row, read_table

QUESTION_TABLES = ("sft", "bench", "st_cot", "rft")
TRAINING_TABLES = ("sft", "st_cot", "rft")
SURE_SIGMAS = 4.0  # hundreds of (guesser, kind) pairs are looked at: a lucky one must not fail a run


def guess_blindly(run: Path, max_excess: float) -> dict[str, list[dict[str, Any]]]:
    """Per table of questions the guessers that beat chance by more than ``max_excess`` and by more than luck allows.

    Chains of thought repeat questions: each question counts once per table.
    """
    out = {}
    for name in QUESTION_TABLES:
        rows = {row["question"] + row["clip_id"] + str(row["options"]): row for row in read_table(run, name)}
        if rows:
            table = blind_guessers(rows.values())
            out[name] = [t for t in table if t["excess"] > max_excess and t["excess"] > SURE_SIGMAS * t["sigma"]]
    return out


def leaked_sources(run: Path) -> list[str]:
    """Sources (by content, then by name) with clips in ``bench`` and in a training table."""
    clips: dict[str, Row] = {row["clip_id"]: row for row in read_table(run, "clips")}

    def contents(name: str) -> dict[str, str]:
        rows = (clips[row["clip_id"]] for row in read_table(run, name) if row["clip_id"] in clips)
        return {row["source_sha256"]: row["source"] for row in rows}

    held_out = contents("bench")
    trained = {sha for name in TRAINING_TABLES for sha in contents(name)}
    return sorted(held_out[sha] for sha in held_out.keys() & trained)
