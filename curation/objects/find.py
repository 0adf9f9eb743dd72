"""What moves in the world: from the pixels of a stereo clip and its camera path to tracks of moving objects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.spatial import cKDTree

from curation.cameras.matching import coarse_disparity
from curation.geometry import inverse, transform
from curation.objects import lift
from curation.objects.grouping import Group, Scene, grow_groups
from curation.objects.identity import carried_support
from curation.objects.masks import encode, object_mask
from curation.objects.point_tracks import gray, track_points
from curation.objects.static_test import Rig, Triangulation, triangulate
from curation.objects.surface import Ground, find_ground, ground_disparity, on_surface_share
from schemas.camera import Array, CameraPath
from schemas.clip import ClipFrames
from schemas.config import DepthConfig, ObjectsConfig
from schemas.track import ObjectTrack

_STEP_PX = 5
_LEAST_TEXTURE = 20.0
_LEAST_LENGTH = 5
_LEAST_DISPARITY_PX = 1.5
_MOVES = 5.0  # chi2 per degree of freedom above which a track does not stand still
_POOL = 2.0
_TEST_EVERY = 3
_LEAST_VISIBLE = 8
_UNSEEN_SHARE = 0.1  # of its size: how much nearer or farther the true surface is than the nearest tracked point
_ON_SURFACE = 0.6
_FLOATING_M = 1.7  # what moves is carried by the ground; where edges of buildings cross, something seems to move above it
_LOW_M, _LOW_SHARE = 0.08, 0.012  # what stays below this over the ground (and a share of its distance) is a shadow
_OBJECT_NOISE = 1.5  # how much noisier an object's tracks are than the background's (it turns, and its light changes)
_NOISE_OVER_PATH = 1.8
_NOISE_FLOOR_PX = np.array([0.08, 0.08, 0.06])


@dataclass(frozen=True)
class Gates:
    """What a group must show to be believed.

    Attributes:
        displacement_m, displacement_sigmas, displacement_of_depth: it moved farther than each of these.
        static_chi2: median chi2 per degree of freedom of its tracks under "it stands still".
        carried_share: share of its comparable tracks whose pixels moved with it; carried_count: and their number.
        surface_share: largest share of its tracks that may lie on a still surface (its shadow).
        tracks: least number of tracks; frame_share: least share of the frame its mask covers (largest frame).
    """

    displacement_m: float = 0.12
    displacement_sigmas: float = 5.0
    displacement_of_depth: float = 0.012
    static_chi2: float = 6.0
    carried_share: float = 0.6
    carried_count: int = 12
    surface_share: float = 0.65
    tracks: int = 20
    frame_share: float = 0.003


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


@dataclass(frozen=True)
class Measured:
    """Intermediate values of one clip."""

    scene: Scene
    images: UInt8[Array, "t h w"]
    coarse: Float[Array, "t h2 w2"]
    static: Triangulation
    moving: Bool[Array, "n"]
    noise_px: Float[Array, "3"]
    ground: Ground | None

    @property
    def still(self) -> Bool[Array, "n"]:
        """Tracks that surely stand still."""
        return self.scene.static_reduced < _POOL


def measure_tracks(frames: ClipFrames, path: CameraPath, depth_config: DepthConfig) -> Measured:
    """Point tracks of a clip and the test whether each stands still, with the noise calibrated on the clip's background.

    Raises:
        ValueError: the clip is not stereo, or the path has another number of frames.
    """
    if frames.right is None or frames.baseline_m is None:
        raise ValueError("moving objects are found from stereo; expected a clip with a right eye and a baseline, got mono")
    if len(path.world_from_camera) != len(frames.left):
        raise ValueError(f"expected a pose per frame ({len(frames.left)}), got {len(path.world_from_camera)}")
    left, right = gray(frames.left), gray(frames.right)
    largest = depth_config.max_disparity_share * frames.camera.width
    coarse = np.stack([coarse_disparity(a, b, largest)[::2, ::2] for a, b in zip(left, right, strict=True)])
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    tracks = track_points(
        left,
        right,
        coarse,
        lambda a, b: flow.calc(left[a], left[b], np.zeros(0, np.float32)),
        step=_STEP_PX,
        least_texture=_LEAST_TEXTURE,
        max_round_trip_px=0.5,
    )
    tracks = tracks.subset(np.flatnonzero(tracks.length >= min(_LEAST_LENGTH, len(left))))
    tracks.uvd[:, 2] += np.float32(path.disparity_offset_px)
    tracks.uvd[tracks.uvd[:, 2] < _LEAST_DISPARITY_PX, 2] = np.nan
    rig = Rig.of(frames.camera, frames.baseline_m)
    cam_from_world = inverse(path.world_from_camera)
    guess = np.tile(np.array([0.15, 0.15, 0.1]), (len(tracks.frame), 1))
    static = triangulate(tracks, cam_from_world, rig, guess, iterations=3)
    noise = np.full(3, np.nan)
    if tracks.count:
        still = static.reduced[tracks.track] < 20
        noise = 1.4826 * np.nanmedian(np.abs(static.residual * guess)[still], axis=0) if still.any() else guess[0]
    # Where movers fill the image their misfit is no noise: the path's own inliers bound it.
    noise = np.minimum(np.nan_to_num(noise, nan=0.15), _NOISE_OVER_PATH * path.noise_px + 0.05)
    noise = np.maximum(np.nan_to_num(np.array([max(noise[:2])] * 2 + [noise[2]]), nan=0.15), _NOISE_FLOOR_PX)
    sigma = np.tile(_OBJECT_NOISE * noise, (len(tracks.frame), 1))
    static = triangulate(tracks, cam_from_world, rig, sigma, iterations=1, start=static.points)
    moving = (static.reduced > _MOVES) & (tracks.length >= 6)
    dt_s = float(np.median(np.diff(frames.times_s))) if len(left) > 1 else 0.1
    scene = Scene(tracks, sigma, static.chi2, static.reduced, cam_from_world, rig, dt_s)
    firm = (static.reduced < _POOL) & (tracks.length >= 8)
    ground = find_ground(static.points[firm], static.covariance[firm], cam_from_world, seed=0)
    return Measured(scene, left, coarse, static, moving, noise, ground)


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
    low = floating = False
    if measured.ground is not None:
        over = measured.ground.height_m(lift.carried(group, model.points)[motion.reference - motion.first])
        bottom, top = (float(h) for h in np.quantile(over, [0.2, 0.8]))
        stats |= {"height_m": round(top, 3), "bottom_m": round(bottom, 3)}
        low, floating = top < _LOW_M + _LOW_SHARE * depth, bottom > _FLOATING_M
    centre = lift.carried(group, model.centre[None])[:, 0]
    travelled = np.linalg.norm(centre[:, None] - centre[None], axis=-1)
    i, j = np.unravel_index(int(travelled.argmax()), travelled.shape)
    sigma_d = float(np.sqrt(np.trace(motion.covariance[i, :3, :3]) + np.trace(motion.covariance[j, :3, :3])))
    far = float(travelled[i, j])
    favour, known = carried_support(scene, measured.images, group, fit.points)
    stats |= {"displacement_m": round(far, 4), "carried": favour, "compared": known, "formal_sigma_m": round(sigma_d, 4)}
    stats |= {"fit_chi2": round(float(np.nanmedian(fit.reduced)), 2)}
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


def find_moving_objects(
    frames: ClipFrames,
    path: CameraPath,
    config: ObjectsConfig,
    depth_config: DepthConfig,
    *,
    seed: int = 0,
) -> list[ObjectTrack]:
    """Objects that move in the world, largest first.

    Args:
        frames: a stereo clip.
        path: metric camera path of the same frames.
        config: number of objects kept.
        depth_config: stereo search range.
        seed: of the colour models that sharpen masks.

    Returns:
        Tracks ``obj_1``, ``obj_2``, ...; empty where nothing surely moves. What stands still is never returned.

    Raises:
        ValueError: the clip is not stereo, or the path has another number of frames.
    """
    measured = measure_tracks(frames, path, depth_config)
    candidates = find_candidates(measured)
    accepted = [c for c in candidates if not c.refused]
    tracks = [publish(measured, frames, path, c, accepted, seed) for c in accepted]
    found = [t for t in tracks if t is not None and _mask_share(t) >= GATES.frame_share]
    found.sort(key=lambda t: -_mask_share(t))
    return [replace(t, object_id=f"obj_{i + 1}") for i, t in enumerate(found[: config.max_objects])]


def find_candidates(measured: Measured) -> list[Candidate]:
    """All groups that move rigidly in a way of their own, accepted or refused."""
    scene = measured.scene
    pool = np.flatnonzero(scene.static_reduced > _POOL)
    share, tested = on_surface_share(scene, measured.still, pool, np.arange(scene.frames) % _TEST_EVERY == 1)
    moving = measured.moving.copy()
    # What stands for a while is part of what stands still then; a shadow is on the ground at every frame.
    moving[pool[(share > _ON_SURFACE) & (tested * (1 - share) < 2.5)]] = False
    pool = pool[(share < 0.99) | (tested < 2)]
    groups = merge_fragments(scene, grow_groups(scene, moving, pool))
    return _without_shadows(scene, [weigh(measured, g) for g in groups])


def _without_shadows(scene: Scene, candidates: list[Candidate]) -> list[Candidate]:
    """Refuses accepted groups that are parts of other accepted ones.

    Either a small group within the extent of a much larger one (a part of it, or what it drags along), or one of two that
    touch and travel alike: the lower one then is the other's legs and shadow.
    """
    out: list[Candidate] = []
    for c in sorted(candidates, key=lambda c: (-c.stats.get("height_m", 0.0) > -0.5, -len(c.group.members))):
        part = False
        for other in out:
            if c.refused or other.refused:
                continue
            inside = _inside(scene, c.group, other.group)
            small = len(c.group.members) < 0.35 * len(other.group.members)
            part |= (small and inside > 0.5) or (inside > 0.2 and _travel_alike(scene, c, other))
        out.append(replace(c, refused=c.refused or ("part_of_another" if part else "")))
    return out


def _travel_alike(scene: Scene, one: Candidate, other: Candidate) -> bool:
    """Whether two groups cover the same displacement over the frames they share, and are equally far from the camera."""
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
    return bool(apart < 0.05 + 0.02 * depth + 0.2 * reach and abs(z_a - z_b) < max(0.6, 0.12 * depth))


def _inside(scene: Scene, small: Group, large: Group) -> float:
    """Share of a group's points that lie in the image extent of another, at frames that both see."""
    a, b = scene.tracks.subset(small.members), scene.tracks.subset(large.members)
    within, total = 0, 0
    for frame in np.intersect1d(np.unique(a.frame), np.unique(b.frame))[::3]:
        of_a, of_b = a.uvd[a.frame == frame, :2], b.uvd[b.frame == frame, :2]
        if len(of_b) < 5:
            continue
        low, high = np.quantile(of_b, [0.02, 0.98], axis=0)
        margin = 0.15 * (high - low) + 6
        within += int(((of_a > low - margin) & (of_a < high + margin)).all(1).sum())
        total += len(of_a)
    return within / max(total, 1)


