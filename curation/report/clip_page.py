"""The page of one clip: a player, its paths in space, distances over time, its questions and its facts."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from curation.audit.published import PublishedClip, Row, decode_mask
from curation.report.clip_view import ClipView
from curation.report.figures import CAMERA_COLOUR, Curve, Figure, PathLine, colour, curves, floats, paths
from curation.report.frames import decode_frames, write_jpeg, write_sheet
from curation.report.outlines import outlines
from curation.report.page import file_name, write_page
from curation.report.pictures import overlay
from curation.report.truth_view import TruthView, centroids, column, true_mask, truth_view
from curation.worlds.truth import Truth
from schemas.camera import Array

_SHEET_FRAMES = 64  # at full size; the frames of longer clips are scaled down, so that a sheet stays small
_FRAME_PX = 640
_THUMB_PX = 360


def write_clip_page(
    folder: Path,
    view: ClipView,
    *,
    status: Row,
    truth: Truth | None,
    label_of: Callable[[Row, str], str],
    still_m: float,
    neighbours: tuple[str, str],
) -> Row:
    """Write ``clips/<clip_id>.html`` and its pictures below ``folder``.

    Args:
        folder: of the report.
        view: the clip.
        status: ``outcome``, ``reason``, ``message`` and per stage its ``records``.
        truth: of the clip's source, None where it is not known.
        label_of: the label that an option's text says.
        still_m: change of distance at which "not moving" ends, metres.
        neighbours: clip ids of the page before and the page behind; "" where there is none.

    Returns:
        What the index shows of the clip.
    """
    clip = view.clip
    name = file_name(clip.row["clip_id"])
    true = truth_view(clip, truth, label_of, still_m) if truth is not None else None
    player, middle = None, len(clip.row["video_index"]) // 2
    if view.video is not None:
        count = len(clip.row["video_index"])
        frames = decode_frames(view.video, clip.row["video_index"], round(_FRAME_PX * min(1.0, math.sqrt(_SHEET_FRAMES / count))))
        sheet = write_sheet(folder / "clips" / f"{name}.jpg", frames)
        write_jpeg(folder / "thumbs" / f"{name}.jpg", overlay(frames[middle], clip, middle, most_px=_THUMB_PX))
        player = player_data(clip, truth, true) | {"sheet": vars(sheet) | {"file": f"{name}.jpg"}}
    questions = [_question(q, view, true) for q in clip.questions]
    lists = path_figure(clip, true), distance_figure(clip, true), travel_figure(clip, true)
    write_page(
        folder / "clips" / f"{name}.html",
        "clip",
        clip=clip.row,
        status=status,
        objects=[_object(clip, k, true) for k in range(len(clip.objects))],
        missed=[truth.names[b] for b in true.missed] if truth is not None and true is not None else [],
        questions=questions,
        selected=view.selected,
        unasked=_unasked(clip),
        player=player,
        figures=[figure for figure in lists if figure is not None],
        neighbours=neighbours,
        has_truth=true is not None,
        root="../",
    )
    travel = clip.poses()
    return {
        "clip_id": name,
        "page": f"clips/{name}.html",
        "thumb": f"thumbs/{name}.jpg" if player else "",
        "objects": len(clip.objects),
        "questions": len(questions),
        "candidates": not view.selected,
        "chains": sum(map(len, view.chains.values())),
        "wrong": sum(not q["verdict"].right for q in questions if q["verdict"]) if true is not None else None,
        "travel_m": float(np.linalg.norm(np.diff(travel[:, :3, 3], axis=0), axis=1).sum()) if travel is not None else None,
    }


def player_data(clip: PublishedClip, truth: Truth | None = None, true: TruthView | None = None) -> dict[str, Any]:
    """What the player draws over the frames, as JSON values. Picture coordinates run from 0 to 1."""
    row, count = clip.row, int(clip.row["num_frames"])
    size = [row["width"], row["height"]]
    poses, metric = any_poses(clip)
    out: dict[str, Any] = {"times": floats(row["frame_times_s"]), "size": size, "metric": metric, "objects": [], "missed": []}
    if clip.cameras and poses is not None:
        first = clip.cameras[0]
        out["view"] = floats([first["fx"] / size[0], first["fy"] / size[1], first["cx"] / size[0], first["cy"] / size[1]])
        out["poses"] = [floats(p.ravel()) for p in poses]
    for number, item in enumerate(clip.objects):
        frames: list[Any] = [None] * count
        match = true.matches.get(item["object_id"]) if true is not None else None
        for track in clip.tracks.get(item["object_id"], []):
            if not track["visible"]:
                continue
            box = track.get("bbox_xyxy_px")
            frames[track["frame"]] = {
                "mask": outlines(decode_mask(track["mask_rle"])),
                "box": floats(np.array(box) / [*size, *size]) if box else None,
                "at": floats(track["centroid_m"]) if track["centroid_m"] else None,
                "moving": bool(track["moving"]),
                "near": floats([track["nearest_m"] if track["nearest_m"] is not None else np.nan])[0],
            }
        entry = {"id": item["object_id"], "words": item["description"] or "", "colour": colour(number), "frames": frames}
        if match is not None and match.body is not None and truth is not None and true is not None:
            entry["truth"] = [outlines(true_mask(clip, truth, match.body, k)) for k in range(count)]
            entry["true_path"] = [floats(p) for p in true.paths[match.object_id]] if match.object_id in true.paths else None
        out["objects"].append(entry)
    if truth is not None and true is not None:
        for body in true.missed:
            masks = [outlines(true_mask(clip, truth, body, k)) for k in range(count)]
            out["missed"].append({"name": truth.names[body], "truth": masks})
    return out


def any_poses(clip: PublishedClip) -> tuple[Float[Array, "q 4 4"] | None, bool]:
    """The clip's poses, and whether they are in metres."""
    poses = clip.poses()
    return (poses, True) if poses is not None else (clip.poses("relative_from_camera"), False)


