"""Outlines of an object in each frame: a vote of the tracks nearby, sharpened by colour (GrabCut)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int8, UInt8
from pycocotools import mask as coco
from scipy.spatial import cKDTree

from curation.objects.appearance import BACKGROUND, CHANGED, OBJECT, SHADOW
from schemas.camera import Array

_MARGIN_PX = 14
_FEW = 60  # points that outline an object from every side
_VOTES = 5
_RIM_PX = 4.5
_PIXEL_SCALE = 9.0
_COLOUR_SCALE = 14.0


def encode(mask: Bool[Array, "h w"]) -> dict[str, Any]:
    """COCO run-length encoding ``{"size": [h, w], "counts": str}``."""
    rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(x) for x in rle["size"]], "counts": rle["counts"].decode("ascii")}


def decode(rle: dict[str, Any]) -> Bool[Array, "h w"]:
    """The inverse of ``encode``."""
    return np.asarray(coco.decode({"size": rle["size"], "counts": rle["counts"].encode("ascii")})).astype(bool)


def mask_box(inside: Float[Array, "n 3"], shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of a frame (u0, v0, u1, v1) that an object's outline is looked for in, from the points on it."""
    low, high = np.quantile(inside[:, :2], 0.02, axis=0), np.quantile(inside[:, :2], 0.98, axis=0)
    # Few points may all lie on one part of it.
    margin = _MARGIN_PX + (0.5 * (high - low) if len(inside) < _FEW else 0.0)
    low = np.maximum(np.floor(low - margin), 0).astype(int)
    high = np.minimum(np.ceil(high + margin), [shape[1], shape[0]]).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def mask_step(box: tuple[int, int, int, int]) -> int:
    """Pixels between the samples that an outline is made on: large ones need not be sharp."""
    return 2 if max(box[2] - box[0], box[3] - box[1]) > 90 else 1


