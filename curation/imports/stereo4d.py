"""Stereo4D's annotation of a clip (one ``.npz``) as an annotation: camera path and 3D tracks without labels.

Format: Jin et al. 2025, "Stereo4D", and its public documentation: ``camera2world`` (N, 3, 4) of the rectified left camera,
``track_lengths`` (M,), ``track_indices`` and ``track_coordinates`` (their sum; frame and world point of each observation);
``timestamps`` (N,) microseconds, ``rectified2rig`` (2, 3, 3) and ``fov_bounds`` (4,) speak of the original VR180 video.
The perspective views that go with it (512 x 512, 60 degrees) are cut out by Stereo4D's own tools.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from curation.imports.annotation import Annotation, Doubt, Points, valid_rotation
from schemas.camera import Array
from schemas.outcome import Rejected

HFOV_DEG = 60.0
# The baseline of every clip was taken to be 63 mm; cameras of this kind have 60 to 65 mm, a few far less or more.
_SCALE_SIGMA_REL = 0.05
_NAMES = ("camera2world", "track_lengths", "track_indices", "track_coordinates")


def read_stereo4d(path: str | Path) -> Annotation:
    """One clip's annotation; every track is of an unknown object (``number`` -1).

    Raises:
        Rejected: ``bad_annotation``.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [name for name in _NAMES if name not in archive.files]
            if missing:
                raise _bad(path, f"expected the arrays {', '.join(_NAMES)}; {', '.join(missing)} missing")
            arrays = {name: archive[name] for name in _NAMES}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _bad(path, f"cannot be read: {error}") from error
    poses = _poses(path, arrays["camera2world"])
    points = _ragged(path, arrays, len(poses))
    return Annotation(poses, "Stereo4D", points=points, doubt=Doubt(scale_sigma_rel=_SCALE_SIGMA_REL))


def sidecar() -> dict[str, Any]:
    """``calib.yaml`` of the left perspective view that goes with an annotation."""
    return {"layout": "mono", "camera": {"hfov_deg": HFOV_DEG}}


def video_of(path: Path, videos: Path) -> Path | None:
    """The left perspective video of an annotation: ``NAME-left_rectified.mp4`` or ``NAME.mp4``, also in a folder ``NAME``."""
    name = path.stem
    for folder in (videos, videos / name):
        for stem in (f"{name}-left_rectified", name, "left"):
            if (found := folder / f"{stem}.mp4").is_file() and (stem != "left" or folder.name == name):
                return found
    return None


def _bad(path: Path, detail: str) -> Rejected:
    return Rejected("bad_annotation", f"Stereo4D {path.name}: {' '.join(detail.split())[:300]}")


def _poses(path: Path, value: Array) -> Float[Array, "n 4 4"]:
    shaped = value.ndim == 3 and value.shape[1:] in ((3, 4), (4, 4)) and len(value) > 0
    if not shaped or not np.issubdtype(value.dtype, np.floating):
        raise _bad(path, f"expected camera2world of shape (N, 3, 4), got {value.shape} {value.dtype}")
    poses = np.tile(np.eye(4), (len(value), 1, 1))
    poses[:, :3] = value[:, :3]
    known = np.asarray(np.isfinite(poses).all((1, 2)))
    turn = np.linalg.svd(np.where(known[:, None, None], poses, np.eye(4))[:, :3, :3])
    if (np.abs(turn.S - 1) > 0.02).any() or valid_rotation(poses[known])[1].any():
        raise _bad(path, "camera2world holds matrices that are no rotations")
    poses[:, :3, :3] = turn.U @ turn.Vh  # stored in single or half precision
    poses[~known] = np.nan
    return poses


def _ragged(path: Path, arrays: dict[str, Array], frames: int) -> Points:
    lengths, frame, xyz = arrays["track_lengths"], arrays["track_indices"], arrays["track_coordinates"]
    if not (np.issubdtype(lengths.dtype, np.integer) and np.issubdtype(frame.dtype, np.integer)) or lengths.ndim != 1:
        raise _bad(path, f"expected whole numbers as track_lengths and track_indices, got {lengths.dtype} and {frame.dtype}")
    if not np.issubdtype(xyz.dtype, np.floating):
        raise _bad(path, f"expected numbers as track_coordinates, got {xyz.dtype}")
    fits = not len(lengths) or (lengths.min() >= 0 and lengths.max() <= len(xyz))
    lengths, frame = lengths.astype(np.int64), frame.astype(np.int64)
    total = int(lengths.sum()) if fits else -1
    if frame.shape != (total,) or xyz.shape != (total, 3):
        raise _bad(path, f"track_lengths add up to {total}, track_indices are {frame.shape}, track_coordinates {xyz.shape}")
    if total and (frame.min() < 0 or frame.max() >= frames):
        raise _bad(path, f"track_indices count frames from 0 to {frames - 1}, got {frame.min()} to {frame.max()}")
    track = np.repeat(np.arange(len(lengths)), lengths)
    if len(np.unique(track * frames + frame)) < total:
        raise _bad(path, "track_indices name a frame twice in one track")
    keep = np.asarray(np.isfinite(xyz).all(1))
    unknown: Int[Array, "m"] = np.full(len(lengths), -1)
    return Points(track[keep], frame[keep], xyz[keep].astype(np.float64), unknown)
