"""The audit as a page: figures against truth, with pictures of what they mean."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from curation.audit.published import Row
from curation.report.clip_page import facts_of
from curation.report.clip_view import ClipView, read_clip
from curation.report.figures import CAMERA_COLOUR, Curve, Figure, colour, curves, floats, reliability
from curation.report.frames import decode_frames, write_jpeg
from curation.report.page import file_name, write_page, write_shared_files
from curation.report.pictures import overlay
from curation.report.truth_view import TruthView, true_mask, truth_view
from curation.worlds.truth import Truth

MOST_CLIPS = 24  # with pictures and curves, those with the worst errors first
_PICTURE_PX = 520


def write_audit_page(
    folder: Path,
    run: Path,
    report: Row,
    truth_of: Callable[[str], Truth | None],
    label_of: Callable[[Row, str], str],
    still_m: float,
) -> Path:
    """Write ``index.html``, its pictures and what it needs to open from disk.

    Args:
        folder: of the page.
        run: the audited run.
        report: as ``pipelines.audit`` writes it to audit.json, with ``failures``.
        truth_of: truth by a source's name.
        label_of: the label that an option's text says.
        still_m: change of distance at which "not moving" ends, metres.

    Returns:
        The page.
    """
    write_shared_files(folder)
    rows = sorted(report.get("clips", []), key=_badness)
    shown = rows[:MOST_CLIPS]
    asked = {row["id"]: row for row in report.get("worst", [])}
    needed = {row["clip_id"] for row in shown} | {row["clip_id"] for row in asked.values()}
    strips: dict[str, list[Row]] = {}
    worst: dict[str, Row] = {}
    for clip_id in sorted(needed):
        view = read_clip(run, clip_id)
        truth = truth_of(view.clip.row["source"]) if view is not None else None
        true = truth_view(view.clip, truth, label_of, still_m) if view is not None and truth is not None else None
        if view is None or truth is None or true is None:
            continue
        painter = _Painter(folder, view, truth, true)
        if any(row["clip_id"] == clip_id for row in shown):
            count = int(view.clip.row["num_frames"])
            strips[clip_id] = painter.pictures([0, count // 2, count - 1])
        for question in view.clip.questions:
            if question["id"] in asked:
                more = facts_of(question, view.clip)
                pictures = painter.pictures([question["frame_i"], question["frame_j"]], more["about"])
                worst[question["id"]] = question | more | {"pictures": pictures}
    write_page(
        folder / "index.html",
        "audit",
        name=run.resolve().name,
        report=report,
        figures=_figures(report, shown),
        clips=[
            row | {"pictures": strips.get(row["clip_id"], []), "link": _gallery(folder, run, row["clip_id"])} for row in shown
        ],
        clip_count=len(rows),
        farthest={row["clip_id"]: _farthest(row) for row in rows},
        worst=[row | {"asked": worst.get(row["id"]), "link": _gallery(folder, run, row["clip_id"])} for row in asked.values()],
        others=[row for row in report.get("wrong", []) if row["id"] not in asked],
        targets=TARGETS,
        root="",
    )
    return folder / "index.html"


TARGETS = {"accuracy": 0.99, "kind": 0.97, "recall": 0.9, "percent": 0.3, "worst_percent": 1.0, "within_1": 0.1, "within_2": 0.04}


def _badness(row: Row) -> tuple[Any, ...]:
    """Clips with wrong labels first, then those with phantoms or missed movers, then by the error of the camera's path."""
    path = row["path"] or {}
    return (
        -row["wrong"],
        -len(row["phantoms"]) - len(row["parked"]),
        -len(row["missed"]),
        -(path.get("percent") or 0.0),
        row["source"],
    )


def _farthest(row: Row) -> tuple[str, float | None]:
    """The object of a clip whose displacement is most wrong, and by how many metres."""
    errors = {k: max(e for e in v["error_m"] if e is not None) for k, v in row["over_time"]["objects"].items()}
    name = max(errors, key=lambda k: errors[k], default="")
    return name, errors.get(name)


def _gallery(folder: Path, run: Path, clip_id: str) -> str:
    """Link to the clip's page of ``pipelines.report``, "" where that was not written."""
    page = run / "report" / "clips" / f"{file_name(clip_id)}.html"
    return quote(os.path.relpath(page, folder)) if page.exists() else ""


