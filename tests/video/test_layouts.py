"""Views are cut out of stored pictures with exact intrinsics. Tested on rays: trajectories do not feel half a pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.video.layouts import equirect_pixels, eye_boxes, eye_view, plan_eyes
from schemas.config import VideoConfig
from schemas.outcome import Rejected

CONFIG = VideoConfig()


def sky(rays):
    """A smooth colour for every direction (steep enough that a shift of 0.02 px shows)."""
    x, y, z = np.moveaxis(rays / np.linalg.norm(rays, axis=-1, keepdims=True), -1, 0)
    waves = [np.sin(7 * x + 2 * y), np.sin(8 * y - 3 * x), np.sin(5 * (x + y) + z)]
    return 127.5 + 120 * np.stack(waves, -1)


def equirect(width, height, shift=0.0):
    """A 180 x 180 deg picture of ``sky``, each pixel taken along the ray of its centre."""
    u, v = np.meshgrid(np.arange(width) + 0.5 + shift, np.arange(height) + 0.5 + shift)
    longitude, latitude = (u / width - 0.5) * np.pi, (v / height - 0.5) * np.pi
    rays = np.stack([np.cos(latitude) * np.sin(longitude), np.sin(latitude), np.cos(latitude) * np.cos(longitude)], -1)
    return np.round(sky(rays)).astype(np.uint8)


def pinhole(camera, shift_u=0.0, shift_v=0.0):
    u, v = np.meshgrid(np.arange(camera.width) + 0.5 + shift_u, np.arange(camera.height) + 0.5 + shift_v)
    return sky(camera.unproject(np.stack([u, v], -1), np.ones_like(u)))


def shift_px(view, camera):
    """By how much (u, v) a view lies beside what its camera says, by least squares over all pixels."""
    slope_u = pinhole(camera, 0.5, 0) - pinhole(camera, -0.5, 0)
    slope_v = pinhole(camera, 0, 0.5) - pinhole(camera, 0, -0.5)
    design = np.stack([slope_u.ravel(), slope_v.ravel()], -1)
    return np.linalg.lstsq(design, (view.astype(float) - pinhole(camera)).ravel(), rcond=None)[0]


@pytest.mark.parametrize(
    ("size", "limit_px"),
    [((480, 540), 768), ((1024, 1024), 768), ((900, 901), 256)],
    ids=["coarse", "even", "finer than the view"],
)
def test_a_vr180_half_becomes_the_perspective_view_of_the_same_rays(size, limit_px):
    width, height = size
    eyes = plan_eyes("vr180_side_by_side", 2 * width, height, 1.0, {}, CONFIG.model_copy(update={"vr180_size_px": limit_px}))
    half = equirect(width, height)
    view = eye_view(np.concatenate([half, 255 - half], 1), eyes.left, eyes)
    assert view.shape == (eyes.camera.height, eyes.camera.width, 3)
    assert np.abs(view - pinhole(eyes.camera)).max() < 3  # rounded to grey levels, twice
    np.testing.assert_allclose(shift_px(view, eyes.camera), 0, atol=0.01)


def test_half_a_pixel_in_the_source_would_be_seen():
    eyes = plan_eyes("vr180_side_by_side", 1024, 512, 1.0, {}, CONFIG)
    half = equirect(512, 512, shift=0.5)
    view = eye_view(np.concatenate([half, half], 1), eyes.left, eyes)
    assert (np.abs(shift_px(view, eyes.camera)) > 0.5 * eyes.camera.width / 60 * 180 / 512 * 0.7).all()


def test_straight_ahead_is_the_centre_of_an_equirect_half_and_the_sides_are_its_edges():
    rays = np.array([[0, 0, 1.0], [1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [1, 0, 1]])
    expected = [[50, 30], [100, 30], [0, 30], [50, 60], [50, 0], [75, 30]]
    np.testing.assert_allclose(equirect_pixels(rays, 100, 60), expected, atol=1e-9)


def test_the_vr180_view_follows_the_resolution_of_the_source_up_to_its_limit():
    sides = [plan_eyes("vr180_side_by_side", 2 * px, px, 1.0, {}, CONFIG).camera.width for px in (540, 960, 4096)]
    assert sides == [320, 560, 768]
    camera = plan_eyes("vr180_over_under", 540, 1080, 1.0, {}, CONFIG).camera
    assert math.degrees(2 * math.atan(camera.width / 2 / camera.fx)) == pytest.approx(60)


def test_eyes_lie_where_the_layout_says():
    assert eye_boxes("mono", 100, 50) == ((0, 0, 100, 50), None)
    assert eye_boxes("pair", 100, 50) == ((0, 0, 100, 50), (0, 0, 100, 50))
    assert eye_boxes("side_by_side", 101, 50) == ((0, 0, 50, 50), (51, 0, 101, 50))
    assert eye_boxes("vr180_over_under", 100, 51) == ((0, 0, 100, 25), (0, 26, 100, 51))


@given(
    width=st.integers(130, 3000),
    height=st.integers(130, 2500),
    fx=st.floats(100, 3000),
    offset=st.floats(-20, 20),
    aspect=st.sampled_from([1.0, 4 / 3, 0.9]),
)
def test_a_resized_eye_sees_every_ray_at_the_resized_place(width, height, fx, offset, aspect):
    given_camera = {
        "fx": fx,
        "fy": fx * 1.01,
        "cx": width / 2 + offset,
        "cy": height / 2 - offset,
        "width": width,
        "height": height,
    }
    eyes = plan_eyes("mono", width, height, aspect, given_camera, CONFIG)
    camera, (resized_width, resized_height) = eyes.camera, eyes.resized
    assert camera.width % 2 == 0 and camera.height % 2 == 0
    assert resized_width - camera.width in (0, 1) and resized_height - camera.height in (0, 1)
    assert max(camera.width, camera.height) <= CONFIG.max_width
    ray = np.array([0.1, -0.05, 1.0])
    u, v = fx * 0.1 + given_camera["cx"], fx * 1.01 * -0.05 + given_camera["cy"]
    # Pixel (u, v) of corner-based coordinates lands at (u, v) times the ratio of the sides.
    np.testing.assert_allclose(camera.project(ray), [u * resized_width / width, v * resized_height / height], atol=1e-6)


def test_scaling_and_cropping_move_no_ray_in_the_pixels():
    """A picture drawn by its camera, brought down by the room, equals the picture drawn by the room's camera."""
    eyes = plan_eyes("mono", 2001, 1203, 1.0, {"hfov_deg": 60.0}, VideoConfig(max_width=667))
    focal = 2001 / 2 / math.tan(math.radians(30))
    u, v = np.meshgrid(np.arange(2001) + 0.5, np.arange(1203) + 0.5)
    drawn = sky(np.stack([(u - 1000.5) / focal, (v - 601.5) / focal, np.ones_like(u)], -1))
    view = eye_view(np.round(drawn).astype(np.uint8), eyes.left, eyes)
    assert view.shape == (400, 666, 3)
    np.testing.assert_allclose(shift_px(view, eyes.camera), 0, atol=0.01)


