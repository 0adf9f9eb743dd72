"""From nothing to a dataset in some minutes: ``python -m pipelines.demo`` (``make demo``)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines import build, simulate
from schemas import run_folder as names

QUESTIONS = 5


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog="python -m pipelines.demo",
        description="Render a small stereo world, build a dataset from it, print some of its questions. What is there is not "
        "made again.",
    )
    out.add_argument("--folder", type=Path, default=Path("demo"), metavar="DIR", help="where it all goes (default: demo)")
    out.add_argument("--worlds", type=int, default=1, metavar="N", help="worlds to render, a minute or two each (default 1)")
    out.add_argument("--frames", type=int, default=40, metavar="N", help="frames per world (default 40)")
    return out


def main(argv: list[str] | None = None) -> int:
    """Simulate, build, show."""
    arguments = parser().parse_args(argv)
    worlds, run = arguments.folder / "worlds", arguments.folder / "run"
    print(f"1/3 rendering {arguments.worlds} stereo world(s) with exact truth into {worlds}", flush=True)
    rendered = ["--output", str(worlds), "--worlds", str(arguments.worlds), "--frames", str(arguments.frames)]
    if status := simulate.main(rendered):
        return status
    print(f"2/3 building a dataset from the videos into {run}", flush=True)
    # one world is one source: held out for the benchmark, it would leave nothing to train on
    if status := build.main(["--input", str(worlds), "--output", str(run), "--set", "shards.bench_share=0"]):
        return status
    print("3/3 some of its questions\n")
    print("\n".join(_page(run)))
    return 0


def _page(run: Path) -> Iterator[str]:
    from curation.shards.writer import read_table

    publish = run / names.PUBLISH
    rows = [row for file in sorted((publish / "sft").glob("*.parquet")) for row in read_table(file).to_pylist()]
    for row in _one_of_each_kind(rows)[:QUESTIONS]:
        yield f"{publish / row['video']}  [{row['kind']}]"
        yield f"  {row['question']}"
        for letter, option in zip("ABCDEF", row["options"], strict=False):
            yield f"  {'->' if letter == row['answer'] else '  '} {letter}. {option}"
        yield ""
    if not rows:
        yield "  none: nothing in these videos could be measured safely enough; the summary above says why"
    yield f"the dataset        {publish}    load_dataset({str(publish)!r}, 'sft')"
    yield f"the measurements   {run / names.CLIPS}    one folder per clip"
    yield f"counts and config  {run / names.RUN_JSON}"
    yield f"is it true?        python -m pipelines.audit --truth {run.parent / 'worlds'} {run}"


def _one_of_each_kind(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rows, such that every kind has its turn."""
    turns: dict[str, int] = {}
    keyed = []
    for row in rows:
        turns[row["kind"]] = turn = turns.get(row["kind"], 0) + 1
        keyed.append(((turn, row["kind"], row["id"]), row))
    return [row for _, row in sorted(keyed, key=lambda entry: entry[0])]


if __name__ == "__main__":
    sys.exit(main())
