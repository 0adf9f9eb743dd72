"""What a training came to, from what its trainer left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipelines.training.checkpoint import saved_steps

RESULT = "result.json"  # of our own scripts
_STATE = "trainer_state.json"


def read_result(checkpoints: Path) -> dict[str, Any] | None:
    """Steps, losses and rewards of the newest state; None where nothing was saved yet."""
    steps = saved_steps(checkpoints)
    places = [checkpoints, *(path for _, path in reversed(steps))]
    for file in [checkpoints / RESULT, *(place / _STATE for place in places)]:
        if not file.is_file():
            continue
        found = json.loads(file.read_text(encoding="utf-8"))
        if "log_history" not in found:
            return found if not steps or found["steps"] >= steps[-1][0] else _of_state(steps[-1][1] / _STATE)
        return _of_state(file)
    return None


def _of_state(file: Path) -> dict[str, Any]:
    state = json.loads(file.read_text(encoding="utf-8"))
    log = state["log_history"]
    return {
        "steps": state["global_step"],
        "losses": [entry["loss"] for entry in log if "loss" in entry],
        "rewards": [entry["reward"] for entry in log if "reward" in entry],
    }
