"""Which of the six directions a vector points in, and how safely: for motions and for places alike."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from curation.relations.more.scene import sigmas
from schemas.camera import Array


def dominant(
    vector: Float[Array, "3"],
    band_deg: float,
    sigma_along: Callable[[Float[Array, "3"]], float],
    slack: float = 0.0,
) -> tuple[int, int, float]:
    """Axis (0, 1, 2), sign and margin of the main direction of ``vector``.

    The margin is the distance, in sigma, to the edge of the band of ``band_deg`` around the nearest diagonal in which no
    direction is the main one. ``sigma_along(u)`` is the doubt of the vector along a unit vector in the same axes; ``slack`` is
    taken off every distance (an error that is bounded, not random).
    """
    axis = int(np.argmax(np.abs(vector)))
    sign = 1 if vector[axis] >= 0 else -1
    band = math.sin(math.radians(band_deg)) * float(np.linalg.norm(vector))
    margins = []
    for other in range(3):
        if other == axis:
            continue
        normal = np.zeros(3)
        normal[axis], normal[other] = sign, -math.copysign(1.0, vector[other])
        normal /= math.sqrt(2)
        margins.append(sigmas(float(normal @ vector) - band - slack, sigma_along(normal)))
    return axis, sign, min(margins)
