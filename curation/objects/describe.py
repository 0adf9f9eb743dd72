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

from curation.geometry import inverse, transform
from curation.objects.colours import COLOURS, UNCLEAR, close_to, colour_names
from schemas.camera import Array, CameraPath
from schemas.clip import ClipFrames
from schemas.track import Description, ObjectTrack

CATEGORY = "object"
SOURCE = "geometry"

_LOOKS = 7  # frames that an object's colour is judged on
_CLEAR_SHARE = 0.45  # of an object's pixels that must have its colour, in most of the looks ...
_RUNNER_UP = 0.4  # ... while no other colour may have more than this share of that
_PLAIN = ("black", "grey", "white", "brown")
_MIN_PIXELS = 60
_RIVAL_AREA = 0.03  # a patch of the background rivals an object from this share of its area on: the same thing, farther off
_USUAL_SHARE = 0.08  # of an object's pixels, in the median look, from which a colour is one of its own
_BESIDE_POINT = 0.01  # of the width, from a measured point of the object to where it is pointed at
_AROUND = 2  # question frames before and after the one that is pointed to
_SIZE_RATIO = 1.8  # between the real sizes of two objects that are called large and small


@dataclass(frozen=True)
class _Look:
    """What is seen of one object: the colour it clearly has, and where it can be pointed at.

    Attributes:
        colour: index into COLOURS, or ``UNCLEAR``.
        frame: question frame to point at it: early, and well visible.
        measured: the same as a measuring frame.
        across: horizontal middle of its mask there, as a share of the width.
        point: (u, v) inside its mask there, as shares of width and height; None where others cover it.
        size_m: diagonal of its points' middle 80 %, NaN where unknown.
        area_px: of its mask at the frame to point at it.
    """

    object_id: str
    colour: int
    frame: int
    measured: int
    across: float
    point: tuple[float, float] | None
    size_m: float
    area_px: int
    looks: tuple[int, ...]


def describe(frames: ClipFrames, tracks: Sequence[ObjectTrack], path: CameraPath | None) -> list[Description]:
    """One description per track, in order; its text is empty where none fits that object alone.

    With the camera path, objects are pointed at only beside points that were measured on them: the mask of a walker's legs has
    its innermost place between them. Without one (None), masks alone are trusted.
    """
    looks = [_look(frames, tracks, track, path) for track in tracks]
    pictures = _Pictures(frames)
    texts: list[str] = []
    for track, look in zip(tracks, looks, strict=True):
        texts.append("" if look is None else _words(frames, pictures, tracks, looks, track, look))
    doubled = {text for text in texts if texts.count(text) > 1}
    return [
        Description(track.object_id, CATEGORY, "" if text in doubled else text, SOURCE)
        for track, text in zip(tracks, texts, strict=True)
    ]


def _words(
    frames: ClipFrames,
    pictures: _Pictures,
    tracks: Sequence[ObjectTrack],
    looks: Sequence[_Look | None],
    track: ObjectTrack,
    look: _Look,
) -> str:
    if look.colour == UNCLEAR:
        return _pointed(look, "")
    name = COLOURS[look.colour]
    # an object of unclear colour may well have some of this one: it counts as a namesake
    namesakes = [o for o in looks if o is not None and o is not look and o.colour in (look.colour, UNCLEAR)]
    rivals = _rivals(frames, pictures, tracks, track, look)
    if not rivals.spans and not rivals.elsewhere:
        if not namesakes:
            return f"the {name} object"
        size = _size_word(tracks, look, namesakes)
        if size and all(other.colour == look.colour for other in namesakes):
            return f"the {size} {name} object"
    side = _side(look.across)
    if side and not any(_reaches(span, side) for span in rivals.spans) and not _same_place(tracks, namesakes, look, side):
        return f"the {name} object ({side} of the view at frame {look.frame})"
    # what looks like the background may be the background, inside a mask that is too wide
    return _pointed(look, "" if rivals.spans and name in _PLAIN else f"{name} ")


def _pointed(look: _Look, colour: str) -> str:
    """Words that point at the object by its place in the picture; "" where it shows no part clear of the others."""
    if look.point is None:
        return ""
    u, v = look.point
    place = f"{round(100 * u)}% from the left and {round(100 * v)}% from the top of the view"
    return f"the {colour}object (about {place} at frame {look.frame})"


