"""Real clips that lie beside the project; skipped where they are absent."""

import json

import cv2
import numpy as np
import pytest

from curation.cameras import estimate_path
from schemas.camera import Intrinsics
from schemas.clip import ClipFrames
from schemas.config import CamerasConfig


@pytest.mark.slow
def test_a_real_street_is_as_long_as_the_survey_says(real_clips):
    folder = real_clips / "kitti_0009_half"
    meta = json.loads((folder / "meta.json").read_text())
    eyes = [
        np.stack([cv2.imread(str(file))[:, :, ::-1] for file in sorted((folder / side).glob("*.jpg"))])
        for side in ("left", "right")
    ]
    fx, fy, cx, cy = meta["fx_fy_cx_cy"]
    index = np.arange(len(eyes[0]))
    camera = Intrinsics(fx, fy, cx, cy, eyes[0].shape[2], eyes[0].shape[1])
    frames = ClipFrames("kitti", eyes[0], eyes[1], index / 10, index, index, index, camera, meta["baseline_m"])
    found = estimate_path(frames, CamerasConfig())
    mine, true = found.centers_m, np.array(meta["cam_to_world"])[:, :3, 3]
    length = np.linalg.norm(np.diff(true, axis=0), axis=1).sum()
    mine, true = mine - mine.mean(axis=0), true - true.mean(axis=0)
    u, _, vt = np.linalg.svd(true.T @ mine)
    aligned = mine @ (u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt).T  # rigidly: no scale
    assert np.linalg.norm(aligned - true, axis=1).max() < 0.02 * length  # the survey's own steps jitter by 5 %
    assert abs(np.linalg.norm(np.diff(mine, axis=0), axis=1).sum() / length - 1) < 0.01
    assert 0.2 < found.disparity_offset_px < 0.5  # LiDAR says about 0.3 px
