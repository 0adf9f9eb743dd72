"""Annotated objects as bodies in the clip's world: centroid, surface points and doubt per frame, whatever they came from."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from curation.geometry import inverse, transform
from curation.imports.annotation import Annotation, Points, stated
from curation.imports.rigid import rigid_motion
from curation.objects.lift import spread_out
from schemas.camera import Array, Intrinsics
from schemas.config import ImportsConfig

MAX_POINTS = 128
_RIGID_M = 0.02  # points of a body that fit one motion to within this (or three times their own error) are a rigid one
_SAMPLES = 2000
_INDEPENDENT = 4  # points of one body err alike: averaging more of them than this makes nothing surer
# How far the middle of what is seen of a body strays from a fixed point of it, in units of its extent (root of the summed
# variances of its surface): because it shows another side, because part of it is missing compared with the frame that shows most,
# and because something nearer or the picture's border cuts it. Chosen on rendered worlds (docs/backends-depth-poses.md).
_OTHER_SIDE = 0.1
_MISSING = 1.7
_CUT = 1.5
_MAX_CUT = 0.35  # share of the outline; beyond, a frame says nothing
_NEARER = 0.95


@dataclass(frozen=True)
class Body:
    """One object over the measuring frames, clip world, metres. NaN where unknown; fields as in ``ObjectTrack``."""

    number: int
    known: Bool[Array, "t"]
    centroid_m: Float[Array, "t 3"]
    centroid_cov_m2: Float[Array, "t 3 3"]
    points_m: Float[Array, "t m 3"]
    points_sigma_m: Float[Array, "t"]
    num_points: Int[Array, "t"]
    common_sigma_rel: float
    hull_m: Float[Array, "t k 3"]
    """Points whose silhouette outlines the object where it has no mask."""
    made_of: str


def from_points(
    annotation: Annotation, points: Points, number: int, source_index: Int[Array, "t"], world: Float[Array, "4 4"],
    centres_m: Float[Array, "t 3"], config: ImportsConfig,
) -> Body | None:  # fmt: skip
    """The body of all tracks labelled ``number``; ``world`` is clip_from_annotation. None where no two frames can be tied."""
    seen = _dense(points, np.flatnonzero(points.number == number), source_index)
    if seen.shape[1] == 0:
        return None
    seen = transform(world, seen)
    motion = rigid_motion(seen)
    if motion.known.sum() < 2:
        return None
    known, tied = motion.known, np.isfinite(motion.model[:, 0])
    model = motion.model[tied]
    centre = model.mean(0)
    centroid = motion.carried(centre[None])[:, 0]
    range_m = np.linalg.norm(centroid - centres_m, axis=1)
    doubt = annotation.doubt
    sigma = np.hypot(
        stated(doubt.point_sigma_m, config.point_sigma_m), stated(doubt.point_sigma_rel, config.point_sigma_rel) * range_m
    )
    residual = motion.residual_m
    rigid = float(np.nanmedian(residual)) < max(_RIGID_M, 3 * float(np.nanmedian(sigma)))
    # Where limbs swing, the mean of the points seen strays from the mean of all by what is missing of them.
    missing = 1.0 - motion.count / max(int(tied.sum()), 1)
    loose = 0.0 if rigid else np.maximum(residual**2 - sigma**2, 0.0) * np.maximum(missing, 0.0)
    noise = np.maximum(sigma, np.nan_to_num(residual)) if rigid else sigma
    # A body fitted by few of its points turns about them: the lever to its middle carries that turn.
    with np.errstate(invalid="ignore", divide="ignore"):
        middle_seen = np.nansum(seen, axis=1) / np.isfinite(seen[..., :1]).sum(1)
    extent = float(np.sqrt(((model - centre) ** 2).sum(1).mean()))
    lever = np.linalg.norm(centroid - middle_seen, axis=1) / max(extent, 1e-6)
    variance = noise**2 / np.clip(motion.count, 1, _INDEPENDENT) * (1 + lever**2) + loose
    chosen = spread_out(model, MAX_POINTS)
    carried = motion.carried(model[chosen])
    if not rigid:
        own = seen[:, np.flatnonzero(tied)[chosen]]
        carried = np.where(np.isfinite(own), own, carried)
    gap = _gap(model, model[chosen])
    visible_points = np.where(np.isfinite(seen), seen, carried[:, :1])  # hulls need no NaN
    return _body(
        number, known, centroid, variance[:, None, None] * np.eye(3), carried, np.hypot(sigma, 0.25 * gap), motion.count, 0.0,
        visible_points, "points",
    )  # fmt: skip


def from_boxes(
    annotation: Annotation, number: int, source_index: Int[Array, "t"], world: Float[Array, "4 4"], config: ImportsConfig
) -> Body | None:
    """The body of an object's 3D boxes: its centroid is the box's centre, its surface the box's."""
    boxes = annotation.boxes
    assert boxes is not None
    at = {int(boxes.frame[i]): int(i) for i in np.flatnonzero((boxes.number == number) & boxes.clear)}
    rows = np.array([at.get(int(f), -1) for f in source_index])
    known = rows >= 0
    if known.sum() < 2:
        return None
    size = np.median(boxes.size_m[rows[known]], axis=0)
    shape = _box_surface(size)
    poses = np.full((len(rows), 4, 4), np.nan)
    poses[known] = world @ boxes.world_from_object[rows[known]]
    sigma = stated(annotation.doubt.box_sigma_m, config.box_sigma_m)
    surface = np.einsum("tij,kj->tki", poses[:, :3, :3], shape) + poses[:, None, :3, 3]
    total = len(rows)
    covariance = np.tile(np.eye(3) * sigma**2, (total, 1, 1))
    count = np.where(known, len(shape), 0)
    return _body(
        number, known, poses[:, :3, 3], covariance, surface, np.full(total, np.hypot(sigma, 0.05 * float(size.max()))), count,
        0.0, surface, "boxes",
    )  # fmt: skip


