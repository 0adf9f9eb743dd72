"""Makes ``data/spatial.mov``: a real MV-HEVC stream in a file as phones write it (run by hand; the tests read what it made).

``python -m tests.video.make_spatial X265`` wants an x265 of version 4 or later that was built with ``-DENABLE_MULTIVIEW=ON``:
no package has one, and FFmpeg's own encoder of two views runs on some graphics cards only.

As on a phone, the samples hold pictures only: the parameter sets of the base view stand in ``hvcC``, those of the other in
``lhvC`` (ISO/IEC 14496-15), and ``vexu`` and ``hfov`` say what the cameras are (Apple, Stereo Video ISOBMFF Extensions).
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from schemas.camera import Array

FILE = Path(__file__).parent / "data" / "spatial.mov"
WIDTH, HEIGHT, COUNT, FPS = 160, 96, 30, 10
KEY_FRAMES = 10  # one starts every so many frames
STEP_PX, DISPARITY_PX = 2, 6
BASELINE_M, HFOV_DEG = 0.01924, 63.4


def view(right: bool, frame: int) -> Array:
    """Luma (h, w) of an eye: a textured wall that goes up by ``STEP_PX`` a frame, ``DISPARITY_PX`` apart in the eyes."""
    noise = np.random.default_rng(5).uniform(0, 255, ((HEIGHT + 100) // 4, (WIDTH + 40) // 4)).astype(np.float32)
    wall = cv2.resize(noise, (WIDTH + 40, HEIGHT + 100), interpolation=cv2.INTER_CUBIC)
    x, y = DISPARITY_PX if right else 0, STEP_PX * frame
    return np.clip(wall[y : y + HEIGHT, x : x + WIDTH], 16, 235).astype(np.uint8)


def encode(x265: str, eyes: list[Path], size: tuple[int, int], fps: int, raw: Path, *options: str) -> None:
    """One stream of both eyes' planes (files of I420 frames), the left one as base view."""
    listed = raw.with_suffix(".cfg")
    listed.write_text("--num-views 2\n--format 0\n" + "".join(f'--input "{eye}"\n' for eye in eyes))
    command = [x265, "--multiview-config", str(listed), "--input-res", f"{size[0]}x{size[1]}", "--fps", str(fps)]
    command += ["--input-csp", "i420", "--input-depth", "8", "--pools", "1", "--frame-threads", "1", "--no-info", *options]
    subprocess.run([*command, "-o", str(raw)], check=True, capture_output=True)


def wrap(raw: Path, fps: int, target: Path, baseline_m: float, hfov_deg: float) -> None:
    """The stream as a QuickTime file with a phone's boxes."""
    shown: list[int] = []
    with av.open(str(raw)) as stream:
        video = stream.streams.video[0]
        for index, packet in enumerate(stream.demux(video)):
            packet.pts = packet.dts = index
            shown += [int(frame.pts) for frame in packet.decode()]
    rank = {index: place for place, index in enumerate(dict.fromkeys(shown))}
    delay = max(index - place for index, place in rank.items())
    with av.open(str(raw)) as stream, av.open(str(target), "w", format="mov") as out:
        video = stream.streams.video[0]
        sets = bytes(video.codec_context.extradata)
        track = out.add_stream_from_template(video)
        track.codec_context.codec_tag = "hvc1"  # parameter sets outside the samples
        for index, packet in enumerate(stream.demux(video)):
            if not packet.size:
                continue
            made = av.Packet(_annex_b([unit for unit in _units(bytes(packet)) if _kind(unit) not in (32, 33, 34)]))
            made.stream, made.time_base, made.duration = track, Fraction(1, fps), 1
            made.pts, made.dts, made.is_keyframe = rank[index] + delay, index, packet.is_keyframe
            out.mux(made)
    _add_boxes(target, sets, baseline_m, hfov_deg)


def _units(stream: bytes) -> list[bytes]:
    """The units of a byte stream between its start codes."""
    return [part.rstrip(b"\0") for part in stream.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if part]


def _annex_b(units: list[bytes]) -> bytes:
    return b"".join(b"\0\0\0\1" + unit for unit in units)


def _kind(unit: bytes) -> int:
    return unit[0] >> 1 & 63


def _layer(unit: bytes) -> int:
    return (unit[0] & 1) << 5 | unit[1] >> 3


def _box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _arrays(units: list[bytes]) -> bytes:
    kinds = sorted({_kind(unit) for unit in units})
    out = bytes([len(kinds)])
    for kind in kinds:
        same = [unit for unit in units if _kind(unit) == kind]
        out += struct.pack(">BH", 0x80 | kind, len(same)) + b"".join(struct.pack(">H", len(unit)) + unit for unit in same)
    return out


def _add_boxes(path: Path, sets: bytes, baseline_m: float, hfov_deg: float) -> None:
    """Moves the second view's parameter sets out of ``hvcC`` and adds ``lhvC``, ``vexu`` and ``hfov`` to the sample entry.

    The movie box stands behind the pictures, so that no offset changes.
    """
    units = [unit for unit in _units(sets) if _kind(unit) in (32, 33, 34)]
    data = path.read_bytes()
    place = data.index(b"hvcC") - 4
    old = data[place : place + struct.unpack(">I", data[place : place + 4])[0]]
    base = _box(b"hvcC", old[8 : 8 + 22], _arrays([unit for unit in units if _layer(unit) == 0]))
    # version, reserved bits with min_spatial_segmentation, parallelismType, numTemporalLayers and 4-byte lengths
    second = _box(b"lhvC", struct.pack(">BHBB", 1, 0xF000, 0xFC, 0xCF), _arrays([unit for unit in units if _layer(unit) > 0]))
    full = bytes(4)
    eyes = _box(
        b"eyes",
        _box(b"stri", full, b"\3"),
        _box(b"hero", full, b"\1"),
        _box(b"cams", _box(b"blin", full, struct.pack(">I", round(baseline_m * 1e6)))),
        _box(b"cmfy", _box(b"dadj", full, struct.pack(">i", 200))),
    )
    more = second + _box(b"vexu", eyes, _box(b"proj", _box(b"prji", full, b"rect")))
    more += _box(b"hfov", struct.pack(">I", round(hfov_deg * 1000)))
    grown = len(base) + len(more) - len(old)
    data = data[:place] + base + more + data[place + len(old) :]
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hvc1"):
        at = data.index(kind, data.index(b"moov")) - 4
        data = data[:at] + struct.pack(">I", struct.unpack(">I", data[at : at + 4])[0] + grown) + data[at + 4 :]
    path.write_bytes(data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("x265", help="the encoder: 4.0 or later, built for two views")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        eyes = [folder / "left.yuv", folder / "right.yuv"]
        for right, eye in enumerate(eyes):
            grey = bytes([128]) * (WIDTH * HEIGHT // 2)
            eye.write_bytes(b"".join(view(bool(right), n).tobytes() + grey for n in range(COUNT)))
        options = ("--preset", "medium", "--crf", "20", "--keyint", str(KEY_FRAMES), "--min-keyint", str(KEY_FRAMES))
        encode(parser.parse_args().x265, eyes, (WIDTH, HEIGHT), FPS, folder / "raw.hevc", *options)
        FILE.parent.mkdir(exist_ok=True)
        wrap(folder / "raw.hevc", FPS, FILE, BASELINE_M, HFOV_DEG)
    print(f"{FILE}: {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
