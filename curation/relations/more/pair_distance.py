"""Do two objects come closer to each other in the scene from frame i to frame j, or get farther apart?

D_k = |centroid(B_k) - centroid(A_k)|; the value is D_j - D_i, metres. Closer and farther from ``moving_m`` on, "not changing"
below ``still_m``, nothing between. As the direction from A to B turns, the unseen middles of both add up to their reach times
the turn: at the most, for the label's margin; two fifths of it is one sigma of the value.
"""

from __future__ import annotations

import math

import numpy as np

from curation.relations.camera import Answer
from curation.relations.more.scene import Scene, apart, reach_m, sigmas, swing_m
from schemas.track import ObjectTrack

_USUAL = 0.4  # of the most that unseen middles may add


def pair_distance_change(scene: Scene, track: ObjectTrack, other: ObjectTrack, a: int, b: int) -> Answer | None:
    """The change and its label."""
    config = scene.config
    (start, u_start), (end, u_end) = apart(scene, track, other, a), apart(scene, track, other, b)
    reach = max(reach_m(track, a) + reach_m(other, a), reach_m(track, b) + reach_m(other, b))
    if not math.isfinite(reach):
        return None
    change, slack = end.value - start.value, reach * float(np.linalg.norm(u_end - u_start))
    sigma = math.hypot(start.sigma, end.sigma, swing_m(scene, track, a, b), swing_m(scene, other, a, b))
    moving, still = sigmas(abs(change) - config.moving_m - slack, sigma), sigmas(config.still_m - abs(change) - slack, sigma)
    details = {"apart_m": [round(start.value, 6), round(end.value, 6)]}
    doubt = math.hypot(sigma, _USUAL * slack)
    if still >= moving:
        return change, "not changing", doubt, still, details
    return change, ("farther" if change > 0 else "closer"), doubt, moving, details
