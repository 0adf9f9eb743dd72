"""What the truth says of a clip, in the clip's own world and frames, so that a page can lay it over what was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from curation.audit.answers import nearest_m, rebased
from curation.audit.matching import Match, eligible_movers, match_objects
from curation.audit.published import PublishedClip, Row, seen_by
from curation.audit.verdicts import Verdict, judge
from curation.geometry import transform
from curation.worlds.truth import Truth
from schemas.camera import Array


@dataclass(frozen=True)
class TruthView:
    """The truth of one clip at its Q question frames; world = the left camera of the clip's first frame, metres.

    Attributes:
        poses: (Q, 4, 4) world from camera.
        matches: the true body of each published object.
        paths: per matched object (Q, 3), the displacement of its body, laid through the first measured centroid: measuring
            fits other points of the body than its true centroid, so only displacements compare.
        nearest: per matched object (Q,), distance from each frame's camera to the nearest point of its body.
        missed: bodies that a good measurement should have found, and that no object is.
        verdicts: of the clip's questions, by id.
    """

    poses: Float[Array, "q 4 4"]
    matches: dict[str, Match]
    paths: dict[str, Float[Array, "q 3"]]
    nearest: dict[str, Float[Array, "q"]]
    missed: list[int]
    verdicts: dict[str, Verdict]


def truth_view(clip: PublishedClip, truth: Truth, label_of: Callable[[Row, str], str], still_m: float) -> TruthView | None:
    """Lay the truth over a clip; None for one without poses. ``label_of`` and ``still_m``: as in ``audit_against_truth``."""
    if not clip.cameras:
        return None
    frames = clip.source_frames
    clip_from_world = rebased(truth, frames[0])
    matches = match_objects(clip, truth)
    paths, nearest = {}, {}
    for match in matches.values():
        measured = centroids(clip, match.object_id)
        seen = np.flatnonzero(np.isfinite(measured).all(1))
        if match.body is None or not len(seen):
            continue
        true = transform(clip_from_world, truth.centroid_m[frames, match.body])
        paths[match.object_id] = true - true[seen[0]] + measured[seen[0]]
        nearest[match.object_id] = np.array([nearest_m(truth, match.body, n, n) for n in frames])
    found = {m.body for m in matches.values()}
    missed = [b for b in eligible_movers(clip, truth) if b not in found] if clip.poses() is not None else []
    verdicts = {q["id"]: judge(q, clip, truth, matches, label_of, still_m) for q in clip.questions}
    return TruthView(clip_from_world @ truth.world_from_camera[frames], matches, paths, nearest, missed, verdicts)


def true_mask(clip: PublishedClip, truth: Truth, body: int, frame: int) -> Bool[Array, "h w"]:
    """Visible pixels of a body at a question frame, as the published view has them."""
    return seen_by(truth.mask(clip.source_frames[frame], body), truth.camera, clip.camera)


def centroids(clip: PublishedClip, object_id: str) -> Float[Array, "q 3"]:
    """Measured centroids by question frame, NaN where the object was not seen."""
    out = np.full((int(clip.row["num_frames"]), 3), np.nan)
    for row in clip.tracks.get(object_id, []):
        if row["visible"] and row["centroid_m"]:
            out[row["frame"]] = row["centroid_m"]
    return out


def column(clip: PublishedClip, object_id: str, name: str) -> Float[Array, "q"]:
    """A number of an object's track by question frame, NaN where the object was not seen."""
    out = np.full(int(clip.row["num_frames"]), np.nan)
    for row in clip.tracks.get(object_id, []):
        if row["visible"] and row[name] is not None:
            out[row["frame"]] = row[name]
    return out
