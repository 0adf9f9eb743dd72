"""A folder of everything that can be wrong with a file: each thing ends in one clear outcome, and nothing else is lost."""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from curation.video import decode_clip, plan_clips, scan
from pipelines.run import run
from pipelines.usage import peak_mb, reset_peak
from schemas.config import Config, VideoConfig
from schemas.outcome import Rejected
from tests.video.media import (
    left_of,
    right_of,
    stereo,
    write_audio,
    write_calibration,
    write_images,
    write_video,
)

CONFIG = VideoConfig(min_clip_s=1.0)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    _fill(root)
    return root


@pytest.fixture(scope="session")
def outcomes(corpus, tmp_path_factory) -> dict[str, list[str]]:
    """Name of the source -> the words of all its outcomes, ``ok`` for each clip that was decoded."""
    root, video = corpus, tmp_path_factory.mktemp("decoded") / "out.mp4.tmp"
    found = scan(root, CONFIG)
    out: dict[str, list[str]] = {name: [why.reason] for name, why in found.refused}
    for source in found.sources:
        words = out.setdefault(source.name, [])
        try:
            plan = plan_clips(source, CONFIG)
        except Rejected as why:
            words.append(why.reason)
            continue
        words += [_word(why) for _, why in plan.refused]
        for clip in plan.clips:
            try:
                decode_clip(clip, CONFIG, video)
                words.append("ok")
            except Rejected as why:
                words.append(_word(why))
    return out


def _word(why: Rejected) -> str:
    assert why.detail and "\n" not in why.detail and len(why.detail) < 350
    return why.reason


def _fill(root: Path) -> None:
    pairs = {seed: stereo(30, seed=seed) for seed in range(24)}  # of their own content: duplicates are refused
    left, right = {s: left_of(p) for s, p in pairs.items()}, {s: right_of(p) for s, p in pairs.items()}

    def pair(name, seed, lefts=None, rights=None, calibration="baseline_m: 0.1\n", **options):
        write_video(root / name / "left.mp4", lefts if lefts is not None else left[seed])
        write_video(root / name / "right.mp4", rights if rights is not None else right[seed], **options)
        if calibration:
            write_calibration(root / name / "calib.yaml", calibration)

    write_video(root / "x.mkv", left_of(stereo(30, seed=75))).rename(root / "matroska_in_name_an_mp4.mp4")
    (root / "text.mp4").write_text("this is no video\n" * 100)
    (root / "concat.mp4").write_text("ffconcat version 1.0\nfile 'good.mp4'\n")
    (root / "playlist.mp4").write_text("#EXTM3U\n#EXTINF:4,\ngood.mp4\n#EXT-X-ENDLIST\n")
    (root / "empty.mp4").write_bytes(b"")
    write_audio(root / "audio.mp4")
    write_video(root / "good.mp4", left[0])
    for name, options in (("index_at_end.mp4", {}), ("index_first.mp4", {"faststart": True}), ("blocks.mkv", {})):
        whole = write_video(root / name, left_of(stereo(60, seed=30 + len(name))), **options).read_bytes()
        (root / name).write_bytes(whole[: int(len(whole) * 0.7)])
    whole = bytearray(write_video(root / "hole.mp4", left_of(stereo(90, seed=50))).read_bytes())
    whole[len(whole) // 2 : len(whole) // 2 + 4000] = bytes(4000)
    (root / "hole.mp4").write_bytes(whole)
    pair("no_baseline", 1, calibration=None)
    pair("negative_baseline", 2, calibration="baseline_m: -0.1")
    pair("nan_baseline", 3, calibration="baseline_m: .nan")
    pair("calibrated_for_hd", 4, calibration="camera: {fx: 900, fy: 900, cx: 640, cy: 360, width: 1280, height: 720}")
    pair("swapped", 5, right[5], left[5])
    pair("shifted_rows", 6, None, [np.roll(f, 3, axis=0) for f in right[6]])
    pair("late", 7, left[7][:-2], right[7][2:])
    pair("shorter_eye", 8, None, right[8][:15])
    pair("smaller_eye", 9, None, [f[:130, :160] for f in right[9]])
    pair("slower_eye", 10, fps=12)
    pair("black_eye", 11, None, [f * 0 for f in right[11]])
    write_video(root / "one_frame.mp4", left[12][:1])
    write_video(root / "few_frames.mp4", left[12][:5], fps=1)
    write_video(root / "one_pixel.mkv", [np.zeros((1, 1, 3), np.uint8)] * 30, codec="ffv1", pix_fmt="bgr0")
    for name, seed in (("дорога ☃.mp4", 13), ("new\nline.mp4", 14), ("http:x.mp4", 15)):
        write_video(root / "x.mp4", left[seed]).rename(root / name)
    (root / "loop").mkdir()
    os.symlink("..", root / "loop" / "up")
    write_images(root / "broken_image" / "left", left[16])
    (root / "broken_image" / "left" / "3.png").write_text("no image")
    write_images(root / "broken_right_image" / "left", left[17])
    (write_images(root / "broken_right_image" / "right", right[17]) / "3.png").write_text("no image")
    write_images(root / "image_sizes" / "left", [*left[18][:9], left[18][9][:100]])
    write_images(root / "empty_image" / "left", left[19])
    (root / "empty_image" / "left" / "3.png").write_bytes(b"")
    write_video(root / "odd.mkv", [f[:141, :187] for f in left[20]], codec="ffv1", pix_fmt="bgr0")
    write_video(root / "turned.mp4", left[21], rotation=-90)
    write_video(root / "ten_bit.mov", left[22], codec="prores_ks", pix_fmt="yuv422p10le")
    write_video(root / "interlaced.mpg", left[23], codec="mpeg2video", fps=25, options={"flags": "+ildct+ilme", "b": "4M"})
    _fill_more(root)


def _fill_more(root: Path) -> None:
    """What is not broken but out of the ordinary, and what is hostile."""
    flat = np.full((4320, 7680, 3), 90, np.uint8)
    flat[::64] = 160
    flat[:, ::64] = 30
    write_video(root / "huge_8k.mp4", [np.roll(flat, 16 * n, axis=1) for n in range(8)], fps=8)
    small = [np.roll(f, n, axis=1) for n in range(12) for f in left_of(stereo(1, seed=60))]
    write_video(root / "two_hours.mkv", small, times_s=[600.0 * n for n in range(12)])
    uneven = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.12, 40))
    write_video(root / "uneven_rate.mp4", left_of(stereo(40, seed=61)), times_s=uneven)
    first = write_video(root / "twin_a.mp4", left_of(stereo(30, seed=62)))
    (root / "twin_b.mp4").write_bytes(first.read_bytes())
    for name, seed, words in (
        ("yaml_bomb", 63, "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"),
        ("deep_yaml", 64, "[" * 20000),
        ("python_yaml", 65, "baseline_m: !!python/object/apply:os.system ['touch /tmp/pwned']\n"),
        ("absurd_baseline", 66, "baseline_m: 63\n"),
        ("infinite_focus", 67, "camera: {fx: .inf, fy: .inf, cx: 1, cy: 1, width: 192, height: 144}\n"),
        ("list_yaml", 68, "- baseline_m: 0.1\n"),
        ("control_yaml", 69, "baseline_m: 0.1\x00\n"),
        ("unknown_key", 70, "base_line: 0.1\n"),
    ):
        write_video(root / f"{name}.mp4", left_of(stereo(30, seed=seed)))
        write_calibration(root / f"{name}.calib.yaml", words)
    write_video(root / "x.mp4", left_of(stereo(30, seed=71))).rename(root / "$(touch pwned);`id` & 'q\".mp4")
    write_video(root / "x.mp4", left_of(stereo(30, seed=72))).rename(root / "-rf --help.mp4")
    os.symlink(root / "nowhere.mp4", root / "dangling.mp4")
    os.symlink("self.mp4", root / "self.mp4")
    os.mkfifo(root / "pipe.mp4")
    (root / "folder.mp4").mkdir()
    write_video(root / "right_only" / "right.mp4", left_of(stereo(30, seed=73)))
    (root / "zeros.mp4").write_bytes(bytes(100_000))


