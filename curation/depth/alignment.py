"""How many metres a unit of a path without scale has, according to a model of metric depth, and how sure that is.

Structure from motion knows the depth of its points up to one factor for the whole clip; the model knows metres, with an error
of its own in every frame. Their ratio per frame, held against each other over the clip, gives the factor and shows the part of
the model's error that changes over time. The part that does not change cannot be seen in a clip: it is the domain's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from schemas.camera import Array
from schemas.outcome import Rejected

_LEAST_POINTS = 20  # in range, for a frame to count
_LEAST_SHARE = 0.5  # of the frames must count, and of their points be in range
_MAX_SCATTER = 0.35  # of the frames' factors (natural logarithm); beyond, the model and the path do not see one scene
_MAX_PIXEL = 0.6


@dataclass(frozen=True)
class Alignment:
    """The scale of a path, from model depth.

    Attributes:
        metres_per_unit: of the path.
        frame_factor: (T,) model depth over true depth in each frame, relative to the clip's own factor: divide by it.
        scatter_rel: standard deviation of its logarithm: how the model disagrees with itself over the clip.
        pixel_rel: robust spread of the ratio over the points of a frame: how it disagrees within a picture.
        trend: change of the logarithm of the ratio per unit of the logarithm of depth (0: near and far agree).
        scale_sigma_rel: one-sigma error of ``metres_per_unit``, the domain's included.
    """

    metres_per_unit: float
    frame_factor: Float[Array, "t"]
    scatter_rel: float
    pixel_rel: float
    trend: float
    scale_sigma_rel: float


def align(
    depth_m: Sequence[Float[Array, "h w"]],
    pixels: Sequence[Float[Array, "n 2"]],
    depth_units: Sequence[Float[Array, "n"]],
    *,
    size: tuple[int, int],
    domain_sigma_rel: float,
    domain_max_m: float,
) -> Alignment:
    """The factor between a path's units and a model's metres.

    Args:
        depth_m: the model's depth of every frame, along +Z, at any resolution.
        pixels: where each frame sees its points, in pixels of ``size``.
        depth_units: their depth along +Z in the path's units.
        size: (width, height) that ``pixels`` belong to.
        domain_sigma_rel: error of the model's metres that all frames share.
        domain_max_m: depth beyond which the model is not to be believed.

    Raises:
        Rejected: ``depth_out_of_domain`` (too little within reach of the model), ``depth_inconsistent`` (its factor jumps from
            frame to frame or within a frame, so that it sees another scene than the path).
    """
    logs = [_log_ratios(*item, size, domain_max_m) for item in zip(depth_m, pixels, depth_units, strict=True)]
    counts = np.array([len(ratio) for ratio, _ in logs])
    counted = counts >= _LEAST_POINTS
    in_range = float(counts.sum() / max(sum(len(p) for p in pixels), 1))
    if counted.mean() < _LEAST_SHARE or in_range < _LEAST_SHARE:
        raise Rejected(
            "depth_out_of_domain",
            f"{in_range:.0%} of the points lie within the {domain_max_m:g} m that the model knows (depth.domain_max_m), and "
            f"{counted.mean():.0%} of the frames have enough of them; expected {_LEAST_SHARE:.0%} of both",
        )
    known = np.flatnonzero(counted)
    factors = np.array([np.median(logs[t][0]) for t in known])
    pixel = float(np.median([1.4826 * np.median(np.abs(logs[t][0] - f)) for t, f in zip(known, factors, strict=True)]))
    middle = float(np.median(factors))
    scatter = float(max(1.4826 * np.median(np.abs(factors - middle)), np.std(factors)))
    if scatter > _MAX_SCATTER or pixel > _MAX_PIXEL:
        raise Rejected(
            "depth_inconsistent",
            f"the model's depth against the path's varies by {scatter:.0%} from frame to frame and by {pixel:.0%} within one; "
            f"expected at most {_MAX_SCATTER:.0%} and {_MAX_PIXEL:.0%}: it does not see the scene that the path goes through",
        )
    trend, spread = _trend([logs[t] for t in known], factors)
    own = np.hypot(scatter / np.sqrt(_independent(factors)), 1.25 * pixel / np.sqrt(np.median(counts[known]) * len(known)))
    # Where near and far disagree, nobody says which of them has the right scale.
    sigma = float(np.sqrt(domain_sigma_rel**2 + own**2 + (trend * spread) ** 2))
    frame_factor = np.exp(np.interp(np.arange(len(logs)), known, factors) - middle)
    return Alignment(float(np.exp(middle)), frame_factor, scatter, pixel, trend, sigma)


def _log_ratios(
    depth_m: Float[Array, "h w"], pixels: Float[Array, "n 2"], units: Float[Array, "n"], size: tuple[int, int], max_m: float
) -> tuple[Float[Array, "m"], Float[Array, "m"]]:
    """Logarithms of metres per unit and of the model's depth, for the points that both know within the model's reach."""
    height, width = depth_m.shape
    at = pixels * [width / size[0], height / size[1]]
    map_x, map_y = (np.ascontiguousarray((at[:, k] - 0.5).astype(np.float32)[:, None]) for k in (0, 1))
    # Nearest neighbour: between an edge's two depths lies neither.
    picture = np.ascontiguousarray(depth_m, np.float32)
    outside = float("nan")
    metres = cv2.remap(picture, map_x, map_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=outside)[:, 0]
    metres = metres.astype(float)
    with np.errstate(invalid="ignore"):
        ok = np.isfinite(metres) & (metres > 0) & (metres < max_m) & (units > 0)
    return np.log(metres[ok] / units[ok]), np.log(metres[ok])


def _trend(logs: list[tuple[Array, Array]], factors: Float[Array, "k"]) -> tuple[float, float]:
    """Slope of the ratio over depth within the frames (robust: median of the frames'), and the spread of log depth."""
    slopes, spreads = [], []
    for (ratio, depth), factor in zip(logs, factors, strict=True):
        off, x = np.clip(ratio - factor, -1, 1), depth - np.median(depth)
        spread = float(np.std(x))
        spreads.append(spread)
        if spread > 0.1:
            slopes.append(float((x * off).sum() / (x * x).sum()))
    return (float(np.median(slopes)) if slopes else 0.0), float(np.median(spreads))


def _independent(factors: Float[Array, "k"]) -> float:
    """How many independent values a series of frame factors holds: neighbouring frames err alike (first-order autoregression)."""
    off = factors - factors.mean()
    power = float((off * off).sum())
    if len(factors) < 3 or power <= 0:
        return 1.0
    rho = float(np.clip((off[1:] * off[:-1]).sum() / power + 1 / len(factors), 0.0, 0.99))  # + 1/n: the estimate's own bias
    return max(1.0, len(factors) * (1 - rho) / (1 + rho))
