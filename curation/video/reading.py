"""Pictures with their true times, out of a video file or a folder of images; one at a time, never a whole file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from jaxtyping import UInt8

from curation.video.sources import image_files
from curation.video.spatial import read_spatial
from schemas.camera import Array
from schemas.outcome import Rejected

# Only containers of video: a text file named .mp4 must not be read as a playlist that opens other files or addresses.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,asf,flv,ogg"
_MAX_PIXELS = 16384 * 16384


@dataclass(frozen=True)
class Picture:
    """One stored picture, upright.

    Attributes:
        time_s: presentation time since the start of the stream.
        rgb: gives the (H, W, 3) pixels; with a size (width, height), scaled to it.
    """

    time_s: float
    rgb: Callable[..., UInt8[Array, "h w 3"]]


@dataclass(frozen=True)
class Pictures:
    """A readable stream of pictures.

    Attributes:
        times_s: gives the times of all pictures without decoding them.
        width, height: of the stored picture after the file's rotation was applied.
        pixel_aspect: width / height of a pixel as the container says.
        fps: average rate.
        duration_s: length that the container announces; None where it does not say.
    """

    path: Path
    width: int
    height: int
    pixel_aspect: float
    fps: float
    duration_s: float | None
    _read: Callable[[float], Iterator[Picture | None]]
    times_s: Callable[[], list[float]]

    def read(self, start_s: float = 0.0) -> Iterator[Picture | None]:
        """Pictures from ``start_s`` on, times strictly increasing. None stands where data was lost (damaged packets).

        ``start_s`` must be 0 or the time of a picture: the first one given then has exactly this time.
        """
        if start_s > 0:
            pictures = self._read(start_s)
            for picture in pictures:
                if picture is None or picture.time_s < start_s - 1e-6:
                    continue
                if picture.time_s <= start_s + 1e-6:
                    yield picture
                    yield from pictures
                    return
                break  # the seek went too far: some containers have no usable index
        for picture in self._read(0.0):
            if picture is None or picture.time_s >= start_s - 1e-6:
                yield picture


def open_pictures(path: str | Path, image_fps: float | None = None, *, both_views: bool = False) -> Pictures:
    """The pictures of a video file or of a folder of images (which needs ``image_fps``).

    With ``both_views`` the file is MV-HEVC, and a picture holds both its views, the left eye's on the left.

    Raises:
        Rejected: ``unreadable_video`` / ``unreadable_image``, ``no_video_track``, ``interlaced``, ``too_large``,
            ``second_view_missing``.
    """
    path = Path(path)
    if both_views:
        return _open_views(path)
    return _open_images(path, image_fps or 10.0) if path.is_dir() else _open_video(path)


@contextmanager
def _container(path: Path) -> Iterator[Any]:
    try:
        container = av.open(str(path), metadata_errors="replace", container_options={"format_whitelist": _FORMATS})
    except (av.FFmpegError, OSError, ValueError) as error:
        raise Rejected("unreadable_video", f"{path.name!r} cannot be opened as video: {_reason(error)}") from error
    with container:
        if not container.streams.video:
            raise Rejected("no_video_track", f"{path.name!r} holds no video track ({len(container.streams)} other streams)")
        if _stream(container).codec_context is None:
            raise Rejected("unreadable_video", f"{path.name!r} is of a codec that is not known here; convert it to H.264")
        yield container


def _stream(container: Any) -> Any:
    """The track that is the video: not the cover picture that some files carry as a track of its own."""
    stream = container.streams.best("video") or container.streams.video[0]
    if stream.codec_context is not None:
        stream.codec_context.thread_count = 1  # the same frames for damaged files, whatever the machine
    return stream


def _open_video(path: Path) -> Pictures:
    with _container(path) as container:
        stream = _stream(container)
        context = stream.codec_context
        if not 0 < context.width * context.height <= _MAX_PIXELS:
            raise Rejected("unreadable_video", f"{path.name!r} announces pictures of {context.width}x{context.height}")
        first, damage = None, "no picture in it"
        try:
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except (av.FFmpegError, ValueError) as error:
                    damage = _reason(error)
                    continue
                if frames:
                    first = frames[0]
                    break
        except (av.FFmpegError, OSError) as error:
            damage = _reason(error)
        if first is None:
            raise Rejected("unreadable_video", f"no frame of {path.name!r} can be decoded: {damage}")
        if first.interlaced_frame:
            raise Rejected("interlaced", f"{path.name!r} is interlaced; deinterlace it first (its rows are of two times)")
        turned = first.rotation % 180 == 90
        aspect = float(stream.sample_aspect_ratio or 1)
        aspect = aspect if 0.25 <= aspect <= 4 else 1.0
        rate = stream.average_rate or stream.guessed_rate
        return Pictures(
            path=path,
            width=first.height if turned else first.width,
            height=first.width if turned else first.height,
            pixel_aspect=1 / aspect if turned else aspect,
            fps=float(rate) if rate and 0 < rate <= 1000 else 30.0,
            duration_s=_duration_s(container, stream),
            _read=lambda start_s: _read_video(path, start_s, (first.width, first.height)),
            times_s=lambda: _packet_times(path),
        )


def _open_views(path: Path) -> Pictures:
    """The two views of an MV-HEVC stream as pictures of twice the width."""
    spatial = read_spatial(path)
    base = _open_video(path)
    swapped = spatial is not None and spatial.reversed

    def read(start_s: float) -> Iterator[Picture | None]:
        with _container(path) as container:
            stream = _stream(container)
            # FFmpeg gives the base view alone unless it is asked for more (from 7.1 on).
            stream.codec_context.options = {"view_ids": "-1"}
            if start_s > 0:
                _seek(container, stream, start_s)
            yield from paired_views(_decoded(container, stream), stream.time_base, stream.start_time or 0, swapped)

    first = next((picture for picture in read(0.0) if picture is not None), None)
    if first is None or first.rgb().shape[1] != 2 * base.width:
        raise Rejected(
            "second_view_missing",
            f"{path.name!r} is to hold two views (layout mv_hevc), and only one can be decoded: it is no MV-HEVC, or PyAV comes "
            "with an FFmpeg older than 7.1",
        )
    return replace(base, width=2 * base.width, _read=read)


def paired_views(frames: Iterable[Any], time_base: Any, origin: int, swapped: bool) -> Iterator[Picture | None]:
    """Both views of each time as one picture. The decoder gives the views of a time one after the other, the base view first.

    A frame without its partner is lost (None stands for it).
    """
    held = None
    for frame in frames:
        if frame is None or frame.pts is None:
            held = None
            yield None
        elif held is None:
            held = frame
        elif held.pts == frame.pts:
            views = (frame, held) if swapped else (held, frame)
            yield Picture(float((frame.pts - origin) * time_base), lambda size=None, views=views: _side_by_side(views, size))
            held = None
        else:
            held = frame
            yield None


def _side_by_side(views: tuple[Any, Any], size: tuple[int, int] | None) -> UInt8[Array, "h w 3"]:
    half = None if size is None else (max(2, size[0] // 2), size[1])
    return np.concatenate([_frame_rgb(view, half) for view in views], axis=1)


def _seek(container: Any, stream: Any, start_s: float) -> None:
    try:
        container.seek((stream.start_time or 0) + round(start_s / stream.time_base), stream=stream, backward=True)
    except (av.FFmpegError, OSError):
        container.seek(0)


def _duration_s(container: Any, stream: Any) -> float | None:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    alone = len(container.streams) == 1  # else it may be the length of another track
    return container.duration / av.time_base if container.duration and alone else None


def _packet_times(path: Path) -> list[float]:
    """Presentation times without decoding anything."""
    with _container(path) as container:
        stream = _stream(container)
        times: list[float] = []
        try:
            for packet in container.demux(stream):
                ticks = packet.pts if packet.pts is not None else packet.dts
                if ticks is not None:
                    times.append(float((ticks - (stream.start_time or 0)) * stream.time_base))
        except (av.FFmpegError, OSError):
            return sorted(times)  # the file breaks off here
        return sorted(times)


def _read_video(path: Path, start_s: float, size: tuple[int, int]) -> Iterator[Picture | None]:
    with _container(path) as container:
        stream = _stream(container)
        base = stream.time_base
        origin = stream.start_time or 0
        if start_s > 0:
            _seek(container, stream, start_s)
        rate = stream.average_rate or stream.guessed_rate or 30
        last_s = -np.inf
        for frame in _decoded(container, stream):
            if frame is None:
                yield None
                continue
            if frame.pts is None:
                if start_s > 0 and last_s == -np.inf:  # without a time to count from: count from the start of the file
                    return
                time_s = max(0.0, last_s + 1 / float(rate))
            else:
                time_s = float((frame.pts - origin) * base)
            if time_s <= last_s:  # broken muxing: time must grow
                continue
            if (frame.width, frame.height) != size:
                yield None
                continue
            last_s = time_s
            yield Picture(time_s, lambda size=None, frame=frame: _frame_rgb(frame, size))


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Decoded frames in order of presentation; None where packets are damaged, until the next key frame."""
    packets, whole = container.demux(stream), True
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.FFmpegError, OSError):  # the file ends in the middle of something
            yield None
            return
        try:
            frames = packet.decode()
        except (av.FFmpegError, ValueError):
            whole = False
            yield None
            continue
        for frame in frames:
            # What follows a damaged frame was predicted from it, up to the next frame that stands for itself.
            whole = not frame.is_corrupt and (whole or frame.key_frame)
            yield frame if whole else None


