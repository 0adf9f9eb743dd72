"""What one clip costs, stage by stage: ``python -m pipelines.bench``.

Core-seconds are user + system time of the clip's own process, which has one thread, so they hardly depend on what else the
machine does. The yardstick is COLMAP's global mapping of the same frames (features and matches not counted), measured in
the same run; it gives poses only, and those up to scale.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines import bench_rows, bench_scale
from pipelines.clip_task import measured
from pipelines.ledger import Ledger
from pipelines.local_runner import LocalRunner, Task
from schemas import run_folder as names
from schemas.config import Config

TIMEOUT_S = 3600.0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog="python -m pipelines.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m pipelines.bench --camera forward --keep /tmp/bench",
    )
    out.add_argument("--frames", type=int, default=40, metavar="N", help="stereo frames of 640x400 (default 40)")
    out.add_argument("--camera", default="orbit", metavar="NAME", help="how the camera moves (see pipelines.simulate)")
    out.add_argument("--seed", type=int, default=0, metavar="S", help="of the world (default 0)")
    out.add_argument("--rows", type=int, default=1_000_000, metavar="N", help="question rows to write (default 1000000)")
    out.add_argument("--keep", type=Path, metavar="DIR", help="keep the world and the run here; a world found here is used again")
    out.add_argument(
        "--scale", type=int, nargs="+", default=[10, 100, 1000, 10000], metavar="N", help="sizes of the runs of tiny clips"
    )
    out.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return out


def main(argv: list[str] | None = None) -> int:
    """Render, build, measure, print."""
    arguments = parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        found = measure(folder, arguments.frames, arguments.camera, arguments.seed)
        scale = bench_scale.measure(Path(temporary), bench_scale.PARTS, arguments.scale, bench_scale.ROWS)
    rows = bench_rows.measure(arguments.rows, workers=2)
    if arguments.json:
        print(json.dumps(found | {"rows": rows, "scale": scale}, indent=1))
    else:
        print(table(found), bench_rows.sentences(rows), bench_scale.text(scale), sep="\n")
    return 0


def measure(folder: Path, frames: int, camera: str, seed: int) -> dict[str, Any]:
    """Cost per stage of the one clip of a world, and of global mapping on its frames."""
    from pipelines import simulate
    from pipelines.run import run

    worlds, out = folder / "worlds", folder / "run"
    rendered = ["--output", str(worlds), "--worlds", "1", "--seed", str(seed), "--frames", str(frames), "--cameras", camera]
    if simulate.main([*rendered, "--workers", "1"]):
        raise RuntimeError("the world could not be rendered; see above")
    sections = {"run": {"workers": 1, "clip_timeout_s": TIMEOUT_S}, "shards": {"bench_share": 0.0}}
    if out.exists():  # measured anew every time
        shutil.rmtree(out)
    run(worlds, out, Config.model_validate(sections))
    report = json.loads((out / names.RUN_JSON).read_text(encoding="utf-8"))
    clip_ids = [path.name for path in sorted((out / names.CLIPS).iterdir())]
    ledger = Ledger(out)
    stages: dict[str, dict[str, Any]] = {}
    for stage in report["stages"]:
        records = [r for r in (ledger.read(stage, clip_id) for clip_id in clip_ids) if r]
        if records:
            stages[stage] = {
                "core_s": round(sum(r.cpu_s for r in records), 2),
                "wall_s": round(sum(r.seconds for r in records), 2),
                "peak_mb": round(max(r.peak_mb for r in records)),
                "outcome": ", ".join(sorted({f"{r.outcome} {r.reason}".strip() for r in records})),
            }
    mapped = _on_its_own(Task("mapping", "pipelines.bench:map_globally", {"video": str(_video(out, clip_ids[0]))}, TIMEOUT_S))
    total = round(sum(stage["core_s"] for stage in stages.values()), 2)
    return {
        "clip": {"frames": frames, "camera": camera, "width": 640, "height": 400},
        "stages": stages,
        "total_core_s": total,
        "peak_mb": max(stage["peak_mb"] for stage in stages.values()),
        "global_mapping": mapped,
        "ratio_to_global_mapping": round(total / max(mapped["mapping"]["core_s"], 1e-6), 2),
    }


def _video(out: Path, clip_id: str) -> Path:
    return out / names.clip_folder(clip_id) / names.CLIP_VIDEO


def _on_its_own(task: Task) -> dict[str, Any]:
    """The result of a task in a process of its own."""
    runner = LocalRunner(1, ("pycolmap", "av"))
    try:
        ((_, reply),) = runner.run([task])
    finally:
        runner.close()
    if reply.failed:
        raise RuntimeError(f"global mapping: {reply.failed.kind}: {reply.failed.message}")
    result: dict[str, Any] = reply.result
    return result


def map_globally(payload: dict[str, Any], begin: Callable[[str], None]) -> dict[str, Any]:
    """Task: features and matches of a clip's frames, then their global mapping, on one thread; the cost of each."""
    import av
    import pycolmap

    begin("mapping")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "images").mkdir()
        with av.open(payload["video"]) as container:
            for n, frame in enumerate(container.decode(video=0)):
                frame.to_image().save(folder / "images" / f"{n:05d}.png")
        matches = measured("", "matches", "", lambda: _match(folder, pycolmap))
        mapping = measured("", "mapping", "", lambda: _map(folder, pycolmap))
    if mapping.outcome != "ok":
        raise RuntimeError(f"{mapping.reason}: {mapping.message}")
    costs = {
        r.stage: {"core_s": round(r.cpu_s, 2), "wall_s": round(r.seconds, 2), "peak_mb": round(r.peak_mb)}
        for r in (matches, mapping)
    }
    return {**costs, **mapping.stats}


