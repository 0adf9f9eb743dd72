"""Do the two eyes belong together? Rows aligned, left is left, and both taken at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from curation.video.gates import REFERENCE_WIDTH, small_gray
from schemas.camera import Array
from schemas.config import VideoConfig
from schemas.outcome import Rejected

_FEATURES = 1000
_RATIO = 0.8
_MIN_MATCHES = 40
_MIN_MATCHED_SHARE = 0.08  # the same street 2 s later: 0.014 to 0.037; true pairs: 0.39 and more
_CLEAR_PX = 1.0
_TWIN_SHARE = 0.25


@dataclass(frozen=True)
class Alignment:
    """Matched features of both eyes over some frames, in pixels of an eye ``REFERENCE_WIDTH`` wide.

    Attributes:
        features: number of features in the left eye.
        x, y: (N,) of the match in the left eye.
        disparity: (N,) x left minus x right; positive in front of infinity.
        vertical: (N,) y right minus y left; 0 where rectified.
    """

    features: int
    x: Float[Array, "n"]
    y: Float[Array, "n"]
    disparity: Float[Array, "n"]
    vertical: Float[Array, "n"]


def match_eyes(left: Sequence[UInt8[Array, "h w 3"]], right: Sequence[UInt8[Array, "h w 3"]]) -> Alignment:
    """SIFT features of the left eye found in the right, wherever they lie (mutually nearest, clearly so)."""
    sift = cv2.SIFT.create(nfeatures=_FEATURES)
    features, rows = 0, [np.zeros((0, 4))]
    for a, b in zip(left, right, strict=True):
        (points_a, words_a), (points_b, words_b) = (_features(sift, picture) for picture in (a, b))
        features += len(points_a)
        if min(len(points_a), len(points_b)) >= 2:
            i, j = _mutual(words_a, words_b)
            rows.append(np.hstack([points_a[i], points_b[j]]))
    table = np.concatenate(rows)
    x, y = table[:, 0], table[:, 1]
    return Alignment(features, x, y, x - table[:, 2], table[:, 3] - y)


def _features(sift: cv2.SIFT, rgb: UInt8[Array, "h w 3"]) -> tuple[Float[Array, "n 2"], Float[Array, "n 128"]]:
    gray = small_gray(rgb, REFERENCE_WIDTH)
    points, words = sift.detectAndCompute(gray, None)
    if words is None:
        return np.zeros((0, 2)), np.zeros((0, 128), np.float32)
    words = np.sqrt(words / np.maximum(words.sum(axis=1, keepdims=True), 1e-9))  # RootSIFT
    scale = REFERENCE_WIDTH / gray.shape[1]
    return np.array([point.pt for point in points]) * scale, words


def _mutual(a: Float[Array, "n 128"], b: Float[Array, "m 128"]) -> tuple[Array, Array]:
    similar = a @ b.T  # of unit vectors: distance^2 = 2 - 2 similar
    best = similar.argmax(axis=1)
    i = np.arange(len(a))
    top = similar[i, best]
    others = similar.copy()
    others[i, best] = -1
    clear = (2 - 2 * top) < _RATIO**2 * (2 - 2 * others.max(axis=1))
    keep = clear & (similar.argmax(axis=0)[best] == i)
    return i[keep], best[keep]


def check_alignment(found: Alignment, config: VideoConfig) -> dict[str, float]:
    """Refuse eyes that do not match, are not rectified, are swapped, or converge.

    Returns:
        Measured figures: number of matches, median and spread of the vertical disparity, share behind infinity.

    Raises:
        Rejected: ``eyes_differ``, ``not_rectified``, ``eyes_swapped``, ``not_parallel``.
    """
    if found.features < _MIN_MATCHES:
        return {"matches": float(len(found.x))}  # nothing to judge by; pose estimation refuses what has no texture
    good = _consistent(found)
    matches = int(good.sum())
    if matches < max(_MIN_MATCHES / 2, _MIN_MATCHED_SHARE * found.features):
        raise Rejected(
            "eyes_differ",
            f"only {matches} of {found.features} features of the left eye are found in the right one: "
            "check that both are of the same scene and time, and the layout",
        )
    vertical, disparity = found.vertical[good], found.disparity[good]
    offset, noise = float(np.median(vertical)), _spread(vertical)
    bend = _systematic(found, good)
    limit = config.max_vertical_px
    if abs(offset) > limit or bend > limit or noise > 2 * limit:
        raise Rejected(
            "not_rectified",
            f"rows do not align: vertical disparity {offset:+.2f} px, varying by {bend:.2f} px over the image, scattered by "
            f"{noise:.2f} px (at a width of {REFERENCE_WIDTH}; expected within {limit:g}); rectify the eyes, or check the layout",
        )
    clear_px = max(_CLEAR_PX, 3 * noise)  # disparity scatters as much as the rows do
    behind, before = float(np.mean(disparity < -clear_px)), float(np.mean(disparity > clear_px))
    if behind > 0.5 and before < 0.1:
        raise Rejected(
            "eyes_swapped",
            f"{behind:.0%} of the features lie behind infinity (median disparity {np.median(disparity):.1f} px): swap the eyes",
        )
    if behind > 0.1:
        raise Rejected(
            "not_parallel",
            f"{behind:.0%} of the features lie behind infinity (disparity down to {np.quantile(disparity, 0.02):.1f} px): "
            "the eyes converge or were shifted, and disparity does not give distance",
        )
    return {"matches": matches, "vertical_px": offset, "vertical_bend_px": bend, "vertical_spread_px": noise, "behind": behind}


def check_single(pictures: Sequence[UInt8[Array, "h w 3"]]) -> None:
    """Refuse a mono clip whose two halves show the same scene: it is stereo without a calibration that says so.

    Raises:
        Rejected: ``layout_unknown``.
    """
    for layout, axis in (("side_by_side", 1), ("over_under", 0)):
        half = pictures[0].shape[axis] // 2
        halves = [np.split(picture, [half, picture.shape[axis] - half], axis) for picture in pictures]
        found = match_eyes([np.ascontiguousarray(h[0]) for h in halves], [np.ascontiguousarray(h[-1]) for h in halves])
        share = _consistent(found).sum() / max(found.features, _MIN_MATCHES)
        if share > _TWIN_SHARE:
            raise Rejected(
                "layout_unknown",
                f"both halves show the same scene ({share:.0%} of the features match): if it is stereo, write `layout: {layout}` "
                f"(or vr180_{layout}) into a calibration file beside it",
            )


def _systematic(found: Alignment, good: Array) -> float:
    """How much the vertical disparity varies over the image and with depth (roll, keystone, distortion), noise apart.

    Root mean square of its smooth part (second degree in x and y, first in disparity) without the constant, px.
    """
    x, y = found.x[good] / REFERENCE_WIDTH - 0.5, found.y[good] / REFERENCE_WIDTH
    terms = np.stack([x, y, x * y, x * x, y * y, found.disparity[good] / REFERENCE_WIDTH], -1)
    terms = terms - terms.mean(axis=0)
    weights, *_ = np.linalg.lstsq(terms, found.vertical[good] - found.vertical[good].mean(), rcond=None)
    return float(np.sqrt(np.mean((terms @ weights) ** 2)))


def _consistent(found: Alignment) -> Array:
    """Matches whose vertical disparity lies near a plane over the image (offset, roll, scale); wrong matches do not."""
    keep = np.ones(len(found.x), bool)
    if len(found.x) < 8:
        return keep
    around = found.vertical - np.median(found.vertical)
    keep = np.abs(around) < max(6.0, 4 * _spread(around))
    design = np.stack([np.ones_like(found.x), found.x / REFERENCE_WIDTH - 0.5, found.y / REFERENCE_WIDTH], -1)
    for _ in range(3):
        if keep.sum() < 8:
            break
        plane, *_ = np.linalg.lstsq(design[keep], found.vertical[keep], rcond=None)
        rest = found.vertical - design @ plane
        keep = np.asarray(np.abs(rest) < max(1.5, 3 * _spread(rest[keep])))
    return keep


def _spread(values: Float[Array, "n"]) -> float:
    """Robust standard deviation (from the median absolute deviation)."""
    return float(1.4826 * np.median(np.abs(values - np.median(values)))) if len(values) else 0.0
