"""What is not fit to be measured is refused with the number that was found; what is fit is not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from curation.video import decode_clip, plan_clips, scan
from curation.video.gates import Stillness, blur_px, check_light
from curation.video.stereo_gates import check_alignment, check_single, match_eyes
from curation.video.synchrony import Synchrony
from schemas.config import VideoConfig
from schemas.outcome import Rejected
from tests.video.media import left_of, read_frames, right_of, side_by_side, stereo, texture, write_calibration, write_video

CONFIG = VideoConfig(min_clip_s=1.0)


def eyes(count=3, **options):
    pairs = stereo(count, 320, 200, **options)
    return left_of(pairs), right_of(pairs)


def refused(left, right):
    with pytest.raises(Rejected) as why:
        check_alignment(match_eyes(left, right), CONFIG)
    return why.value


def test_rectified_eyes_pass_with_their_vertical_disparity_measured():
    found = check_alignment(match_eyes(*eyes()), CONFIG)
    assert abs(found["vertical_px"]) < 0.1 and found["behind"] == 0 and found["matches"] > 300


@pytest.mark.parametrize("shift", [-2, 3, 25])
def test_shifted_rows_are_refused_with_the_offset(shift):
    left, right = eyes()
    why = refused(left, [np.roll(f, shift, axis=0) for f in right])
    assert why.reason == "not_rectified" and f"vertical disparity {2 * shift:+.2f} px" in why.detail  # at 640 of 320


def test_half_a_pixel_between_the_rows_is_measured_and_let_pass():
    left, right = eyes()
    half = [cv2.warpAffine(f, np.array([[1, 0, 0], [0, 1, 0.4]]), f.shape[1::-1], borderMode=cv2.BORDER_REFLECT) for f in right]
    assert check_alignment(match_eyes(left, half), CONFIG)["vertical_px"] == pytest.approx(0.8, abs=0.1)


@pytest.mark.parametrize(("angle", "scale"), [(1.0, 1.0), (0.0, 1.03)], ids=["roll", "zoom"])
def test_eyes_that_are_turned_or_zoomed_against_each_other_are_refused(angle, scale):
    left, right = eyes()
    matrix = cv2.getRotationMatrix2D((160, 100), angle, scale)
    assert refused(left, [cv2.warpAffine(f, matrix, (320, 200)) for f in right]).reason == "not_rectified"


def test_swapped_eyes_are_refused():
    left, right = eyes()
    assert refused(right, left).reason == "eyes_swapped"


def test_converging_eyes_are_refused():
    left, right = eyes(far_px=4, near_px=30)
    why = refused(left, [np.roll(f, 15, axis=1) for f in right])
    assert why.reason == "not_parallel"


def test_eyes_of_different_scenes_are_refused():
    assert refused(eyes()[0], eyes(seed=9)[0]).reason == "eyes_differ"


def test_a_scene_without_texture_is_left_to_others_to_judge():
    flat = [np.full((200, 320, 3), 128, np.uint8)] * 2
    assert check_alignment(match_eyes(flat, flat), CONFIG) == {"matches": 0.0}


@pytest.mark.parametrize("axis", [1, 0], ids=["side_by_side", "over_under"])
def test_stereo_without_a_calibration_is_not_taken_for_mono(axis):
    both = [np.concatenate(pair, axis) for pair in stereo(2, 320, 200)]
    with pytest.raises(Rejected, match=f"layout_unknown.*layout: {['over_under', 'side_by_side'][axis]}"):
        check_single(both)


def test_mono_is_taken_for_mono():
    check_single(eyes(2)[0])
    check_single([np.tile(texture(1, 40, 40), (5, 8, 1))])  # the very same tiles everywhere: no match is unique


def synchrony(left, right):
    out = Synchrony()
    for a, b in zip(left, right, strict=True):
        out.add(cv2.cvtColor(a, cv2.COLOR_RGB2GRAY), cv2.cvtColor(b, cv2.COLOR_RGB2GRAY))
    return out


@pytest.mark.parametrize("seed", range(4))
def test_eyes_taken_together_have_no_lag(seed):
    left, right = eyes(30, seed=10 * seed)
    lag = synchrony(left, right).check()
    assert lag is not None and abs(lag) < 0.1


@pytest.mark.parametrize("late", [-4, -1, 1, 3])
def test_a_late_eye_is_refused_with_its_lag(late):
    left, right = eyes(30)
    left, right = (left[late:], right[:-late]) if late > 0 else (left[:late], right[-late:])
    with pytest.raises(Rejected, match=f"{abs(late)}.0 frames {'late' if late > 0 else 'early'}") as why:
        synchrony(left, right).check()
    assert why.value.reason == "eyes_unsynchronised"


@pytest.mark.parametrize("which", ["left", "right"])
def test_an_eye_that_stalls_now_and_then_is_refused(which):
    left, right = eyes(60)
    stalling = left if which == "left" else right
    stalling[20:26] = [stalling[20]] * 6
    with pytest.raises(Rejected, match=f"eyes_unsynchronised: the {which} eye stands still at 5 of 59"):
        synchrony(left, right).check()
    both = [frames[:20] + [frames[20]] * 6 + frames[26:] for frames in eyes(60)]
    synchrony(*both).check()


def test_half_a_frame_of_lag_is_refused():
    left, right = eyes(80, seed=3)
    smooth = [cv2.addWeighted(a, 0.5, b, 0.5, 0) for a, b in zip(right[:-1], right[1:], strict=True)]
    with pytest.raises(Rejected, match="eyes_unsynchronised"):
        synchrony(left[:-1], smooth).check()


def test_where_nothing_happens_no_lag_can_be_told():
    rng = np.random.default_rng(0)
    still = stereo(1)[0]
    noisy = [[np.clip(eye + rng.normal(0, 2, eye.shape), 0, 255).astype(np.uint8) for _ in range(20)] for eye in still]
    assert synchrony(*noisy).check() is None


def test_blur_is_measured_in_pixels_whatever_the_contrast():
    sharp = left_of(stereo(1, 640, 400))[0]
    assert blur_px(sharp) < 0.5
    edges = np.kron(np.random.default_rng(0).integers(0, 255, (5, 8, 1)), np.ones((80, 80, 3))).astype(np.uint8)
    for sigma in (3.0, 5.0, 8.0):
        for contrast in (1.0, 0.2):
            blurred = cv2.GaussianBlur(edges, (0, 0), sigma) * contrast
            assert blur_px(blurred.astype(np.uint8)) == pytest.approx(sigma, rel=0.2)
    streaked = cv2.blur(edges, (35, 1))  # motion along x only; a box of 35 px has a standard deviation of 10
    assert blur_px(streaked) > 5


def test_light_is_judged_by_the_middle_frame():
    check_light(np.array([0.0, 100, 100, 100, 255]), CONFIG)
    with pytest.raises(Rejected, match="too_dark: median luma 9.0"):
        check_light(np.array([9.0, 9, 100]), CONFIG)
    with pytest.raises(Rejected, match="too_bright"):
        check_light(np.array([250.0, 249, 100]), CONFIG)


def still_or_not(frames):
    out = Stillness()
    for frame in frames:
        out.add(frame)
    out.check()


@pytest.mark.parametrize("options", [{"crf": "16"}, {"crf": "28", "preset": "medium"}], ids=["fine", "coarse"])
def test_one_picture_encoded_over_and_over_is_frozen_and_a_still_scene_with_noise_is_not(tmp_path, options):
    picture = left_of(stereo(1))[0]
    write_video(tmp_path / "frozen.mp4", [picture] * 40, options=options)
    with pytest.raises(Rejected, match="frozen"):
        still_or_not(read_frames(tmp_path / "frozen.mp4")[0])
    rng = np.random.default_rng(0)
    noisy = [np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8) for _ in range(40)]
    write_video(tmp_path / "still.mp4", noisy, options={"crf": "16"})
    still_or_not(read_frames(tmp_path / "still.mp4")[0])


def test_repeated_frames_and_small_movers_are_not_frozen(tmp_path):
    scene = left_of(stereo(20))
    still_or_not([f for f in scene for _ in range(3)])  # 5 frames a second in a file of 15
    picture = scene[0]
    moving = []
    for k in range(40):
        frame = picture.copy()
        frame[60:66, 20 + 3 * k : 26 + 3 * k] = 255
        moving.append(frame)
    write_video(tmp_path / "x.mp4", moving)
    still_or_not(read_frames(tmp_path / "x.mp4")[0])


CASES = {
    "too_dark": lambda: left_of([(f // 16, g) for f, g in stereo(30)]),
    "too_bright": lambda: [243 + f // 25 for f in left_of(stereo(30))],
    "too_blurred": lambda: [cv2.GaussianBlur(f, (0, 0), 4) for f in left_of(stereo(30))],
    "frozen": lambda: left_of(stereo(1)) * 30,
}


@pytest.mark.parametrize("reason", CASES)
def test_a_file_with_one_fault_ends_with_that_fault(tmp_path, reason):
    write_video(tmp_path / "in" / "x.mp4", CASES[reason]())
    plan = plan_clips(scan(tmp_path / "in", CONFIG).sources[0], CONFIG)
    reasons = [why.reason for _, why in plan.refused]
    for clip in plan.clips:
        with pytest.raises(Rejected) as why:
            decode_clip(clip, CONFIG, tmp_path / "clip.mp4")
        reasons.append(why.value.reason)
    assert reasons == [reason]
    assert not (tmp_path / "clip.mp4").exists()


def test_good_stereo_passes_all_gates(tmp_path):
    write_video(tmp_path / "x.mp4", side_by_side(stereo(30)))
    write_calibration(tmp_path / "x.calib.yaml", "layout: side_by_side\n")
    (clip,) = plan_clips(scan(tmp_path, CONFIG).sources[0], CONFIG).clips
    assert decode_clip(clip, CONFIG, None).assumed == ("hfov_deg", "baseline_m")
