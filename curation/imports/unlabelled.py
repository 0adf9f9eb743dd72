"""Point tracks without labels: grouped by the rigid motions that they share, by the same tests as the factory's own tracks.

An annotated 3D point is turned back into what a camera and a baseline would have measured of it, (u, v, disparity), so that near
points count as surer than far ones; from there the object room's grouping, its standstill test and its gates apply.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from curation.geometry import inverse, transform
from curation.imports.annotation import Annotation
from curation.imports.bodies import clip_from_annotation
from curation.imports.cameras import of_frames
from curation.objects.appearance import Appearance
from curation.objects.candidates import find_candidates
from curation.objects.grouping import Scene
from curation.objects.measure import Measured
from curation.objects.point_tracks import PointTracks, gray
from curation.objects.publish import mask_share, publish
from curation.objects.rig import Rig
from curation.objects.static_test import triangulate
from curation.objects.surface import find_ground
from curation.objects.weigh import GATES
from schemas.camera import Array, CameraPath
from schemas.clip import ClipFrames
from schemas.config import Config
from schemas.track import ObjectTrack

_BASELINE_M = 0.063  # any: it only says how the doubt of a point grows with its distance
_LEAST_LENGTH = 5
_FIRM, _MOVES = 2.0, 5.0  # chi2 per degree of freedom of what surely stands, and of what surely does not
# What trackers and stereo networks achieve, in pixels of a frame 640 wide: u and v, and disparity at that baseline. Residuals
# cannot tell, since annotations are smoothed and what stands was made to stand.
_SIGMA_PX = np.array([0.5, 0.5, 0.15])


def grouped_objects(annotation: Annotation, frames: ClipFrames, path: CameraPath, config: Config) -> list[ObjectTrack]:
    """What moves, largest first, out of 3D tracks of unknown objects.

    Raises:
        Rejected: ``annotation_frames``.
    """
    measured = _measured(annotation, frames, path)
    if not measured.moving.any():
        return []
    candidates = find_candidates(measured)
    accepted = [c for c in candidates if not c.refused]
    appearance = Appearance.of(frames.left)
    tracks = [publish(measured, frames, path, appearance, c, accepted, config.seed) for c in accepted]
    found = [t for t in tracks if t is not None and mask_share(t) >= GATES.frame_share]
    found.sort(key=lambda t: -mask_share(t))
    return [
        replace(t, object_id=f"obj_{i + 1}", stats=t.stats | {"made_of": "tracks"})
        for i, t in enumerate(found[: config.objects.max_objects])
    ]


def _measured(annotation: Annotation, frames: ClipFrames, path: CameraPath) -> Measured:
    assert annotation.points is not None
    of_frames(annotation, frames.source_index)
    rig = Rig.of(frames.camera, _BASELINE_M)
    cam_from_world = inverse(path.world_from_camera)
    tracks = _tracks(annotation, frames, cam_from_world, rig)
    noise = _SIGMA_PX * frames.camera.width / 640
    sigma = np.tile(noise, (len(tracks.frame), 1))
    static = triangulate(tracks, cam_from_world, rig, sigma, iterations=4)
    moving = (static.reduced > _MOVES) & (tracks.length > _LEAST_LENGTH)
    dt_s = float(np.median(np.diff(frames.times_s)))
    scene = Scene(tracks, sigma, static.chi2, static.reduced, cam_from_world, rig, dt_s)
    firm = (static.reduced < _FIRM) & (tracks.length >= 8)
    ground = find_ground(static.points[firm], static.covariance[firm], cam_from_world, seed=0)
    total, height, width = len(frames.left), frames.camera.height, frames.camera.width
    unknown = np.full((total, (height + 1) // 2, (width + 1) // 2), np.nan, np.float32)
    return Measured(scene, gray(frames.left), unknown, static, moving, noise, ground)


def _tracks(annotation: Annotation, frames: ClipFrames, cam_from_world: Float[Array, "t 4 4"], rig: Rig) -> PointTracks:
    """The annotated tracks at the measuring frames as (u, v, disparity); of a track with gaps its longest run."""
    points, index = annotation.points, frames.source_index
    assert points is not None
    row = np.full(annotation.frames, -1)
    row[index] = np.arange(len(index))
    use = row[points.frame] >= 0
    track, frame = points.track[use], row[points.frame[use]]
    local = transform(cam_from_world[frame], transform(clip_from_annotation(annotation, index), points.xyz_m[use]))
    uvd = rig.project(local)
    inside = (local[:, 2] > 0.1) & (uvd[:, 0] > 0) & (uvd[:, 0] < frames.camera.width)
    inside &= (uvd[:, 1] > 0) & (uvd[:, 1] < frames.camera.height)
    order = np.lexsort((frame[inside], track[inside]))
    track, frame, uvd = track[inside][order], frame[inside][order], uvd[inside][order]
    # A run is a stretch of one track without a missing frame.
    begin = np.flatnonzero(np.r_[True, (np.diff(track) != 0) | (np.diff(frame) != 1)]) if len(track) else np.zeros(0, int)
    length = np.diff(np.r_[begin, len(track)])
    longest = np.lexsort((begin, -length, track[begin])) if len(begin) else begin
    first_of = longest[np.r_[True, np.diff(track[begin][longest]) != 0]] if len(begin) else longest
    keep = np.sort(first_of[length[first_of] >= _LEAST_LENGTH])
    start, length = begin[keep], length[keep]
    first = np.r_[0, np.cumsum(length)[:-1]].astype(np.int64) if len(keep) else np.zeros(0, np.int64)
    rows = np.repeat(start - first, length) + np.arange(length.sum())
    number = np.repeat(np.arange(len(keep)), length)
    texture = np.full(len(rows), 100.0, np.float32)
    return PointTracks(uvd[rows].astype(np.float32), frame[rows], number, texture, first, length)
