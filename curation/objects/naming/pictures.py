"""What a model is shown of an object: crops with its outline, and whole frames in which all objects are numbered."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from curation.objects.masks import decode
from schemas.camera import Array
from schemas.clip import ClipFrames
from schemas.track import ObjectTrack

_LINE = (255, 0, 255)  # hardly a colour of things
_MARGIN = 0.35  # of the box's longer side
_LEAST_PX = 96


def shown_frames(frames: ClipFrames, track: ObjectTrack, count: int) -> list[int]:
    """Up to ``count`` measuring frames, spread over the question frames in which the object's mask is not small."""
    areas = {int(t): float(decode(rle).sum()) for t in frames.question if (rle := track.masks[t]) is not None}
    good = sorted(t for t, area in areas.items() if area >= 0.3 * max(areas.values()) and area > 0)
    if not good:
        return []
    return [good[n] for n in np.unique(np.linspace(0, len(good) - 1, count).round().astype(int))]


def outlined_crop(frames: ClipFrames, track: ObjectTrack, t: int) -> UInt8[Array, "h w 3"]:
    """The surroundings of an object with its mask outlined in magenta."""
    picture = frames.left[t].copy()
    rle = track.masks[t]
    assert rle is not None
    outline, _ = cv2.findContours(decode(rle).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, outline, -1, _LINE, 2 if max(picture.shape) > 400 else 1)
    u0, v0, u1, v1 = track.bbox_xyxy_px[t]
    reach = max(_MARGIN * max(u1 - u0, v1 - v0), 0.5 * (_LEAST_PX - min(u1 - u0, v1 - v0)))
    low = np.maximum(np.floor([u0 - reach, v0 - reach]), 0).astype(int)
    high = np.minimum(np.ceil([u1 + reach, v1 + reach]), picture.shape[1::-1]).astype(int)
    crop = picture[low[1] : high[1], low[0] : high[0]]
    scale = max(1, round(256 / max(crop.shape[:2])))
    return cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)


def numbered(frames: ClipFrames, tracks: Sequence[ObjectTrack], t: int) -> UInt8[Array, "h w 3"]:
    """A whole frame with a box and a number, from 1, for each object that is visible in it."""
    picture = frames.left[t].copy()
    for n, track in enumerate(tracks):
        if track.masks[t] is None or not np.isfinite(track.bbox_xyxy_px[t]).all():
            continue
        u0, v0, u1, v1 = (int(x) for x in track.bbox_xyxy_px[t])
        cv2.rectangle(picture, (u0, v0), (u1 - 1, v1 - 1), _LINE, 1)
        at = (max(u0, 2), max(v0 - 3, 12))
        cv2.putText(picture, str(n + 1), at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 3, cv2.LINE_AA)
        cv2.putText(picture, str(n + 1), at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return picture
