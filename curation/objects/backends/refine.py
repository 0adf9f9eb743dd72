"""Instances of a model refine the objects of geometry: their names, their outlines, which are one body and which are two.

Nothing here makes an object of what geometry did not see moving; objects whose pixels jump from one body to another are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from curation.objects.backends.association import LEAST_FRAMES, Overlap, best_instance, merged_bodies, overlap
from curation.objects.backends.bodies import join, split, stands_on
from curation.objects.backends.classes import plausible_size
from curation.objects.backends.continuity import changes_body, steady
from curation.objects.backends.instances import Instance, box_region
from curation.objects.backends.outline import from_box, from_mask
from curation.objects.backends.points import Finder
from curation.objects.backends.register import Views
from curation.objects.backends.seeded import with_seeded
from curation.objects.masks import decode, encode
from curation.objects.measure import Measured
from schemas.camera import Array, CameraPath
from schemas.clip import ClipFrames
from schemas.track import ObjectTrack

_JUMPED = 0.2  # share of its frames that an object may lie on another body than its own
_NAME_SHARE = 0.6  # of an instance's votes
_LEAST_VISIBLE = 8


def refine(
    objects: Sequence[ObjectTrack],
    frames: ClipFrames,
    instances: Sequence[Instance],
    path: CameraPath,
    finder: Finder | None = None,
    measured: Measured | None = None,
    seed: int = 0,
) -> list[ObjectTrack]:
    """Objects with names, sharper outlines, one per body.

    Args:
        objects: what geometry found moving.
        frames: of a stereo clip.
        instances: what a model saw in its left frames, moving or not.
        path: camera path of the frames.
        finder: learned point tracker that measures how parts move, and that bodies stand; None: optical flow.
        measured: the clip's point tracks, from which bodies that geometry mixed up or missed are measured; None: they stay so.
        seed: of the colour models that sharpen the masks of those.

    Returns:
        The objects, largest first, numbered anew. ``stats`` tells what was done: ``category`` (a noun of the model),
        ``category_score``, ``category_source``, ``refined`` (words such as ``split``, ``joined``, ``stood``).
    """
    if not instances or (not objects and measured is None):
        return list(objects)
    views = Views(frames, path, finder, None if measured is None else measured.coarse)
    instances = steady(instances, views.disparity, frames.left.shape[1:3])
    shares = overlap(objects, instances)
    whole = [t for o, t in enumerate(objects) if not changes_body(shares, o, instances)]
    if measured is not None:
        whole = with_seeded(whole, instances, measured, frames, path, seed)
    shares = overlap(whole, instances)
    parts = [part for o, track in enumerate(whole) for part in _side_by_side(o, track, shares, instances, views)]
    shares = overlap(parts, instances)
    sound = [track for o, track in enumerate(parts) if not _jumps(shares, o, track, instances)]
    shares = overlap(sound, instances)
    owner = [best_instance(shares, o, instances, int(track.visible.sum())) for o, track in enumerate(sound)]
    joined = _joined(sound, owner)
    out = []
    for track, i in joined:
        if i is not None:
            track = stands_on(track, instances[i], views)
            track = _outlined(_named(track, instances[i]), instances[i], instances, frames)
        # What geometry measured stays however short it is; a part of it must show enough by itself.
        if "split_from" not in track.stats or track.visible.sum() >= min(_LEAST_VISIBLE, len(frames.left)):
            out.append(track)
    out.sort(key=lambda t: -float(t.stats.get("mask_share", 0.0)))
    return [replace(track, object_id=f"obj_{n + 1}") for n, track in enumerate(out)]


def _side_by_side(o: int, track: ObjectTrack, shares: Overlap, instances: Sequence[Instance], views: Views) -> list[ObjectTrack]:
    """An object as one track per body that it holds."""
    bodies = merged_bodies(shares, o, instances, int(track.visible.sum()))
    pieces = [p for i in bodies if (p := split(track, instances[i], [instances[j] for j in bodies if j != i], views))]
    return pieces if len(pieces) > 1 else [track]


def _jumps(shares: Overlap, o: int, track: ObjectTrack, instances: Sequence[Instance]) -> bool:
    """Whether an object lies on one body for a while and on another one later, while the first is still seen elsewhere."""
    owners = (np.nan_to_num(shares.inside[o]) >= 0.6) & (np.nan_to_num(shares.covers[o]) >= 0.15)
    counts = owners.sum(1)
    home = int(counts.argmax())
    if counts[home] < LEAST_FRAMES:
        return False
    away = instances[home].seen & (np.nan_to_num(shares.inside[o, home], nan=1.0) < 0.2)
    elsewhere = np.delete(owners, home, axis=0).any(0) & away & track.visible
    return bool(elsewhere.sum() >= max(3, _JUMPED * track.visible.sum()))


def _joined(tracks: Sequence[ObjectTrack], owner: Sequence[int | None]) -> list[tuple[ObjectTrack, int | None]]:
    """Objects that lie on one instance and may be one body become one."""
    out: list[tuple[ObjectTrack, int | None]] = []
    order = sorted(range(len(tracks)), key=lambda o: -int(tracks[o].visible.sum()))
    for o in order:
        for n, (main, i) in enumerate(out):
            if i is not None and i == owner[o] and (both := join(main, tracks[o])) is not None:
                out[n] = both, i
                break
        else:
            out.append((tracks[o], owner[o]))
    return out


def _named(track: ObjectTrack, instance: Instance) -> ObjectTrack:
    """With the instance's noun in ``stats``, where its votes agree."""
    if (
        not instance.category
        or instance.certainty < _NAME_SHARE
        or not plausible_size(instance.category, track.stats.get("size_m"))
    ):
        return track
    about = {"category": instance.category, "category_score": round(instance.score, 3), "category_source": instance.source}
    return replace(track, stats={**track.stats, **about})


