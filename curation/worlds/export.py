"""Write a world as a source that the factory reads, with its truth beside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
import yaml
from jaxtyping import UInt8

from curation.video.encode import ClipWriter
from curation.worlds.exact import truth_of
from curation.worlds.render import frames_of
from curation.worlds.scenarios import Scenario, build, calibration
from curation.worlds.truth import TRUTH, save_truth
from curation.worlds.world import World
from schemas.camera import Array

TRUTH_FOLDER = "truth"
FORMATS = ("mp4", "png")


def is_finished(folder: Path) -> bool:
    """Whether a world's folder was completely written."""
    return (folder / TRUTH_FOLDER / TRUTH).exists()


def write_world(
    scenario: Scenario, output: Path, *, image_format: str = "mp4", depth: bool = False, advance: Callable[[], None] | None = None
) -> Path:
    """Render a scenario into ``output/<name>``: the eyes, ``calib.yaml`` and ``truth/``. The folder appears when complete.

    Args:
        scenario: what to render.
        output: folder of all worlds.
        image_format: "mp4" (H.264) or "png" (a folder of pictures without loss).
        depth: keep the exact depth maps too (large).
        advance: called after every frame.

    Raises:
        ValueError: an unknown format.
    """
    if image_format not in FORMATS:
        raise ValueError(f"expected format out of {list(FORMATS)}, got {image_format!r}")
    cv2.setNumThreads(1)
    final = output / scenario.name
    if is_finished(final):
        return final
    folder = output / f".{scenario.name}.{os.getpid()}.part"  # hidden: the factory passes it over
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        world = build(scenario)
        _write_eyes(world, scenario, folder, image_format, advance)
        text = yaml.safe_dump(calibration(world, scenario.layout), sort_keys=False)
        (folder / "calib.yaml").write_text(text)
        save_truth(truth_of(world, keep_depth=depth), folder / TRUTH_FOLDER)
        shutil.rmtree(final, ignore_errors=True)  # an unfinished folder of an older version
        os.replace(folder, final)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return final


def _write_eyes(world: World, scenario: Scenario, folder: Path, image_format: str, advance: Callable[[], None] | None) -> None:
    """``left`` and, where they are two files, ``right``: as mp4 or as folders of PNG."""
    together = scenario.layout.endswith("side_by_side")
    names = ("left", "right") if scenario.layout == "pair" else ("left",)
    size = (world.image_size[0] * (2 if together else 1), world.image_size[1])
    with ExitStack() as stack:
        writers: list[ClipWriter] = []
        if image_format == "mp4":
            writers = [stack.enter_context(ClipWriter(folder / f"{n}.mp4", *size, world.fps, scenario.crf)) for n in names]
        for number, pictures in enumerate(frames_of(world, (0,) if scenario.layout == "mono" else (0, 1))):
            pictures = [np.concatenate(pictures, 1)] if together else pictures
            for index, picture in enumerate(pictures):
                if writers:
                    writers[index].add(picture)
                else:
                    _write_png(folder / names[index] / f"{number:06d}.png", picture)
            if advance:
                advance()
        for writer in writers:
            writer.finish(world.times_s.tolist())


def _write_png(path: Path, picture: UInt8[Array, "h w 3"]) -> None:
    done, data = cv2.imencode(".png", picture[..., ::-1])
    if not done:
        raise OSError(f"{path.name}: this picture could not be encoded as PNG")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data.tobytes())