class _Painter:
    """Pictures of one clip, measured and true; each is written once."""

    def __init__(self, folder: Path, view: ClipView, truth: Truth, true: TruthView) -> None:
        self.folder, self.view, self.truth, self.true = folder, view, truth, true

    def pictures(self, numbers: list[int], only: list[str] | None = None) -> list[Row]:
        """Of these question frames, with all objects or with those that a question is about (none: it is about the camera)."""
        clip, true = self.view.clip, self.true
        if self.view.video is None:
            return []
        index = clip.row["video_index"]
        frames = decode_frames(self.view.video, [index[k] for k in numbers], _PICTURE_PX)
        wanted = [m for m in true.matches.values() if only is None or m.object_id in only]
        bodies = {m.body for m in wanted if m.body is not None} | (set(true.missed) if only is None else set())
        paths = [true.paths[m.object_id] for m in wanted if m.object_id in true.paths]
        out = []
        for k, frame in zip(numbers, frames, strict=True):
            masks = [true_mask(clip, self.truth, body, k) for body in sorted(bodies)]
            about = "" if only is None else f"-{'-'.join(only) or 'camera'}"
            name = f"pictures/{file_name(clip.row['clip_id'])}{_safe(about)}-{k}.jpg"
            picture = overlay(frame, clip, k, only=only, true_masks=masks, true_paths=paths, most_px=_PICTURE_PX)
            write_jpeg(self.folder / name, picture)
            out.append({"file": name, "frame": k})
        return out


def _safe(text: str) -> str:
    return "".join(c if c.isalnum() and c.isascii() or c in "-_" else "_" for c in text)[:40]


def _figures(report: Row, shown: list[Row]) -> dict[str, Figure]:
    """Reliability of sigma, and errors over time of the clips that are shown."""
    if "calibration" not in report:
        return {}
    found = report["calibration"]["curves"]
    groups = {"camera positions": found["poses"], "object centroids": found["tracks"]}
    out = {
        "measured": reliability(_stated(groups))
        | {"id": "measured", "title": "Poses and centroids", "note": "Error against its own sigma, per axis.", "tall": True},
        "facts": reliability(_stated({k.replace("_", " "): v for k, v in found["facts"].items()}))
        | {"id": "facts", "title": "Values of facts", "note": "All facts with a number, asked or not.", "tall": True},
    }
    cameras, objects = [], []
    for number, row in enumerate(shown):
        series = row["over_time"]
        times = np.array(series["time_s"], float)
        nothing = np.full(len(times), np.nan)
        if series["camera"]:
            cameras.append(Curve(row["source"], colour(number), times, _array(series["camera"]["error_m"]), nothing))
        for name, errors in series["objects"].items():
            objects.append(Curve(f"{row['source']} {name}", colour(number), times, _array(errors["error_m"]), nothing))
    for key, title, lines, what in (
        ("camera_time", "Camera position", cameras, "camera"),
        ("object_time", "Displacement of objects", objects, "objects"),
    ):
        if lines:
            note = "Error over time, one line a clip. Dashed: what sigma claims, median over the clips."
            figure = curves(lines, "m") | {"id": key, "title": title, "note": note}
            times, values = _typical(shown, what)
            figure["data"].append(
                {"type": "scatter", "x": floats(times), "y": floats(values), "mode": "lines", "name": "claimed",
                 "line": {"color": CAMERA_COLOUR, "width": 3, "dash": "dash"}}
            )  # fmt: skip
            figure["layout"]["hovermode"] = "closest"
            figure["layout"]["showlegend"] = len(lines) <= 4
            out[key] = figure
    return out


def _stated(groups: Mapping[str, Row]) -> dict[str, tuple[list[float], list[float], int]]:
    return {name: (g["claimed"], g["found"], g["count"]) for name, g in groups.items() if g["count"]}


def _array(values: list[float | None]) -> Any:
    return np.array([np.nan if v is None else v for v in values], float)


def _typical(rows: list[Row], what: str) -> tuple[Any, Any]:
    """Median over clips, in half-second steps, of the error that sigma claims."""
    times, claims = [], []
    for row in rows:
        series = row["over_time"]
        lines = [series["camera"]] if what == "camera" and series["camera"] else []
        lines = list(series["objects"].values()) if what == "objects" else lines
        for line in lines:
            times += series["time_s"]
            claims += line["claimed_m"]
    at, claimed = np.array(times, float), _array(claims)
    known = np.isfinite(claimed)
    steps = np.round(at[known] * 2) / 2
    centres = np.unique(steps)
    return centres, np.array([np.median(claimed[known][steps == c]) for c in centres])