def object_mask(
    image: UInt8[Array, "h w 3"],
    disparity: Float[Array, "h w"],
    inside: Float[Array, "n 3"],
    outside: Float[Array, "m 3"],
    ground: Float[Array, "h w"] | None,
    evidence: Int8[Array, "bh bw"],
    seed: int,
) -> Bool[Array, "h w"] | None:
    """Pixels of an object in one frame.

    Args:
        image: RGB.
        disparity: a rough dense disparity of the same size, NaN unknown.
        inside: (u, v, disparity) of points on the object.
        outside: the same of points that are not on it.
        ground: disparity that the ground has at every pixel (NaN above the horizon), None unknown.
        evidence: of the pixels of ``mask_box``, every ``mask_step`` of them (``appearance.evidence``).
        seed: of GrabCut's colour models.

    Returns:
        The mask, or None where the points do not outline anything.
    """
    if len(inside) < 3:
        return None
    height, width = image.shape[:2]
    u0, v0, u1, v1 = mask_box(inside, (height, width))
    shrink = mask_step((u0, v0, u1, v1))
    crop = image[v0:v1:shrink, u0:u1:shrink] if shrink == 1 else cv2.resize(
        image[v0:v1, u0:u1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA
    )  # fmt: skip
    depth = cv2.resize(disparity[v0:v1, u0:u1].astype(np.float32), crop.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    told = cv2.resize(evidence, crop.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    typical = float(np.nanmedian(inside[:, 2])) if np.isfinite(inside[:, 2]).any() else np.nan
    outside = np.concatenate([outside, _elsewhere(disparity, ground, inside, typical, (u0, v0, u1, v1))])
    vote = _vote(crop, depth, inside, outside, np.array([u0, v0]), shrink, typical)
    vote = _with_evidence(vote, told, depth, typical)
    sharp = _grab_cut(crop, vote, inside, outside, np.array([u0, v0]), shrink, seed)
    rows, cols, _ = _cell(inside, np.array([u0, v0]), shrink, crop.shape)
    small = _whole(sharp, vote, rows, cols)
    if small is None:
        return None
    out = np.zeros((height, width), bool)
    back = cv2.resize(small.astype(np.uint8), (u1 - u0, v1 - v0), interpolation=cv2.INTER_NEAREST)
    out[v0:v1, u0:u1] = back > 0
    return out


def _with_evidence(vote: Array, told: Array, depth: Array, typical: float) -> Array:
    """The points' vote, corrected by what the pixels say; what changed but lies at another depth is something else."""
    away = np.abs(depth - typical) > max(0.8, 0.12 * typical) if np.isfinite(typical) else np.zeros(depth.shape, bool)
    out = vote.copy()
    out[(told == OBJECT) & ~away] = np.maximum(out, 0.85)[(told == OBJECT) & ~away]
    out[(told == CHANGED) & ~away] = (0.5 * out + 0.5)[(told == CHANGED) & ~away] * (0.5 + 0.5 * (vote > 0))[
        (told == CHANGED) & ~away
    ]
    out[(told == SHADOW) & (vote < 0.5)] = 0.0
    out[told == BACKGROUND] *= 0.2
    return out


def _elsewhere(
    disparity: Array, ground: Array | None, inside: Array, typical: float, box: tuple[int, int, int, int]
) -> Float[Array, "m 3"]:
    """Places of the box whose dense disparity is the ground's or far from the object's: they are not on it."""
    u0, v0, u1, v1 = box
    v, u = np.mgrid[v0 + 2 : v1 : 4, u0 + 2 : u1 : 4]
    v, u = v.ravel(), u.ravel()
    dense = disparity[v, u]
    away = np.zeros(len(v), bool)
    if np.isfinite(typical):
        low, high = np.nanquantile(inside[:, 2], [0.05, 0.95])
        margin = max(0.8, 0.1 * typical)
        away |= (dense < low - margin) | (dense > high + margin)
    if ground is not None:
        away |= np.abs(dense - ground[v, u]) < 0.25 + 0.01 * ground[v, u]
    nearest, _ = cKDTree(inside[:, :2]).query(np.column_stack([u, v]) + 0.5)
    away &= nearest > 3.0
    return np.column_stack([u, v, dense])[away] + [0.5, 0.5, 0.0]


def _cell(points: Array, origin: Array, shrink: int, shape: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """Rows and columns of points in the crop, and which of them lie in it."""
    at = np.floor((points[:, :2] - origin) / shrink).astype(int)
    good = (at >= 0).all(1) & (at[:, 0] < shape[1]) & (at[:, 1] < shape[0])
    return at[good, 1], at[good, 0], good


def _vote(crop: Array, depth: Array, inside: Array, outside: Array, origin: Array, shrink: int, typical: float) -> Array:
    """Share of the nearest points (in place, colour and disparity) that are on the object, per pixel of the crop."""
    lab = cv2.cvtColor(cv2.GaussianBlur(crop, (0, 0), 1.0), cv2.COLOR_RGB2LAB).astype(np.float32)
    scale = max(1.0, 0.08 * typical) if np.isfinite(typical) else 1.0
    relative = np.clip((depth - typical) / scale, -3, 3) if np.isfinite(typical) else np.zeros_like(depth)
    relative = np.where(np.isfinite(relative), relative, 0.0)
    near = (outside[:, 0] > origin[0] - 20) & (outside[:, 0] < origin[0] + crop.shape[1] * shrink + 20)
    near &= (outside[:, 1] > origin[1] - 20) & (outside[:, 1] < origin[1] + crop.shape[0] * shrink + 20)
    points = np.concatenate([inside, outside[near]])
    label = np.concatenate([np.ones(len(inside)), np.zeros(int(near.sum()))])
    rows = np.clip(((points[:, 1] - origin[1]) / shrink).astype(int), 0, crop.shape[0] - 1)
    cols = np.clip(((points[:, 0] - origin[0]) / shrink).astype(int), 0, crop.shape[1] - 1)
    own = np.clip((points[:, 2] - typical) / scale, -3, 3) if np.isfinite(typical) else np.zeros(len(points))
    own = np.where(np.isfinite(own), own, relative[rows, cols])
    place = (points[:, :2] - origin) / shrink
    feature = np.column_stack([place * shrink / _PIXEL_SCALE, lab[rows, cols] / _COLOUR_SCALE, own])
    v, u = np.mgrid[: crop.shape[0], : crop.shape[1]]
    pixel = np.column_stack([(u.ravel() + 0.5) * shrink / _PIXEL_SCALE, (v.ravel() + 0.5) * shrink / _PIXEL_SCALE])
    pixel = np.column_stack([pixel, lab.reshape(-1, 3) / _COLOUR_SCALE, relative.ravel()])
    # A pixel far from every point of the object, by the object's own spacing, is not on it.
    own_points = cKDTree(inside[:, :2])
    spacing = float(np.median(own_points.query(inside[:, :2], k=2)[0][:, 1])) if len(inside) > 1 else 8.0
    gap, _ = own_points.query(pixel[:, :2] * _PIXEL_SCALE + origin)
    close = np.flatnonzero(gap <= max(10.0, 3.0 * spacing))
    count = min(_VOTES, len(points))
    distance, index = cKDTree(feature).query(pixel[close], k=count)
    weight = 1.0 / (distance.reshape(len(close), count) ** 2 + 0.3)
    share = np.zeros(len(pixel))
    share[close] = (label[index].reshape(len(close), count) * weight).sum(1) / weight.sum(1)
    return share.reshape(crop.shape[:2])


def _grab_cut(crop: Array, vote: Array, inside: Array, outside: Array, origin: Array, shrink: int, seed: int) -> Array | None:
    likely = vote > 0.5
    trimap = np.where(likely, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    far = cv2.distanceTransform((~likely).astype(np.uint8), cv2.DIST_L2, 3) > 10 / shrink
    deep = cv2.distanceTransform(likely.astype(np.uint8), cv2.DIST_L2, 3) > 8 / shrink
    trimap[far] = cv2.GC_BGD
    trimap[deep & (vote > 0.9)] = cv2.GC_FGD
    rows, cols, _ = _cell(outside, origin, shrink, crop.shape)
    weak = vote[rows, cols] < 0.6  # a lone stray among many members is not believed
    trimap[rows[weak], cols[weak]] = cv2.GC_BGD
    rows, cols, _ = _cell(inside, origin, shrink, crop.shape)
    # Points within a matching window of the rim may be background that was matched with the object.
    depth_inside = cv2.distanceTransform(likely.astype(np.uint8), cv2.DIST_L2, 3)
    strong = (vote[rows, cols] > 0.4) & (depth_inside[rows, cols] > _RIM_PX / shrink)
    trimap[rows[strong], cols[strong]] = cv2.GC_FGD
    sure = trimap == cv2.GC_FGD
    if not sure.any() or not (trimap == cv2.GC_BGD).any():
        return None
    cv2.setRNGSeed(seed & 0x7FFFFFFF)
    work, model_a, model_b = trimap.copy(), np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(np.ascontiguousarray(crop[..., ::-1]), work, (0, 0, 1, 1), model_a, model_b, 2, cv2.GC_INIT_WITH_MASK)
    return (work == cv2.GC_FGD) | (work == cv2.GC_PR_FGD)


def _whole(sharp: Array | None, vote: Array, rows: Array, cols: Array) -> Array | None:
    """GrabCut's answer, or the vote where GrabCut collapsed or swelled.

    Without holes, and without specks and parts that hardly any of the object's points (``rows, cols``) lie on.
    """
    plain = vote > 0.5
    if plain.sum() < 12:
        return None
    chosen = plain
    if sharp is not None and 0.4 * plain.sum() < sharp.sum() < 1.4 * plain.sum():
        overlap = (sharp & plain).sum() / (sharp | plain).sum()
        chosen = sharp if overlap > 0.4 else plain
    closed = cv2.morphologyEx(chosen.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    closed = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(closed)
    if count < 2:
        return None
    areas = stats[1:, cv2.CC_STAT_AREA]
    near = cv2.dilate(labels.astype(np.uint8) if count < 256 else labels.astype(np.uint16), np.ones((5, 5), np.uint8))
    points = np.bincount(near[rows, cols], minlength=count)[1:]
    if not points.any():
        return None
    keep = np.flatnonzero((points >= max(2, 0.08 * points.max())) & (areas > 0.02 * areas.max())) + 1
    if not len(keep):
        keep = np.array([int(points.argmax()) + 1])
    return np.isin(labels, keep)
