"""The published track of an accepted group: masks, visibility, centroids, covariance, surface points."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from curation.geometry import transform
from curation.objects import lift
from curation.objects.appearance import Appearance, evidence
from curation.objects.grouping import Group, Scene
from curation.objects.masks import encode, mask_box, mask_step, object_mask
from curation.objects.measure import Measured
from curation.objects.static_test import triangulate
from curation.objects.surface import ground_disparity, on_surface_share
from curation.objects.weigh import Candidate
from schemas.camera import Array, CameraPath
from schemas.clip import ClipFrames
from schemas.track import ObjectTrack

_TEST_EVERY = 3
_LEAST_VISIBLE = 6
_BEHIND_PX, _NEAR_PX = 15, 1e6
_MOVED_SHARE = 0.6  # of the mask's pixels that can be told, that changed when the object had gone
_MOVED_SIGMAS = 6.0
_CUT_PX = 2
_UNSEEN_SLOPE, _CUT_SHARE = 0.5, 0.4
_GAP_SHARE = 0.5  # of an empty stretch of range among the nearest points: those before it may be another thing's
_UNSEEN_SHARE = 0.06  # of its size: how much nearer or farther the true surface is than the nearest tracked point


def publish(
    measured: Measured,
    frames: ClipFrames,
    path: CameraPath,
    appearance: Appearance,
    candidate: Candidate,
    accepted: list[Candidate],
    seed: int,
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
    seen_at = {int(t): scene.tracks.uvd[scene.rows_at[t][believed[scene.rows_at[t]]]] for t in np.flatnonzero(visible)}
    moved, stayed = 0, 0
    unseen_px = np.zeros(total)
    for t in np.flatnonzero(visible):
        here = scene.rows_at[t]
        inside = seen_at[int(t)]
        inside = np.concatenate([inside, _companions(scene, inside, here[loose[scene.tracks.track[here]]])])
        outside = scene.tracks.uvd[here[~mine[scene.tracks.track[here]] & ~unclear[scene.tracks.track[here]]]]
        dense = cv2.resize(measured.coarse[t].astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST)
        floor = None if measured.ground is None else ground_disparity(measured.ground, scene, int(t), (height, width))
        dense = dense + np.float32(path.disparity_offset_px)
        box = mask_box(inside, (height, width)) if len(inside) else (0, 0, 0, 0)
        shrink = mask_step(box)
        behind = cv2.erode(np.where(np.isfinite(dense), dense, _NEAR_PX), np.ones((_BEHIND_PX, _BEHIND_PX), np.uint8))
        guesses = [dense, np.where(behind < _NEAR_PX, behind, np.nan)]
        told = evidence(appearance, scene, motion, seen_at, int(t), guesses, floor, box, shrink)
        mask = object_mask(frames.left[t], dense, inside, outside, floor, told, seed * 1009 + int(t))
        if mask is None or not mask.any():
            visible[t] = False
            continue
        of_mask = told[mask[box[1] : box[3] : shrink, box[0] : box[2] : shrink]]
        moved, stayed = moved + int((of_mask > 0).sum()), stayed + int((of_mask < 0).sum())
        masks[t] = encode(mask)
        v, u = np.nonzero(mask)
        boxes[t] = u.min(), v.min(), u.max() + 1, v.max() + 1
        unseen_px[t] = _unseen_px(mask, inside)
        area[t] = mask.sum()
    if visible.sum() < _LEAST_VISIBLE or moved < _MOVED_SHARE * (moved + stayed):
        return None
    centroid, covariance = np.full((total, 3), np.nan), np.full((total, 3, 3), np.nan)
    inside_motion = slice(motion.first, motion.last + 1)
    centroids = lift.carried(group, model.centre[None])[:, 0]
    centroid[inside_motion] = centroids
    covariance[inside_motion] = lift.centroid_covariance(scene, group, model, centroids)
    if _farthest_sigmas(centroid[visible], covariance[visible]) < _MOVED_SIGMAS:
        return None
    firm = np.flatnonzero(lift.firm(model))
    chosen = firm[lift.spread_out(model.points[firm], lift.MAX_POINTS)]
    points = np.full((total, len(chosen), 3), np.nan, np.float32)
    points[inside_motion] = lift.carried(group, model.points[chosen])
    moving = np.zeros(total, bool)
    moving[inside_motion] = lift.moves(scene, group)
    number = np.bincount(scene.tracks.frame[rows], minlength=total)
    gap = np.full(total, np.nan)
    gap[inside_motion] = lift.near_gap_m(lift.carried(group, model.points[firm]), path.centers_m[inside_motion])
    points_sigma, common = _range_sigma(scene, path, points, model, covariance, visible, unseen_px, gap)
    for array in (centroid, covariance, points, points_sigma):
        array[~visible] = np.nan
    stats = candidate.stats | {"mask_share": round(float(area.max()) / (height * width), 5), "size_m": round(model.size_m, 3)}
    stats |= {"moved_px": moved, "stayed_px": stayed}
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


def mask_share(track: ObjectTrack) -> float:
    """Share of the frame that a track's mask covers where it is largest."""
    return float(track.stats["mask_share"])


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


def _farthest_sigmas(centroid: Float[Array, "f 3"], covariance: Float[Array, "f 3 3"]) -> float:
    """The largest displacement between two frames over its own sigma; the sides of a sliding edge disagree."""
    between = centroid[:, None] - centroid[None]
    far = np.linalg.norm(between, axis=-1)
    direction = between / np.maximum(far, 1e-9)[..., None]
    along = np.einsum("abi,aij,abj->ab", direction, covariance, direction)
    return float((far / np.sqrt(np.maximum(along + along.T, 1e-12))).max())


def _unseen_px(mask: Bool[Array, "h w"], inside: Float[Array, "n 3"]) -> float:
    """How far the mask reaches beyond the object's points, pixels (95 % of its pixels); endless where the frame cuts it off."""
    height, width = mask.shape
    v, u = np.nonzero(mask)
    if u.min() < _CUT_PX or v.min() < _CUT_PX or u.max() >= width - _CUT_PX or v.max() >= height - _CUT_PX:
        return np.inf
    gap, _ = cKDTree(inside[:, :2]).query(np.column_stack([u, v])[:: max(1, len(u) // 2000)] + 0.5)
    return float(np.quantile(gap, 0.95))


def _range_sigma(
    scene: Scene,
    path: CameraPath,
    points: Array,
    model: lift.Model,
    covariance: Array,
    visible: Array,
    unseen_px: Array,
    gap_m: Array,
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
        # Between the points and beyond them the surface may come nearer, by a share of how wide that is.
        beyond = min(_UNSEEN_SLOPE * unseen_px[t] * depth / scene.rig.fx, _CUT_SHARE * model.size_m)
        shape = (_UNSEEN_SHARE * model.size_m) ** 2 + beyond**2 + (_GAP_SHARE * gap_m[t]) ** 2
        sigma[t] = np.sqrt(ray @ covariance[t] @ ray + own**2 + shape)
        depths.append(depth)
    offset = max(path.disparity_offset_sigma_px, 0.01)
    return sigma, float(np.median(depths)) / scene.rig.fb * offset
