from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from curation.video.layouts import eye_view, plan_eyes
from curation.video.sources import scan
from curation.worlds.scenarios import LAYOUTS, SPLITS, draw_scenario
from curation.worlds.truth import load_truth
from pipelines.simulate import main
from schemas.config import VideoConfig
from tests.worlds.compare import grey, offset_px

TINY = ["--frames", "3", "--size", "128x80", "--workers", "1"]


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("worlds")
    assert main(["--output", str(folder), "--worlds", "3", *TINY]) == 0
    return folder


def test_bytes_are_the_same_for_any_number_of_workers(worlds, tmp_path):
    assert main(["--output", str(tmp_path), "--worlds", "3", *TINY[:-1], "2"]) == 0
    assert _hashes(worlds) == _hashes(tmp_path)
    assert len(_hashes(worlds)) == 3 * 5


def test_a_world_does_not_depend_on_which_others_are_rendered(worlds, tmp_path):
    assert main(["--output", str(tmp_path), "--worlds", "1", "--seed", "2", *TINY]) == 0
    (name,) = (p.name for p in tmp_path.iterdir())
    assert _hashes(tmp_path / name) == _hashes(worlds / name)


def test_a_finished_world_is_not_rendered_again_and_a_broken_one_is(tmp_path):
    arguments = ["--output", str(tmp_path), "--worlds", "2", *TINY]
    assert main(arguments) == 0
    first, second = sorted(tmp_path.iterdir())
    before = _hashes(tmp_path)
    kept = (first / "left.mp4").stat().st_mtime_ns
    (second / "truth" / "truth.npz").unlink()
    assert main(arguments) == 0
    assert _hashes(tmp_path) == before
    assert (first / "left.mp4").stat().st_mtime_ns == kept


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("image_format", ["mp4", "png"])
def test_the_factory_finds_every_layout_with_its_calibration(tmp_path, layout, image_format):
    size = "128x128" if layout.startswith("vr180") else "128x80"
    options = ["--frames", "2", "--size", size, "--workers", "1", "--layout", layout, "--format", image_format]
    assert main(["--output", str(tmp_path), "--worlds", "1", *options]) == 0
    found = scan(tmp_path, VideoConfig())
    assert not found.refused
    (source,) = found.sources
    (folder,) = tmp_path.iterdir()
    assert source.name == folder.name and source.layout == layout and not source.assumed
    truth = load_truth(folder / "truth")
    assert source.baseline_m == (None if layout == "mono" else truth.info["baseline_m"])
    if not layout.startswith("vr180"):
        assert source.camera["fx"] == pytest.approx(truth.camera.fx, abs=1e-5)


def test_vr180_cut_to_perspective_shows_what_the_truth_says(tmp_path):
    assert main(["--output", str(tmp_path), "--worlds", "1", "--frames", "1", "--size", "880x880", "--workers", "1",
                 "--cameras", "static", "--layout", "vr180_side_by_side", "--format", "png", "--depth"]) == 0  # fmt: skip
    (folder,) = tmp_path.iterdir()
    picture = cv2.imread(str(folder / "left" / "000000.png"))[..., ::-1]
    truth = load_truth(folder / "truth")
    eyes = plan_eyes("vr180_side_by_side", picture.shape[1], picture.shape[0], 1.0, {}, VideoConfig(vr180_size_px=512))
    view = eyes.camera
    assert (view.width, view.height, view.fx) == (truth.camera.width, truth.camera.height, pytest.approx(truth.camera.fx))
    left, right = (grey(eye_view(picture, box, eyes)) for box in (eyes.left, eyes.right))
    at = np.stack(np.meshgrid(np.arange(view.width) + 0.5, np.arange(view.height) + 0.5), -1)
    at[..., 0] -= view.fx * truth.info["baseline_m"] / truth.depth_m[0]
    use = np.isfinite(truth.depth_m[0]) & (at[..., 0] > 8)
    offset = offset_px(cv2.GaussianBlur(left, (0, 0), 1), cv2.GaussianBlur(right, (0, 0), 1), at, use)
    assert np.abs(offset).max() < 0.03


def test_tuning_and_test_seeds_are_disjoint():
    assert not set(SPLITS["tuning"]) & set(SPLITS["test"])
    with pytest.raises(ValueError, match="expected a world number"):
        draw_scenario("tuning", 1_000_000)


def test_cameras_are_taken_in_turn():
    names = [draw_scenario("test", k, camera=c).name for k, c in enumerate(["static", "pan"])]
    assert names == ["test_1000000_static", "test_1000001_pan"]


def test_scenarios_vary():
    drawn = [draw_scenario("tuning", k) for k in range(60)]
    assert len({s.options["camera"] for s in drawn}) == 9 and len({s.options["texture"] for s in drawn}) == 4
    baselines = [s.options["baseline_m"] for s in drawn]
    assert min(baselines) < 0.08 and max(baselines) > 0.3
    assert any(s.options["shutter"] for s in drawn) and any(s.options["flicker"] for s in drawn)


def test_a_mono_world_has_no_baseline_in_its_calibration(tmp_path):
    assert main(["--output", str(tmp_path), "--worlds", "1", "--layout", "mono", *TINY]) == 0
    (folder,) = tmp_path.iterdir()
    assert "baseline_m" not in yaml.safe_load((folder / "calib.yaml").read_text())
    assert not (folder / "right.mp4").exists()


@pytest.mark.parametrize("wrong", [["--size", "99x80"], ["--cameras", "zoom"], ["--worlds", "0"], ["--layout", "cross"]])
def test_a_wrong_option_is_refused(wrong, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--output", str(tmp_path), *wrong])
    assert stop.value.code == 2 and wrong[1] in capsys.readouterr().err
