"""Is a clip fit to be measured? Each check raises Rejected with the number it found."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from schemas.camera import Array
from schemas.config import VideoConfig
from schemas.outcome import Rejected

_BLUR_WIDTH = 320
_BLUR_BOX = 9
_CELLS = 40
_IDENTICAL = 0.005  # mean difference in grey levels
_CODEC_CHANGE = 4.0


def small_gray(rgb: UInt8[Array, "h w 3"], width: int) -> UInt8[Array, "small_h small_w"]:
    """A gray picture of at most ``width`` pixels, by area averaging."""
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if gray.shape[1] <= width:
        return gray
    return cv2.resize(gray, (width, max(1, round(gray.shape[0] * width / gray.shape[1]))), interpolation=cv2.INTER_AREA)


def blur(rgb: UInt8[Array, "h w 3"]) -> float:
    """How little a picture changes when blurred once more: 0 sharp, 1 already blurred. At a width of 320 px.

    A no-reference measure after Crete et al., "The blur effect: perception and estimation with a new no-reference
    perceptual blur metric" (2007): the share of the differences between neighbours that survives a box blur. Taken of
    squares, so that the steps of one grey level in a smooth gradient do not read as detail.
    """
    gray = small_gray(rgb, _BLUR_WIDTH).astype(np.float32)
    worst = 0.0
    for axis, box in ((0, (1, _BLUR_BOX)), (1, (_BLUR_BOX, 1))):
        sharp = np.diff(gray, axis=axis) ** 2
        soft = np.diff(cv2.blur(gray, box), axis=axis) ** 2
        total = float(sharp.sum())
        if total > 0:
            worst = max(worst, 1 - float(np.maximum(0, sharp - soft).sum()) / total)
    return worst


def check_light(luma: Float[Array, "t"], config: VideoConfig) -> None:
    """Refuse ``too_dark`` and ``too_bright`` clips by the median over frames of the mean luma (0..255)."""
    middle = float(np.median(luma))
    if middle < config.min_brightness:
        raise Rejected("too_dark", f"median luma {middle:.1f} of 255; expected at least {config.min_brightness:g}")
    if middle > config.max_brightness:
        raise Rejected("too_bright", f"median luma {middle:.1f} of 255; expected at most {config.max_brightness:g}")


def check_blur(blurs: Float[Array, "t"], config: VideoConfig) -> None:
    """Refuse ``too_blurred`` clips by the median of ``blur`` over frames."""
    middle = float(np.median(blurs))
    if middle > config.max_blur:
        raise Rejected("too_blurred", f"median blur measure {middle:.2f}; expected at most {config.max_blur:g} (0 sharp, 1 flat)")


class Stillness:
    """Tells a frozen video (one picture, encoded over and over) from a still scene, whose sensor noise goes on."""

    def __init__(self) -> None:
        self._steps: list[float] = []
        self._first: Array | None = None
        self._last: Array | None = None
        self._most = 0.0

    def add(self, rgb: UInt8[Array, "h w 3"]) -> None:
        """The next frame."""
        cells = small_gray(rgb, _CELLS).astype(np.float32)
        if self._last is None or self._first is None:
            self._first = cells
        else:
            self._steps.append(cv2.norm(rgb, self._last, cv2.NORM_L1) / rgb.size)
            self._most = max(self._most, float(np.abs(cells - self._first).max()))
        self._last = rgb

    def check(self) -> None:
        """Refuse a ``frozen`` clip: most frames repeat the one before to the last pixel, and no part ever changes.

        What changes by less than four grey levels, averaged over a cell of 1/40 of the width, is the codec.
        """
        if not self._steps or (np.median(self._steps) <= _IDENTICAL and self._most < _CODEC_CHANGE):
            same = float(np.mean(np.asarray(self._steps) <= _IDENTICAL)) if self._steps else 1.0
            raise Rejected(
                "frozen",
                f"{same:.0%} of the frames repeat the one before, and no part of the picture ever changes by more than "
                f"{self._most:.1f} grey levels: the video stands still",
            )
