"""One object again after it was hidden: tracks that end and begin as one motion, one size and one colour become one track.

Only where nothing else could be meant: two candidates for the same end or beginning leave all of them apart. The points
measured before and after are others, so the two parts' centroids may be different places of the object: the later part's
covariance says so.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Float

from curation.geometry import transform
from curation.objects.masks import decode
from schemas.camera import Array, CameraPath
from schemas.clip import ClipFrames
from schemas.track import ObjectTrack

_LONGEST_S = 2.5  # hidden for
_OVERLAP_S = 0.25  # one part may begin before the other's last points are gone
_SPEED_FRAMES = 6
_ALIKE = 0.6  # correlation of colour histograms
_SIZE_RATIO = 1.8
_CENTRE_SHARE = 0.12  # of its size: how far apart the centroids of what was seen before and after may be, one sigma
_ACCELERATION_M_S2, _JERK_M_S3 = 1.0, 2.0  # while hidden, one sigma
_UNSTEADY = 0.12  # of the way: how far it may be off both velocities' mean
_SIGMAS = 2.5


def link(tracks: list[ObjectTrack], frames: ClipFrames, path: CameraPath) -> list[ObjectTrack]:
    """Joins tracks of one object that was hidden for a while.

    Args:
        tracks: of one clip.
        frames: the clip.
        path: its metric camera path.

    Returns:
        As many tracks or fewer; a joined one keeps the id of its first part and has ``linked`` in its stats.
    """
    ends = {i: _Part(t, frames, path) for i, t in enumerate(tracks)}
    fits = [(a, b) for a in ends for b in ends if a != b and ends[a].continues_as(ends[b])]
    # From a first part over a second to a third: the first continues as the second.
    fits = [(a, c) for a, c in fits if not any((a, b) in fits and (b, c) in fits for b in ends)]
    chosen = [(a, b) for a, b in fits if sum(p == a for p, _ in fits) == 1 and sum(q == b for _, q in fits) == 1]
    following = dict(chosen)
    heads = [i for i in ends if i not in following.values()]
    out = []
    for head in heads:
        chain = [head]
        while chain[-1] in following:
            chain.append(following[chain[-1]])
        joined = tracks[head]
        for _, later in pairwise(chain):
            joined = _joined(joined, tracks[later])
        out.append(joined)
    return out


class _Part:
    """What a track shows at its two ends."""

    def __init__(self, track: ObjectTrack, frames: ClipFrames, path: CameraPath) -> None:
        seen = np.flatnonzero(track.visible)
        self.track, self.times_s = track, frames.times_s
        self.first, self.last = int(seen[0]), int(seen[-1])
        self.begin, self.end = seen[:_SPEED_FRAMES], seen[-_SPEED_FRAMES:]
        self.size_m = float(np.median(self._extent(seen, frames, path)))
        self.histogram = _histogram(track, frames, seen[:: max(1, len(seen) // 6)])

    def _extent(self, seen: Array, frames: ClipFrames, path: CameraPath) -> Float[Array, "f"]:
        """Height of its box at its distance, metres."""
        rows = self.track.bbox_xyxy_px[seen]
        camera_from_world = np.linalg.inv(path.world_from_camera[seen])
        depth = np.array([transform(m, c)[2] for m, c in zip(camera_from_world, self.track.centroid_m[seen], strict=True)])
        return np.asarray((rows[:, 3] - rows[:, 1]) * depth / frames.camera.fy)

    def velocity(self, at: Array) -> Float[Array, "3"]:
        """Of the centroid over some frames, m/s."""
        times = self.times_s[at] - self.times_s[at].mean()
        centred = self.track.centroid_m[at] - self.track.centroid_m[at].mean(0)
        return np.asarray((times[:, None] * centred).sum(0) / max(float((times**2).sum()), 1e-9))

    def continues_as(self, later: _Part) -> bool:
        """Whether ``later`` may be the same object when it comes out again."""
        gap_s = float(self.times_s[later.first] - self.times_s[self.last])
        if (
            not -_OVERLAP_S < gap_s <= _LONGEST_S
            or later.last <= self.last
            or later.first <= self.first
            or len(self.end) < 3
            or len(later.begin) < 3
        ):
            return False
        larger, smaller = max(self.size_m, later.size_m), min(self.size_m, later.size_m)
        if larger > _SIZE_RATIO * smaller:
            return False
        a, b = self.track.centroid_m[self.last], later.track.centroid_m[later.first]
        spread = np.trace(self.track.centroid_cov_m2[self.last] + later.track.centroid_cov_m2[later.first])
        before, after = self.velocity(self.end), later.velocity(later.begin)
        # The mean of both velocities must carry the first part's end to the later one's beginning: exact for any constant
        # acceleration; what is left is how unsteadily it went while hidden.
        hidden_s = abs(gap_s)
        unsteady = _UNSTEADY * float(np.linalg.norm(before + after)) / 2 * hidden_s + _JERK_M_S3 * hidden_s**3 / 12
        reach = np.sqrt(spread + (_CENTRE_SHARE * larger) ** 2 + unsteady**2)
        missed = float(np.linalg.norm(a + 0.5 * (before + after) * gap_s - b))
        changed = float(np.linalg.norm(before - after))
        if missed > _SIGMAS * reach or changed > _SIGMAS * _ACCELERATION_M_S2 * (hidden_s + 0.3):
            return False
        return float(cv2.compareHist(self.histogram, later.histogram, cv2.HISTCMP_CORREL)) > _ALIKE


def _histogram(track: ObjectTrack, frames: ClipFrames, at: Array) -> Float[Array, "b"]:
    """Colours (hue-like a, b and lightness) within the masks, smoothed."""
    total = np.zeros((6, 12, 12), np.float32)
    for t in at:
        mask = track.masks[t]
        assert mask is not None
        lab = cv2.cvtColor(frames.left[t], cv2.COLOR_RGB2LAB)
        total += cv2.calcHist([lab], [0, 1, 2], decode(mask).astype(np.uint8), [6, 12, 12], [0, 256, 64, 192, 64, 192])
    for axis in range(3):
        total += 0.5 * (np.roll(total, 1, axis) + np.roll(total, -1, axis))
    return np.asarray(total.ravel() / max(float(total.sum()), 1e-9), np.float32)


def _joined(first: ObjectTrack, later: ObjectTrack) -> ObjectTrack:
    """Both parts as one track; in frames of neither it is not visible."""
    new = later.visible
    size = max(float(first.stats["size_m"]), float(later.stats["size_m"]))
    elsewhere = (_CENTRE_SHARE * size) ** 2 * np.eye(3)
    covariance = np.where(new[:, None, None], later.centroid_cov_m2 + elsewhere, first.centroid_cov_m2)
    count = min(first.points_m.shape[1], later.points_m.shape[1])
    points = np.where(new[:, None, None], later.points_m[:, :count], first.points_m[:, :count])
    stats = first.stats | {"linked": int(first.stats.get("linked", 0)) + 1}
    stats["mask_share"] = max(float(first.stats["mask_share"]), float(later.stats["mask_share"]))
    return replace(
        first,
        visible=first.visible | new,
        centroid_m=np.where(new[:, None], later.centroid_m, first.centroid_m),
        centroid_cov_m2=covariance,
        common_sigma_rel=max(first.common_sigma_rel, later.common_sigma_rel),
        points_m=points,
        points_sigma_m=np.where(new, later.points_sigma_m, first.points_sigma_m),
        moving=np.where(new, later.moving, first.moving),
        masks=tuple(b if is_new else a for a, b, is_new in zip(first.masks, later.masks, new, strict=True)),
        bbox_xyxy_px=np.where(new[:, None], later.bbox_xyxy_px, first.bbox_xyxy_px),
        num_points=np.where(new, later.num_points, first.num_points),
        stats=stats,
    )
