"""Where the eyes lie in a stored picture, and how each becomes a perspective view with exact intrinsics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from curation.geometry import to_opencv
from schemas.camera import Array, Intrinsics
from schemas.clip import Layout
from schemas.config import VideoConfig
from schemas.outcome import Rejected

Box = tuple[int, int, int, int]  # x0, y0, x1, y1
_ASPECT_TOLERANCE = 0.01
# Beyond about 1.7 times the source's resolution a view has more pixels and no more to measure: what a matching window
# of fixed size sees shrinks, and the angular error of corner matches grows (43 mdeg at 1.07x, 46 at 1.8x, 52 at 2.8x).
_VR180_OVERSAMPLING = 1.75


@dataclass(frozen=True)
class Eyes:
    """How views are cut out of stored pictures.

    Attributes:
        left, right: boxes of the eyes in the stored picture; ``right`` is in the right eye's own picture for a pair,
            and None where mono.
        resized: (width, height) that an eye is scaled to, before its last column or row is cut off for an even size.
        camera: of the finished view, both eyes.
        vr180_hfov_deg: field of view of the perspective view, where an eye is a 180 x 180 deg equirectangular half.
    """

    left: Box
    right: Box | None
    resized: tuple[int, int]
    camera: Intrinsics
    vr180_hfov_deg: float | None = None


def plan_eyes(
    layout: Layout, width: int, height: int, pixel_aspect: float, camera: dict[str, float], config: VideoConfig
) -> Eyes:
    """How the views of a ``width`` x ``height`` picture are made; ``camera`` is a source's calibration.

    Raises:
        Rejected: ``too_small``, or ``bad_calibration`` where the calibration is for another picture.
    """
    left, right = eye_boxes(layout, width, height)
    eye_width, eye_height = left[2] - left[0], left[3] - left[1]
    if min(eye_width, eye_height) < config.min_size_px:
        raise Rejected("too_small", f"each eye is {eye_width}x{eye_height} pixels; expected at least {config.min_size_px}")
    if layout.startswith("vr180"):
        hfov_deg = config.vr180_hfov_deg
        finest_px = max(eye_width, eye_height) / 180 * hfov_deg
        side = min(config.vr180_size_px // 2 * 2, math.ceil(_VR180_OVERSAMPLING * finest_px / 16) * 16)
        focal_px = side / 2 / math.tan(math.radians(hfov_deg) / 2)
        return Eyes(left, right, (side, side), Intrinsics(focal_px, focal_px, side / 2, side / 2, side, side), hfov_deg)
    pixel_aspect = camera.get("pixel_aspect", pixel_aspect)
    square_width = eye_width * pixel_aspect
    scale = min(1.0, config.max_width / max(square_width, eye_height))
    resized = max(2, round(square_width * scale)), max(2, round(eye_height * scale))
    full = _intrinsics(camera, eye_width, eye_height, square_width, resized)
    even = resized[0] // 2 * 2, resized[1] // 2 * 2  # yuv420p has one colour per 2x2 pixels
    return Eyes(left, right, resized, Intrinsics(full.fx, full.fy, full.cx, full.cy, *even))


def eye_boxes(layout: Layout, width: int, height: int) -> tuple[Box, Box | None]:
    """Boxes of the left and right eye. Of an odd side, the middle line belongs to neither."""
    if layout.endswith("side_by_side") or layout == "mv_hevc":  # whose two views are read side by side
        return (0, 0, width // 2, height), (width - width // 2, 0, width, height)
    if layout.endswith("over_under"):
        return (0, 0, width, height // 2), (0, height - height // 2, width, height)
    whole = (0, 0, width, height)
    return whole, whole if layout == "pair" else None


def _intrinsics(
    camera: dict[str, float], eye_width: int, eye_height: int, square_width: float, resized: tuple[int, int]
) -> Intrinsics:
    """The calibration carried to the resized eye. Scaling is exact because the image's corner is at (0, 0)."""
    if "hfov_deg" in camera:
        focal_px = resized[0] / 2 / math.tan(math.radians(camera["hfov_deg"]) / 2)
        focal_y_px = focal_px * (resized[1] / eye_height) / (resized[0] / square_width)  # rounding of the two sides
        return Intrinsics(focal_px, focal_y_px, resized[0] / 2, resized[1] / 2, *resized)
    width, height = camera.get("width", float(eye_width)), camera.get("height", float(eye_height))
    aspect = width / height
    if all(abs(aspect / (w / eye_height) - 1) > _ASPECT_TOLERANCE for w in (eye_width, square_width)):
        raise Rejected(
            "bad_calibration",
            f"the calibration is for {width:.0f}x{height:.0f}, an eye of this source is {eye_width}x{eye_height}",
        )
    x, y = resized[0] / width, resized[1] / height
    fx, fy = camera["fx"], camera.get("fy", camera["fx"])
    return Intrinsics(fx * x, fy * y, camera.get("cx", width / 2) * x, camera.get("cy", height / 2) * y, *resized)


def eye_view(picture: UInt8[Array, "h w 3"], box: Box, eyes: Eyes) -> UInt8[Array, "out_h out_w 3"]:
    """The finished view of one eye of a stored picture."""
    pixels = picture[box[1] : box[3], box[0] : box[2]]
    if eyes.vr180_hfov_deg is not None:
        return _perspective(pixels, eyes)
    if (pixels.shape[1], pixels.shape[0]) != eyes.resized:
        smaller = eyes.resized[0] <= pixels.shape[1] and eyes.resized[1] <= pixels.shape[0]
        pixels = cv2.resize(pixels, eyes.resized, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return np.ascontiguousarray(pixels[: eyes.camera.height, : eyes.camera.width])


def _perspective(half: UInt8[Array, "h w 3"], eyes: Eyes) -> UInt8[Array, "s s 3"]:
    camera = eyes.camera
    # Where the source is finer than the view, sample finer than the view and average: remap alone would alias.
    finer = max(1, math.ceil(half.shape[1] / 180 / (camera.width / eyes.vr180_hfov_deg)))  # type: ignore[operator]
    map_x, map_y = _equirect_maps(half.shape[1], half.shape[0], camera, finer)
    view = cv2.remap(half, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(view, (camera.width, camera.height), interpolation=cv2.INTER_AREA) if finer > 1 else view


@lru_cache(maxsize=8)
def _equirect_maps(
    width: int, height: int, camera: Intrinsics, finer: int
) -> tuple[Float32[Array, "h w"], Float32[Array, "h w"]]:
    grid = camera.scaled(finer, camera.width * finer, camera.height * finer)
    u, v = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    rays = grid.unproject(np.stack([u, v], -1), np.ones_like(u))
    pixels = to_opencv(equirect_pixels(rays, width, height)).astype(np.float32)
    return np.ascontiguousarray(pixels[..., 0]), np.ascontiguousarray(pixels[..., 1])


def equirect_pixels(rays: Float[Array, "*n 3"], width: int, height: int) -> Float[Array, "*n 2"]:
    """Pixels (u, v; our convention) of rays (camera axes, any length) in a 180 x 180 deg equirectangular picture.

    Longitude grows with u from -90 deg at the left edge to +90 deg at the right; latitude with v, downwards.
    """
    longitude = np.arctan2(rays[..., 0], rays[..., 2])
    latitude = np.arctan2(rays[..., 1], np.hypot(rays[..., 0], rays[..., 2]))
    return np.stack([(longitude / np.pi + 0.5) * width, (latitude / np.pi + 0.5) * height], -1)
