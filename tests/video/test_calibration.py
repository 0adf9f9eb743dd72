"""The sidecar: what it may say, and how what it may not say is refused."""

from __future__ import annotations

import pytest

from curation.video.calibration import MAX_BYTES, read_calibration
from schemas.outcome import Rejected

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(8)
)
BAD = {
    "baseline_m: -0.1": "metres, got -0.1",
    "baseline_m: 0": "metres, got 0",
    "baseline_m: .nan": "finite",
    "baseline_m: .inf": "finite",
    "baseline_m: 63": "millimetres",
    "baseline_m: true": "expected a number",
    "baseline_m: wide": "expected a number",
    "baseline_m: [0.1]": "expected a number",
    "baseline: 0.1": "baseline: unknown key",
    "camera: {fx: -300, fy: 300, cx: 160, cy: 120, width: 320, height: 240}": "positive fx",
    "camera: {fx: 300, fy: .nan, cx: 160, cy: 120, width: 320, height: 240}": "finite",
    "camera: {fx: 0.001, fy: 0.001, cx: 160, cy: 120, width: 320, height: 240}": "field of view",
    "camera: {fx: 300, fy: 300, cx: 1600, cy: 120, width: 320, height: 240}": "outside the image",
    "camera: {fx: 300, fy: 30, cx: 160, cy: 120, width: 320, height: 240}": "no real camera",
    "camera: {hfov_deg: 0}": "hfov_deg",
    "camera: {hfov_deg: 60, fx: 300}": "either hfov_deg, or fx",
    "camera: {hfov_deg: 60}\npixel_center: 1": "pixel_center",
    "fps: 0": "fps",
    "layout: sideways": "layout",
    "- 1\n- 2": "expected keys",
    "layout: [": "not valid YAML",
    "[" * 5000: "not valid YAML",
    "\x00\x01": "not valid YAML",
    'layout: !!python/object/apply:os.system ["true"]': "not valid YAML",
    BOMB: "aliases",
    "#" * (MAX_BYTES + 1): "larger than",
}


@pytest.mark.parametrize(("text", "why"), BAD.items(), ids=[repr(text)[:40] for text in BAD])
def test_a_calibration_that_cannot_be_true_is_refused_in_one_line(tmp_path, text, why):
    path = tmp_path / "calib.yaml"
    path.write_text(text)
    with pytest.raises(Rejected, match=why) as refused:
        read_calibration(path)
    assert refused.value.reason == "bad_calibration"
    assert "\n" not in refused.value.detail and len(refused.value.detail) < 400


def test_a_calibration_that_is_no_file_is_refused(tmp_path):
    (tmp_path / "calib.yaml").mkdir()
    with pytest.raises(Rejected, match="bad_calibration"):
        read_calibration(tmp_path / "calib.yaml")


def test_opencv_pixel_centres_are_carried_over_to_ours(tmp_path):
    path = tmp_path / "calib.yaml"
    camera = "camera: {fx: 300, fy: 301, cx: 160, cy: 120, width: 320, height: 240}\n"
    path.write_text(camera)
    ours = read_calibration(path).camera.values()
    path.write_text(camera + "pixel_center: 0\n")
    theirs = read_calibration(path).camera.values()
    assert (ours["cx"], ours["cy"]) == (160.0, 120.0)
    assert (theirs["cx"], theirs["cy"]) == (160.5, 120.5)
    assert {k: v for k, v in ours.items() if k[0] != "c"} == {k: v for k, v in theirs.items() if k[0] != "c"}


def test_a_number_that_yaml_reads_as_text_is_still_a_number(tmp_path):
    path = tmp_path / "calib.yaml"
    path.write_text("baseline_m: 1e-1\n")
    assert read_calibration(path).baseline_m == 0.1
