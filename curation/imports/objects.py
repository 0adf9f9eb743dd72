"""The objects of a clip out of its annotations, with words for them."""

from __future__ import annotations

from curation.imports.annotation import Annotation
from curation.imports.tracks import labelled_objects, worded
from curation.objects.describe import describe
from schemas.camera import CameraPath
from schemas.clip import ClipFrames
from schemas.config import Config
from schemas.track import Description, ObjectTrack


def imported_objects(
    annotation: Annotation, frames: ClipFrames, path: CameraPath, config: Config
) -> tuple[list[ObjectTrack], list[Description]]:
    """What moves according to the annotation, largest first, and what to call it.

    Labelled points, boxes, or masks with depth say which object is which. Point tracks without labels are grouped by the
    rigid motions that they share, as the factory's own tracks are.

    Raises:
        Rejected: ``annotation_disagrees``, ``annotation_frames``.
    """
    limit = config.objects.max_objects
    if annotation.points is not None and (annotation.points.number < 0).any():
        from curation.imports.unlabelled import grouped_objects

        tracks = grouped_objects(annotation, frames, path, config)
        return tracks, describe(frames, tracks, path) if tracks else []
    tracks, names = labelled_objects(annotation, frames, path, config.imports, max_objects=limit)
    return tracks, worded(describe(frames, tracks, path), names, annotation.maker) if tracks else []
