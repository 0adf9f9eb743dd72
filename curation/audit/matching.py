"""Which true body each published object is, by the overlap of their masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.audit.published import PublishedClip, decode_mask, seen_by
from curation.worlds.truth import Truth

MIN_IOU = 0.3  # below, a published object is none of the bodies: a phantom
MIN_FRAME_IOU = 0.1


@dataclass(frozen=True)
class Match:
    """A published object and the body it is.

    Attributes:
        object_id: of the published object.
        body: index into the truth's bodies; None for a phantom.
        iou: intersection over union, summed over the object's frames.
        purity: share of its frames in which that body overlaps it most; less than 1 where the track jumped to another body.
        is_mover: the body moves at some time of the clip (False for phantoms and parked bodies).
    """

    object_id: str
    body: int | None
    iou: float
    purity: float
    is_mover: bool


def match_objects(clip: PublishedClip, truth: Truth) -> dict[str, Match]:
    """Match every object of a clip, by object id. An object without any mask is a phantom."""
    out = {}
    ids = sorted({row["object_id"] for row in clip.objects} | set(clip.tracks))
    for object_id in ids:
        shared = np.zeros(len(truth.names))
        union = np.zeros(len(truth.names))
        best: list[int] = []
        for row in clip.tracks.get(object_id, []):
            mask = decode_mask(row["mask_rle"]) if row["visible"] else None
            if mask is None:
                continue
            labels = truth.labels[clip.source_frames[row["frame"]]]
            own = seen_by(mask, clip.camera, truth.camera)
            areas = np.bincount(labels.ravel(), minlength=len(truth.names) + 1)[1:]
            inside = np.bincount(labels[own], minlength=len(truth.names) + 1)[1:]
            together = areas + own.sum() - inside
            shared, union = shared + inside, union + together
            frame_iou = inside / np.maximum(together, 1)
            best.append(int(frame_iou.argmax()) if frame_iou.size and frame_iou.max() >= MIN_FRAME_IOU else -1)
        iou = shared / np.maximum(union, 1)
        body = int(iou.argmax()) if iou.size and iou.max() >= MIN_IOU else None
        purity = float(np.mean([b == body for b in best])) if body is not None else 0.0
        score = float(iou.max()) if iou.size else 0.0
        mover = body is not None and bool(truth.moving[clip.source_frames[0] : clip.source_frames[-1] + 1, body].any())
        out[object_id] = Match(object_id, body, score, purity, mover)
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
