"""What a run came to: counts by stage and reason for run.json, and a page of text for a person."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines.ledger import Ledger
from pipelines.plan import Loss

PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "pycolmap",
    "av",
    "pyarrow",
    "datasets",
    "ray",
    "scipy",
    "pydantic",
    "mllm4d-data-factory",
)
_SLOWEST = 5


def stage_counts(ledger: Ledger, stages: Sequence[str], clip_ids: Sequence[str]) -> dict[str, Any]:
    """Per stage: ok, rejected by reason, failed by kind, summed cost; and the slowest clips with their stage."""
    counts: dict[str, Any] = {}
    per_clip: dict[str, dict[str, float]] = defaultdict(dict)
    for stage in stages:
        ok, rejected, failed = 0, Counter[str](), Counter[str]()
        seconds, core, peak = 0.0, 0.0, 0.0
        for clip_id in clip_ids:
            record = ledger.read(stage, clip_id)
            if record is None:
                continue
            ok += record.outcome == "ok"
            if record.outcome != "ok":
                (rejected if record.outcome == "rejected" else failed)[record.reason] += 1
            seconds, core, peak = seconds + record.seconds, core + record.cpu_s, max(peak, record.peak_mb)
            per_clip[clip_id][stage] = record.seconds
        counts[stage] = {
            "ok": ok,
            "rejected": dict(sorted(rejected.items())),
            "failed": dict(sorted(failed.items())),
            "seconds": round(seconds, 3),
            "cpu_s": round(core, 3),
            "peak_mb": round(peak, 1),
        }
    slowest = sorted(((round(sum(s.values()), 3), clip_id) for clip_id, s in per_clip.items()), reverse=True)[:_SLOWEST]
    return {
        "stages": counts,
        "slowest": [{"clip_id": c, "seconds": s, "stage": max(per_clip[c], key=lambda n: per_clip[c][n])} for s, c in slowest],
    }


def loss_counts(losses: Iterable[Loss]) -> dict[str, dict[str, int]]:
    """Rejected and failed sources (or parts of sources), by reason."""
    out: dict[str, Counter[str]] = {"rejected": Counter(), "failed": Counter()}
    for loss in losses:
        out[loss.outcome][loss.reason] += 1
    return {name: dict(sorted(counter.items())) for name, counter in out.items()}


def text(report: dict[str, Any]) -> str:
    """The summary that ends a run, from the content of run.json."""
    return "\n".join(_lines(report))


def _lines(report: dict[str, Any]) -> Iterator[str]:
    clips, sources = report["clips"], report["sources"]
    yield ""
    yield f"{report['status']} in {duration(report['seconds'])}: {report['output']}"
    losses = _reasons(", rejected ", sources["rejected"]) + _reasons(", FAILED ", sources["failed"])
    yield f"  sources {sources['found']} found{losses}"
    yield (
        f"  clips   {clips['planned']} planned: {clips['kept']} kept, {clips['rejected']} rejected, {clips['failed']} failed, "
        f"{clips['pending']} not done"
    )
    for stage, counts in report["stages"].items():
        words = _reasons("  rejected ", counts["rejected"]) + _reasons("  FAILED ", counts["failed"])
        yield f"    {stage:<10} {counts['ok']:>6} ok {counts['cpu_s']:>9.1f} core-s{words}"
    if report["slowest"]:
        shown = ", ".join(f"{s['clip_id']} {s['seconds']:.1f} s (most in {s['stage']})" for s in report["slowest"][:3])
        yield f"  slowest {shown}"
    published = report.get("published")
    if published:
        for name in ("sft", "st_cot", "rft", "bench"):
            kinds = published["kinds"].get(name, {})
            rows = sum(published["rows"][name].values())
            yield f"  {name:<7} {rows} rows" + (
                ": " + ", ".join(f"{kind} {count}" for kind, count in kinds.items()) if kinds else ""
            )
    if clips["failed"] or sources["failed"]:
        yield "  failed clips are listed in quarantine.parquet; --retry-failed tries them again"
    if report["status"] == "interrupted":
        yield "  the same command continues where this run stopped"


def _reasons(prefix: str, counts: dict[str, int]) -> str:
    return prefix + ", ".join(f"{reason} {count}" for reason, count in counts.items()) if counts else ""


def duration(seconds: float) -> str:
    """``75`` -> ``1 min 15 s``."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def surroundings() -> dict[str, Any]:
    """Code revision, versions and machine, for run.json."""
    return {"git": _git(), "versions": _versions(), "machine": _machine()}


def _git() -> dict[str, Any] | None:
    """Revision of the code, None where it is not a git checkout."""
    here = Path(__file__).resolve().parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(here), *arguments], capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    revision = git("rev-parse", "HEAD")
    return {"revision": revision, "changed": bool(git("status", "--porcelain", "--untracked-files=no"))} if revision else None


def _versions() -> dict[str, str]:
    out = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            out[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            out[name] = "not installed"
    return out


def _machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory, 1),
    }