def path_figure(clip: PublishedClip, true: TruthView | None) -> Figure | None:
    """Paths of the camera and of the objects in space."""
    poses, metric = any_poses(clip)
    if poses is None:
        return None
    lines = [PathLine("camera", CAMERA_COLOUR, poses[:, :3, 3], follow="camera")]
    if true is not None and metric:
        lines.append(PathLine("camera, truth", CAMERA_COLOUR, true.poses[:, :3, 3], dashed=True))
    for number, item in enumerate(clip.objects):
        name = item["object_id"]
        lines.append(PathLine(name, colour(number), centroids(clip, name), follow=name))
        if true is not None and name in true.paths:
            lines.append(PathLine(f"{name}, truth", colour(number), true.paths[name], dashed=True))
    first, row = clip.cameras[0], clip.row
    field = row["width"] / 2 / first["fx"], row["height"] / 2 / first["fy"]
    figure = paths(lines, poses, field, "m" if metric else "units of unknown length")
    return figure | {"id": "paths", "title": "Paths of the camera and of what moves", "wide": True}


def distance_figure(clip: PublishedClip, true: TruthView | None) -> Figure | None:
    """Distance of each object's nearest point to the camera over time."""
    times = np.array(clip.row["frame_times_s"], float)
    lines = []
    for number, item in enumerate(clip.objects):
        name = item["object_id"]
        value, sigma = column(clip, name, "nearest_m"), column(clip, name, "nearest_sigma_m")
        lines.append(Curve(name, colour(number), times, value, sigma, true.nearest.get(name) if true is not None else None))
    if not lines:
        return None
    return curves(lines, "m") | {"id": "distance", "title": "Distance to the camera, nearest point", "times": floats(times)}


def travel_figure(clip: PublishedClip, true: TruthView | None) -> Figure | None:
    """How far camera and objects are from where they were first seen, over time."""
    poses = clip.poses()
    if poses is None:
        return None
    times = np.array(clip.row["frame_times_s"], float)
    known = [row["position_sigma_m"] for row in clip.cameras]
    sigma = np.array([np.nan if s is None else s for s in known], float)
    true_travel = _from_start(true.poses[:, :3, 3]) if true is not None else None
    lines = [Curve("camera", CAMERA_COLOUR, times, _from_start(poses[:, :3, 3]), sigma, true_travel)]
    for number, item in enumerate(clip.objects):
        name = item["object_id"]
        points, spread = centroids(clip, name), column(clip, name, "centroid_sigma_m")
        seen = np.flatnonzero(np.isfinite(points).all(1))
        if not len(seen):
            continue
        sigma = np.hypot(spread, spread[seen[0]])
        path = true.paths.get(name) if true is not None else None
        measured = np.linalg.norm(points - points[seen[0]], axis=1)
        expected = None
        if path is not None:
            expected = np.linalg.norm(path - path[seen[0]], axis=1)
            expected[: seen[0]] = np.nan
        lines.append(Curve(name, colour(number), times, measured, sigma, expected))
    return curves(lines, "m") | {"id": "travel", "title": "Distance from its place when first seen", "times": floats(times)}


def _from_start(points: Float[Array, "q 3"]) -> Float[Array, "q"]:
    return np.asarray(np.linalg.norm(points - points[0], axis=1))


def _object(clip: PublishedClip, number: int, true: TruthView | None) -> Row:
    item = clip.objects[number]
    name = item["object_id"]
    points, near = centroids(clip, name), column(clip, name, "nearest_m")
    seen = np.isfinite(points).all(1)
    first = np.flatnonzero(seen)
    moved = float(np.linalg.norm(points[first[-1]] - points[first[0]])) if len(first) else None
    match = true.matches.get(name) if true is not None else None
    return item | {
        "colour": colour(number),
        "seen": int(seen.sum()),
        "moved_m": moved,
        "near_m": [float(np.nanmin(near)), float(np.nanmax(near))] if np.isfinite(near).any() else None,
        "asked": sum(q["object_id"] == name for q in clip.questions),
        "match": match,
    }


def _question(question: Row, view: ClipView, true: TruthView | None) -> Row:
    """A question with its facts, its reasoning and (with a truth) its verdict."""
    verdict = true.verdicts.get(question["id"]) if true is not None else None
    return question | facts_of(question, view.clip) | {"chains": view.chains.get(question["id"], []), "verdict": verdict}


def facts_of(question: Row, clip: PublishedClip) -> Row:
    """``facts`` behind a question, their ``unit``, and ``about``: the ids of all objects that it is about."""
    wanted = set(question["fact_ids"] or [])
    facts = [fact for fact in clip.facts if fact["fact_id"] in wanted]
    named = [question["object_id"] or "", *((fact["other_object_id"] or "") for fact in facts)]
    about = [name for part in named for name in part.split("+") if name]
    return {"facts": facts, "unit": (facts[0]["unit"] or "") if facts else "m", "about": list(dict.fromkeys(about))}


def _unasked(clip: PublishedClip) -> list[Row]:
    """Facts behind none of the questions, those nearest to being asked first."""
    asked = {fact_id for q in clip.questions for fact_id in q["fact_ids"] or []}

    def rank(fact: Row) -> tuple[float, str]:
        return -(fact["margin"] if fact["margin"] is not None and math.isfinite(fact["margin"]) else -1.0), fact["fact_id"]

    return sorted((fact for fact in clip.facts if fact["fact_id"] not in asked), key=rank)
