"""Annotations made elsewhere: poses, 3D tracks, boxes, depth and masks of a source, read instead of measured.

Every foreign format becomes one folder, ``annotations/`` (``curation.imports.folder`` describes it), beside the video. The
camera room takes its path from there, the object room its tracks; from relations on, nothing knows the difference.
"""

from curation.imports.annotation import Annotation, Boxes, Doubt, Named, Points
from curation.imports.cameras import imported_path
from curation.imports.folder import read_annotations, write_annotations
from curation.imports.objects import imported_objects

__all__ = [
    "Annotation",
    "Boxes",
    "Doubt",
    "Named",
    "Points",
    "imported_objects",
    "imported_path",
    "read_annotations",
    "write_annotations",
]
