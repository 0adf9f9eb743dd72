"""Paths that a network proposes in one pass over the frames (Depth Anything 3, VGGT), adjusted and judged by the clip itself.

A network's path is a guess: right in shape, off by percents of its length. The corners of the clip draw it to where they were
seen (``verdict.settle``), and judge it as they judge structure from motion. A guess that they have to draw far is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from curation.cameras.corner_adjust import aligned
from curation.cameras.relative import (
    Structure,
    checked_parallax,
    direction_sigma_deg,
    path_length,
    work_camera,
    work_images,
)
from curation.cameras.verdict import judge, settle
from curation.cameras.witness import depth_at_corners, follow_corners
from curation.geometry import inverse, vector_from_rotation
from curation.objects.backends.runtime import (
    INSTALL_MODELS,
    Runtime,
    download_advice,
    half_precision,
    in_batches,
    packaged,
    runtime,
)
from curation.objects.backends.weights import WeightsMissing
from schemas.camera import Array, Intrinsics, RelativeCameraPath
from schemas.clip import ClipFrames
from schemas.config import CamerasConfig, ObjectsConfig
from schemas.outcome import Rejected

_MAX_DRAWN = 0.1  # of the length of the path: a guess that is off by more saw another scene, or other axes
_MAX_TURNED_DEG = 10.0
_SPREAD = 3.0  # true error of a path over the difference of its halves
_SIDE = 518  # pixels of the longer side that VGGT sees, in steps of 14
_OPTION = "cameras.weights"


def estimate_structure(frames: ClipFrames, config: CamerasConfig, *, seed: int = 0) -> Structure:
    """The left camera's path up to scale, proposed by the network ``config.backend``, with the corners that confirm it.

    Raises:
        Rejected: ``pose_no_parallax``, ``pose_lost``; ``pose_uncalibrated`` (the focal length is a guess); ``pose_disagrees``
            (the corners lead to another path than the network's); what ``verdict.settle`` and ``verdict.judge`` raise.
        WeightsMissing, ImportError: the network is not here.
        MemoryError: the clip does not fit in the accelerator's memory.
    """
    parallax = checked_parallax(frames)
    if frames.assumed:
        raise Rejected("pose_uncalibrated", f"cameras.backend={config.backend} needs a calibrated camera, expected a calib.yaml")
    return _confirmed(frames, BACKENDS[config.backend](frames.left, frames.camera, config), config, seed, parallax.plane_share)


def _confirmed(frames: ClipFrames, camera_from_world: Array, config: CamerasConfig, seed: int, plane_share: float) -> Structure:
    guess = _rigid(camera_from_world, len(frames.left))
    camera = work_camera(frames)
    corners = follow_corners(work_images(frames), camera)
    poses = settle(corners, guess)
    verdict = judge(corners, poses, config, seed=seed)
    poses = inverse(poses[0]) @ poses
    length = path_length(poses)
    there = aligned(guess, poses)
    drawn = float(np.linalg.norm(there[:, :3, 3] - poses[:, :3, 3], axis=1).max()) / length
    turns = vector_from_rotation(there[:, :3, :3] @ np.swapaxes(poses[:, :3, :3], 1, 2))
    turned_deg = float(np.degrees(np.linalg.norm(turns, axis=1)).max())
    if not (drawn <= _MAX_DRAWN and turned_deg <= _MAX_TURNED_DEG):
        raise Rejected(
            "pose_disagrees",
            f"the clip's corners lead {drawn:.2f} of the path's length and {turned_deg:.1f} degrees away from what "
            f"{config.backend} proposes, expected at most {_MAX_DRAWN:.2f} and {_MAX_TURNED_DEG:.0f} degrees",
        )
    poses[:, :3, 3] /= length
    pixels, depth = depth_at_corners(corners, poses, verdict.said.explained)
    stats: dict[str, Any] = {
        "path_from": config.backend,
        "reprojection_px": float(np.median(verdict.said.error_px[verdict.said.explained])),
        "least_points_in_frame": min(len(d) for d in depth),
        "network_drawn_rel": drawn,
        "network_turned_deg": turned_deg,
        "plane_share": plane_share,
    } | verdict.stats
    sigma = direction_sigma_deg(poses, _SPREAD * verdict.doubt)
    return Structure(RelativeCameraPath(poses, sigma, False, stats), camera, pixels, depth)


def _rigid(camera_from_world: Array, count: int) -> Float[Array, "t 4 4"]:
    """world_from_camera from frame 0, of length 1, of a network's (T, 3 or 4, 4) camera_from_world."""
    given = np.asarray(camera_from_world, float)
    if given.shape[:1] + given.shape[2:] != (count, 4) or given.shape[1] not in (3, 4) or not np.isfinite(given).all():
        raise Rejected("pose_lost", f"expected finite poses of {count} frames from the network, got shape {given.shape}")
    full = np.tile(np.eye(4), (count, 1, 1))
    u, _, v = np.linalg.svd(given[:, :3, :3])
    full[:, :3, :3] = u @ v
    full[:, :3, 3] = given[:, :3, 3]
    if not (np.linalg.det(full[:, :3, :3]) > 0).all():
        raise Rejected("pose_lost", "the network's rotations are reflections")
    path = inverse(full)
    path = inverse(path[0]) @ path
    length = path_length(path)
    if not length > 0:
        raise Rejected("pose_no_parallax", "the network says that the camera stands")
    path[:, :3, 3] /= length
    return path


def _depth_anything_3(left: UInt8[Array, "t h w 3"], camera: Intrinsics, config: CamerasConfig) -> Float[Array, "t 3 4"]:
    from curation.depth import depth_anything_3

    torch, place = _place(config)
    name, licence = config.weights or "depth-anything/DA3-LARGE-1.1", "CC BY-NC 4.0; DA3-BASE: Apache-2.0"
    model = depth_anything_3.network(name, place.device, _OPTION, "1.4 GB", licence)
    if getattr(model.model, "cam_dec", None) is None:
        advice = download_advice("depth-anything/DA3-LARGE-1.1", "1.4 GB", licence, _OPTION)
        raise WeightsMissing(f"{_OPTION}: {name!r} is a {model.model_name}, which sees no poses. {advice}")

    def work(pixels: Any) -> Array:
        with torch.inference_mode(), half_precision(torch, place):
            found = model.model(pixels[None].to(place.device), ref_view_strategy="middle").extrinsics
        return np.asarray(found[0, :, :3].float().cpu().numpy(), float)  # camera from world, OpenCV axes

    return _at_once(work, depth_anything_3.pixels(model, left))


def _vggt(left: UInt8[Array, "t h w 3"], camera: Intrinsics, config: CamerasConfig) -> Float[Array, "t 3 4"]:
    torch, place = _place(config)
    install, weights = "pip install git+https://github.com/facebookresearch/vggt", config.weights or "facebook/VGGT-1B"
    advice = download_advice(weights, "5 GB", "non-commercial; VGGT-1B-Commercial: ask", _OPTION)
    model = packaged("vggt.models.vggt", "VGGT", weights, place.device, install, _OPTION, advice)
    from vggt.utils.pose_enc import pose_encoding_to_extri_intri

    height, width = left.shape[1:3]
    size = tuple(max(14, round(side * _SIDE / max(height, width) / 14) * 14) for side in (height, width))
    shown = torch.from_numpy(np.ascontiguousarray(left)).permute(0, 3, 1, 2)

    def work(shown: Any) -> Array:
        pixels = shown.to(place.device).float() / 255
        pixels = torch.nn.functional.interpolate(pixels, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        with torch.inference_mode():
            with half_precision(torch, place):
                tokens, _ = model.aggregator(pixels[None])
            coded = model.camera_head(tokens)[-1]  # the heads of depth and points are not asked: they cost most of the memory
            found = pose_encoding_to_extri_intri(coded, size)[0]
        return np.asarray(found[0].float().cpu().numpy(), float)  # camera from world, OpenCV axes

    return _at_once(work, shown)


def _at_once(work: Callable[[Any], Array], frames: Any) -> Array:
    """``work`` of a whole clip. A network needs all of its frames at once, so what does not fit cannot be halved."""
    advice = "Take fewer frames (video.max_measure_frames) or cameras.device=cpu."
    return in_batches([frames], 1, lambda whole: [work(whole[0])], advice=advice)[0]


BACKENDS: dict[str, Callable[[Array, Intrinsics, CamerasConfig], Array]] = {
    "depth_anything_3": _depth_anything_3,
    "vggt": _vggt,
}


def _place(config: CamerasConfig) -> tuple[Any, Runtime]:
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"cameras.backend={config.backend} needs torch: {INSTALL_MODELS}") from error
    return torch, runtime(ObjectsConfig(device=config.device), torch)
