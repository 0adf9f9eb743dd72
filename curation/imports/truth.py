"""A rendered world's exact truth as an annotation: what the importers are tested against, and a template of the format."""

from __future__ import annotations

import numpy as np

from curation.imports.annotation import Annotation, Doubt, Named, Points
from curation.worlds.truth import Truth
from schemas.camera import Array

_EXACT = Doubt(
    position_sigma_m=0.0,
    drift_share=0.0,
    rotation_sigma_deg=0.0,
    scale_sigma_rel=0.0,
    point_sigma_m=0.0,
    point_sigma_rel=0.0,
    depth_sigma_rel=0.0,
)


def annotation_of(truth: Truth, *, points: bool = True, masks: bool = True) -> Annotation:
    """The truth of every source frame: poses, and of the bodies material points, masks, and depth where it was kept."""
    labels, depth = truth.labels, truth.depth_m
    named = tuple(Named(k + 1, category, "") for k, category in enumerate(truth.categories))
    return Annotation(
        world_from_camera=truth.world_from_camera,
        maker="rendered world",
        image_size=(labels.shape[2], labels.shape[1]) if masks or depth is not None else None,
        objects=named,
        points=_points(truth) if points else None,
        mask=(lambda frame: labels[frame].astype(np.uint16)) if masks else None,
        depth_m=(lambda frame: np.where(np.isfinite(depth[frame]), depth[frame], np.nan)) if depth is not None else None,
        doubt=_EXACT,
    )


def _points(truth: Truth) -> Points:
    """The evenly spread points of each body at the frames at which any of it is seen."""
    track, frame, xyz, number = [], [], [], []
    first = 0
    for k, (places, spread) in enumerate(zip(truth.points_m, truth.spread, strict=True)):
        seen = np.flatnonzero((truth.labels == k + 1).any((1, 2)))
        count = int(spread)
        rows: Array = np.stack(np.meshgrid(np.arange(count) + first, seen, indexing="ij"), -1).reshape(-1, 2)
        track.append(rows[:, 0])
        frame.append(rows[:, 1])
        xyz.append(places[rows[:, 1], rows[:, 0] - first])
        number += [k + 1] * count
        first += count
    none = np.zeros(0, np.int64)
    return Points(
        np.concatenate([none, *track]).astype(np.int64),
        np.concatenate([none, *frame]).astype(np.int64),
        np.concatenate([np.zeros((0, 3)), *xyz]),
        np.asarray(number, np.int64),
    )
