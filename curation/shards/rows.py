"""Value types -> rows of the published tables (``schemas.tables``). ``frame`` counts question frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from curation.shards.products import ClipInfo
from schemas import run_folder
from schemas.camera import CameraPath, RelativeCameraPath
from schemas.track import Description, ObjectTrack

Row = dict[str, Any]


def clip_row(info: ClipInfo, source_name: str, split: str) -> Row:
    """The clip's row of ``clips``."""
    spec, question = info.spec, info.question
    frames = int(info.video_index[-1]) + 1
    span_s = spec.end_s - spec.start_s
    return {
        "clip_id": info.clip_id,
        "source": source_name,
        "source_sha256": spec.source.sha256,
        "start_s": spec.start_s,
        "end_s": spec.end_s,
        "fps": _fps(info) or frames / span_s,
        "width": info.camera.width,
        "height": info.camera.height,
        "num_frames": len(question),
        "frame_times_s": [float(info.times_s[q]) for q in question],
        "layout": spec.source.layout,
        "split": split,
        "video": f"{run_folder.VIDEOS}/{info.clip_id}.mp4",
        "video_index": [int(info.video_index[q]) for q in question],
        "source_index": [int(info.source_index[q]) for q in question],
        "baseline_m": info.baseline_m,
        "assumed": list(info.assumed),
    }


def _fps(info: ClipInfo) -> float | None:
    """Rate of the clip's video: frames by time between the first and the last measuring frame."""
    frames, seconds = int(info.video_index[-1]) - int(info.video_index[0]), float(info.times_s[-1]) - float(info.times_s[0])
    return round(frames / seconds, 6) if frames and seconds > 0 else None


def camera_rows(info: ClipInfo, path: CameraPath | RelativeCameraPath) -> list[Row]:
    """``cameras``: a relative path leaves ``world_from_camera`` empty, so that nobody reads its units as metres."""
    metric = isinstance(path, CameraPath)
    sigma = path.position_sigma_m if isinstance(path, CameraPath) else None
    rows = []
    for frame, q in enumerate(info.question):
        pose = [float(x) for x in path.world_from_camera[q].ravel()]
        rows.append(
            {
                "clip_id": info.clip_id,
                "frame": frame,
                "time_s": float(info.times_s[q]),
                "fx": info.camera.fx,
                "fy": info.camera.fy,
                "cx": info.camera.cx,
                "cy": info.camera.cy,
                "world_from_camera": pose if metric else None,
                "position_sigma_m": float(sigma[q]) if sigma is not None else None,
                "scale": "metric" if metric else "relative",
                "relative_from_camera": None if metric else pose,
            }
        )
    return rows


def object_rows(info: ClipInfo, tracks: Sequence[ObjectTrack], descriptions: Sequence[Description]) -> list[Row]:
    """``objects``: one per track; ``first_frame`` and ``last_frame`` are question frames, null where it is in none of them."""
    words = {d.object_id: d for d in descriptions}
    rows = []
    for track in sorted(tracks, key=lambda t: t.object_id):
        seen = [frame for frame, q in enumerate(info.question) if track.visible[q]]
        about = words.get(track.object_id)
        rows.append(
            {
                "clip_id": info.clip_id,
                "object_id": track.object_id,
                "category": about.category if about else "",
                "description": about.text if about else "",
                "description_source": about.source if about else "",
                "first_frame": seen[0] if seen else None,
                "last_frame": seen[-1] if seen else None,
            }
        )
    return rows


def track_rows(info: ClipInfo, path: CameraPath, tracks: Sequence[ObjectTrack]) -> list[Row]:
    """``tracks``: one per object and question frame, the frames where it was not measured included (``visible`` false)."""
    return [
        _track_row(info, path, track, frame, int(q))
        for track in sorted(tracks, key=lambda t: t.object_id)
        for frame, q in enumerate(info.question)
    ]


def _track_row(info: ClipInfo, path: CameraPath, track: ObjectTrack, frame: int, q: int) -> Row:
    row: Row = {
        "clip_id": info.clip_id,
        "object_id": track.object_id,
        "frame": frame,
        "time_s": float(info.times_s[q]),
        "visible": bool(track.visible[q]),
        "moving": bool(track.moving[q]),
        "num_points": int(track.num_points[q]),
    }
    if not track.visible[q]:
        return row
    nearest_m = np.linalg.norm(track.points_m[q].astype(float) - path.centers_m[q], axis=-1)
    known = nearest_m[np.isfinite(nearest_m)]
    mask = track.masks[q]
    return row | {
        "centroid_m": [float(x) for x in track.centroid_m[q]],
        "centroid_sigma_m": math.sqrt(max(float(np.trace(track.centroid_cov_m2[q])), 0.0) / 3.0),
        "nearest_m": float(known.min()) if len(known) else None,
        "nearest_sigma_m": _finite(track.points_sigma_m[q]),
        "bbox_xyxy_px": [float(x) for x in track.bbox_xyxy_px[q]] if np.isfinite(track.bbox_xyxy_px[q]).all() else None,
        "mask_rle": {"size": [int(x) for x in mask["size"]], "counts": mask["counts"]} if mask else None,
    }


def _finite(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None
