"""JSON arrays, JSON lines and Parquet, written row by row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]
_ROW_GROUP = 2000
_part = pa.struct([("type", pa.string()), ("text", pa.string()), ("path", pa.string())])
_turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.list_(_part))]))
# Columns whose type the first rows need not show; the others are guessed, and all row groups must agree.
_TYPES = {
    "messages": _turns,
    "prompt": _turns,
    "images": pa.list_(pa.string()),
    "videos": pa.list_(pa.string()),
    "options": pa.list_(pa.string()),
    "id": pa.int64(),
}


def write(path: Path, suffix: str, rows: Iterable[Row]) -> int:
    """Write rows in the container that ``suffix`` names; returns their number. Memory: one row group."""
    return WRITERS[suffix](path, rows)


def _json(path: Path, rows: Iterable[Row]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write((",\n" if count else "[\n") + _dumped(row))
            count += 1
        file.write("\n]\n" if count else "[]\n")
    return count


def _lines(path: Path, rows: Iterable[Row]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(_dumped(row) + "\n")
            count += 1
    return count


def _parquet(path: Path, rows: Iterable[Row]) -> int:
    count, waiting, writer = 0, [], None
    try:
        for row in rows:
            waiting.append(row)
            if len(waiting) == _ROW_GROUP:
                writer = _flush(path, writer, waiting)
                count, waiting = count + len(waiting), []
        if waiting or writer is None:
            writer = _flush(path, writer, waiting)
    finally:
        if writer is not None:
            writer.close()
    return count + len(waiting)


def _flush(path: Path, writer: pq.ParquetWriter | None, rows: list[Row]) -> pq.ParquetWriter:
    names = list(rows[0]) if rows else []
    schema = writer.schema if writer else pa.schema([(name, _TYPES.get(name, pa.string())) for name in names])
    writer = writer or pq.ParquetWriter(path, schema)
    if rows:
        writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    return writer


def _dumped(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False)


WRITERS: dict[str, Callable[[Path, Iterable[Row]], int]] = {".json": _json, ".jsonl": _lines, ".parquet": _parquet}