def _mask_share(track: ObjectTrack) -> float:
    return float(track.stats["mask_share"])


def publish(
    measured: Measured, frames: ClipFrames, path: CameraPath, candidate: Candidate, accepted: list[Candidate], seed: int
) -> ObjectTrack | None:
    """The track of an accepted candidate: masks, visibility, centroids, covariance, surface points."""
    scene, group, model = measured.scene, candidate.group, candidate.model
    assert model is not None
    motion, total = group.fit.motion, len(frames.left)
    rows = _believed_rows(scene, group)
    count, shared = lift.support(scene, group, rows)
    enough = count >= max(5, 0.2 * float(np.quantile(count, 0.9)))
    visible = np.zeros(total, bool)
    visible[motion.first : motion.last + 1] = enough & ((shared >= 4) | (np.arange(motion.count) == 0))
    mine = np.zeros(scene.tracks.count, bool)
    mine[group.members] = True
    unclear = (scene.static_reduced > 3.0) & ~mine
    unclear[candidate.shadow] = False
    for other in accepted:
        if other is not candidate:
            unclear[other.group.members] = False
    # Limbs and wheels move with the object, but not rigidly: they belong to its outline, not to its motion.
    loose = measured.moving & ~mine & ~np.isin(np.arange(scene.tracks.count), candidate.shadow)
    for other in accepted:
        loose[other.group.members] = False
        loose[other.shadow] = False
    index = np.flatnonzero(loose)
    share, _ = on_surface_share(scene, measured.still, index, np.arange(total) % _TEST_EVERY == 1)
    loose[index[share > 0.3]] = False
    masks: list[dict[str, Any] | None] = [None] * total
    boxes, area = np.full((total, 4), np.nan), np.zeros(total)
    height, width = frames.left.shape[1:3]
    believed = np.zeros(len(scene.tracks.frame), bool)
    believed[rows] = True
    for t in np.flatnonzero(visible):
        here = scene.rows_at[t]
        inside = scene.tracks.uvd[here[believed[here]]]
        inside = np.concatenate([inside, _companions(scene, inside, here[loose[scene.tracks.track[here]]])])
        outside = scene.tracks.uvd[here[~mine[scene.tracks.track[here]] & ~unclear[scene.tracks.track[here]]]]
        dense = cv2.resize(measured.coarse[t].astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST)
        floor = None if measured.ground is None else ground_disparity(measured.ground, scene, int(t), (height, width))
        mask = object_mask(frames.left[t], dense + path.disparity_offset_px, inside, outside, floor, seed * 1009 + int(t))
        if mask is None or not mask.any():
            visible[t] = False
            continue
        masks[t] = encode(mask)
        v, u = np.nonzero(mask)
        boxes[t] = u.min(), v.min(), u.max() + 1, v.max() + 1
        area[t] = mask.sum()
    if visible.sum() < _LEAST_VISIBLE:
        return None
    centroid, covariance = np.full((total, 3), np.nan), np.full((total, 3, 3), np.nan)
    inside_motion = slice(motion.first, motion.last + 1)
    centroids = lift.carried(group, model.centre[None])[:, 0]
    centroid[inside_motion] = centroids
    covariance[inside_motion] = lift.centroid_covariance(scene, group, model, centroids)
    chosen = lift.spread_out(model.points, lift.MAX_POINTS)
    points = np.full((total, len(chosen), 3), np.nan, np.float32)
    points[inside_motion] = lift.carried(group, model.points[chosen])
    moving = np.zeros(total, bool)
    moving[inside_motion] = lift.moves(scene, group)
    number = np.bincount(scene.tracks.frame[rows], minlength=total)
    points_sigma, common = _range_sigma(scene, path, points, model, covariance, visible)
    for array in (centroid, covariance, points, points_sigma):
        array[~visible] = np.nan
    stats = candidate.stats | {"mask_share": round(float(area.max()) / (height * width), 5), "size_m": round(model.size_m, 3)}
    return ObjectTrack(
        object_id="obj_0",
        visible=visible,
        centroid_m=centroid,
        centroid_cov_m2=covariance,
        common_sigma_rel=common,
        points_m=points,
        points_sigma_m=points_sigma,
        moving=moving & visible,
        masks=tuple(masks),
        bbox_xyxy_px=boxes,
        num_points=np.where(visible, number, 0),
        stats=stats,
    )


