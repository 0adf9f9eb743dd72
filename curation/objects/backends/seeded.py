"""Groups begun from the bodies that a model sees: the point tracks inside one instance, grouped and judged as all others are.

A model knows which points are one body; motion alone mixes a body with its neighbours where they move alike, and finds too few
points of a small one to begin with. Whether the body moves is still decided by its points: one rigid motion relative to the
world, over what standing still and its own sigma explain, with the same gates as without a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int

from curation.objects.appearance import Appearance
from curation.objects.backends.association import merged_bodies, overlap
from curation.objects.backends.instances import Instance
from curation.objects.candidates import beside_nearer, merge_fragments
from curation.objects.grouping import Scene, grow_groups
from curation.objects.masks import decode
from curation.objects.measure import Measured
from curation.objects.publish import mask_share, publish
from curation.objects.weigh import GATES, Candidate, weigh
from schemas.camera import Array, CameraPath
from schemas.clip import ClipFrames
from schemas.track import ObjectTrack

_INSET = 0.08  # of a box: its rim is background
_INSIDE = 0.7  # of a track's frames in which the instance is seen
_LEAST_FRAMES = 4
_DEPTH_RATIO = 0.25
_POOL = 2.0
_LEAST_MOVING = 6
_SAME_PIXELS = 0.5
_LONGER = 1.3
_NONE = np.zeros(0, np.int64)


def own_tracks(scene: Scene, instance: Instance, shape: tuple[int, int]) -> Int[Array, "m"]:
    """Point tracks that lie on an instance, at its distance, for most of the frames in which it is seen."""
    inside, seen = np.zeros(scene.tracks.count), np.zeros(scene.tracks.count)
    for t in np.flatnonzero(instance.seen):
        rows = scene.rows_at[t]
        uvd, who = scene.tracks.uvd[rows], scene.tracks.track[rows]
        on = _on(instance, int(t), uvd[:, :2], shape)
        depth = uvd[:, 2]
        if np.isfinite(depth[on]).sum() >= 5:
            typical = float(np.nanmedian(depth[on]))
            with np.errstate(invalid="ignore"):
                on &= ~(np.abs(depth - typical) > max(1.0, _DEPTH_RATIO * typical))
        np.add.at(inside, who, on)
        np.add.at(seen, who, 1)
    return np.flatnonzero((inside >= _LEAST_FRAMES) & (inside >= _INSIDE * seen))


def _on(instance: Instance, t: int, uv: Float[Array, "n 2"], shape: tuple[int, int]) -> Bool[Array, "n"]:
    rle = instance.masks[t]
    out = np.ones(len(uv), bool)
    if rle is None or not instance.exact:
        low, high = instance.boxes_px[t].reshape(2, 2)
        inset = _INSET * (high - low)
        out &= ((uv > low + inset) & (uv < high - inset)).all(1)
    if rle is not None:
        at = np.clip(uv.astype(int), 0, np.array(shape[::-1]) - 1)
        out &= decode(rle)[at[:, 1], at[:, 0]]
    return out


def seeded(measured: Measured, bodies: Sequence[Int[Array, "m"]], taken: Bool[Array, "n"]) -> list[tuple[Candidate, int]]:
    """Groups of the tracks of each body, weighed.

    Args:
        measured: point tracks of the clip and the test whether each stands.
        bodies: the tracks that lie on each (``own_tracks``), most certain body first.
        taken: (N,) tracks of objects that are known already.

    Returns:
        Candidates, accepted or refused, and the index of their body: of each its largest accepted group, else its largest.
    """
    scene, free = measured.scene, ~taken
    out = []
    for n, lying in enumerate(bodies):
        own = lying[free[lying] & (scene.static_reduced[lying] > _POOL)]
        own = own[~beside_nearer(measured, own)]
        moving = np.zeros(scene.tracks.count, bool)
        moving[own] = measured.moving[own]
        if len(own) < GATES.tracks or moving.sum() < _LEAST_MOVING:
            continue
        found = [weigh(measured, g) for g in merge_fragments(scene, grow_groups(scene, moving, own))]
        if found:
            best = min(found, key=lambda c: (bool(c.refused), -len(c.group.members)))
            out.append((best, n))
            free[best.group.members] = False
    return out


def with_seeded(
    objects: Sequence[ObjectTrack],
    instances: Sequence[Instance],
    measured: Measured,
    frames: ClipFrames,
    path: CameraPath,
    seed: int,
) -> list[ObjectTrack]:
    """The objects, with those that instances seed: bodies of which there is no object, or of which an object holds several.

    Args:
        objects: what motion alone found, without what changed its body.
        instances: each one body, most certain first.
        measured: the clip's point tracks.
        frames: the clip.
        path: its camera path.
        seed: of the colour models that sharpen masks.
    """
    shape = measured.images.shape[1:3]
    lying = [own_tracks(measured.scene, instance, shape) for instance in instances]
    shares = overlap(objects, instances)
    kept: list[ObjectTrack] = []
    bodies: list[list[int]] = []  # of each object, the instances that it is, or that it holds together
    taken = np.zeros(measured.scene.tracks.count, bool)
    for o, track in enumerate(objects):
        visible = int(track.visible.sum())
        several = merged_bodies(shares, o, instances, visible)
        bodies.append(several or [i for i in range(len(instances)) if shares.fit(o, i, visible) > 0])
        if len(bodies[-1]) == 1 and _LONGER * visible >= instances[bodies[-1][0]].seen.sum():
            lying[bodies[-1][0]] = _NONE  # no group of it could be followed for much longer
        if not bodies[-1]:
            taken[own_tracks(measured.scene, _as_instance(track), shape)] = True
    found = [(c, i) for c, i in seeded(measured, lying, taken) if not c.refused]
    tracks = published(measured, frames, path, [c for c, _ in found], seed)
    new = {i: _with_note(t, instances[i]) for t, (_, i) in zip(tracks, found, strict=True) if t is not None}
    for o, track in enumerate(objects):
        mine = [i for i in bodies[o] if i in new]
        longest = max((int(new[i].visible.sum()) for i in mine), default=0)
        # What holds several bodies gives way to them; what is one body, to a group that follows it for longer.
        if len(mine) > 1 or (len(bodies[o]) == 1 and longest >= _LONGER * track.visible.sum()):
            continue
        for i in bodies[o]:
            new.pop(i, None)
        kept.append(track)
    return _once([*kept, *new.values()])


def _as_instance(track: ObjectTrack) -> Instance:
    return Instance("", 1.0, track.visible.astype(float), track.bbox_xyxy_px, track.masks, "geometry")


def _with_note(track: ObjectTrack, instance: Instance) -> ObjectTrack:
    return replace(track, stats={**track.stats, "seeded_by": instance.source})


def _once(tracks: Sequence[ObjectTrack]) -> list[ObjectTrack]:
    """Of tracks that lie on the same pixels, the one that is seen longer."""
    out: list[ObjectTrack] = []
    for track in sorted(tracks, key=lambda t: ("seeded_by" in t.stats, -int(t.visible.sum()))):
        if all("seeded_by" not in track.stats or _same_pixels(track, other) < _SAME_PIXELS for other in out):
            out.append(track)
    return out


def _same_pixels(a: ObjectTrack, b: ObjectTrack) -> float:
    """Shared pixels over the smaller mask's, median of the frames in which both are seen; 0 where they never are."""
    shares = []
    for t in np.flatnonzero(a.visible & b.visible):
        mine, theirs = a.masks[t], b.masks[t]
        if mine is not None and theirs is not None:
            one, other = decode(mine), decode(theirs)
            shares.append(float((one & other).sum()) / max(min(int(one.sum()), int(other.sum())), 1))
    return float(np.median(shares)) if shares else 0.0


def published(
    measured: Measured, frames: ClipFrames, path: CameraPath, candidates: Sequence[Candidate], seed: int
) -> list[ObjectTrack | None]:
    """Tracks of accepted candidates; None where the pixels do not bear one out, or it is small or thin."""
    if not candidates:
        return []
    appearance, accepted = Appearance.of(frames.left), list(candidates)
    tracks = [publish(measured, frames, path, appearance, c, accepted, seed) for c in candidates]
    return [t if t is not None and mask_share(t) >= GATES.frame_share and _points(t) >= GATES.points else None for t in tracks]


def _points(track: ObjectTrack) -> float:
    return float(np.median(track.num_points[track.visible]))
