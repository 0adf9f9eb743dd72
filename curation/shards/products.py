"""What a stage measured of one clip, as files in the clip's folder, and back: exact round trips of the value types.

The Parquet tables hold what is published (question frames); the ``.npz`` beside them hold what later stages need
(measuring frames, covariances, points). Every function takes the path that it writes to or reads from.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from schemas.camera import CameraPath, Intrinsics, RelativeCameraPath
from schemas.clip import ClipFrames, ClipSpec
from schemas.track import Description, Fact, ObjectTrack


@dataclasses.dataclass(frozen=True)
class ClipInfo:
    """What is known of a clip once it was decoded, without its pixels. Arrays as in ``ClipFrames``."""

    spec: ClipSpec
    times_s: Any
    video_index: Any
    source_index: Any
    question: Any
    camera: Intrinsics
    baseline_m: float | None
    assumed: tuple[str, ...]

    @property
    def clip_id(self) -> str:
        """The content hash."""
        return self.spec.clip_id

    @staticmethod
    def of(spec: ClipSpec, frames: ClipFrames) -> ClipInfo:
        """The part of decoded frames that is kept on disk."""
        return ClipInfo(
            spec,
            frames.times_s,
            frames.video_index,
            frames.source_index,
            frames.question,
            frames.camera,
            frames.baseline_m,
            frames.assumed,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; floats round-trip exactly."""
        return {
            "spec": self.spec.to_json(),
            "times_s": [float(t) for t in self.times_s],
            "video_index": [int(i) for i in self.video_index],
            "source_index": [int(i) for i in self.source_index],
            "question": [int(i) for i in self.question],
            "camera": dataclasses.asdict(self.camera),
            "baseline_m": self.baseline_m,
            "assumed": list(self.assumed),
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> ClipInfo:
        """The inverse of ``to_json``."""
        return ClipInfo(
            ClipSpec.from_json(value["spec"]),
            np.asarray(value["times_s"], float),
            np.asarray(value["video_index"], int),
            np.asarray(value["source_index"], int),
            np.asarray(value["question"], int),
            Intrinsics(**value["camera"]),
            value["baseline_m"],
            tuple(value["assumed"]),
        )


def save_path(file: Path, path: CameraPath | RelativeCameraPath) -> None:
    """Write a camera path with all that later stages need of it."""
    arrays = {f.name: np.asarray(getattr(path, f.name)) for f in dataclasses.fields(path) if f.name != "stats"}
    _save(file, arrays, {"type": type(path).__name__, "stats": path.stats})


def load_path(file: Path) -> CameraPath | RelativeCameraPath:
    """The inverse of ``save_path``."""
    arrays, about = _load(file)
    if about["type"] == "RelativeCameraPath":
        return RelativeCameraPath(
            arrays["world_from_camera"],
            arrays["direction_sigma_deg"],
            bool(arrays["intrinsics_assumed"]),
            about["stats"],
        )
    return CameraPath(
        arrays["world_from_camera"],
        arrays["covariance"],
        bool(arrays["static"]),
        float(arrays["disparity_offset_px"]),
        float(arrays["disparity_offset_sigma_px"]),
        float(arrays["noise_px"]),
        about["stats"],
    )


_TRACK_ARRAYS = ("visible", "centroid_m", "centroid_cov_m2", "points_m", "points_sigma_m", "moving", "bbox_xyxy_px", "num_points")


def save_tracks(file: Path, tracks: list[ObjectTrack]) -> None:
    """Write the tracks of a clip, over its measuring frames."""
    arrays = {f"{n}/{name}": np.asarray(getattr(track, name)) for n, track in enumerate(tracks) for name in _TRACK_ARRAYS}
    about = [
        {"object_id": t.object_id, "common_sigma_rel": t.common_sigma_rel, "masks": list(t.masks), "stats": t.stats}
        for t in tracks
    ]
    _save(file, arrays, {"tracks": about})


def load_tracks(file: Path) -> list[ObjectTrack]:
    """The inverse of ``save_tracks``."""
    arrays, about = _load(file)
    return [
        ObjectTrack(
            object_id=track["object_id"],
            common_sigma_rel=track["common_sigma_rel"],
            masks=tuple(track["masks"]),
            stats=track["stats"],
            **{name: arrays[f"{n}/{name}"] for name in _TRACK_ARRAYS},
        )
        for n, track in enumerate(about["tracks"])
    ]


def description_of(row: dict[str, Any]) -> Description:
    """A row of the ``objects`` table as the words it holds."""
    return Description(row["object_id"], row["category"], row["description"], row["description_source"])


def fact_row(fact: Fact) -> dict[str, Any]:
    """A fact as a row of the ``facts`` table. JSON has no infinity: a margin may be one, the details may not."""
    values = {f.name: getattr(fact, f.name) for f in dataclasses.fields(fact)}
    details = json.dumps(fact.details, sort_keys=True, default=_plain, allow_nan=False)
    return {**values, "fact_id": fact.fact_id, "details": details}


def fact_of(row: dict[str, Any]) -> Fact:
    """The inverse of ``fact_row``."""
    names = [f.name for f in dataclasses.fields(Fact)]
    return Fact(**{name: row[name] for name in names if name != "details"}, details=json.loads(row["details"]))


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"expected a JSON value, got {type(value).__name__}")


def _save(file: Path, arrays: dict[str, Any], about: dict[str, Any]) -> None:
    text = json.dumps(about, sort_keys=True, default=_plain)
    with file.open("wb") as stream:
        np.savez_compressed(stream, about=np.frombuffer(text.encode(), np.uint8), **arrays)


def _load(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    with np.load(file, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files if name != "about"}
        return arrays, json.loads(archive["about"].tobytes().decode())
