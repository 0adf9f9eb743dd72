"""When a path must not be believed: an error estimate that needs no truth, and the vetoes that turn it into a rejection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from curation.cameras import matching
from curation.cameras.bundle import Adjusted, Tracks, adjust
from curation.cameras.odometry import fit_motion
from curation.geometry import inverse, transform
from schemas.camera import Array, Intrinsics
from schemas.config import CamerasConfig
from schemas.outcome import Rejected

MIN_LINKS = 50
MAX_RIVAL = 0.8  # over the clip, of a rival in front of the rest, as movers are
MAX_RIVAL_BEHIND = 0.25  # of one behind it: it may be the static world itself, and the path that of a mover
MAX_RIVAL_PAIR = 2.0  # for a while a mover may cover more of the image than the static world, if the clip as a whole is clear
_EXPLAINED_PX = 2.0  # over a gap of frames: the drift of a track is inside ...
_RIVAL_GAPS = (3, 10)  # frames
_DOUBT_PX = 0.3  # ... and what this error of the disparity does to the place where the point is expected


@dataclass(frozen=True)
class Halves:
    """Two adjustments of disjoint halves of the corners."""

    first: Adjusted
    second: Adjusted

    @property
    def position_m(self) -> Float[Array, "t"]:
        """Distance of the two paths, per frame."""
        apart = self.first.world_from_camera[:, :3, 3] - self.second.world_from_camera[:, :3, 3]
        return np.asarray(np.linalg.norm(apart, axis=1))


def split_halves(
    tracks: Tracks, start: Adjusted, camera: Intrinsics, baseline_m: float, *, solve_offset: bool, seed: int
) -> Halves:
    """Adjust two disjoint halves of the corners, starting from the common result.

    The difference is an honest measure of what noise does to the path: it needs no model of the noise. It is blind to what
    both halves share (a wrong baseline, a majority of corners on one moving thing).
    """
    parents = np.unique(tracks.parent)
    first = np.random.default_rng([seed, 17]).permutation(len(parents)) % 2 == 0
    mine = first[np.searchsorted(parents, tracks.parent)]
    halves = [
        adjust(
            tracks.select(rows), start.world_from_camera, camera, baseline_m, sigma_px=start.sigma_px,
            offset_px=start.offset_px, solve_offset=solve_offset, covariance=False,
        )
        for rows in (mine, ~mine)
    ]  # fmt: skip
    return Halves(*halves)


def frame_links(tracks: Tracks, frames: int) -> Array:
    """(frames - 1,) number of corners seen in a frame and in the one before."""
    seen = np.isfinite(tracks.uvd[..., 0])
    row, column = np.nonzero(seen[:, 1:] & seen[:, :-1])
    return np.bincount(tracks.start[row] + column, minlength=frames - 1)[: frames - 1]


@dataclass(frozen=True)
class Rival:
    """How much of the image another rigid motion explains, relative to what the path explains: 0 none, 1 as much.

    Attributes:
        share: ratio of the image areas, summed over pairs of frames all along the clip.
        worst: the largest ratio of a single pair.
        behind: the rival's points lie farther away than the path's (median), as a background does behind a mover.
    """

    share: float
    worst: float
    behind: bool


def rival_motion(
    tracks: Tracks, world_from_camera: Float[Array, "t 4 4"], camera: Intrinsics, baseline_m: float, offset_px: float
) -> Rival:
    """Look for a second rigid motion among the corners that the path does not explain.

    A van that fills half of the image is as rigid as the street. Which of the two stands still, no residual can tell; the
    share of the image over the whole clip is a witness, and what lies behind what is another. Where they do not speak
    clearly, the path must not be believed. Near pairs of frames still share the corners that a fast mover covers soon,
    distant ones tell slow motions apart; the pairs that see more of a rival count.
    """
    gaps = [gap for gap in _RIVAL_GAPS if gap + 10 <= len(world_from_camera)] or _RIVAL_GAPS[:1]
    found = [_rival_at(tracks, world_from_camera, camera, baseline_m, offset_px, gap) for gap in gaps]
    return max(found, key=lambda rival: rival.share)


def _rival_at(
    tracks: Tracks, world_from_camera: Array, camera: Intrinsics, baseline_m: float, offset_px: float, gap: int
) -> Rival:
    count = len(world_from_camera)
    gap = min(gap, count - 1)
    areas, rivals, depths, rival_depths = [], [], [], []
    for s in range(0, count - gap, max(1, min(5, gap))):
        column_s, column_t = s - tracks.start, s + gap - tracks.start
        rows = np.flatnonzero((column_s >= 0) & (column_t < tracks.uvd.shape[1]))
        before, after = tracks.uvd[rows, column_s[rows]], tracks.uvd[rows, column_t[rows]]
        both = np.isfinite(before).all(axis=1) & np.isfinite(after[:, 0]) & (before[:, 2] > 0.5)
        before, after = before[both], after[both]
        disparity = np.maximum(before[:, 2] + offset_px, 0.3)
        points, nearer = (camera.unproject(before[:, :2], camera.fx * baseline_m / d) for d in (disparity, disparity + _DOUBT_PX))
        later_from_now = inverse(world_from_camera[s + gap]) @ world_from_camera[s]
        seen, seen_nearer = (camera.project(transform(later_from_now, p)) for p in (points, nearer))
        with np.errstate(invalid="ignore"):
            tolerance = _EXPLAINED_PX + np.linalg.norm(seen_nearer - seen, axis=1)
            explained = np.linalg.norm(seen - after[:, :2], axis=1) < tolerance
        areas.append(_cells(before[explained], camera))
        depths.append(points[explained, 2])
        other, rival = ~explained, 0
        if _cells(before[other], camera) > 0.1 * areas[-1]:
            agree = fit_motion(points[other], after[other], camera, baseline_m, least=15)[1]
            rival = _cells(before[other][agree], camera)
            rival_depths.append(points[other][agree, 2])
        rivals.append(rival)
    share, worst = sum(rivals) / max(sum(areas), 1), max(r / max(a, 1) for r, a in zip(rivals, areas, strict=True))
    far = np.concatenate([np.zeros(0), *rival_depths])
    return Rival(share, worst, bool(len(far) and np.median(far) > np.median(np.concatenate(depths))))


def _cells(points: Array, camera: Intrinsics) -> int:
    """Number of image cells that hold at least two of the points."""
    return int((matching.cell_counts(points, camera.width, camera.height) >= 2).sum())


def veto(
    config: CamerasConfig,
    *,
    length_m: float,
    error_m: float,
    sigma_m: float,
    link_ratio: float,
    kept_ratio: float,
    links: int,
    rival: Rival,
) -> None:
    """Refuse a path that its own evidence does not carry.

    Args:
        config: limits.
        length_m: of the path.
        error_m: truth-free error estimate (largest split-half difference).
        sigma_m: largest position sigma, calibrated.
        link_ratio: least share of a frame's corners that agreed with its pose.
        kept_ratio: share of what agreed with the front end's poses that the adjustment explains too.
        links: least number of corners shared by two consecutive frames.
        rival: see ``rival_motion``.

    Raises:
        Rejected: ``pose_few_tracks``, ``pose_outliers``, ``pose_ambiguous`` or ``pose_uncertain``.
    """
    if links < MIN_LINKS:
        raise Rejected("pose_few_tracks", f"two consecutive frames share {links} static corners, expected {MIN_LINKS}")
    if min(link_ratio, kept_ratio) < config.min_inlier_ratio:
        raise Rejected(
            "pose_outliers",
            f"the path explains {link_ratio:.2f} of the corners of its worst frame, the adjustment {kept_ratio:.2f} of those, "
            f"expected {config.min_inlier_ratio:.2f}",
        )
    most = MAX_RIVAL_BEHIND if rival.behind else MAX_RIVAL
    if rival.share > most or rival.worst > MAX_RIVAL_PAIR:
        raise Rejected(
            "pose_ambiguous",
            f"a second rigid motion {'behind' if rival.behind else 'before'} the rest explains {rival.share:.2f} of the area "
            f"that the path explains ({rival.worst:.2f} at worst), expected at most {most:.2f} ({MAX_RIVAL_PAIR:.2f})",
        )
    limit = max(config.max_relative_error * length_m, config.max_error_m)
    if not (error_m <= limit and sigma_m <= limit):
        raise Rejected(
            "pose_uncertain",
            f"halves of the corners give paths {error_m:.3f} m apart (sigma {sigma_m:.3f} m) over a path of {length_m:.2f} m, "
            f"expected at most {limit:.3f} m",
        )
