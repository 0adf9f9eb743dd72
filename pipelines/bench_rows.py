"""What rows cost: ``python -m pipelines.bench_rows``. Facts to question rows, and a million rows to Parquet.

The facts are drawn at random, with the labels, objects and details that measured ones have, some four of them for each row. Rows
go the way that a run sends them: asked per clip, laid out as a table, written as shards.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.questions import ask
from curation.relations.kinds import KINDS, STEP
from curation.seeding import generator
from curation.shards.writer import table_of, write_table
from pipelines.usage import core_s, peak_mb
from schemas.config import QuestionsConfig
from schemas.tables import SFT
from schemas.track import Description, Fact

FRAMES, PER_KIND = 32, 8
_WORDS = [
    Description(f"obj_{n}", "object", f"the {colour} object", "geometry") for n, colour in enumerate(("red", "blue", "green"), 1)
]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog="python -m pipelines.bench_rows", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    out.add_argument("--rows", type=int, default=1_000_000, metavar="N", help="rows to write (default 1000000)")
    out.add_argument("--workers", type=int, default=2, metavar="N", help="processes that ask and write (default 2)")
    out.add_argument("--json", action="store_true", help="print JSON instead of sentences")
    return out


def main(argv: list[str] | None = None) -> int:
    """Measure, print."""
    arguments = parser().parse_args(argv)
    found = measure(arguments.rows, arguments.workers)
    print(json.dumps(found, indent=1) if arguments.json else sentences(found))
    return 0


def measure(rows: int, workers: int) -> dict[str, Any]:
    """Rows per second and core of asking; wall time, core time and memory of all processes that ask and write ``rows``."""
    clips = [made_up_facts(n) for n in range(64)]
    config = QuestionsConfig()
    ask(clip_row(0), clips[0], _WORDS, config, seed=0, run_id="")  # the wordings are read once
    seconds = []
    for _ in range(7):  # the best of them: a busy machine makes a core slower, never faster
        begin = time.process_time()
        asked = [ask(clip_row(n), facts, _WORDS, config, seed=0, run_id="") for n, facts in enumerate(clips)]
        seconds.append(time.process_time() - begin)
    count = sum(map(len, asked))
    with tempfile.TemporaryDirectory() as folder:
        wall = time.perf_counter()
        shares = [(Path(folder), worker, rows // workers + (worker < rows % workers)) for worker in range(workers)]
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            done = pool.starmap(_write_share, shares)
        wall = time.perf_counter() - wall
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    return {
        "facts_per_row": round(sum(map(len, clips)) / count, 2),
        "rows_per_core_s": round(count / min(seconds)),
        "written_rows": sum(n for n, *_ in done),
        "workers": workers,
        "wall_s": round(wall, 1),
        "core_s": round(sum(cpu for _, cpu, _ in done), 1),
        "peak_mb": round(sum(peak for *_, peak in done)),
        "size_mb": round(size / 1e6, 1),
    }


def sentences(found: dict[str, Any]) -> str:
    """The figures in words."""
    return (
        f"facts to rows: {found['rows_per_core_s']:,} rows/s and core ({found['facts_per_row']} facts looked at per row)\n"
        f"rows to Parquet: {found['written_rows']:,} asked and written in {found['wall_s']} s by {found['workers']} processes "
        f"({found['core_s']} core-seconds, {found['peak_mb']} MB of memory together, {found['size_mb']} MB on disk)"
    )


def _write_share(folder: Path, worker: int, rows: int) -> tuple[int, float, float]:
    """Ask and write ``rows`` rows, shard by shard; rows, core-seconds and peak memory (MB) of this process."""
    config = QuestionsConfig()
    pool = [made_up_facts(1000 * worker + n) for n in range(64)]
    tables: list[pa.Table] = []
    waiting: list[dict[str, Any]] = []
    asked, written, shard, clip = 0, 0, 0, 0
    while written < rows:
        more = ask(clip_row(100_000 * worker + clip), pool[clip % len(pool)], _WORDS, config, seed=clip, run_id="bench")
        waiting += more[: rows - asked]
        asked, clip = min(asked + len(more), rows), clip + 1
        if len(waiting) >= _BATCH or asked == rows:
            tables.append(table_of(waiting, SFT))
            waiting = []
        if asked - written >= _SHARD or asked == rows:
            if waiting:
                tables.append(table_of(waiting, SFT))
                waiting = []
            write_table(folder / f"train-{worker}-{shard:05d}.parquet", pa.concat_tables(tables))
            written, shard, tables = asked, shard + 1, []
    return written, core_s(), peak_mb()


_BATCH = 1000
_SHARD = 20_000


def clip_row(n: int) -> dict[str, Any]:
    """What asking needs of a clip's row."""
    name = f"{n:016x}"
    return {
        "clip_id": name,
        "video": f"videos/{name}.mp4",
        "num_frames": FRAMES,
        "frame_times_s": [k * 0.2 for k in range(FRAMES)],
    }


def made_up_facts(n: int) -> list[Fact]:
    """Facts of all kinds for the n-th clip."""
    rng = generator(n, "bench", "facts")
    facts = []
    for kind, about in KINDS.items():
        for _ in range(PER_KIND):
            i = int(rng.integers(0, FRAMES - 5))
            j = int(rng.integers(i + 4, FRAMES))
            names = [f"obj_{k}" for k in rng.permutation(3) + 1]
            count = {"camera": 0, "object": 1, "pair": 2, "several": 3}[about.subject]
            names = names[:count]
            value = float(rng.uniform(0.5, 6)) if about.numeric else None
            label = ""
            if about.labels:
                offered = count + 1 if about.subject == "several" else len(about.labels)
                steps = rng.integers(0, offered, 3 if about.sequence else 1)
                label = STEP.join(about.labels[k] for k in steps)
            details = {"objects": names, "times_s": [i * 0.2, j * 0.2], "camera_center": rng.normal(size=(2, 3)).tolist()}
            margin = float(rng.uniform(0, 9))
            sigma = value * 0.02 if value is not None else None
            other = "+".join(names[1:])
            first = names[0] if names else ""
            facts.append(Fact(f"{n:016x}", kind, first, other, i, j, value, about.unit, label, sigma, margin, 3.0, details))
    return list({(f.kind, f.object_id, f.other_object_id, f.frame_i, f.frame_j): f for f in facts}.values())


if __name__ == "__main__":
    sys.exit(main())
