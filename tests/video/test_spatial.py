"""Spatial video: its metadata out of hand-made boxes, its two views out of frames, and both out of a real MV-HEVC file."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from curation.video import decode_clip, plan_clips, scan
from curation.video.reading import open_pictures, paired_views
from curation.video.spatial import Spatial, read_spatial
from schemas.camera import Array
from schemas.config import VideoConfig
from schemas.outcome import Rejected
from tests.video import make_spatial


def box(kind: str, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind.encode()) + body


def vexu(*, eyes: int = 3, baseline_um: int = 19240, adjust: int = 200, projection: str = "rect") -> bytes:
    full = bytes(4)  # version and flags
    return box(
        "vexu",
        box(
            "eyes",
            box("stri", full, bytes([eyes])),
            box("hero", full, b"\1"),
            box("cams", box("blin", full, struct.pack(">I", baseline_um))),
            box("cmfy", box("dadj", full, struct.pack(">i", adjust))),
        ),
        box("proj", box("prji", full, projection.encode())),
    )


def movie(*boxes: bytes, entry: str = "hvc1") -> bytes:
    """An MP4 without pictures, with such boxes in its sample entry."""
    sample = box(entry, bytes(78), box("hvcC", bytes(30)), *boxes)
    table = box("stbl", box("stsd", bytes(4), struct.pack(">I", 1), sample))
    track = box("trak", box("tkhd", bytes(84)), box("mdia", box("minf", table)))
    return box("ftyp", b"qt  ") + box("mdat", bytes(1000)) + box("moov", box("mvhd", bytes(100)), track)


def written(folder: Path, data: bytes, name: str = "a.mov") -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def test_a_phones_calibration_is_read_from_its_boxes(tmp_path: Path) -> None:
    path = written(tmp_path, movie(vexu(), box("hfov", struct.pack(">I", 63400))))
    assert read_spatial(path) == Spatial(True, False, 0.01924, 63.4, 0.02, "rect")
    reversed_eyes = written(tmp_path, movie(vexu(eyes=11, adjust=-50)), "b.mov")
    found = read_spatial(reversed_eyes)
    assert found is not None and found.reversed and found.disparity_adjustment == -0.005 and found.hfov_deg is None


def test_a_long_recording_keeps_its_boxes_behind_pictures_of_a_64_bit_size(tmp_path: Path) -> None:
    """Phones write the boxes last; pictures of 4 GB and more carry their size in eight bytes, the last box may have none."""
    start, pictures = box("ftyp", b"qt  "), struct.pack(">I4sQ", 1, b"mdat", 16 + 1000) + bytes(1000)
    moov = bytearray(movie(vexu(), box("hfov", struct.pack(">I", 63400))))
    moov = moov[moov.index(b"moov") - 4 :]
    for size in (moov[:4], bytes(4)):  # 0: to the end of the file
        found = read_spatial(written(tmp_path, start + pictures + size + moov[4:]))
        assert found is not None and found.baseline_m == 0.01924 and found.hfov_deg == 63.4


@pytest.mark.parametrize("cut", [4, 20, 1100, 1200, -10])
def test_a_cut_or_plain_file_says_nothing(tmp_path: Path, cut: int) -> None:
    assert read_spatial(written(tmp_path, movie(vexu())[:cut])) is None
    assert read_spatial(written(tmp_path, movie())) is None
    assert read_spatial(written(tmp_path, movie(vexu()), "a.mkv")) is None


def test_a_box_that_claims_to_hold_more_than_the_file_is_not_followed(tmp_path: Path) -> None:
    data = bytearray(movie(vexu()))
    at = data.index(b"moov") - 4
    data[at : at + 4] = struct.pack(">I", 2**31)
    assert read_spatial(written(tmp_path, bytes(data))) is None


def test_a_scan_takes_layout_and_calibration_from_the_file_unless_a_sidecar_speaks(tmp_path: Path) -> None:
    written(tmp_path, movie(vexu(), box("hfov", struct.pack(">I", 63400))), "phone.mov")
    (source,) = scan(tmp_path, VideoConfig()).sources
    assert source.layout == "mv_hevc" and source.camera == {"hfov_deg": 63.4} and source.baseline_m == 0.01924
    assert source.assumed == ()
    (tmp_path / "phone.calib.yaml").write_text("baseline_m: 0.02\n")
    assert scan(tmp_path, VideoConfig()).sources[0].baseline_m == 0.02
    (tmp_path / "phone.calib.yaml").write_text("layout: mono\n")
    assert scan(tmp_path, VideoConfig()).sources[0].layout == "mono"


def test_metadata_that_no_camera_has_is_refused(tmp_path: Path) -> None:
    written(tmp_path, movie(vexu(projection="fish")), "a.mov")
    written(tmp_path, movie(vexu(baseline_um=9_000_000)), "b.mov")
    refused = dict(scan(tmp_path, VideoConfig()).refused)
    assert "'fish' is not read" in str(refused["a"]) and "baseline_m of 0.001 to 5 metres" in str(refused["b"])


def frame(value: int, pts: int) -> av.VideoFrame:
    made = av.VideoFrame.from_ndarray(np.full((16, 32, 3), value, np.uint8), format="rgb24")
    made.pts = pts
    return made


@pytest.mark.parametrize("swapped", [False, True])
def test_the_views_of_a_time_become_one_picture(swapped: bool) -> None:
    frames = [frame(10, 0), frame(20, 0), frame(30, 3), frame(40, 3)]
    pictures = list(paired_views(frames, Fraction(1, 30), 0, swapped))
    assert [p.time_s for p in pictures if p] == [0.0, 0.1]
    left, right = (10, 20) if not swapped else (20, 10)
    assert pictures[0] is not None and pictures[0].rgb().shape == (16, 64, 3)
    assert (pictures[0].rgb()[:, :32] == left).all() and (pictures[0].rgb()[:, 32:] == right).all()
    assert pictures[0].rgb((32, 8)).shape == (8, 32, 3)


def test_a_view_without_its_partner_is_lost_and_the_next_pair_is_not() -> None:
    frames = [frame(10, 0), frame(30, 3), frame(40, 3), None, frame(50, 6), frame(60, 6)]
    pictures = list(paired_views(frames, Fraction(1, 30), 0, False))
    assert [None if p is None else round(p.time_s, 3) for p in pictures] == [None, 0.1, None, 0.2]


def test_a_stream_of_one_view_is_refused_and_decodes_as_before(tmp_path: Path) -> None:
    path = tmp_path / "one.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=10, options={"x265-params": "log-level=none:pools=1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for n in range(6):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 40 * n, np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    assert len(list(open_pictures(path).read())) == 6
    with pytest.raises(Rejected, match="second_view_missing"):
        open_pictures(path, both_views=True)


def light(right: bool, frame: int) -> Array:
    """What an eye of the real file shows, as full-range grey."""
    return np.clip((make_spatial.view(right, frame).astype(float) - 16) * 255 / 219, 0, 255)


def eyes(pixels: Array) -> tuple[Array, Array]:
    grey = pixels.astype(float).mean(axis=2)
    return grey[:, : make_spatial.WIDTH], grey[:, make_spatial.WIDTH :]


@pytest.mark.parametrize("start_s", [0.0, 1.0, 1.5, 2.9])
def test_both_eyes_of_a_real_stream_are_decoded_each_at_its_time(start_s: float) -> None:
    pictures = list(open_pictures(make_spatial.FILE, both_views=True).read(start_s))
    assert [None if p is None else round(p.time_s * 10) for p in pictures] == list(range(round(start_s * 10), make_spatial.COUNT))
    for picture in pictures:
        assert picture is not None
        number = round(picture.time_s * make_spatial.FPS)
        left, right = eyes(picture.rgb())
        assert np.abs(left - light(False, number)).mean() < 2 and np.abs(right - light(True, number)).mean() < 2
        assert np.abs(left - light(True, number)).mean() > 20  # the eyes are not alike


def test_a_real_stream_whose_views_are_reversed_gives_the_left_eye_first(tmp_path: Path) -> None:
    data = make_spatial.FILE.read_bytes()
    flags = data.index(b"stri") + 8
    path = written(tmp_path, data[:flags] + b"\x0b" + data[flags + 1 :])
    first = next(open_pictures(path, both_views=True).read())
    assert first is not None
    left, right = eyes(first.rgb())
    assert np.abs(left - light(True, 0)).mean() < 2 and np.abs(right - light(False, 0)).mean() < 2


def test_a_real_stream_without_the_second_views_parameters_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, make_spatial.FILE.read_bytes().replace(b"lhvC", b"free"))
    assert len(list(open_pictures(path).read())) == make_spatial.COUNT
    with pytest.raises(Rejected, match="second_view_missing"):
        open_pictures(path, both_views=True)


def test_a_real_spatial_video_becomes_a_clip_with_its_calibration(tmp_path: Path) -> None:
    written(tmp_path, make_spatial.FILE.read_bytes(), "phone.mov")
    config = VideoConfig()
    (source,) = scan(tmp_path, config).sources
    assert (source.layout, source.baseline_m, source.assumed) == ("mv_hevc", make_spatial.BASELINE_M, ())
    config = config.model_copy(update={"min_clip_s": 1.0, "min_size_px": 64})
    (clip,) = plan_clips(source, config).clips
    frames = decode_clip(clip, config, None)
    assert frames.right is not None and frames.baseline_m == make_spatial.BASELINE_M and frames.assumed == ()
    assert 2 * np.degrees(np.arctan(frames.camera.width / 2 / frames.camera.fx)) == pytest.approx(make_spatial.HFOV_DEG)
    for k, number in enumerate(frames.source_index):
        for right, pixels in enumerate((frames.left[k], frames.right[k])):
            assert np.abs(pixels.mean(axis=2) - light(bool(right), int(number))).mean() < 2
