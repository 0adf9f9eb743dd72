"""Calibration of the measurement itself: the disparity offset of a clip, and the factors that make sigmas honest."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from curation.cameras.bundle import Adjusted
from schemas.camera import Array

# True error over formal sigma, measured on rendered worlds (91 clips: with these values 0.74 / 0.95 of the position errors
# lie within 1 / 2 sigma, 0.75 / 0.96 of the rotation errors; on the clips that nothing was chosen on, 0.69 / 0.95).
POSITION_INFLATION = 1.4
ROTATION_INFLATION = 1.6

# Bias of the tracker's disparities that no clip shows in its residuals, pixels, and the share of an applied offset that
# the path may still carry. They scale the whole path.
BIAS_PX = 0.02
_BIAS_SHARE = 0.1

MIN_OFFSET_PX = 0.1  # a smaller offset is not told from the tracker's own bias
_MAX_OFFSET_PX = 3.0  # a larger one is no flaw of a rectification: nothing in the clip holds it
_MIN_SIGMAS = 5.0
_MIN_GAIN = 0.003  # of the cost (a street with 0.5 px: .02; worlds without offset: below .0005)
_MODEL_SHARE = 1 / 3  # a real offset is a field (the eyes are turned a little); one constant is wrong by about this share


def not_applied(free: Adjusted) -> tuple[float, float]:
    """No offset, and how far from 0 it may be: what a free adjustment found, within the limit of what is ever ignored."""
    return 0.0, min(MIN_OFFSET_PX, math.hypot(free.offset_px, POSITION_INFLATION * free.offset_sigma_px))


def judged_offset(free: Adjusted, gain: float, first_px: float, second_px: float) -> tuple[float, float]:
    """The disparity offset to apply and its sigma, pixels.

    An offset shows itself where the camera moves: points seen from several places have depths that do not hang on their
    disparity. It is applied only where it is sharp (many sigmas), large enough to be more than the tracker's bias, and
    found by both halves of the corners; else it is 0 and the sigma says how far from 0 it may be.

    Args:
        free: adjustment with the offset solved for.
        gain: share of the robust cost that it saves over one without an offset.
        first_px: offset found by one half of the corners.
        second_px: by the other.
    """
    offset, apart = free.offset_px, abs(first_px - second_px)
    sigma = math.hypot(POSITION_INFLATION * free.offset_sigma_px, apart / 2)
    agreed = first_px * second_px > 0 and apart < 0.5 * abs(offset)
    sharp = abs(offset) > _MIN_SIGMAS * sigma and gain > _MIN_GAIN
    if MIN_OFFSET_PX <= abs(offset) <= _MAX_OFFSET_PX and sharp and agreed:
        return offset, math.hypot(sigma, _MODEL_SHARE * offset)
    return not_applied(free)


def pose_covariances(adjusted: Adjusted, offset_px: float, ignored_px: float = 0.0) -> Float[Array, "t 6 6"]:
    """Calibrated covariance (position [m], rotation vector [rad]; world axes) of each pose relative to frame 0.

    ``ignored_px`` is how large a disparity offset may be that was not applied (``not_applied``); it scales the whole path.
    """
    count = len(adjusted.world_from_camera)
    inflation = np.repeat([POSITION_INFLATION, ROTATION_INFLATION], 3)
    bias = max(math.hypot(BIAS_PX, _BIAS_SHARE * offset_px), ignored_px)
    out = np.einsum("ti,tj->tij", adjusted.by_offset, adjusted.by_offset) * bias**2
    for t in range(1, count):
        block = slice(6 * t - 6, 6 * t)
        out[t] += adjusted.covariance[block, block] * np.outer(inflation, inflation)
    return out
