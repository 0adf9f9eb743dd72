"""The line that a clip runs through: what each stage needs, reads, and leaves in the clip's folder.

A stage calls one room and writes what it returns. It is a plain function of a ``Clip``, whose products are loaded from
disk only when asked for: a rerun of ``questions`` decodes no video.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.clip import Clip
from pipelines.ledger import canonical, digest, fingerprint
from pipelines.local_runner import Leg
from pipelines.masking import masked
from pipelines.resources import Resources, cameras_resources, objects_resources, plain
from schemas import run_folder as names
from schemas import tables
from schemas.clip import ClipSpec, Source
from schemas.config import Config, VideoConfig

PLAN_VERSION = 1  # raised when other clips come out of the same source for a reason that is not in the video room


def scan(input_root: Path, config: VideoConfig) -> Any:
    """``curation.video.scan``, imported when called."""
    from curation import video as room

    return room.scan(input_root, config)


def candidates(root: Path) -> Any:
    """``curation.video.sources.candidates``, imported when called."""
    from curation.video import sources

    return sources.candidates(root)


def read_source(candidate: Any, config: VideoConfig) -> Source:
    """``curation.video.sources.read_source``, imported when called."""
    from curation.video import sources

    return sources.read_source(candidate, config)


def plan_clips(source: Source, config: VideoConfig) -> Any:
    """``curation.video.plan_clips``, imported when called."""
    from curation import video as room

    return room.plan_clips(source, config)


@dataclass(frozen=True)
class Stage:
    """One step of the line.

    Attributes:
        version: raised when the stage itself gives other results for the same input; its clips are then measured again.
        sections: of the configuration that it reads.
        upstream: stages whose products it reads.
        writes: published tables that its rows are for; a changed column makes it run again.
        after_selection: it works on the questions that the run as a whole selected, so it waits for all clips.
        run: does the work, returns small JSON statistics, raises ``Rejected``.
        resources: what it wants of its worker, by the configuration.
        rooms: of ``curation`` whose code it runs; a changed file of theirs makes it run again, since labels may differ.
    """

    name: str
    version: int
    sections: tuple[str, ...]
    upstream: tuple[str, ...]
    writes: tuple[str, ...]
    run: Callable[[Clip], dict[str, Any]]
    after_selection: bool = False
    rooms: tuple[str, ...] = ()
    resources: Callable[[Config], Resources] = plain


def video(clip: Clip) -> dict[str, Any]:
    """Decode, judge, publish the left view as mp4."""
    frames = clip.decode(with_video=True)
    clip.save_info()
    return {"frames": len(frames.times_s), "width": frames.camera.width, "height": frames.camera.height, "stereo": frames.stereo}


def cameras(clip: Clip) -> dict[str, Any]:
    """The camera's path: out of annotations, metric from stereo, from one eye up to scale or with a model of metric depth."""
    from curation import cameras as room
    from curation.shards.rows import camera_rows

    if clip.annotation is not None:
        from curation.imports import imported_path

        clip.path = imported_path(clip.annotation, clip.frames, clip.config.imports)
    elif clip.frames.stereo:
        clip.path = room.estimate_path(clip.frames, clip.config.cameras, seed=clip.config.seed)
    else:
        clip.path = room.estimate_mono_path(clip.frames, clip.config.cameras, clip.config.depth, seed=clip.config.seed)
    clip.save_table(names.CAMERAS, camera_rows(clip.info, clip.path), tables.CAMERAS)
    stats: dict[str, Any] = clip.path.stats
    return stats


