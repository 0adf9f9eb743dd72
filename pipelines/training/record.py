"""What became of a training: ``train.json`` beside it, and a line of it in the run's run.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipelines.files import write_json
from pipelines.ledger import Lock, OutputIsBusy
from schemas import run_folder as names

TRAIN = "train"
RECORD = "train.json"
KEY = "training"
_SHORT = (
    "stage",
    "backend",
    "on",
    "status",
    "model",
    "recipe",
    "started",
    "seconds",
    "exit_status",
    "resumed_from",
    "merged",
    "result",
)


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of a training's folder; None where there is none."""
    file = folder / RECORD
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def training_records(run: Path) -> list[dict[str, Any]]:
    """The short records of all trainings below the run folder, for run.json."""
    found = [(file.parent.name, read_record(file.parent)) for file in sorted((run / TRAIN).glob(f"*/{RECORD}"))]
    return [{"name": name, **{key: record.get(key) for key in _SHORT}} for name, record in found if record]


def write_record(run: Path, folder: Path, record: dict[str, Any]) -> None:
    """Write the record, and the run's list of records unless a build is writing there just now (it takes them itself)."""
    write_json(folder / RECORD, record, sort=False)
    file = run / names.RUN_JSON
    try:
        with Lock(run):
            if file.is_file():
                known = json.loads(file.read_text(encoding="utf-8"))
                write_json(file, known | {KEY: training_records(run)}, sort=False)
    except OutputIsBusy:
        return
