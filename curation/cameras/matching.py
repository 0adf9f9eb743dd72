"""Sub-pixel point matching: corners, temporal Lucas-Kanade, and left-to-right Lucas-Kanade at given points.

All points are (N, 2) pixels (u, v) in our convention (top-left pixel centred on (0.5, 0.5)). Images are uint8 grey.

Matching the tracked corner itself into the right eye is what makes stereo odometry accurate: its disparity error is a few
hundredths of a pixel, where a dense matcher is wrong by a fifth of a pixel (and by a whole one on plain walls).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from curation.geometry import from_opencv, to_opencv
from schemas.camera import Array

WINDOW_PX = 15
LEVELS = 4  # pyramid levels above the image itself that the trackers may use
_TERMINATION = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.003)
_MIN_EIGENVALUE = 1e-4

Gray = UInt8[Array, "h w"]


def gray(frame: UInt8[Array, "h w 3"]) -> Gray:
    """The grey image of an RGB frame."""
    return cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)


def _flow(source: Gray, target: Gray, points: Array, guess: Array, window_px: int, levels: int) -> tuple[Array, Array]:
    """Lucas-Kanade in OpenCV's pixels, float32; returns the points found and whether they were found inside the image."""
    height, width = target.shape
    found, status, _ = cv2.calcOpticalFlowPyrLK(
        source,
        target,
        np.ascontiguousarray(points, np.float32)[:, None],
        np.ascontiguousarray(guess, np.float32)[:, None].copy(),
        winSize=(window_px, window_px),
        maxLevel=levels,
        criteria=_TERMINATION,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        minEigThreshold=_MIN_EIGENVALUE,
    )
    found = found[:, 0].astype(np.float64)
    inside = (found[:, 0] > 1) & (found[:, 1] > 1) & (found[:, 0] < width - 2) & (found[:, 1] < height - 2)
    return found, (status[:, 0] == 1) & inside


def track(
    source: Gray,
    target: Gray,
    points: Float[Array, "n 2"],
    guess: Float[Array, "n 2"] | None = None,
    *,
    max_return_px: float = 0.5,
    window_px: int = WINDOW_PX,
    levels: int = LEVELS,
) -> tuple[Float[Array, "n 2"], Bool[Array, "n"]]:
    """Where points of one frame are in another, by pyramidal Lucas-Kanade run forward and back.

    Args:
        source: the frame that ``points`` lie in.
        target: the frame to find them in.
        points: pixels.
        guess: where to start the search in ``target``; ``points`` themselves where None or NaN.
        max_return_px: a point is invalid if tracking it back misses its start by this much or more.
        window_px: side of the correlation window.
        levels: pyramid levels used above the full image; 0 refines a guess that is already within a few pixels.

    Returns:
        The places in ``target`` (NaN where invalid) and their validity.
    """
    if len(points) == 0:
        return np.zeros((0, 2)), np.zeros(0, bool)
    start = to_opencv(np.asarray(points, float))
    begin = start if guess is None else np.where(np.isfinite(guess), to_opencv(guess), start)
    found, ok = _flow(source, target, start, begin, window_px, levels)
    # The way back starts from where the point came from only if that is close: it starts in place, offset by the
    # expected motion, so that a lost point is not led home.
    back, ok_back = _flow(target, source, found, found - (begin - start), window_px, levels)
    ok &= ok_back & (np.linalg.norm(back - start, axis=1) < max_return_px)
    found[~ok] = np.nan
    return from_opencv(found), ok


