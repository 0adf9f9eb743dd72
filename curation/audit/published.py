"""Read what a run published, as plain rows; nothing here knows how it was measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Bool, Float
from pycocotools import mask as coco

from schemas.camera import Array, Intrinsics
from schemas.run_folder import PUBLISH

Row = dict[str, Any]
ASKED_TABLES = ("sft", "bench")


@dataclass(frozen=True)
class PublishedClip:
    """One clip's rows of every table, Q question frames."""

    row: Row
    cameras: list[Row]
    objects: list[Row]
    tracks: dict[str, list[Row]]  # by object id, in order of frames
    facts: list[Row]
    questions: list[Row]

    @property
    def source_frames(self) -> list[int]:
        """Decoded source frame of each question frame."""
        return [int(k) for k in self.row["source_index"]]

    @property
    def camera(self) -> Intrinsics:
        """Of the published view."""
        first = self.cameras[0]
        size = int(self.row["width"]), int(self.row["height"])
        return Intrinsics(first["fx"], first["fy"], first["cx"], first["cy"], *size)

    def poses(self, column: str = "world_from_camera") -> Float[Array, "q 4 4"] | None:
        """Published poses in order of frames; None where the column is empty (a path without scale, or none)."""
        values = [row.get(column) for row in self.cameras]
        if not values or any(v is None or len(v) != 16 for v in values):
            return None
        return np.array(values, float).reshape(-1, 4, 4)


def read_table(run: Path, name: str) -> list[Row]:
    """All rows of one published table, over its splits and shards; [] where it was not published."""
    folder = run / PUBLISH / name
    return [row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def read_run(run: Path) -> list[PublishedClip]:
    """Every published clip, in order of clip ids. A question that stands in two tables counts once.

    Raises:
        FileNotFoundError: the run has published no ``clips`` table.
    """
    clips = read_table(run, "clips")
    if not clips:
        raise FileNotFoundError(
            f"expected {PUBLISH}/clips/*.parquet with at least one row in {run}; found none. Was the run finished?"
        )
    tables = {name: _by_clip(read_table(run, name)) for name in ("cameras", "objects", "tracks", "facts")}
    asked = {row["id"]: row for name in ASKED_TABLES for row in read_table(run, name)}
    questions = _by_clip(asked.values())
    out = []
    for row in sorted(clips, key=lambda r: r["clip_id"]):
        clip_id = row["clip_id"]
        tracks: dict[str, list[Row]] = defaultdict(list)
        for track in sorted(tables["tracks"][clip_id], key=lambda r: r["frame"]):
            tracks[track["object_id"]].append(track)
        cameras = sorted(tables["cameras"][clip_id], key=lambda r: r["frame"])
        out.append(
            PublishedClip(row, cameras, tables["objects"][clip_id], dict(tracks), tables["facts"][clip_id], questions[clip_id])
        )
    return out


def _by_clip(rows: Iterable[Row]) -> dict[str, list[Row]]:
    out: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        out[row["clip_id"]].append(row)
    return out


def decode_mask(rle: Row | None) -> Bool[Array, "h w"] | None:
    """A mask from COCO RLE; None where there is none."""
    if not rle or not rle.get("counts"):
        return None
    counts = rle["counts"]
    packed = {"size": list(rle["size"]), "counts": counts.encode("ascii") if isinstance(counts, str) else counts}
    return np.asarray(coco.decode(packed), bool)


def seen_by(mask: Bool[Array, "h w"], view: Intrinsics, other: Intrinsics) -> Bool[Array, "h2 w2"]:
    """``mask`` of camera ``view`` as ``other``, which looks the same way from the same place, would have it (nearest pixel)."""
    height, width = mask.shape
    u = (np.arange(other.width) + 0.5 - other.cx) / other.fx * view.fx + view.cx
    v = (np.arange(other.height) + 0.5 - other.cy) / other.fy * view.fy + view.cy
    x, y = np.floor(u * width / view.width).astype(int), np.floor(v * height / view.height).astype(int)
    inside = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))[None]
    return np.asarray(mask[np.clip(y, 0, height - 1)[:, None], np.clip(x, 0, width - 1)[None]] & inside)
