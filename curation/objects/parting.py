"""One body, or two that met? A group whose points lie apart in its own frame, and are seen at different times, is several.

Where one walker passes another, tracks on the outline between them join both, and the motion of the first runs on into that of
the second. In the frame that moves along with a rigid body its points keep their places, so what is seen early lies where what
is seen late does; of two that met, each has a place of its own. A long plain car, of which first the front and then the rear is
seen, is parted too: two names for one body, at different times, are no wrong label.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from curation.objects.grouping import Group, Scene, fit_subset, judge, spread_members
from curation.objects.motion_fit import Motion
from schemas.camera import Array

_REACH_M, _REACH_OF_DEPTH = 0.5, 0.05  # between neighbouring points of one body
_LEAST_POINTS, _LEAST_SHARE = 8, 0.05  # fewer are strays
_TOGETHER = 0.3  # of the lesser one's sightings, at which parts of one body are seen both
_LEAST_SEEN, _LEAST_FRAMES = 5, 6
_FIT_POINTS = 120


def parted(scene: Scene, group: Group) -> list[Group]:
    """The group alone, or the groups of the bodies that it holds, each with a motion of its own."""
    _, dof, points = judge(scene, group.members, group.fit)
    parts = _parts(scene, group, points, dof > 0)
    if len(parts) < 2:
        return [group]
    found = [alone(scene, group, members, points) for members in parts]
    return [part for part in found if part is not None]


def _parts(scene: Scene, group: Group, points: Float[Array, "m 3"], known: Array) -> list[Int[Array, "k"]]:
    """Indices of the members of each body, largest first."""
    index = np.flatnonzero(known & np.isfinite(points).all(1))
    if len(index) < 2 * _LEAST_POINTS:
        return [np.arange(len(points))]
    motion = group.fit.motion
    camera = scene.cam_from_world[motion.reference]
    reach = max(_REACH_M, _REACH_OF_DEPTH * float(camera[2, :3] @ motion.pivot + camera[2, 3]))
    pairs = cKDTree(points[index]).query_pairs(reach, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(index), len(index)))
    count, label = connected_components(links, directed=False)
    size = np.bincount(label, minlength=count)
    large = np.flatnonzero(size >= max(_LEAST_POINTS, _LEAST_SHARE * len(index)))
    if len(large) < 2:
        return [np.arange(len(points))]
    seen = np.stack([_seen(scene, group.members[index[label == part]]) for part in large])
    body = np.arange(len(large))
    for a, b in combinations(range(len(large)), 2):
        if np.minimum(seen[a], seen[b]).sum() >= _TOGETHER * min(seen[a].sum(), seen[b].sum()):
            body[body == body[b]] = body[a]
    found = [index[np.isin(label, large[body == one])] for one in np.unique(body)]
    return sorted(found, key=len, reverse=True) if len(found) > 1 else [np.arange(len(points))]


def _seen(scene: Scene, members: Int[Array, "m"]) -> Int[Array, "t"]:
    """How many of the members are seen in each frame of the clip."""
    return np.bincount(scene.tracks.subset(members).frame, minlength=scene.frames)


def alone(scene: Scene, group: Group, part: Int[Array, "k"], points: Float[Array, "m 3"]) -> Group | None:
    """The group of some of the members, with the motion of the frames that see them; None where those are too few."""
    motion, members = group.fit.motion, group.members[part]
    count = _seen(scene, members)[motion.first : motion.last + 1]
    often = np.flatnonzero(count >= _LEAST_SEEN)
    if len(often) < _LEAST_FRAMES:
        return None
    own = _cut(motion, int(often[0]), int(often[-1]), int(count.argmax()), np.median(points[part], axis=0))
    start = replace(group.fit, motion=own)
    fit = fit_subset(scene, spread_members(members, scene.tracks, _FIT_POINTS), start, np.zeros(0), 0, 0, 10)
    return Group(members, fit)


def _cut(motion: Motion, low: int, high: int, at: int, place: Float[Array, "3"]) -> Motion:
    """The motion of its frames ``low .. high`` (counted from its first), the identity at ``at``, about ``place``.

    ``place`` is a world point of the old reference frame. The covariance is unknown until the motion is fitted again.
    """
    turn = motion.rotation[low : high + 1] @ motion.rotation[at].T
    pivot = motion.rotation[at] @ (place - motion.pivot) + motion.pivot + motion.shift[at]
    centre = motion.pivot + motion.shift[at]
    shift = motion.shift[low : high + 1] - motion.shift[at] + (turn - np.eye(3)) @ (pivot - centre)
    unknown = np.full((high - low + 1, 6, 6), np.nan)
    return Motion(motion.first + low, motion.first + at, pivot, turn, shift, unknown)
