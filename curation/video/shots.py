"""One pass over the left eye, small: the time of every picture, where shots begin, and which pictures are unusable."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import UInt8
from scenedetect.common import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

from curation.video.layouts import Box
from curation.video.reading import Picture
from schemas.camera import Array

_SMALL_WIDTH = 192  # pixels; PySceneDetect's own default works at about this size
_PAD = 2  # AdaptiveDetector judges a frame by two neighbours on either side, so it is blind at both ends
_LONG_GAP_S = 1.0


@dataclass
class Timeline:
    """What one pass over a source learned. Index = decoded picture.

    Attributes:
        times_s: since the start of the stream.
        dark, bright: pictures outside the limits of mean luma.
        begins: indices of pictures that begin a new shot (cut, lost data, or a gap in time before them).
        lost: indices before which data was lost; ``len(times_s)`` where the file broke off.
    """

    times_s: list[float] = field(default_factory=list)
    luma: list[float] = field(default_factory=list)
    begins: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)

    @property
    def interval_s(self) -> float:
        """The usual time between pictures (median)."""
        return float(np.median(np.diff(self.times_s))) if len(self.times_s) > 1 else 0.0


def timeline(pictures: Iterator[Picture | None], box: Box, width: int, height: int) -> Timeline:
    """Read a source once, streaming. ``box`` is the left eye in the stored ``width`` x ``height`` picture."""
    out = Timeline()
    scale = min(1.0, _SMALL_WIDTH / (box[2] - box[0]))
    small = max(2, round(width * scale)), max(2, round(height * scale))
    x0, y0, x1, y1 = (round(side * scale) for side in box)
    cuts = _Cuts()
    for picture in pictures:
        index = len(out.times_s)
        if picture is None:
            out.lost.add(index)
            continue
        pixels = picture.rgb(small)[y0:y1, x0:x1]
        out.times_s.append(picture.time_s)
        out.luma.append(float(pixels.mean(axis=(0, 1)) @ (0.299, 0.587, 0.114)))
        out.begins.update(cuts.add(pixels))
    out.begins.update(cuts.finish())
    out.begins |= out.lost
    gaps = np.flatnonzero(np.diff(out.times_s) > max(_LONG_GAP_S, 5 * out.interval_s)) + 1
    out.begins.update(int(i) for i in gaps)
    return out


class _Cuts:
    """PySceneDetect's adaptive detector, fed with the first and last picture repeated so that it sees both ends."""

    def __init__(self) -> None:
        self._detector = AdaptiveDetector(min_scene_len=1)
        self._fed = 0
        self._last: UInt8[Array, "h w 3"] | None = None

    def add(self, rgb: UInt8[Array, "h w 3"]) -> list[int]:
        first = self._last is None
        self._last = np.ascontiguousarray(rgb[..., ::-1])
        return [cut for _ in range(1 + _PAD * first) for cut in self._feed(self._last)]

    def finish(self) -> list[int]:
        return [cut for _ in range(_PAD) for cut in self._feed(self._last)] if self._last is not None else []

    def _feed(self, bgr: UInt8[Array, "h w 3"]) -> list[int]:
        found = self._detector.process_frame(FrameTimecode(self._fed, fps=30.0), bgr)
        self._fed += 1
        return [int(cut.frame_num) - _PAD for cut in found]


def spans(line: Timeline, trim_s: float, min_luma: float, max_luma: float) -> Iterator[tuple[int, int, str]]:
    """Runs of usable pictures [start, end) between boundaries, trimmed by ``trim_s`` at each boundary.

    Yields (start, end, reason): reason is "" for a usable run, else the word for why the run is not one.
    """
    count = len(line.times_s)
    luma = np.asarray(line.luma)
    state = np.where(luma < min_luma, 1, np.where(luma > max_luma, 2, 0))
    edges = sorted({0, count} | {i for i in line.begins if 0 < i < count} | {int(i) + 1 for i in np.flatnonzero(np.diff(state))})
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        if state[start]:
            yield start, end, ("", "too_dark", "too_bright")[state[start]]
            continue
        first, last = start, end
        if start > 0 or 0 in line.lost:
            first = int(np.searchsorted(line.times_s, line.times_s[start] + trim_s - 1e-9))
        if end < count or count in line.lost:
            last = int(np.searchsorted(line.times_s, line.times_s[end - 1] + line.interval_s - trim_s + 1e-9))
        yield first, max(first, min(last, end)), ""
