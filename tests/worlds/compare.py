"""Measure how far one picture is displaced from another, to a few hundredths of a pixel."""

from __future__ import annotations

import cv2
import numpy as np

from curation.geometry import to_opencv


def grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)


def offset_px(reference: np.ndarray, other: np.ndarray, at: np.ndarray, use: np.ndarray) -> np.ndarray:
    """How far ``other``, looked up at pixels ``at``, is displaced from ``reference``: one Gauss-Newton step, (u, v).

    Gain and offset are fitted along, since the eyes' exposures differ a little.
    """
    maps = to_opencv(at).astype(np.float32)
    warped = cv2.remap(other, maps[..., 0], maps[..., 1], cv2.INTER_CUBIC)
    gx, gy = cv2.Sobel(warped, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(warped, cv2.CV_32F, 0, 1, scale=1 / 8)
    difference = (reference - warped)[use].astype(float)
    jacobian = np.stack([gx[use], gy[use], warped[use], np.ones(use.sum())], -1).astype(float)
    assert use.sum() > 150, "too little to compare"
    keep = np.ones(len(difference), bool)
    for _ in range(4):  # what is hidden in the other picture fits badly and is left out
        solution = np.linalg.lstsq(jacobian[keep], difference[keep], rcond=None)[0]
        rest = np.abs(difference - jacobian @ solution)
        keep = rest < 3 * np.median(rest)
    return solution[:2]
