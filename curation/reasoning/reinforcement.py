"""Rows for reinforcement fine-tuning: questions whose states are known, and how much moves in them."""

from __future__ import annotations

from typing import Any

from curation.reasoning.chain import prompt, stateable, states
from schemas.track import Fact


def motion_score(fact: Fact) -> float:
    """Metres of motion that are beyond doubt between the two frames.

    Sum over the camera and, where the fact has one, the object, of ``max(0, |displacement| - 2 sigma)``, both in the world frame.
    Sets with significant 4D motion are those with the largest scores.
    """
    parts = [fact.details[name] for name in ("camera_moved_m", "object_moved_m") if name in fact.details]
    return float(sum(max(0.0, moved - 2 * sigma) for moved, sigma in parts))


def reinforcement_row(row: dict[str, Any], fact: Fact) -> dict[str, Any] | None:
    """A row of ``schemas.tables.RFT``: the question with its solution, or None without the positions that it needs."""
    if not stateable(fact) or not row["options"]:
        return None
    camera_center, object_center = states(fact)
    return {
        **row,
        "messages": prompt(row),
        "solution": [{"answer": row["answer"], "camera_center": camera_center, "object_center": object_center}],
        "motion_score": motion_score(fact),
    }
