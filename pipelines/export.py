"""Write a run's dataset in the format of a trainer or a benchmark."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import track

from curation.shards.export import read
from curation.shards.export.formats import FORMATS, Format
from curation.shards.export.write import write
from pipelines.files import replacing, write_json

_EPILOG = (
    """
examples:
  python -m pipelines.export RUN --format mllm4d-sft --output sft.json
  python -m pipelines.export RUN --format ms-swift-grpo --output rft.jsonl --limit 7000
  python -m pipelines.export RUN --format qwen-vl --table st_cot --output cot.json --paths relative
  python -m pipelines.export RUN --format eval --output bench.json

formats (tables; files: what reads it)
"""
    + "\n".join(f"  {name} ({', '.join(f.tables)}; {' '.join(f.suffixes)}): {f.reader}" for name, f in FORMATS.items())
    + """

RUN is a run folder, or a dataset folder downloaded from the Hub. Rows are streamed: memory does not grow with their number. The
file appears when it is complete. A video that is not there stops the export, since most trainers skip such a row in silence.
"""
)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog="python -m pipelines.export",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    out.add_argument("run", type=Path, metavar="RUN", help="folder that pipelines.build wrote, or a dataset folder")
    out.add_argument("--format", required=True, choices=sorted(FORMATS), help="see below")
    out.add_argument("--output", required=True, type=Path, metavar="FILE", help="its suffix says how: .json .jsonl .parquet")
    out.add_argument("--table", default=None, metavar="NAME", help="sft, st_cot, rft or bench; default: the format's first")
    out.add_argument(
        "--paths", choices=("absolute", "relative"), default="absolute", help="how videos are named (default absolute)"
    )
    out.add_argument(
        "--relative-to", type=Path, default=None, metavar="DIR", help="for --paths relative; default: the dataset folder"
    )
    out.add_argument("--limit", type=int, default=None, metavar="N", help="only the first N rows")
    out.add_argument("--unchecked", action="store_true", help="do not look whether the videos are there")
    return out


def export(
    folder: Path,
    name: str,
    output: Path,
    *,
    table: str | None = None,
    root: Path | None = None,
    limit: int | None = None,
    check: bool = True,
    console: Console | None = None,
) -> int:
    """Write ``output``; returns the number of rows.

    Args:
        folder: the dataset folder (``read.publish_folder``).
        name: of the format.
        output: file to write; its suffix names the container.
        table: that the rows come from.
        root: videos are named relative to it; absolute where None.
        limit: only the first rows.
        check: whether every video must be there.
        console: for the progress bar.

    Raises:
        ValueError: the format has no such table or suffix, the table no rows, a row not one video.
        FileNotFoundError: the table, or a video, is not there.
    """
    form = FORMATS[name]
    table = table or form.tables[0]
    if table not in form.tables:
        raise ValueError(f"{name} is made of {' or '.join(form.tables)}, got --table {table}")
    if output.suffix not in form.suffixes:
        raise ValueError(f"{name} is read from {' or '.join(form.suffixes)} files, got {output.name!r}")
    total = read.count(folder, table)
    if not total:
        raise ValueError(f"the table {table} of {folder} has no rows: nothing was written")
    wanted = total if limit is None else min(limit, total)
    rows = _converted(folder, form, table, root, check)
    taken = (row for row, _ in zip(rows, range(wanted), strict=False))
    shown = track(taken, f"{name} of {table}", wanted, console=console or Console(stderr=True), transient=True)
    with replacing(output) as temporary:
        count = write(temporary, output.suffix, shown)
    if name == "llama-factory":
        describe_for_llama_factory(output)
    return count


def _converted(folder: Path, form: Format, table: str, root: Path | None, check: bool) -> Iterator[dict[str, Any]]:
    base = folder.resolve()
    place, known = "", ""
    for n, row in enumerate(read.rows(folder, table, form.columns)):
        if row["video"] != known:  # the questions of a clip follow one another
            known = row["video"]
            file = base / known
            if check and not file.is_file():
                raise FileNotFoundError(f"{row['id']}: expected its video {known} in {base}; --unchecked exports it all the same")
            place = str(file) if root is None else Path(os.path.relpath(file, root.resolve())).as_posix()
        yield form.convert(row, place, n)


def describe_for_llama_factory(output: Path) -> None:
    """Enter ``output`` into the ``dataset_info.json`` beside it, under its stem; what else stands there stays."""
    about = output.with_name("dataset_info.json")
    known = json.loads(about.read_text(encoding="utf-8")) if about.exists() else {}
    known[output.stem] = {
        "file_name": output.name,
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "system": "system", "videos": "videos"},
        "tags": {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"},
    }
    write_json(about, known, sort=False)


def main(argv: list[str] | None = None) -> int:
    """Entry point; the exit status is 2 when nothing could be written."""
    arguments = parser().parse_args(argv)
    console = Console(stderr=True)
    began = time.monotonic()
    try:
        folder = read.publish_folder(arguments.run)
        root = (arguments.relative_to or folder) if arguments.paths == "relative" else None
        if arguments.relative_to and root is None:
            raise ValueError("--relative-to DIR belongs with --paths relative")
        if arguments.limit is not None and arguments.limit < 1:
            raise ValueError(f"expected --limit of at least 1, got {arguments.limit}")
        count = export(
            folder, arguments.format, arguments.output,
            table=arguments.table, root=root, limit=arguments.limit, check=not arguments.unchecked, console=console,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        console.print(f"[red]error:[/red] {escape(str(error))}", highlight=False, soft_wrap=True)
        return 2
    seconds = time.monotonic() - began

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    say(f"{count} rows in {seconds:.1f} s ({count / max(seconds, 1e-3):.0f} a second): {arguments.output}")
    if root is not None:
        say(f"videos are relative to {root}")
    say(f"read by: {FORMATS[arguments.format].reader}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
