"""A line of stages that cost next to nothing, on sources of some bytes: what is measured over it is the engine alone.

``pipelines.bench_scale`` runs it. A source is a file ``X.tiny``; its clip passes all stages and yields one question.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.clip import Clip
from pipelines.files import replacing, write_json
from pipelines.ledger import fingerprint
from pipelines.stages import Stage
from schemas import run_folder as names
from schemas import tables
from schemas.camera import CameraPath, Intrinsics
from schemas.clip import ClipSpec, Source
from schemas.config import Config, VideoConfig
from schemas.track import Fact

PRELOAD = ("pipelines.tiny_line", "pipelines.clip_task", "curation.shards.rows", "curation.shards.writer", "pandas")
FRAMES = 4


@dataclass(frozen=True)
class Listed:
    """Sources, or clips, and nothing refused."""

    sources: list[Source]
    clips: list[ClipSpec]
    refused: list[Any]
    likeness: tuple[int, ...] = ()


def scan(root: Path, config: VideoConfig) -> Listed:
    """Every ``X.tiny`` below ``root``."""
    return Listed([_source(file) for file in sorted(root.rglob("*.tiny"))], [], [])


def _source(file: Path) -> Source:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Source(file.stem, "mono", str(file), None, digest, None, {"hfov_deg": 60.0}, None, ())


def plan_print(config: Config) -> str:
    """Nothing that it depends on can change."""
    return fingerprint("tiny")


def plan_clips(source: Source, config: VideoConfig) -> Listed:
    """One clip."""
    return Listed([], [ClipSpec(source, 0, FRAMES, 0.0, 0.4, "{}")], [])


def select(rows: list[dict[str, Any]], config: Config) -> list[dict[str, Any]]:
    """All of them."""
    return sorted(rows, key=lambda row: row["id"])


def video(clip: Clip) -> dict[str, Any]:
    """An empty video."""
    from curation.shards.products import ClipInfo

    every = np.arange(FRAMES)
    clip.info = ClipInfo(clip.spec, every / 10, every, every, every, Intrinsics(50, 50, 32, 24, 64, 48), 0.1, ())
    write_json(clip.file(names.CLIP_JSON), clip.info.to_json())
    with replacing(clip.file(names.CLIP_VIDEO)) as temporary:
        temporary.write_bytes(b"tiny")
    return {}


def cameras(clip: Clip) -> dict[str, Any]:
    """A camera that stands, nothing that moves."""
    from curation.shards.rows import camera_rows

    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    clip.path = CameraPath(poses, np.zeros((FRAMES, 6, 6)), True, 0.0, 0.1, 0.2, {})
    clip.save_table(names.CAMERAS, camera_rows(clip.info, clip.path), tables.CAMERAS)
    clip.tracks = []
    clip.save_table(names.OBJECTS, [], tables.OBJECTS)
    clip.save_table(names.TRACKS, [], tables.TRACKS)
    return {}


def questions(clip: Clip) -> dict[str, Any]:
    """One fact, one question."""
    from curation.shards.products import fact_row

    fact = Fact(clip.info.clip_id, "camera_distance", "", "", 0, 3, 1.5, "m", "", 0.1, 15.0, 3.0, {})
    clip.save_table(names.FACTS, [fact_row(fact)], tables.FACTS)
    row = {
        "id": f"{clip.info.clip_id}-000",
        "clip_id": clip.info.clip_id,
        "video": clip.row["video"],
        "kind": fact.kind,
        "question": "How far does the camera move?",
        "options": ["1.5 m", "2.0 m"],
        "answer": "A",
        "answer_text": "1.5 m",
        "answer_value": 1.5,
        "object_id": "",
        "frame_i": 0,
        "frame_j": 3,
        "fact_ids": [fact.fact_id],
        "messages": [{"role": "user", "content": "<video>?"}, {"role": "assistant", "content": "A"}],
        "generator": "tiny",
        "run_id": "",
    }
    clip.save_table(names.QUESTIONS, [row], tables.SFT)
    return {"questions": 1}


def reasoning(clip: Clip) -> dict[str, Any]:
    """Of the selected question, a chain of thought."""
    still = [[0.0] * 3] * 2
    thoughts = {"thinking": "It moves.", "response": "<answer>A</answer>", "camera_center": still, "reward": 1.0}
    clip.save_table(names.REASONING, [row | thoughts for row in clip.selected], tables.ST_COT)
    solved = {"solution": [{"answer": "A", "camera_center": still, "object_center": None}], "motion_score": 2.0}
    clip.save_table(names.RFT, [row | solved for row in clip.selected], tables.RFT)
    return {"chains": len(clip.selected)}


# Sections as of the real stages: what a start costs is mostly the fingerprints.
STAGES = (
    Stage("video", 1, ("video",), (), (), video),
    Stage(
        "cameras",
        1,
        ("cameras", "objects", "depth", "naming", "imports"),
        ("video",),
        ("cameras", "objects", "tracks"),
        cameras,
    ),
    Stage("questions", 1, ("relations", "questions"), ("cameras",), ("facts", "sft"), questions),
    Stage("reasoning", 1, ("reasoning",), ("questions",), ("st_cot", "rft"), reasoning, after_selection=True),
)


def make_input(folder: Path, clips: int) -> Path:
    """A folder of ``clips`` sources."""
    for n in range(clips):
        file = folder / f"{n // 1000:03d}" / f"{n:06d}.tiny"
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            file.write_text(f"clip {n}")
    return folder
