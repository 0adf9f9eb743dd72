"""KITTI, raw recordings and the tracking benchmark, as annotations: poses from GPS/IMU, 3D boxes from the labels.

Formats: the development kits (Geiger et al. 2013, "Vision meets Robotics"). Calibration files hold one matrix a line;
``oxts`` one packet a line or file: latitude, longitude, altitude, roll, pitch, yaw (degrees, radians), then what is not needed.
Labels give the middle of a box's bottom in the axes of the rectified camera 0 (+X right, +Y down, +Z forward) and its turn about
+Y. We publish the left colour camera, camera 2, which stands ``K^-1 P2[:, 3]`` from camera 0.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from curation.geometry import inverse
from curation.imports.annotation import Annotation, Boxes, Doubt, Named
from schemas.camera import Array
from schemas.outcome import Rejected

_EARTH_M = 6378137.0
_IGNORED = frozenset({"DontCare", "Misc"})
_HIDDEN = 1  # more hidden than "partly": the box is a guess there
_CUT = 0.5
# Measured on drive 2011_09_26_0009 (45 m): parked cars wander by up to 2.4 % of the way in the GPS/IMU world, boxes by 0.05 m
# to 0.1 m from frame to frame.
_DOUBT = Doubt(
    position_sigma_m=0.02,
    drift_share=0.025,
    rotation_sigma_deg=0.2,
    scale_sigma_rel=0.0,
    box_sigma_m=0.1,
)


@dataclass(frozen=True)
class Drive:
    """One recording: images of both colour cameras, calibration as a sidecar, annotations."""

    name: str
    left: Path
    right: Path | None
    sidecar: dict[str, Any]
    annotation: Annotation


def tracking_drives(root: Path) -> list[str]:
    """Names of the sequences of a tracking benchmark folder (``training``: the one with labels)."""
    return sorted(path.name for path in (root / "image_02").iterdir() if path.is_dir())


def read_tracking(root: Path, name: str) -> Drive:
    """One sequence of the tracking benchmark: ``image_02 image_03 label_02 calib oxts`` below ``root``.

    Raises:
        Rejected: ``bad_annotation``.
    """
    calibration = _matrices(root / "calib" / f"{name}.txt")
    p2, p3 = _projection(calibration, "P2"), _projection(calibration, "P3")
    cam0_from_velo = _extended(calibration, "R_rect", "R0_rect") @ _extended(calibration, "Tr_velo_cam", "Tr_velo_to_cam")
    cam0_from_imu = cam0_from_velo @ _extended(calibration, "Tr_imu_velo", "Tr_imu_to_velo")
    world_from_imu = imu_poses(_numbers(root / "oxts" / f"{name}.txt"))
    labels = root / "label_02" / f"{name}.txt"
    rows = _labels(labels) if labels.exists() else []
    return _drive(name, root / "image_02" / name, root / "image_03" / name, p2, p3, cam0_from_imu, world_from_imu, rows)


def read_raw(drive: Path) -> Drive:
    """One synchronised and rectified raw recording, ``<date>/<date>_drive_NNNN_sync``, with its calibration in ``<date>``.

    Raises:
        Rejected: ``bad_annotation``.
    """
    camera = _matrices(drive.parent / "calib_cam_to_cam.txt")
    velo, imu = _matrices(drive.parent / "calib_velo_to_cam.txt"), _matrices(drive.parent / "calib_imu_to_velo.txt")
    p2, p3 = _projection(camera, "P_rect_02"), _projection(camera, "P_rect_03")
    cam0_from_imu = _extended(camera, "R_rect_00") @ _rigid(velo) @ _rigid(imu)
    files = sorted((drive / "oxts" / "data").glob("*.txt"))
    if not files:
        raise _bad(f"{drive.name}: expected oxts/data/*.txt, found none")
    world_from_imu = imu_poses(np.concatenate([_numbers(file) for file in files]))
    left, right = drive / "image_02" / "data", drive / "image_03" / "data"
    tracklets = drive / "tracklet_labels.xml"
    rows = _tracklets(tracklets, cam0_from_imu @ inverse(_rigid(imu))) if tracklets.exists() else []
    return _drive(drive.name, left, right, p2, p3, cam0_from_imu, world_from_imu, rows)


def imu_poses(oxts: Float[Array, "n k"]) -> Float[Array, "n 4 4"]:
    """world_from_imu of GPS/IMU packets: Mercator projection at the first one's latitude, metres; x forward, y left, z up."""
    latitude, longitude, altitude, roll, pitch, yaw = oxts[:, :6].T
    scale = np.cos(np.radians(latitude[0])) * _EARTH_M
    out = np.tile(np.eye(4), (len(oxts), 1, 1))
    out[:, 0, 3] = scale * np.radians(longitude)
    out[:, 1, 3] = scale * np.log(np.tan(np.radians(90 + latitude) / 2))
    out[:, 2, 3] = altitude
    out[:, :3, :3] = _about(2, yaw) @ _about(1, pitch) @ _about(0, roll)
    out[:, :3, 3] -= out[0, :3, 3].copy()
    return out


