"""All groups of a clip that move rigidly in a way of their own: grown, merged, weighed, and parts of one body told apart."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Bool, Int

from curation.geometry import transform
from curation.objects.grouping import Group, Scene, grow_groups
from curation.objects.measure import Measured
from curation.objects.parting import parted
from curation.objects.surface import on_surface_share
from curation.objects.weigh import Candidate, weigh
from schemas.camera import Array

_POOL = 2.0
_TEST_EVERY = 3
_ON_SURFACE = 0.6
_BESIDE_PX, _NEARER_PX, _NEARER = 6.0, 1.5, 0.15
_PART = 0.35  # of another's points: few enough to be a part of it
_LIMB_M = 0.3  # how far a limb may swing about a body that travels ...
_REACH_M = 1.0  # ... and how far one may get with a body that stays


def find_candidates(measured: Measured) -> list[Candidate]:
    """All groups that move rigidly in a way of their own, accepted or refused."""
    scene = measured.scene
    pool = np.flatnonzero(scene.static_reduced > _POOL)
    share, tested = on_surface_share(scene, measured.still, pool, np.arange(scene.frames) % _TEST_EVERY == 1)
    moving = measured.moving.copy()
    # What stands for a while is part of what stands still then; a shadow is on the ground at every frame.
    moving[pool[(share > _ON_SURFACE) & (tested * (1 - share) < 2.5)]] = False
    pool = pool[(share < 0.99) | (tested < 2)]
    pool = pool[~beside_nearer(measured, pool)]
    groups = [part for group in merge_fragments(scene, grow_groups(scene, moving, pool)) for part in parted(scene, group)]
    return _without_parts(scene, [weigh(measured, g) for g in groups])


def beside_nearer(measured: Measured, members: Int[Array, "m"]) -> Bool[Array, "m"]:
    """Tracks that run along the edge of something nearer for most of their life: crossings of two outlines, points of neither."""
    scene = measured.scene
    slot = np.full(scene.tracks.count, -1)
    slot[members] = np.arange(len(members))
    beside, known = np.zeros(len(members)), np.zeros(len(members))
    scale = measured.images.shape[2] / measured.coarse.shape[2]
    size = 2 * round(_BESIDE_PX / scale) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    for frame in range(scene.frames):
        rows = scene.rows_at[frame]
        rows = rows[(slot[scene.tracks.track[rows]] >= 0) & np.isfinite(scene.tracks.uvd[rows, 2])]
        if not len(rows):
            continue
        nearest = cv2.dilate(np.nan_to_num(measured.coarse[frame].astype(np.float32)), disc)
        at = np.minimum(scene.tracks.uvd[rows, :2] / scale, np.array(nearest.shape[::-1]) - 1).astype(int)
        own = scene.tracks.uvd[rows, 2]
        who = slot[scene.tracks.track[rows]]
        beside[who] += nearest[at[:, 1], at[:, 0]] > own + np.maximum(_NEARER_PX, _NEARER * own)
        known[who] += 1
    return beside > 0.5 * np.maximum(known, 1)


def merge_fragments(scene: Scene, groups: list[Group]) -> list[Group]:
    """Joins to each group the smaller ones that move as it does where they are, and that touch it."""
    out: list[Group] = []
    for group in sorted(groups, key=lambda g: -len(g.members)):
        for i, large in enumerate(out):
            if _same_motion(scene, large, group):
                out[i] = replace(large, members=np.union1d(large.members, group.members))
                break
        else:
            out.append(group)
    return out


def _same_motion(scene: Scene, large: Group, small: Group) -> bool:
    """Whether the larger group's motion carries the smaller one's points to within noise of where they are."""
    a, b = large.fit.motion, small.fit.motion
    first, last = max(a.first, b.first), min(a.last, b.last)
    if last - first < 4:
        return False
    at_b = b.pivot + b.shift[first - b.first : last + 1 - b.first]
    carry = a.world_from_reference()[first - a.first : last + 1 - a.first]
    at_start = np.linalg.solve(carry[0], np.append(at_b[0], 1.0))[:3]
    predicted = transform(carry, np.broadcast_to(at_start, at_b.shape))
    depth = float(transform(scene.cam_from_world[first], at_b[0])[2])
    tolerance = 0.05 + 0.015 * depth + 0.03 * float(np.linalg.norm(at_b[-1] - at_b[0]))
    if np.sqrt(((predicted - at_b) ** 2).sum(1).mean()) > tolerance:
        return False
    # Near the larger group, measured in its own extent.
    at_a = a.pivot + a.shift[first - a.first : last + 1 - a.first]
    rows = scene.tracks.subset(large.members)
    middle = (first + last) // 2
    here = rows.uvd[rows.frame == middle]
    if len(here) < 3:
        return False
    reach = float(np.linalg.norm(np.ptp(np.quantile(here[:, :2], [0.05, 0.95], axis=0), axis=0)))
    pixel = scene.rig.project(transform(scene.cam_from_world[middle], np.stack([at_a[middle - first], at_b[middle - first]])))
    return bool(np.linalg.norm(pixel[0, :2] - pixel[1, :2]) < 0.9 * reach + 10)


def _without_parts(scene: Scene, candidates: list[Candidate]) -> list[Candidate]:
    """Refuses accepted groups that are parts of others.

    Either a small group within the extent of a much larger one (a part of it, or what it drags along), or one of two that
    touch and travel alike: the lower one then is the other's legs and shadow. What goes no farther than a limb reaches, within
    the extent of a much larger group that hardly moves from its place, is a limb of it: of somebody who turns, or waves.
    """
    stay = [c for c in candidates if c.refused == "moved_too_little"]
    out: list[Candidate] = []
    for c in sorted(candidates, key=lambda c: (-c.stats.get("height_m", 0.0) > -0.5, -len(c.group.members))):
        part = False
        for other in out:
            if c.refused or other.refused:
                continue
            inside = _inside(scene, c.group, other.group)
            small = len(c.group.members) < _PART * len(other.group.members)
            part |= inside > 0.2 and _travel_alike(scene, c, other)
            part |= small and _inside(scene, c.group, other.group, 1.0) > 0.5 and _travel_alike(scene, c, other, _LIMB_M)
            part |= small and inside > 0.5 and not _behind(scene, c, other)
        if not c.refused and c.stats["displacement_m"] < _REACH_M:
            part |= any(_limb_of(scene, c, other) for other in stay)
        out.append(replace(c, refused=c.refused or ("part_of_another" if part else "")))
    return out


def _limb_of(scene: Scene, one: Candidate, other: Candidate) -> bool:
    """Whether a group has few points beside another's and is about where that one is; a limb reaches beyond the trunk."""
    small = len(one.group.members) < _PART * len(other.group.members)
    return small and _inside(scene, one.group, other.group, 1.0) > 0.5 and not _behind(scene, one, other)


