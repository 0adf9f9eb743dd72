"""Does a published description fit its object, and only that one? Judged by the truth, so far as its words can be judged."""

from __future__ import annotations

import re

import numpy as np

from curation.audit.matching import Match
from curation.audit.published import PublishedClip
from curation.worlds.bodies import COLOURS
from curation.worlds.truth import Truth

VERDICTS = ("fits", "wrong_colour", "points_elsewhere", "ambiguous", "unjudged")
_SEEN_SHARE = 0.001  # of the frame: what covers less is not seen by a viewer
_POINT = re.compile(r"(\d+)% from the left and (\d+)% from the top of the view at frame (\d+)")
_SIDE = re.compile(r"(on the left|in the middle|on the right) of the view at frame (\d+)")
_SIDES = {"on the left": (0.0, 0.45), "in the middle": (0.35, 0.65), "on the right": (0.55, 1.0)}


def judge_description(text: str, clip: PublishedClip, truth: Truth, match: Match) -> str:
    """One of ``VERDICTS``; phantoms and texts without a known colour or place are "unjudged".

    A place must lie on the body, and a side must show it; a colour must be the body's (a walker's is its shirt's, so another
    colour is not held against it); and no other body of that colour, moving or parked, may be seen where the text looks: on that
    side at that frame, or anywhere in the clip where it names a colour alone.
    """
    if match.body is None:
        return "unjudged"
    named = [colour for colour in COLOURS if re.search(rf"\b{colour}\b", text)]
    point, side = _POINT.search(text), _SIDE.search(text)
    if named and truth.colours[match.body] not in named and truth.categories[match.body] != "person":
        return "wrong_colour"
    if point:
        labels = truth.labels[clip.source_frames[int(point[3])]]
        height, width = labels.shape
        row, column = int(int(point[2]) / 100 * height), int(int(point[1]) / 100 * width)
        near = labels[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
        return "fits" if (near == match.body + 1).any() else "points_elsewhere"
    if not named:
        return "unjudged"
    others = [k for k, colour in enumerate(truth.colours) if colour in named and k != match.body]
    frames = [clip.source_frames[int(side[2])]] if side else clip.source_frames
    low, high = _SIDES[side[1]] if side else (0.0, 1.0)
    width = truth.labels.shape[2]
    looked_at = truth.labels[frames][:, :, int(low * width) : int(np.ceil(high * width))]

    def seen(body: int) -> bool:
        return bool(((looked_at == body + 1).mean((1, 2)) > _SEEN_SHARE).any())

    if not seen(match.body):
        return "points_elsewhere"
    return "ambiguous" if any(seen(other) for other in others) else "fits"
