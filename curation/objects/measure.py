"""What is measured of a clip before anything is called an object: point tracks, and whether each stands still."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from curation.cameras.matching import coarse_disparity
from curation.geometry import inverse
from curation.objects.grouping import Scene
from curation.objects.point_tracks import gray, track_points
from curation.objects.static_test import Rig, Triangulation, triangulate
from curation.objects.surface import Ground, find_ground
from schemas.camera import Array, CameraPath
from schemas.clip import ClipFrames
from schemas.config import DepthConfig

_STEP_PX = 5
_LEAST_TEXTURE = 20.0
_LEAST_LENGTH = 5
_LEAST_DISPARITY_PX = 1.5
_MOVES = 5.0  # chi2 per degree of freedom above which a track does not stand still
_POOL = 2.0
_OBJECT_NOISE = 1.5  # how much noisier an object's tracks are than the background's (it turns, and its light changes)
_NOISE_OVER_PATH = 1.8
_NOISE_FLOOR_PX = np.array([0.08, 0.08, 0.06])


@dataclass(frozen=True)
class Measured:
    """Intermediate values of one clip."""

    scene: Scene
    images: UInt8[Array, "t h w"]
    coarse: Float[Array, "t h2 w2"]
    static: Triangulation
    moving: Bool[Array, "n"]
    noise_px: Float[Array, "3"]
    ground: Ground | None

    @property
    def still(self) -> Bool[Array, "n"]:
        """Tracks that surely stand still."""
        return self.scene.static_reduced < _POOL


def measure_tracks(frames: ClipFrames, path: CameraPath, depth_config: DepthConfig) -> Measured:
    """Point tracks of a clip and the test whether each stands still, with the noise calibrated on the clip's background.

    Raises:
        ValueError: the clip is not stereo, or the path has another number of frames.
    """
    if frames.right is None or frames.baseline_m is None:
        raise ValueError("moving objects are found from stereo; expected a clip with a right eye and a baseline, got mono")
    if len(path.world_from_camera) != len(frames.left):
        raise ValueError(f"expected a pose per frame ({len(frames.left)}), got {len(path.world_from_camera)}")
    left, right = gray(frames.left), gray(frames.right)
    largest = depth_config.max_disparity_share * frames.camera.width
    coarse = np.stack([coarse_disparity(a, b, largest)[::2, ::2] for a, b in zip(left, right, strict=True)])
    # The 'fast' preset costs a quarter of this one, but distant movers are then lost (measured on rendered worlds).
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    tracks = track_points(
        left,
        right,
        coarse,
        lambda a, b: flow.calc(left[a], left[b], np.zeros(0, np.float32)),
        step=_STEP_PX,
        least_texture=_LEAST_TEXTURE,
        max_round_trip_px=0.5,
    )
    tracks = tracks.subset(np.flatnonzero(tracks.length >= min(_LEAST_LENGTH, len(left))))
    tracks.uvd[:, 2] += np.float32(path.disparity_offset_px)
    tracks.uvd[tracks.uvd[:, 2] < _LEAST_DISPARITY_PX, 2] = np.nan
    rig = Rig.of(frames.camera, frames.baseline_m)
    cam_from_world = inverse(path.world_from_camera)
    guess = np.tile(np.array([0.15, 0.15, 0.1]), (len(tracks.frame), 1))
    static = triangulate(tracks, cam_from_world, rig, guess, iterations=3)
    noise = np.full(3, np.nan)
    if tracks.count:
        still = static.reduced[tracks.track] < 20
        noise = 1.4826 * np.nanmedian(np.abs(static.residual * guess)[still], axis=0) if still.any() else guess[0]
    # Where movers fill the image their misfit is no noise: the path's own inliers bound it.
    noise = np.minimum(np.nan_to_num(noise, nan=0.15), _NOISE_OVER_PATH * path.noise_px + 0.05)
    noise = np.maximum(np.nan_to_num(np.array([max(noise[:2])] * 2 + [noise[2]]), nan=0.15), _NOISE_FLOOR_PX)
    sigma = np.tile(_OBJECT_NOISE * noise, (len(tracks.frame), 1))
    static = triangulate(tracks, cam_from_world, rig, sigma, iterations=1, start=static.points)
    moving = (static.reduced > _MOVES) & (tracks.length >= 6)
    dt_s = float(np.median(np.diff(frames.times_s))) if len(left) > 1 else 0.1
    scene = Scene(tracks, sigma, static.chi2, static.reduced, cam_from_world, rig, dt_s)
    firm = (static.reduced < _POOL) & (tracks.length >= 8)
    ground = find_ground(static.points[firm], static.covariance[firm], cam_from_world, seed=0)
    return Measured(scene, left, coarse, static, moving, noise, ground)
