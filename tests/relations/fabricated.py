"""Camera paths and tracks out of thin air: smooth, consistent, with the covariances they claim."""

from __future__ import annotations

import numpy as np

from curation.geometry import inverse, pose, rotation_from_vector
from schemas.camera import CameraPath
from schemas.track import ObjectTrack

FRAMES, QUESTIONS = 94, 32
QUESTION = np.round(np.linspace(0, FRAMES - 1, QUESTIONS)).astype(int)
TIMES_S = np.arange(FRAMES) / 10


def camera_path(poses: np.ndarray, *, sigma_m: float = 0.003, sigma_rad: float = 2e-4, static: bool = False) -> CameraPath:
    """A path whose covariance grows linearly from zero to twice the given sigmas squared."""
    covariance = np.zeros((len(poses), 6, 6))
    growth = np.linspace(0, 2, len(poses))
    covariance[:, range(3), range(3)] = growth[:, None] * sigma_m**2
    covariance[:, range(3, 6), range(3, 6)] = growth[:, None] * sigma_rad**2
    return CameraPath(poses, covariance, static, 0.0, 0.0, 0.1, {})


def smooth_poses(rng: np.random.Generator, *, length_m: float = 3.0, turn_deg: float = 20.0, frames: int = FRAMES) -> np.ndarray:
    """A gently curved path of about ``length_m``, first pose the identity."""
    s = np.linspace(0, 1, frames)[:, None]
    direction, bend = rng.normal(size=(2, 3)) * [1, 0.3, 1.5]
    centers = length_m * (s * direction / np.linalg.norm(direction) + s**2 * bend * 0.3)
    turns = np.radians(turn_deg) * (s * rng.normal(size=3) * [0.3, 1, 0.1])
    poses = np.stack([pose(rotation_from_vector(t), c) for t, c in zip(turns, centers, strict=True)])
    return inverse(poses[0]) @ poses


def track(
    centroids: np.ndarray,
    *,
    name: str = "obj_1",
    sigma_m: float = 0.03,
    size_m: float = 0.6,
    seed: int = 0,
    relative: float = 0.003,
) -> ObjectTrack:
    """A cloud of 80 points that is carried along ``centroids`` (T, 3); always visible, always moving."""
    count = len(centroids)
    shape = np.random.default_rng(seed).uniform(-size_m / 2, size_m / 2, (80, 3))
    shape -= shape.mean(0)
    return ObjectTrack(
        name,
        np.ones(count, bool),
        centroids,
        np.tile(np.eye(3) * sigma_m**2, (count, 1, 1)),
        relative,
        (centroids[:, None] + shape).astype(np.float32),
        np.full(count, sigma_m),
        np.ones(count, bool),
        (None,) * count,
        np.tile([100.0, 100.0, 180.0, 200.0], (count, 1)),
        np.full(count, 80),
    )


def smooth_track(rng: np.random.Generator, name: str, *, sigma_m: float = 0.03, frames: int = FRAMES) -> ObjectTrack:
    """An object 2-15 m in front that moves by a random amount in a random direction."""
    s = np.linspace(0, 1, frames)[:, None]
    start = np.array([rng.uniform(-3, 3), rng.uniform(-0.5, 1), rng.uniform(2.5, 15)])
    step = rng.normal(size=3) * [1, 0.1, 1] * np.exp(rng.uniform(-1.5, 1.5))
    return track(start + s * step + s**2 * rng.normal(size=3) * 0.2, name=name, sigma_m=sigma_m, seed=int(rng.integers(1 << 30)))


def clip_row(clip_id: str = "0123456789abcdef") -> dict[str, object]:
    """A row of the ``clips`` table."""
    return {
        "clip_id": clip_id,
        "source": "made_up",
        "source_sha256": "0" * 64,
        "start_s": 0.0,
        "end_s": FRAMES / 10,
        "fps": 10.0,
        "width": 640,
        "height": 400,
        "num_frames": QUESTIONS,
        "frame_times_s": TIMES_S[QUESTION].tolist(),
        "layout": "pair",
        "split": "train",
        "video": f"videos/{clip_id}.mp4",
        "video_index": QUESTION.tolist(),
        "source_index": QUESTION.tolist(),
        "baseline_m": 0.12,
        "assumed": [],
    }
