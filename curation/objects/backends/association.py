"""Which instance of a model is which object of geometry? Decided by their pixels over many frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from curation.objects.backends.classes import group_of
from curation.objects.backends.instances import Instance
from curation.objects.masks import decode
from schemas.camera import Array
from schemas.track import ObjectTrack

LEAST_FRAMES = 5
_LEAST_SHARE = 0.25  # of the object's frames in which the instance is seen
_CONTAINED = 0.65
_COVERS = 0.2  # a body fills about half of its box; a wheel less than this of its car's
_RIVAL = 0.75  # an instance of another class that fits this well, relative to the best, leaves the name open


@dataclass(frozen=True)
class Overlap:
    """Of O objects and I instances over T frames; NaN where either is not seen.

    Attributes:
        inside: (O, I, T) share of the object's pixels that lie on the instance.
        covers: (O, I, T) share of the instance's pixels that the object covers.
    """

    inside: Float[Array, "o i t"]
    covers: Float[Array, "o i t"]

    def both(self, o: int, i: int) -> Bool[Array, "t"]:
        """Frames in which both are seen."""
        return np.isfinite(self.inside[o, i])

    def fit(self, o: int, i: int, visible: int) -> float:
        """How well an instance fits an object, 0..1; 0 where they are not the same thing."""
        both = self.both(o, i)
        if both.sum() < max(LEAST_FRAMES, _LEAST_SHARE * visible):
            return 0.0
        inside, covers = float(np.median(self.inside[o, i, both])), float(np.median(self.covers[o, i, both]))
        return inside * covers if inside >= _CONTAINED and covers >= _COVERS else 0.0


def overlap(objects: Sequence[ObjectTrack], instances: Sequence[Instance]) -> Overlap:
    """Shares of pixels that objects and instances have in common."""
    total = len(objects[0].visible) if objects else 0
    inside = np.full((len(objects), len(instances), total), np.nan)
    covers = inside.copy()
    for o, track in enumerate(objects):
        for t in np.flatnonzero(track.visible):
            rle = track.masks[t]
            near = [i for i, instance in enumerate(instances) if instance.seen[t]]
            if rle is None or not near:
                continue
            mask = decode(rle)
            area = float(mask.sum())
            for i in near:
                if not _touch(track.bbox_xyxy_px[t], instances[i].boxes_px[t]):
                    inside[o, i, t] = covers[o, i, t] = 0.0
                    continue
                region = instances[i].region(int(t), mask.shape)
                assert region is not None
                shared = float((mask & region).sum())
                inside[o, i, t], covers[o, i, t] = shared / max(area, 1.0), shared / max(float(region.sum()), 1.0)
    return Overlap(inside, covers)


def _touch(a: Array, b: Array) -> bool:
    return bool((np.minimum(a[2:], b[2:]) > np.maximum(a[:2], b[:2])).all())


def best_instance(shares: Overlap, o: int, instances: Sequence[Instance], visible: int) -> int | None:
    """The instance that is an object; None where none fits, or where one of another class fits about as well."""
    fits = [shares.fit(o, i, visible) for i in range(len(instances))]
    if not fits or max(fits) == 0:
        return None
    best = int(np.argmax(fits))
    group = group_of(instances[best].category)
    rivals = [f for i, f in enumerate(fits) if group_of(instances[i].category) != group]
    return None if max(rivals, default=0.0) > _RIVAL * fits[best] else best


def merged_bodies(shares: Overlap, o: int, instances: Sequence[Instance], visible: int) -> list[int]:
    """Instances of one class that an object's mask holds together, over many frames; [] where it is one body."""
    best: list[int] = []
    for group in sorted({group_of(i.category) for i in instances if i.category}):
        held = []
        for i, instance in enumerate(instances):
            both = shares.both(o, i)
            if group_of(instance.category) != group or both.sum() < max(LEAST_FRAMES, 0.3 * visible):
                continue
            inside, covers = np.median(shares.inside[o, i, both]), np.median(shares.covers[o, i, both])
            if 0.2 <= inside <= 0.8 and covers >= 0.25:
                held.append(i)
        held = _apart(held, instances, visible)
        together = [np.nansum([shares.inside[o, i] for i in held], axis=0)] if len(held) > 1 else []
        seen = np.all([shares.both(o, i) for i in held], axis=0) if len(held) > 1 else np.zeros(0, bool)
        if (
            seen.sum() >= max(LEAST_FRAMES, 0.3 * visible)
            and float(np.median(together[0][seen])) >= 0.75
            and len(held) > len(best)
        ):
            best = held
    return best


def _apart(held: list[int], instances: Sequence[Instance], visible: int) -> list[int]:
    """Without instances that are the same box as a more certain one, or are seldom seen beside it."""
    out: list[int] = []
    for i in sorted(held, key=lambda i: -float(instances[i].scores.sum())):
        fine = True
        for j in out:
            both = instances[i].seen & instances[j].seen
            if both.sum() < max(LEAST_FRAMES, 0.3 * visible):
                fine = False
                continue
            a, b = instances[i].boxes_px[both], instances[j].boxes_px[both]
            sides = np.clip(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0, None).prod(1)
            smaller = np.minimum((a[:, 2:] - a[:, :2]).prod(1), (b[:, 2:] - b[:, :2]).prod(1))
            fine &= bool(np.median(sides / np.maximum(smaller, 1e-9)) < 0.5)
        if fine:
            out.append(i)
    return out