def _outlined(track: ObjectTrack, own: Instance, instances: Sequence[Instance], frames: ClipFrames) -> ObjectTrack:
    """With masks sharpened in the frames in which the model sees it."""
    masks: list[dict[str, Any] | None] = list(track.masks)
    changed = 0
    for t in np.flatnonzero(track.visible & own.seen):
        rle = masks[t]
        if rle is None:
            continue
        mask, seen = decode(rle), own.masks[t]
        model = None if seen is None else decode(seen)
        sharp = from_mask(mask, model) if model is not None and own.exact else mask
        if sharp is mask:  # no mask, a rough one, or one of something else: its box bounds the body
            others = _other_boxes(own, instances, int(t), mask.shape)
            sharp = from_box(frames.left[t], mask, own.boxes_px[t], others, None if own.exact else model)
        if sharp.any() and (sharp != mask).any():
            masks[t] = encode(sharp)
            changed += 1
    return with_masks(track, masks, outlined=changed)


def _other_boxes(own: Instance, instances: Sequence[Instance], t: int, shape: tuple[int, int]) -> Bool[Array, "h w"]:
    out = np.zeros(shape, bool)
    for other in instances:
        if other is not own and other.seen[t]:
            out |= box_region(other.boxes_px[t], out.shape)
    return out


def with_masks(track: ObjectTrack, masks: Sequence[dict[str, Any] | None], **notes: int) -> ObjectTrack:
    """The track with other masks, and the boxes and the share of the frame that follow from them."""
    boxes: Float[Array, "t 4"] = np.full((len(masks), 4), np.nan)
    share = 0.0
    for t, rle in enumerate(masks):
        if rle is None:
            continue
        mask = decode(rle)
        v, u = np.nonzero(mask)
        if len(v):
            boxes[t] = u.min(), v.min(), u.max() + 1, v.max() + 1
            share = max(share, float(mask.mean()))
    stats = {**track.stats, "mask_share": round(share, 5)} | {name: count for name, count in notes.items() if count}
    return replace(track, masks=tuple(masks), bbox_xyxy_px=boxes, stats=stats)
