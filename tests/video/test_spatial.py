"""Spatial video: its metadata out of hand-made boxes, its two views out of one stream of frames."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from curation.video import scan
from curation.video.reading import open_pictures, paired_views
from curation.video.spatial import Spatial, read_spatial
from schemas.config import VideoConfig
from schemas.outcome import Rejected


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
