"""The real clips: decoded, rectified, synchronous."""

from __future__ import annotations

import numpy as np
import pytest

from curation.video import decode_clip, plan_clips, scan
from curation.video.stereo_gates import check_alignment, match_eyes
from schemas.config import VideoConfig

CONFIG = VideoConfig()


@pytest.fixture(scope="module")
def sources(real_clips):
    found = scan(real_clips, CONFIG)
    assert found.refused == []
    return {source.name: source for source in found.sources}


def clip_of(source):
    plan = plan_clips(source, CONFIG)
    assert plan.refused == []
    (clip,) = plan.clips
    return decode_clip(clip, CONFIG, None)


def test_kitti_is_read_with_its_calibration_and_its_rows_align(sources):
    frames = clip_of(sources["kitti_0009"])
    assert frames.left.shape == (51, 374, 1242, 3) and frames.stereo and frames.assumed == ()
    assert (frames.camera.fx, frames.camera.cy, frames.camera.height) == (721.5377, 172.854, 374)
    assert len(frames.question) == 32 and frames.times_s[-1] == pytest.approx(5.0)
    found = check_alignment(match_eyes(frames.left[::17], frames.right[::17]), CONFIG)
    assert abs(found["vertical_px"]) < 0.2 and found["vertical_spread_px"] < 0.4


def test_vr180_becomes_two_perspective_views_whose_rows_align(sources):
    source = sources["stereo4d_vr180/input_equirect"]
    assert source.assumed == () and source.baseline_m == 0.063
    frames = clip_of(source)
    assert frames.camera.width == frames.camera.height == 320 and frames.stereo
    found = check_alignment(match_eyes(frames.left[::30], frames.right[::30]), CONFIG)
    # 0.2 px of a 640 px wide eye is 0.02 degrees, a sixteenth of a source pixel.
    assert abs(found["vertical_px"]) < 0.3 and found["vertical_bend_px"] < 0.3 and found["behind"] < 0.05


def test_mono_clips_are_read_and_the_short_one_is_refused(sources):
    juggling = plan_clips(sources["mono/sam2_05_default_juggle"], CONFIG)
    assert [(c.start_frame, c.end_frame) for c in juggling.clips] == [(0, 247)] and juggling.refused == []
    short = plan_clips(sources["mono/udacity_test_video"], CONFIG)
    assert short.clips == [] and [why.reason for _, why in short.refused] == ["too_short"]
    frames = clip_of(sources["stereo4d_left/JREOLefcmOM_38405072"])
    assert frames.right is None and frames.baseline_m is None and frames.assumed == ("hfov_deg",)
    assert np.isclose(frames.camera.fx, 443.4, atol=0.1) and frames.left.shape[1:3] == (512, 512)
