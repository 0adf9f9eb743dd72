"""Read a published folder with ``datasets``, the tables without rows included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from schemas import tables


def load(folder: str | Path, name: str, **options: Any) -> Any:
    """``datasets.load_dataset(folder, name)``, and the same ``DatasetDict`` where no row was published.

    ``load_dataset`` of datasets 4.4 to 5.2 raises ``corresponds to no data`` for a split without rows, unless it streams.

    Args:
        folder: ``<out>/publish``, or a copy of it.
        name: one of ``schemas.run_folder.PUBLISHED_TABLES``.
        options: for ``load_dataset``.
    """
    import pyarrow.parquet as pq
    from datasets import Dataset, DatasetDict, Features, load_dataset

    files = sorted((Path(folder) / name).glob("*.parquet"))
    if not files:
        raise FileNotFoundError(f"expected the table {name!r} in {folder}, found none; there is {sorted(tables.PUBLISHED)}")
    rows = {file: pq.read_metadata(file).num_rows for file in files}
    splits = {file: file.name.split("-")[0] for file in files}
    full = load_dataset(str(folder), name, **options) if any(rows.values()) else DatasetDict()
    features = Features.from_arrow_schema(tables.PUBLISHED[name])
    for split in sorted(set(splits.values()) - set(full)):
        full[split] = Dataset(tables.PUBLISHED[name].empty_table(), info=None).cast(features)
    return full