def test_a_field_of_view_gives_the_focal_length_of_square_pixels():
    camera = plan_eyes("mono", 1280, 720, 1.0, {"hfov_deg": 90.0}, CONFIG).camera
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (pytest.approx(640), pytest.approx(640), 640, 360)
    squeezed = plan_eyes("side_by_side", 1280, 720, 1.0, {"hfov_deg": 90.0, "pixel_aspect": 2.0}, CONFIG)
    assert (squeezed.camera.width, squeezed.camera.height, squeezed.camera.fy) == (1280, 720, pytest.approx(640))


def test_a_calibration_for_another_picture_is_refused_and_for_a_scaled_one_is_carried_over():
    for_hd = {"fx": 1000.0, "fy": 1000.0, "cx": 960.0, "cy": 540.0, "width": 1920.0, "height": 1080.0}
    assert plan_eyes("mono", 960, 540, 1.0, for_hd, CONFIG).camera.fx == pytest.approx(500)
    with pytest.raises(Rejected, match="bad_calibration.*1920x1080.*640x480"):
        plan_eyes("mono", 640, 480, 1.0, for_hd, CONFIG)
    with pytest.raises(Rejected, match="bad_calibration"):  # calibrated for both eyes together
        plan_eyes("side_by_side", 1920, 1080, 1.0, for_hd, CONFIG)


def test_tiny_eyes_are_refused():
    with pytest.raises(Rejected, match="too_small: each eye is 100x300"):
        plan_eyes("side_by_side", 200, 300, 1.0, {"hfov_deg": 60.0}, CONFIG)
