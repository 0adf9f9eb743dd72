"""Small stereo scenes and video files of every kind, made on the fly."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np


def texture(seed: int, height: int, width: int) -> np.ndarray:
    """Colour noise with detail at several scales, uint8."""
    rng = np.random.default_rng(seed)
    out = np.zeros((height, width, 3), np.float32)
    for scale in (2, 5, 13, 40):
        small = rng.normal(size=(height // scale + 2, width // scale + 2, 3)).astype(np.float32)
        out += cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    out = 128 + 38 * out / out.std()
    return np.clip(out, 0, 255).astype(np.uint8)


def stereo(
    frames: int, width: int = 192, height: int = 144, *, near_px: int = 14, far_px: int = 4, seed: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(left, right) of a wall at ``far_px`` of disparity and a moving board at ``near_px``; the camera wanders unevenly."""
    rng = np.random.default_rng(seed + 1000)
    wall = texture(seed, height + 100, width + 3 * frames + 40)
    board = texture(seed + 500, height // 2, width // 4)
    x, y, at, way = 0, 50, width // 4, 1
    out = []
    for _ in range(frames):
        left = wall[y : y + height, x : x + width].copy()
        right = wall[y : y + height, x + far_px : x + far_px + width].copy()
        top = height // 4
        left[top : top + len(board), at : at + board.shape[1]] = board
        right[top : top + len(board), at - near_px : at - near_px + board.shape[1]] = board
        out.append((left, right))
        x, y = x + int(rng.integers(1, 4)), min(max(y + int(rng.integers(-3, 4)), 0), 99)
        at += way * int(rng.integers(0, 4))
        way = -1 if at > 0.6 * width else 1 if at < 0.2 * width else way
    return out


def left_of(pairs: list[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    return [left for left, _ in pairs]


def right_of(pairs: list[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    return [right for _, right in pairs]


def side_by_side(pairs: list[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    return [np.concatenate(pair, axis=1) for pair in pairs]


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    *,
    fps: float = 15,
    times_s: Iterable[float] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rotation: float = 0,
    faststart: bool = False,
    options: dict[str, str] | None = None,
    aspect: Fraction | None = None,
) -> Path:
    """Encode RGB frames. ``times_s`` makes the rate variable; ``rotation`` and ``aspect`` go into the header only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = list(frames)
    times = list(times_s) if times_s is not None else None
    with av.open(str(path), "w", container_options={"movflags": "+faststart"} if faststart else {}) as container:
        rate = Fraction(fps).limit_denominator(1001)
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 12800)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if codec == "libx264":
            stream.codec_context.options = {"preset": "ultrafast", "crf": "16", "g": "12", **(options or {})}
        elif options:
            stream.codec_context.options = options
        if rotation:
            stream.set_display_rotation(rotation)
        for k, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame = frame.reformat(format=pix_fmt)
            if times is not None:
                frame.pts, frame.time_base = round(times[k] * 12800), Fraction(1, 12800)
            else:
                frame.pts, frame.time_base = k, 1 / rate
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def write_audio(path: Path) -> Path:
    """A file with a sound track and nothing else."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path


def write_images(folder: Path, frames: Iterable[np.ndarray], suffix: str = ".png", first: int = 0) -> Path:
    """Numbered images, without leading zeros (``9.png`` before ``10.png``)."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, pixels in enumerate(frames):
        cv2.imwrite(str(folder / f"{k + first}{suffix}"), pixels[..., ::-1])
    return folder


def write_calibration(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def read_frames(path: Path) -> tuple[list[np.ndarray], list[float]]:
    """All frames (RGB) and times of a video, by a plain decode."""
    frames, times = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            frames.append(frame.to_ndarray(format="rgb24"))
            times.append(frame.time)
    return frames, times
