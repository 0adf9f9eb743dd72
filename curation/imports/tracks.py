"""Annotated objects as the tracks that relations read: which of them move, where, how surely, and their outlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt16

from curation.geometry import inverse, transform
from curation.imports.annotation import Annotation, Named
from curation.imports.bodies import Body, clip_from_annotation, from_boxes, from_depth, from_points
from curation.imports.cameras import of_frames
from curation.objects.masks import encode
from curation.objects.naming.checks import gives_away
from schemas.camera import Array, CameraPath
from schemas.clip import ClipFrames
from schemas.config import ImportsConfig
from schemas.outcome import Rejected
from schemas.track import Description, ObjectTrack

_LEAST_VISIBLE = 8  # measuring frames, or all of a shorter clip's
_LEAST_PIXELS = 60
_MOVES_SIGMAS = 5.0  # the largest of many displacements is at least this sure, or the object may stand still and is left out
_LEAST_MOVE_M = 0.05
_STILL_M_S = 0.08
_WINDOW_S = 0.25  # to either side at most, over which speed is judged
_NOISE_SIGMAS = 4.0
_INSIDE_SHARE = 0.3  # of an object's points that must lie in its masks where it is seen best


def labelled_objects(
    annotation: Annotation, frames: ClipFrames, path: CameraPath, config: ImportsConfig, *, max_objects: int
) -> tuple[list[ObjectTrack], list[Named]]:
    """The annotated objects that surely move, largest first, and the words that came with each.

    An object's geometry comes from labelled points where it has any, else from boxes, else from masks with depth. What
    moves is decided by its displacement against its doubt, the camera's included: a label that jitters does not move.

    Raises:
        Rejected: ``annotation_disagrees`` where points fall outside the masks of their own objects.
    """
    index = frames.source_index
    of_frames(annotation, index)  # every measuring frame has a pose
    bodies = _bodies(annotation, frames, path, config)
    outlines = _outlines(annotation, frames, path, bodies)
    found: list[tuple[float, ObjectTrack, Named]] = []
    names = {o.number: o for o in annotation.objects}
    for body in bodies:
        track = _track(body, outlines[body.number], frames, path)
        if track is not None:
            found.append((track.stats["mask_share"], track, names.get(body.number, Named(body.number))))
    found.sort(key=lambda item: (-item[0], item[2].number))
    kept = found[:max_objects]
    return [replace(track, object_id=f"obj_{i + 1}") for i, (_, track, _) in enumerate(kept)], [named for _, _, named in kept]


def worded(described: Sequence[Description], names: Sequence[Named], maker: str) -> list[Description]:
    """Descriptions with the annotation's own words in them.

    A description that came with the object is used if no other object has it. Else its category takes the place of the word
    "object" in what was found from colour and place, which singles the object out by itself. Words that tell of motion, or that
    speak to whoever reads the question, are not used.
    """
    names = [replace(n, category=_harmless(n.category), description=_harmless(n.description)) for n in names]
    given = [named.description for named in names]
    out = []
    for words, named in zip(described, names, strict=True):
        category = named.category or words.category
        if named.description and given.count(named.description) == 1:
            out.append(Description(words.object_id, category, named.description, maker))
        elif named.category and words.text:
            text = words.text.replace(" object", f" {named.category}", 1)
            out.append(Description(words.object_id, category, text, f"{words.source}, {maker}"))
        else:
            out.append(replace(words, category=category))
    return out


def _harmless(text: str) -> str:
    return "" if gives_away(text) else text


def _bodies(annotation: Annotation, frames: ClipFrames, path: CameraPath, config: ImportsConfig) -> list[Body]:
    index, world = frames.source_index, clip_from_annotation(annotation, frames.source_index)
    points, boxes = annotation.points, annotation.boxes
    numbers = {o.number for o in annotation.objects}
    numbers |= set(points.number[points.number > 0].tolist()) if points is not None else set()
    numbers |= set(boxes.number.tolist()) if boxes is not None else set()
    bodies = []
    for number in sorted(numbers):
        body = None
        if points is not None and (points.number == number).any():
            body = from_points(annotation, points, number, index, world, path.centers_m, config)
        elif boxes is not None and (boxes.number == number).any():
            body = from_boxes(annotation, number, index, world, config)
        elif annotation.mask is not None and annotation.depth_m is not None:
            body = from_depth(annotation, number, index, path.world_from_camera, frames.camera, config)
        if body is not None:
            bodies.append(body)
    return bodies


def _outlines(
    annotation: Annotation, frames: ClipFrames, path: CameraPath, bodies: list[Body]
) -> dict[int, list[Bool[Array, "h w"] | None]]:
    """Visible pixels per object and measuring frame: of the masks, or else the silhouette of its points, nearer ones in front."""
    out: dict[int, list[Bool[Array, "h w"] | None]] = {body.number: [None] * len(frames.left) for body in bodies}
    size = (frames.camera.width, frames.camera.height)
    inside: dict[int, list[float]] = {body.number: [] for body in bodies}
    for t, source in enumerate(frames.source_index):
        camera_from_world = inverse(path.world_from_camera[t])
        labels: UInt16[Array, "h w"] | None = annotation.mask(int(source)) if annotation.mask is not None else None
        if labels is not None:
            labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
        taken = np.zeros(size[::-1], bool)
        local = {body.number: transform(camera_from_world, body.hull_m[t]) for body in bodies if body.known[t]}
        for number in sorted(local, key=lambda n: float(np.nanmin(local[n][:, 2]))):
            pixels = frames.camera.project(local[number])
            pixels = pixels[np.isfinite(pixels).all(1)]
            if labels is not None:
                mask = labels == number
                if mask.sum() >= _LEAST_PIXELS and len(pixels) >= 3:
                    inside[number].append(_share_inside(mask, pixels))
            else:
                mask = _silhouette(pixels, size) & ~taken
                taken |= mask
            out[number][t] = mask if mask.sum() >= _LEAST_PIXELS else None
    # Where an object is seen best: elsewhere its points may be hidden, and its masks rightly smaller than they are.
    best = [float(np.quantile(shares, 0.8)) for shares in inside.values() if shares]
    if best and np.median(best) < _INSIDE_SHARE:
        raise Rejected(
            "annotation_disagrees",
            f"{np.median(best):.0%} of the objects' points fall into their masks, expected {_INSIDE_SHARE:.0%}: check the world "
            "frame of the points, the poses, the intrinsics, and that the frames of masks and points are counted alike",
        )
    return out


def _share_inside(mask: Bool[Array, "h w"], pixels: Float[Array, "n 2"]) -> float:
    """Share of the pixels within the mask, or three pixels of it. All points of a body count that are in the picture."""
    cols, rows = np.floor(pixels).astype(int).T
    ok = (cols >= 0) & (cols < mask.shape[1]) & (rows >= 0) & (rows < mask.shape[0])
    if not ok.any():
        return 0.0
    wide = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
    return float(wide[rows[ok], cols[ok]].mean())


def _silhouette(pixels: Float[Array, "n 2"], size: tuple[int, int]) -> Bool[Array, "h w"]:
    """Pixels of the convex hull of some points."""
    mask = np.zeros(size[::-1], np.uint8)
    if len(pixels) >= 3:
        hull = cv2.convexHull(np.clip(pixels - 0.5, -1e4, 1e4).astype(np.float32))
        cv2.fillConvexPoly(mask, np.round(hull * 16).astype(np.int32), (1,), cv2.LINE_8, 4)
    return mask.astype(bool)


def _track(body: Body, outline: list[Bool[Array, "h w"] | None], frames: ClipFrames, path: CameraPath) -> ObjectTrack | None:
    """The published track of a body, or None where it is hardly seen or does not surely move."""
    total = len(frames.left)
    visible = body.known & np.array([mask is not None for mask in outline]) & np.isfinite(body.centroid_m).all(1)
    if visible.sum() < min(_LEAST_VISIBLE, total):
        return None
    moved_m, sigmas = _displacement(body, path, visible)
    if sigmas < _MOVES_SIGMAS or moved_m < _LEAST_MOVE_M:
        return None
    boxes, area = np.full((total, 4), np.nan), np.zeros(total)
    masks: list[dict[str, Any] | None] = [None] * total
    for t in np.flatnonzero(visible):
        mask = outline[t]
        assert mask is not None
        masks[t] = encode(mask)
        v, u = np.nonzero(mask)
        boxes[t] = u.min(), v.min(), u.max() + 1, v.max() + 1
        area[t] = mask.sum()
    centroid, covariance = body.centroid_m.copy(), body.centroid_cov_m2.copy()
    points, sigma = body.points_m.copy(), body.points_sigma_m.copy()
    for array in (centroid, covariance, points, sigma):
        array[~visible] = np.nan
    stats: dict[str, Any] = {
        "mask_share": round(float(area.max()) / outline_size(frames), 5),
        "annotated": body.number,
        "made_of": body.made_of,
        "moved_m": round(moved_m, 4),
        "moved_sigmas": round(min(sigmas, 1e6), 2),
    }
    return ObjectTrack(
        object_id="obj_0",
        visible=visible,
        centroid_m=centroid,
        centroid_cov_m2=covariance,
        common_sigma_rel=body.common_sigma_rel,
        points_m=points,
        points_sigma_m=sigma,
        moving=_moving(centroid, frames.times_s, visible),
        masks=tuple(masks),
        bbox_xyxy_px=boxes,
        num_points=np.where(visible, body.num_points, 0),
        stats=stats,
    )


def outline_size(frames: ClipFrames) -> int:
    """Pixels of a frame."""
    return int(frames.camera.width * frames.camera.height)


def _displacement(body: Body, path: CameraPath, visible: Bool[Array, "t"]) -> tuple[float, float]:
    """Largest displacement between two frames, metres, and the largest in units of its sigma, poses included."""
    index = np.flatnonzero(visible)
    centre = body.centroid_m[index]
    range_m = np.linalg.norm(centre - path.centers_m[index], axis=1)
    own = np.trace(body.centroid_cov_m2[index], axis1=1, axis2=2) / 3
    carried = np.trace(path.covariance[index, :3, :3], axis1=1, axis2=2) / 3
    carried += range_m**2 * np.trace(path.covariance[index, 3:, 3:], axis1=1, axis2=2) / 3
    variance = own + carried + (body.common_sigma_rel * range_m) ** 2
    apart = np.linalg.norm(centre[:, None] - centre[None], axis=2)
    sigma = np.sqrt(variance[:, None] + variance[None])
    return float(apart.max()), float((apart / np.maximum(sigma, 1e-6)).max())


def _moving(centroid: Float[Array, "t 3"], times_s: Float[Array, "t"], visible: Bool[Array, "t"]) -> Bool[Array, "t"]:
    """Frames at which the object moves: its speed is more than a crawl and more than its own jitter."""
    out = np.zeros(len(visible), bool)
    index = np.flatnonzero(visible)
    if len(index) < 3:
        return out
    place, at = centroid[index], times_s[index]
    bend = place[2:] - 2 * place[1:-1] + place[:-2]
    jitter_m = float(np.median(np.linalg.norm(bend, axis=1)) / np.sqrt(6))
    # As short as the jitter allows: a long window blurs the moment at which the object stops.
    reach_s = float(np.clip(_NOISE_SIGMAS * jitter_m / (2 * _STILL_M_S), np.median(np.diff(at)), _WINDOW_S))
    low = np.searchsorted(at, at - reach_s - 1e-6).clip(0, len(at) - 1)
    high = (np.searchsorted(at, at + reach_s + 1e-6) - 1).clip(0, len(at) - 1)
    step = np.linalg.norm(place[high] - place[low], axis=1)
    out[index] = step > np.maximum(_STILL_M_S * (at[high] - at[low]), _NOISE_SIGMAS * jitter_m)
    return out
