"""When a path must not be believed: an error estimate that needs no truth, and the vetoes that turn it into a rejection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from curation.cameras.bundle import Adjusted, Tracks, adjust
from schemas.camera import Array, Intrinsics
from schemas.config import CamerasConfig
from schemas.outcome import Rejected

MIN_LINKS = 50


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

    @property
    def offset_px(self) -> float:
        """Difference of the two disparity offsets."""
        return abs(self.first.offset_px - self.second.offset_px)


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


def veto(
    config: CamerasConfig, *, length_m: float, error_m: float, sigma_m: float, link_ratio: float, kept_ratio: float, links: int
) -> None:
    """Refuse a path that its own evidence does not carry.

    Args:
        config: limits.
        length_m: of the path.
        error_m: truth-free error estimate (largest split-half difference).
        sigma_m: largest position sigma, calibrated.
        link_ratio: least share of a frame's corners that agreed with its pose.
        kept_ratio: share of the corners that the adjustment explains.
        links: least number of corners shared by two consecutive frames.

    Raises:
        Rejected: ``pose_few_tracks``, ``pose_outliers`` or ``pose_uncertain``.
    """
    if links < MIN_LINKS:
        raise Rejected("pose_few_tracks", f"two consecutive frames share {links} static corners, expected {MIN_LINKS}")
    if min(link_ratio, kept_ratio) < config.min_inlier_ratio:
        raise Rejected(
            "pose_outliers",
            f"the path explains {link_ratio:.2f} of the corners of its worst frame and {kept_ratio:.2f} of all, "
            f"expected {config.min_inlier_ratio:.2f}",
        )
    limit = max(config.max_relative_error * length_m, config.max_error_m)
    if not (error_m <= limit and sigma_m <= limit):
        raise Rejected(
            "pose_uncertain",
            f"halves of the corners give paths {error_m:.3f} m apart (sigma {sigma_m:.3f} m) over a path of {length_m:.2f} m, "
            f"expected at most {limit:.3f} m",
        )