def _companions(scene: Scene, inside: Float[Array, "n 3"], rows: Int[Array, "r"]) -> Float[Array, "m 3"]:
    """Other moving points at the object's distance and within arm's length of its points."""
    uvd = scene.tracks.uvd[rows]
    typical = float(np.nanmedian(inside[:, 2])) if np.isfinite(inside[:, 2]).any() else np.nan
    if not len(inside) or not len(uvd) or not np.isfinite(typical):
        return np.zeros((0, 3), np.float32)
    reach = np.clip(0.35 * scene.rig.fx * typical / scene.rig.fb, 8.0, 60.0)
    distance, _ = cKDTree(inside[:, :2]).query(uvd[:, :2], distance_upper_bound=reach)
    return uvd[np.isfinite(distance) & (np.abs(uvd[:, 2] - typical) < max(0.8, 0.12 * typical))]


def _believed_rows(scene: Scene, group: Group) -> Int[Array, "k"]:
    """Observations of the members, within the motion's frames, that the motion explains."""
    rows = scene.rows(group.members)
    sub, sigma = scene.tracks.subset(group.members), scene.sigma[rows]
    fit = triangulate(sub, group.fit.motion.cam_from_reference(scene.cam_from_world), scene.rig, sigma, iterations=3)
    residual = np.abs(fit.residual[:, :2])
    return rows[(residual < 5).all(1)]


def _range_sigma(
    scene: Scene, path: CameraPath, points: Array, model: lift.Model, covariance: Array, visible: Array
) -> tuple[Float[Array, "t"], float]:
    """Sigma of the nearest point along the line of sight per frame, and the relative range error that all frames share."""
    sigma = np.full(len(visible), np.nan)
    depths = []
    for t in np.flatnonzero(visible):
        local = transform(scene.cam_from_world[t], points[t].astype(float))
        nearest = int(np.linalg.norm(local, axis=1).argmin())
        depth = float(local[nearest, 2])
        ray = scene.cam_from_world[t, :3, :3].T @ (local[nearest] / np.linalg.norm(local[nearest]))
        own = float(np.quantile(model.sigma_m, 0.5))
        sigma[t] = np.sqrt(ray @ covariance[t] @ ray + own**2 + (_UNSEEN_SHARE * model.size_m) ** 2)
        depths.append(depth)
    offset = max(path.disparity_offset_sigma_px, 0.01)
    return sigma, float(np.median(depths)) / scene.rig.fb * offset
