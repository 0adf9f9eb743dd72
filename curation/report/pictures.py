"""Pictures for pages without a player: a frame with what was measured drawn in, and the truth over it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from curation.audit.published import PublishedClip, decode_mask
from curation.geometry import inverse, to_opencv, transform
from curation.report.figures import colour
from curation.report.truth_view import centroids
from schemas.camera import Array

Picture = UInt8[Array, "h w 3"]
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


def overlay(
    frame: Picture,
    clip: PublishedClip,
    number: int,
    *,
    only: Sequence[str] | None = None,
    true_masks: Sequence[Bool[Array, "h w"]] = (),
    true_paths: Sequence[Float[Array, "q 3"]] = (),
    most_px: int = 640,
) -> Picture:
    """Question frame ``number`` with the objects drawn in: tinted mask, id, and the whole path of the centroid.

    Args:
        frame: the picture, of any size.
        clip: what was measured.
        number: of the frame, counted in question frames.
        only: ids of the objects to draw; all by default.
        true_masks: drawn as white outlines, at any size.
        true_paths: drawn as white dotted lines, world frame; NaN where unknown.
        most_px: longest side of the result.
    """
    scale = min(1.0, most_px / max(frame.shape[:2]))
    size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
    out = cv2.resize(frame, size, interpolation=cv2.INTER_AREA) if scale < 1 else frame.copy()
    poses = clip.poses()
    for k, item in enumerate(clip.objects):
        if only is not None and item["object_id"] not in only:
            continue
        hue = tuple(int(colour(k)[i : i + 2], 16) for i in (1, 3, 5))
        if poses is not None:
            _line(out, _projected(clip, poses[number], centroids(clip, item["object_id"]), size), hue)
        row = next((r for r in clip.tracks.get(item["object_id"], []) if r["frame"] == number and r["visible"]), None)
        mask = _sized(decode_mask(row["mask_rle"]), size) if row else None
        if mask is not None and mask.any():
            out[mask] = (0.62 * out[mask] + 0.38 * np.array(hue)).astype(np.uint8)
            _edge(out, mask, hue, 1)
            v, u = np.argwhere(mask).min(0)
            _label(out, item["object_id"], (int(u), int(v)), hue)
    for mask in true_masks:
        _edge(out, _sized(mask, size), _WHITE, 2)
    if poses is not None:
        for path in true_paths:
            _dots(out, _projected(clip, poses[number], path, size))
    return out


def _sized(mask: Bool[Array, "h w"] | None, size: tuple[int, int]) -> Bool[Array, "h2 w2"] | None:
    if mask is None:
        return None
    return np.asarray(cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST), bool)


def _projected(
    clip: PublishedClip, world_from_camera: Float[Array, "4 4"], points: Float[Array, "q 3"], size: tuple[int, int]
) -> Float[Array, "q 2"]:
    """Where world points lie on a picture of ``size``, OpenCV's pixels; NaN behind the camera or far outside."""
    local = transform(inverse(world_from_camera), points)
    ahead = np.isfinite(local).all(1) & (np.nan_to_num(local[:, 2]) > 0.05)
    local = np.where(ahead[:, None], local, [0.0, 0.0, 1.0])
    scale = np.array([size[0] / clip.row["width"], size[1] / clip.row["height"]])
    pixels = to_opencv(clip.camera.project(local) * scale)
    keep = ahead & (np.abs(pixels) < 10 * max(size)).all(1)
    return np.where(keep[:, None], pixels, np.nan)


def _line(out: Picture, pixels: Float[Array, "q 2"], hue: tuple[int, ...]) -> None:
    known = pixels[np.isfinite(pixels).all(1)]
    if len(known) > 1:
        points = [np.round(known).astype(np.int32)[:, None]]
        cv2.polylines(out, points, False, _BLACK, 4, cv2.LINE_AA)
        cv2.polylines(out, points, False, hue, 2, cv2.LINE_AA)


def _dots(out: Picture, pixels: Float[Array, "q 2"]) -> None:
    for u, v in pixels[np.isfinite(pixels).all(1)]:
        cv2.circle(out, (round(u), round(v)), 2, _BLACK, -1, cv2.LINE_AA)
        cv2.circle(out, (round(u), round(v)), 1, _WHITE, -1, cv2.LINE_AA)


def _edge(out: Picture, mask: Bool[Array, "h w"] | None, hue: tuple[int, ...], width: int) -> None:
    if mask is None:
        return
    lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(out, lines, -1, _BLACK, width + 2, cv2.LINE_AA)
    cv2.drawContours(out, lines, -1, hue, width, cv2.LINE_AA)


def _label(out: Picture, text: str, corner: tuple[int, int], hue: tuple[int, ...]) -> None:
    text = text.encode("ascii", "replace").decode()
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)
    u = min(max(corner[0], 0), max(out.shape[1] - width - 6, 0))
    v = max(corner[1] - 4, height + 6)
    cv2.rectangle(out, (u, v - height - 5), (u + width + 6, v + 2), hue, -1)
    cv2.putText(out, text, (u + 3, v - 2), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _WHITE, 1, cv2.LINE_AA)
