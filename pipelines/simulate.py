"""Render synthetic 4D worlds with exact truth, as input for the factory and as the yardstick of its audit."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from curation.worlds.export import FORMATS, is_finished, write_world
from curation.worlds.motion import CAMERAS
from curation.worlds.scenarios import LAYOUTS, SPLITS, Scenario, draw_scenario

_EPILOG = """
examples:
  python -m pipelines.simulate --output worlds --worlds 6              six worlds of 40 stereo frames, about a minute each
  python -m pipelines.simulate --output worlds --cameras static,fast   only these cameras, in turn
  python -m pipelines.simulate --output w --layout vr180_side_by_side  VR180 video instead of left.mp4 + right.mp4
  python -m pipelines.build --input worlds --output run                make a dataset of them
  python -m pipelines.audit --truth worlds run                         compare what was published with what is true

Each world becomes OUTPUT/<split>_<seed>_<camera>/ with left.mp4, right.mp4, calib.yaml and truth/. A world that is
already there is not rendered again, so a broken-off call continues when it is repeated. Bytes depend on nothing but the options.
"""


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT such as 640x400, got {text!r}") from None
    if width < 64 or height < 64 or width % 2 or height % 2:
        raise argparse.ArgumentTypeError(f"expected even numbers of at least 64, got {text!r}")
    return width, height


def _cameras(text: str) -> list[str]:
    names = [part.strip() for part in text.split(",") if part.strip()]
    unknown = sorted(set(names) - set(CAMERAS))
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"expected names out of {','.join(CAMERAS)}, got {text!r}")
    return names


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog="python -m pipelines.simulate",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    out.add_argument("--output", type=Path, required=True, metavar="DIR", help="where the folders of the worlds go")
    out.add_argument("--worlds", type=_positive, default=6, metavar="N", help="how many worlds (default 6)")
    out.add_argument("--seed", type=int, default=0, metavar="S", help="number of the first world within its split (default 0)")
    out.add_argument(
        "--split", choices=sorted(SPLITS), default="tuning", help="seeds to choose thresholds on, or to report figures of"
    )
    out.add_argument("--frames", type=_positive, default=40, metavar="N", help="frames per world, at 10 per second (default 40)")
    out.add_argument("--size", type=_size, default=None, metavar="WxH", help="of one eye (default 640x400; vr180: 800x800)")
    out.add_argument("--cameras", type=_cameras, default=None, metavar="A,B", help=f"of {','.join(CAMERAS)}; default: drawn")
    out.add_argument("--format", choices=FORMATS, default="mp4", help="H.264 video, or folders of PNG without loss")
    out.add_argument("--layout", choices=LAYOUTS, default="pair", help="how the eyes lie in the files (default pair)")
    out.add_argument("--depth", action="store_true", help="keep exact depth maps in truth/depth.npz too (about 20 MB a world)")
    out.add_argument(
        "--workers", type=_positive, default=os.cpu_count() or 1, metavar="N", help="processes (default: one per core)"
    )
    return out


def run(scenarios: list[Scenario], output: Path, image_format: str, depth: bool, workers: int, console: Console) -> list[str]:
    """Render the scenarios that are not finished yet; returns one message per world that failed."""
    todo = [s for s in scenarios if not is_finished(output / s.name)]
    failed: list[str] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("worlds", total=len(scenarios), completed=len(scenarios) - len(todo))
        if workers == 1:
            for scenario in todo:
                try:
                    write_world(scenario, output, image_format=image_format, depth=depth)
                except Exception as error:  # one world must not stop the others; it is counted and named
                    failed.append(f"{scenario.name}: {type(error).__name__}: {error}")
                progress.advance(task)
            return failed
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, max(1, len(todo))), mp_context=context) as pool:
            futures = {pool.submit(write_world, s, output, image_format=image_format, depth=depth): s for s in todo}
            for future in as_completed(futures):
                try:
                    future.result()
                except Exception as error:  # as above; a worker that died is one of them
                    failed.append(f"{futures[future].name}: {type(error).__name__}: {error}")
                progress.advance(task)
    return failed


def main(argv: list[str] | None = None) -> int:
    """Entry point; the exit status is 1 when a world failed, 2 for a wrong command line."""
    arguments = parser().parse_args(argv)
    console = Console(stderr=True)
    size = arguments.size or ((800, 800) if arguments.layout.startswith("vr180") else (640, 400))
    try:
        scenarios = [
            draw_scenario(
                arguments.split, arguments.seed + k, frames=arguments.frames, eye_size=size, layout=arguments.layout,
                camera=arguments.cameras[k % len(arguments.cameras)] if arguments.cameras else None,
            )
            for k in range(arguments.worlds)
        ]  # fmt: skip
        arguments.output.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        console.print(f"[red]error:[/red] {error}", markup=True)
        return 2
    before = sum(is_finished(arguments.output / s.name) for s in scenarios)
    failed = run(scenarios, arguments.output, arguments.format, arguments.depth, arguments.workers, console)
    for message in failed:
        console.print(f"[red]failed:[/red] {message}")
    made = len(scenarios) - before - len(failed)
    console.print(f"{made} worlds rendered, {before} were there, {len(failed)} failed: {arguments.output}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
