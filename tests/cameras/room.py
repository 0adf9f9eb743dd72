"""A stereo clip of a textured room, made in a blink: what the tests of this area look at.

Six walls and, if asked, a board that moves; every ray is met with every plane, and the texture is smooth enough to need
no filtering. Exact truth, no dependence on the renderer of ``curation.worlds``.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from curation.geometry import pose, rotation_from_vector
from schemas.camera import Intrinsics
from schemas.clip import ClipFrames

WALLS = (  # a point of the plane, its two axes
    ((-4, 0, 0), (0, 1, 0), (0, 0, 1)),
    ((4, 0, 0), (0, 1, 0), (0, 0, 1)),
    ((0, -2, 0), (1, 0, 0), (0, 0, 1)),
    ((0, 2, 0), (1, 0, 0), (0, 0, 1)),
    ((0, 0, 9), (1, 0, 0), (0, 1, 0)),
    ((0, 0, -4), (1, 0, 0), (0, 1, 0)),
)
TEXELS_PER_M = 40


@cache
def texture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    out = np.zeros((1024, 1024), np.float32)
    for blur in (1.5, 3, 8, 25):
        layer = cv2.GaussianBlur(rng.standard_normal(out.shape).astype(np.float32), (0, 0), blur)
        out += layer / layer.std()
    return 120 + 22 * out / out.std()


def camera(width: int = 320, height: int = 200, hfov_deg: float = 75.0) -> Intrinsics:
    focal = width / 2 / np.tan(np.deg2rad(hfov_deg) / 2)
    return Intrinsics(focal, focal, width / 2, height / 2, width, height)


def path(count: int, way_m=(0.0, 0.0, 0.0), turn_deg=(0.0, 0.0, 0.0), shake_m: float = 0.0) -> np.ndarray:
    """(T, 4, 4) world_from_camera: a steady motion that adds up to ``way_m`` and ``turn_deg``."""
    share = np.linspace(0, 1, count)
    wobble = shake_m * np.sin(np.outer(np.arange(count), [1.7, 2.3, 1.1]))
    return np.stack(
        [
            pose(rotation_from_vector(np.deg2rad(turn_deg) * s), np.array(way_m) * s + w)
            for s, w in zip(share, wobble, strict=True)
        ]
    )


def image(
    view: Intrinsics, world_from_eye: np.ndarray, board: tuple | None, shift_px: float, seed: int, plain: bool
) -> np.ndarray:
    u, v = np.meshgrid(np.arange(view.width) + 0.5, np.arange(view.height) + 0.5)
    rays = np.stack([(u - view.cx + shift_px) / view.fx, (v - view.cy) / view.fy, np.ones_like(u)], -1) @ world_from_eye[:3, :3].T
    origin = world_from_eye[:3, 3]
    nearest, value = np.full(u.shape, np.inf), np.zeros(u.shape, np.float32)
    planes = [(*wall, None) for wall in WALLS] + ([(board[0], (1, 0, 0), (0, 1, 0), board[1])] if board else [])
    for index, (point, axis_a, axis_b, size) in enumerate(planes):
        normal = np.cross(axis_a, axis_b)
        with np.errstate(divide="ignore", invalid="ignore"):
            depth = ((np.array(point, float) - origin) @ normal) / (rays @ normal)
        where = origin + rays * np.where(np.isfinite(depth), depth, 0)[..., None] - point
        a, b = where @ axis_a, where @ axis_b
        hit = (depth > 0.05) & (depth < nearest)
        if size is not None:
            hit &= (np.abs(a) < size[0] / 2) & (np.abs(b) < size[1] / 2)
        grain = texture(1000 * seed + index)
        at = [((x * TEXELS_PER_M + 512) % 1023).astype(np.float32) for x in (a, b)]
        seen = cv2.remap(grain, at[0], at[1], cv2.INTER_LINEAR)
        value, nearest = np.where(hit, 120.0 if plain else seen, value), np.where(hit, depth, nearest)
    return value


def clip(
    poses: np.ndarray, *, baseline_m: float = 0.12, noise: float = 1.0, seed: int = 0, board=None, offset_px: float = 0.0,
    view: Intrinsics | None = None, dark=(), plain: bool = False,
) -> ClipFrames:  # fmt: skip
    """Frames seen along ``poses`` (the first must be the identity).

    Args:
        board: (centres (T, 3), (width, height)) of a board that moves, metres.
        offset_px: added to every disparity (a rectification error).
        dark: frames that show nothing.
        plain: walls without texture.
    """
    view = view or camera()
    rng = np.random.default_rng([seed, 3])
    eyes = []
    for side in (0, 1):
        frames = []
        for t, world_from_left in enumerate(poses):
            world_from_eye = world_from_left @ pose(np.eye(3), np.array([side * baseline_m, 0, 0]))
            moving = None if board is None else (board[0][t], board[1])
            seen = image(view, world_from_eye, moving, side * offset_px, seed, plain) * (0.0 if t in dark else 1.0)
            frames.append(np.clip(np.round(seen + noise * rng.standard_normal(seen.shape)), 0, 255).astype(np.uint8))
        eyes.append(np.repeat(np.stack(frames)[..., None], 3, axis=-1))
    index = np.arange(len(poses))
    return ClipFrames(f"room{seed}", eyes[0], eyes[1], index / 10.0, index, index, index, view, baseline_m)