EXPECTED = {
    "matroska_in_name_an_mp4": ["ok"],
    "text": ["unreadable_video"],
    "concat": ["unreadable_video"],
    "playlist": ["unreadable_video"],
    "empty": ["empty_file"],
    "audio": ["no_video_track"],
    "good": ["ok"],
    "index_at_end": ["unreadable_video"],
    "index_first": ["truncated", "ok"],
    "blocks": ["truncated", "ok"],
    "hole": ["decode_error", "ok", "ok"],
    "no_baseline": ["ok"],
    "negative_baseline": ["bad_calibration"],
    "nan_baseline": ["bad_calibration"],
    "calibrated_for_hd": ["bad_calibration"],
    "swapped": ["eyes_swapped"],
    "shifted_rows": ["not_rectified"],
    "late": ["eyes_unsynchronised"],
    "shorter_eye": ["eyes_differ"],
    "smaller_eye": ["eyes_differ"],
    "slower_eye": ["eyes_differ"],
    "black_eye": ["eyes_differ"],
    "one_frame": ["too_short"],
    "few_frames": ["too_short"],
    "one_pixel": ["too_small"],
    "дорога ☃": ["ok"],
    "new\\x0aline": ["ok"],
    "http:x": ["ok"],
    "broken_image": ["decode_error", "ok"],
    "broken_right_image": ["unreadable_image"],
    "image_sizes": ["sizes_differ"],
    "empty_image": ["empty_file"],
    "odd": ["ok"],
    "turned": ["ok"],
    "ten_bit": ["ok"],
    "interlaced": ["interlaced"],
    "huge_8k": ["ok"],
    "two_hours": ["frozen"] * 12,
    "uneven_rate": ["ok"],
    "twin_a": ["ok"],
    "twin_b": ["duplicate"],
    "yaml_bomb": ["bad_calibration"],
    "deep_yaml": ["bad_calibration"],
    "python_yaml": ["bad_calibration"],
    "absurd_baseline": ["bad_calibration"],
    "infinite_focus": ["bad_calibration"],
    "list_yaml": ["bad_calibration"],
    "control_yaml": ["bad_calibration"],
    "unknown_key": ["bad_calibration"],
    "$(touch pwned);`id` & 'q\"": ["ok"],
    "-rf --help": ["ok"],
    "dangling": ["unreadable_file"],
    "self": ["unreadable_file"],
    "pipe": ["unreadable_file"],
    "right_only": ["left_eye_missing"],
    "zeros": ["unreadable_video"],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_bad_input_ends_in_its_own_outcome(outcomes, name):
    assert sorted(outcomes[name]) == sorted(EXPECTED[name])


def test_nothing_else_comes_out_of_the_corpus(outcomes):
    assert set(outcomes) == set(EXPECTED) and len(EXPECTED) >= 40


def test_hostile_names_and_sidecars_ran_nothing(outcomes):
    assert not Path("/tmp/pwned").exists() and not Path("pwned").exists()


def test_a_run_over_all_of_it_ends_well_and_writes_nothing_outside_of_its_folder(corpus, outcomes, tmp_path, monkeypatch):
    """The whole engine over the corpus, as far as the pixels: what follows would see decoded clips only."""

    def seen() -> dict[str, tuple[int, int, int]]:
        paths = [corpus, *corpus.rglob("*")]
        return {str(p): ((s := p.lstat()).st_mode, s.st_size, s.st_mtime_ns) for p in paths}

    (tmp_path / "cwd").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    before = seen()
    options = {"run": {"workers": 2, "max_failure_rate": 0.0}, "video": {"min_clip_s": 1.0}, "shards": {"bench_share": 0.0}}
    assert run(corpus, tmp_path / "out", Config.model_validate(options), line="tests.video.pixels_line") == 0
    assert seen() == before and not list((tmp_path / "cwd").iterdir()) and not list((tmp_path / "temporary").iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"cwd", "temporary", "out"}
    found = json.loads((tmp_path / "out" / "run.json").read_text())
    every = [word for words in outcomes.values() for word in words]
    assert found["clips"]["pending"] == found["clips"]["failed"] == 0 and not found["sources"]["failed"]
    assert found["stages"]["video"]["ok"] == every.count("ok")
    refused = Counter(found["sources"]["rejected"]) + Counter(found["stages"]["video"]["rejected"])
    assert refused == Counter(word for word in every if word != "ok")


def test_two_hours_are_cut_in_bounded_memory(tmp_path):
    """7,200 frames, 0.6 GB of pixels: ten seconds, encoded once and strung together."""
    piece = write_video(tmp_path / "piece.mp4", left_of(stereo(10, seed=74)), fps=1)
    with av.open(str(piece)) as given, av.open(str(tmp_path / "long.mp4"), "w") as out:
        stream = out.add_stream_from_template(given.streams.video[0])
        packets = [p for p in given.demux(video=0) if p.dts is not None]
        span = round(10 / given.streams.video[0].time_base)
        for n in range(720):
            for packet in packets:
                copy = av.Packet(bytes(packet))
                copy.pts, copy.dts = packet.pts + n * span, packet.dts + n * span
                copy.time_base, copy.is_keyframe, copy.stream = packet.time_base, packet.is_keyframe, stream
                out.mux(copy)
    piece.unlink()
    (source,) = scan(tmp_path, CONFIG).sources
    reset_peak()
    before_mb = peak_mb()
    plan = plan_clips(source, CONFIG)
    assert peak_mb() - before_mb < 150
    assert plan.clips and 7100 < max(clip.end_s for clip in plan.clips) <= 7201
    assert all(a.end_frame <= b.start_frame for a, b in itertools.pairwise(plan.clips))


@pytest.mark.parametrize("seed", range(3))
def test_damaged_bytes_never_raise_anything_but_a_rejection(tmp_path, seed):
    rng = np.random.default_rng(seed)
    frames = left_of(stereo(20, seed=seed))
    for name, options in (("x.mp4", {"faststart": True}), ("x.mkv", {}), ("x.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"})):
        whole = write_video(tmp_path / name, frames, **options).read_bytes()
        for where in (min(1500, len(whole)), len(whole)):
            damaged = bytearray(whole)
            for at in rng.integers(0, where, 12):
                damaged[at] = rng.integers(256)
            (tmp_path / name).write_bytes(damaged)
            source = next(s for s in scan(tmp_path, CONFIG).sources if Path(s.left).name == name)
            try:
                for clip in plan_clips(source, CONFIG).clips:
                    decode_clip(clip, CONFIG, None)
            except Rejected as why:
                assert why.detail
        (tmp_path / name).unlink()
