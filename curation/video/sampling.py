"""Which frames of a clip are asked about, and which are measured."""

from __future__ import annotations

import math

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from schemas.camera import Array


def question_indices(num_frames: int, num_questions: int) -> Int[Array, "q"]:
    """Frames of the mp4 that are question frames: the way trainers sample ``num_questions`` frames of a video."""
    return np.linspace(0, num_frames - 1, min(num_questions, num_frames)).round().astype(np.int64)


def between(first: int, last: int, duration_s: float, motion_share: float, fps: float, step_share: float, cap: int) -> list[int]:
    """Frames to measure in (first, last], evenly spaced and ending with ``last``.

    Args:
        first: a question frame.
        last: the next one.
        duration_s: time between them.
        motion_share: image motion summed over the frames between them, as a share of the width.
        fps: least rate of measuring frames.
        step_share: largest wanted motion from one measuring frame to the next.
        cap: at most this many.
    """
    wanted = max(math.ceil(duration_s * fps - 1e-6), math.ceil(motion_share / step_share - 1e-6), 1)
    count = min(wanted, last - first, max(1, cap))
    return [int(i) for i in np.linspace(first, last, count + 1).round().astype(int)[1:]]


class Motion:
    """How far the image moves from frame to frame, measured cheaply on small frames."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._last: UInt8[Array, "h w"] | None = None

    def add(self, small: UInt8[Array, "h w"]) -> float:
        """Length of the fast tenth of the image's motion since the frame before, as a share of the width; 0 at first."""
        last, self._last = self._last, small
        if last is None or min(small.shape) < 16:
            return 0.0
        flow: Float[Array, "h w 2"] = self._flow.calc(last, small, np.zeros((*small.shape, 2), np.float32))
        return float(np.quantile(np.hypot(flow[..., 0], flow[..., 1]), 0.9) / small.shape[1])
