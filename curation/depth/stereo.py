"""Disparity of a rectified pair with a per-pixel sigma, and the metric depth that follows from it.

Semi-global matching (Hirschmueller 2008) gives a value nearly everywhere but pulls it towards whole pixels; a few
hundred points matched by Lucas-Kanade in the same pair, which has no such pull, measure that bias and the noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.spatial import cKDTree

from curation.cameras.matching import match_right
from curation.geometry import from_opencv
from schemas.camera import Array, Intrinsics
from schemas.config import DepthConfig

_PHASE_BINS = 32
_PHASE_WIDTH = 0.06
_PHASE_SHRINK = 2.0
_LOCAL_STEP_PX = 8
_LOCAL_REACH_PX = 25.0
_LOCAL_SHRINK = 0.5
_TEXTURE_EDGES = np.array([2.0, 4.0, 8.0, 16.0, 32.0])
_SIGMA_FLOOR_PX = 0.05
_SIGMA_UNMEASURED_PX = 0.5
_LEAST_POINTS = 60
_PROBE_STEP_PX = 12
_PROBE_LEAST_EIGENVALUE = 40.0


@dataclass(frozen=True)
class Disparity:
    """Left-minus-right column of every pixel of the left image.

    Attributes:
        disparity_px: (H, W) float32, positive; NaN where not ``valid``.
        sigma_px: (H, W) float32 one-sigma uncertainty; NaN where not ``valid``.
        valid: (H, W) matched, seen by both eyes, and passed the left-right check.
        stats: measured bias and noise of this pair, for the record.
    """

    disparity_px: Float[Array, "h w"]
    sigma_px: Float[Array, "h w"]
    valid: Bool[Array, "h w"]
    stats: dict[str, float]


def to_gray(image: UInt8[Array, "h w *c"]) -> UInt8[Array, "h w"]:
    """Grey levels of an RGB image; a grey image is returned as it is."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def search_range_px(width: int, config: DepthConfig) -> int:
    """Largest disparity searched, a multiple of 16 (which the matcher demands)."""
    return max(16, int(np.ceil(config.max_disparity_share * width / 16)) * 16)


def semi_global(left: UInt8[Array, "h w"], right: UInt8[Array, "h w"], max_disparity_px: int) -> Float[Array, "h w"]:
    """Semi-global matching over [0, max_disparity_px); NaN where nothing matched or the other eye cannot see the pixel.

    The pair is padded to the left, because the matcher answers nothing in its first ``max_disparity_px`` columns.
    """
    block = 5
    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=max_disparity_px,
        blockSize=block,
        P1=8 * block * block,
        P2=32 * block * block,
        disp12MaxDiff=1,
        preFilterCap=15,
        uniquenessRatio=10,
        speckleWindowSize=60,
        speckleRange=2,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )
    padded = [cv2.copyMakeBorder(image, 0, 0, max_disparity_px, 0, cv2.BORDER_REPLICATE) for image in (left, right)]
    disparity = matcher.compute(padded[0], padded[1])[:, max_disparity_px:].astype(np.float32) / 16
    columns = np.arange(left.shape[1], dtype=np.float32)
    return np.where((disparity > 0) & (columns - disparity >= 0), disparity, np.float32(np.nan))


