"""What a phone's spatial video (MV-HEVC in QuickTime or MP4) says of its two eyes: boxes read straight from the file.

Apple's "Stereo Video ISOBMFF Extensions": in the sample entry of a track, ``vexu / eyes`` holds ``stri`` (which eyes there are),
``hero``, ``cams / blin`` (baseline, micrometres) and ``cmfy / dadj`` (shift for display, 1/10000 of the width); ``hfov`` beside
``vexu`` is the horizontal field of view in 1/1000 degree; ``vexu / proj / prji`` names the projection.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_SUFFIXES = frozenset({".mov", ".mp4", ".m4v"})
_ENTRY_BYTES = 78  # of a visual sample entry before its boxes
_MAX_BYTES = 1 << 20
_MAX_BOXES = 10_000


@dataclass(frozen=True)
class Spatial:
    """Stereo metadata of a track; None where the file does not say.

    Attributes:
        both_eyes: left and right are there.
        reversed: the base view is the right eye's.
        baseline_m: distance of the cameras.
        hfov_deg: of either eye's picture.
        disparity_adjustment: shift for display, as a share of the width. It moves no stored pixel, so geometry leaves it alone.
        projection: ``rect``, ``equi``, ``hequ``, ``fish``; "" where the file does not say (then it is rectilinear).
    """

    both_eyes: bool
    reversed: bool
    baseline_m: float | None
    hfov_deg: float | None
    disparity_adjustment: float | None
    projection: str


def read_spatial(path: Path) -> Spatial | None:
    """The stereo metadata of the first track that has some; None where there is none, or the file is of another kind."""
    if path.suffix.lower() not in _SUFFIXES or not path.is_file():  # a pipe would wait for ever
        return None
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            for kind, start, end in _boxes(stream, 0, size, _MAX_BOXES):
                if kind == b"moov":
                    return _movie(stream, start, end)
    except (OSError, struct.error):
        return None
    return None


def _boxes(stream: BinaryIO, start: int, end: int, limit: int) -> Iterator[tuple[bytes, int, int]]:
    """Type, start of content and end of the boxes in [start, end). Stops where one does not fit: the file is cut or no MP4."""
    for _ in range(limit):
        if start + 8 > end:
            return
        stream.seek(start)
        size, kind = struct.unpack(">I4s", stream.read(8))
        head = 8
        if size == 1:
            size, head = struct.unpack(">Q", stream.read(8))[0], 16
        elif size == 0:
            size = end - start
        if size < head or start + size > end:
            return
        yield kind, start + head, start + size
        start += size


def _movie(stream: BinaryIO, start: int, end: int) -> Spatial | None:
    for kind, a, b in _boxes(stream, start, end, _MAX_BOXES):
        if kind != b"trak":
            continue
        place: tuple[int, int] | None = (a, b)
        for name in (b"mdia", b"minf", b"stbl", b"stsd"):
            place = next(((x, y) for k, x, y in _boxes(stream, *place, _MAX_BOXES) if k == name), None) if place else None
        if place is None:
            continue
        for entry, x, y in _boxes(stream, place[0] + 8, place[1], _MAX_BOXES):
            if entry in (b"hvc1", b"hev1", b"dvh1") and y - x <= _MAX_BYTES:
                found = _entry(stream, x + _ENTRY_BYTES, y)
                if found is not None:
                    return found
    return None


def _entry(stream: BinaryIO, start: int, end: int) -> Spatial | None:
    """The metadata of one sample entry."""
    leaves: dict[bytes, bytes] = {}
    inside = {b"vexu", b"eyes", b"cams", b"cmfy", b"proj"}

    def walk(a: int, b: int) -> None:
        for kind, x, y in _boxes(stream, a, b, 100):
            if kind in inside:
                leaves.setdefault(kind, b"")
                walk(x, y)
            elif y - x <= 64:
                stream.seek(x)
                leaves.setdefault(kind, stream.read(y - x))

    walk(start, end)
    if b"vexu" not in leaves:
        return None
    flags = leaves.get(b"stri", b"")
    eyes = flags[4] if len(flags) >= 5 else 0

    def number(kind: bytes, form: str, skip: int) -> int | None:
        data = leaves.get(kind, b"")[skip : skip + 4]
        return int(struct.unpack(form, data)[0]) if len(data) == 4 else None

    baseline_um, adjust = number(b"blin", ">I", 4), number(b"dadj", ">i", 4)
    hfov = number(b"hfov", ">I", 0)
    return Spatial(
        both_eyes=eyes & 3 == 3,
        reversed=bool(eyes & 8),
        baseline_m=baseline_um / 1e6 if baseline_um else None,
        hfov_deg=hfov / 1000 if hfov else None,
        disparity_adjustment=adjust / 10000 if adjust is not None else None,
        projection=leaves.get(b"prji", b"")[4:8].decode("latin-1").strip("\0 "),
    )
