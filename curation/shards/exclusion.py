"""Evaluation videos that must not be trained on: a list of names and of looks, and what it says of a source."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from curation.video.likeness import alike


@dataclass(frozen=True)
class Evaluated:
    """One evaluation video: its name without folder and ending, and what it looks like (none: only the name counts)."""

    name: str
    hashes: tuple[int, ...] = ()


def bare(name: str) -> str:
    """``Clips/Video_7.MP4`` -> ``video_7``. Of ``Video_7/left.mp4`` the folder counts: every stereo pair has a left."""
    path = Path(name.strip())
    stem = path.stem if path.suffix.lower() in _ENDINGS else path.name
    if stem.lower() in ("left", "right") and path.parent.name:
        stem = path.parent.name
    return stem.lower()


_ENDINGS = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts"}


def match(name: str, hashes: Sequence[int], listed: Iterable[Evaluated]) -> str:
    """Why a source is one of the evaluation videos; "" where it is none."""
    mine = bare(name)
    for video in listed:
        if video.name and bare(video.name) == mine:
            return f"its name is that of the evaluation video {video.name!r}"
        if alike(hashes, video.hashes):
            return f"it shows the evaluation video {video.name!r} (perceptual hash)"
    return ""


def read_list(file: Path) -> list[Evaluated]:
    """The list: JSON lines ``{"name": ..., "hashes": [16 hexadecimal digits, ...]}``, or plain names, one a line.

    Raises:
        ValueError: a line is neither; the message names it.
    """
    out = []
    for n, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if not line.startswith("{"):
            out.append(Evaluated(line))
            continue
        try:
            value = json.loads(line)
            out.append(Evaluated(str(value["name"]), tuple(int(digits, 16) for digits in value.get("hashes", ()))))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"expected a name or {{'name': .., 'hashes': [..]}} in line {n} of {file}, got {line[:80]!r}"
            ) from error
    return out


def line_of(video: Evaluated) -> str:
    """A line of the list."""
    return json.dumps({"name": video.name, "hashes": [f"{value:016x}" for value in video.hashes]})