def objects(clip: Clip) -> dict[str, Any]:
    """What moves, as tracks with words. Without a metric path nothing metric can be said of objects, and nothing is."""
    from curation import objects as room
    from curation.objects.naming import list_entities, name_objects
    from curation.shards.rows import object_rows, track_rows
    from schemas.camera import CameraPath

    path, tracks, words = clip.path, list[Any](), list[Any]()
    if clip.annotation is not None and clip.annotation.has_objects:
        from curation.imports import imported_objects

        tracks, words = imported_objects(clip.annotation, clip.frames, path, clip.config)
    elif isinstance(path, CameraPath) and clip.frames.stereo:
        config = clip.config
        prompts = list_entities(clip.frames, config.naming, config.objects.backend)
        tracks = room.find_moving_objects(clip.frames, path, config.objects, config.depth, seed=config.seed, prompts=prompts)
        words = name_objects(clip.frames, tracks, config.naming, path) if tracks else []
    elif isinstance(path, CameraPath):
        from curation.imports.one_eye import objects_of_one_eye

        prompts = list_entities(clip.frames, clip.config.naming, clip.config.objects.backend)
        tracks, words = objects_of_one_eye(clip.frames, path, clip.config, prompts)
    clip.tracks = tracks
    clip.save_table(names.OBJECTS, object_rows(clip.info, tracks, words), tables.OBJECTS)
    rows = track_rows(clip.info, path, tracks) if isinstance(path, CameraPath) else []
    clip.save_table(names.TRACKS, rows, tables.TRACKS)
    return {"objects": len(tracks), "described": sum(bool(d.text) for d in words)}


def relations(clip: Clip) -> dict[str, Any]:
    """Facts: values with sigma and margin."""
    from curation.relations import clip_facts
    from curation.shards.products import fact_row

    info, config = clip.info, clip.config
    facts = clip_facts(
        info.clip_id,
        info.question,
        info.times_s,
        clip.path,
        clip.tracks,
        config.relations,
        seed=config.seed,
        assumed=info.assumed,
    )
    rows = sorted((fact_row(fact) for fact in facts), key=lambda row: row["fact_id"])
    clip.save_table(names.FACTS, rows, tables.FACTS)
    return {"facts": len(facts), "safe": sum(fact.safe for fact in facts)}


def questions(clip: Clip) -> dict[str, Any]:
    """Safe facts -> multiple-choice rows. ``run_id`` is filled in when they are packed: it speaks for the whole run."""
    from curation.questions import ask

    config = clip.config
    rows = ask(clip.row, clip.facts, clip.descriptions, config.questions, seed=config.seed, run_id="")
    clip.save_table(names.QUESTIONS, sorted(rows, key=lambda row: row["id"]), tables.SFT)
    return {"questions": len(rows)}


def select(rows: list[dict[str, Any]], config: Config) -> list[dict[str, Any]]:
    """The rows of one split that are published; balance is a property of many clips, so no stage can decide it alone."""
    from curation.questions import select as room

    return room(rows, config.questions, config.seed)


def reasoning(clip: Clip) -> dict[str, Any]:
    """Chains of thought and reinforcement rows, of the clip's selected questions as they are published."""
    from curation.reasoning import reason_clip

    config = clip.config
    chains, solutions = reason_clip(clip.row, clip.selected, clip.facts, clip.descriptions, config.reasoning, seed=config.seed)
    clip.save_table(names.REASONING, chains, tables.ST_COT)
    clip.save_table(names.RFT, solutions, tables.RFT)
    return {"chains": len(chains), "solutions": len(solutions)}


STAGES: tuple[Stage, ...] = (
    Stage("video", 1, ("video",), (), (), video, rooms=("video",)),
    Stage(
        "cameras",
        1,
        ("cameras", "imports", "depth"),
        ("video",),
        ("cameras",),
        cameras,
        resources=cameras_resources,
        rooms=("cameras", "imports", "depth", "objects/backends/runtime.py"),
    ),
    Stage(
        "objects",
        1,
        ("objects", "depth", "naming", "imports"),
        ("video", "cameras"),
        ("objects", "tracks"),
        objects,
        resources=objects_resources,
        rooms=("objects", "depth", "cameras", "imports"),
    ),
    Stage("relations", 1, ("relations",), ("cameras", "objects"), ("facts",), relations, rooms=("relations",)),
    Stage("questions", 1, ("questions", "relations"), ("objects", "relations"), ("sft",), questions, rooms=("questions",)),
    Stage(
        "reasoning",
        1,
        ("reasoning",),
        ("cameras", "objects", "relations", "questions"),
        ("st_cot", "rft"),
        reasoning,
        after_selection=True,
        rooms=("reasoning", "questions"),
    ),
)

