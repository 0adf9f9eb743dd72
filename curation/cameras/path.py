"""The metric camera path of a stereo clip: odometry, bundle adjustment, self-calibration, doubt."""

from __future__ import annotations

from typing import Any

import numpy as np

from curation.cameras import matching, static, trust
from curation.cameras.bundle import Adjusted, Tracks, adjust
from curation.cameras.calibrate import MIN_OFFSET_PX, judged_offset, not_applied, pose_covariances
from curation.cameras.odometry import Odometry, follow, reversed_in_time
from curation.geometry import pose, rotation_from_vector, vector_from_rotation
from schemas.camera import Array, CameraPath, Intrinsics
from schemas.clip import ClipFrames
from schemas.config import CamerasConfig
from schemas.outcome import Rejected

_MAX_DISPARITY_SHARE = 0.2  # of the image width, searched for new corners
_FIRST_PIECE = 20  # frames: long pieces tell slow movers from static corners ...
_PIECE = 10  # ... short ones do not suffer from the slow drift of Lucas-Kanade tracks
_MISFIT_SIGMAS = 4.0
_MISFIT_SHARE = 0.2


def estimate_path(frames: ClipFrames, config: CamerasConfig, *, seed: int = 0) -> CameraPath:
    """The metric path of the left camera over a clip's measuring frames.

    Args:
        frames: rectified stereo frames.
        config: number of corners and limits.
        seed: of the split into halves; everything else is free of randomness.

    Returns:
        Poses with calibrated covariance. A static camera is snapped to the identity.

    Raises:
        Rejected: the path cannot be trusted: ``pose_few_tracks``, ``pose_lost``, ``pose_outliers``, ``pose_uncertain``.
        ValueError: the clip is not stereo or has fewer than two frames.
    """
    if frames.right is None or frames.baseline_m is None or len(frames.left) < 2:
        raise ValueError(f"expected a stereo clip of at least two frames with a baseline, got {frames.clip_id}")
    camera, baseline_m = frames.camera, frames.baseline_m
    left = [matching.gray(frame) for frame in frames.left]
    right = [matching.gray(frame) for frame in frames.right]
    reach_px = _MAX_DISPARITY_SHARE * camera.width
    still = static.stillness(left, right, camera, baseline_m, reach_px)
    if still.static:
        return _static_path(len(left), still)
    try:
        path = _path(follow(left, right, camera, baseline_m, config.corners, reach_px), camera, baseline_m, config, seed)
        return _static_path(len(left), still) if static.stands(path, still) else path
    except Rejected as first:
        # Played backwards, the clip may begin where the view is clear (a van that fills the image at first drives off).
        try:
            found = follow(left[::-1], right[::-1], camera, baseline_m, config.corners, reach_px)
            return _path(reversed_in_time(found), camera, baseline_m, config, seed)
        except Rejected:
            raise first from None


def _path(found: Odometry, camera: Intrinsics, baseline_m: float, config: CamerasConfig, seed: int) -> CameraPath:
    """Adjust, calibrate and check what the front end found."""
    tracks, first = _without_misfits(found, camera, baseline_m)
    pieces = tracks.pieces(_PIECE)
    free = adjust(pieces, first.world_from_camera, camera, baseline_m, offset_px=first.offset_px, solve_offset=True)
    offset_px, offset_sigma_px = not_applied(free)
    if abs(free.offset_px) >= MIN_OFFSET_PX:
        halves = trust.split_halves(pieces, free, camera, baseline_m, solve_offset=True, seed=seed)
        without = adjust(pieces, free.world_from_camera, camera, baseline_m, sigma_px=free.sigma_px, covariance=False)
        gain = 1.0 - free.cost / without.cost
        offset_px, offset_sigma_px = judged_offset(free, gain, halves.first.offset_px, halves.second.offset_px)
    adjusted = free
    if offset_px == 0.0:
        adjusted = adjust(pieces, free.world_from_camera, camera, baseline_m, sigma_px=free.sigma_px)
        halves = trust.split_halves(pieces, adjusted, camera, baseline_m, solve_offset=False, seed=seed)
    rival = trust.rival_motion(found.tracks, adjusted.world_from_camera, camera, baseline_m, offset_px)
    return _checked(found, tracks, adjusted, halves, offset_px, offset_sigma_px, rival, config)


def _static_path(count: int, still: static.Stillness) -> CameraPath:
    """Every pose the identity; the doubt is that of the displacement that was looked for and not found."""
    covariance = np.zeros((count, 6, 6))
    covariance[1:, range(3), range(3)] = still.sigma_m**2 / 3
    stats: dict[str, Any] = {
        "still_share": still.share,
        "still_cells": still.cells,
        "drift_m": still.drift_m,
        "drift_sigma_m": still.sigma_m,
    }
    return CameraPath(np.tile(np.eye(4), (count, 1, 1)), covariance, True, 0.0, MIN_OFFSET_PX, still.noise_px, stats)


