"""Tiny exact stereo worlds of textured boards before a wall: cheap enough to make in every test run."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from schemas.camera import CameraPath, Intrinsics
from schemas.clip import ClipFrames

CAMERA = Intrinsics(330.0, 330.0, 240.0, 150.0, 480, 300)
BASELINE_M = 0.12
FPS = 10.0


@dataclass(frozen=True)
class Board:
    """A square facing the camera: centre at each frame (T, 3), side in metres, seed of its texture."""

    centre_m: np.ndarray
    side_m: float
    seed: int


def texture(seed: int, size: int = 256) -> np.ndarray:
    rng = np.random.default_rng(seed)
    out = np.zeros((size, size, 3), np.float32)
    for scale, weight in ((8, 1.0), (24, 1.0), (80, 0.8), (200, 0.5)):
        out += weight * cv2.resize(rng.random((scale, scale, 3)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    out = (out - out.min()) / (out.max() - out.min())
    return (30 + 200 * out).astype(np.uint8)


def _draw(image: np.ndarray, tex: np.ndarray, centre: np.ndarray, side: float, eye_m: np.ndarray) -> None:
    """Warps a board into one eye at ``eye_m`` (cameras look along +Z)."""
    half, n, sub = side / 2, tex.shape[0], 2
    corners = centre + np.array([[-half, -half, 0], [half, -half, 0], [half, half, 0], [-half, half, 0]]) - eye_m
    target = ((CAMERA.project(corners)) * sub - 0.5).astype(np.float32)
    source = np.array([[0, 0], [n, 0], [n, n], [0, n]], np.float32) - 0.5
    matrix = cv2.getPerspectiveTransform(source, target)
    size = (CAMERA.width * sub, CAMERA.height * sub)
    colour = cv2.warpPerspective(tex, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpPerspective(np.full(tex.shape[:2], 255, np.uint8), matrix, size, flags=cv2.INTER_NEAREST)
    small = (CAMERA.width, CAMERA.height)
    alpha = cv2.resize(inside, small, interpolation=cv2.INTER_AREA)[..., None].astype(np.float32) / 255
    image[:] = image * (1 - alpha) + cv2.resize(colour, small, interpolation=cv2.INTER_AREA) * alpha


def film(boards: list[Board], eyes_m: np.ndarray, noise: float = 1.0) -> tuple[ClipFrames, CameraPath]:
    """Frames and the exact path of a camera at ``eyes_m`` (T, 3) that never turns."""
    total = len(eyes_m)
    rng = np.random.default_rng(7)
    wall = Board(np.tile([0.0, 0.0, 9.0], (total, 1)), 18.0, 99)
    pictures = np.zeros((2, total, CAMERA.height, CAMERA.width, 3), np.uint8)
    textures = {board.seed: texture(board.seed, 1024 if board is wall else 256) for board in (wall, *boards)}
    for eye in range(2):
        for t in range(total):
            image = np.zeros((CAMERA.height, CAMERA.width, 3), np.float32)
            for board in sorted((wall, *boards), key=lambda b: -b.centre_m[t, 2]):
                _draw(image, textures[board.seed], board.centre_m[t], board.side_m, eyes_m[t] + [eye * BASELINE_M, 0, 0])
            pictures[eye, t] = np.clip(image + rng.normal(0, noise, image.shape), 0, 255)
    index = np.arange(total)
    frames = ClipFrames("flat", pictures[0], pictures[1], index / FPS, index, index, index, CAMERA, BASELINE_M)
    poses = np.tile(np.eye(4), (total, 1, 1))
    poses[:, :3, 3] = eyes_m - eyes_m[0]
    path = CameraPath(poses, np.zeros((total, 6, 6)), False, 0.0, 0.0, 0.1, {})
    return frames, path


def line(start: tuple[float, float, float], velocity: tuple[float, float, float], total: int) -> np.ndarray:
    """Positions at constant velocity, metres per second."""
    return np.array(start) + np.arange(total)[:, None] / FPS * np.array(velocity)
