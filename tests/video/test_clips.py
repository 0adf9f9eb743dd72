"""From a source to clips and their frames: times, shots, seeking, sampling."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from curation.video import decode_clip, plan_clips, scan
from schemas.clip import ClipSpec
from schemas.config import VideoConfig
from schemas.outcome import Rejected
from tests.video.media import (
    left_of,
    read_frames,
    right_of,
    side_by_side,
    stereo,
    write_calibration,
    write_images,
    write_video,
)

CONFIG = VideoConfig(min_clip_s=1.0, max_clip_s=4.0, trim_s=0.2)


def only_source(root, config=CONFIG):
    found = scan(root, config)
    assert found.refused == []
    (source,) = found.sources
    return source


def only_clip(root, config=CONFIG):
    plan = plan_clips(only_source(root, config), config)
    assert plan.refused == []
    (clip,) = plan.clips
    return clip


def span(clip):
    return clip.start_frame, clip.end_frame


def test_a_long_shot_is_cut_into_equal_clips_that_cover_it(tmp_path):
    write_video(tmp_path / "x.mp4", left_of(stereo(150)))
    plan = plan_clips(only_source(tmp_path), CONFIG)
    assert [span(c) for c in plan.clips] == [(0, 50), (50, 100), (100, 150)]
    assert [(c.start_s, c.end_s) for c in plan.clips] == [
        (0, pytest.approx(10 / 3)),
        *[(pytest.approx(x), pytest.approx(x + 10 / 3)) for x in (10 / 3, 20 / 3)],
    ]
    assert len({c.clip_id for c in plan.clips}) == 3


def test_cuts_part_shots_and_what_is_near_them_is_trimmed(tmp_path):
    shots = [left_of(stereo(n, seed=s)) for s, n in enumerate((40, 8, 45))]
    write_video(tmp_path / "x.mp4", sum(shots, []))
    plan = plan_clips(only_source(tmp_path), CONFIG)
    assert [span(c) for c in plan.clips] == [(0, 37), (51, 93)]
    ((name, why),) = plan.refused
    assert why.reason == "too_short" and name == "x#2.67-3.20"


def test_a_cut_within_one_scene_is_seen_and_fast_motion_is_none(tmp_path):
    scene = left_of(stereo(90))
    write_video(tmp_path / "jump.mp4", scene[:30] + scene[60:])
    fast = [np.roll(scene[0], 9 * k, axis=1) for k in range(45)]
    write_video(tmp_path / "fast.mp4", fast)
    jump, swift = (
        plan_clips(source, CONFIG) for source in sorted(scan(tmp_path, CONFIG).sources, key=lambda s: s.name != "jump")
    )
    assert [span(c) for c in jump.clips] == [(0, 27), (33, 60)]
    assert [span(c) for c in swift.clips] == [(0, 45)]


def test_a_dissolve_parts_shots_and_its_mixed_pictures_belong_to_none(tmp_path):
    walls = [left_of(stereo(1, 240, 144, seed=seed))[0] for seed in (0, 3)]
    first, second = ([wall[:, k // 3 : k // 3 + 192] for k in range(50)] for wall in walls)  # moves slowly
    mixed = [cv2.addWeighted(first[30 + k], 1 - (k + 0.5) / 12, second[k], (k + 0.5) / 12, 0) for k in range(12)]
    write_video(tmp_path / "x.mp4", first[:30] + mixed + second[12:])
    before, after = plan_clips(only_source(tmp_path), CONFIG).clips
    assert 15 <= before.end_frame <= 30 and 42 <= after.start_frame <= 57


def test_black_frames_part_shots_and_are_named(tmp_path):
    scene = left_of(stereo(70))
    write_video(tmp_path / "x.mp4", scene[:30] + [f // 50 for f in scene[30:40]] + scene[40:])
    plan = plan_clips(only_source(tmp_path), CONFIG)
    assert [span(c) for c in plan.clips] == [(0, 27), (43, 70)]
    assert [why.reason for _, why in plan.refused] == ["too_dark"]


def test_a_gap_in_time_parts_shots(tmp_path):
    times = [k / 15 + (20 if k >= 30 else 0) for k in range(60)]
    write_video(tmp_path / "x.mp4", left_of(stereo(60)), times_s=times)
    plan = plan_clips(only_source(tmp_path), CONFIG)
    assert [span(c) for c in plan.clips] == [(0, 27), (33, 60)]
    assert plan.clips[1].start_s == pytest.approx(22.2, abs=1e-3)


CODECS = {
    "h264 with B-frames.mp4": {"options": {"preset": "medium", "bf": "2", "g": "30"}},
    "h264.mkv": {},
    "h264.ts": {},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8", "b": "2M"}},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "mpeg2.mpg": {"codec": "mpeg2video", "fps": 25, "options": {"b": "4M"}},
    "10 bit.mkv": {"codec": "libx265", "pix_fmt": "yuv420p10le", "options": {"x265-params": "log-level=none:pools=none"}},
    "prores.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    "gray.mkv": {"codec": "ffv1", "pix_fmt": "gray"},
}


@pytest.mark.parametrize("name", CODECS)
def test_a_clip_from_the_middle_of_any_container_holds_the_frames_a_plain_decode_gives(tmp_path, name):
    path = write_video(tmp_path / name, left_of(stereo(80)), **CODECS[name])
    config = CONFIG.model_copy(update={"max_clip_s": 2.0})
    plan = plan_clips(only_source(tmp_path, config), config)
    assert plan.refused == [] and len(plan.clips) >= 2
    clip = plan.clips[1]
    frames = decode_clip(clip, config, None)
    truth, times = read_frames(path)
    times = [t - times[0] for t in times]
    assert np.array_equal(frames.source_index, frames.video_index + clip.start_frame)
    for k in (0, len(frames.left) // 2, -1):
        assert np.array_equal(frames.left[k], truth[frames.source_index[k]])
        assert frames.times_s[k] + times[clip.start_frame] == pytest.approx(times[frames.source_index[k]], abs=2e-3)


def test_the_mp4_holds_every_frame_of_the_clip_in_true_time_with_question_frames_where_a_trainer_samples(tmp_path):
    write_video(tmp_path / "x.mp4", left_of(stereo(100)), fps=30)
    config = CONFIG.model_copy(update={"max_clip_s": 2.0})
    clip = plan_clips(only_source(tmp_path, config), config).clips[1]
    frames = decode_clip(clip, config, tmp_path / "out" / "clip.mp4")
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / "clip.mp4"]
    video, times = read_frames(tmp_path / "out" / "clip.mp4")
    count = clip.end_frame - clip.start_frame
    assert len(video) == count == 50
    np.testing.assert_allclose(times, np.arange(count) / 30, atol=1e-9)
    sampled = np.linspace(0, count - 1, 32).round().astype(int)
    assert np.array_equal(frames.video_index[frames.question], sampled)
    assert frames.question[0] == 0 and frames.times_s[0] == 0
    for k in frames.question[::10]:
        at = frames.video_index[k]
        assert frames.times_s[k] == pytest.approx(times[at])
        near = [np.abs(frames.left[k].astype(float) - video[at + d]).mean() for d in (0, 1) if at + d < count]
        assert near[0] < 6 and near[0] == min(near)
    capture = cv2.VideoCapture(str(tmp_path / "out" / "clip.mp4"))  # another reader
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == count and capture.get(cv2.CAP_PROP_FPS) == pytest.approx(30)


def test_the_same_clip_gives_the_same_bytes_and_frames(tmp_path):
    write_video(tmp_path / "x.mp4", left_of(stereo(40)))
    clip = only_clip(tmp_path)
    first, second = (decode_clip(clip, CONFIG, tmp_path / f"{k}.mkv") for k in (1, 2))
    assert (tmp_path / "1.mkv").read_bytes() == (tmp_path / "2.mkv").read_bytes()
    assert np.array_equal(first.left, second.left) and np.array_equal(first.times_s, second.times_s)


def test_variable_frame_rates_keep_their_times(tmp_path):
    times = np.cumsum(np.random.default_rng(0).uniform(0.03, 0.12, 40))
    write_video(tmp_path / "x.mp4", left_of(stereo(40)), times_s=times)
    frames = decode_clip(only_clip(tmp_path), CONFIG, tmp_path / "clip.mp4")
    expected = (times - times[0])[frames.source_index]
    np.testing.assert_allclose(frames.times_s, expected, atol=1e-3)
    np.testing.assert_allclose(np.array(read_frames(tmp_path / "clip.mp4")[1])[frames.video_index], expected, atol=1e-3)


def test_times_that_a_container_rounded_to_milliseconds_are_a_constant_rate(tmp_path):
    write_video(tmp_path / "x.mkv", left_of(stereo(60)), fps=30)
    assert np.ptp(np.diff(read_frames(tmp_path / "x.mkv")[1])) > 5e-4
    frames = decode_clip(only_clip(tmp_path), CONFIG, tmp_path / "clip.mp4")
    np.testing.assert_allclose(frames.times_s, frames.source_index / 30, atol=1e-9)
    assert np.ptp(np.diff(read_frames(tmp_path / "clip.mp4")[1])) < 1e-9


def test_rotated_video_is_decoded_upright(tmp_path):
    path = write_video(tmp_path / "x.mp4", left_of(stereo(40)), rotation=90)
    frames = decode_clip(only_clip(tmp_path), CONFIG, None)
    assert frames.left.shape[1:3] == (192, 144)
    upright = cv2.VideoCapture(str(path)).read()[1][..., ::-1]  # OpenCV turns by itself
    assert upright.shape == (192, 144, 3)
    assert np.abs(upright.astype(float) - frames.left[0]).mean() < 3


def test_odd_sizes_lose_their_last_row_and_column_and_nothing_else(tmp_path):
    odd = [f[:143, :189] for f in left_of(stereo(40))]
    write_video(tmp_path / "x.mkv", odd, codec="ffv1", pix_fmt="bgr0")
    write_calibration(tmp_path / "x.calib.yaml", "camera: {fx: 200, fy: 201, cx: 95, cy: 71, width: 189, height: 143}")
    frames = decode_clip(only_clip(tmp_path), CONFIG, tmp_path / "clip.mp4")
    assert np.array_equal(frames.left[0], odd[0][:142, :188])
    assert dataclasses.astuple(frames.camera) == (200, 201, 95, 71, 188, 142)


@pytest.mark.parametrize("how", ["side_by_side", "over_under", "pair", "images"])
def test_every_layout_yields_the_same_two_eyes(tmp_path, how):
    pairs = stereo(30)
    lossless = {"codec": "ffv1", "pix_fmt": "bgr0"}
    text = "baseline_m: 0.2\ncamera: {hfov_deg: 50}\nfps: 15\n"
    if how == "pair":
        write_video(tmp_path / "x" / "left.mkv", left_of(pairs), **lossless)
        write_video(tmp_path / "x" / "right.mkv", right_of(pairs), **lossless)
        write_calibration(tmp_path / "x" / "calib.yaml", text)
    elif how == "images":
        write_images(tmp_path / "x" / "left", left_of(pairs))
        write_images(tmp_path / "x" / "right", right_of(pairs))
        write_calibration(tmp_path / "x" / "calib.yaml", text)
    else:
        frames = side_by_side(pairs) if how == "side_by_side" else [np.concatenate(pair, axis=0) for pair in pairs]
        write_video(tmp_path / "x.mkv", frames, **lossless)
        write_calibration(tmp_path / "x.calib.yaml", text + f"layout: {how}\n")
    frames = decode_clip(only_clip(tmp_path), CONFIG, None)
    assert frames.stereo and frames.baseline_m == 0.2 and frames.assumed == ()
    assert np.array_equal(frames.left, np.array(left_of(pairs))[frames.source_index])
    assert np.array_equal(frames.right, np.array(right_of(pairs))[frames.source_index])
    np.testing.assert_allclose(frames.times_s, frames.source_index / 15, atol=1e-9)


def test_an_eye_that_ends_a_little_earlier_shortens_the_clip(tmp_path):
    pairs = stereo(50)
    write_video(tmp_path / "x" / "left.mp4", left_of(pairs))
    write_video(tmp_path / "x" / "right.mp4", right_of(pairs)[:46])
    frames = decode_clip(only_clip(tmp_path), CONFIG, None)
    assert frames.right is not None and 40 < frames.source_index[-1] < 46


def test_more_frames_are_measured_where_the_image_moves_fast_and_never_more_than_the_cap(tmp_path):
    wall = left_of(stereo(1, 800, 144))[0]
    steps = np.r_[np.full(60, 1), np.full(60, 8)]
    at = np.r_[0, np.cumsum(steps)][:120]
    write_video(tmp_path / "x.mp4", [wall[:, a : a + 192] for a in at], fps=60)
    config = CONFIG.model_copy(update={"question_frames": 9, "measure_fps": 6.0})
    frames = decode_clip(only_clip(tmp_path, config), config, None)
    slow, fast = (np.diff(frames.video_index[half]) for half in (frames.video_index < 50, frames.video_index > 70))
    assert slow.min() >= 5 and fast.max() <= 2
    assert set(np.linspace(0, 119, 9).round().astype(int)) <= set(frames.video_index)
    capped = decode_clip(only_clip(tmp_path, config), config.model_copy(update={"max_measure_frames": 20}), None)
    assert len(capped.left) <= 20 and len(capped.question) == 9


def test_a_clip_of_few_frames_asks_about_all_of_them(tmp_path):
    write_images(tmp_path / "x" / "left", left_of(stereo(12)))
    config = CONFIG.model_copy(update={"image_fps": 5.0})
    frames = decode_clip(only_clip(tmp_path, config), config, None)
    assert len(frames.question) == 12 and frames.assumed == ("hfov_deg", "fps")


def test_the_identity_of_a_clip_survives_json_and_moves_and_changes_with_what_changes_pixels(tmp_path):
    path = write_video(tmp_path / "a" / "x.mp4", left_of(stereo(30)))
    clip = only_clip(tmp_path / "a")
    assert ClipSpec.from_json(clip.to_json()) == clip
    (tmp_path / "b").mkdir()
    path.rename(tmp_path / "b" / "other name.mp4")
    assert only_clip(tmp_path / "b").clip_id == clip.clip_id
    narrower = CONFIG.model_copy(update={"max_width": 160})
    assert only_clip(tmp_path / "b", narrower).clip_id != clip.clip_id
    brighter = CONFIG.model_copy(update={"max_brightness": 250.0})
    assert only_clip(tmp_path / "b", brighter).clip_id == clip.clip_id


def test_a_file_that_changed_since_it_was_planned_is_refused(tmp_path):
    write_video(tmp_path / "x.mp4", left_of(stereo(60)))
    clip = only_clip(tmp_path)
    write_video(tmp_path / "x.mp4", left_of(stereo(20)))
    with pytest.raises(Rejected, match="decode_error"):
        decode_clip(clip, CONFIG, tmp_path / "out" / "clip.mp4")
    assert list((tmp_path / "out").iterdir()) == []