def _drive(
    name: str, left: Path, right: Path, p2: Array, p3: Array, cam0_from_imu: Array, world_from_imu: Array, rows: list[_Row]
) -> Drive:
    camera_matrix = p2[:, :3]
    cam2_from_cam0 = np.eye(4)
    cam2_from_cam0[:3, 3] = np.linalg.solve(camera_matrix, p2[:, 3])
    cam3_from_cam0 = np.linalg.solve(p3[:, :3], p3[:, 3])
    imu_from_cam2 = inverse(cam2_from_cam0 @ cam0_from_imu)
    poses = world_from_imu @ imu_from_cam2
    poses = inverse(poses[0]) @ poses
    baseline_m = float(cam2_from_cam0[0, 3] - cam3_from_cam0[0])
    sidecar: dict[str, Any] = {
        "layout": "pair" if right.is_dir() else "mono",
        "fps": 10,
        # Projection matrices count the top-left pixel's centre as (0, 0).
        "camera": {k: float(v) for k, v in zip(("fx", "fy", "cx", "cy"), camera_matrix[[0, 1, 0, 1], [0, 1, 2, 2]], strict=True)}
        | {"pixel_center": 0},
    }
    if right.is_dir():
        sidecar["baseline_m"] = baseline_m
    boxes, named = _boxes(rows, poses, cam2_from_cam0)
    annotation = Annotation(poses, "KITTI", objects=named, boxes=boxes, doubt=_DOUBT)
    return Drive(name, left, right if right.is_dir() else None, sidecar, annotation)


@dataclass(frozen=True)
class _Row:
    """One labelled box: ``number`` from 1 (0 stands for "no object"), ``size_m`` along the object's own axes."""

    number: int
    frame: int
    kind: str
    cam0_from_object: Float[Array, "4 4"]
    size_m: tuple[float, float, float]
    clear: bool


def _boxes(rows: list[_Row], poses: Array, cam2_from_cam0: Array) -> tuple[Boxes | None, tuple[Named, ...]]:
    rows = [row for row in rows if row.kind not in _IGNORED]
    if not rows:
        return None, ()
    last = max(row.frame for row in rows)
    if min(row.frame for row in rows) < 0 or last >= len(poses):
        raise _bad(f"a label names frame {last}, there are {len(poses)} GPS/IMU packets")
    kind = {row.number: row.kind.lower().replace("_", " ") for row in rows}
    named = tuple(Named(number, kind[number]) for number in sorted(kind))
    return Boxes(
        np.array([row.number for row in rows]),
        np.array([row.frame for row in rows]),
        np.array([poses[row.frame] @ cam2_from_cam0 @ row.cam0_from_object for row in rows]),
        np.array([row.size_m for row in rows]),
        np.array([row.clear for row in rows]),
    ), named


def _about(axis: int, angle: Float[Array, "n"]) -> Float[Array, "n 3 3"]:
    c, s = np.cos(angle), np.sin(angle)
    out = np.tile(np.eye(3), (len(angle), 1, 1))
    a, b = [(1, 2), (2, 0), (0, 1)][axis]
    out[:, a, a], out[:, b, b], out[:, a, b], out[:, b, a] = c, c, -s, s
    return out


