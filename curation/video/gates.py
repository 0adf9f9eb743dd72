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


def small_gray(rgb: UInt8[Array, "h w 3"], width: int) -> UInt8[Array, "small_h small_w"]:
    """A gray picture of at most ``width`` pixels, by area averaging."""
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if gray.shape[1] <= width:
        return gray
    return cv2.resize(gray, (width, max(1, round(gray.shape[0] * width / gray.shape[1]))), interpolation=cv2.INTER_AREA)


def blur(rgb: UInt8[Array, "h w 3"]) -> float:
    """How little a picture changes when blurred once more: 0 sharp, 1 already blurred. At a width of 320 px.

    A no-reference measure after Crete et al., "The blur effect: perception and estimation with a new no-reference
    perceptual blur metric" (2007): the share of the differences between neighbours that survives a box blur.
    """
    gray = small_gray(rgb, _BLUR_WIDTH).astype(np.float32)
    worst = 0.0
    for axis, box in ((0, (1, _BLUR_BOX)), (1, (_BLUR_BOX, 1))):
        sharp = np.abs(np.diff(gray, axis=axis))
        soft = np.abs(np.diff(cv2.blur(gray, box), axis=axis))
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


def check_frozen(identical: list[bool]) -> None:
    """Refuse a ``frozen`` clip: its frames are the same picture. One entry per frame after the first."""
    share = float(np.mean(identical)) if identical else 1.0
    if share >= 0.95:
        raise Rejected("frozen", f"{share:.0%} of the frames repeat the one before to the last pixel: the video stands still")
