"""A metric path from one eye: structure from motion gives its shape, a model of metric depth its scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from curation.cameras.relative import Structure, estimate_structure
from schemas.camera import Array, CameraPath, RelativeCameraPath
from schemas.clip import ClipFrames
from schemas.config import CamerasConfig, DepthConfig

_MIN_TURN_SIGMA_DEG = 0.05
_TURN_INFLATION = 3.0  # resection of a frame does not see the drift of the whole


def estimate_mono_path(
    frames: ClipFrames, config: CamerasConfig, depth_config: DepthConfig, *, seed: int = 0
) -> CameraPath | RelativeCameraPath:
    """The path of the left camera from one eye; in metres where a model of depth is configured (``depth.mono``).

    Only that model can make the path metric: without one the type says that there is no scale.

    Raises:
        Rejected: as ``estimate_structure`` of ``relative``, or of ``feedforward`` (``cameras.backend``);
            ``depth_out_of_domain``, ``depth_inconsistent`` (see ``curation.depth.alignment``).
        WeightsMissing, ImportError: the model is not here.
    """
    if depth_config.mono != "none":
        from curation.depth.monocular import load_model

        load_model(frames.camera, depth_config)
    if config.backend == "classical":
        structure = estimate_structure(frames, config, seed=seed)
    else:
        from curation.cameras import feedforward

        structure = feedforward.estimate_structure(frames, config, seed=seed)
    if depth_config.mono == "none":
        return structure.path
    from curation.depth.monocular import metric_depth

    return scaled_path(structure, metric_depth(frames.left, frames.camera, depth_config), depth_config)


def scaled_path(structure: Structure, depth_m: Array, config: DepthConfig) -> CameraPath:
    """The path in metres. ``depth_m`` is (T, h, w) of the same frames, along +Z.

    The doubt of the scale is one number for the clip (``stats["scale_sigma_rel"]``); the covariance holds the rest: directions
    from structure from motion, and the drift of its scale, which cannot be told from the model's changes over the clip.
    """
    from curation.depth.alignment import align

    path, camera = structure.path, structure.camera
    found = align(
        list(depth_m),
        structure.pixels,
        structure.depth,
        size=(camera.width, camera.height),
        domain_sigma_rel=config.domain_sigma_rel,
        domain_max_m=config.domain_max_m,
    )
    poses = path.world_from_camera.copy()
    poses[:, :3, 3] *= found.metres_per_unit
    reach_m = np.linalg.norm(poses[:, :3, 3], axis=1)
    sideways = np.tan(np.radians(np.clip(path.direction_sigma_deg, 0.0, 60.0)))
    covariance = np.zeros((len(poses), 6, 6))
    covariance[1:, range(3), range(3)] = ((reach_m * np.hypot(sideways, found.scatter_rel)) ** 2)[1:, None]
    least = max(float(path.stats["least_points_in_frame"]), 1.0)
    turn = _TURN_INFLATION * float(path.stats["reprojection_px"]) / camera.fx / np.sqrt(least)
    covariance[1:, range(3, 6), range(3, 6)] = 2 * max(turn, np.radians(_MIN_TURN_SIGMA_DEG)) ** 2
    stats: dict[str, Any] = path.stats | {
        "scale_from": config.mono,
        "scale_sigma_rel": found.scale_sigma_rel,
        "depth_scatter_rel": found.scatter_rel,
        "depth_pixel_rel": found.pixel_rel,
        "depth_trend": found.trend,
        "depth_frame_factor": [round(float(f), 6) for f in found.frame_factor],
    }
    return CameraPath(poses, covariance, False, 0.0, 0.0, float(path.stats["reprojection_px"]), stats)
