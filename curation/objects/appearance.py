"""What the pixels say about an object's outline: does a pixel's place look the same once the object has gone?

Tracks exist only where there is texture. A plainly painted object has few, and between them only the colour tells it from
the floor: the world place that a background pixel shows keeps its colour when the object has moved on, the place that an
object's pixel shows does not. Likewise the object's own pixels, carried by its motion, keep theirs. Both are compared at
other frames of the clip, at which the object surely does not cover the place.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int8, UInt8
from scipy.spatial import ConvexHull, QhullError, cKDTree

from curation.geometry import inverse, to_opencv, transform
from curation.objects.grouping import Scene
from curation.objects.motion_fit import Motion
from schemas.camera import Array

# Evidence: the place did not change; it was in shadow; the pixel changed at least; it moved along.
BACKGROUND, SHADOW, CHANGED, OBJECT = -2, -1, 1, 2

_GREY_NOISE = 3.5  # grey levels, after the blur
_SHIFT_PX = 0.5  # error of where a place is looked for
_SAME, _OTHER = 2.2, 4.5  # colour differences in sigmas
_LEFT_BY = (0.6, 1.2)  # of its size
_LEAST_APART_PX = 5.0
_GROWN_PX = 6.0
_SHADOW = (0.4, 0.97)  # brightness in shadow over that in light
_SHADOW_HUE = 0.12  # how much that differs between red, green and blue


@dataclass(frozen=True)
class Appearance:
    """Blurred frames of a clip and the size of their gradients, made once for all objects."""

    images: UInt8[Array, "t h w 3"]
    sigma: Float[Array, "t h w"]

    @staticmethod
    def of(images: UInt8[Array, "t h w 3"]) -> Appearance:
        """Of RGB frames."""
        blurred = np.stack([cv2.GaussianBlur(image, (0, 0), 1.0) for image in images])
        sigma = np.empty(images.shape[:3], np.float16)
        for t, image in enumerate(blurred):
            grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
            slope = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)) / 8.0
            sigma[t] = np.hypot(_GREY_NOISE, _SHIFT_PX * slope)
        return Appearance(blurred, sigma)


def evidence(
    seen: Appearance,
    scene: Scene,
    motion: Motion,
    members: dict[int, Float[Array, "n 3"]],
    frame: int,
    depths: list[Float[Array, "h w"]],
    ground: Float[Array, "h w"] | None,
    box: tuple[int, int, int, int],
    step: int = 1,
) -> Int8[Array, "h w"]:
    """For or against the object, per pixel of a box of one frame.

    Args:
        seen: the clip's frames.
        scene: its camera path.
        motion: of the object.
        members: (u, v, disparity) of the object's points, per frame in which it is seen.
        frame: of the box.
        depths: guesses of the disparity that the background has at each pixel of the frame, NaN unknown; the one under which a
            pixel's place looks most alike counts.
        ground: disparity that the ground has at each pixel, NaN above the horizon; None unknown.
        box: u0, v0, u1, v1.
        step: pixels between the rows and columns of it that are looked at.

    Returns:
        ``OBJECT``, ``CHANGED``, 0 (cannot be told), ``SHADOW`` or ``BACKGROUND``, in the shape of the box's rows and columns.
    """
    u0, v0, u1, v1 = box
    v, u = np.mgrid[v0:v1:step, u0:u1:step]
    pixel = np.column_stack([u.ravel(), v.ravel()]) + 0.5
    out = np.zeros(len(pixel), np.int8)
    others = _other_frames(scene, motion, members, frame)
    if not others:
        return out.reshape(v.shape)
    colour = seen.images[frame, v0:v1:step, u0:u1:step].reshape(-1, 3).astype(np.float32)
    sigma = seen.sigma[frame, v0:v1:step, u0:u1:step].ravel().astype(np.float32)
    world_from_cam = inverse(scene.cam_from_world)
    still = np.full((len(others), len(pixel)), np.nan, np.float32)
    shaded = np.zeros((len(others), len(pixel)), bool)
    for guess in [*depths, *([] if ground is None else [ground])]:
        disparity = guess[v0:v1:step, u0:u1:step].ravel()
        known = np.flatnonzero(np.isfinite(disparity) & (disparity > 0.2))
        world = transform(world_from_cam[frame], scene.rig.unproject(np.column_stack([pixel[known], disparity[known]])))
        for i, other in enumerate(others):
            at = scene.rig.project(transform(scene.cam_from_world[other], world))[:, :2]
            free = ~_covered(at, members[other])
            found = _colours(seen, other, at)
            error = np.abs(found - colour[known]).max(1) / sigma[known]
            still[i, known] = np.fmin(still[i, known], np.where(free, error, np.nan))
            if guess is ground:
                ratio = colour[known] / np.maximum(found, 1.0)
                dark = (ratio.min(1) > _SHADOW[0]) & (ratio.max(1) < _SHADOW[1]) & (np.ptp(ratio, axis=1) < _SHADOW_HUE)
                shaded[i, known] = dark & free
    own = members[frame][np.isfinite(members[frame][:, 2])]
    moved = np.full((len(others), len(pixel)), np.nan, np.float32)
    if len(own):
        _, nearest = cKDTree(own[:, :2]).query(pixel)
        world = transform(world_from_cam[frame], scene.rig.unproject(np.column_stack([pixel, own[nearest, 2]])))
        carry = motion.world_from_reference()
        back = inverse(carry[frame - motion.first])
        for i, other in enumerate(others):
            there = transform(carry[other - motion.first] @ back, world)
            at = scene.rig.project(transform(scene.cam_from_world[other], there))[:, :2]
            moved[i] = np.abs(_colours(seen, other, at) - colour).max(1) / sigma
    same, other_colour = _second(still), _second(moved)
    out[same > _OTHER] = CHANGED
    out[(same > _OTHER) & (other_colour < _SAME)] = OBJECT
    out[(same > _OTHER) & (2 * shaded.sum(0) > np.isfinite(still).sum(0))] = SHADOW
    # Within the object's own points, what looks the same as before is a plain part of it over another plain part.
    out[(same < _SAME) & ~_covered(pixel, members[frame], 1.0, 0.0)] = BACKGROUND
    return out.reshape(v.shape)


def _second(errors: Float[Array, "f n"]) -> Float[Array, "n"]:
    """The second smallest of each column (the only one where there is one): one frame may agree by chance. NaN if none."""
    ordered = np.sort(errors, axis=0)  # NaN last
    second = ordered[min(1, len(ordered) - 1)]
    return np.where(np.isfinite(second), second, ordered[0])


def _colours(seen: Appearance, frame: int, at: Float[Array, "n 2"]) -> Float[Array, "n 3"]:
    """Colours of places of a frame; NaN outside of it."""
    height, width = seen.images.shape[1:3]
    inside = (at[:, 0] > 1) & (at[:, 1] > 1) & (at[:, 0] < width - 1) & (at[:, 1] < height - 1)
    out = np.full((len(at), 3), np.nan, np.float32)
    index = np.flatnonzero(inside)
    if len(index):
        place = to_opencv(at[index]).astype(np.float32)
        rows = -(-len(place) // 4096)  # remap wants images below 32767 on a side
        grid = np.zeros((rows * 4096, 2), np.float32)
        grid[: len(place)] = place
        found = cv2.remap(seen.images[frame], grid.reshape(rows, 4096, 2), np.zeros(0), cv2.INTER_LINEAR)
        out[index] = found.reshape(-1, 3)[: len(place)]
    return out


def _covered(
    at: Float[Array, "n 2"], members: Float[Array, "m 3"], scale: float = 1.2, margin_px: float = _GROWN_PX
) -> Bool[Array, "n"]:
    """Whether places lie within the convex hull of the object's points in that frame, grown a little."""
    points = members[:, :2].astype(np.float64)
    centre = points.mean(0)
    grown = centre + (points - centre) * scale
    try:
        hull = ConvexHull(grown)
    except (QhullError, ValueError):  # fewer than three points, or all on a line
        low, high = points.min(0) - 2 * margin_px, points.max(0) + 2 * margin_px
        return np.asarray(((at > low) & (at < high)).all(1))
    return np.asarray((at @ hull.equations[:, :2].T + hull.equations[:, 2] < margin_px).all(1))


