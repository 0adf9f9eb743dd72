"""List evaluation videos, so that no training set is made from them: ``python -m pipelines.exclude --output LIST VIDEOS...``.

Every video is read once and described by its name and by what it looks like, twice a second (64 bits a picture; a copy that
was compressed, scaled or cut is still recognised). A build with ``--set shards.exclude=LIST`` rejects every source that is one
of them, by name or by look, as ``evaluation_video``. Names alone can be added to the list by hand, one a line.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from schemas.outcome import Rejected


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog="python -m pipelines.exclude",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m pipelines.exclude --output bench.jsonl vlm4d/videos extra/one.mp4",
    )
    out.add_argument("--output", type=Path, required=True, metavar="LIST", help="file to write (JSON lines)")
    out.add_argument("videos", nargs="+", type=Path, metavar="VIDEOS", help="files, or folders that are searched for videos")
    return out


def main(argv: list[str] | None = None) -> int:
    """Write the list; the exit status is 1 where a video could not be read (its name is listed then), 2 where none was found."""
    from curation.shards.exclusion import Evaluated, line_of

    arguments = parser().parse_args(argv)
    files = list(_files(arguments.videos))
    if not files:
        print(f"error: expected videos in {', '.join(map(str, arguments.videos))}, found none", file=sys.stderr)
        return 2
    lines, unread = [], 0
    for n, file in enumerate(files, 1):
        hashes: tuple[int, ...] = ()
        try:
            hashes = look_of(file)
        except Rejected as why:
            unread += 1
            print(f"cannot be read, listed by name only: {file}: {why}", file=sys.stderr)
        lines.append(line_of(Evaluated("/".join(file.parts[-2:]), hashes)))
        print(f"[{n}/{len(files)}] {file.name}: {len(hashes)} pictures", flush=True)
    arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(files)} videos, {unread} by name only: {arguments.output}")
    return 1 if unread else 0


def look_of(file: Path) -> tuple[int, ...]:
    """What a video looks like, as a whole picture. Raises Rejected where it cannot be read."""
    from curation.video.likeness import Watcher
    from curation.video.reading import open_pictures

    pictures = open_pictures(file)
    watcher = Watcher((0, 0, pictures.width, pictures.height))
    for _ in watcher.watched(pictures.read()):
        pass
    return tuple(watcher.hashes)


def _files(paths: list[Path]) -> Iterator[Path]:
    from curation.video.sources import VIDEO_SUFFIXES

    for path in paths:
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in found if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file())


if __name__ == "__main__":
    sys.exit(main())
