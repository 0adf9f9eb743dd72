"""What can be seen in the two frames, in words: from the measured motion and the object's outline, never from coordinates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from schemas.track import Fact

_SIDES = ("on the left", "left of the middle", "in the middle", "right of the middle", "on the right")
_STILL_M = 0.05
_TURN_DEG = 6.0
ALIKE = 1.1
"""Ratio of heights below which an outline is about as tall as before."""
_SLANT = 0.8  # of the main component, from which on a second one makes a motion slanted ...
_ASKEW = 0.3  # ... and from which on the picture no longer spreads from, or draws together to, its middle


@dataclass(frozen=True)
class Evidence:
    """Words for the picture.

    Attributes:
        camera: main direction of the camera's motion in the earlier view, "none" where it kept its place,
            "unclear" where it went along a slant, "" where it is not known or a turn hides how it shows.
        turn: way the camera turned, "" where it hardly did.
        place, place_j: where the object is in the picture in both frames.
        size: share of the picture's height that it takes at the start.
        scale: how its outline changed.
        growth: height of its outline at the end over that at the start; None where the picture's border cuts it.
        drift: how far its outline shifted to the right, as a share of the width.
        height, height_j: of the outline, as shares of the picture's height.
    """

    camera: str
    turn: str
    place: str = ""
    place_j: str = ""
    size: str = ""
    scale: str = ""
    growth: float | None = None
    drift: float = 0.0
    height: float | None = None
    height_j: float | None = None


def evidence(fact: Fact, clip: dict[str, Any]) -> Evidence:
    """Evidence of a fact, as far as its details tell; object words only where the fact is about one."""
    details = fact.details
    known = "camera_shift" in details and "camera_moved_m" in details
    camera = _camera_motion(details["camera_shift"], details["camera_moved_m"], details.get("turn_deg", [0.0])) if known else ""
    turn = _turn(details["turn_deg"]) if "turn_deg" in details else ""
    if "boxes_px" not in details:
        return Evidence(camera, turn)
    width, height = float(clip["width"]), float(clip["height"])
    start, end = details["boxes_px"]
    cut = _cut(start, width, height) or _cut(end, width, height)
    growth = (end[3] - end[1]) / max(start[3] - start[1], 1.0)
    centres = [(box[0] + box[2]) / 2 / width for box in (start, end)]
    return Evidence(
        camera,
        turn,
        _place(start, width, height),
        _place(end, width, height),
        _share((start[3] - start[1]) / height),
        "partly cut off by the edge of the picture" if cut else _scale(growth),
        None if cut else growth,
        centres[1] - centres[0],
        (start[3] - start[1]) / height,
        (end[3] - end[1]) / height,
    )


def _camera_motion(shift: list[float], moved: list[float], turn_deg: list[float]) -> str:
    """Main direction; a second component that is nearly as large makes it a slant.

    Forward and backward show in a picture that spreads from its middle: only where little else moves or turns it.
    """
    length, sigma = moved
    if length < 3 * sigma:
        return "none" if length < _STILL_M else ""  # uncertain is not still
    if length < _STILL_M:
        return "none"
    order = sorted(range(3), key=lambda axis: -abs(shift[axis]))
    along = order[0] == 2
    if abs(shift[order[1]]) > (_ASKEW if along else _SLANT) * abs(shift[order[0]]):
        return "unclear"
    if along and math.hypot(*turn_deg) > _TURN_DEG:
        return ""
    names = (("right", "left"), ("down", "up"), ("forward", "backward"))
    return names[order[0]][shift[order[0]] < 0]


def _turn(turn_deg: list[float]) -> str:
    up, right = turn_deg[0], turn_deg[1]
    if max(abs(up), abs(right)) < _TURN_DEG:
        return ""
    if abs(right) >= abs(up):
        return "right" if right > 0 else "left"
    return "up" if up > 0 else "down"


def _place(box: list[float], width: float, height: float) -> str:
    side = _SIDES[min(int((box[0] + box[2]) / 2 / width * 5), 4)]
    level = (box[1] + box[3]) / 2 / height
    return f"{side} of the picture" + (", high up" if level < 0.3 else ", low down" if level > 0.7 else "")


def _share(share: float) -> str:
    if share < 0.08:
        return "less than a tenth"
    names = (
        (0.13, "about a tenth"),
        (0.22, "about a fifth"),
        (0.29, "about a quarter"),
        (0.4, "about a third"),
        (0.6, "about half"),
    )
    return next((name for limit, name in names if share < limit), "most")


def _scale(growth: float) -> str:
    if growth > 1:
        names = (
            (ALIKE, "about as tall as before"),
            (1.35, "somewhat taller than before"),
            (1.75, "about one and a half times as tall"),
        )
        return next(
            (name for limit, name in names if growth < limit), "about twice as tall" if growth < 2.5 else "several times as tall"
        )
    inverse = 1 / max(growth, 1e-6)
    names = ((ALIKE, "about as tall as before"), (1.35, "somewhat smaller than before"), (1.75, "about two thirds as tall"))
    return next(
        (name for limit, name in names if inverse < limit), "about half as tall" if inverse < 2.5 else "only a fraction as tall"
    )


def _cut(box: list[float], width: float, height: float) -> bool:
    margin = 0.01 * math.hypot(width, height)
    return box[0] < margin or box[1] < margin or box[2] > width - margin or box[3] > height - margin
