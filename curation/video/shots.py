"""One pass over the left eye, small: the time of every picture, where shots begin, and which pictures are unusable."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from scenedetect.common import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

from curation.video.layouts import Box
from curation.video.reading import Picture
from schemas.camera import Array
from schemas.outcome import Rejected

_SMALL_WIDTH = 128
_LONG_GAP_S = 1.0

# Dissimilarity (1 - correlation) of neighbours after the motion between them was undone. Inside shots of the real clips
# and of fast worlds: at most 0.22; across cuts to another scene: at least 0.43.
_CUT = 0.35
_JUMP = 0.12  # a cut within one scene: less, but far more than its neighbours
_JUMP_RATIO = 5.0
_NEIGHBOURS = 4
# A dissolve: far apart in content, and yet the picture in the middle is the mean of both. Inside shots such a middle
# picture misses the mean by at least 0.45 of their difference (where they differ that much), in dissolves by 0.2 to 0.4.
_DISSOLVE_FRAMES = (4, 8, 15)
_DISSOLVE_CHANGE = 0.3
_DISSOLVE_MISS = 0.4
_MIN_CONTRAST = 4.0  # grey levels; what is flatter than that correlates with nothing


@dataclass
class Timeline:
    """What one pass over a source learned. Index = decoded picture.

    Attributes:
        times_s: since the start of the stream.
        luma: mean of each picture, 0..255.
        begins: indices of pictures that begin a new shot (cut, lost data, or a gap in time before them).
        mixed: indices of pictures that show two shots (dissolves).
        lost: indices before which data was lost; ``len(times_s)`` where the file broke off.
    """

    times_s: list[float] = field(default_factory=list)
    luma: list[float] = field(default_factory=list)
    begins: set[int] = field(default_factory=set)
    mixed: set[int] = field(default_factory=set)
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
        try:
            pixels = picture.rgb(small)[y0:y1, x0:x1] if picture is not None else None
        except Rejected as why:
            if why.reason != "unreadable_image":
                raise
            pixels = None
        if picture is None or pixels is None:
            out.lost.add(index)
            continue
        out.times_s.append(picture.time_s)
        out.luma.append(float(pixels.mean(axis=(0, 1)) @ (0.299, 0.587, 0.114)))
        cuts.add(pixels)
    out.begins |= cuts.found() | out.lost
    out.mixed = cuts.mixed
    gaps = np.flatnonzero(np.diff(out.times_s) > max(_LONG_GAP_S, 5 * out.interval_s)) + 1
    out.begins.update(int(i) for i in gaps)
    return out


class _Cuts:
    """Where shots change: PySceneDetect's adaptive detector, and what motion between two pictures cannot explain.

    The detector compares pixel by pixel and misses cuts in footage that moves much (10 of 210 between the clips tried);
    the comparison after undoing the motion missed none of them, and it also sees the first and last pictures.
    """

    def __init__(self) -> None:
        self._detector = AdaptiveDetector(min_scene_len=1)
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._found: set[int] = set()
        self._change: list[float] = []
        self._grays: deque[UInt8[Array, "h w"]] = deque(maxlen=2 * max(_DISSOLVE_FRAMES) + 1)
        self.mixed: set[int] = set()

    def add(self, rgb: UInt8[Array, "h w 3"]) -> None:
        """The next picture."""
        gray = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (0, 0), 0.8)
        self._change.append(self._unexplained(self._grays[-1], gray) if self._grays else 0.0)
        self._grays.append(gray)
        for reach in _DISSOLVE_FRAMES:
            if len(self._grays) > 2 * reach and self._dissolves(reach):
                self.mixed.update(range(len(self._change) - 1 - 2 * reach, len(self._change)))
        at = FrameTimecode(len(self._change) - 1, fps=30.0)  # only counts frames
        cuts = self._detector.process_frame(at, np.ascontiguousarray(rgb[..., ::-1]))
        self._found.update(int(cut.frame_num) for cut in cuts)

    def found(self) -> set[int]:
        """Indices of the pictures that begin a shot; after the last picture."""
        change = np.asarray(self._change)
        out = set(self._found)
        for i in np.flatnonzero(change > _JUMP):
            around = np.r_[change[max(1, i - _NEIGHBOURS) : i], change[i + 1 : i + 1 + _NEIGHBOURS]]
            if change[i] > _CUT or (len(around) >= 2 and change[i] > _JUMP_RATIO * np.median(around)):
                out.add(int(i))
        return out

    def _dissolves(self, reach: int) -> bool:
        """Whether the picture ``reach`` frames ago is a mixture of those as far before and after it."""
        before, middle, after = self._grays[-1 - 2 * reach], self._grays[-1 - reach], self._grays[-1]
        difference = after.astype(np.float32) - before
        miss = (middle.astype(np.float32) - before - 0.5 * difference).std() / max(float(difference.std()), 1.0)
        return bool(miss < _DISSOLVE_MISS and self._unexplained(before, after) > _DISSOLVE_CHANGE)

    def _unexplained(self, before: UInt8[Array, "h w"], after: UInt8[Array, "h w"]) -> float:
        """Dissimilarity of two pictures with the motion between them undone; 0 where there is too little to see."""
        if min(after.shape) < 16 or min(float(before.std()), float(after.std())) < _MIN_CONTRAST:
            return 0.0
        flow = self._flow.calc(before, after, np.zeros((*after.shape, 2), np.float32))
        x, y = np.meshgrid(np.arange(after.shape[1], dtype=np.float32), np.arange(after.shape[0], dtype=np.float32))
        undone = cv2.remap(after, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return 1.0 - _correlation(before.astype(np.float64), undone.astype(np.float64))


def _correlation(a: Float[Array, "h w"], b: Float[Array, "h w"]) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / max(1e-9, np.sqrt((a * a).sum() * (b * b).sum())))


@dataclass(frozen=True)
class Span:
    """Pictures [start, end) between two boundaries; [first, last) of them remain after trimming.

    ``reason`` is "" for a usable span, else the word for why it is not one. ``at_loss``: it touches lost data.
    """

    start: int
    end: int
    first: int
    last: int
    reason: str
    at_loss: bool


def spans(line: Timeline, usable: Bool[Array, "n"], trim_s: float, min_luma: float, max_luma: float) -> Iterator[Span]:
    """The runs of pictures between boundaries, trimmed by ``trim_s`` at each boundary but not at the ends of the file.

    Pictures that are not ``usable`` (dissolves, no partner in the other eye) are boundaries and belong to no span.
    """
    count = len(line.times_s)
    luma = np.asarray(line.luma)
    state = np.where(luma < min_luma, 1, np.where(luma > max_luma, 2, 0))
    state[~usable] = 3
    changes = {int(i) + 1 for i in np.flatnonzero(np.diff(state))}
    edges = sorted({0, count} | {i for i in line.begins if 0 < i < count} | changes)
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        if state[start] == 3:
            continue
        first, last = start, end
        if start > 0 or 0 in line.lost:
            first = int(np.searchsorted(line.times_s, line.times_s[start] + trim_s - 1e-9))
        if end < count or count in line.lost:
            last = int(np.searchsorted(line.times_s, line.times_s[end - 1] + line.interval_s - trim_s - 1e-9))
        first = min(first, end)
        reason = ("", "too_dark", "too_bright")[state[start]]
        yield Span(start, end, first, max(first, min(last, end)), reason, start in line.lost or end in line.lost)
