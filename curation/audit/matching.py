"""Which true body each published object is, by the overlap of their masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.audit.published import PublishedClip, decode_mask, seen_by
from curation.worlds.truth import Truth

# A published object is a body where their masks are much the same, or where it lies on that body at least (a wheel and its shadow
# move as their car does, and what is said about them must be true of the car). Otherwise it is nothing: a phantom.
MIN_IOU = 0.3
MIN_SHARE = 0.3


@dataclass(frozen=True)
class Match:
    """A published object and the body it is.

    Attributes:
        object_id: of the published object.
        body: index into the truth's bodies; None for a phantom.
        iou: intersection over union, summed over the object's frames.
        share: of its pixels that lie on that body.
        purity: share of its frames in which that body has the most of its pixels; below 1 the track jumped to another body.
        is_mover: the body moves at some time of the clip (False for phantoms and parked bodies).
    """

    object_id: str
    body: int | None
    iou: float
    share: float
    purity: float
    is_mover: bool


def match_objects(clip: PublishedClip, truth: Truth) -> dict[str, Match]:
    """Match every object of a clip, by object id. An object without any mask is a phantom."""
    out = {}
    ids = sorted({row["object_id"] for row in clip.objects} | set(clip.tracks))
    for object_id in ids:
        count = len(truth.names)
        shared, union, own_px = np.zeros(count), np.zeros(count), 0
        most: list[int] = []
        for row in clip.tracks.get(object_id, []):
            mask = decode_mask(row["mask_rle"]) if row["visible"] else None
            if mask is None:
                continue
            labels = truth.labels[clip.source_frames[row["frame"]]]
            own = seen_by(mask, clip.camera, truth.camera)
            areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
            inside = np.bincount(labels[own], minlength=count + 1)[1:]
            shared, union, own_px = shared + inside, union + areas + own.sum() - inside, own_px + int(own.sum())
            if own.any():
                most.append(int(inside.argmax()) if count and inside.max() else -1)
        best = int(shared.argmax()) if count and shared.max() else None
        iou = float(shared[best] / union[best]) if best is not None else 0.0
        share = float(shared[best] / own_px) if best is not None else 0.0
        body = best if iou >= MIN_IOU or share >= MIN_SHARE else None
        purity = float(np.mean([b == body for b in most])) if body is not None else 0.0
        mover = body is not None and bool(truth.moving[clip.source_frames[0] : clip.source_frames[-1] + 1, body].any())
        out[object_id] = Match(object_id, body, iou, share, purity, mover)
    return out


def eligible_movers(clip: PublishedClip, truth: Truth, min_move_m: float = 0.3, min_share: float = 0.003) -> list[int]:
    """Bodies that a good measurement should find.

    While they cover more than ``min_share`` of the frame (at a quarter of the question frames or more) their centroid is
    displaced by more than ``min_move_m``.
    """
    frames = np.array(clip.source_frames)
    out = []
    for body in range(len(truth.names)):
        share = (truth.labels[frames] == body + 1).mean((1, 2))
        seen = frames[share > min_share]
        if len(seen) < max(2, len(frames) // 4):
            continue
        spots = truth.centroid_m[seen, body]
        if np.linalg.norm(spots[:, None] - spots[None], axis=-1).max() > min_move_m:
            out.append(body)
    return out
