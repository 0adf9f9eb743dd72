"""Whether a path, wherever it came from, is the one that the clip's own corners saw.

A reconstruction can be wrong at a low reprojection error: it only counts the points that it kept. Corners followed through
the video are another witness: each must be some point of space, in front of the camera, at rest, seen by every pose of the
path. Scale is nowhere needed, so that a path up to scale, a network's guess and a metric path are all heard in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from curation.cameras import matching
from curation.geometry import inverse
from schemas.camera import Array, Intrinsics

_CORNERS = 400
_EVERY = 3  # frames; new corners are taken up so often
_LONGEST = 24  # frames that a corner is followed; drift makes longer tracks worse witnesses
_SHORTEST = 5
_EXPLAINED_PX = 1.0  # rms of a corner that the path explains (of a frame 640 wide)
_PARALLAX_PX = 3.0  # a corner that turning alone misses by this much (its worst frame) shows where the camera went
_STEPS = 8


@dataclass(frozen=True)
class Corners:
    """Corners followed through a clip.

    Attributes:
        pixels: (N, T, 2), NaN where a corner is not seen.
        camera: of the pictures that the pixels belong to.
    """

    pixels: Float[Array, "n t 2"]
    camera: Intrinsics


@dataclass(frozen=True)
class Testimony:
    """What the corners say about a path.

    Attributes:
        explained: (N,) the path explains the corner as a point at rest.
        parallax: (N,) turning alone does not: the corner tells something about where the camera went.
        error_px: (N,) rms over the frames that saw the corner, pixels of a frame 640 wide.
        share: (T,) share of the corners with parallax, seen in a frame, that the path explains; NaN where there are none.
        heard: (T,) number of corners with parallax seen in a frame.
    """

    explained: Bool[Array, "n"]
    parallax: Bool[Array, "n"]
    error_px: Float[Array, "n"]
    share: Float[Array, "t"]
    heard: Float[Array, "t"]


def follow_corners(images: list[matching.Gray], camera: Intrinsics) -> Corners:
    """Follow corners through the frames, new ones all along the clip, spread over the picture."""
    total = len(images)
    tracks: list[Array] = []
    alive: list[tuple[int, int]] = []  # (index of the track, frame that it began in)
    for t in range(total):
        if t:
            alive = [(k, start) for k, start in alive if t - start < _LONGEST]
            here = np.stack([tracks[k][t - 1] for k, _ in alive]) if alive else np.zeros((0, 2))
            found, ok = matching.track(images[t - 1], images[t], here)
            for (k, _), place in zip(alive, found, strict=True):
                tracks[k][t] = place
            alive = [track for track, kept in zip(alive, ok, strict=True) if kept]
        if t % _EVERY == 0 and t < total - 1:
            held = np.stack([tracks[k][t] for k, _ in alive]) if alive else np.zeros((0, 2))
            for place in matching.detect_corners(images[t], _CORNERS - len(held), held):
                track = np.full((total, 2), np.nan)
                track[t] = place
                alive.append((len(tracks), t))
                tracks.append(track)
    pixels = np.stack(tracks) if tracks else np.zeros((0, total, 2))
    seen = np.isfinite(pixels[..., 0]).sum(axis=1)
    return Corners(pixels[seen >= min(_SHORTEST, total)], camera)


def hear(corners: Corners, world_from_camera: Float[Array, "t 4 4"]) -> Testimony:
    """Explain every corner by the best point in front of the camera, the path being given."""
    camera, pixels = corners.camera, corners.pixels
    scale = camera.width / 640
    fitted, turned = (_fitted(corners, world_from_camera, far).misfit_px / scale for far in (False, True))
    seen = np.isfinite(pixels[..., 0])
    count = np.maximum(seen.sum(axis=1), 1)
    error = np.sqrt(np.nansum(fitted**2, axis=1) / count)
    parallax = np.nanmax(np.where(seen, turned, 0.0), axis=1, initial=0.0) >= _PARALLAX_PX
    explained = error < _EXPLAINED_PX
    heard = (seen & parallax[:, None]).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (seen & (parallax & explained)[:, None]).sum(axis=0) / heard
    return Testimony(explained, parallax, error, share, heard.astype(float))


def depth_at_corners(
    corners: Corners, world_from_camera: Float[Array, "t 4 4"], use: Bool[Array, "n"]
) -> tuple[list[Float[Array, "k 2"]], list[Float[Array, "k"]]]:
    """Per frame: where it sees the corners ``use``, and their depth along +Z in the units of the path; far ones are left out."""
    chosen = Corners(corners.pixels[use], corners.camera)
    fit = _fitted(chosen, world_from_camera, far=False)
    near = fit.point[:, 2] > 1e-3  # of the track's own baseline: farther than a thousand of them is no measurement
    with np.errstate(divide="ignore"):
        depth = np.where(near[:, None], fit.reach[:, None] * fit.ahead / fit.point[:, 2:], np.nan)
    known = np.isfinite(chosen.pixels[..., 0]) & np.isfinite(depth) & (depth > 0)
    rows = [np.flatnonzero(known[:, t]) for t in range(known.shape[1])]
    return [chosen.pixels[row, t] for t, row in enumerate(rows)], [depth[row, t] for t, row in enumerate(rows)]


@dataclass(frozen=True)
class _Fit:
    """The best point of each corner: (x, y, q), q in 1 / ``reach``; ``ahead`` (N, T) is its depth times q in each frame."""

    misfit_px: Array
    point: Array
    reach: Array
    ahead: Array


def _fitted(corners: Corners, world_from_camera: Array, far: bool) -> _Fit:
    """Where a corner is expected, and how far from there it was seen (N, T); NaN where it is not seen.

    A point is (x, y, q) in the camera that saw the corner in the middle of its track: its ray and its inverse depth, which
    may be zero (``far``: is) but never negative. A path turned about, or mirrored, has its points behind the camera.
    """
    camera, pixels = corners.camera, corners.pixels
    focal = np.array([camera.fx, camera.fy])
    rays = (pixels - [camera.cx, camera.cy]) / focal
    seen = np.isfinite(rays[..., 0])
    anchor, rows = middle(seen), np.arange(len(pixels))
    relative = inverse(world_from_camera)[None] @ world_from_camera[anchor][:, None]  # (N, T, 4, 4) camera_from_anchor
    turn, shift = relative[..., :3, :3], relative[..., :3, 3]
    reach = np.maximum(np.abs(shift).max(axis=(1, 2), initial=0.0), 1e-12)
    shift = shift / reach[:, None, None]  # inverse depth in units of the track's own baseline
    point = np.concatenate([rays[rows, anchor], np.zeros((len(rows), 1))], axis=1)
    damping = np.full(len(rows), 1e-3)
    residual, jacobian, ahead = _residual(point, turn, shift, rays)
    weight = _weights(residual, seen, camera)
    for _ in range(_STEPS if len(rows) else 0):
        free = jacobian[..., :2] if far else jacobian
        normal = np.einsum("ntki,ntkj,nt->nij", free, free, weight)
        gradient = np.einsum("ntki,ntk,nt->ni", free, residual, weight)
        unit = np.eye(free.shape[-1])
        normal += damping[:, None, None] * (normal * unit) + 1e-12 * unit
        step = np.linalg.solve(normal, gradient[..., None])[..., 0]
        trial = point.copy()
        trial[:, : step.shape[1]] -= step
        trial[:, 2] = np.maximum(trial[:, 2], 0.0)
        tried, by, before = _residual(trial, turn, shift, rays)
        better = _cost(tried, seen, camera) < _cost(residual, seen, camera)
        point = np.where(better[:, None], trial, point)
        residual = np.where(better[:, None, None], tried, residual)
        jacobian = np.where(better[:, None, None, None], by, jacobian)
        ahead = np.where(better[:, None], before, ahead)
        weight = _weights(residual, seen, camera)
        damping = np.where(better, damping / 5, damping * 8)
    return _Fit(np.where(seen, np.linalg.norm(residual * focal, axis=-1), np.nan), point, reach, ahead)


def middle(seen: Bool[Array, "n t"]) -> Array:
    """(N,) the frame in the middle of those that see a corner."""
    rank = np.cumsum(seen, axis=1)
    return np.asarray(np.argmax(rank >= (rank[:, -1:] + 1) // 2, axis=1))


def _residual(point: Array, turn: Array, shift: Array, rays: Array) -> tuple[Array, Array, Array]:
    """(N, T, 2) expected minus seen at depth 1, its derivative by (x, y, q), both 0 where unseen; (N, T) depth times q."""
    ray = np.concatenate([point[:, :2], np.ones((len(point), 1))], axis=1)
    place = np.einsum("ntij,nj->nti", turn, ray) + shift * point[:, None, 2:]
    behind = place[..., 2] < 1e-3
    depth = np.where(behind, 1e-3, place[..., 2])
    expected = place[..., :2] / depth[..., None]
    by = np.concatenate([turn[..., :2], shift[..., None]], axis=-1)  # d place / d (x, y, q)
    jacobian = (by[..., :2, :] - expected[..., None] * by[..., 2:, :]) / depth[..., None, None]
    known = np.isfinite(rays[..., 0])
    residual = np.where(known[..., None], np.clip(expected - np.nan_to_num(rays), -3.0, 3.0), 0.0)
    return residual, np.where(known[..., None, None], jacobian, 0.0), place[..., 2]


def _weights(residual: Array, seen: Array, camera: Intrinsics) -> Array:
    """Huber's, with a knee of one pixel of a frame 640 wide."""
    size = np.linalg.norm(residual, axis=-1) * camera.fx / (camera.width / 640)
    return np.asarray(seen / np.maximum(size, 1.0))


def _cost(residual: Array, seen: Array, camera: Intrinsics) -> Array:
    size = np.linalg.norm(residual, axis=-1) * camera.fx / (camera.width / 640)
    return np.asarray((seen * np.where(size < 1, size**2 / 2, size - 0.5)).sum(axis=1))