def match_right(
    left: Gray,
    right: Gray,
    points: Float[Array, "n 2"],
    disparity_guess: Float[Array, "n"],
    *,
    max_vertical_px: float = 0.7,
    max_return_px: float = 0.5,
    min_disparity_px: float = -1.0,
    window_px: int = WINDOW_PX,
    levels: int = 2,
) -> tuple[Float[Array, "n"], Bool[Array, "n"]]:
    """Disparity (left u - right u, pixels) of points of the left eye, by Lucas-Kanade into the right eye and back.

    Args:
        left: left eye.
        right: right eye, rows aligned.
        points: pixels of the left eye.
        disparity_guess: where the search starts, within some 10 px of the truth (the disparity of the frame before, of a
            dense matcher, of ``coarse_disparity``). NaN makes the point invalid.
        max_vertical_px: a match that leaves its row by this much or more is invalid.
        max_return_px: a match that does not lead back to its start is invalid.
        min_disparity_px: smaller disparities are invalid. Slightly below 0 by default: noise around 0 is a far point.
        window_px: side of the correlation window.
        levels: pyramid levels; more forgive worse guesses and confuse repeated texture more.

    Returns:
        Disparity (NaN where invalid) and validity. No offset is corrected: see ``CameraPath.disparity_offset_px``.
    """
    disparity = np.full(len(points), np.nan)
    valid = np.isfinite(disparity_guess) & np.isfinite(points).all(axis=1)
    if not valid.any():
        return disparity, np.zeros(len(points), bool)
    here = np.asarray(points, float)[valid]
    guess = here - np.stack([np.asarray(disparity_guess, float)[valid], np.zeros(len(here))], axis=1)
    found, ok = track(left, right, here, guess, max_return_px=max_return_px, window_px=window_px, levels=levels)
    with np.errstate(invalid="ignore"):
        ok &= (np.abs(found[:, 1] - here[:, 1]) < max_vertical_px) & (here[:, 0] - found[:, 0] > min_disparity_px)
    index = np.flatnonzero(valid)
    disparity[index[ok]] = (here[:, 0] - found[:, 0])[ok]
    valid[index[~ok]] = False
    return disparity, valid


def coarse_disparity(
    left: Gray, right: Gray, max_disparity_px: float, *, shrink: int = 2, block_px: int = 7
) -> Float[Array, "h w"]:
    """A rough dense disparity (pixels of the full image, NaN where unknown) to start ``match_right`` from.

    Semi-global matching of the images shrunk by ``shrink``, padded on the left so that the band which semi-global
    matching leaves empty holds an answer too. Good to a pixel or two, wrong in places: never a measurement.
    """
    height, width = left.shape
    size = (width // shrink, height // shrink)
    small_left = cv2.resize(left, size, interpolation=cv2.INTER_AREA)
    small_right = cv2.resize(right, size, interpolation=cv2.INTER_AREA)
    count = max(16, int(np.ceil(max_disparity_px / shrink / 16)) * 16)
    pad = [cv2.copyMakeBorder(image, 0, 0, count, 0, cv2.BORDER_REPLICATE) for image in (small_left, small_right)]
    matcher = cv2.StereoSGBM.create(
        minDisparity=0,
        numDisparities=count,
        blockSize=block_px,
        P1=8 * block_px**2,
        P2=32 * block_px**2,
        disp12MaxDiff=2,
        uniquenessRatio=5,
        speckleWindowSize=50,
        speckleRange=2,
        preFilterCap=31,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )
    raw = matcher.compute(pad[0], pad[1])[:, count:].astype(np.float32)
    small = np.where(raw < 0, np.nan, raw / 16.0 * shrink)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)


def sample_disparity(disparity: Float[Array, "h w"], points: Float[Array, "n 2"], radius_px: int = 8) -> Float[Array, "n"]:
    """Median of the finite disparities around each point (NaN where there is none within ``radius_px``)."""
    height, width = disparity.shape
    reach = np.arange(-radius_px, radius_px + 1, 2)
    grid = np.stack(np.meshgrid(reach, reach), axis=-1).reshape(-1, 2)
    where = np.floor(np.asarray(points)).astype(int)[:, None] + grid
    values = disparity[np.clip(where[..., 1], 0, height - 1), np.clip(where[..., 0], 0, width - 1)]
    out = np.full(len(points), np.nan)
    known = np.isfinite(values).any(axis=1)
    out[known] = np.nanmedian(values[known], axis=1)
    return out


def _dither(count: int) -> Array:
    """Sub-pixel shifts that fill (-0.5, 0.5)^2 evenly (the additive recurrence of the plastic number).

    A window around a pixel's centre needs no interpolation, its match does: that pulls Lucas-Kanade by up to 0.03 px,
    with the sign of the fraction of the true shift, which all corners of a wall share. Spread over all fractions of the
    starting point, the pull averages out.
    """
    return np.asarray((np.arange(count)[:, None] * [0.7548776662466927, 0.5698402909980532] + 0.5) % 1.0 - 0.5)


