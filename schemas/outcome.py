"""How the work on a clip can end: Ok, Rejected (it was looked at and refused) or Failed (it could not be looked at)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

_REASON = re.compile(r"^[a-z][a-z0-9_]*$")


class Rejected(Exception):
    """A source or clip that was examined and refused, for a reason that is counted.

    Raised anywhere inside a room; the stage wrapper turns it into a ledger record. Never a defect of the program.

    Args:
        reason: one counted word in snake case, prefixed by its room where that helps (``pose_lost``, ``too_dark``).
        detail: one sentence for a person: what was measured, what was expected, what to do.

    Raises:
        ValueError: the reason is not a snake-case word.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        if not _REASON.match(reason):
            raise ValueError(f"a rejection reason is a snake_case word, got {reason!r}")
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:  # exceptions with two arguments do not survive pickling by themselves
        return (Rejected, (self.reason, self.detail))


@dataclass(frozen=True)
class Ok:
    """The stage wrote what it promises. ``stats`` are small JSON values for run.json (counts, residuals)."""

    stats: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """The stage broke: ``kind`` is counted (exception class, ``timeout``, ``crashed``, ``worker_lost``)."""

    kind: str
    message: str


Outcome = Ok | Rejected | Failed
