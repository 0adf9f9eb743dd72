"""Did the camera stand still for the whole clip? Compared with a reference frame, never with the neighbour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.cameras import matching
from curation.cameras.odometry import fit_motion, fit_pose, pose_covariance
from curation.geometry import vector_from_rotation
from schemas.camera import Array, CameraPath, Intrinsics

MIN_GAP = 10  # frames: between neighbours a slow camera looks static
_CORNERS = 400
_ZERO_PX = 0.5  # a corner that stays within this in u, v and d did not move
_MIN_SHARE = 0.15  # of the reference corners, at every compared frame (static clips: .25 and more; moving: .01 and less)
_CLEAR_SHARE = 0.3
_MIN_CELLS = 0.12  # of the 8 x 5 image cells with corners, likewise (.20; .05)
_MIN_CORRELATION = 0.8
_SHOWS_M = 0.03  # a corner takes part if a sideways step of this length would carry it over _ZERO_PX
_MAX_RIVAL = 0.7  # image area of one rigid motion of the other corners over that of the still ones (a bonnet is still too)
_MAX_DRIFT_M = 0.002
_MAX_SIGMA_M = 0.01


@dataclass(frozen=True)
class Stillness:
    """How still the camera was.

    Attributes:
        static: it did not move.
        share: least share of the reference corners that kept their place, over the compared frames.
        cells: least share of image cells of which most corners kept their place.
        drift_m: largest displacement fitted to the corners that kept their place.
        sigma_m: uncertainty of that displacement.
        noise_px: robust residual of those corners.
    """

    static: bool
    share: float
    cells: float
    drift_m: float
    sigma_m: float
    noise_px: float


_MOVING = Stillness(False, 0.0, 0.0, float("nan"), float("nan"), float("nan"))


def stillness(
    left: list[matching.Gray], right: list[matching.Gray], camera: Intrinsics, baseline_m: float, max_disparity_px: float
) -> Stillness:
    """Compare every frame at least ``MIN_GAP`` after the first (or the last third of a short clip) with the first.

    Corners on moving things change their place and are outvoted; a camera that moves and comes back is caught in between.
    A scene so far away that a moving camera would not show (uncertain displacement) is never called static.
    """
    total = len(left)
    corners = matching.detect_corners(left[0], _CORNERS)
    if len(corners) < 30:
        return _MOVING
    guess = matching.sample_disparity(matching.coarse_disparity(left[0], right[0], max_disparity_px), corners)
    disparity, valid = matching.match_right(left[0], right[0], corners, guess)
    # Only corners that would show it if the camera moved: clouds and hills stand still before a car at full speed.
    depth = camera.fx * baseline_m / np.where(valid & (disparity > 0.5), disparity, np.nan)
    with np.errstate(invalid="ignore"):
        near = depth < camera.fx * _SHOWS_M / _ZERO_PX
    corners, disparity, depth = corners[near], disparity[near], depth[near]
    if len(corners) < 30:
        return _MOVING
    cell = np.minimum(corners[:, 0] * 8 // camera.width, 7) * 5 + np.minimum(corners[:, 1] * 5 // camera.height, 4)
    points = camera.unproject(corners, depth)
    first = min(MIN_GAP, max(1, 2 * total // 3))
    frames = np.unique(np.r_[np.arange(total - 1, first - 1, -2), total - 1])
    shares, cells, drifts, sigmas, noise, rival = [], [], [], [], [], 0.0
    for t in frames:
        uv, found = matching.track(left[0], left[t], corners, levels=1)
        d, found_d = matching.match_right(left[t], right[t], uv, disparity, levels=1)
        with np.errstate(invalid="ignore"):
            still = found & (np.abs(uv - corners) < _ZERO_PX).all(axis=1)
            still &= ~found_d | (np.abs(d - disparity) < _ZERO_PX)
        still &= matching.correlation(left[0], left[t], corners, uv) > _MIN_CORRELATION
        shares.append(float(still.mean()))
        cells.append(_cell_share(cell, still))
        use = still & found_d
        if shares[-1] < _MIN_SHARE or cells[-1] < _MIN_CELLS or use.sum() < 20:
            return Stillness(False, min(shares), min(cells), float("nan"), float("nan"), float("nan"))
        rest = ~still & found
        if shares[-1] < 0.6 and rest.sum() > 20:
            agree = fit_motion(points[rest], np.concatenate([uv[rest], d[rest, None]], axis=1), camera, baseline_m)[1]
            rival = max(rival, len(np.unique(cell[rest][agree])) / len(np.unique(cell[still])))
        uvd = np.concatenate([uv[use], d[use, None]], axis=1)
        fitted = fit_pose(points[use], uvd, camera, baseline_m, np.eye(4))
        drifts.append(float(np.linalg.norm(fitted[:3, 3])))
        residual = uvd - np.concatenate([corners[use], disparity[use, None]], axis=1)
        noise.append(float(1.4826 * np.median(np.abs(residual))))
        covariance = pose_covariance(points[use], camera, baseline_m, fitted, max(noise[-1], 0.03))
        sigmas.append(float(np.sqrt(np.trace(covariance[:3, :3]))))
    worst = int(np.argmax(drifts))
    # Changing light shifts all corners a little, more than their spread says; where most of what is near stands, believe it.
    sigma_limit = 6 if min(shares) > _CLEAR_SHARE else 4
    fits = all(d < max(_MAX_DRIFT_M, sigma_limit * s) for d, s in zip(drifts, sigmas, strict=True)) and max(sigmas) < _MAX_SIGMA_M
    return Stillness(fits and rival <= _MAX_RIVAL, min(shares), min(cells), drifts[worst], sigmas[worst], float(np.median(noise)))


def stands(path: CameraPath, still: Stillness) -> bool:
    """Whether a path that was measured in full agrees with what the still corners say: that the camera did not move.

    This is for clips in which the still corners alone do not carry the verdict, because something else that moves as one
    fills much of the image.
    """
    if not (still.share >= _MIN_SHARE and still.cells >= _MIN_CELLS):
        return False
    way = np.linalg.norm(path.centers_m, axis=1)
    turn = np.linalg.norm(vector_from_rotation(path.world_from_camera[:, :3, :3]), axis=1)
    turn_sigma = np.sqrt(np.trace(path.covariance[:, 3:, 3:], axis1=1, axis2=2))
    near = (way <= 3 * np.sqrt(3) * path.position_sigma_m) & (way < _MAX_SIGMA_M)
    return bool((near & (turn <= 3 * turn_sigma) & (turn < np.deg2rad(0.1))).all())


def _cell_share(cell: Array, still: Array) -> float:
    """Share of the occupied cells of which at least half of the corners kept their place."""
    _, index = np.unique(cell, return_inverse=True)
    return float((np.bincount(index, still) / np.bincount(index) >= 0.5).mean())
