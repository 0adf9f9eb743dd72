"""A line of cheap stages that misbehave on request, so that runners, ledger and packing are tested without video.

A source is a file ``X.fake`` of JSON: ``{"clips": 2, "at": "cameras", "does": "crash"}``. Its stages write real products.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from curation.shards.products import ClipInfo, fact_row
from curation.shards.rows import camera_rows, object_rows, track_rows
from pipelines.clip import Clip
from pipelines.files import replacing, write_json
from pipelines.ledger import fingerprint
from pipelines.resources import objects_resources
from pipelines.stages import Stage
from schemas import run_folder as names
from schemas import tables
from schemas.camera import CameraPath, Intrinsics
from schemas.clip import ClipSpec, Source
from schemas.config import Config, VideoConfig
from schemas.outcome import Rejected
from schemas.track import Description, Fact, ObjectTrack

PRELOAD = ("tests.pipelines.fakes", "pipelines.clip_task", "curation.shards.writer", "pandas")
FRAMES = 6


@dataclass(frozen=True)
class _Found:
    sources: list[Source]
    refused: list[tuple[str, Rejected]]


def scan(root: Path, config: VideoConfig) -> _Found:
    sources = [_source(file.stem, file) for file in sorted(root.rglob("*.fake"))]
    return _Found(sources, [(file.stem, Rejected("unreadable_file", "bad")) for file in sorted(root.rglob("*.bad"))])


def candidates(root: Path) -> list[Any]:
    from curation.video.sources import Candidate  # not above: it brings much, and most tests do without

    return [Candidate(file.stem, file, None, None) for file in sorted(root.rglob("*.fake"))]


def read_source(found: Any, config: VideoConfig) -> Source:
    return _source(found.name, found.left)


def _source(name: str, file: Path) -> Source:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Source(name, "mono", str(file), None, digest, None, {"hfov_deg": 60.0}, None, ())


@dataclass(frozen=True)
class _Plan:
    clips: list[ClipSpec]
    refused: list[tuple[str, Rejected]]
    likeness: tuple[int, ...] = ()


def plan_print(config: Config) -> str:
    return fingerprint(config.video.model_dump(mode="json"))


def plan_clips(source: Source, config: VideoConfig) -> _Plan:
    wish = _wish(source)
    _misbehave(wish, "source")
    count = wish.get("clips", 1)
    return _Plan(
        [ClipSpec(source, n * 10, n * 10 + FRAMES, float(n), n + 0.6, "{}") for n in range(count)],
        [],
        tuple(wish.get("looks", ())),
    )


def select(rows: list[dict[str, Any]], config: Config) -> list[dict[str, Any]]:
    return [row for row in sorted(rows, key=lambda row: row["id"]) if not row["question"].endswith("drop")]


def _wish(source: Source) -> dict[str, Any]:
    return json.loads(Path(source.left).read_text())


def _misbehave(wish: dict[str, Any], stage: str) -> None:
    if wish.get("at") != stage:
        return
    does = wish["does"]
    flag = Path(wish["flag"]) if "flag" in wish else None
    if flag and flag.exists():  # misbehaved once already
        return
    if flag:
        flag.write_text("done")
    if does == "reject":
        raise Rejected("too_dull", "nothing happens")
    if does == "error":
        raise ValueError("broken in the usual way")
    if does == "leak":
        raise ValueError(f"401 Unauthorized for {os.environ['SOME_API_KEY']}")
    if does == "leak_variable":
        raise OSError(f"refused {os.environ[wish['name']]} as a key")
    if does == "leak_store_key":
        raise OSError(f"403 for {os.environ['AWS_ACCESS_KEY_ID']}:{os.environ['AWS_SECRET_ACCESS_KEY']}")
    if does == "leak_at_the_cut":  # so that what is kept of the output begins, and of the message ends, in the middle of it
        key = os.environ["SOME_API_KEY"]
        if wish["how"] == "raise":
            raise ValueError("x" * (2000 - len(key) // 2) + key)
        print(key + "y" * (400 - len(key) // 2), flush=True)
        os.abort()
    if does == "leak_and_abort":
        print("key", os.environ["SOME_API_KEY"], flush=True)
        os.abort()
    if does == "segfault":
        ctypes.string_at(0)
    if does == "abort":
        print("native: about to abort", flush=True)
        os.abort()
    if does == "kill_host":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    if does == "kill_worker":  # the process that started the host; a Ray worker, if the runner is Ray's
        os.kill(psutil.Process(os.getppid()).ppid(), signal.SIGKILL)
        time.sleep(60)
    if does == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(wish["pids"]).write_text(f"{os.getpid()} {child.pid}")
        while True:
            time.sleep(1)
    if does == "memory":
        hoard = [np.ones(2**27) for _ in range(64)]  # 64 GiB
        print(len(hoard))
    if does == "slow":
        time.sleep(wish["seconds"])
    if does == "grow":  # as a leak does: a little at a time
        hoard = []
        while True:
            hoard.append(bytearray(2**24))
    if does == "disk_full":  # the kernel refuses every byte to a file from here on, in the middle of whatever is written
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))
    if does == "exit":
        os._exit(7)


def _called(clip: Clip, stage: str) -> None:
    """Leave a mark per call, and misbehave where the source asks for it."""
    calls = Path(os.environ.get("FAKE_CALLS") or clip.folder.parent.parent / "calls")
    calls.mkdir(exist_ok=True)
    with (calls / stage).open("a") as handle:
        handle.write(clip.spec.clip_id + "\n")
    if workers := os.environ.get("FAKE_WORKERS"):  # who did it: the process, and the GPU that it was given
        with (Path(workers) / stage).open("a") as handle:
            handle.write(f"{os.getpid()} gpu={os.environ.get('CUDA_VISIBLE_DEVICES', '')} {time.time():.3f}\n")
    _misbehave(_wish(clip.source), stage)


def _rng(clip: Clip) -> np.random.Generator:
    return np.random.default_rng(int(clip.spec.clip_id, 16) + clip.config.seed)


def video(clip: Clip) -> dict[str, Any]:
    _called(clip, "video")
    every = np.arange(FRAMES)
    camera = Intrinsics(50, 50, 32, 24, 64, 48)
    clip.info = ClipInfo(clip.spec, every / 10, every, every + clip.spec.start_frame, every, camera, 0.1, ("hfov_deg",))
    write_json(clip.file(names.CLIP_JSON), clip.info.to_json())
    with replacing(clip.file(names.CLIP_VIDEO)) as temporary:
        temporary.write_bytes(clip.spec.clip_id.encode() * 100)
    return {"frames": FRAMES}


def cameras(clip: Clip) -> dict[str, Any]:
    _called(clip, "cameras")
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[1:, :3, 3] = _rng(clip).normal(size=(FRAMES - 1, 3))
    clip.path = CameraPath(poses, np.zeros((FRAMES, 6, 6)), False, 0.0, 0.1, 0.2, {"nan": float("nan")})
    clip.save_table(names.CAMERAS, camera_rows(clip.info, clip.path), tables.CAMERAS)
    return {"residual_px": float("nan"), "tracks": np.int64(12)}


def objects(clip: Clip) -> dict[str, Any]:
    _called(clip, "objects")
    rng = _rng(clip)
    tracks = []
    for n in range(int(rng.integers(0, 3))):
        visible = np.arange(FRAMES) > 0
        centre = np.where(visible[:, None], rng.normal(size=(FRAMES, 3)) + [0, 0, 5], np.nan)
        points = (centre[:, None] + rng.normal(size=(1, 4, 3)) * 0.1).astype(np.float32)
        masks = tuple({"size": [48, 64], "counts": "PPYo1"} if v else None for v in visible)
        boxes = np.where(visible[:, None], [[1.0, 2.0, 30.0, 40.0]], np.nan)
        covariance, sigma = np.tile(np.eye(3) * 1e-4, (FRAMES, 1, 1)), np.full(FRAMES, 0.02)
        counts = np.full(FRAMES, 4)
        track = ObjectTrack(f"obj_{n + 1}", visible, centre, covariance, 0.01, points, sigma, visible, masks, boxes, counts)
        tracks.append(track)
    words = [Description(track.object_id, "thing", f"the thing number {track.object_id[-1]}", "geometry") for track in tracks]
    clip.tracks = tracks
    clip.save_table(names.OBJECTS, object_rows(clip.info, tracks, words), tables.OBJECTS)
    clip.save_table(names.TRACKS, track_rows(clip.info, clip.path, tracks), tables.TRACKS)
    return {"objects": len(tracks)}


def relations(clip: Clip) -> dict[str, Any]:
    _called(clip, "relations")
    about = ["", *(track.object_id for track in clip.tracks)]
    facts = [
        Fact(clip.info.clip_id, "camera_distance", who, "", 0, 5, 1.5, "m", "", 0.1, 15.0, 3.0, {"x": [1.0, 2.0]})
        for who in about
    ]
    clip.save_table(names.FACTS, sorted((fact_row(f) for f in facts), key=lambda row: row["fact_id"]), tables.FACTS)
    return {"facts": len(facts)}


def questions(clip: Clip) -> dict[str, Any]:
    _called(clip, "questions")
    rows = []
    for n, fact in enumerate(clip.facts[: clip.config.questions.max_per_clip]):
        letter = "AB"[int(clip.info.clip_id[n % 16], 16) % 2]  # of no pattern, or the run would be refused as given away
        text = {"A": "1.5 m", "B": "2.0 m"}[letter]
        rows.append(
            {
                "id": f"{clip.info.clip_id}-{n:03d}",
                "clip_id": clip.info.clip_id,
                "video": clip.row["video"],
                "kind": fact.kind,
                "question": f"How far does {fact.object_id or 'the camera'} move?",
                "options": ["1.5 m", "2.0 m"],
                "answer": letter,
                "answer_text": text,
                "answer_value": float(text[:3]),
                "object_id": fact.object_id,
                "frame_i": 0,
                "frame_j": 5,
                "fact_ids": [fact.fact_id],
                "messages": [{"role": "user", "content": "<video>?"}, {"role": "assistant", "content": letter}],
                "generator": "fake",
                "run_id": "",
            }
        )
    clip.save_table(names.QUESTIONS, rows, tables.SFT)
    return {"questions": len(rows)}


def reasoning(clip: Clip) -> dict[str, Any]:
    _called(clip, "reasoning")
    thoughts = {"thinking": "It moves.", "response": "<answer>?</answer>", "camera_center": [[0.0] * 3] * 2, "reward": 1.0}
    clip.save_table(names.REASONING, [row | thoughts for row in clip.selected], tables.ST_COT)
    centres = {"camera_center": [[0.0] * 3] * 2, "object_center": None}
    solved = [row | {"solution": [{"answer": row["answer"], **centres}], "motion_score": 2.0} for row in clip.selected]
    clip.save_table(names.RFT, solved, tables.RFT)
    return {"reasoned": len(clip.selected)}


STAGES = (
    Stage("video", 1, ("video",), (), (), video),
    Stage("cameras", 1, ("cameras",), ("video",), ("cameras",), cameras),
    Stage("objects", 1, ("objects", "depth"), ("video", "cameras"), ("objects", "tracks"), objects, resources=objects_resources),
    Stage("relations", 1, ("relations",), ("cameras", "objects"), ("facts",), relations),
    Stage("questions", 1, ("questions",), ("objects", "relations"), ("sft",), questions),
    Stage("reasoning", 1, ("reasoning",), ("questions",), ("st_cot", "rft"), reasoning, after_selection=True),
)


def make_input(folder: Path, **wishes: dict[str, Any]) -> Path:
    """An input folder with one fake source per keyword."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, wish in wishes.items():
        (folder / f"{name}.fake").write_text(json.dumps({"name": name, **wish}))
    return folder
