"""Bodies that travel as one beside each other (a train of carts, two on one sledge), told apart by their colours.

Their motion alone makes one object of them, and a description of one half leads to the other body, or to neither. Two colours
that stand side by side on the ground are two bodies; one over the other, as shirt over trousers or window over door, they are
one. A lorry whose cab has another colour than its load is taken for two as well: two names for one body are no wrong label,
and pairs of what may be one body are not asked about (``curation.relations.wholeness``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8

from curation.objects.colours import COLOURS, UNCLEAR, close_to, colour_names
from curation.objects.grouping import Group, Scene, judge
from curation.objects.measure import Measured
from curation.objects.parting import alone
from curation.objects.surface import mean_up
from curation.objects.weigh import GATES, Candidate, weigh
from schemas.camera import Array

_PLAIN = ("black", "grey", "white")  # of tyres and trousers, and of what lies behind an outline
_LOOKS = 12  # frames in which a track's colour is looked at
_LEAST_SHARE = 0.2  # of an object's tracks that have the second colour
_STRAYS = 0.1  # of the tracks of a colour that may stand on the side of the other
_BESIDE = 0.5  # of the lower one's range of heights, that both share
_LEAST_RANGE_M = 0.1


def told_apart(measured: Measured, left: UInt8[Array, "t h w 3"], candidates: Sequence[Candidate]) -> list[Candidate]:
    """Accepted candidates, with two in the place of one that has two colours side by side, where both would be accepted alone."""
    out: list[Candidate] = []
    for candidate in candidates:
        parts = [weigh(measured, group) for group in _halves(measured, left, candidate.group)]
        out += parts if parts and not any(part.refused for part in parts) else [candidate]
    return out


def _halves(measured: Measured, left: UInt8[Array, "t h w 3"], group: Group) -> list[Group]:
    """The groups of both bodies; empty where there is one."""
    scene = measured.scene
    colours = _colours(scene, left, group.members)
    counts = np.where(np.isin(COLOURS, _PLAIN), 0, np.bincount(colours, minlength=UNCLEAR + 1)[:UNCLEAR])
    first = int(counts.argmax())
    unlike = np.where(close_to(np.arange(UNCLEAR)[None], first)[0], 0, counts)
    second = int(unlike.argmax())
    least = max(GATES.tracks / 2, _LEAST_SHARE * counts.sum())
    if unlike[second] < least:
        return []
    _, dof, points = judge(scene, group.members, group.fit)
    known = (dof > 0) & np.isfinite(points).all(1)
    up = mean_up(scene.cam_from_world) if measured.ground is None else measured.ground.normal
    side = _sides(points, known & (colours == first), known & (colours == second), up)
    if side is None:
        return []
    found = [alone(scene, group, np.flatnonzero(known & half), points) for half in (side, ~side)]
    both = [part for part in found if part is not None]
    return both if len(both) == 2 else []


def _colours(scene: Scene, left: UInt8[Array, "t h w 3"], members: Int[Array, "m"]) -> Int[Array, "m"]:
    """The colour that most looks at each track find; ``UNCLEAR`` where they find none."""
    slot = np.full(scene.tracks.count, -1)
    slot[members] = np.arange(len(members))
    votes = np.zeros((len(members), UNCLEAR + 1), int)
    height, width = left.shape[1:3]
    # a corner lies between colours: what is around it tells
    around = np.stack(np.meshgrid([-2, 0, 2], [-2, 0, 2]), axis=-1).reshape(1, 9, 2)
    frames = np.unique(scene.tracks.subset(members).frame)
    for frame in frames[np.unique(np.linspace(0, len(frames) - 1, _LOOKS).round().astype(int))]:
        rows = scene.rows_at[frame]
        rows = rows[slot[scene.tracks.track[rows]] >= 0]
        at = np.floor(scene.tracks.uvd[rows, :2]).astype(int)[:, None] + around
        u, v = np.clip(at[..., 0], 0, width - 1), np.clip(at[..., 1], 0, height - 1)
        np.add.at(votes, (slot[scene.tracks.track[rows]][:, None], colour_names(left[frame, v, u])), 1)
    clear = votes[:, :UNCLEAR]
    return np.where(clear.sum(1) > 0, clear.argmax(1), UNCLEAR)


def _sides(points: Float[Array, "m 3"], one: Array, other: Array, up: Float[Array, "3"]) -> Array | None:
    """For every point, whether it stands on the side of ``one``; None where the two do not stand side by side."""
    heights = [np.quantile(points[part] @ up, [0.1, 0.9]) for part in (one, other)]
    shared = min(high for _, high in heights) - max(low for low, _ in heights)
    if shared < _BESIDE * max(_LEAST_RANGE_M, min(high - low for low, high in heights)):
        return None
    across = np.linalg.svd(up[None])[2][1:]
    flat = points @ across.T
    a, b = flat[one], flat[other]
    spread = np.cov(a.T) + np.cov(b.T) + 1e-4 * np.eye(2)
    direction = np.linalg.solve(spread, np.median(a, axis=0) - np.median(b, axis=0))  # Fisher's
    along = flat @ direction
    limits = np.unique(along[one | other])
    strays = [max((along[one] < x).mean(), (along[other] >= x).mean()) for x in limits]
    best = int(np.argmin(strays))
    return along >= limits[best] if strays[best] <= _STRAYS else None