def _behind(scene: Scene, one: Candidate, other: Candidate) -> bool:
    """Whether a group is clearly farther from, or nearer to, the camera than another: no part of it, then."""
    a, b = one.group.fit.motion, other.group.fit.motion
    first, last = max(a.first, b.first), min(a.last, b.last)
    if last < first:
        return False
    middle = (first + last) // 2
    at = scene.cam_from_world[middle]
    z_a = transform(at, a.pivot + a.shift[middle - a.first])[2]
    z_b = transform(at, b.pivot + b.shift[middle - b.first])[2]
    return bool(abs(z_a - z_b) > max(0.8, 0.2 * min(z_a, z_b)))


def _travel_alike(scene: Scene, one: Candidate, other: Candidate, swing_m: float = 0.0) -> bool:
    """Whether two groups cover the same displacement over the frames they share, and are equally far from the camera.

    ``swing_m`` is how far one may swing about the other, as a leg does about a body.
    """
    a, b = one.group.fit.motion, other.group.fit.motion
    first, last = max(a.first, b.first), min(a.last, b.last)
    if last - first < 4:
        return False
    of_a, of_b = a.shift[first - a.first : last + 1 - a.first], b.shift[first - b.first : last + 1 - b.first]
    of_a, of_b = of_a - of_a[0], of_b - of_b[0]
    depth, at = one.stats["depth_m"], scene.cam_from_world[(first + last) // 2]
    middle = (first + last) // 2
    z_a = transform(at, a.pivot + a.shift[middle - a.first])[2]
    z_b = transform(at, b.pivot + b.shift[middle - b.first])[2]
    apart = float(np.sqrt(((of_a - of_b) ** 2).sum(1).mean()))
    reach = float(np.linalg.norm(of_b, axis=1).max())
    return bool(apart < 0.05 + swing_m + 0.02 * depth + 0.2 * reach and abs(z_a - z_b) < max(0.6, 0.12 * depth))


def _inside(scene: Scene, small: Group, large: Group, grown: float = 0.15) -> float:
    """Share of a group's points that lie in the image extent of another, grown a little, at frames that both see."""
    a, b = scene.tracks.subset(small.members), scene.tracks.subset(large.members)
    within, total = 0, 0
    for frame in np.intersect1d(np.unique(a.frame), np.unique(b.frame))[::3]:
        of_a, of_b = a.uvd[a.frame == frame, :2], b.uvd[b.frame == frame, :2]
        if len(of_b) < 5:
            continue
        low, high = np.quantile(of_b, [0.02, 0.98], axis=0)
        margin = grown * (high - low) + 6
        within += int(((of_a > low - margin) & (of_a < high + margin)).all(1).sum())
        total += len(of_a)
    return within / max(total, 1)
