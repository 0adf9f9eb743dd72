"""Look at a run: a gallery of its clips with masks, tracks, paths, curves and questions, as web pages that open from disk."""

from __future__ import annotations

import argparse
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from curation.questions.select import label_of
from curation.report.clip_page import write_clip_page
from curation.report.clip_view import ClipView, read_clip
from curation.report.page import file_name, write_page, write_shared_files
from curation.worlds.export import TRUTH_FOLDER
from curation.worlds.truth import Truth, load_truth
from pipelines.files import write_json
from pipelines.masking import environment_secrets, scrub
from pipelines.run_facts import NoRun, clip_statuses, plan_of, read_json, run_facts, still_threshold_m
from pipelines.storage import is_uri
from schemas import run_folder as names

CLIPS_A_PAGE = 60
_MANIFEST = "report.json"
_EPILOG = """
examples:
  python -m pipelines.report runs/a                       then open runs/a/report/index.html in any browser
  python -m pipelines.report --truth worlds runs/w        with the truth of rendered worlds drawn over what was measured
  python -m pipelines.report --clips 20 --rerun runs/a    the first 20 clips, and a recording of each for the rerun viewer

The gallery needs no network and no server; copy the folder anywhere. A run that is not finished shows what is there so far.
Clip ids are hashes of content, so the first N clips are a fair sample of a large run. Writing again replaces the gallery.
A recording (OUTPUT/rerun/CLIP.rrd, needs the extra `rerun`) opens with: rerun OUTPUT/rerun/CLIP.rrd
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog="python -m pipelines.report",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    out.add_argument("run", metavar="RUN", help="folder that pipelines.build wrote, finished or not")
    out.add_argument("--output", type=Path, default=None, metavar="DIR", help="where the pages go (default RUN/report)")
    out.add_argument("--truth", type=Path, default=None, metavar="DIR", help="input folder of the run, with truth/ in its worlds")
    out.add_argument("--clips", type=_count, default=200, metavar="N", help="at most N clips (default 200; 0: all of them)")
    out.add_argument("--rerun", action="store_true", help="also write a .rrd recording of each clip for the rerun viewer")
    return out


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(text)


def report(
    run: Path, output: Path, truth: Path | None, most_clips: int, recordings: bool, console: Console
) -> tuple[Path, list[str]]:
    """Write the gallery.

    Args:
        run: the run folder.
        output: folder of the pages.
        truth: folder of worlds with their truth, None for real video.
        most_clips: 0 for all.
        recordings: write ``rerun/<clip_id>.rrd`` too.
        console: for progress.

    Returns:
        The first page, and a sentence for each clip whose page could not be made.

    Raises:
        NoRun: ``run`` is no run folder.
        FileNotFoundError: ``truth`` holds the truth of none of the run's sources.
    """
    plan = plan_of(run)
    ids = sorted(plan["clips"])[: most_clips or None]
    statuses = clip_statuses(run, plan, ids)
    facts = run_facts(run, plan, statuses)
    if truth is not None and ids and not any((truth / s["source"] / TRUTH_FOLDER).is_dir() for s in statuses if s["source"]):
        raise FileNotFoundError(
            f"expected {truth}/<source>/{TRUTH_FOLDER} for at least one source of the run; found none. --truth is the folder "
            "that pipelines.build had as --input."
        )
    secrets = environment_secrets()
    write_shared_files(output)
    shown = [
        s["clip_id"]
        for s in statuses
        if (run / names.clip_folder(s["clip_id"]) / names.CLIP_JSON).exists() or s["outcome"] == "kept"
    ]
    around = _around(shown)
    cards: list[dict[str, Any]] = []
    failed: list[str] = []
    written: list[str] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("clips", total=len(statuses))
        for status in statuses:
            status["message"] = scrub(status["message"], secrets)
            card: dict[str, Any] = {k: v for k, v in status.items() if k != "records"} | {"page": "", "thumb": "", "error": ""}
            card |= {"wrong": None, "travel_m": None}
            try:
                view = read_clip(run, status["clip_id"])
                if view is not None:
                    card |= _clip(run, output, view, status, truth, around.get(status["clip_id"], ("", "")))
                    if recordings:
                        from curation.report.recording import write_recording

                        write_recording(output / "rerun" / f"{file_name(status['clip_id'])}.rrd", view)
                        written.append(f"rerun/{status['clip_id']}.rrd")
            except (OSError, ValueError, KeyError, IndexError) as error:  # one clip must not cost the gallery; it is named below
                card |= {"page": "", "error": f"{type(error).__name__}: {error}"}
                failed.append(f"{status['clip_id']} ({status['source']}): {type(error).__name__}: {error}")
            written += [card["page"], card["thumb"], card["page"].replace(".html", ".jpg") if card["thumb"] else ""]
            cards.append(card)
            progress.advance(task)
    written += _write_index(run, output, facts, cards)
    _forget_old(output, [path for path in written if path])
    return output / "index.html", failed


def _clip(
    run: Path, output: Path, view: ClipView, status: dict[str, Any], truth: Path | None, neighbours: tuple[str, str]
) -> dict[str, Any]:
    row = view.clip.row
    row["video_link"] = ""
    inside = output.resolve().is_relative_to(run.resolve())
    if view.video is not None and inside:  # a link out of a copied gallery would lead nowhere
        row["video_link"] = quote(os.path.relpath(view.video, output / "clips"))
    true = _truth_of(truth / row["source"] / TRUTH_FOLDER) if truth is not None else None
    return write_clip_page(
        output, view, status=status, truth=true, label_of=label_of, still_m=still_threshold_m(run), neighbours=neighbours
    )


@lru_cache(maxsize=2)
def _truth_of(folder: Path) -> Truth | None:
    """The truth of a source; clips come source by source, so that two are enough."""
    return load_truth(folder) if folder.is_dir() else None


def _around(clip_ids: list[str]) -> dict[str, tuple[str, str]]:
    """Per clip, those before and behind."""
    return {here: (a, b) for here, a, b in zip(clip_ids, ["", *clip_ids], [*clip_ids[1:], ""], strict=False)}


def _write_index(run: Path, output: Path, facts: dict[str, Any], cards: list[dict[str, Any]]) -> list[str]:
    """The first page and those behind it; their names."""
    audit = run / "audit" / "index.html"
    inside = output.resolve().is_relative_to(run.resolve())
    facts["audit_link"] = quote(os.path.relpath(audit, output)) if audit.exists() and inside else ""
    pages = max(1, -(-len(cards) // CLIPS_A_PAGE))
    outcomes = sorted({card["outcome"] for card in cards})
    written = []
    for page in range(1, pages + 1):
        mine = cards[(page - 1) * CLIPS_A_PAGE : page * CLIPS_A_PAGE]
        written.append("index.html" if page == 1 else f"clips-{page}.html")
        write_page(output / written[-1], "index", run=facts, clips=mine, page=page, pages=pages, outcomes=outcomes, root="")
    return written


def _forget_old(output: Path, written: list[str]) -> None:
    """Remove pages that an earlier call wrote and this one did not, and nothing else."""
    for name in set(read_json(output / _MANIFEST).get("files", [])) - set(written):
        path = (output / name).resolve()
        if path.is_relative_to(output.resolve()):
            path.unlink(missing_ok=True)
    write_json(output / _MANIFEST, {"files": sorted(written)})


def main(argv: list[str] | None = None) -> int:
    """Entry point; 0, or 1 where the page of a clip could not be made, or 2 where the folder is no run."""
    arguments = parser().parse_args(argv)
    console = Console(stderr=True)
    if is_uri(arguments.run):
        console.print(
            f"[red]error:[/red] expected a folder of this machine, got {escape(arguments.run)}; copy the run here first"
        )
        return 2
    run = Path(arguments.run)
    output = arguments.output or run / "report"
    try:
        if arguments.rerun:
            import curation.report.recording  # noqa: F401  a missing extra is better known before an hour of work
        first, failed = report(run, output, arguments.truth, arguments.clips, arguments.rerun, console)
    except (NoRun, FileNotFoundError, ImportError) as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        return 2
    for line in failed:
        console.print(f"[red]no page:[/red] {escape(line)}", highlight=False)
    pages = read_json(output / _MANIFEST)["files"]
    count = sum(name.startswith("clips/") and name.endswith(".html") for name in pages)
    console.print(f"{count} clips, {len(failed)} without a page; open {first}", highlight=False, soft_wrap=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
