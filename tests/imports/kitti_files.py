"""KITTI's files written from poses and boxes, so that their reader is tested without KITTI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from curation.geometry import inverse

EARTH_M = 6378137.0
LATITUDE_DEG, LONGITUDE_DEG = 49.0, 8.43
CAMERA_FROM_IMU = np.array([[0.0, -1, 0, 0.0], [0, 0, -1, -0.3], [1, 0, 0, 0.27], [0, 0, 0, 1]])


def write_tracking(
    root: Path, name: str, poses: Any, camera: Any, baseline_m: float, rows: list[str], shift_m: float = 0.0
) -> None:
    """``calib``, ``oxts`` and ``label_02`` of a sequence; ``poses`` are world_from_camera of camera 2, frame 0 the identity.

    ``shift_m`` is how far camera 0 stands to the left of camera 2 (0.06 m in KITTI).
    """
    fx, fy, cx, cy = camera
    for folder in ("calib", "oxts", "label_02"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    p2, p3 = (np.hstack([matrix, matrix @ [[x], [0], [0]]]) for x in (-shift_m, -shift_m - baseline_m))
    lines = {
        "P0": p2,
        "P1": p2,
        "P2": p2,
        "P3": p3,
        "R_rect": np.eye(3),
        "Tr_velo_cam": CAMERA_FROM_IMU[:3],
        "Tr_imu_velo": np.eye(4)[:3],
    }
    text = [
        f"{key}{' ' if key.startswith(('R', 'T')) else ': '}" + " ".join(f"{x:.12e}" for x in m.ravel())
        for key, m in lines.items()
    ]
    (root / "calib" / f"{name}.txt").write_text("\n".join(text) + "\n")
    cam2_from_cam0 = np.eye(4)
    cam2_from_cam0[0, 3] = -shift_m
    cam2_from_imu = cam2_from_cam0 @ CAMERA_FROM_IMU
    north = inverse(cam2_from_imu) @ poses @ cam2_from_imu  # any first pose of the vehicle will do: it looks east, level
    scale = np.cos(np.radians(LATITUDE_DEG)) * EARTH_M
    packets = []
    for pose in north:
        longitude = LONGITUDE_DEG + np.degrees(pose[0, 3] / scale)
        at = np.log(np.tan(np.radians(90 + LATITUDE_DEG) / 2)) + pose[1, 3] / scale
        latitude = np.degrees(2 * np.arctan(np.exp(at))) - 90
        pitch = -np.arcsin(pose[2, 0])
        roll, yaw = np.arctan2(pose[2, 1], pose[2, 2]), np.arctan2(pose[1, 0], pose[0, 0])
        packets.append(" ".join(f"{x:.15g}" for x in (latitude, longitude, 112 + pose[2, 3], roll, pitch, yaw)) + " 0" * 24)
    (root / "oxts" / f"{name}.txt").write_text("\n".join(packets) + "\n")
    (root / "label_02" / f"{name}.txt").write_text("".join(row + "\n" for row in rows))
