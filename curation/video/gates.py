"""Is a clip fit to be measured? Each check raises Rejected with the number it found."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from schemas.camera import Array
from schemas.config import VideoConfig
from schemas.outcome import Rejected

REFERENCE_WIDTH = 640  # gates judge in pixels of an eye this wide
_BLUR_WIDTH = 320
_SCALES_PX = (1.0, 4.0)
_CELLS = 40
_IDENTICAL = 0.02  # mean difference in grey levels
_CODEC_CHANGE = 8.0


def small_gray(rgb: UInt8[Array, "h w 3"], width: int) -> UInt8[Array, "small_h small_w"]:
    """A gray picture of at most ``width`` pixels, by area averaging."""
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if gray.shape[1] <= width:
        return gray
    return cv2.resize(gray, (width, max(1, round(gray.shape[0] * width / gray.shape[1]))), interpolation=cv2.INTER_AREA)


def blur_px(rgb: UInt8[Array, "h w 3"]) -> float:
    """Standard deviation of the blur of a picture's edges, in pixels of a picture ``REFERENCE_WIDTH`` wide; 0 where sharp.

    The energy of the gradient of a step edge blurred by ``b`` and then by ``s`` goes as (b^2 + s^2)^-1/2, so the energies
    at two known ``s`` give ``b``, whatever the contrast. The finer ``s`` also keeps noise and the steps of single grey
    levels out. Texture reads a little sharper than edges do. Of both axes the more blurred one counts (motion blur).
    """
    gray = small_gray(rgb, _BLUR_WIDTH).astype(np.float32)
    worst = 0.0
    for axis in (0, 1):
        fine, coarse = (float((np.diff(_smooth(gray, s, axis), axis=axis) ** 2).sum()) for s in _SCALES_PX)
        if fine > 0:
            ratio = min(coarse / fine, 0.999) ** 2
            variance = (_SCALES_PX[1] ** 2 * ratio - _SCALES_PX[0] ** 2) / (1 - ratio)
            worst = max(worst, float(np.sqrt(max(0.0, variance))))
    return float(worst * REFERENCE_WIDTH / gray.shape[1])


def _smooth(gray: Float32[Array, "h w"], sigma: float, axis: int) -> Float32[Array, "h w"]:
    kernel = cv2.getGaussianKernel(2 * round(4 * sigma) + 1, sigma)
    one = np.ones((1, 1))
    return cv2.sepFilter2D(gray, -1, kernel if axis == 1 else one, kernel if axis == 0 else one)


def check_light(luma: Float[Array, "t"], config: VideoConfig) -> None:
    """Refuse ``too_dark`` and ``too_bright`` clips by the median over frames of the mean luma (0..255)."""
    middle = float(np.median(luma))
    if middle < config.min_brightness:
        raise Rejected("too_dark", f"median luma {middle:.1f} of 255; expected at least {config.min_brightness:g}")
    if middle > config.max_brightness:
        raise Rejected("too_bright", f"median luma {middle:.1f} of 255; expected at most {config.max_brightness:g}")


def check_blur(blurs_px: Float[Array, "t"], config: VideoConfig) -> None:
    """Refuse ``too_blurred`` clips by the median of ``blur_px`` over frames."""
    middle = float(np.median(blurs_px))
    if middle > config.max_blur_px:
        expected = f"expected at most {config.max_blur_px:g} (pixels of a picture {REFERENCE_WIDTH} wide)"
        raise Rejected("too_blurred", f"edges are blurred by {middle:.1f} px (standard deviation); {expected}")


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

        What changes by less than eight grey levels, averaged over a cell of 1/40 of the width, is the codec.
        """
        if not self._steps or (np.median(self._steps) <= _IDENTICAL and self._most < _CODEC_CHANGE):
            same = float(np.mean(np.asarray(self._steps) <= _IDENTICAL)) if self._steps else 1.0
            raise Rejected(
                "frozen",
                f"{same:.0%} of the frames repeat the one before, and no part of the picture ever changes by more than "
                f"{self._most:.1f} grey levels: the video stands still",
            )
