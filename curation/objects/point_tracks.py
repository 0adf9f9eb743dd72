"""Long point tracks of a stereo clip: where a point of the left image goes, and its disparity at every frame.

Dense optical flow says roughly where a grid of points goes; Lucas-Kanade with a small window (large ones bleed over the
edges of what moves) makes it exact, forward and back, and a point that does not return ends. Empty grid cells start new
points on their best textured pixel. Pixels are COLMAP's (``curation.geometry``), disparities left minus right, pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from curation.cameras.matching import match_right, track
from curation.geometry import to_opencv
from schemas.camera import Array

_STEREO_WINDOW_PX = 11
_REFINE_WINDOW_PX = 9
_MAX_CORRECTION_PX = 3.0


@dataclass(frozen=True)
class PointTracks:
    """Tracks in a flat layout: the observations of track k are the rows ``first[k] : first[k] + length[k]``, one per frame.

    Attributes:
        uvd: (K, 3) float32 pixel (u, v) in the left image and disparity; disparity NaN where stereo matching failed.
        frame: (K,) frame of each observation; consecutive within a track.
        track: (K,) track of each observation.
        texture: (K,) float32 smaller eigenvalue of the structure tensor at the point (grey levels squared per pixel).
        first, length: (N,) slices of the tracks.
    """

    uvd: Float[Array, "k 3"]
    frame: Int[Array, "k"]
    track: Int[Array, "k"]
    texture: Float[Array, "k"]
    first: Int[Array, "n"]
    length: Int[Array, "n"]

    @property
    def count(self) -> int:
        """Number of tracks."""
        return len(self.first)

    def subset(self, keep: Int[Array, "m"]) -> PointTracks:
        """Only the tracks ``keep``, in that order, renumbered from 0."""
        length = self.length[keep]
        rows = np.repeat(self.first[keep] - np.concatenate([[0], np.cumsum(length)[:-1]]), length) + np.arange(length.sum())
        first = np.concatenate([[0], np.cumsum(length)[:-1]]).astype(np.int64)
        track = np.repeat(np.arange(len(keep)), length)
        return PointTracks(self.uvd[rows], self.frame[rows], track, self.texture[rows], first, length)

    def span(self, i: int, j: int) -> PointTracks:
        """The tracks i up to j, not included, renumbered from 0: views, no copies of the observations."""
        a, b = (int(self.first[i]), int(self.first[j - 1] + self.length[j - 1])) if j > i else (0, 0)
        rows = slice(a, b)
        first = self.first[i:j] - a
        return PointTracks(self.uvd[rows], self.frame[rows], self.track[rows] - i, self.texture[rows], first, self.length[i:j])

    def where(self, good: Array) -> PointTracks:
        """Observations ``good`` (K,) only; what is left of a track is its longest run of consecutive good frames."""
        padded = np.concatenate([[False], good, [False]])
        same = np.concatenate([[False], np.diff(self.track) == 0, [False]])
        begin = np.flatnonzero(padded[1:-1] & ~(padded[:-2] & same[:-1]))
        end = np.flatnonzero(padded[1:-1] & ~(padded[2:] & same[1:]))
        owner, run = self.track[begin], end - begin + 1
        order = np.lexsort((begin, -run, owner))
        best = order[np.concatenate([[True], np.diff(owner[order]) != 0])] if len(order) else order
        rows_first, length = begin[best], run[best]
        new_first = np.concatenate([[0], np.cumsum(length)[:-1]]).astype(np.int64) if len(best) else np.zeros(0, np.int64)
        rows = np.repeat(rows_first - new_first, length) + np.arange(length.sum())
        track = np.repeat(np.arange(len(best)), length)
        return PointTracks(self.uvd[rows], self.frame[rows], track, self.texture[rows], new_first, length)


def gray(images: UInt8[Array, "t h w 3"]) -> UInt8[Array, "t h w"]:
    """Grey levels of RGB frames."""
    return np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images])


def sample(image: Float[Array, "h w *c"], pixels: Float[Array, "n 2"]) -> Float[Array, "n *c"]:
    """Bilinear samples of a float32 image at pixels (COLMAP convention); the border value continues outside."""
    at = to_opencv(pixels).astype(np.float32)
    if len(at) == 0:
        return np.zeros((0, *image.shape[2:]), np.float32)
    width = 8192  # remap wants images below 32767 on a side
    rows = -(-len(at) // width)
    grid = np.zeros((rows * width, 2), np.float32)
    grid[: len(at)] = at
    out = cv2.remap(image, grid.reshape(rows, width, 2), np.zeros(0), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return out.reshape(rows * width, *image.shape[2:])[: len(at)]


def _inside(pixels: Array, shape: tuple[int, int], border: float) -> Array:
    height, width = shape
    u, v = pixels[:, 0], pixels[:, 1]
    return (u > border) & (v > border) & (u < width - border) & (v < height - border)


def _uncrowded(points: Array, alive: Array, step: int, width: int) -> Array:
    """Whether a point is among the two oldest of its grid cell (points are ordered by age)."""
    cell = (points[:, 1] // step).astype(np.int64) * (width // step + 1) + (points[:, 0] // step).astype(np.int64)
    cell[~alive] = -1 - np.flatnonzero(~alive)
    order = np.argsort(cell, kind="stable")
    ranked = cell[order]
    third = np.concatenate([[False, False], ranked[2:] == ranked[:-2]])[: len(ranked)]
    out = np.ones(len(points), bool)
    out[order[third]] = False
    return out


def _new_points(texture: Array, live: Array, step: int, least: float, border: float) -> Array:
    """The best textured pixel of every grid cell that holds no live point."""
    height, width = texture.shape[0] // step * step, texture.shape[1] // step * step
    rows, cols = height // step, width // step
    cells = texture[:height, :width].reshape(rows, step, cols, step).transpose(0, 2, 1, 3).reshape(rows * cols, step * step)
    best = cells.argmax(1)
    strong = cells[np.arange(len(cells)), best] > least
    taken = np.zeros(rows * cols, bool)
    if len(live):
        cell = np.minimum(live[:, 1] // step, rows - 1).astype(int) * cols + np.minimum(live[:, 0] // step, cols - 1).astype(int)
        taken[cell] = True
    index = np.flatnonzero(strong & ~taken)
    u = index % cols * step + best[index] % step + 0.5
    v = index // cols * step + best[index] // step + 0.5
    points = np.stack([u, v], -1).astype(np.float32)
    return points[_inside(points, texture.shape, border)]


def track_points(
    left: UInt8[Array, "t h w"],
    right: UInt8[Array, "t h w"],
    coarse_disparity: Float[Array, "t h w"],
    flow: Any,
    *,
    step: int,
    least_texture: float,
    max_round_trip_px: float,
) -> PointTracks:
    """Tracks of textured points through a clip.

    Args:
        left: grey frames of the left eye.
        right: of the right eye.
        coarse_disparity: a guess of the disparity at every pixel (any scale: it is sampled by relative position), NaN unknown.
        flow: function (frame a, frame b) -> (H, W, 2) float32 flow from a to b.
        step: grid spacing, pixels.
        least_texture: smallest structure-tensor eigenvalue of a point.
        max_round_trip_px: a point that comes back farther than this from its start ends.

    Returns:
        All tracks of at least two frames.
    """
    frames, height, width = left.shape
    border = 6.0
    scale = np.array([coarse_disparity.shape[2] / width, coarse_disparity.shape[1] / height], np.float32)
    live, identity, next_id = np.zeros((0, 2), np.float32), np.zeros(0, np.int64), 0
    previous_d = np.zeros(0, np.float32)
    columns: list[tuple[Array, Array, Array, Array]] = []
    for t in range(frames):
        texture = cv2.cornerMinEigenVal(left[t], 5) * 255.0**2
        if t:
            guess = live + sample(flow(t - 1, t), live)
            there, good = track(
                left[t - 1], left[t], live, guess, max_return_px=max_round_trip_px, window_px=_REFINE_WINDOW_PX, levels=0
            )
            there = np.where(good[:, None], there, guess).astype(np.float32)
            good &= np.linalg.norm(there - guess, axis=1) < _MAX_CORRECTION_PX
            good &= _inside(there, (height, width), border) & (sample(texture, there) > 0.5 * least_texture)
            good &= _uncrowded(there, good, step, width)
            live, identity, previous_d = there[good], identity[good], previous_d[good]
        if t < frames - 1 or frames == 1:
            fresh = _new_points(texture, live, step, least_texture, border)
            live = np.concatenate([live, fresh])
            identity = np.concatenate([identity, next_id + np.arange(len(fresh))])
            previous_d = np.concatenate([previous_d, np.full(len(fresh), np.nan, np.float32)])
            next_id += len(fresh)
        nearest = np.minimum(live * scale, np.array(coarse_disparity.shape[:0:-1]) - 1).astype(int)
        hint = coarse_disparity[t, nearest[:, 1], nearest[:, 0]]
        guess_d = np.where(np.isfinite(hint), hint, previous_d)
        found_d, _ = match_right(left[t], right[t], live, guess_d, window_px=_STEREO_WINDOW_PX, levels=0)
        far_off = np.abs(np.nan_to_num(found_d) - guess_d) > np.maximum(2.0, 0.1 * guess_d)
        previous_d = np.where(far_off, np.nan, found_d).astype(np.float32)
        columns.append((identity, np.full(len(live), t), np.column_stack([live, previous_d]), sample(texture, live)))
    return _flatten(columns)


def _flatten(columns: list[tuple[Array, Array, Array, Array]]) -> PointTracks:
    identity, frame, uvd, texture = (np.concatenate([column[i] for column in columns]) for i in range(4))
    order = np.lexsort((frame, identity))
    identity, frame, uvd, texture = identity[order], frame[order], uvd[order].astype(np.float32), texture[order]
    count = np.bincount(identity)
    keep = count[identity] >= 2
    track = np.cumsum(np.concatenate([[0], np.diff(identity[keep]) != 0])) if keep.any() else np.zeros(0, np.int64)
    length = np.bincount(track) if len(track) else np.zeros(0, np.int64)
    first = np.concatenate([[0], np.cumsum(length)[:-1]]).astype(np.int64) if len(length) else np.zeros(0, np.int64)
    return PointTracks(uvd[keep], frame[keep], track, texture[keep].astype(np.float32), first, length)
