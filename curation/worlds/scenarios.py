"""What a set of worlds is made of: the options of the k-th world of a split, drawn from its seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from curation.worlds.motion import CAMERAS
from curation.worlds.placement import make_world
from curation.worlds.world import World
from schemas.camera import Intrinsics

# Thresholds may be chosen on tuning worlds; test worlds are for the figures that are reported. No seed is in both.
SPLITS: dict[str, range] = {"tuning": range(0, 1_000_000), "test": range(1_000_000, 2_000_000)}
LAYOUTS = ("pair", "mono", "side_by_side", "vr180_side_by_side")
_CAMERA_SHARES = {"static": 0.12, "forward": 0.19, "backward": 0.06, "sideways": 0.12, "orbit": 0.11, "pan": 0.08, "shake": 0.14,
                  "curve": 0.08, "fast": 0.1}  # fmt: skip
VR180_HFOV_DEG = 60.0
VR180_TRUTH_PX = 512


@dataclass(frozen=True)
class Scenario:
    """One world to be rendered.

    Attributes:
        name: of its folder: ``<split>_<seed>_<camera>``.
        options: arguments of ``make_world``.
        crf: quality of the video compression (H.264; lower is better).
        layout: one of ``LAYOUTS``.
        eye_size: width and height of one eye's picture.
    """

    name: str
    options: dict[str, Any]
    crf: int
    layout: str
    eye_size: tuple[int, int]


def draw_scenario(
    split: str, index: int, *, camera: str | None = None, frames: int = 40, eye_size: tuple[int, int] = (640, 400),
    layout: str = "pair",
) -> Scenario:  # fmt: skip
    """The options of the ``index``-th world of a split; the same for the same arguments, whatever else is rendered.

    Raises:
        ValueError: the split, camera or layout does not exist, or the split has no such index.
    """
    if split not in SPLITS:
        raise ValueError(f"expected split out of {sorted(SPLITS)}, got {split!r}")
    if not 0 <= index < len(SPLITS[split]):
        raise ValueError(f"expected a world number of 0 to {len(SPLITS[split]) - 1}, got {index}")
    if layout not in LAYOUTS:
        raise ValueError(f"expected layout out of {list(LAYOUTS)}, got {layout!r}")
    if camera is not None and camera not in CAMERAS:
        raise ValueError(f"expected a camera out of {sorted(CAMERAS)}, got {camera!r}")
    seed = SPLITS[split][index]
    rng = np.random.default_rng([seed, 11])
    shares = np.array(list(_CAMERA_SHARES.values()))
    drawn = str(rng.choice(list(_CAMERA_SHARES), p=shares / shares.sum()))
    kind = camera or drawn
    low, high = (0.12, 0.54) if kind == "fast" else (0.06, 0.4)
    options: dict[str, Any] = {
        "seed": seed,
        "camera": kind,
        "frames": frames,
        "baseline_m": round(float(np.exp(rng.uniform(np.log(low), np.log(high)))), 4),
        "hfov_deg": round(float(rng.uniform(55, 90)), 1),
        "texture": str(rng.choice(["rich", "mixed", "plain", "repeat"], p=[0.4, 0.35, 0.15, 0.1])),
        "noise": round(float(rng.uniform(0.5, 2.5)), 2),
        "shutter": 0.0 if rng.random() < 0.7 else round(float(rng.uniform(0.1, 0.5)), 2),
        "flicker": 0.0 if rng.random() < 0.75 else round(float(rng.uniform(0.05, 0.2)), 2),
        "width": eye_size[0],
        "height": eye_size[1],
    }
    crf = int(rng.choice([10, 12, 14, 18, 22]))
    if layout.startswith("vr180"):
        options |= {"baseline_m": 0.063, "hfov_deg": VR180_HFOV_DEG, "width": VR180_TRUTH_PX, "height": VR180_TRUTH_PX}
    return Scenario(f"{split}_{seed:07d}_{kind}", options, crf, layout, eye_size)


def build(scenario: Scenario) -> World:
    """The world of a scenario."""
    world = make_world(**scenario.options)
    if not scenario.layout.startswith("vr180"):
        return world
    return replace(world, projection="equirect", equirect_size=scenario.eye_size)


def calibration(world: World, layout: str) -> dict[str, Any]:
    """Content of ``calib.yaml`` (see design, "What goes in")."""
    view: Intrinsics = world.camera
    out: dict[str, Any] = {"layout": layout, "fps": world.fps}
    if not layout.startswith("vr180"):
        out["camera"] = {"fx": round(view.fx, 6), "fy": round(view.fy, 6), "cx": view.cx, "cy": view.cy,
                         "width": view.width, "height": view.height}  # fmt: skip
    if layout != "mono":
        out["baseline_m"] = world.baseline_m
    return out