def correlation(
    source: Gray, target: Gray, points: Float[Array, "n 2"], places: Float[Array, "n 2"], radius_px: int = 5
) -> Float[Array, "n"]:
    """Normalised cross-correlation (-1 .. 1) of the patches around ``points`` in one image and ``places`` in another.

    Lucas-Kanade always answers; where there is nothing but noise, it answers "no motion". A correlation near 0 says so.
    """
    reach = np.arange(-radius_px, radius_px + 1, dtype=np.float32)
    shift = np.stack(np.meshgrid(reach, reach), axis=-1).reshape(-1, 2)

    def patches(image: Gray, centres: Array) -> Array:
        where = (to_opencv(np.nan_to_num(centres))[:, None] + shift).astype(np.float32)
        values = cv2.remap(image, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        values = values.astype(np.float32)
        return values - values.mean(axis=1, keepdims=True)

    if len(points) == 0:
        return np.zeros(0)
    a, b = patches(source, np.asarray(points, float)), patches(target, np.asarray(places, float))
    return np.asarray((a * b).sum(axis=1) / np.maximum(np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1)), 1e-6), float)


GRID = (16, 10)  # cells over which corners are spread (columns, rows)


def cell_counts(points: Float[Array, "n 2"], width: int, height: int) -> Array:
    """Number of points in each cell of the grid over an image, flattened."""
    return np.bincount(cell_of(points, width, height), minlength=GRID[0] * GRID[1])


def cell_of(points: Float[Array, "n k"], width: int, height: int) -> Array:
    """Number of the grid cell that each point (u, v, ...) lies in."""
    column = np.clip(points[:, 0] * GRID[0] // width, 0, GRID[0] - 1).astype(int)
    row = np.clip(points[:, 1] * GRID[1] // height, 0, GRID[1] - 1).astype(int)
    return np.asarray(column * GRID[1] + row)


def detect_corners(
    image: Gray,
    count: int,
    existing: Float[Array, "n 2"] | Sequence[Any] = (),
    *,
    quality: float = 0.001,
    distance_px: float = 8.0,
    block_px: int = 5,
    mask: UInt8[Array, "h w"] | None = None,
    border_px: int = 8,
) -> Float[Array, "m 2"]:
    """Up to ``count`` new corners, spread evenly over the image and away from each other and from the ``existing`` ones.

    Strength alone would put most corners on whatever is most textured: a tree in the distance, or a van that drives by.

    Args:
        image: grey image.
        count: how many new corners at most.
        existing: pixels to keep away from (tracks that are still alive); they count as corners of their cell.
        quality: least corner strength, relative to the strongest of the image.
        distance_px: least distance between corners.
        block_px: window of the corner strength.
        mask: non-zero where corners are allowed; everywhere where None.
        border_px: margin without corners.

    Returns:
        Pixels; those of the emptiest cells first.
    """
    held = np.asarray(existing, float).reshape(-1, 2)
    height, width = image.shape
    if count <= 0 or min(height, width) <= 2 * border_px:
        return np.zeros((0, 2))
    strength = cv2.cornerMinEigenVal(image, block_px)
    allowed = np.zeros(image.shape, np.uint8)
    inner = (slice(border_px, -border_px), slice(border_px, -border_px))
    allowed[inner] = 255 if mask is None else mask[inner]
    reach = max(1, int(distance_px) - 1)
    for x, y in to_opencv(held):
        cv2.circle(allowed, (round(x), round(y)), reach, 0, -1)
    strength[allowed == 0] = 0
    least = max(quality * float(strength.max()), 1e-9)
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    found: list[Array] = []
    for _ in range(3):  # each round takes the local maxima, then clears their surroundings for the next
        v, u = np.nonzero((strength > least) & (strength >= cv2.dilate(strength, kernel)))
        if len(u) == 0:
            break
        found.append(np.stack([u, v, strength[v, u]], axis=1))
        taken = np.zeros(image.shape, np.uint8)
        taken[v, u] = 1
        strength[cv2.dilate(taken, kernel) > 0] = 0
    if not found:
        return np.zeros((0, 2))
    corners = np.concatenate(found)
    pixels = np.clip(from_opencv(corners[:, :2] + _dither(len(corners))), 0.5, [width - 0.5, height - 0.5])
    cell = cell_of(pixels, width, height)
    order = np.lexsort((-corners[:, 2], cell))
    ordered = cell[order]
    rank = np.arange(len(order)) - np.searchsorted(ordered, ordered) + cell_counts(held, width, height)[ordered]
    return np.asarray(pixels[order[np.lexsort((-corners[order, 2], rank))[:count]]])