def _point(
    frames: ClipFrames,
    tracks: Sequence[ObjectTrack],
    track: ObjectTrack,
    measured: int,
    looks: Sequence[int],
    path: CameraPath | None,
) -> tuple[float, float] | None:
    """The innermost place (u, v) of the object's mask, as shares of width and height, clear of all other masks.

    Only where it has a colour that the object shows for most of the clip: what a mask took along beside it is seen there for a
    while, and may well be wider than the object is.
    """
    free = _mask(track, measured)
    for other in tracks:
        if other.object_id != track.object_id and other.masks[measured] is not None:
            free = free & (1 - cv2.dilate(_mask(other, measured), np.ones((5, 5), np.uint8)))
    if path is not None:
        free = free & _beside_points(frames, track, measured, path)
    own = free * _own_colours(frames, track, looks)[colour_names(frames.left[measured])].astype(np.uint8)
    # single pixels of another colour are noise
    closed = cv2.morphologyEx(own, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    for part in (closed & free, free):
        depth = cv2.distanceTransform(np.pad(part, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
        if depth.max() >= 3:  # a rounded percentage would miss less
            row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
            return (float(column) + 0.5) / depth.shape[1], (float(row) + 0.5) / depth.shape[0]
    return None


def _own_colours(frames: ClipFrames, track: ObjectTrack, looks: Sequence[int]) -> Bool[Array, "c"]:
    """Per colour name (and ``UNCLEAR``), whether a fair share of the object has it in most of its looks."""
    shares = []
    for measured in (int(frames.question[q]) for q in looks):
        names = colour_names(frames.left[measured][_mask(track, measured).astype(bool)][None])
        shares.append(np.bincount(names.ravel(), minlength=UNCLEAR + 1) / names.size)
    return np.asarray(np.median(shares, axis=0) >= _USUAL_SHARE)


def _beside_points(frames: ClipFrames, track: ObjectTrack, measured: int, path: CameraPath) -> UInt8[Array, "h w"]:
    """Pixels near some of the object's measured points."""
    points = track.points_m[measured]
    seen = transform(inverse(path.world_from_camera[measured]), points[np.isfinite(points).all(1)].astype(float))
    height, width = frames.left.shape[1:3]
    out = np.zeros((height, width), np.uint8)
    columns, rows = np.floor(frames.camera.project(seen[seen[:, 2] > 0])).astype(int).T
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    out[rows[inside], columns[inside]] = 1
    reach = max(4, round(_BESIDE_POINT * width))
    return np.asarray(cv2.dilate(out, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))))


def _look(frames: ClipFrames, tracks: Sequence[ObjectTrack], track: ObjectTrack, path: CameraPath | None) -> _Look | None:
    areas = {q: _area(track, int(m)) for q, m in enumerate(frames.question) if track.visible[m] and track.masks[m] is not None}
    areas = {q: area for q, area in areas.items() if area >= _MIN_PIXELS}
    if not areas:
        return None
    ordered = sorted(areas)
    looks = [ordered[n] for n in np.unique(np.linspace(0, len(ordered) - 1, _LOOKS).round().astype(int))]
    votes = [_colour_of(frames, track, int(frames.question[q])) for q in looks]
    best = max(set(votes), key=lambda c: (votes.count(c), -c))
    clear = best != UNCLEAR and votes.count(best) >= 0.7 * len(votes)
    # the earliest frame that shows at least half of what the best one shows
    frame = next(q for q in ordered if areas[q] >= 0.5 * max(areas.values()))
    measured = int(frames.question[frame])
    return _Look(
        track.object_id,
        best if clear else UNCLEAR,
        frame,
        measured,
        _centre(track, measured, frames.camera.width),
        _point(frames, tracks, track, measured, looks, path),
        _size(track, measured),
        areas[frame],
        tuple(looks),
    )


def _centre(track: ObjectTrack, measured: int, width: int) -> float:
    columns = np.flatnonzero(_mask(track, measured).any(0))
    return float(columns[0] + columns[-1] + 1) / 2 / width


def _colour_of(frames: ClipFrames, track: ObjectTrack, measured: int) -> int:
    """The colour of the inside of the object's mask in one frame; ``UNCLEAR`` if no colour covers enough of it."""
    mask = _mask(track, measured)
    radius = max(1, int(0.08 * np.sqrt(mask.sum())))
    inside = cv2.erode(mask, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8), borderValue=0).astype(bool)
    if inside.sum() < _MIN_PIXELS // 2:
        inside = mask.astype(bool)
    shares = np.bincount(colour_names(frames.left[measured][inside][None]).ravel(), minlength=UNCLEAR + 1) / inside.sum()
    second, best = np.argsort(shares[:UNCLEAR], kind="stable")[-2:].tolist()
    clear = shares[best] >= _CLEAR_SHARE and shares[second] <= _RUNNER_UP * shares[best]
    return best if clear else UNCLEAR


@dataclass(frozen=True)
class _Rivals:
    """Patches outside the moving objects that have an object's colour.

    Attributes:
        spans: their horizontal extents, as shares of the width, at the frame that is pointed to; what leaves or enters the
            picture around that frame counts too, since a sliver of it may be left at the border.
        elsewhere: there are some in other frames.
    """

    spans: tuple[tuple[float, float], ...]
    elsewhere: bool


