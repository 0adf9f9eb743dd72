"""The published H.264 video of a clip: the same bytes for the same frames, every time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from jaxtyping import UInt8

from schemas.camera import Array

_TICKS = 90_000  # a second, where the frame rate is not constant
_CONSTANT_S = 0.0011  # some containers keep whole milliseconds; within that, a rate is constant


def constant_rate(times_s: Sequence[float]) -> Fraction | None:
    """The frame rate that all times fit to a millisecond, None where there is none."""
    if len(times_s) < 2:
        return None
    count = len(times_s) - 1
    rate = count / (times_s[-1] - times_s[0])
    candidates = [Fraction(round(rate)), Fraction(round(rate * 1.001) * 1000, 1001), Fraction(rate).limit_denominator(1000)]
    for fraction in candidates:
        if fraction > 0:
            ideal = np.arange(count + 1) / float(fraction)
            if np.abs(np.asarray(times_s) - times_s[0] - ideal).max() <= min(_CONSTANT_S, 0.25 / float(fraction)):
                return fraction
    return None


class ClipWriter:
    """Writes frames of one size as they come; the times follow at the end. Use as a context manager.

    The file appears under its name only when it is complete. One thread and no encoder delay (no B-frames), so that
    the bytes do not depend on the machine's cores and frame k of the file is packet k.
    """

    def __init__(self, path: str | Path, width: int, height: int, fps: float, crf: int) -> None:
        self._path = Path(path)
        self._temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.part.mp4")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        options = {"movflags": "+faststart", "fflags": "+bitexact"}
        self._container = av.open(str(self._temporary), "w", format="mp4", container_options=options)
        rate = Fraction(max(fps, 1.0)).limit_denominator(1000)
        self._stream: Any = self._container.add_stream("libx264", rate=rate)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        context = self._stream.codec_context
        context.thread_count = 1
        context.time_base = 1 / rate
        # Readers that ignore the tag assume BT.601 (swscale's default), and readers that honour it find BT.601.
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 6, 6, 6, 1
        keyframes = str(max(1, min(60, round(rate))))  # a trainer jumps to 32 places
        context.options = {"crf": str(crf), "preset": "superfast", "bf": "0", "g": keyframes, "flags": "+bitexact"}
        self._packets: list[Any] = []
        self._count = 0

    def __enter__(self) -> ClipWriter:
        return self

    def add(self, rgb: UInt8[Array, "h w 3"]) -> None:
        """Append a frame."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG", interpolation="AREA")
        frame.pts = self._count
        self._count += 1
        self._packets += self._stream.encode(frame)

    def finish(self, times_s: Sequence[float]) -> None:
        """Write the file. ``times_s`` has one entry per frame, in seconds; the first becomes 0."""
        if len(times_s) != self._count:
            raise ValueError(f"expected one time for each of {self._count} frames, got {len(times_s)}")
        self._packets += self._stream.encode(None)
        rate = constant_rate(times_s)
        if rate is not None:
            ticks, base = list(range(self._count)), 1 / rate
        else:
            ticks, base = [round((t - times_s[0]) * _TICKS) for t in times_s], Fraction(1, _TICKS)
        for k, packet in enumerate(self._packets):
            packet.stream = self._stream
            packet.time_base = base
            packet.pts = packet.dts = ticks[k]
            following = ticks[k + 1] if k + 1 < len(ticks) else 2 * ticks[k] - ticks[k - 1] if k else 1
            packet.duration = max(1, following - ticks[k])
            self._container.mux(packet)
        self._container.close()
        os.replace(self._temporary, self._path)

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._temporary.exists():  # not finished
            self._container.close()
            self._temporary.unlink(missing_ok=True)