def _other_frames(scene: Scene, motion: Motion, members: dict[int, Array], frame: int) -> list[int]:
    """Frames at which the object has left its place of ``frame``, wholly or in part: up to two before and two after."""
    points = members.get(frame)
    if points is None or len(points) < 3:
        return []
    size = float(np.linalg.norm(np.ptp(np.quantile(points[:, :2], [0.05, 0.95], axis=0), axis=0))) + 8.0
    world = motion.pivot + motion.shift[frame - motion.first]
    others = np.array([t for t in sorted(members) if len(members[t]) >= 3 and motion.first <= t <= motion.last])
    centre = motion.pivot + motion.shift[others - motion.first]
    cameras = scene.cam_from_world[others]
    now = scene.rig.project(np.einsum("tij,tj->ti", cameras[:, :3, :3], centre) + cameras[:, :3, 3])
    was = scene.rig.project(cameras[:, :3, :3] @ world + cameras[:, :3, 3])
    apart = np.linalg.norm(now[:, :2] - was[:, :2], axis=1)
    found: list[int] = []
    for side in (np.flatnonzero(others < frame)[::-1], np.flatnonzero(others > frame)):
        far = [side[apart[side] > share * size][:1] for share in _LEFT_BY]
        farthest = side[np.argsort(-apart[side], kind="stable")[:1]]
        chosen = np.unique(np.concatenate([*far, farthest])) if len(side) else side
        found.extend(int(others[i]) for i in chosen[np.argsort(-apart[chosen], kind="stable")][:2] if apart[i] > _LEAST_APART_PX)
    return found