def _probes(left: Array, right: Array, raw: Array) -> tuple[Array, Array, Array]:
    """Pixels (rows, columns) with good texture, and their Lucas-Kanade disparity."""
    eigen = cv2.cornerMinEigenVal(left, 5) * 255.0**2
    step = _PROBE_STEP_PX
    height, width = left.shape[0] // step * step, left.shape[1] // step * step
    cells = (
        eigen[:height, :width].reshape(height // step, step, width // step, step).transpose(0, 2, 1, 3).reshape(-1, step * step)
    )
    best, index = cells.argmax(1), np.arange(len(cells))
    rows = index // (width // step) * step + best // step
    cols = index % (width // step) * step + best % step
    use = (cells[index, best] > _PROBE_LEAST_EIGENVALUE) & np.isfinite(raw[rows, cols])
    rows, cols = rows[use], cols[use]
    if not len(rows):
        return rows, cols, np.zeros(0)
    pixels = from_opencv(np.stack([cols, rows], -1).astype(float))
    exact, good = match_right(left, right, pixels, raw[rows, cols], max_return_px=0.3, window_px=11, levels=0)
    good &= np.abs(np.nan_to_num(exact) - raw[rows, cols]) < 1.5
    return rows[good], cols[good], exact[good]


def _mad(values: Array) -> float:
    return float(1.4826 * np.median(np.abs(values - np.median(values)))) if len(values) else float("nan")


def disparity_map(
    left: UInt8[Array, "h w *c"],
    right: UInt8[Array, "h w *c"],
    camera: Intrinsics,
    baseline_m: float,
    config: DepthConfig,
) -> Disparity:
    """Disparity of a rectified pair, corrected for the matcher's bias, with per-pixel sigma.

    Args:
        left: RGB or grey.
        right: the same, rows aligned.
        camera: of both eyes; its size must be the images'.
        baseline_m: distance between the eyes; only checked here, disparity does not depend on it.
        config: search range.

    Returns:
        Disparity in pixels; ``stats`` holds the measured bias and noise (NaN where too few points allowed it).

    Raises:
        ValueError: images of different size, or not the camera's, or a baseline that is not positive.
    """
    if left.shape != right.shape or left.shape[:2] != (camera.height, camera.width):
        raise ValueError(f"expected two images of {camera.height}x{camera.width}, got {left.shape} and {right.shape}")
    if not baseline_m > 0:
        raise ValueError(f"expected a positive baseline, got {baseline_m} m")
    one, two = to_gray(left), to_gray(right)
    raw = semi_global(one, two, search_range_px(camera.width, config))
    rows, cols, exact = _probes(one, two, raw)
    disparity = raw.copy()
    error = raw[rows, cols] - exact
    stats = {"probes": float(len(rows)), "bias_px": float("nan"), "noise_px": float("nan")}
    if len(rows) >= _LEAST_POINTS:
        stats["bias_px"] = float(np.median(error))
        bias = _phase_bias(raw[rows, cols], error)
        phase = np.nan_to_num(raw) % 1.0 * _PHASE_BINS
        low = phase.astype(int) % _PHASE_BINS
        share = phase - np.floor(phase)
        disparity = raw - (bias[low] * (1 - share) + bias[(low + 1) % _PHASE_BINS] * share).astype(np.float32)
        disparity = disparity - _local_bias(disparity, rows, cols, disparity[rows, cols] - exact)
        error = disparity[rows, cols] - exact
        stats["noise_px"] = _mad(error)
    sigma = _sigma(one, disparity, rows, cols, error)
    valid = np.isfinite(disparity) & (disparity > 0)
    nan = np.float32(np.nan)
    return Disparity(np.where(valid, disparity, nan), np.where(valid, sigma, nan), valid, stats)


def _phase_bias(raw: Array, error: Array) -> Array:
    """Mean error around each of ``_PHASE_BINS`` sub-pixel phases of the raw disparity; 0 where no point is near a phase."""
    centres = np.arange(_PHASE_BINS) / _PHASE_BINS
    apart = np.abs((raw[None] - centres[:, None] + 0.5) % 1.0 - 0.5)
    weight = np.exp(-0.5 * (apart / _PHASE_WIDTH) ** 2)
    return (weight * np.clip(error, -0.6, 0.6)).sum(1) / (weight.sum(1) + _PHASE_SHRINK)


def _local_bias(disparity: Array, rows: Array, cols: Array, error: Array) -> Float[Array, "h w"]:
    """What is left of the bias near each pixel, from the points close to it in the image and in disparity."""
    step = _LOCAL_STEP_PX
    v, u = np.mgrid[step // 2 : disparity.shape[0] : step, step // 2 : disparity.shape[1] : step]
    here = disparity[v, u]
    points = np.column_stack([cols / _LOCAL_REACH_PX, rows / _LOCAL_REACH_PX, disparity[rows, cols]])
    known = np.isfinite(here)
    query = np.column_stack([u[known] / _LOCAL_REACH_PX, v[known] / _LOCAL_REACH_PX, here[known]])
    distance, index = cKDTree(points).query(query, k=min(12, len(points)))
    weight = np.exp(-0.5 * distance**2)
    grid = np.zeros(here.shape, np.float32)
    grid[known] = (weight * np.clip(error, -0.6, 0.6)[index]).sum(1) / (weight.sum(1) + _LOCAL_SHRINK)
    return cv2.resize(grid, disparity.shape[::-1], interpolation=cv2.INTER_NEAREST)


def _sigma(left: Array, disparity: Array, rows: Array, cols: Array, error: Array) -> Array:
    """Noise by horizontal texture (where the points measured it) combined with the local spread of the map itself."""
    gradient = cv2.boxFilter(np.abs(cv2.Sobel(left, cv2.CV_32F, 1, 0, ksize=3, scale=0.25)), -1, (5, 5))
    bins = np.digitize(gradient, _TEXTURE_EDGES)
    table = np.full(len(_TEXTURE_EDGES) + 1, np.nan)
    for k in range(len(table)):
        inside = error[bins[rows, cols] == k]
        if len(inside) >= 20:
            table[k] = max(_SIGMA_FLOOR_PX, float(np.quantile(np.abs(inside), 0.683)))
    known = np.flatnonzero(np.isfinite(table))
    if not len(known):
        table[:] = _SIGMA_UNMEASURED_PX
    else:
        # Below the weakest texture that the points reach, noise grows as texture falls.
        for k in range(known[0] - 1, -1, -1):
            table[k] = min(2.0, 2.0 * table[k + 1])
        table[known[-1] :] = table[known[-1]]
        table = np.interp(np.arange(len(table)), np.flatnonzero(np.isfinite(table)), table[np.isfinite(table)])
    filled = np.nan_to_num(disparity)
    weight = np.isfinite(disparity).astype(np.float32)
    count = np.maximum(cv2.boxFilter(weight, -1, (5, 5)), 1e-3)
    mean = cv2.boxFilter(filled, -1, (5, 5)) / count
    spread = np.sqrt(np.maximum(cv2.boxFilter(filled**2, -1, (5, 5)) / count - mean**2, 0.0))
    return np.hypot(table[bins].astype(np.float32), 0.5 * np.minimum(spread, 4.0))


def depth_m(
    disparity: Disparity,
    camera: Intrinsics,
    baseline_m: float,
    *,
    offset_px: float = 0.0,
    offset_sigma_px: float = 0.0,
) -> tuple[Float[Array, "h w"], Float[Array, "h w"]]:
    """Depth along +Z and its one-sigma uncertainty, metres; NaN where the disparity is not valid.

    Args:
        disparity: of the left image.
        camera: of both eyes.
        baseline_m: distance between the eyes.
        offset_px: the clip's self-calibrated disparity offset (``CameraPath``), added before conversion.
        offset_sigma_px: its uncertainty.
    """
    value = disparity.disparity_px + np.float32(offset_px)
    value = np.where(value > 0, value, np.float32(np.nan))
    depth = camera.fx * baseline_m / value
    return depth, depth / value * np.hypot(disparity.sigma_px, offset_sigma_px)
