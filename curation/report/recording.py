"""A clip as a recording for the rerun viewer (rerun.io): video, masks, tracks and paths on one time line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

try:
    import rerun as rr
except ImportError as error:
    raise ImportError("expected the package rerun-sdk for recordings; install the extra: pip install '.[rerun]'") from error

from curation.audit.published import decode_mask
from curation.report.clip_page import any_poses
from curation.report.clip_view import ClipView
from curation.report.figures import colour
from curation.report.frames import decode_frames
from curation.report.truth_view import centroids

_PICTURE_PLANE_M = 0.3


def write_recording(path: Path, view: ClipView) -> None:
    """Write a ``.rrd``. World frame: the left camera of the first frame, metres, +X right, +Y down, +Z forward.

    Raises:
        OSError: it cannot be written.
        ValueError: the video has fewer frames than the tables say.
    """
    clip = view.clip
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = rr.RecordingStream("mllm4d", recording_id=str(clip.row["clip_id"]))
    stream.save(path)
    stream.send_recording_name(f"{clip.row['source']} {clip.row['start_s']:g}-{clip.row['end_s']:g} s")
    stream.log("world", rr.ViewCoordinates.RDF, static=True)
    poses, _ = any_poses(clip)
    words = {item["object_id"]: item["description"] or "" for item in clip.objects}
    numbers = {item["object_id"]: k for k, item in enumerate(clip.objects)}
    infos = [rr.AnnotationInfo(id=k + 1, label=name, color=_rgb(k)) for name, k in numbers.items()]
    stream.log("world/camera/picture", rr.AnnotationContext(infos), static=True)
    if poses is not None:
        camera = clip.camera
        size = [camera.width, camera.height]
        pinhole = rr.Pinhole(
            focal_length=[camera.fx, camera.fy],
            principal_point=[camera.cx, camera.cy],
            resolution=size,
            camera_xyz=rr.ViewCoordinates.RDF,
            image_plane_distance=_PICTURE_PLANE_M,
        )
        stream.log("world/camera/picture", pinhole, static=True)
        stream.log("world/camera_path", rr.LineStrips3D([poses[:, :3, 3]], colors=[[124, 135, 152]]), static=True)
    for name, k in numbers.items():
        line = centroids(clip, name)
        line = line[np.isfinite(line).all(1)]
        if len(line):
            stream.log(
                ["world", "paths", name], rr.LineStrips3D([line], colors=[_rgb(k)], labels=[words[name] or name]), static=True
            )
    for question in clip.questions:
        options = "\n".join(f"- {letter}. {text}" for letter, text in zip("ABCDEFGHIJ", question["options"], strict=False))
        text = f"{question['question']}\n\n{options}\n\nAnswer: {question['answer']}"
        stream.log(["questions", question["id"]], rr.TextDocument(text, media_type="text/markdown"), static=True)
    frames = decode_frames(view.video, clip.row["video_index"], max(clip.row["width"], clip.row["height"])) if view.video else []
    for k, time_s in enumerate(clip.row["frame_times_s"]):
        stream.set_time("frame", sequence=k)
        stream.set_time("time", duration=float(time_s))
        if poses is not None:
            stream.log("world/camera", rr.Transform3D(translation=poses[k][:3, 3], mat3x3=poses[k][:3, :3]))
        if frames:
            stream.log("world/camera/picture", rr.Image(frames[k]).compress(jpeg_quality=80))
        _log_objects(stream, view, numbers, k)
    stream.flush()
    stream.disconnect()


def _log_objects(stream: Any, view: ClipView, numbers: dict[str, int], k: int) -> None:
    clip = view.clip
    labels = np.zeros((clip.row["height"], clip.row["width"]), np.uint8)
    for name, number in numbers.items():
        row = next((r for r in clip.tracks.get(name, []) if r["frame"] == k and r["visible"]), None)
        if row is None:
            stream.log(["world", "objects", name], rr.Clear(recursive=True))
            continue
        mask = decode_mask(row["mask_rle"])
        if mask is not None and mask.shape == labels.shape:
            labels[mask] = number + 1
        if row["centroid_m"]:
            radius = float(row["centroid_sigma_m"] or 0.02)
            stream.log(
                ["world", "objects", name], rr.Points3D([row["centroid_m"]], radii=[radius], colors=[_rgb(number)], labels=[name])
            )
        if row["nearest_m"] is not None:
            stream.log(["distance", name], rr.Scalars(float(row["nearest_m"])))
    if numbers:
        stream.log("world/camera/picture/masks", rr.SegmentationImage(labels))


def _rgb(number: int) -> list[int]:
    hue = colour(number)
    return [int(hue[k : k + 2], 16) for k in (1, 3, 5)]
