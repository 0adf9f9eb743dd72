"""From a group of tracks and its motion to the published track: centroids, covariance, surface points, visibility."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from curation.geometry import transform, vector_from_rotation
from curation.objects.grouping import Group, Scene, fit_subset, spread_members
from schemas.camera import Array

MAX_POINTS = 64
# Of the bundle adjustment's own sigma, and of how far the object's sides disagree. Chosen on 25 tracks of nine rendered worlds
# (tuning seeds): 0.83 / 0.97 of the displacement errors within 1 / 2 sigma, no track with 0.9 of its own beyond 2.5.
_FORMAL, _SIDES = 0.7, 0.8
_SIDE_POINTS = 60
_LEAST_SIDE = 8
_TURN_SHARE = 0.03
_FLOOR_M = 0.004
_RELATIVE = 0.005
_SYSTEMATIC_PX = 0.02
_STILL_M_S = 0.08
_CERTAIN = 0.7  # quantile of the points' sigma
_NEIGHBOURS, _ABOUT = 3, 0.15  # within this share of the object's size
_NEAREST = 0.3  # share of the points


@dataclass(frozen=True)
class Model:
    """An object's surface: points in the world of its motion's reference frame.

    Attributes:
        points: (M, 3); sigma_m: (M,) uncertainty along the line of sight; owner: (M,) index into the group's members.
        centre: (3,) mean of the surface, thinned to even density; size_m: its extent (largest axis).
    """

    points: Float[Array, "m 3"]
    sigma_m: Float[Array, "m"]
    owner: Int[Array, "m"]
    centre: Float[Array, "3"]
    size_m: float


def surface(points: Float[Array, "n 3"], covariance: Float[Array, "n 3 3"], depth_m: float) -> Model | None:
    """A model of triangulated points, without those that are uncertain or stray.

    Returns:
        The model, or None where fewer than six points are left.
    """
    spread = np.sqrt(np.maximum(np.linalg.eigvalsh(np.nan_to_num(covariance, nan=1e6))[:, -1], 0.0))
    good = np.isfinite(points).all(1) & (spread < max(0.1, 0.03 * depth_m))
    if good.sum() < 6:
        return None
    index = np.flatnonzero(good)
    for _ in range(2):
        middle = np.median(points[index], axis=0)
        distance = np.linalg.norm(points[index] - middle, axis=1)
        index = index[distance < 3.0 * np.median(distance) + 0.05]
    if len(index) < 6:
        return None
    chosen = points[index]
    low, high = np.quantile(chosen, [0.03, 0.97], axis=0)
    size = float(max(high - low))
    cell = np.floor((chosen - low) / max(size / 10, 0.02)).astype(np.int64)
    _, voxel = np.unique(cell, axis=0, return_inverse=True)
    count = np.bincount(voxel.ravel())
    means = np.stack([np.bincount(voxel.ravel(), chosen[:, axis]) / count for axis in range(3)], -1)
    return Model(chosen, spread[index], index, means.mean(0), size)


def firm(model: Model) -> Bool[Array, "m"]:
    """Points to tell the nearest from: certain ones, with others about them. The least of many noisy ranges is too near."""
    certain = model.sigma_m <= np.quantile(model.sigma_m, _CERTAIN)
    index = np.flatnonzero(certain)
    count = min(_NEIGHBOURS + 1, len(index))
    farthest = cKDTree(model.points[index]).query(model.points[index], k=[count])[0][:, 0]
    certain[index] = farthest <= max(_ABOUT * model.size_m, float(np.median(farthest)))
    return np.asarray(certain)


def near_gap_m(points: Float[Array, "f m 3"], centers: Float[Array, "f 3"]) -> Float[Array, "f"]:
    """The largest empty stretch of range among the nearest part of the points, seen from each frame's camera, metres."""
    distance = np.sort(np.linalg.norm(points - centers[:, None], axis=-1), axis=1)
    near = distance[:, : max(3, int(np.ceil(_NEAREST * points.shape[1])))]
    return np.asarray(np.diff(near, axis=1).max(1)) if near.shape[1] > 1 else np.zeros(len(points))


def spread_out(points: Float[Array, "n 3"], count: int) -> Int[Array, "m"]:
    """Indices of at most ``count`` points that cover the set: each is the farthest from those before it."""
    chosen = [int(np.argmin(((points - points.mean(0)) ** 2).sum(1)))]
    distance = ((points - points[chosen[0]]) ** 2).sum(1)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(1))
    return np.array(chosen)


def carried(group: Group, points: Float[Array, "m 3"]) -> Float[Array, "f m 3"]:
    """Model points at each frame of the motion, world."""
    return transform(group.fit.motion.world_from_reference()[:, None], points[None])


