"""From a source to the clips that will be measured."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from curation.video.layouts import plan_eyes
from curation.video.likeness import Watcher
from curation.video.reading import Pictures, open_pictures
from curation.video.shots import Span, Timeline, spans, timeline
from schemas.camera import Array
from schemas.clip import ClipSpec, Source
from schemas.config import VideoConfig
from schemas.outcome import Rejected

# Increase when the code decodes other pixels, or picks other frames, for the same options: clips then get new ids.
PIXELS_VERSION = 1
_PIXEL_OPTIONS = (
    "question_frames",
    "measure_fps",
    "measure_motion_share",
    "max_measure_frames",
    "max_width",
    "vr180_hfov_deg",
    "vr180_size_px",
    "crf",
)
_END_TOLERANCE_S = 0.5
_RATE_TOLERANCE = 0.01
_PAIRED_SHARE = 0.8  # of the left frames; with fewer partners the two files are hardly one recording


@dataclass(frozen=True)
class ClipPlan:
    """The clips of a source in order, and the parts of it that were refused: (name with time span, why).

    ``likeness`` is what its left eye shows (``curation.video.likeness``): the same in any layout, container or quality.
    """

    clips: list[ClipSpec]
    refused: list[tuple[str, Rejected]]
    likeness: tuple[int, ...] = ()


def plan_clips(source: Source, config: VideoConfig) -> ClipPlan:
    """Find the shots of a source and cut them into clips of ``min_clip_s`` to ``max_clip_s``.

    Reads the source once, one picture at a time. Shots that cannot be used are listed in ``refused``.

    Raises:
        Rejected: the source as a whole cannot be used (``unreadable_video``, ``no_video_track``, ``eyes_differ``,
            ``bad_calibration``, ``too_small``, ...).
    """
    pictures = open_pictures(source.left, source.fps, both_views=source.layout == "mv_hevc")
    eyes = plan_eyes(source.layout, pictures.width, pictures.height, pictures.pixel_aspect, source.camera, config)
    watcher = Watcher(eyes.left)
    line = timeline(watcher.watched(pictures.read()), eyes.left, pictures.width, pictures.height)
    if not line.times_s:
        raise Rejected("unreadable_video", "no frame of it can be decoded")
    usable = _paired(source, pictures, line) if source.right is not None else np.ones(len(line.times_s), bool)
    usable[list(line.mixed)] = False
    clips: list[ClipSpec] = []
    refused: list[tuple[str, Rejected]] = []
    options = json.dumps({"version": PIXELS_VERSION} | {k: getattr(config, k) for k in _PIXEL_OPTIONS}, sort_keys=True)
    for span in spans(line, usable, config.trim_s, config.min_brightness, config.max_brightness):
        if why := _refusal(line, span, config):
            # Scraps between damaged places are told of once, below.
            if span.last > span.first or not span.at_loss:
                refused.append((f"{source.name}#{line.times_s[span.start]:.2f}-{_end_s(line, span.end):.2f}", why))
        else:
            for a, b in _cut(line, span.first, span.last, config.max_clip_s):
                clips.append(ClipSpec(source, a, b, line.times_s[a], _end_s(line, b), options))
    refused.extend(_losses(source, pictures, line))
    return ClipPlan(clips, refused, tuple(watcher.hashes))


def _refusal(line: Timeline, span: Span, config: VideoConfig) -> Rejected | None:
    if span.reason:
        bound = f"below {config.min_brightness:g}" if span.reason == "too_dark" else f"above {config.max_brightness:g}"
        mean = float(np.mean(line.luma[span.start : span.end]))
        return Rejected(span.reason, f"{span.end - span.start} frames with a mean luma of {mean:.0f} of 255, {bound}")
    frames = span.last - span.first
    length_s = _end_s(line, span.last) - line.times_s[span.first] if frames else 0.0
    if length_s < config.min_clip_s - 1e-6 or frames < config.min_frames:
        expected = f"expected {config.min_clip_s:g} s and {config.min_frames} frames"
        return Rejected("too_short", f"{length_s:.2f} s, {frames} frames after trimming; {expected}")
    return None


def _end_s(line: Timeline, end: int) -> float:
    """The time at which picture ``end - 1`` gives way: the next one's time, or one usual interval later."""
    own = line.times_s[end - 1] + line.interval_s
    return min(line.times_s[end], own) if end < len(line.times_s) and end not in line.begins else own


def _cut(line: Timeline, start: int, end: int, max_clip_s: float) -> Iterator[tuple[int, int]]:
    """Equal parts, in time, of at most ``max_clip_s``."""
    start_s, end_s = line.times_s[start], _end_s(line, end)
    parts = max(1, math.ceil((end_s - start_s) / max_clip_s - 1e-6))
    edges_s = np.linspace(start_s, end_s, parts + 1)[1:-1]
    edges = [start, *(int(i) for i in np.searchsorted(line.times_s[:end], edges_s - 1e-9)), end]
    yield from ((a, b) for a, b in zip(edges[:-1], edges[1:], strict=True) if b > a)


def _losses(source: Source, pictures: Pictures, line: Timeline) -> Iterator[tuple[str, Rejected]]:
    count, end_s = len(line.times_s), line.times_s[-1] + line.interval_s
    announced_s = pictures.duration_s or 0.0
    if count in line.lost or announced_s - end_s > max(_END_TOLERANCE_S, 0.01 * announced_s):
        announced = f" of {announced_s:.2f} s announced" if announced_s else ""
        detail = f"the file breaks off after {end_s:.2f} s{announced}; the clips before that are kept"
        yield source.name, Rejected("truncated", detail)
    inside = [i for i in sorted(line.lost) if i < count]
    if inside:
        at = ", ".join(f"{line.times_s[i]:.2f} s" for i in inside[:3]) + (", ..." if len(inside) > 3 else "")
        yield source.name, Rejected("decode_error", f"damaged before {at} ({len(inside)} places); whole clips between are kept")


def _paired(source: Source, left: Pictures, line: Timeline) -> Bool[Array, "n"]:
    """Which pictures of the left eye have a partner in the right one: half a frame apart at most.

    Raises:
        Rejected: ``eyes_differ`` where size or rate differ, or where most have none.
    """
    assert source.right is not None
    right = open_pictures(source.right, source.fps)
    if (left.width, left.height) != (right.width, right.height):
        sizes = f"the left eye is {left.width}x{left.height}, the right {right.width}x{right.height}"
        raise Rejected("eyes_differ", f"{sizes}; expected one size")
    if abs(left.fps / right.fps - 1) > _RATE_TOLERANCE:
        raise Rejected("eyes_differ", f"the left eye has {left.fps:.3f} frames a second, the right {right.fps:.3f}")
    own_s, other_s = np.asarray(line.times_s), np.asarray(right.times_s())
    if not len(other_s):
        raise Rejected("unreadable_video", "the right eye holds no frames")
    after = np.searchsorted(other_s, own_s).clip(max=len(other_s) - 1)
    before = (after - 1).clip(min=0)
    nearest_s = np.minimum(np.abs(own_s - other_s[before]), np.abs(own_s - other_s[after]))
    paired = nearest_s <= 0.5 / left.fps
    if paired.mean() < _PAIRED_SHARE:
        lengths = (
            f"the left eye has {len(own_s)} frames until {own_s[-1]:.2f} s, the right {len(other_s)} until {other_s[-1]:.2f} s"
        )
        raise Rejected("eyes_differ", f"{lengths}; only {paired.mean():.0%} of the left frames have a partner in time")
    return np.asarray(paired)
