"""Calibration of the measurement itself: the disparity offset of a clip, and the factors that make sigmas honest."""

from __future__ import annotations

import math

from curation.cameras.bundle import Adjusted
from curation.cameras.trust import Halves

# True error over formal sigma, measured on rendered worlds.
POSITION_INFLATION = 1.5
ROTATION_INFLATION = 1.5

MIN_OFFSET_PX = 0.1  # a smaller offset is not told from the tracker's own bias
_MIN_SIGMAS = 5.0


def applied_offset(adjusted: Adjusted, halves: Halves) -> tuple[float, float]:
    """The disparity offset to apply and its sigma, pixels.

    An offset shows itself where the camera moves: points seen from several places have depths that do not hang on their
    disparity. It is applied only where it is sharp (many sigmas), large enough to be more than the tracker's bias, and
    found by both halves of the corners; else it is 0 and the sigma says how far from 0 it may be.
    """
    offset = adjusted.offset_px
    sigma = math.hypot(POSITION_INFLATION * adjusted.offset_sigma_px, halves.offset_px / 2)
    agreed = halves.first.offset_px * halves.second.offset_px > 0 and halves.offset_px < 0.5 * abs(offset)
    if abs(offset) >= MIN_OFFSET_PX and abs(offset) > _MIN_SIGMAS * sigma and agreed:
        return offset, sigma
    return 0.0, min(MIN_OFFSET_PX, math.hypot(offset, sigma))
