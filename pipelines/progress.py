"""How far a run is: bars on a terminal, one per stage besides the whole, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from pipelines.summary import duration


class Progress:
    """Counts clips as they end. Use as a context manager; ``done`` is called once per clip.

    Args:
        title: of the whole.
        total: clips to do.
        stages: that a clip goes through; on a terminal each has a bar.
    """

    def __init__(self, title: str, total: int, stages: Sequence[str] = ()) -> None:
        self._title, self._total, self._ended = title, total, 0
        self._stages = tuple(stages)
        self._outcomes: dict[str, Counter[str]] = {name: Counter() for name in ("", *stages)}
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
            self._rows = {"": self._bar.add_task(self._title, total=self._total, last="")}
            self._rows |= {name: self._bar.add_task(f"  {name}", total=self._total, last="") for name in self._stages}
            self._left = dict.fromkeys(self._stages, self._total)
            self._bar.start()
        elif self._total:
            print(f"{self._title}: {self._total} to do", flush=True)
        return self

    def done(self, name: str, outcome: str, words: str, seconds: float, stages: Sequence[tuple[str, str]] = ()) -> None:
        """One more ended; ``stages``: those that it went through now, each with its outcome."""
        self._ended += 1
        if self._bar:
            self._advance("", outcome)
            for stage, how in stages:
                self._advance(stage, how)
            for stage in self._stages:
                if stage not in dict(stages):  # it was done before, or the clip never came so far
                    self._left[stage] -= 1
                    self._bar.update(self._rows[stage], total=self._left[stage])
            if outcome == "failed":
                self._bar.console.print(f"{name} {words}", markup=False)
            return
        left = (time.monotonic() - self._started) / self._ended * (self._total - self._ended)
        tail = f", {duration(left)} left" if self._ended < self._total else ""
        print(f"[{self._ended}/{self._total}] {name} {words} ({seconds:.1f} s{tail})", flush=True)

    def _advance(self, row: str, outcome: str) -> None:
        counts = self._outcomes[row]
        counts[outcome] += 1
        said = " ".join(f"{count} {word}" for word, count in sorted(counts.items()))
        self._bar.update(self._rows[row], advance=1, last=said)

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()
