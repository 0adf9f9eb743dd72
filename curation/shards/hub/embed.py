"""Videos inside Parquet: the table ``clips`` with a column that ``datasets`` decodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curation.shards.export import read
from schemas import tables

BYTES_PER_FILE = 500 * 2**20
BYTES_PER_GROUP = 64 * 2**20
PATH_COLUMN = "video_path"


def schema() -> pa.Schema:
    """``clips``, its ``video`` a ``datasets.Video``; the path that other tables name the video by moves to ``video_path``."""
    from datasets import Features, Value, Video

    plain = Features.from_arrow_schema(tables.CLIPS)
    return Features({**plain, "video": Video(), PATH_COLUMN: Value("string")}).arrow_schema


def embed(folder: Path, target: Path) -> int:
    """Write ``clips`` of the dataset folder with the bytes of its videos to ``target``; returns the number of videos.

    Memory: the videos of one row group (64 MiB, or one video). The same input gives the same bytes.

    Raises:
        FileNotFoundError: a video is not there.
    """
    target.mkdir(parents=True)
    columns = schema()
    total = 0
    for split in sorted({path.name.split("-")[0] for path in read.files(folder, "clips")}):
        parts: list[Path] = []
        for rows in _files(folder, split):
            parts.append(target / f".{split}-{len(parts):05d}.part")
            with pq.ParquetWriter(parts[-1], columns, compression="none", use_content_defined_chunking=True) as writer:
                for group in rows:
                    total += len(group)
                    writer.write_table(pa.Table.from_pylist([_with_bytes(folder, row) for row in group], schema=columns))
        for n, part in enumerate(parts):
            part.rename(target / f"{split}-{n:05d}-of-{len(parts):05d}.parquet")
    return total


def _files(folder: Path, split: str) -> list[list[list[dict[str, Any]]]]:
    """The rows of a split by file and row group. One file without groups where there is no row: readers need the columns."""
    files: list[list[list[dict[str, Any]]]] = [[]]
    in_file = in_group = 0
    for path in read.files(folder, "clips"):
        if path.name.split("-")[0] != split:
            continue
        for row in pq.read_table(path).to_pylist():
            size = (folder / row["video"]).stat().st_size
            if in_file and in_file + size > BYTES_PER_FILE:
                files.append([])
                in_file = in_group = 0
            if not files[-1] or in_group + size > BYTES_PER_GROUP:
                files[-1].append([])
                in_group = 0
            files[-1][-1].append(row)
            in_file, in_group = in_file + size, in_group + size
    return files


def _with_bytes(folder: Path, row: dict[str, Any]) -> dict[str, Any]:
    path = folder / row["video"]
    return {**row, "video": {"bytes": path.read_bytes(), "path": path.name}, PATH_COLUMN: row["video"]}
