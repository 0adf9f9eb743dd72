"""An object shifts in the picture from frame i to frame j: does it move in the scene, does only the camera, or do both?

The object moves where its place at j is another than at i (``min_object_motion_m``), and does not where it stays within
``place_m`` of it all the time. The camera moves where it goes ``camera_moves_m`` or turns ``turning_deg`` or more at some
time between, and does not where it stays below ``still_camera_m`` and ``still_turn_deg``. In between nothing is asked. Asked
only where the outline's middle shifts by ``picture_shift`` of the picture's width or more: else there is no motion in the
picture to be explained.
"""

from __future__ import annotations

import math

import numpy as np

from curation.relations.camera import Answer, camera_distance
from curation.relations.more.camera_rotation import turn_deg, turn_sigma_deg
from curation.relations.more.scene import NEVER, Scene, moves, sigmas, stays, went
from schemas.track import ObjectTrack


def true_motion(scene: Scene, track: ObjectTrack, a: int, b: int) -> Answer | None:
    """What moves; the value is how far the object went, metres."""
    shift = _picture_shift(track, a, b)
    if shift is None or shift < scene.config.picture_shift:
        return None
    still, moving = scene.once(("camera still", a, b), lambda: camera_still(scene, a, b))
    object_still, object_moves = stays(scene, track, a, b), moves(scene, track, a, b)
    cases = {
        "only the object": min(still, object_moves),
        "only the camera": min(moving, object_still),
        "both": min(moving, object_moves),
    }
    label = max(cases, key=lambda name: cases[name])
    distance = went(scene, track, a, b)
    return distance.value, label, distance.sigma, cases[label], {"picture_shift": round(shift, 6)}


def camera_still(scene: Scene, a: int, b: int) -> tuple[float, float]:
    """Margins of "the camera does not move at all" and of "it clearly does", from a to b."""
    config = scene.config
    still, moving = math.inf, NEVER
    for k in scene.between(a, b)[1:]:
        gone = camera_distance(scene.path, a, k, scale_rel=scene.scale_rel)
        angle = float(np.linalg.norm(turn_deg(scene, a, k)))
        sigma = max(turn_sigma_deg(scene, a, k, u, angle) for u in np.eye(3))
        still = min(still, sigmas(config.still_camera_m - gone.value, gone.sigma), sigmas(config.still_turn_deg - angle, sigma))
        moving = max(moving, sigmas(gone.value - config.camera_moves_m, gone.sigma), sigmas(angle - config.turning_deg, sigma))
    return still, moving


def _picture_shift(track: ObjectTrack, a: int, b: int) -> float | None:
    """How far the middle of the outline shifts, as a share of the width; None where it has none."""
    mask, boxes = track.masks[a], track.bbox_xyxy_px[[a, b]]
    if mask is None or not np.isfinite(boxes).all():
        return None
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    return float(np.linalg.norm(middles[1] - middles[0])) / float(mask["size"][1])
