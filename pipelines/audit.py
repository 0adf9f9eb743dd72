"""Audit a finished run: are its labels true, does it ask about things that are not there, can it be answered without looking?"""

from __future__ import annotations

import argparse
import datetime
import sys
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from curation.audit.accuracy import audit_against_truth
from curation.audit.leaks import guess_blindly, leaked_sources
from curation.audit.published import read_run
from curation.questions.select import label_of
from curation.report.audit_page import write_audit_page
from curation.worlds.export import TRUTH_FOLDER
from curation.worlds.truth import TRUTH, Truth, load_truth
from pipelines.files import json_safe, write_json
from pipelines.run_facts import read_json, still_threshold_m
from schemas import run_folder

AUDIT_JSON, PAGES = "audit.json", "audit"
_WIDE = 150
_EPILOG = """
examples:
  python -m pipelines.audit --truth worlds run     everything, against the truth that pipelines.simulate wrote
  python -m pipelines.audit run                    blind guessers and leaks only, for real video

A label is right where its option is the true one, and sound where the words for its object also lead to that object alone.
A published object is matched to the true body that most of its pixels lie on: if less than 30 % do (and IoU is below 0.3), it
is a phantom, and every question about it is wrong. partial: it covers less than 0.3 of the body; loose: most of it lies beside
the body; jumped: it changes to another body; fragments: second objects of one body.

Writes RUN/audit.json (date, run, every number of the tables, one row per clip, every wrong question) and RUN/audit/index.html
(the same with pictures: masks and paths over the video, errors over time, reliability of sigma, the ten worst questions).
The exit status is 1 when questions are less often sound than --min-accuracy, when a guesser that never sees the video beats
chance by more than --max-blind-excess (and luck does not explain it), or when a source of `bench` is also trained on;
2 when the run cannot be read.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog="python -m pipelines.audit",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    out.add_argument("run", type=Path, metavar="RUN", help="folder that pipelines.build wrote")
    out.add_argument(
        "--truth", type=Path, default=None, metavar="DIR", help="input folder of the run: worlds with truth/ beside them"
    )
    out.add_argument(
        "--min-accuracy", type=float, default=0.99, metavar="SHARE", help="least share of sound questions (default 0.99)"
    )
    out.add_argument("--max-blind-excess", type=float, default=0.02, metavar="SHARE", help="most over chance (default 0.02)")
    out.add_argument(
        "--html", type=Path, default=None, metavar="DIR", help="where the page goes (default RUN/audit); open DIR/index.html"
    )
    out.add_argument("--no-html", action="store_true", help="tables and audit.json only")
    return out


def audit(run: Path, truth: Path | None, max_blind_excess: float) -> dict[str, Any]:
    """All checks, as plain JSON values.

    Raises:
        FileNotFoundError: the run has published nothing, or ``truth`` holds no truth of any of its sources.
    """
    clips = read_run(run)
    out: dict[str, Any] = {"date": datetime.datetime.now(datetime.UTC).date().isoformat(), **about_run(run)}
    out |= {"blind": guess_blindly(run, max_blind_excess), "leaked_sources": leaked_sources(run)}
    if truth is None:
        return out
    out |= audit_against_truth(clips, partial(truth_of, truth), label_of, still_threshold_m(run))
    worlds = {path.parent.parent.relative_to(truth).as_posix() for path in truth.glob(f"**/{TRUTH_FOLDER}/{TRUTH}")}
    out["worlds_without_clip"] = sorted(worlds - {clip.row["source"] for clip in clips})
    if not out["clips_audited"]:
        raise FileNotFoundError(
            f"expected {truth}/<source>/{TRUTH_FOLDER} for sources such as {clips[0].row['source']!r}; found none. "
            "--truth is the folder that pipelines.build had as --input."
        )
    return out


def about_run(run: Path) -> dict[str, str | None]:
    """Which run, and which revision of the program made it; None where it has no ``run.json``."""
    report = read_json(run / run_folder.RUN_JSON)
    return {"run_id": report.get("run_id"), "revision": (report.get("git") or {}).get("revision")}


@lru_cache(maxsize=4)
def truth_of(folder: Path, source: str) -> Truth | None:
    """The truth of one source of a run; None where it has none."""
    found = folder / source / TRUTH_FOLDER
    return load_truth(found) if found.is_dir() else None


def failures(report: dict[str, Any], min_accuracy: float) -> list[str]:
    """Why the run does not pass, in sentences."""
    out = [f"source {name} is in bench and in training" for name in report["leaked_sources"]]
    for table, rows in report["blind"].items():
        for row in rows:
            out.append(f"{table}: guesser {row['guesser']} answers {row['kind']} without the video: {row['why']}")
    total = report.get("questions", {}).get("all")
    if total and total["asked"] and total["sound"] < min_accuracy * total["asked"]:
        wrong, elsewhere = total["asked"] - total["right"], total["right"] - total["sound"]
        found = f"{wrong} labels are wrong, {elsewhere} are right about an object that their words do not lead to"
        out.append(f"of {total['asked']} questions {found}; at least {min_accuracy:.1%} must be sound")
    return out


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None, unit: str = "") -> str:
    return "-" if value is None else f"{value:.3g}{unit}"


def show(report: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    if "questions" not in report:
        return
    movers = report["movers"]
    labels = Table(
        "kind", "asked", "right", "sound", "accuracy", "at least (95 %)", "phantom", "parked", title="labels against truth"
    )
    for kind, row in report["questions"].items():
        counts = (
            str(row["asked"]),
            str(row["right"]),
            str(row["sound"]),
            _share(row["accuracy"]),
            _share(row["accuracy_low_95"]),
        )
        labels.add_row(kind, *counts, str(row["phantom"]), str(row["parked"]))
    console.print(labels)
    errors = Table("what", "count", "median", "90 %", "worst", title="errors")
    for name, unit in (("percent", " %"), ("aligned_percent", " %"), ("rotation_deg", " deg"), ("static_rms_m", " m")):
        _error_row(errors, f"camera path {name}", report["trajectories"][name], unit)
    _error_row(errors, "object displacement, of its centroid", report["tracks"]["error_m"], " m")
    _error_row(errors, "object displacement, of the measured point", report["tracks"]["material_m"], " m")
    console.print(errors)
    sigma = Table("what", "count", "within 1 sigma", "within 2 sigma", "error / sigma", title="sigma (right: 68.3 %, 95.4 %, 1)")
    calibration = report["calibration"]
    groups = {"camera positions": calibration["poses"], "object displacements": calibration["tracks"]}
    groups |= {f"facts: {kind}": row for kind, row in calibration["facts"].items()}
    for name, row in groups.items():
        sigma.add_row(name, str(row["count"]), _share(row["within_1"]), _share(row["within_2"]), _number(row["median_ratio"]))
    console.print(sigma)
    asked, clips = report["questions"]["all"]["asked"], report["clips_audited"]
    console.print(
        f"{clips} clips, {asked / clips:.1f} questions a clip, {len(report['worlds_without_clip'])} worlds without a clip"
    )
    kinds = ", ".join(f"{movers[k]} {k}" for k in ("phantoms", "parked", "jumped", "partial", "loose", "fragments"))
    console.print(f"{movers['found']} of {movers['eligible']} movers found, {movers['asked']} asked about")
    console.print(f"{movers['objects']} objects published, of them {kinds}")
    words = ", ".join(f"{number} {verdict}" for verdict, number in report["descriptions"].items())
    console.print(f"descriptions of the objects asked about: {words}")
    worst = Table(
        "source", "kind", "frames", "object", "measured", "truth", "labelled", "right one", title="the ten worst questions"
    )
    for row in report["worst"]:
        measured = f"{_number(row['measured'])} +- {_number(row['sigma'])}"
        frames, body = f"{row['frame_i']}-{row['frame_j']}", row["problem"] or row["body"]
        verdict = row["true_option"] or "none" if not row["right"] else "="
        worst.add_row(row["source"], row["kind"], frames, body, measured, _number(row["truth"]), row["labelled"], verdict)
    console.print(worst)


def _error_row(table: Table, name: str, row: dict[str, Any], unit: str) -> None:
    table.add_row(name, str(row["count"]), *(_number(row[k], unit) for k in ("median", "p90", "worst")))


def main(argv: list[str] | None = None) -> int:
    """Entry point; see the help for the exit status."""
    arguments = parser().parse_args(argv)
    console = Console()
    if not console.is_terminal:  # a file or a pipe has no width: 80 columns would cut the names of the kinds
        console = Console(width=_WIDE)
    try:
        report = audit(arguments.run, arguments.truth, arguments.max_blind_excess)
    except (OSError, ValueError) as error:
        console.print(f"[red]error:[/red] {escape(str(error))}")
        return 2
    report["failures"] = failures(report, arguments.min_accuracy)
    write_json(arguments.run / AUDIT_JSON, json_safe(report))
    show(report, console)
    page = ""
    if not arguments.no_html:
        worlds = arguments.truth or arguments.run
        folder, run = arguments.html or arguments.run / PAGES, arguments.run
        written = write_audit_page(folder, run, json_safe(report), partial(truth_of, worlds), label_of, still_threshold_m(run))
        page = f"; with pictures: {written}"
    for line in report["failures"]:
        console.print(f"[red]fails:[/red] {escape(line)}", highlight=False)
    verdict = "failed" if report["failures"] else "passed"
    console.print(f"{verdict}; all numbers: {arguments.run / AUDIT_JSON}{page}", highlight=False, soft_wrap=True)
    return 1 if report["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
