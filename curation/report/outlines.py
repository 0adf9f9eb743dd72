"""Masks as outlines, which pages can draw at any size."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool

from schemas.camera import Array

_TOLERANCE = 0.0012  # of the longer side: how far an outline may leave its mask
_SMALLEST = 6e-6  # of the picture: smaller specks are not drawn


def outlines(mask: Bool[Array, "h w"] | None) -> list[list[float]]:
    """Closed polygons ``[x0, y0, x1, y1, ...]`` around a mask and its holes (fill even-odd); x and y in [0, 1] of its size."""
    if mask is None or not mask.any():
        return []
    height, width = mask.shape
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    out = []
    for contour in found:
        if cv2.contourArea(contour) < _SMALLEST * width * height:
            continue
        line = cv2.approxPolyDP(contour, _TOLERANCE * max(height, width), True)[:, 0]
        if len(line) >= 3:
            out.append([round(float(x), 4) for x in ((line + 0.5) / (width, height)).ravel()])
    return out
