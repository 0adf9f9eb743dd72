"""The truth agrees with the pixels: what it says can be found in the pictures, to a few hundredths of a pixel."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from curation.geometry import inverse, transform
from curation.worlds import RenderedWorld, make_world, render
from tests.worlds.compare import grey, offset_px


def _fine(image: np.ndarray) -> np.ndarray:
    """Texture without shading, which stays in place on a ball that rolls on."""
    flat = grey(image)
    return flat - cv2.GaussianBlur(flat, (0, 0), 1.5)


def _grid(world: RenderedWorld) -> np.ndarray:
    view = world.world.camera
    return np.stack(np.meshgrid(np.arange(view.width) + 0.5, np.arange(view.height) + 0.5), -1)


def _interior(world: RenderedWorld, frame: int, body: int | None) -> np.ndarray:
    """Pixels away from any edge of depth or mask."""
    truth = world.truth
    depth = truth.depth_m[frame]
    around = np.ones((5, 5), np.uint8)
    smooth = cv2.dilate(np.minimum(depth, 1e4), around) < 1.15 * cv2.erode(np.minimum(depth, 1e4), around)
    owner = (truth.labels[frame] == (0 if body is None else body + 1)) & np.isfinite(depth) & smooth
    return cv2.erode(owner.astype(np.uint8), around) > 0


@pytest.mark.parametrize("name", ["orbit", "street"])
def test_a_pixel_of_depth_z_lies_fx_times_baseline_over_z_to_the_left_in_the_right_eye(name, request):
    world = request.getfixturevalue(name)
    depth = world.truth.depth_m[0].astype(float)
    at = _grid(world)
    at[..., 0] -= world.world.camera.fx * world.world.baseline_m / depth
    use = _interior(world, 0, None) & (at[..., 0] > 2)
    assert np.abs(offset_px(grey(world.left[0]), grey(world.right[0]), at, use)).max() < 0.03


@pytest.mark.parametrize("name", ["orbit", "street"])
def test_static_points_are_seen_in_later_frames_where_the_poses_say(name, request):
    world = request.getfixturevalue(name)
    truth, view = world.truth, world.world.camera
    points = view.unproject(_grid(world), truth.depth_m[0].astype(float))
    for frame in (1, 2):
        at = view.project(transform(inverse(truth.world_from_camera[frame]), points))
        inside = (at > 2).all(-1) & (at < [view.width - 2, view.height - 2]).all(-1)
        offset = offset_px(grey(world.left[0]), grey(world.left[frame]), at, _interior(world, 0, None) & inside)
        assert np.abs(offset).max() < 0.05


@pytest.mark.parametrize("category", ["van", "crate", "rolling_ball"])
def test_a_moving_body_is_seen_in_the_next_frame_where_its_own_motion_says(category):
    options = {"scene": "outdoor", "event": "free", "width": 320, "height": 200, "noise": 0.0}
    made = make_world(6, camera="orbit", frames=40, movers=1, parked=0, category=category, profile="steady", **options)
    made = replace(made, frames=2, fps=40.0 if category == "rolling_ball" else 10.0)  # a ball's shading does not roll along
    world = render(made)
    truth, view = world.truth, made.camera
    points = view.unproject(_grid(world), np.nan_to_num(truth.depth_m[0].astype(float), posinf=1e3))
    carried = truth.world_from_piece[0][1, 0] @ inverse(truth.world_from_piece[0][0, 0])
    at = view.project(transform(inverse(truth.world_from_camera[1]) @ carried, points))
    still = view.project(transform(inverse(truth.world_from_camera[1]), points))
    use = cv2.erode(_interior(world, 0, 0).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert np.median(np.linalg.norm(at - still, axis=-1)[use]) > 0.3, "the body hardly moves: choose another seed"
    assert np.abs(offset_px(_fine(world.left[0]), _fine(world.left[1]), at, use)).max() < 0.1


def test_masks_depth_and_surface_points_are_of_one_body(orbit, street):
    checked = 0
    for world in (orbit, street):
        truth, view = world.truth, world.world.camera
        for body in range(len(truth.names)):
            for frame in (0, 3):
                mask = truth.mask(frame, body)
                if mask.sum() < 80:
                    continue
                depth = truth.depth_m[frame][mask].astype(float)
                seen = transform(truth.world_from_camera[frame], view.unproject(_grid(world)[mask], depth))
                gaps = np.linalg.norm(seen[::7, None] - truth.points_m[body][frame][None], axis=-1).min(1)
                size = np.ptp(truth.points_m[body][frame], axis=0).max()
                assert gaps.max() < 0.12 * size and np.median(gaps) < 0.05 * size
                checked += 1
    assert checked >= 4


def test_a_body_fills_its_mask_and_nothing_more(orbit):
    truth, view = orbit.truth, orbit.world.camera
    checked = 0
    for body in range(len(truth.names)):
        mask = truth.mask(0, body)
        ys, xs = np.nonzero(mask)
        if truth.visible_fraction[0, body] < 0.98 or not len(xs):
            continue
        pixels = view.project(transform(inverse(truth.world_from_camera[0]), truth.points_m[body][0]))
        box = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
        assert np.abs(box - [*pixels.min(0), *pixels.max(0)]).max() < 1.01
        checked += 1
    assert checked


def test_few_samples_give_the_picture_of_many(orbit):
    from curation.worlds.render import _directions
    from curation.worlds.shading import Stage, develop, shade

    world = orbit.world
    stage, pose = Stage(world, 0.0), world.scene_from_camera(0.0)
    steps = (np.arange(5) - 2) / 5
    total = 0.0
    for offset in np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2):
        local, angle = _directions(world, offset)
        total = total + shade(world, stage, pose[:3, 3], local @ pose[:3, :3].T, angle * 0.5)[0]
    many = develop(world, (total / 25).reshape(orbit.left[0].shape), 0, 0).astype(float)
    difference = orbit.left[0].astype(float) - many
    assert np.sqrt((difference**2).mean()) < 4.0  # of 255
    gradient = cv2.Sobel(grey(many.astype(np.uint8)), cv2.CV_32F, 1, 0, scale=1 / 8)
    shift = (difference.mean(-1) * gradient).sum() / (gradient**2).sum()
    assert abs(shift) < 0.01  # pixels: no systematic displacement


def test_motion_blur_smears_without_displacing():
    from curation.worlds.render import render_frame

    sharp_world = make_world(5, camera="sideways", frames=3, movers=0, parked=0, width=200, height=125, noise=0.0, fps=2.0)
    blurred_world = replace(sharp_world, sensor=replace(sharp_world.sensor, shutter=0.5))
    sharp, blurred = (grey(render_frame(w, 1, (0,))[0]) for w in (sharp_world, blurred_world))
    assert cv2.Laplacian(blurred, cv2.CV_32F).std() < 0.8 * cv2.Laplacian(sharp, cv2.CV_32F).std()
    smooth = [cv2.GaussianBlur(image, (0, 0), 3) for image in (sharp, blurred)]
    view = sharp_world.camera
    at = np.stack(np.meshgrid(np.arange(view.width) + 0.5, np.arange(view.height) + 0.5), -1)
    assert np.abs(offset_px(smooth[0], smooth[1], at, np.ones(sharp.shape, bool))).max() < 0.03
