"""Objects of one eye: a model's masks with a model's metric depth, as an annotation made here (the paper's second pipeline).

No second eye proves that anything moves. What is left is a displacement against doubt, and the doubt is large. A network's depth
of an object has (a) one relative error that the clip cannot show (``depth.domain_sigma_rel``), which makes a standing body seem
to drift as the camera passes it, and (b) what changes from frame to frame, taken from how the network disagrees with the points
of structure from motion. Only what exceeds both is an object; only what exceeds both is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt16

from curation.imports.annotation import Annotation, Doubt, Named
from curation.imports.tracks import labelled_objects, worded
from curation.objects.backends.continuity import steady
from curation.objects.backends.instances import Instance
from curation.objects.describe import describe
from curation.objects.masks import decode
from schemas.camera import Array, CameraPath
from schemas.clip import ClipFrames
from schemas.config import Config
from schemas.track import Description, ObjectTrack

_MOVES_SIGMAS = 5.0
_LEAST_CERTAIN = 0.6  # of an instance's votes, for its noun to be used


def objects_of_one_eye(
    frames: ClipFrames, path: CameraPath, config: Config, prompts: tuple[str, ...] = ()
) -> tuple[list[ObjectTrack], list[Description]]:
    """What moves in a mono clip whose path a depth model made metric, largest first, with words.

    Args:
        frames: of one eye.
        path: out of ``estimate_mono_path`` with ``depth.mono``; its stats say how the model disagrees with itself.
        config: ``depth.mono``, ``objects.backend``: without a model of masks nothing can be told, and nothing is.
        prompts: nouns for that model, in place of the configured ones.

    Raises:
        WeightsMissing, ImportError: one of the two models is not here.
    """
    if config.depth.mono == "none" or config.objects.backend == "motion" or "depth_pixel_rel" not in path.stats:
        return [], []
    from curation.depth.monocular import metric_depth
    from curation.objects.backends import find_instances

    instances = [i for i in find_instances(frames.left, config.objects, prompts) if any(m is not None for m in i.masks)]
    if not instances:
        return [], []
    depth_m = metric_depth(frames.left, frames.camera, config.depth)
    return moving_bodies(frames, path, instances, depth_m, config)


def moving_bodies(
    frames: ClipFrames, path: CameraPath, instances: Sequence[Instance], depth_m: Float[Array, "t h w"], config: Config
) -> tuple[list[ObjectTrack], list[Description]]:
    """The same from masks and depth (T, h, w) along +Z, metres, of any resolution."""
    depth_m = depth_m / np.asarray(path.stats["depth_frame_factor"])[:, None, None]
    bodies = steady(instances, 1.0 / depth_m, frames.left.shape[1:3])
    jitter = float(np.hypot(path.stats["depth_pixel_rel"], path.stats["depth_scatter_rel"]))
    annotation = _annotation(frames, path, bodies, depth_m, jitter, config.depth.mono)
    tracks, named = labelled_objects(annotation, frames, path, config.imports, max_objects=len(bodies))
    sure = [k for k, track in enumerate(tracks) if _outruns(track, path, config.depth.domain_sigma_rel, jitter)]
    sure = sure[: config.objects.max_objects]
    kept = [_doubted(tracks[k], path, config.depth.domain_sigma_rel, jitter) for k in sure]
    kept = [replace(track, object_id=f"obj_{n + 1}") for n, track in enumerate(kept)]
    source = bodies[0].source if bodies else ""
    return kept, worded(describe(frames, kept, path), [named[k] for k in sure], source) if kept else []


def _annotation(
    frames: ClipFrames, path: CameraPath, bodies: Sequence[Instance], depth_m: Float[Array, "t h w"], jitter: float, maker: str
) -> Annotation:
    index = {int(source): t for t, source in enumerate(frames.source_index)}
    size = depth_m.shape[:0:-1]

    def mask(source: int) -> UInt16[Array, "h w"] | None:
        out = np.zeros(size[::-1], np.uint16)
        t = index[source]
        for n in reversed(range(len(bodies))):  # a pixel that several claim is the most certain one's
            rle = bodies[n].masks[t]
            if rle is not None:
                out[cv2.resize(decode(rle).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0] = n + 1
        return out

    poses = np.full((int(frames.source_index.max()) + 1, 4, 4), np.nan)
    poses[frames.source_index] = path.world_from_camera
    names = tuple(Named(n + 1, b.category if b.certainty >= _LEAST_CERTAIN else "") for n, b in enumerate(bodies))
    doubt = Doubt(depth_sigma_rel=jitter)
    return Annotation(poses, maker, size, names, mask=mask, depth_m=lambda source: depth_m[index[source]], doubt=doubt)


def _outruns(track: ObjectTrack, path: CameraPath, shared_rel: float, jitter_rel: float) -> bool:
    """Whether two places of it are farther apart than a wrong depth of a standing body could make them seem."""
    at = np.flatnonzero(track.visible)
    place, ray = track.centroid_m[at], track.centroid_m[at] - path.centers_m[at]
    own = np.trace(track.centroid_cov_m2[at], axis1=1, axis2=2) / 3 + (jitter_rel * np.linalg.norm(ray, axis=1)) ** 2
    drift = shared_rel * np.linalg.norm(ray[:, None] - ray[None], axis=2)
    apart = np.linalg.norm(place[:, None] - place[None], axis=2)
    ok: Bool[Array, "k k"] = apart > _MOVES_SIGMAS * np.sqrt(own[:, None] + own[None] + drift**2)
    return bool(ok.any())


def _doubted(track: ObjectTrack, path: CameraPath, shared_rel: float, jitter_rel: float) -> ObjectTrack:
    """With the network's two errors: the shared one in ``common_sigma_rel``, the other along each frame's line of sight."""
    ray = track.centroid_m - path.centers_m
    covariance = track.centroid_cov_m2 + jitter_rel**2 * ray[:, :, None] * ray[:, None, :]
    range_m = np.linalg.norm(ray, axis=1)
    return replace(
        track,
        centroid_cov_m2=covariance,
        points_sigma_m=np.hypot(track.points_sigma_m, jitter_rel * range_m),
        common_sigma_rel=shared_rel,
        stats=track.stats | {"made_of": "masks and monocular depth"},
    )
