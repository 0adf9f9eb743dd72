"""The camera path out of an annotation: put into the clip's own world, given doubt, and held against the pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from curation.cameras import matching
from curation.geometry import inverse, transform, vector_from_rotation
from curation.imports.annotation import Annotation, stated
from schemas.camera import Array, CameraPath, Intrinsics
from schemas.clip import ClipFrames
from schemas.config import ImportsConfig
from schemas.outcome import Rejected

_PAIRS = 6
_LEAST_PARALLAX_PX = 4.0  # (of a frame 640 wide) the corners of a pair must move for it to tell anything
_GAPS = (1, 2, 4, 8, 16)  # frames; the first that moves the corners enough
_NEAREST_M = 0.3
_AGREES_PX = 2.0  # of a frame 640 wide
_CORNERS = 300
_LEAST_CORNERS = 40


def imported_path(annotation: Annotation, frames: ClipFrames, config: ImportsConfig) -> CameraPath:
    """The metric path of the left camera over a clip's measuring frames, from annotated poses.

    The world becomes the left camera of the clip's first frame. Doubt is as the annotation states it, else as
    ``config`` assumes it; the covariance of a pose counts its own error, the first frame's, and the drift between them.

    Raises:
        Rejected: ``annotation_frames`` (no pose for a frame of the clip), ``annotation_disagrees`` (corners followed through
            the video do not move as these poses say).
    """
    poses = of_frames(annotation, frames.source_index)
    poses = inverse(poses[0]) @ poses
    poses[0] = np.eye(4)
    share, pairs = agreement(frames, poses)
    if pairs and share < config.min_agreement:
        raise Rejected(
            "annotation_disagrees",
            f"{share:.0%} of the corners followed through the video move as the annotated poses say, expected "
            f"{config.min_agreement:.0%}: check that they are world_from_camera in OpenCV axes, that the frames are counted "
            "as decoded, and the intrinsics",
        )
    doubt = annotation.doubt
    position_m = stated(doubt.position_sigma_m, config.position_sigma_m)
    turn_rad = np.radians(stated(doubt.rotation_sigma_deg, config.rotation_sigma_deg))
    drift = stated(doubt.drift_share, config.drift_share)
    scale_rel = stated(doubt.scale_sigma_rel, config.scale_sigma_rel)
    centres = poses[:, :3, 3]
    way_m = np.r_[0.0, np.linalg.norm(np.diff(centres, axis=0), axis=1).cumsum()]
    reach_m = np.linalg.norm(centres, axis=1)
    # An error of the first pose turns the whole path about its beginning.
    variance = 2 * position_m**2 + (drift * way_m) ** 2 + (turn_rad * reach_m) ** 2
    covariance = np.zeros((len(poses), 6, 6))
    covariance[1:, range(3), range(3)] = variance[1:, None]
    covariance[1:, range(3, 6), range(3, 6)] = 2 * turn_rad**2
    turned_rad = np.linalg.norm(vector_from_rotation(poses[:, :3, :3]), axis=1)
    still_m, still_rad = max(2 * position_m, 0.001), max(2 * turn_rad, 0.001)
    static = bool(reach_m.max() < still_m and turned_rad.max() < still_rad)
    names = ("position_sigma_m", "drift_share", "rotation_sigma_deg", "scale_sigma_rel")
    stats: dict[str, Any] = {
        "imported_from": annotation.maker,
        "assumed_sigmas": [name for name in names if getattr(doubt, name) is None],
        "length_m": float(way_m[-1]),
        "agreeing_corners": share if pairs else None,
        "scale_sigma_rel": scale_rel,
    }
    poses = np.tile(np.eye(4), (len(poses), 1, 1)) if static else poses
    return CameraPath(poses, covariance, static, 0.0, 0.0, 0.0, stats)


def of_frames(annotation: Annotation, source_index: Int[Array, "t"]) -> Float[Array, "t 4 4"]:
    """The annotated poses of some source frames, in the annotation's own world.

    Raises:
        Rejected: ``annotation_frames``.
    """
    last = int(np.max(source_index))
    if last >= annotation.frames:
        raise Rejected(
            "annotation_frames",
            f"the annotation covers frames 0 to {annotation.frames - 1}, the clip uses frame {last} of its source: expected one "
            "pose per decoded frame",
        )
    poses = annotation.world_from_camera[source_index]
    missing = np.flatnonzero(~np.isfinite(poses).all((1, 2)))
    if len(missing):
        raise Rejected(
            "annotation_frames", f"{len(missing)} frames of the clip have no pose, the first is {source_index[missing[0]]}"
        )
    return np.array(poses)


def agreement(frames: ClipFrames, world_from_camera: Float[Array, "t 4 4"]) -> tuple[float, int]:
    """Share of corners that move through the video as the poses let a standing point move, and on how many pairs of frames.

    A point at least 0.3 m away that stands still moves along a known stretch of a line from one view to the next; the median
    over the pairs of the share within 2 px (of a frame 640 wide) of theirs. Pairs without motion in the image tell nothing.
    """
    grey = [matching.gray(frame) for frame in frames.left]
    total, scale = len(grey), frames.camera.width / 640
    shares = []
    for start in np.unique(np.linspace(0, max(total - 2, 0), _PAIRS).round().astype(int)):
        corners = matching.detect_corners(grey[start], _CORNERS)
        here, alive, at = corners, np.ones(len(corners), bool), int(start)
        for gap in _GAPS:
            if start + gap >= total:
                break
            here, alive = _follow(grey, at, int(start) + gap, here, alive)
            at = int(start) + gap
            if alive.sum() < _LEAST_CORNERS:
                break
            if np.median(np.linalg.norm(here[alive] - corners[alive], axis=1)) >= _LEAST_PARALLAX_PX * scale:
                second_from_first = inverse(world_from_camera[at]) @ world_from_camera[start]
                off_px = _off_stretch(corners[alive], here[alive], frames.camera, second_from_first)
                shares.append(float((off_px < _AGREES_PX * scale).mean()))
                break
    return (float(np.median(shares)), len(shares)) if shares else (float("nan"), 0)


def _follow(grey: list[UInt8[Array, "h w"]], start: int, stop: int, corners: Array, alive: Array) -> tuple[Array, Array]:
    for t in range(start, stop):
        corners, ok = matching.track(grey[t], grey[t + 1], np.where(alive[:, None], corners, 0.0))
        alive = alive & ok
    return corners, alive


def _off_stretch(first: Array, second: Array, camera: Intrinsics, second_from_first: Float[Array, "4 4"]) -> Float[Array, "n"]:
    """Distance in pixels of ``second`` from the stretch of line on which points seen at ``first`` can appear."""
    rays = camera.unproject(first, np.ones(len(first)))
    far = camera.project(rays @ second_from_first[:3, :3].T)
    near = camera.project(transform(second_from_first, rays * _NEAREST_M))
    near = np.where(np.isfinite(near), near, far + 1e4 * _direction(far, rays, camera, second_from_first))
    along = near - far
    length = np.maximum((along**2).sum(1), 1e-12)
    share = np.clip(((second - far) * along).sum(1) / length, 0.0, 1.0)
    off = np.linalg.norm(far + share[:, None] * along - second, axis=1)
    return np.where(np.isfinite(off), off, np.inf)


def _direction(far: Array, rays: Array, camera: Intrinsics, second_from_first: Array) -> Float[Array, "n 2"]:
    """Unit direction in which a point moves in the second image as it comes nearer from infinity."""
    step = camera.project(transform(second_from_first, rays * 1e4)) - far
    return np.asarray(step / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-12))