def _without_misfits(found: Odometry, camera: Intrinsics, baseline_m: float) -> tuple[Tracks, Adjusted]:
    """Adjust once, then drop every corner of which too many measurements disagree with it."""
    tracks = found.tracks
    pieces = tracks.pieces(_FIRST_PIECE)
    if len(pieces) < trust.MIN_LINKS:
        raise Rejected("pose_few_tracks", f"{len(pieces)} corners could be followed, expected at least {trust.MIN_LINKS}")
    trusted = found.agreed[np.searchsorted(tracks.parent, pieces.parent)] >= 0.5
    adjusted = adjust(
        pieces, found.world_from_camera, camera, baseline_m, trusted=trusted, solve_offset=True, covariance=False, tolerance=0.2
    )
    sigma = np.array([adjusted.sigma_px[0]] * 2 + [adjusted.sigma_px[1]])
    with np.errstate(invalid="ignore"):
        bad = (np.abs(adjusted.residual / sigma) > _MISFIT_SIGMAS).any(axis=2)
    size = int(tracks.parent.max()) + 1
    count = np.bincount(pieces.parent, np.isfinite(adjusted.residual[..., 0]).sum(axis=1), minlength=size)
    misfit = np.bincount(pieces.parent, bad.sum(axis=1), minlength=size) > _MISFIT_SHARE * np.maximum(count, 1)
    return tracks.select(~misfit[tracks.parent] & (count[tracks.parent] > 0)), adjusted


def _checked(
    found: Odometry, tracks: Tracks, adjusted: Adjusted, halves: trust.Halves, offset_px: float, offset_sigma_px: float,
    rival: trust.Rival, config: CamerasConfig,
) -> CameraPath:  # fmt: skip
    """Put doubt on the path, refuse it or return it, with the frames that had no pose interpolated."""
    count = len(adjusted.world_from_camera)
    covariance = pose_covariances(adjusted, offset_px)
    doubted = covariance if offset_px else pose_covariances(adjusted, offset_px, offset_sigma_px)
    centers = adjusted.world_from_camera[:, :3, 3]
    length_m = float(np.linalg.norm(np.diff(centers, axis=0), axis=1).sum())
    sigma_m = float(np.sqrt(np.trace(covariance[:, :3, :3], axis1=1, axis2=2).max() / 3))
    agreed = np.isfinite(found.tracks.uvd[found.agreed >= 0.5, :, 0]).sum()
    kept = float(min(1.0, np.isfinite(tracks.uvd[..., 0]).sum() / max(agreed, 1)))
    links = int(trust.frame_links(tracks, count).min())
    stats: dict[str, Any] = {
        "length_m": length_m,
        "split_half_m": float(halves.position_m.max()),
        "max_sigma_m": sigma_m,
        "corners": len(tracks),
        "kept_ratio": kept,
        "min_link_ratio": float(found.link_ratio.min()),
        "min_links": links,
        "rival_motion": rival.share,
        "worst_rival_motion": rival.worst,
        "noise_d_px": adjusted.sigma_px[1],
        "offset_px": offset_px,
        "unposed_frames": int((~found.posed).sum()),
    }
    trust.veto(
        config,
        length_m=length_m,
        error_m=stats["split_half_m"],
        sigma_m=sigma_m,
        link_ratio=stats["min_link_ratio"],
        kept_ratio=kept,
        links=links,
        rival=rival,
    )
    # A path is refused for what its corners say; what it publishes carries the offset that may hide in them as well.
    poses, covariance = _filled(found.posed, adjusted.world_from_camera, doubted)
    return CameraPath(poses, covariance, False, offset_px, offset_sigma_px, adjusted.sigma_px[0], stats)


def _filled(posed: Array, poses: Array, covariance: Array) -> tuple[Array, Array]:
    """Poses of all frames: those between two posed ones are interpolated, with a sigma of half the way between them.

    Raises:
        Rejected: ``pose_lost`` where the first or last frame has no pose.
    """
    if not (posed[0] and posed[-1]):
        raise Rejected("pose_lost", f"the {'first' if not posed[0] else 'last'} frame of the clip could not be posed")
    known = np.flatnonzero(posed)
    full, spread = np.tile(np.eye(4), (len(posed), 1, 1)), np.zeros((len(posed), 6, 6))
    full[known], spread[known] = poses, covariance
    for a, b in zip(known[:-1], known[1:], strict=True):
        turn = vector_from_rotation(full[b, :3, :3] @ full[a, :3, :3].T)
        way = full[b, :3, 3] - full[a, :3, 3]
        doubt = np.r_[np.full(3, (way @ way) / 4), np.full(3, (turn @ turn) / 4)]
        for t in range(a + 1, b):
            share = (t - a) / (b - a)
            full[t] = pose(rotation_from_vector(share * turn) @ full[a, :3, :3], full[a, :3, 3] + share * way)
            spread[t] = np.maximum(spread[a], spread[b]) * np.eye(6) + np.diag(doubt)
    return full, spread
