"""Runs of the same input side by side: ``python -m pipelines.compare RUN RUN ...``.

What each found, asked and cost; where ``pipelines.audit --truth`` has judged a run, also how often it was right. A table in
Markdown, one column per run.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow.parquet as pq

from schemas import run_folder as names

AUDIT_JSON = "audit.json"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog="python -m pipelines.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="""example: what a detector changes, on worlds whose truth is known
  python -m pipelines.simulate --output worlds --worlds 4
  python -m pipelines.build --input worlds --output a
  python -m pipelines.build --input worlds --output b --set objects.backend=onnx --set objects.weights=yolox_s.onnx
  for run in a b; do python -m pipelines.audit --truth worlds $run; done
  python -m pipelines.compare a b""",
    )
    out.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders that pipelines.build wrote")
    return out


def main(argv: list[str] | None = None) -> int:
    """Print the table; 2 where a run cannot be read."""
    runs = parser().parse_args(argv).runs
    try:
        columns = [column(run) for run in runs]
    except (OSError, ValueError, KeyError) as error:
        print(f"error: expected run folders of pipelines.build: {error}", file=sys.stderr)
        return 2
    print(table([run.name for run in runs], columns))
    return 0


def column(run: Path) -> dict[str, str]:
    """The rows of one run, by their names.

    Raises:
        OSError: no ``run.json``.
    """
    report = json.loads((run / names.RUN_JSON).read_text(encoding="utf-8"))
    clips = sorted(path for path in (run / names.CLIPS).iterdir() if path.is_dir())
    objects = [row for clip in clips for row in _rows(clip / names.OBJECTS, ["category"])]
    named = sum(row["category"] not in ("", "object") for row in objects)
    out = {
        "clips": str(len(clips)),
        "objects": str(len(objects)),
        "of them with a noun": str(named),
        "questions before selection": str(sum(len(_rows(clip / names.QUESTIONS, ["kind"])) for clip in clips)),
    }
    for stage in ("cameras", "objects"):
        spent = report.get("stages", {}).get(stage, {})
        if "cpu_s" in spent and clips:
            out[f"processor time of {stage}, a clip"] = f"{spent['cpu_s'] / len(clips):.1f} s"
    judged = run / AUDIT_JSON
    audit = json.loads(judged.read_text(encoding="utf-8")) if judged.is_file() else {}
    if audit and audit.get("run_id") != report.get("run_id"):
        return out | {"audit": "of an earlier build"}
    return out | _judged(audit)


def _rows(file: Path, columns: list[str]) -> list[dict[str, Any]]:
    return pq.read_table(file, columns=columns).to_pylist() if file.is_file() else []


def _judged(audit: dict[str, Any]) -> dict[str, str]:
    """What an audit against truth says; nothing where there was no truth."""
    if "movers" not in audit:
        return {}
    movers, asked = audit["movers"], audit["questions"]["all"]
    overlaps = [share for clip in audit.get("clips", []) for share in clip["iou"].values() if share is not None]
    return {
        "movers found": f"{movers['found']} of {movers['eligible']}",
        "questions published, right": f"{asked['right']} of {asked['asked']}",
        "questions published, sound": f"{asked['sound']} of {asked['asked']}",
        "phantoms, parked, jumped": f"{movers['phantoms']}, {movers['parked']}, {movers['jumped']}",
        "partial, loose, fragments": f"{movers['partial']}, {movers['loose']}, {movers['fragments']}",
        "overlap of outline and body, median": f"{median(overlaps):.2f}" if overlaps else "-",
        "displacements within 2 sigma": f"{audit['calibration']['tracks']['within_2'] or 0:.3f}",
    }


def table(titles: list[str], columns: list[dict[str, str]]) -> str:
    """Markdown; a row that a run lacks is ``-``."""
    rows = list(dict.fromkeys(name for column in columns for name in column))
    lines = ["| | " + " | ".join(titles) + " |", "|---|" + "---|" * len(titles)]
    return "\n".join([*lines, *(f"| {name} | " + " | ".join(c.get(name, "-") for c in columns) + " |" for name in rows)])


if __name__ == "__main__":
    sys.exit(main())