def _frame_rgb(frame: Any, size: tuple[int, int] | None = None) -> UInt8[Array, "h w 3"]:
    turns = round(frame.rotation / 90) % 4  # degrees counter-clockwise
    if size is not None:
        width, height = size[::-1] if turns % 2 else size
        frame = frame.reformat(width=max(width, 2), height=max(height, 2), format="rgb24", interpolation="AREA")
    pixels = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _open_images(folder: Path, fps: float) -> Pictures:
    files = image_files(folder)
    if not files:
        raise Rejected("unreadable_image", f"the folder {folder.name!r} holds no images any more")
    first = read_image(files[0])

    def read(start_s: float) -> Iterator[Picture | None]:
        for index in range(round(start_s * fps), len(files)):
            yield Picture(index / fps, lambda size=None, file=files[index]: read_image(file, size, first.shape[:2]))

    times_s = [index / fps for index in range(len(files))]
    return Pictures(folder, first.shape[1], first.shape[0], 1.0, fps, len(files) / fps, read, lambda: times_s)


def read_image(path: Path, size: tuple[int, int] | None = None, expected: tuple[int, int] | None = None) -> UInt8[Array, "h w 3"]:
    """RGB pixels of an image file, upright, scaled to ``size`` (width, height) where given.

    Raises:
        Rejected: ``unreadable_image``; ``sizes_differ`` where it is not of the ``expected`` (height, width).
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except (OSError, cv2.error) as error:
        raise Rejected("unreadable_image", f"{path.name!r} cannot be read: {_reason(error)}") from error
    if pixels is None:
        raise Rejected("unreadable_image", f"{path.name!r} is no image that can be decoded")
    if expected is not None and pixels.shape[:2] != expected:
        raise Rejected(
            "sizes_differ", f"{path.name!r} is {pixels.shape[1]}x{pixels.shape[0]}, the first {expected[1]}x{expected[0]}"
        )
    if size is not None:
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _reason(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:200]