def _bad(detail: str) -> Rejected:
    return Rejected("bad_annotation", f"KITTI: {detail}")


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="ascii").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(f"{path.parent.name}/{path.name} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _numbers(path: Path) -> Float[Array, "n k"]:
    try:
        values = np.array([[float(x) for x in line.split()] for line in _lines(path)])
    except ValueError as error:
        raise _bad(f"{path.name}: expected lines of equally many numbers: {error}") from error
    if values.ndim != 2 or values.shape[1] < 6:
        raise _bad(f"{path.name}: expected at least 6 numbers a packet (latitude ... yaw), got {values.shape}")
    return values


def _labels(path: Path) -> list[_Row]:
    out = []
    for line in _lines(path):
        words = line.split()
        try:
            number, frame = int(words[1]) + 1, int(words[0])
            value = np.array(words[3:17], float)  # truncated occluded alpha box(4) h w l x y z turn
        except (ValueError, IndexError):
            raise _bad(f"{path.name}: expected 17 words a line (frame, track, type, numbers), got {line[:80]!r}") from None
        if len(value) < 14:
            raise _bad(f"{path.name}: expected 17 words a line (frame, track, type, numbers), got {len(words)}: {line[:60]!r}")
        height, width, length = (float(x) for x in value[7:10])
        place = np.eye(4)
        place[:3, :3] = _about(1, value[13:14])[0]
        place[:3, 3] = value[10:13] - [0.0, height / 2, 0.0]
        clear = bool(value[0] < _CUT and value[1] <= _HIDDEN)
        out.append(_Row(number, frame, words[2], place, (length, height, width), clear))
    return out


def _tracklets(path: Path, cam0_from_velo: Array) -> list[_Row]:
    """Boxes of a raw recording: bottom centre and heading in the axes of the laser scanner (x forward, y left, z up)."""
    out = []
    try:
        for number, item in enumerate(ET.parse(path).getroot().findall("./tracklets/item"), start=1):  # noqa: S314
            height, width, length = (float(item.findtext(name, "")) for name in "hwl")
            first, kind = int(item.findtext("first_frame", "")), item.findtext("objectType", "")
            for step, pose in enumerate(item.findall("./poses/item")):
                value = {child.tag: float(child.text or "nan") for child in pose}
                place = np.eye(4)
                place[:3, :3] = _about(2, np.array([value["rz"]]))[0]
                place[:3, 3] = value["tx"], value["ty"], value["tz"] + height / 2
                clear = value.get("occlusion", 0) <= _HIDDEN and value.get("truncation", 0) <= 0
                out.append(_Row(number, first + step, kind, cam0_from_velo @ place, (length, width, height), clear))
    except (ET.ParseError, ValueError, KeyError, OSError) as error:
        raise _bad(f"{path.name} cannot be read: {error!r:.120}") from error
    return out


def _matrices(path: Path) -> dict[str, Array]:
    """Named rows of numbers; ``NAME: 1 2 3`` and ``NAME 1 2 3`` both occur. What is no number (dates) is passed over."""
    out: dict[str, Array] = {}
    for line in _lines(path):
        name, *words = line.replace(":", " ", 1).split()
        try:
            out[name] = np.array([float(word) for word in words])
        except ValueError:
            continue
    return out


def _find(matrices: dict[str, Array], size: tuple[int, ...], *names: str) -> Array:
    for name in names:
        if name in matrices and matrices[name].size in size:
            return matrices[name]
    raise _bad(f"calibration lacks {' or '.join(names)} with {' or '.join(map(str, size))} numbers")


def _projection(matrices: dict[str, Array], name: str) -> Float[Array, "3 4"]:
    return _find(matrices, (12,), name).reshape(3, 4)


def _extended(matrices: dict[str, Array], *names: str) -> Float[Array, "4 4"]:
    values = _find(matrices, (9, 12), *names)
    out = np.eye(4)
    out[:3, : values.size // 3] = values.reshape(3, -1)
    return out


def _rigid(matrices: dict[str, Array]) -> Float[Array, "4 4"]:
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = _find(matrices, (9,), "R").reshape(3, 3), _find(matrices, (3,), "T")
    return out
