"""How many clips an hour each learned backend does on this machine: ``python -m pipelines.bench_models``.

Every backend of objects, depth, poses and points that is asked for looks at the same clips, in this process, one after the
other. The first clip also loads the model, so it is told apart; the others give the rate. Backends whose weights or packages are
not here say what they lack, and the others go on. ``--set`` takes the options of ``schemas/config.py``.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.config_file import ConfigError, load_config
from schemas.clip import ClipFrames
from schemas.config import Config

OBJECTS = ("onnx", "sam3", "grounded_sam2", "edgetam")
DEPTH = ("depth_anything_v2", "zoedepth", "depth_pro", "moge2", "depth_anything_3")
POSES = ("vggt", "depth_anything_3")
NAMES = (*(f"objects.{n}" for n in OBJECTS), *(f"depth.{n}" for n in DEPTH), *(f"poses.{n}" for n in POSES), "points.cotracker")


@dataclasses.dataclass(frozen=True)
class Measured:
    """One backend: seconds of the first clip (loading included) and of each further one, peak GPU memory; or what it lacks."""

    name: str
    first_s: float = 0.0
    clip_s: float = 0.0
    peak_gpu_mb: float = 0.0
    lacks: str = ""

    @property
    def clips_per_hour(self) -> float:
        """Of one process, once the model is loaded."""
        return 3600 / self.clip_s if self.clip_s > 0 else 0.0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog="python -m pipelines.bench_models",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m pipelines.bench_models --input VIDEOS --backends objects.sam3 --set objects.batch=16",
    )
    out.add_argument("--input", type=Path, metavar="DIR", help="videos to look at (default: one rendered world)")
    out.add_argument("--backends", nargs="+", choices=NAMES, default=list(NAMES), metavar="NAME", help=f"of {', '.join(NAMES)}")
    out.add_argument(
        "--clips", type=int, default=3, metavar="N", help="clips after the first (default 3; repeated if there are fewer)"
    )
    out.add_argument(
        "--set", dest="sets", action="append", default=[], metavar="A.B=VALUE", help="an option, as in pipelines.build"
    )
    out.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return out


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    arguments = parser().parse_args(argv)
    try:
        config = load_config(None, arguments.sets)
        with tempfile.TemporaryDirectory() as temporary:
            clips = decoded(arguments.input or rendered(Path(temporary)), config, arguments.clips + 1)
    except (ConfigError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    found = []
    for name in arguments.backends:
        found.append(measure(name, clips, config, arguments.clips))
        print(f"{name}: {found[-1].lacks or f'{found[-1].clips_per_hour:.0f} clips an hour'}", file=sys.stderr)
    if arguments.json:
        rows = [dataclasses.asdict(m) | {"clips_per_hour": round(m.clips_per_hour, 1)} for m in found]
        print(json.dumps({"device": device(), "frames": len(clips[0].left), "backends": rows}, indent=1))
    else:
        print(table(found, clips[0]))
    return 0


def rendered(folder: Path) -> Path:
    """The input folder of one small world."""
    from pipelines import simulate

    call = ["--output", str(folder), "--worlds", "1", "--frames", "32", "--cameras", "forward", "--workers", "1"]
    if simulate.main(call):
        raise RuntimeError("the world could not be rendered; see above")
    return folder


def decoded(folder: Path, config: Config, count: int) -> list[ClipFrames]:
    """The first clips of a folder of videos.

    Raises:
        FileNotFoundError: there is none.
    """
    from curation import video

    out: list[ClipFrames] = []
    for source in video.scan(folder, config.video).sources:
        for spec in video.plan_clips(source, config.video).clips:
            if len(out) < count:
                out.append(video.decode_clip(spec, config.video, None))
    if not out:
        raise FileNotFoundError(f"expected videos below {folder}, found no clip")
    return out


def measure(name: str, clips: list[ClipFrames], config: Config, repeats: int) -> Measured:
    """The cost of one backend, on as many clips as asked for."""
    try:
        work = worker(name, config)
        _reset()
        start = time.perf_counter()
        work(clips[0])
        first_s = time.perf_counter() - start
        start = time.perf_counter()
        for k in range(repeats):
            work(clips[(k + 1) % len(clips)])
        return Measured(name, first_s, (time.perf_counter() - start) / max(repeats, 1), _peak_mb())
    except (ImportError, RuntimeError, MemoryError) as error:  # WeightsMissing is a RuntimeError
        return Measured(name, lacks=" ".join(str(error).split()))


def worker(name: str, config: Config) -> Callable[[ClipFrames], Any]:
    """What looks at one clip."""
    room, kind = name.split(".", 1)
    if room == "objects":
        from curation.objects.backends import find_instances

        objects = config.objects.model_copy(update={"backend": kind})
        return lambda clip: find_instances(clip.left, objects)
    if room == "depth":
        from curation.depth.monocular import metric_depth

        depth = config.depth.model_copy(update={"mono": kind})
        return lambda clip: metric_depth(clip.left, clip.camera, depth)
    if room == "poses":
        from curation.cameras.feedforward import BACKENDS

        cameras = config.cameras.model_copy(update={"backend": kind})
        return lambda clip: BACKENDS[kind](clip.left, clip.camera, cameras)
    from curation.objects.backends.points import tracked_flow

    points = config.objects.model_copy(update={"points": kind})

    def follow(clip: ClipFrames) -> None:
        flow = tracked_flow(clip.left, points)
        for t in range(len(clip.left) - 1):
            flow(t, t + 1)

    return follow


def device() -> str:
    """The accelerator in words."""
    try:
        import torch
    except ImportError:
        return "CPU (no torch)"
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


def _reset() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _peak_mb() -> float:
    torch = sys.modules.get("torch")
    return torch.cuda.max_memory_allocated() / 2**20 if torch is not None and torch.cuda.is_available() else 0.0


def table(found: list[Measured], clip: ClipFrames) -> str:
    """Markdown, for the docs."""
    height, width = clip.left.shape[1:3]
    lines = [
        f"{device()}; clips of {len(clip.left)} frames at {width}x{height}; one process",
        "",
        "| backend | first clip, loading included | each further clip | clips an hour | peak GPU memory |",
        "|---|---|---|---|---|",
    ]
    for m in found:
        if m.lacks:
            lines.append(f"| {m.name} | not here: {m.lacks[:90]} | | | |")
        else:
            peak = f"{m.peak_gpu_mb / 1024:.1f} GB" if m.peak_gpu_mb else "-"
            lines.append(f"| {m.name} | {m.first_s:.1f} s | {m.clip_s:.2f} s | {m.clips_per_hour:.0f} | {peak} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
