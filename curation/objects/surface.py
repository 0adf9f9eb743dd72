"""Points that lie on a surface which stands still: shadows, reflections and whatever flow drags along an edge.

A shadow's border moves with its object, and its pixels do too; what gives it away is that it lies on the ground. On a plane
disparity is an affine function of the pixel, so the still tracks around a point say what its disparity would be there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from curation.objects.grouping import Scene
from schemas.camera import Array

_REACH_PX = 45.0
_REACH_LOG_DISPARITY = 0.12
_NEIGHBOURS = 14
_LEAST_NEIGHBOURS = 6
_TOLERANCE_PX = 0.2
_TOLERANCE_SHARE = 0.012
_TILTS_DEG = (8.0, 16.0)
_AZIMUTHS = np.arange(8) * np.pi / 4


def surface_gap(
    scene: Scene, still: Bool[Array, "n"], frame: int, uvd: Float[Array, "m 3"]
) -> tuple[Float[Array, "m"], Float[Array, "m"]]:
    """How far points are from the still surface around them, in disparity, and how far they may be to count as on it.

    Args:
        scene: the clip.
        still: tracks that stand still.
        frame: clip frame.
        uvd: points seen at that frame.

    Returns:
        (M,) |disparity - surface's disparity| (inf where no still surface of that depth is near) and (M,) tolerance, pixels.
    """
    gap, tolerance = np.full(len(uvd), np.inf), np.full(len(uvd), _TOLERANCE_PX)
    rows = scene.rows_at[frame]
    rows = rows[still[scene.tracks.track[rows]]]
    around = scene.tracks.uvd[rows].astype(float)
    around = around[np.isfinite(around[:, 2]) & (around[:, 2] > 0.3)]
    index = np.flatnonzero(np.isfinite(uvd[:, 2]) & (uvd[:, 2] > 0.3))
    if len(around) < _LEAST_NEIGHBOURS or not len(index):
        return gap, tolerance
    points = uvd[index].astype(float)
    scale = np.array([_REACH_PX, _REACH_PX, 1.0])
    # Nearby in depth means by the ratio, or within what matching noise allows where disparities are small.
    reach = np.maximum(_REACH_LOG_DISPARITY * points[:, 2], 0.6)
    tree = cKDTree(around[:, :2] / scale[:2])
    distance, found = tree.query(points[:, :2] / scale[:2], k=3 * _NEIGHBOURS, distance_upper_bound=1.0)
    known = np.isfinite(distance)
    known[known] = np.abs(around[found[known], 2] - np.repeat(points[:, 2], known.sum(1))) < np.repeat(reach, known.sum(1))
    nearest = np.argsort(~known, axis=1, kind="stable")[:, :_NEIGHBOURS]  # those of the right depth, nearest first
    known, found, distance = (np.take_along_axis(values, nearest, axis=1) for values in (known, found, distance))
    offset = around[np.where(known, found, 0)] - points[:, None]
    falloff = np.exp(-2 * np.where(known, distance, 0.0) ** 2)
    weight = np.where(known, falloff, 0.0)
    design = np.stack([np.ones_like(weight), offset[..., 0] / _REACH_PX, offset[..., 1] / _REACH_PX], -1)
    answer = np.zeros((len(points), 3))
    for _ in range(3):
        weighted = np.swapaxes(design * weight[..., None], 1, 2)
        normal = weighted @ design + np.diag([1e-6, 2e-2, 2e-2])
        answer = np.linalg.solve(normal, weighted @ offset[..., 2:])[..., 0]
        residual = np.abs(offset[..., 2] - (design @ answer[..., None])[..., 0])
        weight = np.where(known, falloff / (1 + (residual / 0.2) ** 2), 0.0)
    enough = (known.sum(1) >= _LEAST_NEIGHBOURS) & ((known & (residual < 0.3)).sum(1) >= _LEAST_NEIGHBOURS)
    gap[index] = np.where(enough, np.abs(answer[:, 0]), np.inf)
    tolerance[index] = _TOLERANCE_PX + _TOLERANCE_SHARE * points[:, 2]
    return gap, tolerance


def on_surface_share(
    scene: Scene, still: Bool[Array, "n"], members: Int[Array, "m"], at: Bool[Array, "t"]
) -> tuple[Float[Array, "m"], Int[Array, "m"]]:
    """Share of a track's tested frames at which it lies on a still surface, and the number tested.

    Args:
        scene: the clip.
        still: tracks that stand still.
        members: tracks to test.
        at: frames to test at.
    """
    slot = np.full(scene.tracks.count, -1)
    slot[members] = np.arange(len(members))
    on, tested = np.zeros(len(members)), np.zeros(len(members), int)
    for frame in np.flatnonzero(at):
        rows = scene.rows_at[frame]
        rows = rows[slot[scene.tracks.track[rows]] >= 0]
        uvd = scene.tracks.uvd[rows]
        rows, uvd = rows[np.isfinite(uvd[:, 2])], uvd[np.isfinite(uvd[:, 2])]
        if not len(rows):
            continue
        gap, tolerance = surface_gap(scene, still, int(frame), uvd)
        who = slot[scene.tracks.track[rows]]
        on[who] += gap < tolerance
        tested[who] += 1
    return on / np.maximum(tested, 1), tested


def mean_up(cam_from_world: Float[Array, "t 4 4"]) -> Float[Array, "3"]:
    """Unit vector of the world that is up for the cameras, on average: all that is known of up where no ground was found."""
    up = -np.linalg.inv(cam_from_world)[:, :3, 1].mean(0)
    return np.asarray(up / np.linalg.norm(up))


def thickness_m(points: Float[Array, "n 3"], covariance: Float[Array, "n 3 3"], cam_from_world: Float[Array, "t 4 4"]) -> float:
    """How thick a cloud is across the most favourable of the planes that may be level: a shadow has no thickness.

    Nothing says which way is up but the cameras, whose mean up is within some degrees of it.

    Args:
        points: world points of one rigid thing, in the world of one moment.
        covariance: theirs.
        cam_from_world: of all frames.

    Returns:
        Distance between the 10 % and the 90 % quantile, less what noise adds to it, metres; inf where too few are certain.
    """
    certain = np.isfinite(points).all(1) & np.isfinite(covariance).all((1, 2))
    if certain.sum() < 6:
        return float("inf")
    spread = np.trace(covariance[certain], axis1=1, axis2=2)
    kept = np.flatnonzero(certain)[spread <= np.quantile(spread, 0.8)]
    cloud, covariance = points[kept], covariance[kept]
    up = mean_up(cam_from_world)
    across = np.linalg.svd(up[None])[2][1:]
    tilts = [np.zeros(2)] + [np.tan(np.radians(a)) * np.array([np.cos(b), np.sin(b)]) for a in _TILTS_DEG for b in _AZIMUTHS]
    best = np.inf
    for tilt in tilts:
        normal = up + tilt @ across
        normal /= np.linalg.norm(normal)
        low, high = np.quantile(cloud @ normal, [0.1, 0.9])
        noise = float(np.median(np.sqrt(np.einsum("i,nij,j->n", normal, covariance, normal))))
        best = min(best, float(high - low) - 2.0 * noise)
    return best


@dataclass(frozen=True)
class Ground:
    """The plane that things stand on: ``normal . x + offset_m`` is the height of a world point over it, metres."""

    normal: Float[Array, "3"]
    offset_m: float

    def height_m(self, points: Float[Array, "*n 3"]) -> Float[Array, "*n"]:
        """Height over the ground of world points."""
        return points @ self.normal + self.offset_m


def find_ground(
    points: Float[Array, "n 3"], covariance: Float[Array, "n 3 3"], cam_from_world: Float[Array, "t 4 4"], seed: int
) -> Ground | None:
    """The ground under a clip, from the points that stand still; None where no plane below the cameras has enough of them.

    Args:
        points: still points, world.
        covariance: theirs.
        cam_from_world: of all frames; the ground's normal is within 45 degrees of the cameras' up, and it is below them.
        seed: of the random samples.
    """
    sigma = np.sqrt(np.maximum(np.einsum("nii->n", np.nan_to_num(covariance, nan=1e6)), 0.0))
    good = np.isfinite(points).all(1) & (sigma < 0.3)
    world_from_cam = np.linalg.inv(cam_from_world)
    centres, up = world_from_cam[:, :3, 3], -world_from_cam[:, :3, 1].mean(0)
    good &= (points - centres.mean(0)) @ up < 0
    cloud, spread = points[good], np.maximum(sigma[good], 0.01)
    if len(cloud) < 60:
        return None
    rng = np.random.default_rng(seed)
    near = np.argsort(spread, kind="stable")[: max(60, len(spread) // 2)]
    best, most = None, 0.0
    for _ in range(300):
        a, b, c = cloud[rng.choice(near, 3, replace=False)]
        normal = np.cross(b - a, c - a)
        length = np.linalg.norm(normal)
        if length < 1e-6:
            continue
        normal = normal / length * np.sign(normal @ up)
        if normal @ up < 0.7:
            continue
        heights = (cloud - a) @ normal
        if ((centres - a) @ normal).min() < 0.15:
            continue
        on = (np.abs(heights) < 0.02 + 0.5 * spread).sum() - 2.0 * (heights < -0.1 - 2 * spread).sum()  # nothing is below it
        if on > most:
            best, most = (normal, a), float(on)
    if best is None or most < max(40, 0.05 * len(cloud)):
        return None
    normal, origin = best
    on = np.abs((cloud - origin) @ normal) < 0.03 + spread
    weight = 1.0 / spread[on]
    mean = np.average(cloud[on], axis=0, weights=weight)
    _, _, vt = np.linalg.svd((cloud[on] - mean) * np.sqrt(weight)[:, None], full_matrices=False)
    refined = vt[2] * np.sign(vt[2] @ up)
    return Ground(refined, float(-refined @ mean))


def ground_disparity(ground: Ground, scene: Scene, frame: int, shape: tuple[int, int]) -> Float[Array, "h w"]:
    """Disparity that the ground would have at every pixel of a frame; NaN where the ray does not meet it."""
    rotation, translation = scene.cam_from_world[frame, :3, :3], scene.cam_from_world[frame, :3, 3]
    normal = rotation @ ground.normal
    offset = ground.offset_m - float(normal @ translation)
    u = (np.arange(shape[1]) + 0.5 - scene.rig.cx) / scene.rig.fx
    v = (np.arange(shape[0]) + 0.5 - scene.rig.cy) / scene.rig.fy
    slope = normal[0] * u[None, :] + normal[1] * v[:, None] + normal[2]  # of height per metre of depth along the ray
    with np.errstate(divide="ignore", invalid="ignore"):
        disparity = -slope / offset * scene.rig.fb
    return np.where(disparity > 0, disparity, np.nan)
