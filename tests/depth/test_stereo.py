from __future__ import annotations

import numpy as np
import pytest

from curation.depth import Disparity, depth_m, disparity_map
from schemas.config import DepthConfig
from tests.objects.flat_world import BASELINE_M, CAMERA, Board, film, line

EYES = np.zeros((1, 3))
BOARDS = [(-1.0, 3.1, 11), (0.6, 4.3, 12)]


@pytest.fixture(scope="module")
def pair():
    frames, _ = film([Board(line((x, 0.0, z), (0, 0, 0), 1), 1.2, seed) for x, z, seed in BOARDS], EYES)
    return frames.left[0], frames.right[0]


@pytest.fixture(scope="module")
def found(pair) -> Disparity:
    return disparity_map(*pair, CAMERA, BASELINE_M, DepthConfig())


def inside(x: float, z: float) -> tuple[slice, slice]:
    (u0, v0), (u1, v1) = CAMERA.project(np.array([[x - 0.4, -0.4, z], [x + 0.4, 0.4, z]]))
    return slice(round(v0), round(v1)), slice(round(u0), round(u1))


@pytest.mark.parametrize(("x", "z", "seed"), BOARDS)
def test_disparity_has_no_sub_pixel_bias(found, x, z, seed):
    error = found.disparity_px[inside(x, z)] - CAMERA.fx * BASELINE_M / z
    assert abs(np.nanmedian(error)) < 0.06
    assert np.nanquantile(np.abs(error), 0.9) < 0.5


def test_sigma_covers_the_error(found):
    ratios = []
    for x, z, _ in BOARDS:
        at = inside(x, z)
        ratios.append(((found.disparity_px[at] - CAMERA.fx * BASELINE_M / z) / found.sigma_px[at])[found.valid[at]])
    ratio = np.abs(np.concatenate(ratios))
    assert (ratio < 1).mean() > 0.6 and (ratio < 3).mean() > 0.97
    assert np.median(ratio) > 0.05  # not by being absurdly large


def test_the_left_band_is_answered(found):
    far = CAMERA.fx * BASELINE_M / 9.0
    band = found.disparity_px[50:250, 20:60]
    assert found.valid[50:250, 20:60].mean() > 0.6
    assert abs(np.nanmedian(band) - far) < 0.2


def test_depth_follows_from_disparity_and_its_offset(found):
    plain, sigma = depth_m(found, CAMERA, BASELINE_M)
    moved, wider = depth_m(found, CAMERA, BASELINE_M, offset_px=0.5, offset_sigma_px=0.3)
    at = inside(*BOARDS[0][:2])
    assert abs(np.nanmedian(plain[at]) - 3.1) < 0.03
    assert np.nanmedian(moved[at]) < np.nanmedian(plain[at])
    assert np.nanmedian(wider[at] / moved[at]) > np.nanmedian(sigma[at] / plain[at])
    assert np.isnan(plain[~found.valid]).all()


def test_images_of_another_size_are_refused(pair):
    with pytest.raises(ValueError, match="expected two images of 300x480"):
        disparity_map(pair[0][:-2], pair[1][:-2], CAMERA, BASELINE_M, DepthConfig())
    with pytest.raises(ValueError, match="positive baseline"):
        disparity_map(*pair, CAMERA, 0.0, DepthConfig())
