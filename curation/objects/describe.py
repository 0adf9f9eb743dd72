"""Plain words for moving objects where no model names them: colour, size, place. Never anything about their motion.

A description is used only if it fits one object: no other moving object, and no other patch of the picture of the same colour
where colour is what tells the object apart. What cannot be told apart by colour is pointed at, by its place in the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Int, UInt8
from pycocotools import mask as coco

from schemas.camera import Array
from schemas.clip import ClipFrames
from schemas.track import Description, ObjectTrack

CATEGORY = "object"
SOURCE = "geometry"

COLOURS = ("black", "grey", "white", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
_UNCLEAR = len(COLOURS)
_LOOKS = 7  # frames that an object's colour is judged on
_CLEAR_SHARE = 0.6  # of an object's pixels that must have its colour, in most of the looks
_MIN_PIXELS = 60
_RIVAL_AREA = 0.25  # a patch of the background rivals an object from this share of its area on
_SIZE_RATIO = 1.8  # between the real sizes of two objects that are called large and small


@dataclass(frozen=True)
class _Look:
    """What is seen of one object: the colour it clearly has, and where it can be pointed at.

    Attributes:
        colour: index into COLOURS, or ``_UNCLEAR``.
        frame: question frame to point at it: early, and well visible.
        measured: the same as a measuring frame.
        across: horizontal middle of its mask there, as a share of the width.
        point: (u, v) inside its mask there, as shares of width and height; None where others cover it.
        size_m: diagonal of its points' middle 80 %, NaN where unknown.
    """

    object_id: str
    colour: int
    frame: int
    measured: int
    across: float
    point: tuple[float, float] | None
    size_m: float
    looks: tuple[int, ...]


def describe(frames: ClipFrames, tracks: Sequence[ObjectTrack]) -> list[Description]:
    """One description per track, in order; its text is empty where none fits that object alone."""
    looks = [_look(frames, tracks, track) for track in tracks]
    texts: list[str] = []
    for track, look in zip(tracks, looks, strict=True):
        texts.append("" if look is None else _words(frames, tracks, looks, track, look))
    doubled = {text for text in texts if texts.count(text) > 1}
    return [
        Description(track.object_id, CATEGORY, "" if text in doubled else text, SOURCE)
        for track, text in zip(tracks, texts, strict=True)
    ]


def _words(
    frames: ClipFrames, tracks: Sequence[ObjectTrack], looks: Sequence[_Look | None], track: ObjectTrack, look: _Look
) -> str:
    others = [other for other in looks if other is not None and other.object_id != look.object_id]
    if look.colour != _UNCLEAR:
        name = COLOURS[look.colour]
        # an object of unclear colour may well have some of this one: it counts as a namesake
        namesakes = [other for other in others if other.colour in (look.colour, _UNCLEAR)]
        rivals = _rivals(frames, tracks, track, look)
        if not rivals:
            if not namesakes:
                return f"the {name} object"
            size = _size_word(look, namesakes)
            if size and all(other.colour == look.colour for other in namesakes):
                return f"the {size} {name} object"
        side = _side(look.across)
        if side and not any(_side(u) == side for u in rivals) and not _same_place(tracks, namesakes, look, side, frames):
            return f"the {name} object ({side} of the view at frame {look.frame})"
    return _pointed(look)


def _pointed(look: _Look) -> str:
    """Words that point at the object by its place in the picture; "" where it shows no part clear of the others."""
    if look.point is None:
        return ""
    u, v = look.point
    colour = f"{COLOURS[look.colour]} " if look.colour != _UNCLEAR else ""
    place = f"{round(100 * u)}% from the left and {round(100 * v)}% from the top of the view"
    return f"the {colour}object (about {place} at frame {look.frame})"


def _point(tracks: Sequence[ObjectTrack], track: ObjectTrack, measured: int) -> tuple[float, float] | None:
    """The innermost place (u, v) of the object's mask, as shares of width and height, clear of all other masks."""
    free = _mask(track, measured)
    for other in tracks:
        if other.object_id != track.object_id and other.masks[measured] is not None:
            free = free & (1 - cv2.dilate(_mask(other, measured), np.ones((5, 5), np.uint8)))
    depth = cv2.distanceTransform(np.pad(free, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    if depth.max() < 3:  # a rounded percentage would miss it
        return None
    row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return (float(column) + 0.5) / depth.shape[1], (float(row) + 0.5) / depth.shape[0]


def _look(frames: ClipFrames, tracks: Sequence[ObjectTrack], track: ObjectTrack) -> _Look | None:
    areas = {q: _area(track, int(m)) for q, m in enumerate(frames.question) if track.visible[m] and track.masks[m] is not None}
    areas = {q: area for q, area in areas.items() if area >= _MIN_PIXELS}
    if not areas:
        return None
    ordered = sorted(areas)
    looks = [ordered[n] for n in np.unique(np.linspace(0, len(ordered) - 1, _LOOKS).round().astype(int))]
    votes = [_colour_of(frames, track, int(frames.question[q])) for q in looks]
    best = max(set(votes), key=lambda c: (votes.count(c), -c))
    clear = best != _UNCLEAR and votes.count(best) >= 0.7 * len(votes)
    # the earliest frame that shows at least half of what the best one shows
    frame = next(q for q in ordered if areas[q] >= 0.5 * max(areas.values()))
    measured = int(frames.question[frame])
    return _Look(
        track.object_id,
        best if clear else _UNCLEAR,
        frame,
        measured,
        _centre(track, measured, frames.camera.width),
        _point(tracks, track, measured),
        _size(track, measured),
        tuple(looks),
    )


def _centre(track: ObjectTrack, measured: int, width: int) -> float:
    columns = np.flatnonzero(_mask(track, measured).any(0))
    return float(columns[0] + columns[-1] + 1) / 2 / width


def _colour_of(frames: ClipFrames, track: ObjectTrack, measured: int) -> int:
    """The colour of the inside of the object's mask in one frame; ``_UNCLEAR`` if no colour covers enough of it."""
    mask = _mask(track, measured)
    radius = max(1, int(0.08 * np.sqrt(mask.sum())))
    inside = cv2.erode(mask, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8), borderValue=0).astype(bool)
    if inside.sum() < _MIN_PIXELS // 2:
        inside = mask.astype(bool)
    shares = np.bincount(colour_names(frames.left[measured][inside][None]).ravel(), minlength=_UNCLEAR + 1) / inside.sum()
    best = int(np.argmax(shares[:_UNCLEAR]))
    return best if shares[best] >= _CLEAR_SHARE else _UNCLEAR


def colour_names(pixels: UInt8[Array, "h w 3"]) -> Int[Array, "h w"]:
    """Index into COLOURS of every RGB pixel, or ``len(COLOURS)`` between two names.

    Regions of CIE Lab in lightness, chroma and hue angle. Between the regions lie gaps, so that a pixel gets a name only where
    people would agree on it.
    """
    lab = cv2.cvtColor(np.ascontiguousarray(pixels).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    light, a, b = lab[..., 0], lab[..., 1], lab[..., 2]
    chroma, hue = np.hypot(a, b), np.degrees(np.arctan2(b, a)) % 360
    out = np.full(light.shape, _UNCLEAR, np.int64)
    plain = chroma < 9
    out[plain & (light < 22)] = COLOURS.index("black")
    out[plain & (light > 35) & (light < 75)] = COLOURS.index("grey")
    out[plain & (light > 88)] = COLOURS.index("white")
    vivid = chroma > 22
    regions = (
        ("red", (12, 47), (20, 62), 38),
        ("orange", (52, 72), (52, 82), 45),
        ("yellow", (82, 108), (62, 101), 38),
        ("green", (118, 185), (18, 95), 22),
        ("blue", (235, 303), (12, 80), 22),
        ("purple", (307, 330), (15, 62), 25),
        ("pink", (335, 372), (62, 90), 22),
        ("brown", (42, 80), (15, 47), 16),
    )
    for name, (low, high), (dark, bright), least in regions:
        turn = (hue - low) % 360 <= high - low
        out[(vivid | (least < 22)) & turn & (light > dark) & (light < bright) & (chroma > least)] = COLOURS.index(name)
    return out


def _rivals(frames: ClipFrames, tracks: Sequence[ObjectTrack], track: ObjectTrack, look: _Look) -> list[float]:
    """Horizontal places (shares of the width, at the frame pointed to) of other patches of the object's colour.

    Patches in other frames count too, as a description without a place must fit nothing in the whole clip: they are reported
    as both sides.
    """
    places: list[float] = []
    for q in sorted({look.frame, *look.looks}):
        measured = int(frames.question[q])
        others = np.zeros(frames.left.shape[1:3], np.uint8)
        for any_track in tracks:
            if any_track.masks[measured] is not None:
                others |= _mask(any_track, measured)
        # masks are not exact at the edges, and what an object reflects or shades lies close by
        reach = 2 * max(3, int(0.15 * np.sqrt(max(_area(track, measured), 1)))) + 1
        covered = cv2.dilate(others, np.ones((reach, reach), np.uint8)).astype(bool)
        same = (_close_to(colour_names(frames.left[measured]), look.colour) & ~covered).astype(np.uint8)
        same = cv2.morphologyEx(same, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        count, _, stats, centres = cv2.connectedComponentsWithStats(same, connectivity=8)
        least = max(_RIVAL_AREA * _area(track, measured), _MIN_PIXELS)
        for n in range(1, count):
            if stats[n, cv2.CC_STAT_AREA] >= least:
                width = same.shape[1]
                at_frame = q == look.frame
                left, span = stats[n, cv2.CC_STAT_LEFT], stats[n, cv2.CC_STAT_WIDTH]
                places += [left / width, centres[n][0] / width, (left + span) / width] if at_frame else [-1.0]
    return places


def _close_to(names: Int[Array, "h w"], colour: int) -> Bool[Array, "h w"]:
    """Pixels that some would give the colour's name too."""
    neighbours = {
        "red": ("pink", "orange"),
        "orange": ("red", "brown", "yellow"),
        "yellow": ("orange",),
        "pink": ("red", "purple"),
        "purple": ("pink", "blue"),
        "blue": ("purple",),
        "brown": ("orange",),
    }
    near = [COLOURS.index(name) for name in neighbours.get(COLOURS[colour], ())]
    return np.isin(names, [colour, *near])


def _side(u: float) -> str:
    return "on the left" if 0 <= u < 0.36 else "on the right" if u > 0.64 else "in the middle" if 0.42 < u < 0.58 else ""


def _same_place(tracks: Sequence[ObjectTrack], namesakes: Sequence[_Look], look: _Look, side: str, frames: ClipFrames) -> bool:
    """Whether a moving object of the same colour is, or may be, on that side of the view at the frame pointed to."""
    by_id = {track.object_id: track for track in tracks}
    for other in namesakes:
        mask = by_id[other.object_id].masks[look.measured]
        if mask is None:
            return True  # it is somewhere, unseen or unmeasured
        columns = np.flatnonzero(_mask(by_id[other.object_id], look.measured).any(0))
        edges = (columns[0] / frames.camera.width, columns[-1] / frames.camera.width) if len(columns) else ()
        if any(_side(float(edge)) in (side, "") for edge in edges):
            return True
    return False


def _size_word(look: _Look, namesakes: Sequence[_Look]) -> str:
    """``large`` or ``small`` if the object differs from all its namesakes in real size, clearly and in one direction."""
    sizes = [other.size_m for other in namesakes]
    if not np.isfinite([look.size_m, *sizes]).all():
        return ""
    if look.size_m > _SIZE_RATIO * max(sizes):
        return "large"
    return "small" if look.size_m * _SIZE_RATIO < min(sizes) else ""


def _size(track: ObjectTrack, measured: int) -> float:
    points = track.points_m[measured]
    points = points[np.isfinite(points).all(1)]
    if len(points) < 10:
        return float("nan")
    low, high = np.percentile(points, [10, 90], axis=0)
    return float(np.linalg.norm(high - low))


def _rle(track: ObjectTrack, measured: int) -> dict[str, Any]:
    rle = track.masks[measured]
    assert rle is not None
    counts = rle["counts"]
    return {"size": rle["size"], "counts": counts.encode() if isinstance(counts, str) else counts}


def _mask(track: ObjectTrack, measured: int) -> UInt8[Array, "h w"]:
    return np.asarray(coco.decode(_rle(track, measured)), np.uint8)


def _area(track: ObjectTrack, measured: int) -> int:
    return int(coco.area(_rle(track, measured))) if track.masks[measured] is not None else 0
