"""How far a run is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from types import TracebackType
from typing import Any

from pipelines.summary import duration


class Progress:
    """Counts clips as they end. Use as a context manager; ``done`` is called once per clip."""

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total, self._ended = title, total, 0
        self._outcomes: Counter[str] = Counter()
        self._started = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if self._total and sys.stdout.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[last]}"),
            )
            self._row = self._bar.add_task(self._title, total=self._total, last="")
            self._bar.start()
        elif self._total:
            print(f"{self._title}: {self._total} to do", flush=True)
        return self

    def done(self, name: str, outcome: str, words: str, seconds: float) -> None:
        """One more ended."""
        self._ended += 1
        self._outcomes[outcome] += 1
        if self._bar:
            counts = " ".join(f"{count} {word}" for word, count in sorted(self._outcomes.items()))
            self._bar.update(self._row, advance=1, last=counts)
            if outcome == "failed":
                self._bar.console.print(f"{name} {words}", markup=False)
            return
        left = (time.monotonic() - self._started) / self._ended * (self._total - self._ended)
        tail = f", {duration(left)} left" if self._ended < self._total else ""
        print(f"[{self._ended}/{self._total}] {name} {words} ({seconds:.1f} s{tail})", flush=True)

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()
