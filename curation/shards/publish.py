"""Per-clip tables -> one Hugging Face dataset folder, which appears all at once."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.shards.card import card
from curation.shards.split import SPLITS, TEST, TRAIN
from curation.shards.writer import ShardWriter, read_table, table_of
from schemas import run_folder as names
from schemas import tables
from schemas.config import ShardsConfig

Row = dict[str, Any]
# config -> (file in the clip's folder, splits). Training configs have no test split, the benchmark nothing else.
LAYOUT: dict[str, tuple[str, tuple[str, ...]]] = {
    "clips": ("", SPLITS),
    "cameras": (names.CAMERAS, SPLITS),
    "objects": (names.OBJECTS, SPLITS),
    "tracks": (names.TRACKS, SPLITS),
    "facts": (names.FACTS, SPLITS),
    "sft": (names.SELECTED, (TRAIN,)),
    "st_cot": (names.REASONING, (TRAIN,)),
    "rft": (names.RFT, (TRAIN,)),
    "bench": (names.SELECTED, (TEST,)),
}
_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2)
_AT_FDCWD = -100


@dataclass(frozen=True)
class PublishedClip:
    """A clip to publish.

    Attributes:
        row: of ``clips``, ``split`` filled in.
        reasoned: whether it has reasoned rows.
        choice: per config, the ids that it takes; configs that are not named take all.
        chains: gives the rows of ``st_cot`` in the place of those that the reasoning stage left in the folder.
    """

    folder: Path
    row: Row
    reasoned: bool
    choice: Mapping[str, Collection[str]] | None = None
    chains: Callable[[Path], list[Row]] | None = None


def publish(
    clips: Iterable[PublishedClip],
    folder: Path,
    config: ShardsConfig,
    run_id: str,
    about: Row,
    *,
    link: Callable[[Path, Path], None] | None = None,
) -> Row:
    """Write ``folder`` from clips in the order of their ids; replaces what was there, at once.

    Memory: one shard of each table. The rows of a clip are in the order of their ids, and so are the files'.

    Args:
        clips: in the order of ``clip_id``.
        folder: ``<out>/publish``.
        config: rows per file.
        run_id: written into the rows that have the column.
        about: for the card: names and settings of the run that do not depend on the machine.
        link: puts a clip's video in its place, (source, target); a hard link or a copy by default.

    Returns:
        ``{"rows": {config: {split: count}}, "kinds": {config: {kind: count}}, "videos": count}``.
    """
    staging = folder.with_name(f".{folder.name}.{os.getpid()}.staging")
    for left in folder.parent.glob(f".{folder.name}.*"):  # of runs that were killed; the caller holds the run's lock
        shutil.rmtree(left)
    try:
        counts = _write(clips, staging, config, run_id, link or _link)
        (staging / names.CARD).write_text(card(counts, {**about, "run_id": run_id}), encoding="utf-8")
        replace_folder(staging, folder)
    finally:
        if staging.exists():
            shutil.rmtree(staging)
    return counts


def _write(
    clips: Iterable[PublishedClip], staging: Path, config: ShardsConfig, run_id: str, link: Callable[[Path, Path], None]
) -> Row:
    (staging / names.VIDEOS).mkdir(parents=True)
    writers = {
        (name, split): ShardWriter(staging / name, split, tables.PUBLISHED[name], config.rows_per_shard)
        for name, (_, splits) in LAYOUT.items()
        for split in splits
    }
    kinds: dict[str, Counter[str]] = {name: Counter() for name in ("sft", "st_cot", "rft", "bench")}
    videos, last = 0, ""
    for clip in clips:
        clip_id, split = clip.row["clip_id"], clip.row["split"]
        if clip_id <= last:
            raise ValueError(f"expected clips in the order of their ids, got {clip_id} after {last}")
        last = clip_id
        link(clip.folder / names.CLIP_VIDEO, staging / clip.row["video"])
        videos += 1
        for name, table in _tables(clip, split):
            if "run_id" in table.schema.names:
                table = table.set_column(
                    table.schema.get_field_index("run_id"), "run_id", pa.array([run_id] * table.num_rows, pa.string())
                )
            writers[name, split].add(table)
            if name in kinds:
                kinds[name].update(table["kind"].to_pylist())
    rows: dict[str, dict[str, int]] = {}
    for (name, split), writer in writers.items():
        writer.close()
        rows.setdefault(name, {})[split] = writer.rows
    return {"rows": rows, "kinds": {name: dict(sorted(count.items())) for name, count in kinds.items()}, "videos": videos}


def _tables(clip: PublishedClip, split: str) -> Iterator[tuple[str, pa.Table]]:
    for name, (file, splits) in LAYOUT.items():
        if split not in splits or (name in ("st_cot", "rft") and not clip.reasoned):
            continue
        schema = tables.PUBLISHED[name]
        if name == "st_cot" and clip.chains is not None:
            table = table_of(clip.chains(clip.folder), schema)
        else:
            table = read_table(clip.folder / file, schema) if file else table_of([clip.row], schema)
        if clip.choice is not None and name in clip.choice:
            table = table.filter(pa.array([name_ in clip.choice[name] for name_ in table["id"].to_pylist()], pa.bool_()))
        key = "id" if "id" in schema.names else "fact_id" if "fact_id" in schema.names else None
        yield name, table.take(pc.sort_indices(table, [(key, "ascending")])) if key else table


def _link(source: Path, target: Path) -> None:
    """A hard link, or a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def replace_folder(new: Path, old: Path) -> None:
    """Put ``new`` in the place of ``old``; a reader of ``old`` finds one or the other, never half.

    Where the kernel cannot exchange two folders there is an instant at which ``old`` does not exist.
    """
    if not old.exists():
        os.replace(new, old)
        return
    libc = ctypes.CDLL(None, use_errno=True)
    exchanged = hasattr(libc, "renameat2") and not libc.renameat2(
        _AT_FDCWD, os.fsencode(new), _AT_FDCWD, os.fsencode(old), _EXCHANGE
    )
    if not exchanged:
        aside = old.with_name(f".{old.name}.{os.getpid()}.old")
        os.replace(old, aside)
        os.replace(new, old)
        new = aside
    shutil.rmtree(new)
