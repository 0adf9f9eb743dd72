"""From a source to the clips that will be measured."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from curation.video.layouts import plan_eyes
from curation.video.reading import Pictures, open_pictures
from curation.video.shots import Timeline, spans, timeline
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
_END_TOLERANCE_S = 0.5  # eyes recorded apart may stop this far from each other


@dataclass(frozen=True)
class ClipPlan:
    """The clips of a source in order, and the parts of it that were refused: (name with time span, why)."""

    clips: list[ClipSpec]
    refused: list[tuple[str, Rejected]]


def plan_clips(source: Source, config: VideoConfig) -> ClipPlan:
    """Find the shots of a source and cut them into clips of ``min_clip_s`` to ``max_clip_s``.

    Reads the source once, one picture at a time. Shots that cannot be used are listed in ``refused``.

    Raises:
        Rejected: the source as a whole cannot be used (``unreadable_video``, ``no_video_track``, ``eyes_differ``,
            ``bad_calibration``, ``too_small``, ...).
    """
    pictures = open_pictures(source.left, source.fps)
    eyes = plan_eyes(source.layout, pictures.width, pictures.height, pictures.pixel_aspect, source.camera, config)
    line = timeline(pictures.read(), eyes.left, pictures.width, pictures.height)
    if not line.times_s:
        raise Rejected("unreadable_video", "no frame of it can be decoded")
    if source.right is not None:
        _check_right(source, pictures, line)
    clips: list[ClipSpec] = []
    refused: list[tuple[str, Rejected]] = []
    options = json.dumps({"version": PIXELS_VERSION} | {k: getattr(config, k) for k in _PIXEL_OPTIONS}, sort_keys=True)
    for start, end, reason in spans(line, config.trim_s, config.min_brightness, config.max_brightness):
        start_s = line.times_s[min(start, len(line.times_s) - 1)]
        end_s = _end_s(line, end) if end > start else start_s
        name = f"{source.name}#{start_s:.2f}-{end_s:.2f}"
        if reason:
            bound = f"below {config.min_brightness:g}" if reason == "too_dark" else f"above {config.max_brightness:g}"
            mean = float(np.mean(line.luma[start:end]))
            refused.append((name, Rejected(reason, f"{end - start} frames with a mean luma of {mean:.0f} of 255, {bound}")))
        elif end_s - start_s < config.min_clip_s - 1e-6 or end - start < config.min_frames:
            detail = (
                f"{end_s - start_s:.2f} s, {end - start} frames; expected {config.min_clip_s:g} s and {config.min_frames} frames"
            )
            refused.append((name, Rejected("too_short", detail)))
        else:
            for a, b in _cut(line, start, end, config.max_clip_s):
                clips.append(ClipSpec(source, a, b, line.times_s[a], _end_s(line, b), options))
    refused.extend(_losses(source, pictures, line))
    return ClipPlan(clips, refused)


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
    count = len(line.times_s)
    if count in line.lost:
        announced = f" of {pictures.expected} announced" if pictures.expected else ""
        yield (
            source.name,
            Rejected("truncated", f"the file breaks off after {count} frames{announced}; the clips before it are kept"),
        )
    inside = [i for i in sorted(line.lost) if i < count]
    if inside:
        at = ", ".join(f"{line.times_s[i]:.2f} s" for i in inside[:3])
        yield source.name, Rejected("decode_error", f"damaged at {len(inside)} places ({at}); the clips between them are kept")


def _check_right(source: Source, left: Pictures, line: Timeline) -> None:
    """Refuse a pair whose eyes are of different size, rate or length. The pairing itself is checked while decoding."""
    assert source.right is not None
    right = open_pictures(Path(source.right), source.fps)
    if (left.width, left.height) != (right.width, right.height):
        raise Rejected(
            "eyes_differ",
            f"the left eye is {left.width}x{left.height}, the right {right.width}x{right.height}; expected one size",
        )
    if abs(left.fps / right.fps - 1) > 0.01:
        raise Rejected("eyes_differ", f"the left eye has {left.fps:.3f} frames a second, the right {right.fps:.3f}")
    if left.expected and right.expected and abs(left.expected - right.expected) / left.fps > _END_TOLERANCE_S:
        raise Rejected("eyes_differ", f"the left eye has {left.expected} frames, the right {right.expected}")
