"""What happens in a run, for machines: JSON lines in ``logs/``, and counters that Ray exports to Prometheus."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pipelines.ledger import Record
from pipelines.masking import scrub
from schemas import run_folder as names


class EventLog:
    """One file per run, one JSON object per line: ``time``, ``event``, and what belongs to it. Secrets are masked.

    Lines of event ``stage`` carry ``clip``, ``stage``, ``outcome``, ``reason``, ``message``, cost, host and attempts, so that
    ``jq 'select(.outcome == "failed")' RUN/logs/*.jsonl`` finds what to look at.
    """

    def __init__(self, output: Path, started_unix_s: float, secrets: Callable[[], Iterable[str]]) -> None:
        stamp = datetime.datetime.fromtimestamp(started_unix_s, datetime.UTC).strftime("%Y%m%dT%H%M%S")
        self._path = output / names.LOGS / f"{stamp}-{os.getpid()}.jsonl"
        self._secrets = secrets

    def write(self, event: str, **values: Any) -> None:
        """Append one line; it is whole in the file when this returns."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, **values}, default=str)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as handle:
            handle.write(scrub(line, self._secrets()) + "\n")

    def stage(self, record: Record, source: str) -> None:
        """How one stage ended for one clip."""
        about = {name: getattr(record, name) for name in ("outcome", "reason", "message", "seconds", "cpu_s", "peak_mb")}
        self.write(
            "stage", clip=record.item_id, stage=record.stage, source=source, **about, attempts=record.attempts, host=record.host
        )


class RayCounters:
    """The same as counters of ``ray.util.metrics``, which every Ray node offers to Prometheus.

    Args:
        run: path or address of the run folder, a label of each: several runs may share a cluster.
    """

    def __init__(self, run: str) -> None:
        from ray.util.metrics import Counter, Histogram

        self._run = {"run": run}
        tags = ("run", "stage", "outcome", "reason")
        self._ended = Counter("mllm4d_stages", description="Stages of clips that ended", tag_keys=tags)
        self._core_s = Counter("mllm4d_core_seconds", description="User and system time of stages", tag_keys=("run", "stage"))
        bounds = [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000]
        self._seconds = Histogram("mllm4d_stage_seconds", description="Wall time", boundaries=bounds, tag_keys=("run", "stage"))

    def stage(self, record: Record) -> None:
        """Count one record."""
        self._ended.inc(1, self._run | {"stage": record.stage, "outcome": record.outcome, "reason": record.reason or "-"})
        if record.cpu_s > 0:
            self._core_s.inc(record.cpu_s, self._run | {"stage": record.stage})
        self._seconds.observe(record.seconds, self._run | {"stage": record.stage})