def disagreement(scene: Scene, group: Group) -> Float[Array, "f 3 3"]:
    """How differently the sides of an object (left, right, upper, lower half of its points) move from the whole, per frame.

    Formal covariances know nothing of points that slide along an outline, of limbs, or of a wrong disparity on one side; sides
    that were fitted apart do. Mean outer product of the differences at each side's own middle, m^2, world axes, over five frames.
    """
    motion = group.fit.motion
    tracks = scene.tracks.subset(group.members)
    middle = tracks.first + tracks.length // 2
    at = np.clip(tracks.frame[middle], motion.first, motion.last)
    centre = motion.pivot + motion.shift[at - motion.first]
    camera = scene.cam_from_world[at]
    aside = tracks.uvd[middle] - scene.rig.project(np.einsum("nij,nj->ni", camera[:, :3, :3], centre) + camera[:, :3, 3])
    total, sides = np.zeros((motion.count, 3, 3)), 0
    carry = motion.world_from_reference()
    for axis in range(2):
        below = aside[:, axis] <= np.median(aside[:, axis])
        for side in (below, ~below):
            if side.sum() < _LEAST_SIDE:
                continue
            members = spread_members(group.members[side], scene.tracks, _SIDE_POINTS)
            fit = fit_subset(scene, members, group.fit, np.zeros(0), 0, 0, 4)
            place = np.broadcast_to(np.nanmedian(fit.points, axis=0), (motion.count, 3))
            apart = transform(fit.motion.world_from_reference(), place) - transform(carry, place)
            total += apart[:, :, None] * apart[:, None, :]
            sides += 1
    mean = np.pad(total / max(sides, 1), ((2, 2), (0, 0), (0, 0)), mode="edge")
    return np.asarray(sum(w * mean[k : k + motion.count] for k, w in enumerate((1 / 9, 2 / 9, 3 / 9, 2 / 9, 1 / 9))))


def centroid_covariance(scene: Scene, group: Group, model: Model, centroids: Float[Array, "f 3"]) -> Float[Array, "f 3 3"]:
    """Calibrated covariance of each centroid relative to the object's place at the reference frame, world axes.

    The bundle adjustment's own covariance, how far the object's sides disagree, the turn it may have missed, a relative share
    of the distance travelled, and what a systematic disparity error does far away.
    """
    motion = group.fit.motion
    sides = disagreement(scene, group)
    # Half of it counts in every direction: four sides show the size of an error better than its direction.
    sides = 0.5 * sides + 0.5 * np.trace(sides, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
    turn = np.linalg.norm(vector_from_rotation(motion.rotation), axis=1)
    travelled = np.linalg.norm(motion.shift, axis=1)
    plain = _FLOOR_M**2 + (_RELATIVE * travelled) ** 2 + (_TURN_SHARE * np.minimum(turn, 1.5) * model.size_m) ** 2
    out = _FORMAL**2 * motion.covariance[:, :3, :3] + _SIDES**2 * sides + plain[:, None, None] * np.eye(3)
    cameras = scene.cam_from_world[motion.first : motion.last + 1]
    local = np.einsum("fij,fj->fi", cameras[:, :3, :3], centroids) + cameras[:, :3, 3]
    ray = np.einsum("fji,fj->fi", cameras[:, :3, :3], local / np.maximum(np.linalg.norm(local, axis=1, keepdims=True), 1e-6))
    depth_error = local[:, 2] ** 2 / scene.rig.fb * _SYSTEMATIC_PX * np.minimum(1.0, travelled / model.size_m)
    return np.asarray(out + depth_error[:, None, None] ** 2 * ray[:, :, None] * ray[:, None, :])


def moves(scene: Scene, group: Group) -> Bool[Array, "f"]:
    """Whether the object moves at each frame: its speed over half a second is more than noise and more than a crawl."""
    motion = group.fit.motion
    reach = max(1, round(0.25 / scene.dt_s))
    index = np.arange(motion.count)
    low, high = np.maximum(index - reach, 0), np.minimum(index + reach, motion.count - 1)
    step = np.linalg.norm(motion.shift[high] - motion.shift[low], axis=1)
    seconds = np.maximum(high - low, 1) * scene.dt_s
    formal = np.sqrt(np.maximum(np.trace(motion.covariance[:, :3, :3], axis1=1, axis2=2) / 3, 0.0))
    return step > np.maximum(_STILL_M_S * seconds, np.minimum(formal[low], formal[high]))


def support(scene: Scene, group: Group, member_rows: Int[Array, "k"]) -> tuple[Int[Array, "f"], Int[Array, "f"]]:
    """Per frame of the motion, how many members are observed, and how many of them were at the frame before too."""
    motion = group.fit.motion
    frame, track = scene.tracks.frame[member_rows], scene.tracks.track[member_rows]
    seen = np.zeros((motion.count, scene.tracks.count), bool)
    inside = (frame >= motion.first) & (frame <= motion.last)
    seen[frame[inside] - motion.first, track[inside]] = True
    shared = np.concatenate([[0], (seen[1:] & seen[:-1]).sum(1)])
    return seen.sum(1), shared
