"""Which moving tracks belong together: groups grown from a seed by the rigid motion that their tracks share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from curation.objects.motion_fit import Fit, fit_motion, start_motion
from curation.objects.point_tracks import PointTracks
from curation.objects.rig import Rig
from curation.objects.static_test import triangulate
from schemas.camera import Array

_SEED_POINTS = 30
_SEED_FRAMES = 6  # to either side
_FIT_POINTS = 120
_LEAST_SEEN = 5  # tracks that must see a frame for the motion to be fitted there
_REACH_M = 0.4
_DEPTH_RATIO = 0.12
_COULD_STAND = 3.5  # median chi2 per degree of freedom under standstill of a seed not worth growing
_FITS = 4.0  # chi2 per degree of freedom of a track that follows the motion
_MAX_SEEDS = 40
_LEAST_DENSITY = 6  # moving tracks around a seed


@dataclass(frozen=True)
class Scene:
    """What all groups of a clip share.

    Attributes:
        tracks: every track of the clip that is long enough to be judged.
        sigma: (K, 3) of their observations.
        static_chi2: (N,) chi2 under "it stands still"; static_reduced: the same per degree of freedom.
        cam_from_world: (T, 4, 4); rig: the stereo camera; dt_s: time between frames.
    """

    tracks: PointTracks
    sigma: Float[Array, "k 3"]
    static_chi2: Float[Array, "n"]
    static_reduced: Float[Array, "n"]
    cam_from_world: Float[Array, "t 4 4"]
    rig: Rig
    dt_s: float

    @property
    def frames(self) -> int:
        """Number of clip frames."""
        return len(self.cam_from_world)

    @cached_property
    def rows_at(self) -> list[Int[Array, "r"]]:
        """Observation rows of each clip frame."""
        order = np.argsort(self.tracks.frame, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.tracks.frame, minlength=self.frames))[:-1])

    def rows(self, keep: Int[Array, "m"]) -> Int[Array, "k"]:
        """Observation rows of the tracks ``keep``, in the order of ``tracks.subset(keep)``."""
        length = self.tracks.length[keep]
        offset = np.concatenate([[0], np.cumsum(length)[:-1]]) if len(keep) else np.zeros(0, int)
        return np.repeat(self.tracks.first[keep] - offset, length) + np.arange(length.sum())


@dataclass(frozen=True)
class Group:
    """Tracks (indices into the scene's) that follow one rigid motion, and that motion with a point per member."""

    members: Int[Array, "m"]
    fit: Fit


class _Table:
    """Dense (track, frame) positions of the pool, for neighbour searches."""

    def __init__(self, scene: Scene, pool: Int[Array, "p"]) -> None:
        self.pool = pool
        self.uvd = np.full((len(pool), scene.frames, 3), np.nan)
        sub = scene.tracks.subset(pool)
        self.uvd[sub.track, sub.frame] = sub.uvd
        self.alive = np.isfinite(self.uvd[..., 0])
        with np.errstate(invalid="ignore"):
            usable = self.uvd[..., 2] > 0.3
        filled = np.where(usable, self.uvd[..., 2], np.nan)
        depth = np.where(np.isfinite(filled), filled, _row_medians(filled)[:, None])
        self.feature = np.concatenate([self.uvd[..., :2], depth[..., None]], -1)
        cam = scene.rig.unproject(np.where(usable[..., None], self.uvd, np.nan))
        world_from_cam = np.linalg.inv(scene.cam_from_world)
        self.world = np.einsum("tij,ptj->pti", world_from_cam[:, :3, :3], cam) + world_from_cam[:, :3, 3]

    def scaled(self, index: Array, frame: int | Array, rig: Rig, reach_m: float = _REACH_M) -> Array:
        """Coordinates in which 1 is the reach of a neighbourhood."""
        f = self.feature[index, frame]
        px = np.clip(reach_m * rig.fx * f[:, 2] / rig.fb, 12.0, 70.0)
        ratio = np.maximum(_DEPTH_RATIO, 1.0 / np.maximum(f[:, 2], 0.3))
        return np.column_stack([f[:, 0], f[:, 1], f[:, 2]]) / np.column_stack([px, px, ratio * f[:, 2]])


def _row_medians(values: Array) -> Array:
    """Median of each row without its NaN (``numpy.nanmedian`` takes a Python step per row); NaN for a row of NaN."""
    ordered = np.sort(values, axis=1)  # NaN last
    count = np.isfinite(values).sum(1)
    row = np.arange(len(values))
    return 0.5 * (ordered[row, np.maximum(count - 1, 0) // 2] + ordered[row, np.minimum(count // 2, values.shape[1] - 1)])


def _near(table: _Table, candidates: Array, frame: int, centre: Array, rig: Rig) -> Array:
    """Candidates within reach of the feature ``centre`` (u, v, d) at a frame, nearest first."""
    f = table.feature[candidates, frame]
    px = float(np.clip(_REACH_M * rig.fx * centre[2] / rig.fb, 12.0, 70.0))
    depth = max(_DEPTH_RATIO * centre[2], 1.0)
    distance = np.sqrt((((f[:, :2] - centre[:2]) / px) ** 2).sum(1) + ((f[:, 2] - centre[2]) / depth) ** 2)
    order = np.argsort(distance, kind="stable")
    with np.errstate(invalid="ignore"):
        return candidates[order[distance[order] < 1.0]]


def fit_subset(scene: Scene, members: Array, start: Fit | None, world: Array, first: int, reference: int, iterations: int) -> Fit:
    """The rigid motion of some tracks, begun from a fit, or from their world points (N, F, 3) at the frames from ``first`` on."""
    tracks = scene.tracks.subset(members)
    sigma = scene.sigma[scene.rows(members)]
    motion = start_motion(world, first, reference) if start is None else start.motion
    points = triangulate(tracks, motion.cam_from_reference(scene.cam_from_world), scene.rig, sigma, iterations=2).points
    bad = ~np.isfinite(points).all(1)
    if bad.any():
        points[bad] = motion.pivot
    return fit_motion(tracks, motion, points, scene.cam_from_world, scene.rig, sigma, scene.dt_s, iterations=iterations)


def judge(scene: Scene, members: Int[Array, "m"], fit: Fit) -> tuple[Float[Array, "m"], Float[Array, "m"], Float[Array, "m 3"]]:
    """chi2 per degree of freedom of tracks under a motion, the degrees of freedom, and their points."""
    tracks = scene.tracks.subset(members)
    sigma = scene.sigma[scene.rows(members)]
    result = triangulate(tracks, fit.motion.cam_from_reference(scene.cam_from_world), scene.rig, sigma, iterations=3)
    return result.reduced, result.dof, result.points


def spread_members(members: Array, tracks: PointTracks, count: int) -> Array:
    """At most ``count`` members, the longest first, thinned evenly."""
    if len(members) <= count:
        return members
    order = members[np.argsort(-tracks.length[members], kind="stable")]
    return np.sort(order[: 2 * count][:: max(1, min(2, len(order) // count))][:count])


def _seed(scene: Scene, table: _Table, free: Array, centre: int) -> tuple[Group | None, Array]:
    """A group started from one track (row of the table), None where its neighbourhood shares no motion; the rows tried."""
    alive = np.flatnonzero(table.alive[centre])
    frame = int(alive[len(alive) // 2])
    candidates = np.flatnonzero(free & table.alive[:, frame])
    near = _near(table, candidates, frame, table.feature[centre, frame], scene.rig)
    window = slice(max(0, frame - _SEED_FRAMES), min(scene.frames, frame + _SEED_FRAMES + 1))
    near = near[table.alive[near, window].sum(1) >= 5][:_SEED_POINTS]
    if len(near) < 6:
        return None, near
    seen = np.isfinite(table.world[near, window, 0]).sum(0) >= _LEAST_SEEN
    at = frame - window.start
    if not seen[at]:
        return None, near
    low, high = at, at
    while low > 0 and seen[low - 1]:
        low -= 1
    while high + 1 < len(seen) and seen[high + 1]:
        high += 1
    if high - low < 4:
        return None, near
    first = window.start + low
    world = table.world[near, first : window.start + high + 1]
    fit = fit_subset(scene, table.pool[near], None, world, first, frame, 6)
    reduced, dof, _ = judge(scene, table.pool[near], fit)
    good = (reduced < _FITS) & (dof >= 6)
    if good.sum() < max(6, 0.4 * len(near)):
        return None, near
    members = table.pool[near[good]]
    return Group(members, fit_subset(scene, members, fit, world, first, frame, 4)), near


def _support(scene: Scene, members: Array) -> tuple[int, int, Array]:
    """First and last frame that enough members see, and the count per frame."""
    tracks = scene.tracks.subset(members)
    measured = np.isfinite(tracks.uvd[:, 2])
    count = np.bincount(tracks.frame[measured], minlength=scene.frames)
    return 0, scene.frames - 1, count


def _grown(scene: Scene, table: _Table, free: Array, group: Group, rounds: int = 10) -> Group:
    """Absorbs the free tracks next to the group that follow its motion, and extends it in time, until nothing changes."""
    row_of = np.full(scene.tracks.count, -1)
    row_of[table.pool] = np.arange(len(table.pool))
    members, fit = group.members, group.fit
    for _ in range(rounds):
        _, _, count = _support(scene, members)
        first, last = fit.motion.first, fit.motion.last
        while first > 0 and count[first - 1] >= _LEAST_SEEN and fit.motion.first - first < 4:
            first -= 1
        while last + 1 < scene.frames and count[last + 1] >= _LEAST_SEEN and last - fit.motion.last < 4:
            last += 1
        grew = (first, last) != (fit.motion.first, fit.motion.last)
        motion = fit.motion.extended(first, last, 4)
        fit = fit_subset(
            scene, spread_members(members, scene.tracks, _FIT_POINTS), replace(fit, motion=motion), np.zeros(0), 0, 0, 6
        )
        near = _neighbours(scene, table, free, row_of[members], fit)
        tried = np.union1d(members, table.pool[near])
        reduced, dof, _ = judge(scene, tried, fit)
        follows = (reduced < _FITS) & (dof >= 4)
        # Over the same frames the object's motion must explain the track far better than standing still does.
        follows &= scene.static_chi2[tried] > reduced * np.maximum(dof, 1) + 15.0
        new = tried[follows]
        same = len(new) == len(members) and np.array_equal(new, members)
        if len(new) < 6:
            return Group(members, fit)
        stop = same and not grew
        small = len(np.setxor1d(new, members)) < 0.02 * len(members) and not grew
        members = new
        if stop or small:
            break
    fit = fit_subset(scene, spread_members(members, scene.tracks, _FIT_POINTS), fit, np.zeros(0), 0, 0, 10)
    return Group(members, fit)


def _neighbours(scene: Scene, table: _Table, free: Array, rows: Array, fit: Fit, reach: float = 1.0) -> Array:
    """Free rows of the table that come within reach of a member at some frame of the motion."""
    found: list[Array] = []
    is_member = np.zeros(len(table.pool), bool)
    is_member[rows[rows >= 0]] = True
    for frame in range(fit.motion.first, fit.motion.last + 1, 3):
        inside = np.flatnonzero(is_member & table.alive[:, frame] & np.isfinite(table.feature[:, frame, 2]))
        outside = np.flatnonzero(free & ~is_member & table.alive[:, frame] & np.isfinite(table.feature[:, frame, 2]))
        if not len(inside) or not len(outside):
            continue
        tree = cKDTree(table.scaled(inside, frame, scene.rig))
        distance, _ = tree.query(table.scaled(outside, frame, scene.rig), distance_upper_bound=reach)
        found.append(outside[np.isfinite(distance)])
    return np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)


def grow_groups(scene: Scene, moving: Bool[Array, "n"], pool: Int[Array, "p"]) -> list[Group]:
    """Groups of tracks that share a rigid motion.

    Args:
        scene: the clip.
        moving: (N,) tracks that surely do not stand still; only these start a group.
        pool: tracks that may join a group.

    Returns:
        Groups, largest first; no track is in two.
    """
    if not len(pool):
        return []
    table = _Table(scene, pool)
    free = np.isfinite(table.feature[..., 2]).any(1)
    starts = np.flatnonzero(moving[pool] & free & (table.alive.sum(1) >= 6))
    density = _density(scene, table, starts)
    score = density * np.sqrt(table.alive[starts].sum(1))
    groups: list[Group] = []
    untried = np.zeros(len(pool), bool)
    untried[starts[density >= _LEAST_DENSITY]] = True
    row_of = np.full(scene.tracks.count, -1)
    row_of[pool] = np.arange(len(pool))
    attempts = 0
    for centre in starts[np.argsort(-score, kind="stable")]:
        if not (free[centre] and untried[centre]) or attempts >= _MAX_SEEDS:
            continue
        attempts += 1
        untried[centre] = False
        group, around = _seed(scene, table, free, int(centre))
        if group is None:
            untried[around[: len(around) // 2]] = False  # what lies closest to a failed seed would fail too
            continue
        if np.median(scene.static_reduced[group.members]) > _COULD_STAND:
            group = _grown(scene, table, free, group)
        free &= ~np.isin(table.pool, group.members)
        rows = row_of[group.members]
        untried[_neighbours(scene, table, free, rows, group.fit, 0.5)] = False
        groups.append(group)
    return sorted(groups, key=lambda g: -len(g.members))


def _density(scene: Scene, table: _Table, starts: Array) -> Array:
    """How many moving tracks are within reach of each start at the middle of its life."""
    out = np.zeros(len(starts))
    middle = np.array([np.flatnonzero(table.alive[s])[table.alive[s].sum() // 2] for s in starts], int)
    for frame in np.unique(middle):
        here = np.flatnonzero(middle == frame)
        alive = starts[table.alive[starts, frame] & np.isfinite(table.feature[starts, frame, 2])]
        mine = here[np.isfinite(table.feature[starts[here], frame, 2])]
        if not len(alive) or not len(mine):
            continue
        tree = cKDTree(table.scaled(alive, frame, scene.rig))
        out[mine] = tree.query_ball_point(table.scaled(starts[mine], frame, scene.rig), 1.0, return_length=True)
    return out
