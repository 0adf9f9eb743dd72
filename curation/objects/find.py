"""What moves in the world: from the pixels of a stereo clip and its camera path to tracks of moving objects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from curation.objects.appearance import Appearance
from curation.objects.candidates import find_candidates
from curation.objects.convoy import told_apart
from curation.objects.link import link
from curation.objects.measure import measure_tracks
from curation.objects.publish import mask_share, publish
from curation.objects.weigh import GATES
from schemas.camera import CameraPath
from schemas.clip import ClipFrames
from schemas.config import DepthConfig, ObjectsConfig
from schemas.track import ObjectTrack


def find_moving_objects(
    frames: ClipFrames,
    path: CameraPath,
    config: ObjectsConfig,
    depth_config: DepthConfig,
    *,
    seed: int = 0,
    prompts: tuple[str, ...] = (),
) -> list[ObjectTrack]:
    """Objects that move in the world, largest first.

    Args:
        frames: a stereo clip.
        path: metric camera path of the same frames.
        config: number of objects kept; the model that names and outlines them, if any.
        depth_config: stereo search range.
        seed: of the colour models that sharpen masks.
        prompts: nouns for that model, in place of the configured ones.

    Returns:
        Tracks ``obj_1``, ``obj_2``, ...; empty where nothing surely moves. What stands still is never returned.

    Raises:
        ValueError: the clip is not stereo, or the path has another number of frames.
    """
    flow = None
    if config.points == "cotracker":
        from curation.objects.backends.points import tracked_flow

        flow = tracked_flow(frames.left, config)
    measured = measure_tracks(frames, path, depth_config, flow)
    candidates = find_candidates(measured)
    accepted = told_apart(measured, frames.left, [c for c in candidates if not c.refused])
    appearance = Appearance.of(frames.left)
    tracks = [publish(measured, frames, path, appearance, c, accepted, seed) for c in accepted]
    found = [t for t in tracks if t is not None and mask_share(t) >= GATES.frame_share and _points(t) >= GATES.points]
    found = link(found, frames, path)
    if config.backend != "motion":
        from curation.objects.backends import refined

        found = refined(found, frames, path, config, prompts, measured, seed)
    found.sort(key=lambda t: -mask_share(t))
    return [replace(t, object_id=f"obj_{i + 1}") for i, t in enumerate(found[: config.max_objects])]


def _points(track: ObjectTrack) -> float:
    """How many of its points were measured in the median frame in which it is visible."""
    return float(np.median(track.num_points[track.visible]))
