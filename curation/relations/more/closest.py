"""When, from frame i to frame j, an object is nearest to the camera, or two objects to each other: in which third of the time.

d_k = |centroid(P_k) - C_k| with the camera of each moment, or D_k = |centroid(B_k) - centroid(A_k)|, over the question frames
k. Safe where every frame outside the third is farther than the nearest one inside, by its own doubt and by what the unseen
middle of a whole object may add as the direction between the two turns.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from curation.relations.camera import Answer
from curation.relations.kinds import THIRDS
from curation.relations.more.scene import Scene, apart, reach_m, seen, sigmas, third_of
from schemas.camera import Array
from schemas.track import ObjectTrack


def closest_to_camera(scene: Scene, track: ObjectTrack, a: int, b: int) -> Answer | None:
    """When the object is nearest to the camera; the value is that time, seconds of the clip."""
    frames = scene.between(a, b)
    if not seen(track, frames):
        return None
    rays = track.centroid_m[frames] - scene.path.centers_m[frames]
    ranges = np.linalg.norm(rays, axis=1)
    units = rays / ranges[:, None]
    variances = np.array([float(u @ track.centroid_cov_m2[k] @ u) for k, u in zip(frames, units, strict=True)])
    relative = 2 * math.hypot(track.common_sigma_rel, scene.scale_rel)
    return _when(scene, a, b, frames, ranges, units, variances, relative, reach_m(track, frames[int(ranges.argmin())]))


def closest_to_each_other(scene: Scene, track: ObjectTrack, other: ObjectTrack, a: int, b: int) -> Answer | None:
    """When two objects are nearest to each other; the value is that time, seconds of the clip."""
    frames = scene.between(a, b)
    if not (seen(track, frames) and seen(other, frames)):
        return None
    gaps = [apart(scene, track, other, k) for k in frames]
    distances, units = np.array([gap.value for gap, _ in gaps]), np.stack([u for _, u in gaps])
    variances = np.array([gap.sigma**2 for gap, _ in gaps])
    k = frames[int(distances.argmin())]
    return _when(scene, a, b, frames, distances, units, variances, 0.0, reach_m(track, k) + reach_m(other, k))


def _when(
    scene: Scene,
    a: int,
    b: int,
    frames: list[int],
    distances: Float[Array, "n"],
    units: Float[Array, "n 3"],
    variances: Float[Array, "n"],
    relative: float,
    slack_m: float,
) -> Answer | None:
    at = int(distances.argmin())
    third = third_of(scene, a, b, frames[at])
    outside = [n for n, k in enumerate(frames) if third_of(scene, a, b, k) != third]
    if not outside or not math.isfinite(slack_m):
        return None
    margins = []
    for n in outside:
        more = float(distances[n] - distances[at])
        slack = slack_m * float(np.linalg.norm(units[n] - units[at]))
        margins.append(sigmas(more - slack, math.hypot(math.sqrt(max(variances[n] + variances[at], 0.0)), relative * more)))
    ends = [round(float(d), 6) for d in (distances[0], distances[at], distances[-1])]
    return float(scene.times_s[frames[at]]), THIRDS[third], None, min(margins), {"distances_m": ends}
