"""An object's outline, sharpened by what a model says are its pixels, or by the box that the model draws around it."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from curation.objects.backends.instances import box_region
from schemas.camera import Array

_LEAST_IOU = 0.4  # between a model's mask and the object's own, for the model's to be taken
_PAD = 0.04  # of a box's side: how far the body may reach beyond it
_GROWS, _SHRINKS = 6.0, 0.5
_KEPT = 0.6  # of the mask that must lie in the box


def from_mask(own: Bool[Array, "h w"], model: Bool[Array, "h w"]) -> Bool[Array, "h w"]:
    """The model's mask where it is the same thing (a fragment of it counts, if it lies on it), else the object's own."""
    shared = float((own & model).sum())
    same = shared / max(float((own | model).sum()), 1.0) >= _LEAST_IOU or shared >= 0.8 * own.sum() > 0.2 * model.sum()
    return model if same else own


def from_box(
    image: UInt8[Array, "h w 3"],
    own: Bool[Array, "h w"],
    box_px: Float[Array, "4"],
    others: Bool[Array, "h w"],
    hint: Bool[Array, "h w"] | None = None,
) -> Bool[Array, "h w"]:
    """The body in a box: GrabCut grown from the object's own mask and bounded by the box.

    Args:
        image: RGB.
        own: the mask that geometry found.
        box_px: of the model.
        others: pixels in boxes of other instances; they are not claimed beyond ``own``.
        hint: pixels of the body's class, roughly; None unknown.

    Returns:
        The sharpened mask; ``own`` where the two do not go together or the colours do not tell the body apart.
    """
    width, height = box_px[2:] - box_px[:2]
    pad = _PAD * np.array([width, height])
    box = np.concatenate([box_px[:2] - pad, box_px[2:] + pad])
    inside = box_region(box, own.shape)
    clipped = own & inside
    if clipped.sum() < _KEPT * own.sum() or not clipped.any():
        return own
    low = np.clip(np.floor(box[:2] - 0.15 * np.array([width, height]) - 4), 0, None).astype(int)
    high = np.minimum(np.ceil(box[2:] + 0.15 * np.array([width, height]) + 4), own.shape[::-1]).astype(int)
    view = np.s_[low[1] : high[1], low[0] : high[0]]
    crop, mine, room, taken = image[view], clipped[view], inside[view], others[view] & ~clipped[view]
    core = cv2.erode(mine.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    trimap = np.where(room & ~taken, cv2.GC_PR_BGD, cv2.GC_BGD).astype(np.uint8)
    if hint is not None:
        trimap[hint[view] & room & ~taken] = cv2.GC_PR_FGD
    trimap[mine] = cv2.GC_PR_FGD
    trimap[core] = cv2.GC_FGD
    if not core.any() or (trimap == cv2.GC_BGD).sum() < 20:
        return clipped
    cv2.setRNGSeed(0)
    work = trimap.copy()
    cv2.grabCut(
        np.ascontiguousarray(crop[..., ::-1]), work, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK
    )
    sharp = _main_part((work == cv2.GC_FGD) | (work == cv2.GC_PR_FGD), core)
    if not _SHRINKS * mine.sum() <= sharp.sum() <= _GROWS * mine.sum() or sharp.sum() > 0.95 * room.sum():
        return clipped
    out = np.zeros_like(own)
    out[view] = sharp
    return out


def _main_part(mask: Bool[Array, "h w"], core: Bool[Array, "h w"]) -> Bool[Array, "h w"]:
    """The pieces that touch the object's core, without specks and pinholes."""
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) | core.astype(np.uint8)
    count, labels = cv2.connectedComponents(closed)
    held = np.unique(labels[core]) if count > 1 else np.zeros(0, int)
    whole = np.isin(labels, held[held > 0]).astype(np.uint8)
    return cv2.morphologyEx(whole, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)).astype(bool)
