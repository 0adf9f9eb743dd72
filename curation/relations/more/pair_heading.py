"""Do two objects go the same way, opposite ways, or crosswise, from frame i to frame j?

The angle between centroid(A_j) - centroid(A_i) and centroid(B_j) - centroid(B_i), world frame, degrees: up to 45 the same
way, from 135 on opposite ways, between 60 and 120 crosswise; a band of ``direction_band_deg`` about 45 and 135 is not asked
about. Both must have gone ``move_m`` or more, and straight. The doubt of a heading is the sideways doubt of the displacement
over its length.
"""

from __future__ import annotations

import math

import numpy as np

from curation.relations.camera import Answer
from curation.relations.doubt import Estimate
from curation.relations.more.scene import Scene, moves, sigmas, straight, toward, went
from schemas.track import ObjectTrack

SAME_DEG, OPPOSITE_DEG = 45.0, 135.0


def heading(scene: Scene, track: ObjectTrack, other: ObjectTrack, a: int, b: int) -> Answer | None:
    """The angle and its label."""
    angle = heading_angle_deg(scene, track, other, a, b)
    if angle is None:
        return None
    band = scene.config.direction_band_deg
    cases = {
        "same way": SAME_DEG - band - angle.value,
        "opposite ways": angle.value - OPPOSITE_DEG - band,
        "crosswise": min(angle.value - SAME_DEG, OPPOSITE_DEG - angle.value) - band,
    }
    label = max(cases, key=lambda name: cases[name])
    return angle.value, label, angle.sigma, sigmas(cases[label], angle.sigma), {}


def heading_angle_deg(scene: Scene, track: ObjectTrack, other: ObjectTrack, a: int, b: int) -> Estimate | None:
    """Angle between the ways of two objects, degrees; None where one of them did not go far, for certain."""
    variance, units = 0.0, []
    for one in (track, other):
        distance = went(scene, one, a, b)
        far = sigmas(distance.value - scene.config.move_m, distance.sigma)
        if min(far, moves(scene, one, a, b)) < scene.config.k_sigma or not straight(scene, one, a, b):
            return None
        unit = (one.centroid_m[b] - one.centroid_m[a]) / distance.value
        across = np.cross(unit, np.eye(3)[int(np.argmin(np.abs(unit)))])
        across /= np.linalg.norm(across)
        sides = (across, np.cross(unit, across))
        variance += max(toward(scene, one, a, b, side).sigma for side in sides) ** 2 / distance.value**2
        units.append(unit)
    angle = math.degrees(math.acos(float(np.clip(units[0] @ units[1], -1, 1))))
    return Estimate(angle, math.degrees(math.sqrt(variance)))