# What a worker host imports once for all clips. None of it may start a thread: the host forks (a test looks).
PRELOAD = (
    "cv2",
    "av",
    "pycolmap",
    "scipy.optimize",
    "scipy.ndimage",
    "scipy.spatial",
    "scipy.sparse.linalg",
    "pandas",  # pyarrow looks for it when it first makes a table
    "curation.video",
    "curation.cameras",
    "curation.objects",
    "curation.objects.describe",
    "curation.relations",
    "curation.questions",
    "curation.reasoning",
    "curation.shards.products",
    "curation.shards.writer",
    "pipelines.clip_task",
)


@functools.cache
def _code_of(room: str) -> str:
    """Hash of the code and the data files of one room: what a stage gives depends on them as much as on the pixels.

    ``"."`` stands for what all rooms use; a file of a room for itself alone.
    """
    root = Path(__file__).resolve().parent.parent / "curation"
    if room == ".":
        files = [*sorted(root.glob("*.py")), root / "shards" / "products.py", root / "shards" / "rows.py"]
    elif room.endswith(".py"):
        files = [root / room]
    else:
        files = sorted(path for path in (root / room).rglob("*") if path.suffix in {".py", ".yaml", ".jinja"})
    return fingerprint([(path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")) for path in files])


def code_print(stages: tuple[Stage, ...]) -> str:
    """Hash of the code of all rooms that the stages run, and of the one that packs: what a run publishes depends on it."""
    return fingerprint(
        [[room, _code_of(room)] for room in sorted({room for stage in stages for room in stage.rooms} | {"shards"})]
    )


def plan_print(config: Config) -> str:
    """Hash of what finding sources and cutting clips depends on, besides the input."""
    return fingerprint(PLAN_VERSION, _code_of("video"), config.video.model_dump(mode="json"))


def legs_of(stages: tuple[Stage, ...], config: Config) -> tuple[Leg, ...]:
    """The stages in runs of neighbours that one kind of worker does: plain ones together, each model by itself."""
    out: list[Leg] = []
    for stage in stages:
        want = stage.resources(config)
        if out and not want.model and not out[-1].model:
            last = out[-1]
            out[-1] = Leg((*last.stages, stage.name), max(last.cpus, want.cpus), max(last.gpus, want.gpus))
        else:
            out.append(Leg((stage.name,), want.cpus, want.gpus, want.model))
    return tuple(out)


_last_fixed: tuple[Config, tuple[Stage, ...], list[tuple[str, str]]] | None = None  # of what a process works with


def _fixed(config: Config, stages: tuple[Stage, ...]) -> list[tuple[str, str]]:
    """Per stage, the two parts of its fingerprint's text that no clip changes, made once for all clips.

    A changed key or token changes no result, so values are masked.
    """
    global _last_fixed
    if _last_fixed is None or _last_fixed[0] is not config or _last_fixed[1] is not stages:
        values, texts = masked(config.model_dump(mode="json")), []
        for stage in stages:
            sections = {name: values[name] for name in stage.sections}
            code = [_code_of(room) for room in (*stage.rooms, ".")] if stage.rooms else []
            columns = [tables.PUBLISHED[name].to_string() for name in stage.writes]
            texts.append((canonical([config.seed, stage.name, stage.version, sections])[1:-1], canonical([columns, code])[1:-1]))
        _last_fixed = (config, stages, texts)
    return _last_fixed[2]


def fingerprints(spec: ClipSpec, config: Config, stages: tuple[Stage, ...], selection: str = "") -> dict[str, str]:
    """Per stage, the hash of all that its result for this clip depends on.

    ``selection`` is the digest of the clip's selected questions, for the stages that wait for them. A start looks at every
    clip, so that this is what starting a large run costs.
    """
    out: dict[str, str] = {}
    clip_id, assumed = spec.clip_id, list(spec.source.assumed)
    for stage, (about, rest) in zip(stages, _fixed(config, stages), strict=True):
        source = [clip_id, assumed, selection if stage.after_selection else ""]
        source += [spec.source.annotations_sha256] if "imports" in stage.sections else []
        upstream = [out[name] for name in stage.upstream]
        out[stage.name] = digest(f"[{canonical(source)},{about},{canonical(upstream)},{rest}]")
    return out
