"""Pictures of what was found: masks, ids, boxes and the trajectories drawn over the frames."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from curation.geometry import inverse, to_opencv, transform
from curation.objects.masks import decode
from schemas.camera import Array, CameraPath
from schemas.clip import ClipFrames
from schemas.track import ObjectTrack

_COLOURS = (
    (230, 60, 60),
    (60, 160, 240),
    (250, 200, 40),
    (90, 210, 90),
    (220, 90, 220),
    (60, 220, 220),
    (250, 140, 40),
    (160, 120, 250),
)


def draw_overlay(frames: ClipFrames, path: CameraPath, tracks: Sequence[ObjectTrack]) -> list[UInt8[Array, "h w 3"]]:
    """Every measuring frame (RGB) with the objects drawn in: tinted mask, box, id, and the centroid's path up to then.

    A filled dot marks a frame at which the object moves, a ring one at which it stands.
    """
    out = []
    for t, image in enumerate(frames.left):
        picture = image.copy()
        for k, track in enumerate(tracks):
            _draw(picture, frames, path, track, t, _COLOURS[k % len(_COLOURS)])
        out.append(picture)
    return out


def _draw(picture: Array, frames: ClipFrames, path: CameraPath, track: ObjectTrack, t: int, colour: tuple[int, int, int]) -> None:
    past = np.flatnonzero(track.visible[: t + 1])
    if not len(past):
        return
    local = transform(inverse(path.world_from_camera[t]), track.centroid_m[past])
    pixels = to_opencv(frames.camera.project(local))
    trail = pixels[np.isfinite(pixels).all(1)]
    trail = trail[(np.abs(trail) < 1e4).all(1)]
    if len(trail) > 1:
        cv2.polylines(picture, [np.round(trail).astype(np.int32)[:, None]], False, colour, 1, cv2.LINE_AA)
    rle = track.masks[t]
    if rle is None or not track.visible[t]:
        return
    mask = decode(rle)
    picture[mask] = (0.6 * picture[mask] + 0.4 * np.array(colour)).astype(np.uint8)
    outline, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(picture, outline, -1, colour, 1, cv2.LINE_AA)
    u0, v0, u1, v1 = (int(x) for x in track.bbox_xyxy_px[t])
    cv2.rectangle(picture, (u0, v0), (u1 - 1, v1 - 1), colour, 1)
    label = f"{track.object_id} {'moves' if track.moving[t] else 'stands'}"
    cv2.putText(picture, label, (max(u0, 2), max(v0 - 4, 12)), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(picture, label, (max(u0, 2), max(v0 - 4, 12)), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
    if len(trail):
        at = tuple(int(x) for x in np.round(trail[-1]))
        cv2.circle(picture, at, 4, colour, -1 if track.moving[t] else 1, cv2.LINE_AA)


def contact_sheet(
    images: Sequence[UInt8[Array, "h w 3"]], *, columns: int = 4, count: int = 12, width_px: int = 400
) -> UInt8[Array, "h w 3"]:
    """``count`` of the images, evenly spread, side by side in rows of ``columns``, each ``width_px`` wide, numbered."""
    if not len(images):
        raise ValueError("expected at least one image for a contact sheet, got none")
    index = np.unique(np.round(np.linspace(0, len(images) - 1, min(count, len(images)))).astype(int))
    height_px = round(width_px * images[0].shape[0] / images[0].shape[1])
    rows = -(-len(index) // columns)
    sheet = np.zeros((rows * height_px, columns * width_px, 3), np.uint8)
    for place, i in enumerate(index):
        tile = cv2.resize(images[i], (width_px, height_px), interpolation=cv2.INTER_AREA)
        cv2.putText(tile, str(i), (4, height_px - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        row, column = divmod(place, columns)
        sheet[row * height_px : (row + 1) * height_px, column * width_px : (column + 1) * width_px] = tile
    return sheet
