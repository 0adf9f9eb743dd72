"""Frames of a clip as data URLs, for a model that sees them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_QUALITY = 85


def picture_frames(frame_i: int, frame_j: int, count: int) -> list[int]:
    """``count`` question frames from ``frame_i`` to ``frame_j``, both among them where ``count`` is 2 or more."""
    return sorted({round(x) for x in np.linspace(frame_i, frame_j, count).tolist()}) if count else []


def pictures(video: Path, clip: Mapping[str, Any], frames: list[int], width: int) -> list[str]:
    """The given question frames of a clip's mp4, ``width`` px wide, as JPEG data URLs.

    Args:
        video: the clip's mp4.
        clip: row of ``clips`` (``video_index``).
        frames: question frames, rising.
        width: px.
    """
    import av
    import cv2

    wanted = {int(clip["video_index"][frame]): frame for frame in frames}
    found: dict[int, str] = {}
    with av.open(str(video)) as container:
        for n, frame in enumerate(container.decode(video=0)):
            if n in wanted:
                height = max(2, round(frame.height * width / frame.width))
                pixels = frame.to_ndarray(format="bgr24")
                small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
                data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
                found[wanted[n]] = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
            if len(found) == len(wanted):
                break
    if len(found) != len(wanted):
        raise ValueError(f"expected the frames {sorted(wanted)} in {video.name}, it holds fewer")
    return [found[frame] for frame in frames]
