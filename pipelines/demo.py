"""``python -m pipelines.demo``: render a small world, build a dataset from it, show five of its questions."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from schemas import run_folder


def main(argv: list[str] | None = None) -> int:
    """Run the demo; exit status 0 when questions came out."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.demo",
        description="Render a small stereo world, build a dataset from it, and print where to look and some of its questions.",
    )
    parser.add_argument("--output", default="demo", metavar="DIR", help="where world, run and dataset go (default: demo)")
    parser.add_argument("--seed", type=int, default=0, help="which test world is rendered")
    parser.add_argument("--questions", type=int, default=5, help="how many questions are printed")
    options = parser.parse_args(argv)
    output = Path(options.output)

    from pipelines import build, simulate

    print("1. rendering one world of 40 stereo frames with exact truth (a minute or two)", flush=True)
    world = ["--worlds", "1", "--seed", str(options.seed), "--cameras", "forward", "--output", str(output / "worlds")]
    if status := simulate.main(world):
        return status
    print("\n2. building a dataset from it", flush=True)
    # One source would be either trained on or held out: in the demo it is trained on.
    arguments = ["--input", str(output / "worlds"), "--output", str(output / "run"), "--set", "shards.bench_share=0"]
    if status := build.main(arguments):
        return status
    shown = _show(output / "run", options.questions)
    print(
        f"\nlook at   {output / 'run' / run_folder.PUBLISH}: the dataset, one folder per table, clips in videos/\n"
        f'load it   python -c \'from datasets import load_dataset; print(load_dataset("{output}/run/publish", "sft"))\'\n'
        f"check it  python -m pipelines.audit --truth {output}/worlds {output}/run"
    )
    return 0 if shown else 1


def _show(run: Path, count: int) -> int:
    import pyarrow.parquet as pq

    rows = pq.read_table(run / run_folder.PUBLISH / "sft").to_pylist()
    by_kind: dict[str, list[dict]] = {}
    for row in rows:
        by_kind.setdefault(row["kind"], []).append(row)
    turns = [group[i] for i in range(len(rows)) for group in by_kind.values() if i < len(group)]
    print(f"\n3. {min(count, len(turns))} of its {len(turns)} training questions")
    for row in turns[:count]:
        options = "   ".join(f"{'ABCDEF'[i]}. {text}" for i, text in enumerate(row["options"]))
        print(f"\n[{row['kind']}] {row['question']}\n    {options}\n    answer: {row['answer']}")
    return len(turns)


if __name__ == "__main__":
    sys.exit(main())
