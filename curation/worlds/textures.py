"""Procedural tileable patterns with mip pyramids, and the filtered lookup of many samples at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float, Int

from schemas.camera import Array

SIZE = 512
_PAD = 2
PATTERNS = ("plain", "fbm", "bricks", "tiles", "planks", "speckle", "windows", "stripes", "shapes", "asphalt")


@dataclass(frozen=True)
class Material:
    """How a surface looks. The colour of a point is ``colour * (1 + contrast * (pattern - 1)) * (1 + detail * (fbm - 1))``.

    Attributes:
        colour: linear RGB in 0..1.
        pattern: name of one of ``PATTERNS``; they average to about 1.
        period_m: size of one repetition of the pattern on the surface.
        contrast: strength of the pattern.
        detail: strength of the fine cloud pattern on top, whose period is incommensurate with the first.
        detail_period_m: its size.
        phase: offset of both patterns, so that two bodies of one material are not copies.
    """

    colour: tuple[float, float, float]
    pattern: str = "fbm"
    period_m: float = 2.0
    contrast: float = 1.0
    detail: float = 0.5
    detail_period_m: float = 0.73
    phase: tuple[float, float] = (0.0, 0.0)


def _noise(rng: np.random.Generator, exponent: float, low: float = 1.0, size: int = SIZE) -> Array:
    """Tileable noise with an amplitude spectrum of 1 / f^exponent above ``low`` cycles, zero mean, unit deviation."""
    fy, fx = np.meshgrid(np.fft.fftfreq(size) * size, np.fft.fftfreq(size) * size, indexing="ij")
    f = np.hypot(fx, fy)
    amplitude = np.where(f >= low, 1.0 / np.maximum(f, 1) ** exponent, 0.0)
    field = np.real(np.fft.ifft2(np.fft.fft2(rng.normal(size=(size, size))) * amplitude))
    return np.asarray((field - field.mean()) / field.std())


def _grid_pattern(rng: np.random.Generator, rows: int, columns: int, gap: int, stagger: bool, spread: float) -> Array:
    """Cells of varying brightness with darker joints between them: bricks, tiles, planks."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    height, width = SIZE / rows, SIZE / columns
    row = (y // height).astype(int)
    shifted = (x + (row % 2) * (width / 2 if stagger else 0)) % SIZE
    column = (shifted // width).astype(int)
    tone = 1 + spread * (rng.uniform(-1, 1, (rows, columns, 1)) + 0.08 * rng.uniform(-1, 1, (rows, columns, 3)))
    out = tone[row, column]
    joint = (y % height < gap) | (shifted % width < gap)
    out[joint] = 0.55
    return np.asarray(out)


def _windows(rng: np.random.Generator) -> Array:
    out = np.ones((SIZE, SIZE, 3))
    for r in range(4):
        for c in range(4):
            y, x = r * 128 + 30 + rng.integers(-4, 4), c * 128 + 34 + rng.integers(-8, 8)
            h, w = 74 + rng.integers(-6, 6), 58 + rng.integers(-8, 12)
            glass = rng.uniform(0.15, 0.5) * np.array([0.8, 0.95, 1.15])
            out[y - 5 : y + h + 5, x - 5 : x + w + 5] = rng.uniform(1.1, 1.4)
            out[y : y + h, x : x + w] = glass
            out[y : y + int(h * rng.uniform(0.1, 0.8)), x : x + w] = rng.uniform(0.4, 1.2) + rng.uniform(-0.12, 0.12, 3)
            out[y : y + h, x + w // 2 - 2 : x + w // 2 + 2] = 1.25
    return out


def _shapes(rng: np.random.Generator) -> Array:
    out = np.full((SIZE * 3, SIZE * 3, 3), 1.0)
    for _ in range(140):
        size, tone = rng.integers(10, 60), rng.uniform(0.35, 1.6) + rng.uniform(-0.3, 0.3, 3)
        x, y = rng.integers(0, SIZE, 2)
        turn, round_ = rng.uniform(0, 180), rng.random() < 0.4
        for dx in (0, 1, 2):
            for dy in (0, 1, 2):
                centre = (float(x + dx * SIZE), float(y + dy * SIZE))
                if round_:
                    cv2.circle(out, (int(centre[0]), int(centre[1])), int(size // 2), tone.tolist(), -1, cv2.LINE_AA)
                else:
                    corners = cv2.boxPoints((centre, (float(size), float(size) * 0.6), turn)).astype(np.int32)
                    cv2.fillConvexPoly(out, corners, tone.tolist(), cv2.LINE_AA)
    return out[SIZE : 2 * SIZE, SIZE : 2 * SIZE]


@lru_cache(maxsize=1)
def _pyramid() -> tuple[Array, ...]:
    """Per mip level an atlas of all patterns below each other, each padded by wrapping; float32 RGB, mean 1."""
    rng = np.random.default_rng(20240)

    def grey(field: Array) -> Array:
        return np.repeat(field[..., None], 3, 2)

    cloud = 1 + 0.22 * grey(_noise(rng, 1.0, 3)) + 0.03 * np.stack([_noise(rng, 1.1, 3) for _ in range(3)], -1)
    y = np.mgrid[0:SIZE, 0:SIZE][0]
    images = {
        "plain": 1 + 0.015 * grey(_noise(rng, 1.4)),
        "fbm": cloud,
        "bricks": _grid_pattern(rng, 16, 8, 3, True, 0.3),
        "tiles": _grid_pattern(rng, 6, 6, 3, False, 0.12),
        "planks": _grid_pattern(rng, 12, 2, 2, True, 0.28) + 0.1 * grey(_noise(rng, 0.8, 12)),
        "speckle": 1 + 0.35 * np.tanh(grey(_noise(rng, 0.25, 20))),
        "windows": _windows(rng),
        "stripes": grey(np.where((y // 32) % 2 == 0, 1.25, 0.75).astype(float)),
        "shapes": _shapes(rng),
        "asphalt": 1 + 0.16 * grey(_noise(rng, 0.5, 4)) + 0.1 * grey(_noise(rng, 1.6)),
    }
    levels = []
    stack = [np.clip(images[name], 0.02, 2.5) for name in PATTERNS]
    stack = [image / image.mean() for image in stack]
    while True:
        padded = [np.pad(image, ((_PAD, _PAD), (_PAD, _PAD), (0, 0)), mode="wrap") for image in stack]
        levels.append(np.ascontiguousarray(np.concatenate(padded).astype(np.float32)))
        if stack[0].shape[0] <= 4:
            return tuple(levels)
        half = stack[0].shape[0] // 2
        stack = [image.reshape(half, 2, half, 2, 3).mean((1, 3)) for image in stack]


def _level(level: int, pattern: Int[Array, "n"], uv: Float[Array, "n 2"]) -> Float[Array, "n 3"]:
    atlas = _pyramid()[level]
    size = SIZE >> level
    count, columns = len(uv), 2048  # remap takes pictures, not lists: fold the list
    rows = -(-count // columns)
    maps = np.zeros((2, rows * columns), np.float32)
    cell = (uv - np.floor(uv)) * np.float32(size) + np.float32(_PAD - 0.5)
    maps[0, :count] = cell[:, 0]
    maps[1, :count] = cell[:, 1] + pattern * np.float32(size + 2 * _PAD)
    out = cv2.remap(atlas, maps[0].reshape(rows, columns), maps[1].reshape(rows, columns), cv2.INTER_LINEAR)
    return np.asarray(out).reshape(-1, 3)[:count]


def lookup(pattern: Int[Array, "n"], uv: Float[Array, "n 2"], footprint: Float[Array, "n"]) -> Float[Array, "n 3"]:
    """Trilinearly filtered pattern values.

    Args:
        pattern: (n,) index into ``PATTERNS``.
        uv: (n, 2) float32 texture coordinates in repetitions.
        footprint: (n,) float32 size of a sample on the surface, in repetitions.
    """
    top = len(_pyramid()) - 1
    lod = np.clip(np.log2(np.maximum(footprint * np.float32(SIZE), np.float32(1e-6))), 0, np.float32(top - 0.001))
    low = lod.astype(np.int32)
    share = (lod - low)[:, None]
    present = np.flatnonzero(np.bincount(low, minlength=top))
    if len(present) == 1:
        level = int(present[0])
        a, b = _level(level, pattern, uv), _level(level + 1, pattern, uv)
        return np.asarray(a + (b - a) * share)
    out = np.empty((len(uv), 3), np.float32)
    for level in map(int, present):
        pick = np.flatnonzero(low == level)
        a, b = _level(level, pattern[pick], uv[pick]), _level(level + 1, pattern[pick], uv[pick])
        out[pick] = a + (b - a) * share[pick]
    return out
