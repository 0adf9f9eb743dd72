"""What the engine costs, apart from the measuring: ``python -m pipelines.bench_scale``.

  clips     tiny clips in growing numbers: wall and core seconds and driver memory per clip (both must stay flat), and what a
            finished run costs to start again
  workers   the same CPU work with one worker and with two
  overhead  real stages on rendered clips: a run against a bare loop over their stages, in core-seconds and by the clock
  packing   rows by the million through the packer: rate and peak memory

Wall times say how busy the machine was as much as how fast the engine is: the load is printed beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines.host import resolve
from pipelines.local_runner import WORKER_ENV, Reply, Task
from pipelines.usage import core_s, peak_mb
from schemas import run_folder as names
from schemas.config import Config, ShardsConfig
from schemas.outcome import Rejected

ROWS = 2_000_000
PARTS = ("clips", "workers", "overhead", "packing")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog="python -m pipelines.bench_scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m pipelines.bench_scale --parts clips packing --clips 10 100 1000 10000",
    )
    out.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure (default all)")
    out.add_argument(
        "--clips", nargs="+", type=int, default=[10, 100, 1000, 10000], metavar="N", help="sizes of the runs of tiny clips"
    )
    out.add_argument("--rows", type=int, default=ROWS, metavar="N", help="rows to pack (default 2 million)")
    out.add_argument(
        "--workers",
        type=int,
        default=2,
        metavar="N",
        help="for the tiny clips (default 2); 0 does them in the driver's own process, at a third of the cost, for large "
        "numbers, where only what grows with them is of interest",
    )
    out.add_argument("--world", type=Path, metavar="DIR", help="folder of stereo sources for `overhead`; rendered where absent")
    out.add_argument("--real", type=int, default=4, metavar="N", help="clips to render for `overhead` (default 4)")
    out.add_argument("--folder", type=Path, metavar="DIR", help="where runs lie meanwhile (default below TMPDIR)")
    out.add_argument("--json", action="store_true", help="print JSON instead of text")
    return out


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    arguments = parser().parse_args(argv)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        found = measure(
            Path(temporary),
            arguments.parts,
            arguments.clips,
            arguments.rows,
            workers=arguments.workers,
            world=arguments.world,
            real=arguments.real,
        )
    print(json.dumps(found, indent=1) if arguments.json else text(found))
    return 0


def measure(
    root: Path,
    parts: Sequence[str],
    clips: Sequence[int],
    rows: int,
    *,
    workers: int = 2,
    world: Path | None = None,
    real: int = 4,
) -> dict[str, Any]:
    """The figures of the parts asked for, with the machine's load before and after."""
    found: dict[str, Any] = {"cores": len(os.sched_getaffinity(0)), "load_before": round(os.getloadavg()[0], 1)}
    calls: dict[str, Callable[[], Any]] = {
        "clips": lambda: [tiny_run(root, n, workers) for n in clips],
        "workers": two_workers,
        "overhead": lambda: overhead(root, world, real),
        "packing": lambda: alone("packing", str(root / "packed"), str(rows)),
    }
    for part in parts:
        print(f"measuring {part} ...", file=sys.stderr, flush=True)
        found[part] = calls[part]()
    found["load_after"] = round(os.getloadavg()[0], 1)
    return found


def tiny_run(root: Path, clips: int, workers: int) -> dict[str, Any]:
    """A run over ``clips`` tiny clips in a process of its own, then the same again with nothing to do."""
    from pipelines.tiny_line import make_input

    source, out = make_input(root / f"in{clips}", clips), root / f"out{clips}"
    first = alone("build", str(source), str(out), str(workers))
    again = alone("build", str(source), str(out), str(workers))
    shutil.rmtree(out)
    return {
        "clips": clips,
        "wall_s": round(first["wall_s"], 2),
        "wall_ms_per_clip": round(1000 * first["wall_s"] / clips, 1),
        "core_ms_per_clip": round(1000 * first["core_s"] / clips, 1),
        "driver_core_ms_per_clip": round(1000 * first["driver_core_s"] / clips, 2),
        "driver_peak_mb": round(first["peak_mb"]),
        "finished_run_starts_in_s": round(again["wall_s"], 2),
        "finished_run_core_s": round(again["core_s"], 2),
    }