class _Pictures:
    """Colour names of whole frames, thinned to about 640 pixels across, kept while one clip is described."""

    def __init__(self, frames: ClipFrames) -> None:
        self._left = frames.left
        self._step = max(1, frames.camera.width // 640)
        self._names: dict[int, Int[Array, "h w"]] = {}

    def names(self, measured: int) -> Int[Array, "h w"]:
        """Index into COLOURS per pixel."""
        if measured not in self._names:
            self._names[measured] = colour_names(self._left[measured, :: self._step, :: self._step])
        return self._names[measured]

    def thinned(self, mask: UInt8[Array, "h w"]) -> UInt8[Array, "h w"]:
        """A mask at the same pixels."""
        return mask[:: self._step, :: self._step]


def _rivals(frames: ClipFrames, pictures: _Pictures, tracks: Sequence[ObjectTrack], track: ObjectTrack, look: _Look) -> _Rivals:
    spans: list[tuple[float, float]] = []
    elsewhere = False
    usual = _area(track, look.measured)
    spread = np.linspace(0, len(frames.question) - 1, _LOOKS).round().astype(int).tolist()
    around = range(max(0, look.frame - _AROUND), min(len(frames.question), look.frame + _AROUND + 1))
    for q in sorted({*around, *look.looks, *spread}):
        measured = int(frames.question[q])
        names = pictures.names(measured)
        others = np.zeros(names.shape, np.uint8)
        for any_track in tracks:
            if any_track.masks[measured] is not None:
                others |= pictures.thinned(_mask(any_track, measured))
        area = (_area(track, measured) or usual) * names.size / frames.left[0, ..., 0].size
        # masks are not exact at the edges, and what an object reflects or shades lies close by
        reach = 2 * max(3, int(0.15 * np.sqrt(area))) + 1
        covered = cv2.dilate(others, np.ones((reach, reach), np.uint8)).astype(bool)
        same = (close_to(names, look.colour) & ~covered).astype(np.uint8)
        same = cv2.morphologyEx(same, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        count, _, stats, _ = cv2.connectedComponentsWithStats(same, connectivity=8)
        for left, _, width, _, size in stats[1:count]:
            if size < max(_RIVAL_AREA * area, _MIN_PIXELS):
                continue
            at_border = left == 0 or left + width == same.shape[1]
            if q == look.frame or (q in around and at_border):
                spans.append((float(left) / same.shape[1], float(left + width) / same.shape[1]))
            else:
                elsewhere = True
    return _Rivals(tuple(spans), elsewhere)


_SIDES = {"on the left": (0.0, 0.36), "in the middle": (0.42, 0.58), "on the right": (0.64, 1.0)}


def _side(u: float) -> str:
    return next((side for side, (low, high) in _SIDES.items() if low <= u <= high), "")


def _reaches(span: tuple[float, float], side: str) -> bool:
    """Whether something with that horizontal extent might be said to be on that side."""
    low, high = _SIDES[side]
    return span[0] <= high + 0.06 and span[1] >= low - 0.06


def _same_place(tracks: Sequence[ObjectTrack], namesakes: Sequence[_Look], look: _Look, side: str) -> bool:
    """Whether a moving object of the same colour is, or may be, on that side of the view at the frame pointed to."""
    by_id = {track.object_id: track for track in tracks}
    for other in namesakes:
        if by_id[other.object_id].masks[look.measured] is None:
            return True  # it is somewhere, unseen or unmeasured
        columns = np.flatnonzero(_mask(by_id[other.object_id], look.measured).any(0))
        width = by_id[other.object_id].masks[look.measured]["size"][1]  # type: ignore[index]
        if len(columns) and _reaches((columns[0] / width, (columns[-1] + 1) / width), side):
            return True
    return False


def _size_word(tracks: Sequence[ObjectTrack], look: _Look, namesakes: Sequence[_Look]) -> str:
    """``large`` or ``small`` if the object differs from all its namesakes in real size, clearly and in one direction.

    Its outline must differ from theirs in the same direction, at the frame that shows it and at theirs: who looks at the
    picture goes by what looks large.
    """
    sizes = [other.size_m for other in namesakes]
    if not np.isfinite([look.size_m, *sizes]).all():
        return ""
    by_id = {track.object_id: track for track in tracks}
    there = (_area(by_id[other.object_id], look.measured) for other in namesakes)
    areas = [other.area_px for other in namesakes] + [area for area in there if area]
    if look.size_m > _SIZE_RATIO * max(sizes) and look.area_px > max(areas):
        return "large"
    return "small" if look.size_m * _SIZE_RATIO < min(sizes) and look.area_px < min(areas) else ""


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
