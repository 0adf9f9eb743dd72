"""Stereo4D's ``.npz``: its ragged tracks and its poses, on made-up files and on a real clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from curation.imports import imported_objects, imported_path, read_annotations
from curation.imports.stereo4d import read_stereo4d
from curation.video import decode_clip, plan_clips, scan
from pipelines import import_annotations
from schemas.config import Config
from schemas.outcome import Rejected


def example(**change: Any) -> dict[str, Any]:
    poses = np.tile(np.eye(4)[:3], (5, 1, 1)).astype(np.float32)
    poses[:, 2, 3] = np.arange(5)
    arrays = {
        "camera2world": poses,
        "track_lengths": np.array([2, 0, 3]),
        "track_indices": np.array([0, 1, 2, 3, 4]),
        "track_coordinates": np.arange(15, dtype=np.float32).reshape(5, 3),
        "timestamps": np.arange(5) * 33366,
        "fov_bounds": np.array([-90.0, 90, -90, 90]),
        "rectified2rig": np.tile(np.eye(3), (2, 1, 1)),
    }
    return {k: v for k, v in (arrays | change).items() if v is not None}


def test_ragged_tracks_are_told_apart(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **example())
    read = read_stereo4d(tmp_path / "a.npz")
    assert read.points is not None
    assert read.points.track.tolist() == [0, 0, 2, 2, 2] and read.points.frame.tolist() == [0, 1, 2, 3, 4]
    assert (read.points.number == -1).all() and read.world_from_camera.shape == (5, 4, 4)
    assert read.doubt.scale_sigma_rel == 0.05  # 63 mm were assumed for every camera


def test_any_kind_of_whole_numbers_will_do(tmp_path: Path) -> None:
    kinds = {"track_lengths": np.array([2, 0, 3], np.uint64), "track_indices": np.array([0, 1, 2, 3, 4], np.uint8)}
    np.savez(tmp_path / "a.npz", **example(**kinds))
    points = read_stereo4d(tmp_path / "a.npz").points
    assert points is not None and points.track.tolist() == [0, 0, 2, 2, 2] and points.frame.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"camera2world": None}, "camera2world missing"),
        ({"track_lengths": np.array([2, 0, 4])}, "track_lengths add up to 6"),
        ({"track_indices": np.array([0, 1, 2, 3, 5])}, "count frames from 0 to 4"),
        ({"track_indices": np.array([0, 1, 2, 2, 4])}, "a frame twice in one track"),
        ({"track_coordinates": np.full((5, 3), "x")}, "expected numbers as track_coordinates"),
        ({"track_lengths": np.full(4, 2**62)}, "track_lengths add up to"),
        ({"camera2world": np.zeros((5, 3, 4), np.float32)}, "no rotations"),
        ({"camera2world": np.zeros((5, 3, 3), np.float32)}, "shape \\(N, 3, 4\\)"),
        ({"track_lengths": np.array([2.0, 3.0])}, "whole numbers"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "a.npz", **example(**change))
    with pytest.raises(Rejected, match=message) as why:
        read_stereo4d(tmp_path / "a.npz")
    assert why.value.reason == "bad_annotation"


def as_released(sample: Path, target: Path) -> None:
    """The sample in Stereo4D's own format: rotations (which it lacks) from its points and their pixels."""
    with np.load(sample) as stored:
        arrays = dict(stored)
    focal = 256 / np.tan(np.radians(30))
    matrix = np.array([[focal, 0, 256], [0, focal, 256], [0, 0, 1]])
    poses = np.tile(np.eye(4)[:3], (len(arrays["cam_pos"]), 1, 1))
    poses[:, :, 3] = arrays["cam_pos"]
    for t in range(len(poses)):
        seen = arrays["vis2d"][t] & arrays["vis3d"][:, t]
        poses[t, :, :3] = poses[t - 1, :, :3]
        if seen.sum() >= 12:
            points, pixels = arrays["pts3d"][seen, t].astype(float), arrays["tracks2d"][t][seen].astype(float)
            _, turn, _, _ = cv2.solvePnPRansac(points, pixels, matrix, None, reprojectionError=3, flags=cv2.SOLVEPNP_SQPNP)
            poses[t, :, :3] = cv2.Rodrigues(turn)[0].T
    track, frame = np.nonzero(arrays["vis3d"])
    np.savez(
        target,
        camera2world=poses.astype(np.float32),
        track_lengths=arrays["vis3d"].sum(1),
        track_indices=frame,
        track_coordinates=arrays["pts3d"][track, frame],
    )


def test_the_red_car_of_a_real_clip_is_found_in_its_tracks(real_clips: Path, tmp_path: Path) -> None:
    sample = real_clips / "stereo4d_left" / "JREOLefcmOM_38405072.npz"
    (tmp_path / "npz").mkdir()
    as_released(sample, tmp_path / "npz" / sample.name)
    call = ["stereo4d", "--from", str(tmp_path / "npz"), "--videos", str(sample.parent), "--output", str(tmp_path / "in")]
    assert import_annotations.main(call) == 0
    config = Config()
    (source,) = scan(tmp_path / "in", config.video).sources
    frames = decode_clip(plan_clips(source, config.video).clips[0], config.video, None)
    annotation = read_annotations(source.annotations)
    path = imported_path(annotation, frames, config.imports)
    assert path.stats["agreeing_corners"] > 0.85
    (car,), (words,) = imported_objects(annotation, frames, path, config)
    assert words.text == "the red object (in the middle of the view at frame 0)"  # the kerb is red too
    with np.load(sample) as stored:
        points, seen = stored["pts3d"].astype(float), stored["vis3d"]
    ends = [int(frames.source_index[t]) for t in np.flatnonzero(car.visible)[[0, -1]]]
    both = seen[:, ends].all(1)
    world = np.linalg.inv(annotation.world_from_camera[frames.source_index[0]])[:3, :3]
    true = np.median(points[both, ends[1]] - points[both, ends[0]], axis=0) @ world.T
    measured = np.diff(car.centroid_m[np.flatnonzero(car.visible)[[0, -1]]], axis=0)[0]
    # It turns a corner meanwhile, and what is seen at both ends is not all of it.
    assert np.linalg.norm(true) > 8 and np.linalg.norm(measured - true) < 0.1 * np.linalg.norm(true)