def alone(what: str, *words: str) -> dict[str, Any]:
    """One measurement in a fresh process, which leaves its figures as the last line of its output."""
    call = [sys.executable, "-c", f"from pipelines.bench_scale import _{what} as f; import sys; f(*sys.argv[1:])", *words]
    # One thread per library, as workers have it: threads that wait for each other would count as work.
    done = subprocess.run(call, capture_output=True, text=True, check=False, env={**os.environ, **WORKER_ENV})
    if done.returncode:
        raise RuntimeError(f"{what} {words}: exit code {done.returncode}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _cost(call: Callable[[], Any]) -> dict[str, Any]:
    began, own, children = time.perf_counter(), core_s(), core_s(resource.RUSAGE_CHILDREN)
    call()
    driver = core_s() - own
    return {
        "wall_s": time.perf_counter() - began,
        "driver_core_s": driver,
        "core_s": driver + core_s(resource.RUSAGE_CHILDREN) - children,
        "peak_mb": peak_mb(),
    }


class _Inline:
    """A runner that does the tasks where it is. Nothing ends a task that hangs: for tiny clips only."""

    def __init__(self, *_: Any) -> None:
        pass

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Reply]]:
        """Yield every task with its reply."""
        for task in tasks:
            yield task, Reply(task.id, resolve(task.call)({**task.shared, **task.payload}, lambda stage: None))

    def close(self) -> None:
        """Nothing to let go of."""


def _build(source: str, out: str, workers: str) -> None:
    from pipelines import run as module

    if int(workers) == 0:
        module.LocalRunner = _Inline  # type: ignore[assignment, misc]
    config = Config.model_validate({"run": {"workers": int(workers), "max_blind_excess": 1.0}, "shards": {"bench_share": 0.0}})
    figures = _cost(lambda: module.run(source, out, config, line="pipelines.tiny_line"))
    report = json.loads((Path(out) / names.RUN_JSON).read_text(encoding="utf-8"))
    if report["exit_status"] or report["clips"]["kept"] != report["clips"]["planned"]:
        raise RuntimeError(f"expected every tiny clip to be kept, got {report['clips']}")
    print(json.dumps(figures))


