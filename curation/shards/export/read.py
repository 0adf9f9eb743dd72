"""Rows of a published table, in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from schemas import run_folder, tables

BATCH_ROWS = 2000


def publish_folder(path: Path) -> Path:
    """The dataset folder of a run, or ``path`` itself where it is one (downloaded from the Hub, say).

    Raises:
        FileNotFoundError: it is neither.
    """
    for folder in (path / run_folder.PUBLISH, path):
        if any((folder / name).is_dir() for name in run_folder.PUBLISHED_TABLES):
            return folder
    raise FileNotFoundError(
        f"expected a run folder with {run_folder.PUBLISH}/, or a dataset folder with {', '.join(run_folder.PUBLISHED_TABLES)}; "
        f"got {path}. Was the run finished?"
    )


def files(folder: Path, table: str) -> list[Path]:
    """The Parquet files of a table, in order.

    Raises:
        FileNotFoundError: there is none.
    """
    found = sorted((folder / table).glob("*.parquet"))
    if not found:
        raise FileNotFoundError(f"expected {table}/*.parquet in {folder}; found none")
    return found


def count(folder: Path, table: str) -> int:
    """Rows of a table."""
    return sum(pq.read_metadata(file).num_rows for file in files(folder, table))


def rows(folder: Path, table: str, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Rows in the order of the files; memory is that of one batch.

    Args:
        folder: the dataset folder.
        table: one of ``schemas.tables.PUBLISHED``.
        columns: only these, as far as the table has them; all where None.
    """
    wanted = None if columns is None else [name for name in tables.PUBLISHED[table].names if name in columns]
    for path in files(folder, table):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=wanted, use_threads=False):
                yield from batch.to_pylist()
