"""Is a group of tracks an object that moves? What it must show, and what was measured of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from curation.geometry import transform
from curation.objects import lift
from curation.objects.grouping import Group, Scene
from curation.objects.identity import carried_support
from curation.objects.measure import Measured
from curation.objects.static_test import triangulate
from curation.objects.surface import on_surface_share, thickness_m
from schemas.camera import Array

_ON_SURFACE = 0.6
_FLOATING_M = 1.7  # what moves is carried by the ground; where edges of buildings cross, something seems to move above it
_LOW_M, _LOW_SHARE = 0.08, 0.012  # what stays below this over the ground (and a share of its distance) is a shadow
_RIM = 0.2  # of a body's size: what is thinner and has nothing below it is the rim of its top
_KERB_M = 0.2  # what lies flat at less than this over the ground may be a shadow on a step of it


@dataclass(frozen=True)
class Gates:
    """What a group must show to be believed.

    Attributes:
        displacement_m, displacement_sigmas, displacement_of_depth: it moved farther than each of these.
        static_chi2: median chi2 per degree of freedom of its tracks under "it stands still".
        carried_share: share of its comparable tracks whose pixels moved with it; carried_count: and their number.
        surface_share: largest share of its tracks that may lie on a still surface (its shadow).
        tracks: least number of tracks; frame_share: least share of the frame its mask covers (largest frame).
        points: least number of its points in the median frame in which it is published. Fewer are a wheel, a shin or a rim:
            the mask that they vote for is mostly background.
    """

    displacement_m: float = 0.25
    displacement_sigmas: float = 5.0
    displacement_of_depth: float = 0.012
    static_chi2: float = 6.0
    carried_share: float = 0.6
    carried_count: int = 12
    surface_share: float = 0.65
    tracks: int = 20
    frame_share: float = 0.002
    points: int = 12


GATES = Gates()


@dataclass(frozen=True)
class Candidate:
    """A group with all that was measured of it, accepted or not (``refused`` says why not).

    ``shadow`` are tracks that move as the group does but lie on a still surface.
    """

    group: Group
    model: lift.Model | None
    refused: str
    stats: dict[str, Any]
    shadow: Int[Array, "s"]


def weigh(measured: Measured, group: Group, gates: Gates = GATES) -> Candidate:
    """Decides whether a group is an object that moves."""
    scene, motion = measured.scene, group.fit.motion
    all_members = len(group.members)
    share, _ = on_surface_share(scene, measured.still, group.members, _test_frames(scene, group))
    flat = (share > _ON_SURFACE) | _on_ground(measured, group)
    surface = group.members[flat]
    group = replace(group, members=group.members[~flat])
    if len(group.members) < max(6, (1 - gates.surface_share) * all_members):
        return Candidate(group, None, "on_still_surface", {"tracks": all_members, "on_surface": len(surface)}, surface)
    sub = scene.tracks.subset(group.members)
    sigma = scene.sigma[scene.rows(group.members)]
    fit = triangulate(sub, motion.cam_from_reference(scene.cam_from_world), scene.rig, sigma, iterations=3)
    depth = float(transform(scene.cam_from_world[motion.reference], motion.pivot)[2])
    model = lift.surface(fit.points, fit.covariance, depth)
    static = _static_misfit(scene, group)
    stats: dict[str, Any] = {
        "tracks": len(group.members),
        "on_surface": len(surface),
        "static_chi2": round(static, 2),
        "depth_m": round(depth, 3),
    }
    if model is None:
        return Candidate(group, None, "no_model", stats, surface)
    thickness = thickness_m(fit.points, fit.covariance, scene.cam_from_world)
    thin = thickness < _LOW_M
    low, floating, rim = thin, False, False  # all that can be said where no ground was found
    if measured.ground is not None:
        over = measured.ground.height_m(lift.carried(group, model.points)[motion.reference - motion.first])
        bottom, top = (float(h) for h in np.quantile(over, [0.2, 0.8]))
        stats |= {"height_m": round(top, 3), "bottom_m": round(bottom, 3)}
        low = top < _LOW_M + _LOW_SHARE * depth or (thin and top < _KERB_M)
        floating = bottom > _FLOATING_M
        # Where the level top of a plain body hides a textured ground, what seems to move is the crossing of both.
        rim = thickness < min(_RIM * model.size_m, bottom)
    centre = lift.carried(group, model.centre[None])[:, 0]
    travelled = np.linalg.norm(centre[:, None] - centre[None], axis=-1)
    i, j = np.unravel_index(int(travelled.argmax()), travelled.shape)
    sigma_d = float(np.sqrt(np.trace(motion.covariance[i, :3, :3]) + np.trace(motion.covariance[j, :3, :3])))
    far = float(travelled[i, j])
    favour, known = carried_support(scene, measured.images, group, fit.points)
    stats |= {"displacement_m": round(far, 4), "carried": favour, "compared": known, "formal_sigma_m": round(sigma_d, 4)}
    stats |= {"thickness_m": round(thickness, 3), "fit_chi2": round(float(np.nanmedian(fit.reduced)), 2)}
    refused = ""
    if len(group.members) < gates.tracks:
        refused = "few_tracks"
    elif static < gates.static_chi2:
        refused = "could_stand_still"
    elif far < max(gates.displacement_m, gates.displacement_sigmas * sigma_d, gates.displacement_of_depth * depth):
        refused = "moved_too_little"
    elif low:
        refused = "on_ground"
    elif floating:
        refused = "above_ground"
    elif rim:
        refused = "rim"
    elif known < gates.carried_count or favour < gates.carried_share * known:
        refused = "pixels_stayed"
    return Candidate(group, model, refused, stats, surface)


def _static_misfit(scene: Scene, group: Group) -> float:
    """Median chi2 per degree of freedom of the tracks under standstill, over the frames at which the object travels.

    An object that stands for a good part of the clip has tracks that a standing point explains for as long.
    """
    motion = group.fit.motion
    speed = np.linalg.norm(np.gradient(motion.shift, axis=0), axis=1)
    going = np.zeros(scene.frames, bool)
    going[motion.first : motion.last + 1] = speed >= 0.3 * np.quantile(speed, 0.9)
    if going.sum() > 0.7 * motion.count or going.sum() < 5:
        return float(np.nanmedian(scene.static_reduced[group.members]))
    sub, sigma = scene.tracks.subset(group.members), scene.sigma[scene.rows(group.members)]
    poses = np.where(going[:, None, None], scene.cam_from_world, np.nan)
    fit = triangulate(sub, poses, scene.rig, sigma, iterations=3)
    witness = fit.dof >= 9
    return float(np.median(fit.reduced[witness])) if witness.sum() >= 10 else 0.0


def _on_ground(measured: Measured, group: Group) -> Bool[Array, "m"]:
    """Members that stay on the ground while they move: shadows, and the rim that flow drags along."""
    if measured.ground is None:
        return np.zeros(len(group.members), bool)
    scene, motion = measured.scene, group.fit.motion
    sub, sigma = scene.tracks.subset(group.members), scene.sigma[scene.rows(group.members)]
    fit = triangulate(sub, motion.cam_from_reference(scene.cam_from_world), scene.rig, sigma, iterations=2)
    at = np.clip(sub.frame[sub.first + sub.length // 2], motion.first, motion.last)
    carry = motion.world_from_reference()[at - motion.first]
    place = transform(carry, np.nan_to_num(fit.points))
    normal = measured.ground.normal
    formal = np.einsum("i,nij,j->n", normal, np.nan_to_num(fit.covariance, nan=1.0), normal)
    return measured.ground.height_m(place) < np.minimum(0.03 + 2.0 * np.sqrt(np.maximum(formal, 0.0)), 0.12)


def _test_frames(scene: Scene, group: Group) -> Bool[Array, "t"]:
    """Some frames of the motion at which the object is fastest: standing on a spot, it is part of what stands still."""
    motion = group.fit.motion
    speed = np.linalg.norm(np.gradient(motion.shift, axis=0), axis=1)
    fast = np.flatnonzero(speed >= 0.5 * np.quantile(speed, 0.9))
    out = np.zeros(scene.frames, bool)
    out[motion.first + fast[:: max(1, len(fast) // 12)]] = True
    return out
