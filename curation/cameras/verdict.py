"""Whether a path up to scale may be published, whatever found it: structure from motion or a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from curation.cameras.corner_adjust import adjust_halves, adjust_to_corners
from curation.cameras.witness import Corners, Testimony, hear
from curation.geometry import vector_from_rotation
from schemas.camera import Array
from schemas.config import CamerasConfig
from schemas.outcome import Rejected

MIN_HEARD = 40  # corners with parallax that every frame must see
MAX_RIVAL = 0.8  # corners that another path explains, of those that this one leaves over, over those that it explains


@dataclass(frozen=True)
class Verdict:
    """A path that the clip's corners confirm.

    Attributes:
        doubt: (T,) distance that a centre may be off, as a share of the length of the path.
        said: what the corners say.
        stats: small JSON values for the record.
    """

    doubt: Float[Array, "t"]
    said: Testimony
    stats: dict[str, Any]


def judge(corners: Corners, world_from_camera: Float[Array, "t 4 4"], config: CamerasConfig, *, seed: int) -> Verdict:
    """Hold a path against the corners of its clip.

    Enough corners must be points at rest to it, and no second path may explain as many of the others. Adjusted to these
    corners, it must stay where it is (that is what a wrong structure, with points of its own that fit, does not do), and the
    adjustments to two halves of them must agree.

    Args:
        corners: followed through the same frames, by nothing that the path was made from.
        world_from_camera: in any unit.
        config: ``min_inlier_ratio``, ``max_relative_error``.
        seed: of the split into halves.

    Raises:
        Rejected: ``pose_few_tracks``, ``pose_no_parallax``, ``pose_outliers``, ``pose_uncertain``,
            ``pose_ambiguous``.
    """
    way = np.diff(world_from_camera[:, :3, 3], axis=0)
    length = float(np.linalg.norm(way, axis=1).sum())
    seen = np.isfinite(corners.pixels[..., 0]).sum(axis=0)
    if seen.min() < MIN_HEARD:
        raise Rejected("pose_few_tracks", f"a frame sees {int(seen.min())} corners that can be followed, expected {MIN_HEARD}")
    said = hear(corners, world_from_camera)
    if not (said.heard.min() >= MIN_HEARD and length > 0):
        raise Rejected(
            "pose_no_parallax",
            f"turning alone explains all but {int(said.heard.min())} corners of a frame, expected at least {MIN_HEARD} that show "
            "where the camera went",
        )
    worst = float(said.share.min())
    if worst < config.min_inlier_ratio:
        raise Rejected(
            "pose_outliers",
            f"the path explains {worst:.2f} of the corners of its worst frame, expected {config.min_inlier_ratio:.2f}",
        )
    halves = adjust_halves(corners, world_from_camera, said, seed)
    moved = np.linalg.norm(halves.whole[:, :3, 3] - world_from_camera[:, :3, 3], axis=1) / length
    apart = halves.apart / length
    limit = config.max_relative_error
    if not (moved.max() <= limit and apart.max() <= limit):
        raise Rejected(
            "pose_uncertain",
            f"corners that the path explains draw it {moved.max():.3f} of its length away, two halves of them {apart.max():.3f} "
            f"apart; expected at most {limit:.3f}",
        )
    rival = _rival(corners, world_from_camera, said)
    if rival > MAX_RIVAL:
        raise Rejected(
            "pose_ambiguous", f"another path explains {rival:.2f} times as many corners, expected at most {MAX_RIVAL:.2f}"
        )
    stats = {
        "corners": len(corners.pixels),
        "explained_share": float(said.explained[said.parallax].mean()),
        "worst_explained_share": worst,
        "least_corners_with_parallax": int(said.heard.min()),
        "drawn_rel": float(moved.max()),
        "split_half_rel": float(apart.max()),
        "rival_path": rival,
    }
    # Alignment hides how the first camera is turned, from which all directions count: the farther, the more it matters.
    first = halves.first[0, :3, :3], halves.second[0, :3, :3], halves.whole[0, :3, :3], world_from_camera[0, :3, :3]
    turned = np.hypot(_angle(first[0], first[1]) / 2, _angle(first[2], first[3]))
    reach = np.linalg.norm(world_from_camera[:, :3, 3] - world_from_camera[0, :3, 3], axis=1) / length
    return Verdict(np.sqrt(moved**2 + (apart / 2) ** 2 + (turned * reach) ** 2), said, stats)


def _angle(one: Array, other: Array) -> float:
    return float(np.linalg.norm(vector_from_rotation(one @ other.T)))


def _rival(corners: Corners, world_from_camera: Array, said: Testimony) -> float:
    """How many corners a second path explains, drawn out of those that the first does not, relative to the first's."""
    left = Corners(corners.pixels[said.parallax & ~said.explained], corners.camera)
    mine = int((said.parallax & said.explained).sum())
    if len(left.pixels) < 0.2 * mine:
        return len(left.pixels) / max(mine, 1)
    other = adjust_to_corners(left, world_from_camera, np.ones(len(left.pixels), bool))
    return float(hear(left, other).explained.sum() / max(mine, 1))


def settle(corners: Corners, world_from_camera: Float[Array, "t 4 4"]) -> Float[Array, "t 4 4"]:
    """A rough path drawn to where the corners want it: to all of them first, then to those that this explains."""
    if len(corners.pixels) < MIN_HEARD:
        raise Rejected("pose_few_tracks", f"{len(corners.pixels)} corners could be followed, expected at least {MIN_HEARD}")
    rough = adjust_to_corners(corners, world_from_camera, np.ones(len(corners.pixels), bool))
    said = hear(corners, rough)
    if int(said.explained.sum()) < MIN_HEARD:
        raise Rejected(
            "pose_outliers", f"{int(said.explained.sum())} corners agree on a path near the one proposed, expected {MIN_HEARD}"
        )
    return adjust_to_corners(corners, rough, said.explained)
