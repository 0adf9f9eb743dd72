"""What is done: one JSON record per (clip, stage), the only source of truth about a run.

A record carries the fingerprint of everything its result depends on. A stage is done for a clip when its record has the
fingerprint that the current code, configuration and input give; anything else is work.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipelines.files import json_safe, write_json
from schemas import run_folder

FINAL = ("ok", "rejected")


def fingerprint(*parts: Any) -> str:
    """Hash of JSON values, stable across runs and machines."""
    return digest(canonical(parts))


def canonical(value: Any) -> str:
    """The one JSON text of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(text: str) -> str:
    """What ``fingerprint`` makes of a canonical text."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Record:
    """How one stage ended for one clip.

    Attributes:
        item_id: the clip's id (or the source's, for the planning stage).
        fingerprint: of all that the result depends on.
        outcome: ``rejected`` and ``failed`` carry their counted word in ``reason``.
        stats: small JSON values.
        seconds, cpu_s, peak_mb: wall time, user + system time, and the process's peak resident memory during the stage.
        attempts: how often this fingerprint was tried.
        finished_unix_s, host: for rates and for finding a bad machine; nothing that is published depends on them.
    """

    item_id: str
    stage: str
    fingerprint: str
    outcome: Literal["ok", "rejected", "failed"]
    reason: str = ""
    message: str = ""
    stats: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0
    attempts: int = 1
    finished_unix_s: float = 0.0
    host: str = ""


class Ledger:
    """The records below ``<out>/ledger``. Safe for many processes, as long as one works on a clip at a time."""

    def __init__(self, output: Path) -> None:
        self.root = output / run_folder.LEDGER

    def path(self, stage: str, item_id: str) -> Path:
        """File of one record. Two levels, so that no folder grows past what file systems like."""
        return self.root / stage / item_id[:2] / f"{item_id}.json"

    def read(self, stage: str, item_id: str) -> Record | None:
        """The record, or None where there is none or it cannot be read as one (it is then work again)."""
        try:
            data = self.path(stage, item_id).read_bytes()
        except FileNotFoundError:
            return None
        try:
            return Record(**json.loads(data))
        except (ValueError, TypeError, RecursionError):
            return None

    def write(self, record: Record) -> None:
        """Write the record at once (temporary file, fsync, rename)."""
        path = self.path(record.stage, record.item_id)
        write_json(path, {**dataclasses.asdict(record), "stats": json_safe(record.stats)})

    def forget(self, stage: str, item_id: str) -> None:
        """Remove the record: its stage is about to overwrite what the record speaks for."""
        self.path(stage, item_id).unlink(missing_ok=True)

    def failures(self, stage: str, item_id: str, print_: str) -> int:
        """How often this stage failed for this clip with this very fingerprint."""
        record = self.read(stage, item_id)
        return record.attempts if record and record.outcome == "failed" and record.fingerprint == print_ else 0


class OutputIsBusy(RuntimeError):
    """Another run works on the output folder."""


class Lock:
    """Holds ``<out>/.lock`` while a run lasts; the kernel lets go of it when the process dies, however it dies.

    Raises:
        OutputIsBusy: another process holds it; the message names it.
    """

    def __init__(self, output: Path, called: str = "") -> None:
        self._path, self._called = output / run_folder.LOCK, called or str(output)

    def __enter__(self) -> Lock:
        import fcntl
        import socket

        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._handle, 200).decode(errors="replace").strip() or "unknown"
            os.close(self._handle)
            raise OutputIsBusy(
                f"expected {self._called} to be free; another run holds it ({holder}). Wait for it, stop it, or choose "
                "another --output."
            ) from error
        os.ftruncate(self._handle, 0)
        os.write(self._handle, f"pid {os.getpid()} on {socket.gethostname()}\n".encode())
        return self

    def __exit__(self, *_: object) -> None:
        os.ftruncate(self._handle, 0)
        os.close(self._handle)
