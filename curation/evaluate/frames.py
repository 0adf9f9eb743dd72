"""The frames of a video that a model is shown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
from jaxtyping import UInt8

from schemas.camera import Array


def decode(video: Path, wanted: Sequence[int] | None, count: int) -> tuple[UInt8[Array, "n h w 3"], list[float]]:
    """Frames (RGB) and their times in seconds since the first frame.

    Args:
        video: file.
        wanted: numbers of its frames, rising; uniform over all where None.
        count: how many, where ``wanted`` is None or longer.

    Raises:
        ValueError: the video cannot be read, or ends before the last wanted frame.
    """
    if wanted is None or len(wanted) > count:
        total = len(wanted) if wanted is not None else _length(video)
        places = [round(i * (total - 1) / max(count - 1, 1)) for i in range(min(count, total))]
        wanted = [wanted[place] for place in places] if wanted is not None else places
    keep, out, times = set(wanted), {}, {}
    first = 0.0
    for n, frame in enumerate(_frames(video)):
        first = float(frame.time or 0.0) if n == 0 else first
        if n in keep:
            out[n], times[n] = frame.to_ndarray(format="rgb24"), float(frame.time or 0.0) - first
        if n >= max(keep):
            break
    if missing := sorted(keep - set(out)):
        raise ValueError(f"expected frame {missing[0]} of {video}; it ends before")
    return np.stack([out[n] for n in wanted]), [times[n] for n in wanted]


def _frames(video: Path):  # type: ignore[no-untyped-def]
    try:
        with av.open(str(video)) as container:
            yield from container.decode(container.streams.video[0])
    except (av.FFmpegError, OSError, IndexError) as error:
        raise ValueError(f"expected a video that can be read at {video}: {error}") from error


def _length(video: Path) -> int:
    count = sum(1 for _ in _frames(video))
    if not count:
        raise ValueError(f"expected frames in {video}, found none")
    return count


def jpeg(image: UInt8[Array, "h w 3"], max_side_px: int, quality: int = 90) -> bytes:
    """An RGB image as JPEG, scaled down so that no side is longer than ``max_side_px``."""
    scale = max_side_px / max(image.shape[:2])
    if scale < 1:
        size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
