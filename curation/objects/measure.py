"""What is measured of a clip before anything is called an object: point tracks, and whether each stands still."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.optimize import nnls

from curation.cameras.matching import coarse_disparity
from curation.geometry import inverse
from curation.objects.grouping import Scene
from curation.objects.point_tracks import gray, track_points
from curation.objects.rig import Rig
from curation.objects.static_test import Triangulation, triangulate
from curation.objects.surface import Ground, find_ground
from schemas.camera import Array, CameraPath
from schemas.clip import ClipFrames
from schemas.config import DepthConfig

Flow = Callable[[int, int], Float[Array, "h w 2"]]
_STEP_PX = 5
_LEAST_TEXTURE = 5.0  # a painted surface has 5 to 20: its points are twice as noisy, and often all that there is
_LEAST_LENGTH = 5
_LEAST_DISPARITY_PX = 1.5
_MOVES = 5.0  # chi2 per degree of freedom above which a track does not stand still
_POOL = 2.0
_OBJECT_NOISE = 1.5  # how much noisier an object's tracks are than the background's (it turns, and its light changes)
_NOISE_OVER_PATH = 1.8
_NOISE_BIN = 50  # residuals that a spread is taken of, at least
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


def calibrate_noise(
    error_px: Float[Array, "k 3"], texture: Float[Array, "k"], path_noise_px: float
) -> tuple[Float[Array, "3"], Float[Array, "3"]]:
    """Noise of tracked points by their texture, from the residuals of what stands still.

    Lucas-Kanade's variance is that of the grey levels over the structure tensor: ``noise^2 + slope^2 / texture``.

    Args:
        error_px: absolute residuals of u, v and disparity; NaN where unmeasured.
        texture: smaller eigenvalue of the structure tensor of each.
        path_noise_px: noise of the camera path's own inliers. Where movers fill the image their misfit is no noise: it bounds it.

    Returns:
        The noise of the best textured points, pixels, and its growth with less texture, pixels * sqrt(texture).
    """
    if len(texture) < 8 * _NOISE_BIN:
        spread = _spread(error_px) if len(texture) else np.full(3, np.nan)
        flat = np.nan_to_num(np.minimum(spread, _NOISE_OVER_PATH * path_noise_px + 0.05), nan=0.15)
        return np.maximum(np.array([max(flat[:2])] * 2 + [flat[2]]), _NOISE_FLOOR_PX), np.zeros(3)
    bins = np.array_split(np.argsort(texture, kind="stable"), 8)
    inverse_texture = np.array([1.0 / max(float(np.median(texture[b])), _LEAST_TEXTURE) for b in bins])
    variance = np.nan_to_num(np.stack([_spread(error_px[b]) for b in bins]) ** 2, nan=0.15**2)
    variance[:, :2] = variance[:, :2].max(1, keepdims=True)
    fits = [nnls(np.column_stack([np.ones(8), inverse_texture]), v)[0] for v in variance.T]
    noise, slope = (np.sqrt([f[i] for f in fits]) for i in range(2))
    limit = _NOISE_OVER_PATH * path_noise_px + 0.05
    return np.maximum(np.minimum(noise, limit), _NOISE_FLOOR_PX), np.minimum(slope, limit * np.sqrt(4.0 * _LEAST_TEXTURE))


def _spread(error_px: Float[Array, "k 3"]) -> Float[Array, "3"]:
    return np.asarray(1.4826 * np.nanmedian(error_px, axis=0))


def measure_tracks(frames: ClipFrames, path: CameraPath, depth_config: DepthConfig, flow: Flow | None = None) -> Measured:
    """Point tracks of a clip and the test whether each stands still, with the noise calibrated on the clip's background.

    Args:
        frames: a stereo clip.
        path: its metric camera path.
        depth_config: stereo search range.
        flow: (frame a, frame b) -> (H, W, 2) motion of the left picture, pixels, from a learned tracker; None: DIS optical flow.

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
    rig = Rig.of(frames.camera, frames.baseline_m)
    cam_from_world = inverse(path.world_from_camera)
    # The 'fast' preset costs a quarter of this one, but distant movers are then lost (measured on rendered worlds).
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    tracks = track_points(
        left,
        right,
        coarse,
        flow or (lambda a, b: dis.calc(left[a], left[b], np.zeros(0, np.float32))),
        step=_STEP_PX,
        least_texture=_LEAST_TEXTURE,
        max_round_trip_px=0.5,
    )
    tracks = tracks.subset(np.flatnonzero(tracks.length >= min(_LEAST_LENGTH, len(left))))
    tracks.uvd[:, 2] += np.float32(path.disparity_offset_px)
    tracks.uvd[tracks.uvd[:, 2] < _LEAST_DISPARITY_PX, 2] = np.nan
    guess = np.tile(np.array([0.15, 0.15, 0.1]), (len(tracks.frame), 1))
    static = triangulate(tracks, cam_from_world, rig, guess, iterations=3)
    still = static.reduced[tracks.track] < 20
    noise, slope = calibrate_noise(np.abs(static.residual * guess)[still], tracks.texture[still], path.noise_px)
    sigma = _OBJECT_NOISE * np.sqrt(noise**2 + slope**2 / np.maximum(tracks.texture, _LEAST_TEXTURE)[:, None])
    static = triangulate(tracks, cam_from_world, rig, sigma, iterations=1, start=static.points)
    moving = (static.reduced > _MOVES) & (tracks.length >= 6)
    dt_s = float(np.median(np.diff(frames.times_s))) if len(left) > 1 else 0.1
    scene = Scene(tracks, sigma, static.chi2, static.reduced, cam_from_world, rig, dt_s)
    firm = (static.reduced < _POOL) & (tracks.length >= 8)
    ground = find_ground(static.points[firm], static.covariance[firm], cam_from_world, seed=0)
    return Measured(scene, left, coarse, static, moving, noise, ground)
