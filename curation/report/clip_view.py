"""One clip of a run as the pages show it, read from its folder (or from ``publish/`` where that is all there is)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from curation.audit.published import PublishedClip, Row
from curation.shards.products import ClipInfo
from curation.shards.rows import clip_row
from schemas import run_folder as names

_BATCH_ROWS = 2000


@dataclass(frozen=True)
class ClipView:
    """A clip with all that is shown of it.

    Attributes:
        clip: its rows of the published tables; ``clip.questions`` are those shown.
        chains: chains of thought by question id.
        video: the mp4 of its left view; None where it was not kept.
        selected: ``clip.questions`` are those that the run publishes, not the candidates that it chooses from.
    """

    clip: PublishedClip
    chains: dict[str, list[Row]]
    video: Path | None
    selected: bool


def read_clip(run: Path, clip_id: str) -> ClipView | None:
    """The clip as far as it was measured; None where nothing of it can be shown (it was rejected before it was decoded)."""
    folder = run / names.clip_folder(clip_id)
    info_file = folder / names.CLIP_JSON
    if info_file.exists():
        info = ClipInfo.from_json(json.loads(info_file.read_text(encoding="utf-8")))
        row = clip_row(info, info.spec.source.name, "")
    else:
        found = list(published_rows(run, "clips", clip_id))
        if not found:
            return None
        row = found[0]
    selected = (folder / names.SELECTED).exists() or not (folder / names.QUESTIONS).exists()
    if not info_file.exists() or not folder.is_dir():
        questions = [q for table in ("sft", "bench") for q in published_rows(run, table, clip_id)]
    else:
        questions = _rows(folder / (names.SELECTED if selected else names.QUESTIONS))

    def table(file: str, published: str) -> list[Row]:
        return _rows(folder / file) if info_file.exists() else list(published_rows(run, published, clip_id))

    tracks: dict[str, list[Row]] = defaultdict(list)
    for track in sorted(table(names.TRACKS, "tracks"), key=lambda r: r["frame"]):
        tracks[track["object_id"]].append(track)
    chains: dict[str, list[Row]] = defaultdict(list)
    for chain in table(names.REASONING, "st_cot"):
        chains[chain["id"]].append(chain)
    cameras = sorted(table(names.CAMERAS, "cameras"), key=lambda r: r["frame"])
    objects = sorted(table(names.OBJECTS, "objects"), key=lambda r: r["object_id"])
    clip = PublishedClip(row, cameras, objects, dict(tracks), table(names.FACTS, "facts"), questions)
    return ClipView(clip, dict(chains), find_video(run, row), selected)


def find_video(run: Path, row: Row) -> Path | None:
    """The clip's mp4, in its own folder or among the published ones."""
    candidates = [run / names.clip_folder(row["clip_id"]) / names.CLIP_VIDEO]
    if row.get("video"):
        candidates.append(run / names.PUBLISH / row["video"])
    return next((path for path in candidates if path.is_file()), None)


def published_rows(run: Path, table: str, clip_id: str = "", columns: list[str] | None = None) -> Iterator[Row]:
    """Rows of a published table, of one clip or of all, a batch at a time; none where it was not published."""
    for path in sorted((run / names.PUBLISH / table).glob("*.parquet")):
        if clip_id:  # shards are sorted by clip: statistics of row groups spare most of the file
            yield from pq.read_table(path, columns=columns, filters=[("clip_id", "==", clip_id)], use_threads=False).to_pylist()
            continue
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=columns, use_threads=False):
                yield from batch.to_pylist()


def _rows(file: Path) -> list[Row]:
    """Rows of one of the clip's own tables; [] where the stage has not written it."""
    if not file.exists():
        return []
    with pq.ParquetFile(file) as table:
        return list(table.read(use_threads=False).to_pylist())
