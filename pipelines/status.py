"""How far a run is, from its files alone: ``python -m pipelines.status RUN``."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines import lease
from pipelines.ledger import Ledger, Record
from pipelines.mirror import Mirror
from pipelines.storage import Store, StoreError, is_uri
from pipelines.summary import duration
from schemas import run_folder as names

_SLOWEST = 5
_RECENT = 50  # clips that the rate is measured on


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog="python -m pipelines.status",
        description="Print how far a run is, how fast, what was rejected or failed and why. Reads files only: a run may go on "
        "meanwhile, on this machine or another.",
        epilog="example: python -m pipelines.status runs/a",
    )
    out.add_argument("run", metavar="RUN", help="the --output of pipelines.build, a folder or an address")
    return out


def main(argv: list[str] | None = None) -> int:
    """Print the status; 2 where there is no run."""
    place = parser().parse_args(argv).run
    try:
        if is_uri(place):
            with tempfile.TemporaryDirectory(prefix="mllm4d-status-") as folder:
                return _show(place, Path(folder), Store(place))
        return _show(place, Path(place), None)
    except StoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _show(place: str, run: Path, store: Store | None) -> int:
    mirror = Mirror(store, run) if store else None
    if mirror:
        mirror.pull()
    file = run / names.LEDGER / "plan.json"
    if not file.exists():
        print(
            f"error: expected a run folder with {names.LEDGER}/plan.json, found none in {place}; still planning?", file=sys.stderr
        )
        return 2
    print(f"{place}: {_held(mirror.store, run) if mirror else _alive(run)}")
    print("\n".join(lines(run, json.loads(file.read_text(encoding="utf-8")), time.time())))
    if mirror and (version := mirror.latest()):
        print(f"dataset  {place}/{names.PUBLISH}/{version}")
    return 0


def lines(run: Path, plan: dict[str, Any], now_unix_s: float) -> Iterator[str]:
    """The page that ``main`` prints."""
    ledger = Ledger(run)
    stages = list(plan["stages"])
    measuring = [name for name in stages if not plan["stages"][name]]
    records = {clip: [r for r in (ledger.read(stage, clip) for stage in stages) if r] for clip in plan["clips"]}
    ended = {clip: found for clip, found in records.items() if found and _ended(found, measuring)}
    outcomes = Counter(_outcome(found, measuring) for found in ended.values())
    yield (
        f"clips    {len(ended)} of {len(records)} done: {outcomes['ok']} ok, {outcomes['rejected']} rejected, "
        f"{outcomes['failed']} failed"
    )
    finished = sorted(max(r.finished_unix_s for r in found) for found in ended.values())
    recent = [t for t in finished if t >= plan["started_unix_s"]][-_RECENT:]
    left = len(records) - len(ended)
    if recent and left:
        since = plan["started_unix_s"] if len(recent) < _RECENT else recent[0]
        rate = len(recent) / max(now_unix_s - since, 1e-3)
        yield f"rate     {rate * 3600:.1f} clips an hour, {duration(left / rate)} left"
    for stage in stages:
        mine = [r for found in records.values() for r in found if r.stage == stage]
        words = Counter(f"{r.outcome} {r.reason}" for r in mine if r.outcome != "ok")
        text = ", ".join(f"{word} {count}" for word, count in sorted(words.items()))
        yield f"  {stage:<10} {sum(r.outcome == 'ok' for r in mine):>6} ok{'  ' + text if text else ''}"
    for outcome, reasons in plan["losses"].items():
        if reasons:
            yield f"sources  {outcome}: " + ", ".join(f"{reason} {count}" for reason, count in reasons.items())
    slow = sorted(((sum(r.seconds for r in found), clip) for clip, found in records.items() if found), reverse=True)[:_SLOWEST]
    for seconds, clip in slow:
        worst = max(records[clip], key=lambda r: r.seconds)
        yield f"slow     {clip} {seconds:.1f} s, most in {worst.stage} ({worst.seconds:.1f} s, {worst.peak_mb:.0f} MB)"


def _ended(found: list[Record], measuring: list[str]) -> bool:
    """Whether the measuring stages are over for a clip, one way or another."""
    return any(r.outcome != "ok" or r.stage == measuring[-1] for r in found)


def _outcome(found: list[Record], measuring: list[str]) -> str:
    return next((r.outcome for r in found if r.outcome != "ok" and r.stage in measuring), "ok")


def _alive(run: Path) -> str:
    """Whether a run works on the folder, and how the last one ended."""
    import fcntl

    with contextlib.suppress(FileNotFoundError), (run / names.LOCK).open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return f"running ({handle.read().strip()})"
    return _last(run)


def _held(store: Store, run: Path) -> str:
    """The same for a run in a store, by the marks beside it."""
    fresh = lease.live(store)
    return f"running ({lease.holder(store, fresh[0])})" if fresh else _last(run)


def _last(run: Path) -> str:
    report = run / names.RUN_JSON
    status = json.loads(report.read_text(encoding="utf-8"))["status"] if report.exists() else "running"
    return "stopped without a summary; the same build command continues it" if status == "running" else status


if __name__ == "__main__":
    sys.exit(main())