def two_workers() -> dict[str, Any]:
    """The same pure CPU tasks with one worker and with two. The bare figure is what this machine gives two processes now."""
    from pipelines.local_runner import LocalRunner

    tasks = [Task(str(n), "pipelines.bench_scale:burn", {"seconds": 0.4}, 600.0) for n in range(24)]
    wall_s = {}
    for count in (1, 2):
        runner = LocalRunner(count)
        list(runner.run(tasks[:count]))  # the hosts are up
        began = time.perf_counter()
        replies = list(runner.run(tasks))
        wall_s[count] = time.perf_counter() - began
        runner.close()
        assert all(reply.failed is None for _, reply in replies)
    loops = {count: _bare(count, 8 // count) for count in (1, 2)}
    return {
        "one_s": round(wall_s[1], 2),
        "two_s": round(wall_s[2], 2),
        "speedup": round(wall_s[1] / wall_s[2], 2),
        "bare_processes_speedup": round(loops[1] / loops[2], 2),
    }


def burn(payload: dict[str, Any], begin: Callable[[str], None]) -> int:
    """Task: a fixed amount of arithmetic, about ``seconds`` of one core."""
    total = 0
    for n in range(int(payload["seconds"] * 2.5e7)):
        total += n & 3
    return total


def _bare(processes: int, each: int) -> float:
    code = f"from pipelines.bench_scale import burn\nfor _ in range({each}): burn({{'seconds': 0.4}}, print)"
    began = time.perf_counter()
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(processes)]
    for process in running:
        process.wait()
    return time.perf_counter() - began


def overhead(root: Path, world: Path | None, clips: int) -> dict[str, Any]:
    """Clips through the real stages: a whole run of one worker against a loop that calls them one after another.

    Both do all stages, reasoning included, and import what they need. What only a run does (plan, ledger, a process per clip,
    selection over all clips, publishing, the card, the summary) is the engine.
    """
    if world is None:
        from pipelines import simulate

        world = root / "real_worlds"
        scene = ["--worlds", str(clips), "--size", "640x400", "--frames", "40", "--cameras", "orbit", "--workers", "1"]
        if simulate.main(["--output", str(world), *scene]):
            raise RuntimeError("the world could not be rendered; see above")
    bare = alone("loop", str(world), str(root / "bare"))
    engine = alone("engine", str(world), str(root / "engine"))
    if engine["kept"] != bare["kept"]:
        raise RuntimeError(f"expected both ways to keep as many clips, got {bare['kept']} and {engine['kept']}")
    return {
        "clips": engine["kept"],
        "bare_core_s": round(bare["core_s"], 2),
        "engine_core_s": round(engine["core_s"], 2),
        "stages_core_s": round(engine["stages_core_s"], 2),
        "overhead": round(engine["core_s"] / bare["core_s"] - 1, 4),
        "bare_wall_s": round(bare["wall_s"], 2),
        "engine_wall_s": round(engine["wall_s"], 2),
        "overhead_by_the_clock": round(engine["wall_s"] / bare["wall_s"] - 1, 4),
    }


def _loop(world: str, out: str) -> None:
    from pipelines import stages
    from pipelines.clip import Clip

    config = Config.model_validate({"shards": {"bench_share": 0.0}})

    kept: list[str] = []

    def work() -> None:
        for module in stages.PRELOAD:
            __import__(module)
        import cv2

        cv2.setNumThreads(1)
        for source in stages.scan(Path(world), config.video).sources:
            for spec in stages.plan_clips(source, config.video).clips:
                clip = Clip(spec, config, Path(out))
                try:
                    for stage in stages.STAGES:
                        if stage.after_selection and not clip.file(names.SELECTED).exists():
                            shutil.copyfile(clip.file(names.QUESTIONS), clip.file(names.SELECTED))
                        stage.run(clip)
                except Rejected:
                    continue
                kept.append(spec.clip_id)

    print(json.dumps({**_cost(work), "kept": len(kept)}))


def _engine(world: str, out: str) -> None:
    from pipelines.run import run

    config = Config.model_validate({"run": {"workers": 1, "max_blind_excess": 1.0}, "shards": {"bench_share": 0.0}})
    figures = _cost(lambda: run(world, out, config))
    report = json.loads((Path(out) / names.RUN_JSON).read_text(encoding="utf-8"))
    if not report["clips"]["kept"]:
        raise RuntimeError(f"expected a clip that passes every stage, got {report['clips']}, {report['stages']}")
    stages_core_s = sum(stage["cpu_s"] for stage in report["stages"].values())
    print(json.dumps({**figures, "stages_core_s": stages_core_s, "kept": report["clips"]["kept"]}))


def _packing(folder: str, rows: str) -> None:
    from curation.shards.writer import ShardWriter, table_of
    from schemas import tables

    count, per_clip = int(rows), 20

    def clips() -> Iterator[list[dict[str, Any]]]:
        for n in range(count // per_clip):
            clip_id = f"{n:016x}"
            yield [
                {
                    "id": f"{clip_id}-{k:03d}", "clip_id": clip_id, "video": f"videos/{clip_id}.mp4", "kind": "camera_distance",
                    "question": f"How far does the camera move from frame {k} to frame {k + 9} of 31?",
                    "options": ["1.5 m", "2.0 m", "2.9 m", "4.1 m"], "answer": "A", "answer_text": "1.5 m", "answer_value": 1.5,
                    "object_id": "", "frame_i": k, "frame_j": k + 9, "fact_ids": [f"{clip_id}/{k}"], "generator": "bench",
                    "messages": [{"role": "user", "content": "<video>\nHow far?"}, {"role": "assistant", "content": "A"}],
                    "run_id": "bench",
                }
                for k in range(per_clip)
            ]  # fmt: skip

    base_mb = peak_mb()
    files: list[Path] = []

    def work() -> None:
        writer = ShardWriter(Path(folder), "train", tables.PUBLISHED["sft"], ShardsConfig().rows_per_shard)
        for mine in clips():
            writer.add(table_of(mine, tables.SFT).cast(tables.PUBLISHED["sft"]))
        files.extend(writer.close())

    figures = _cost(work)
    size_mb = sum(file.stat().st_size for file in files) / 2**20
    more = {"rows": count, "files": len(files), "size_mb": round(size_mb), "before_mb": round(base_mb)}
    shutil.rmtree(folder)
    print(json.dumps({**{name: round(value, 1) for name, value in figures.items()}, **more}))


def text(found: dict[str, Any]) -> str:
    """The figures for people."""
    lines = [f"{found['cores']} cores; load {found['load_before']} before, {found['load_after']} after"]
    if runs := found.get("clips"):
        heads = f"{'tiny clips':>10} {'wall s':>8} {'core ms/clip':>13} {'of the driver':>14} {'driver MB':>10}"
        lines.append(f"{heads}   finished run starts in")
        for run in runs:
            cost = f"{run['core_ms_per_clip']:>13.1f} {run['driver_core_ms_per_clip']:>14.2f} {run['driver_peak_mb']:>10}"
            start = f"{run['finished_run_starts_in_s']:>8.1f} s ({run['finished_run_core_s']:.1f} core-s)"
            lines.append(f"{run['clips']:>10} {run['wall_s']:>8.1f} {cost} {start}")
    if two := found.get("workers"):
        lines.append(
            f"2 workers against 1: {two['speedup']:.2f} times as fast ({two['one_s']} s, {two['two_s']} s); two bare processes "
            f"reach {two['bare_processes_speedup']:.2f} here now"
        )
    if loop := found.get("overhead"):
        apart = loop["engine_core_s"] - loop["stages_core_s"]
        lines.append(
            f"{loop['clips']} real clips: a run takes {loop['engine_core_s']} core-s, a bare loop over their stages "
            f"{loop['bare_core_s']} ({loop['overhead']:+.1%}); by the clock {loop['engine_wall_s']} s against "
            f"{loop['bare_wall_s']} s ({loop['overhead_by_the_clock']:+.1%}). {apart:.1f} core-s of the run are outside of stages"
        )
    if packed := found.get("packing"):
        rate = packed["rows"] / packed["wall_s"]
        lines.append(
            f"packing {packed['rows']} rows: {packed['wall_s']:.0f} s, {rate:.0f} rows/s, {packed['files']} files; "
            f"peak {packed['peak_mb']:.0f} MB ({packed['before_mb']} MB before)"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
