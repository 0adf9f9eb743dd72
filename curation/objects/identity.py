"""Is a track still on the thing it started on? Patch comparisons that a motion model cannot make."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, UInt8

from curation.geometry import transform
from curation.objects.grouping import Group, Scene
from curation.objects.point_tracks import sample
from schemas.camera import Array

_RADIUS = 4
_GAP_FRAMES = 6
_APART_PX = 2.5
_BETTER_BY = 0.1
_ALIKE = 0.5


def patches(images: UInt8[Array, "t h w"], frame: Int[Array, "k"], uv: Float[Array, "k 2"]) -> Float[Array, "k p"]:
    """Normalised (zero mean, unit norm) square patches around pixels; zero where a patch is flat."""
    reach = np.arange(-_RADIUS, _RADIUS + 1)
    offsets = np.stack(np.meshgrid(reach, reach), -1).reshape(-1, 2)
    out = np.zeros((len(frame), len(offsets)), np.float32)
    for t in np.unique(frame):
        rows = np.flatnonzero(frame == t)
        at = (uv[rows, None] + offsets).reshape(-1, 2)
        out[rows] = sample(images[t].astype(np.float32), at).reshape(len(rows), -1)
    out -= out.mean(1, keepdims=True)
    norm = np.linalg.norm(out, axis=1, keepdims=True)
    return np.where(norm > 5.0, out / np.maximum(norm, 1e-6), 0.0)


def carried_support(scene: Scene, images: UInt8[Array, "t h w"], group: Group, points: Float[Array, "m 3"]) -> tuple[int, int]:
    """How many of a group's tracks show, by their pixels, that they move with the group and do not stand still.

    A point that optical flow drags along with a passing edge has the right motion but not the right pixels: its patch is
    found again where a standing point would be. Compared only where the two places are apart.

    Args:
        scene: the clip.
        images: grey left frames.
        group: tracks and motion.
        points: (M, 3) of the members, world of the reference frame.

    Returns:
        Number of tracks in favour, and number that could be compared.
    """
    motion = group.fit.motion
    carry = motion.world_from_reference()
    tracks = scene.tracks.subset(group.members)
    first = np.maximum(tracks.frame[tracks.first], motion.first)
    last = np.minimum(tracks.frame[tracks.first] + tracks.length - 1, motion.last)
    favour, compared = np.zeros(tracks.count), np.zeros(tracks.count)
    for start_share in (0.0, 0.5, 1.0):
        a = np.round(first + start_share * np.maximum(last - first - _GAP_FRAMES, 0)).astype(int)
        b = np.minimum(a + _GAP_FRAMES, last)
        use = np.flatnonzero((b - a >= 3) & np.isfinite(points).all(1))
        if not len(use):
            continue
        row_a = tracks.first[use] + a[use] - tracks.frame[tracks.first[use]]
        row_b = tracks.first[use] + b[use] - tracks.frame[tracks.first[use]]
        world_a = transform(carry[a[use] - motion.first], points[use])
        still = scene.rig.project(transform(scene.cam_from_world[b[use]], world_a))[:, :2]
        tracked = tracks.uvd[row_b, :2].astype(float)
        height, width = images.shape[1:]
        apart = np.linalg.norm(still - tracked, axis=1) > _APART_PX
        apart &= (still[:, 0] > 5) & (still[:, 1] > 5) & (still[:, 0] < width - 5) & (still[:, 1] < height - 5)
        use, row_a, row_b, still = use[apart], row_a[apart], row_b[apart], still[apart]
        here = patches(images, tracks.frame[row_a], tracks.uvd[row_a, :2].astype(float))
        there = patches(images, tracks.frame[row_b], tracks.uvd[row_b, :2].astype(float))
        stayed = patches(images, tracks.frame[row_b], still)
        moved_like, stayed_like = (here * there).sum(1), (here * stayed).sum(1)
        compared[use] += 1
        favour[use] += (moved_like > stayed_like + _BETTER_BY) & (moved_like > _ALIKE)
    known = compared > 0
    return int((favour[known] > 0.5 * compared[known]).sum()), int(known.sum())