def from_depth(
    annotation: Annotation, number: int, source_index: Int[Array, "t"], poses: Float[Array, "t 4 4"], camera: Intrinsics,
    config: ImportsConfig,
) -> Body | None:  # fmt: skip
    """The body of what masks and depth maps show of an object; ``poses`` are clip world_from_camera.

    The middle of a visible surface is no fixed point of a body: its covariance says by how much it may stray.
    """
    assert annotation.mask is not None and annotation.depth_m is not None
    total = len(source_index)
    centroid, covariance = np.full((total, 3), np.nan), np.full((total, 3, 3), np.nan)
    points, sigma = np.full((total, MAX_POINTS, 3), np.nan), np.full(total, np.nan)
    known, count = np.zeros(total, bool), np.zeros(total, int)
    extents, cuts = np.full(total, np.nan), np.zeros(total)
    relative = stated(annotation.doubt.depth_sigma_rel, config.depth_sigma_rel)
    for t, source in enumerate(source_index):
        mask, depth = annotation.mask(int(source)), annotation.depth_m(int(source))
        if mask is None or depth is None:
            continue
        cuts[t] = _cut_share(mask == number, depth)
        if cuts[t] > _MAX_CUT:
            continue
        inside = cv2.erode((mask == number).astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1).astype(bool)
        rows, cols = np.nonzero(inside & np.isfinite(depth))
        if len(rows) < 30:
            continue
        z = depth[rows, cols]
        near, low, high = np.median(z), *np.quantile(z, [0.25, 0.75])
        keep = np.abs(z - near) < 3 * (high - low) + 0.1 * near  # what bleeds over the rim
        rows, cols, z = rows[keep], cols[keep], z[keep]
        scale = camera.width / mask.shape[1]
        local = camera.unproject((np.stack([cols, rows], -1) + 0.5) * scale, z)
        weight = z**2 / (z**2).sum()  # a pixel covers an area that grows with the square of its distance
        placed = transform(poses[t], local)
        centroid[t] = (weight[:, None] * placed).sum(0)
        off = placed - centroid[t]
        spread = (weight[:, None, None] * off[:, :, None] * off[:, None, :]).sum(0)
        extent = np.sqrt(np.trace(spread))
        extents[t] = extent
        step = max(1, len(placed) // _SAMPLES)
        some = placed[::step]
        chosen = spread_out(some, MAX_POINTS)
        points[t, : len(chosen)] = some[chosen]
        sigma[t] = 0.25 * _gap(some, some[chosen]) + 0.02 * extent
        known[t], count[t] = True, len(rows)
    if known.sum() < 2:
        return None
    whole = float(np.nanquantile(extents, 0.9))
    stray = np.sqrt((_OTHER_SIDE * extents) ** 2 + (_MISSING * np.maximum(whole - extents, 0)) ** 2 + (_CUT * whole * cuts) ** 2)
    covariance[known] = np.eye(3) * stray[known, None, None] ** 2
    return _body(number, known, centroid, covariance, points, sigma, count, relative, points, "depth")


def _cut_share(mask: Bool[Array, "h w"], depth: Float[Array, "h w"]) -> float:
    """Share of an object's outline beyond which something nearer stands, or the picture ends."""
    rows, cols = np.nonzero(mask)
    if not len(rows):
        return 1.0
    here = float(np.nanmedian(depth[mask])) if np.isfinite(depth[mask]).any() else np.nan
    kernel = np.ones((5, 5), np.uint8)
    padded, around = np.pad(mask.astype(np.uint8), 2), np.pad(depth, 2, constant_values=-1.0)
    ring = (cv2.dilate(padded, kernel) > 0) & (padded == 0)
    # The ground before an object is nearer too, but hardly: it meets the object's foot.
    return float((around[ring] < _NEARER * here - 0.1).mean())


def clip_from_annotation(annotation: Annotation, source_index: Int[Array, "t"]) -> Float[Array, "4 4"]:
    """The transform from the annotation's world to the clip's: the camera of the clip's first frame."""
    return np.asarray(inverse(annotation.world_from_camera[int(source_index[0])]))


def _body(
    number: int, known: Array, centroid: Array, covariance: Array, points: Array, sigma: Array, count: Array, common: float,
    hull: Array, made_of: str,
) -> Body:  # fmt: skip
    blank = ~known
    centroid, covariance, sigma = centroid.copy(), np.array(covariance), np.array(sigma, float)
    points, hull = points.astype(np.float32), hull.astype(np.float64)
    for array in (centroid, covariance, points, sigma, hull):
        array[blank] = np.nan
    return Body(number, known, centroid, covariance, points, sigma, np.where(known, count, 0), common, hull, made_of)


def _dense(points: Points, tracks: Int[Array, "m"], source_index: Int[Array, "t"]) -> Float[Array, "t m 3"]:
    """World points of some tracks at the measuring frames (NaN: none), of tracks that any of them sees."""
    column = np.full(len(points.number), -1)
    column[tracks] = np.arange(len(tracks))
    row = np.full(int(max(points.frame.max(initial=0), source_index.max())) + 1, -1)
    row[source_index] = np.arange(len(source_index))
    use = (column[points.track] >= 0) & (row[points.frame] >= 0)
    out = np.full((len(source_index), len(tracks), 3), np.nan)
    out[row[points.frame[use]], column[points.track[use]]] = points.xyz_m[use]
    return out[:, np.isfinite(out[..., 0]).any(0)]


def _gap(points: Float[Array, "n 3"], chosen: Float[Array, "m 3"]) -> float:
    """Largest distance of any point to the nearest chosen one."""
    from scipy.spatial import cKDTree

    return float(cKDTree(chosen).query(points)[0].max())


def _box_surface(size: Float[Array, "3"], steps: int = 5) -> Float[Array, "k 3"]:
    """Points spread over the six sides of a box about the origin."""
    line = np.linspace(-0.5, 0.5, steps)
    grid = np.stack(np.meshgrid(line, line, line, indexing="ij"), -1).reshape(-1, 3)
    return grid[(np.abs(grid) == 0.5).any(1)] * size
