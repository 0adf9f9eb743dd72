"""Who passes whom, from frame i to frame j, of two objects that go the same way or opposite ways.

d = the common direction (A's, where they go opposite ways), s_k = (A_k - B_k) . d. Going the same way: the first passes where
s_i < 0 and s_j > 0, the second where s_i > 0 and s_j < 0. Going opposite ways they pass each other where s_i < 0 and s_j > 0.
"neither" where s keeps its sign at every question frame. The unseen middles of both count in full against the answer.
"""

from __future__ import annotations

import numpy as np

from curation.relations.camera import Answer
from curation.relations.more.pair_heading import heading_angle_deg
from curation.relations.more.scene import Scene, apart_along, reach_m, seen, sigmas
from schemas.track import ObjectTrack

_ALONG_DEG = 40.0


def passing(scene: Scene, track: ObjectTrack, other: ObjectTrack, a: int, b: int) -> Answer | None:
    """Who passes; the value is s_j - s_i, metres."""
    frames = scene.between(a, b)
    if not (seen(track, frames) and seen(other, frames)):
        return None
    angle = heading_angle_deg(scene, track, other, a, b)
    if angle is None or _ALONG_DEG < angle.value < 180 - _ALONG_DEG:
        return None
    same = angle.value <= _ALONG_DEG
    ways = [one.centroid_m[b] - one.centroid_m[a] for one in (track, other)]
    d = ways[0] / np.linalg.norm(ways[0]) + (ways[1] / np.linalg.norm(ways[1]) if same else 0.0)
    d = d / np.linalg.norm(d)
    reach = max(reach_m(track, k) + reach_m(other, k) for k in (a, b))
    along = [apart_along(scene, other, track, k, d) for k in frames]  # from the other to the track: A - B
    behind, ahead = -along[0].value, along[-1].value
    sure = min(sigmas(abs(e.value) - reach, e.sigma) for e in (along[0], along[-1]))
    apart = sigmas((_ALONG_DEG - angle.value) if same else (angle.value - 180 + _ALONG_DEG), angle.sigma)
    value, details = ahead + behind, {"along_m": [round(along[0].value, 6), round(along[-1].value, 6)]}
    if behind > 0 and ahead > 0:
        return value, ("first" if same else "each other"), None, min(sure, apart), details
    if behind < 0 and ahead < 0 and same:
        return value, "second", None, min(sure, apart), details
    if behind * ahead < 0:
        keeps = min(sigmas(abs(e.value) - reach, e.sigma) if e.value * ahead > 0 else -1.0 for e in along)
        return value, "neither", None, min(keeps, apart), details
    return None