def _match(folder: Path, pycolmap: Any) -> dict[str, Any]:
    extraction, matching = pycolmap.FeatureExtractionOptions(), pycolmap.FeatureMatchingOptions()
    extraction.num_threads = matching.num_threads = 1
    mode, device = pycolmap.CameraMode.SINGLE, pycolmap.Device.cpu
    pycolmap.extract_features(folder / "db", folder / "images", camera_mode=mode, extraction_options=extraction, device=device)
    pycolmap.match_sequential(folder / "db", matching_options=matching, device=device)
    return {}


def _map(folder: Path, pycolmap: Any) -> dict[str, Any]:
    options = pycolmap.GlobalPipelineOptions()
    options.num_threads = 1
    maps = pycolmap.global_mapping(folder / "db", folder / "images", folder / "out", options)
    return {"registered": max((m.num_reg_images() for m in maps.values()), default=0)}


def table(found: dict[str, Any]) -> str:
    """The figures as text."""
    clip, mapped = found["clip"], found["global_mapping"]
    lines = [
        "",
        f"one clip of {clip['frames']} stereo frames, {clip['width']}x{clip['height']}, camera {clip['camera']}; one thread",
        f"{'stage':<22} {'core-s':>8} {'wall-s':>8} {'peak MB':>8}  outcome",
    ]
    for stage, cost in found["stages"].items():
        lines.append(f"{stage:<22} {cost['core_s']:>8.2f} {cost['wall_s']:>8.2f} {cost['peak_mb']:>8}  {cost['outcome']}")
    lines.append(f"{'all stages':<22} {found['total_core_s']:>8.2f} {'':>8} {found['peak_mb']:>8}")
    for name, step in (("COLMAP matches", "matches"), ("COLMAP global mapping", "mapping")):
        cost = mapped[step]
        lines.append(f"{name:<22} {cost['core_s']:>8.2f} {cost['wall_s']:>8.2f} {cost['peak_mb']:>8}")
    registered = mapped["registered"]
    lines.append(
        f"all stages / global mapping = {found['ratio_to_global_mapping']:.2f} "
        f"(it registered {registered} of {clip['frames']} frames, up to scale)"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
