"""Turn annotations made elsewhere into sources that the factory reads without measuring them again."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.progress import track

from curation.imports import Annotation, write_annotations
from schemas.outcome import Rejected

_EPILOG = """
examples:
  python -m pipelines.import_annotations stereo4d --from NPZ --videos MP4 --output in    left views in MP4, or beside
  python -m pipelines.import_annotations kitti-tracking --from data_tracking/training --output in
  python -m pipelines.import_annotations kitti-raw --from raw/2011_09_26 --output in     every *_sync drive of a day
  python -m pipelines.import_annotations world --from worlds --output in                 a rendered world's exact truth
  python -m pipelines.build --input in --output run                                      questions, without any perception

Each clip becomes OUTPUT/NAME/ with left (and right) linked to where they are, calib.yaml and annotations/. What is there already
is left alone, so a broken-off call continues when it is repeated. Your own measurements need no tool:
docs/backends-depth-poses.md describes annotations/, a folder of poses and points, boxes, masks or depth with their errors.
"""


@dataclass(frozen=True)
class Clip:
    """One source to write: where its eyes are, its sidecar, and a function that reads its annotation."""

    name: str
    left: Path | None
    right: Path | None
    read: Callable[[], tuple[Annotation, dict[str, Any]]]


def stereo4d(source: Path, videos: Path) -> Iterator[Clip]:
    """Every ``.npz`` below ``source``."""
    from curation.imports import stereo4d as room

    def read(path: Path) -> tuple[Annotation, dict[str, Any]]:
        return room.read_stereo4d(path), room.sidecar()

    for path in sorted(source.rglob("*.npz")):
        yield Clip(path.stem, room.video_of(path, videos), None, partial(read, path))


def kitti_tracking(source: Path, videos: Path) -> Iterator[Clip]:
    """Every sequence of the tracking benchmark's ``training`` (or ``testing``, without labels) folder."""
    from curation.imports import kitti as room

    def read(name: str) -> tuple[Annotation, dict[str, Any]]:
        drive = room.read_tracking(source, name)
        return drive.annotation, drive.sidecar

    for name in room.tracking_drives(source):
        right = videos / "image_03" / name
        yield Clip(name, videos / "image_02" / name, right if right.is_dir() else None, partial(read, name))


def kitti_raw(source: Path, videos: Path) -> Iterator[Clip]:
    """Every ``*_sync`` drive in a day's folder, or the drive itself."""
    from curation.imports import kitti as room

    def read(path: Path) -> tuple[Annotation, dict[str, Any]]:
        drive = room.read_raw(path)
        return drive.annotation, drive.sidecar

    for path in [source] if (source / "oxts").is_dir() else sorted(p for p in source.iterdir() if (p / "oxts").is_dir()):
        right = path / "image_03" / "data"
        yield Clip(path.name, path / "image_02" / "data", right if right.is_dir() else None, partial(read, path))


def world(source: Path, videos: Path) -> Iterator[Clip]:
    """Every rendered world below ``source``."""
    from curation.imports.truth import annotation_of
    from curation.worlds.truth import load_truth

    def read(path: Path) -> tuple[Annotation, dict[str, Any]]:
        calibration = yaml.safe_load((path / "calib.yaml").read_text(encoding="utf-8"))
        return annotation_of(load_truth(path / "truth")), calibration

    for path in sorted(p.parent.parent for p in source.glob("*/truth/truth.npz")):
        eyes = [
            next((path / f"{side}{end}" for end in (".mp4", "") if (path / f"{side}{end}").exists()), None)
            for side in ("left", "right")
        ]
        yield Clip(path.name, eyes[0], eyes[1], partial(read, path))


FORMATS = {"stereo4d": stereo4d, "kitti-tracking": kitti_tracking, "kitti-raw": kitti_raw, "world": world}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog="python -m pipelines.import_annotations",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    out.add_argument("format", choices=sorted(FORMATS), help="whose files they are")
    out.add_argument("--from", dest="source", type=Path, required=True, metavar="DIR", help="folder of the annotations")
    out.add_argument("--videos", type=Path, metavar="DIR", help="folder of the pictures, where they lie elsewhere")
    out.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="where the sources go; the input of pipelines.build"
    )
    out.add_argument("--copy", action="store_true", help="copy the pictures instead of linking to them")
    return out


def write_source(clip: Clip, output: Path, *, copy: bool) -> bool:
    """Write one source; the folder appears when it is complete. False where it is there already.

    Raises:
        Rejected: the annotation cannot be used, or its video is missing (``no_video``).
    """
    final = output / clip.name
    if final.exists():
        return False
    if clip.left is None or not clip.left.exists():
        raise Rejected("no_video", f"no pictures of the left eye were found (looked for {clip.left or clip.name})")
    annotation, sidecar = clip.read()
    part = output / f".{clip.name}.{os.getpid()}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        for side, eye in (("left", clip.left), ("right", clip.right)):
            if eye is None:
                continue
            target = part / f"{side}{eye.suffix if eye.is_file() else ''}"
            if not copy:
                target.symlink_to(eye.resolve(), target_is_directory=eye.is_dir())
            elif eye.is_dir():
                shutil.copytree(eye, target)
            else:
                shutil.copyfile(eye, target)
        (part / "calib.yaml").write_text(yaml.safe_dump(sidecar, sort_keys=False), encoding="utf-8")
        write_annotations(annotation, part / "annotations")
        os.replace(part, final)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return True


def main(argv: list[str] | None = None) -> int:
    """Entry point; the exit status is 1 when no clip could be used, 2 for a wrong command line."""
    arguments = parser().parse_args(argv)
    console = Console(stderr=True)
    videos = arguments.videos or arguments.source
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
        clips = list(FORMATS[arguments.format](arguments.source, videos))
    except OSError as error:
        console.print(f"[red]error:[/red] {arguments.source} cannot be read as {arguments.format}: {error.strerror}")
        return 2
    if not clips:
        console.print(f"[red]error:[/red] no {arguments.format} annotations found below {arguments.source}")
        return 1
    made, there, refused = 0, 0, 0
    for clip in track(clips, description="sources", console=console, disable=not console.is_terminal):
        try:
            written = write_source(clip, arguments.output, copy=arguments.copy)
            made, there = made + written, there + (not written)
        except Rejected as why:
            refused += 1
            console.print(f"{clip.name}: {why}", style="yellow", markup=False)
    console.print(f"{made} sources written, {there} were there, {refused} refused: {arguments.output}", markup=False)
    return 0 if made + there else 1


if __name__ == "__main__":
    sys.exit(main())
