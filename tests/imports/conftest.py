"""One small rendered world with its truth as annotations, decoded once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from curation.imports import Annotation, write_annotations
from curation.imports.truth import annotation_of
from curation.video import decode_clip, plan_clips, scan
from curation.worlds.exact import truth_of
from curation.worlds.export import write_world
from curation.worlds.scenarios import build, draw_scenario
from curation.worlds.truth import Truth
from schemas.clip import ClipFrames, ClipSpec
from schemas.config import Config, VideoConfig

CONFIG = Config(video=VideoConfig(min_clip_s=1.0))


@dataclass(frozen=True)
class Annotated:
    """A source folder with ``annotations/``, its clip, and the truth behind it (with depth)."""

    root: Path
    spec: ClipSpec
    frames: ClipFrames
    truth: Truth
    annotation: Annotation


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Annotated:
    """A turning and moving camera filmed with one eye, movers and parked bodies."""
    scenario = draw_scenario("tuning", 44, camera="orbit", frames=16, eye_size=(256, 160), layout="mono")
    scenario = replace(
        scenario, options=scenario.options | {"noise": 0.5, "shutter": 0.0, "flicker": 0.0, "texture": "rich"}, crf=10
    )
    root = tmp_path_factory.mktemp("annotated")
    folder = write_world(scenario, root)
    truth = truth_of(build(scenario))
    annotation = annotation_of(truth)
    write_annotations(replace(annotation, depth_m=None), folder / "annotations")
    (source,) = scan(root, CONFIG.video).sources
    (spec,) = plan_clips(source, CONFIG.video).clips
    return Annotated(root, spec, decode_clip(spec, CONFIG.video, None), truth, annotation)
