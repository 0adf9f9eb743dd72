"""The benchmark of the engine measures what it says, on a handful of clips."""

from __future__ import annotations

from pathlib import Path

from pipelines import bench_scale


def test_tiny_clips_are_built_twice_and_counted(tmp_path: Path) -> None:
    found = bench_scale.measure(tmp_path, ["clips"], [3], 0, workers=0)
    (run,) = found["clips"]
    assert run["clips"] == 3 and run["core_ms_per_clip"] >= run["driver_core_ms_per_clip"] > 0
    assert 50 < run["driver_peak_mb"] < 1000
    assert run["finished_run_core_s"] > 0
    assert "finished run starts in" in bench_scale.text(found)
