"""Pictures of a clip's question frames: decoded from its mp4, and laid out as one sheet that a page can draw from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from jaxtyping import UInt8

from schemas.camera import Array

_COLUMNS = 8
_QUALITY = 76


@dataclass(frozen=True)
class Sheet:
    """Where the frames stand on a sheet: frame k in row k // columns, column k % columns, each width x height px."""

    width: int
    height: int
    columns: int
    count: int


def decode_frames(video: Path, index: Sequence[int], most_px: int = 640) -> list[UInt8[Array, "h w 3"]]:
    """The frames ``index`` (ascending) of an mp4 as RGB, scaled down so that the longer side is at most ``most_px``.

    Raises:
        ValueError: the video has fewer frames than that.
        av.FFmpegError: it cannot be decoded.
    """
    wanted, out = set(index), {}
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for number, frame in enumerate(container.decode(stream)):
            if number in wanted:
                scale = min(1.0, most_px / max(frame.width, frame.height))
                size = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
                picture = frame.to_ndarray(format="rgb24")
                out[number] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if scale < 1 else picture
            if len(out) == len(wanted):
                break
    if missing := sorted(wanted - out.keys()):
        raise ValueError(f"expected frames {missing} in {video.name}, which ends before; was it replaced?")
    return [out[k] for k in index]


def write_sheet(path: Path, frames: Sequence[UInt8[Array, "h w 3"]]) -> Sheet:
    """Write the frames (all of one size) side by side as one JPEG."""
    height, width = frames[0].shape[:2]
    columns = min(_COLUMNS, len(frames))
    sheet = np.zeros((-(-len(frames) // columns) * height, columns * width, 3), np.uint8)
    for k, frame in enumerate(frames):
        row, column = divmod(k, columns)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = frame
    write_jpeg(path, sheet)
    return Sheet(width, height, columns, len(frames))


def write_jpeg(path: Path, picture: UInt8[Array, "h w 3"], quality: int = _QUALITY) -> None:
    """Write an RGB picture.

    Raises:
        OSError: it cannot be encoded or written.
    """
    done, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise OSError(f"{path.name}: a picture of {picture.shape} could not be encoded as JPEG")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())
