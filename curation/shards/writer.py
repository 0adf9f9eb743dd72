"""Rows -> Parquet files of a fixed number of rows, with explicit schemas, byte for byte the same for the same rows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP = 2000
_COMPACT = 256


def table_of(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table; a column that a row lacks is null.

    Raises:
        ValueError: a row has a key that is no column (a misspelt column would be lost in silence otherwise).
    """
    names = set(schema.names)
    for row in rows:
        if extra := set(row) - names:
            raise ValueError(f"expected only the columns {sorted(names)}, got also {sorted(extra)}")
    return pa.Table.from_pylist(list(rows), schema=schema)


def write_table(path: Path, table: pa.Table) -> None:
    """Write one Parquet file. Content-defined chunks let the Hub store what two versions of a dataset share only once.

    A table without rows becomes a file without row groups: ``datasets`` cannot read a row group without rows.
    """
    with pq.ParquetWriter(path, table.schema, use_content_defined_chunking=True, write_page_index=True) as writer:
        if table.num_rows:
            writer.write_table(table, row_group_size=ROW_GROUP)


def read_table(path: Path, schema: pa.Schema | None = None) -> pa.Table:
    """Read one Parquet file, as ``schema`` where given."""
    with pq.ParquetFile(path) as file:
        table = file.read(use_threads=False)
    return table.cast(schema) if schema is not None else table


class ShardWriter:
    """Collects the tables of one split of one config into ``<folder>/<split>-00000-of-000NN.parquet``.

    Holds at most one shard of rows in memory. There is always at least one file, if need be without rows, so that a
    reader finds the columns.
    """

    def __init__(self, folder: Path, split: str, schema: pa.Schema, rows_per_shard: int) -> None:
        self._folder, self._split, self._schema = folder, split, schema
        self._rows_per_shard = rows_per_shard
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._parts: list[Path] = []
        self.rows = 0
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, table: pa.Table) -> None:
        """Append rows."""
        self._waiting.append(table.cast(self._schema))
        self._waiting_rows += table.num_rows
        self.rows += table.num_rows
        if len(self._waiting) >= _COMPACT:  # a table of one row takes hundreds of times the memory of the row
            self._waiting = [pa.concat_tables(self._waiting).combine_chunks()]
        while self._waiting_rows >= self._rows_per_shard:
            self._flush(self._rows_per_shard)

    def _flush(self, count: int) -> None:
        table = pa.concat_tables([self._schema.empty_table(), *self._waiting]).combine_chunks()
        part = self._folder / f".{self._split}-{len(self._parts):05d}.part"
        write_table(part, table.slice(0, count))
        self._parts.append(part)
        rest = table.slice(count)
        self._waiting, self._waiting_rows = [rest], rest.num_rows

    def close(self) -> list[Path]:
        """Write what waits and give the files their names, which say how many there are."""
        if self._waiting_rows or not self._parts:
            self._flush(self._rows_per_shard)
        names = [self._folder / f"{self._split}-{n:05d}-of-{len(self._parts):05d}.parquet" for n in range(len(self._parts))]
        for part, name in zip(self._parts, names, strict=True):
            os.replace(part, name)
        return names
