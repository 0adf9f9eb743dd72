"""The formulas on their own, and through the functions that add doubt."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.geometry import inverse, pose, rotation_from_vector, transform
from curation.relations.camera import camera_distance, direction_answer, distance_answer
from curation.relations.closed_form import DIRECTIONS, camera_displacement, dominant_axis, in_camera_axes, nearest_point
from curation.relations.objects import (
    in_camera_i,
    object_camera_distance,
    object_camera_distance_change,
    object_distance,
)
from schemas.camera import CameraPath, RelativeCameraPath
from schemas.config import RelationsConfig
from tests.relations.fabricated import camera_path, track

CONFIG = RelationsConfig()
vectors = st.lists(st.floats(-5, 5, allow_nan=False), min_size=3, max_size=3).map(np.array)
turns = st.lists(st.floats(-1.8, 1.8, allow_nan=False), min_size=3, max_size=3).map(np.array)
poses = st.builds(lambda turn, center: pose(rotation_from_vector(turn), center), turns, vectors)


def path_of(*world_from_camera: np.ndarray) -> CameraPath:
    return camera_path(np.stack(world_from_camera))


def test_a_known_motion_gives_the_known_numbers() -> None:
    """Camera: 90 degrees to the right and 3 m along world +X, which is straight ahead of where it then looks."""
    right = pose(rotation_from_vector(np.array([0, np.pi / 2, 0])), np.zeros(3))
    ahead = pose(right[:3, :3], np.array([3.0, 0, 0]))
    path = path_of(np.eye(4), right, ahead)
    assert camera_distance(path, 1, 2, scale_rel=0).value == pytest.approx(3.0)
    assert direction_answer(path, 1, 2, CONFIG)[:2] == (pytest.approx(3.0), "forward")
    assert direction_answer(path, 0, 2, CONFIG)[:2] == (pytest.approx(3.0), "right")
    mover = track(np.array([[0, 0, 5.0], [0, 0, 5.0], [4.0, 0, 5.0]]), size_m=0.0)
    assert object_distance(path, mover, 1, 2, scale_rel=0).value == pytest.approx(4.0)
    assert object_camera_distance(path, mover, 0, 2, scale_rel=0).value == pytest.approx(np.hypot(4, 5), abs=1e-5)  # type: ignore[union-attr]
    change, d_i, d_j = object_camera_distance_change(path, mover, 1, 2, scale_rel=0)  # type: ignore[misc]
    assert (d_i, d_j) == (pytest.approx(5.0), pytest.approx(np.hypot(1, 5), abs=1e-5))
    assert change.value == pytest.approx(d_j - d_i)
    # seen from frame 1 the camera looks along world +X, with world +Z on its left
    assert in_camera_i(path, mover, 1, 2, 0, CONFIG, scale_rel=0).value == pytest.approx(0.0, abs=1e-9)
    assert in_camera_i(path, mover, 1, 2, 2, CONFIG, scale_rel=0).value == pytest.approx(4.0)
    assert in_camera_i(path, mover, 0, 2, 0, CONFIG, scale_rel=0).value == pytest.approx(4.0)


@pytest.mark.parametrize("axis, sign", list(DIRECTIONS))
def test_every_direction_has_the_sign_of_opencv_axes(axis: int, sign: int) -> None:
    step = np.zeros(3)
    step[axis] = sign * 2.0
    value, label, *_ = direction_answer(path_of(np.eye(4), pose(np.eye(3), step)), 0, 1, CONFIG)
    assert (value, label) == (pytest.approx(2.0 * sign), {(0, 1): "right", (0, -1): "left", (1, 1): "down", (1, -1): "up",
                              (2, 1): "forward", (2, -1): "backward"}[axis, sign])  # fmt: skip


@given(turn=turns, center=vectors)
def test_a_camera_that_turns_in_place_moves_nowhere(turn: np.ndarray, center: np.ndarray) -> None:
    path = path_of(np.eye(4), pose(np.eye(3), center), pose(rotation_from_vector(turn), center))
    assert camera_distance(path, 1, 2, scale_rel=0).value == 0.0
    assert distance_answer(path, 1, 2, CONFIG, scale_rel=0)[3] < 0
    assert direction_answer(path, 1, 2, CONFIG)[1] == ""


def test_reading_poses_the_wrong_way_round_would_make_a_turning_camera_move() -> None:
    """The trap: with camera_from_world taken for world_from_camera, a turn by 90 degrees 3.3 m off the origin moves 4.7 m."""
    center = np.array([0, 0, 3.3])
    turned = pose(rotation_from_vector(np.array([0, np.pi / 2, 0])), center)
    right_way = camera_displacement(pose(np.eye(3), center), turned)
    wrong_way = camera_displacement(inverse(pose(np.eye(3), center)), inverse(turned))
    assert np.linalg.norm(right_way) == 0
    assert np.linalg.norm(wrong_way) == pytest.approx(4.67, abs=0.01)


@given(world=poses, first=poses, second=poses, points=st.lists(vectors, min_size=2, max_size=6))
def test_relations_do_not_depend_on_the_world_frame(
    world: np.ndarray, first: np.ndarray, second: np.ndarray, points: list
) -> None:
    cloud = np.array(points)
    moved_first, moved_second, moved_cloud = world @ first, world @ second, transform(world, cloud)
    assert np.allclose(
        in_camera_axes(first, camera_displacement(first, second)),
        in_camera_axes(moved_first, camera_displacement(moved_first, moved_second)),
        atol=1e-9,
    )
    step = cloud[1] - cloud[0]
    assert np.allclose(in_camera_axes(first, step), in_camera_axes(moved_first, moved_cloud[1] - moved_cloud[0]), atol=1e-9)
    near, moved_near = nearest_point(cloud, first[:3, 3]), nearest_point(moved_cloud, moved_first[:3, 3])
    assert near is not None and moved_near is not None
    assert np.linalg.norm(near - first[:3, 3]) == pytest.approx(np.linalg.norm(moved_near - moved_first[:3, 3]), abs=1e-9)


@given(first=poses, second=poses, start=vectors, end=vectors)
def test_time_reversal_keeps_distances_and_turns_changes_around(
    first: np.ndarray, second: np.ndarray, start: np.ndarray, end: np.ndarray
) -> None:
    path = path_of(np.eye(4), first, second)
    mover = track(np.stack([start, start, end]))
    there, back = (camera_distance(path, i, j, scale_rel=0.01) for i, j in ((1, 2), (2, 1)))
    assert (there.value, there.sigma) == (pytest.approx(back.value), pytest.approx(back.sigma))
    assert object_distance(path, mover, 1, 2, scale_rel=0.01).value == pytest.approx(
        object_distance(path, mover, 2, 1, scale_rel=0.01).value
    )
    change, back_change = (object_camera_distance_change(path, mover, i, j, scale_rel=0.01) for i, j in ((1, 2), (2, 1)))
    assert change is not None and back_change is not None
    assert change[0].value == pytest.approx(-back_change[0].value)
    assert change[0].sigma == pytest.approx(back_change[0].sigma)


@given(a=poses, b=poses, c=poses)
def test_motions_compose(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    """R_a^T (C_c - C_a) = R_a^T (C_b - C_a) + R_a^T R_b R_b^T (C_c - C_b), and no detour is shorter than the straight way."""
    a_from_b = inverse(a) @ b
    whole = in_camera_axes(a, camera_displacement(a, c))
    parts = in_camera_axes(a, camera_displacement(a, b)) + a_from_b[:3, :3] @ in_camera_axes(b, camera_displacement(b, c))
    assert np.allclose(whole, parts, atol=1e-9)
    path = path_of(np.eye(4), a, b, c)
    legs = [camera_distance(path, i, j, scale_rel=0).value for i, j in ((1, 2), (2, 3), (1, 3))]
    assert legs[2] <= legs[0] + legs[1] + 1e-9


@given(step=vectors)
def test_the_dominant_axis_is_the_largest_component(step: np.ndarray) -> None:
    axis, sign = dominant_axis(step)
    assert sign * step[axis] == np.abs(step).max()


def test_the_nearest_point_ignores_unknown_points() -> None:
    cloud = np.array([[np.nan] * 3, [0, 0, 4.0], [0, 0, 9.0]])
    assert nearest_point(cloud, np.zeros(3)).tolist() == [0, 0, 4.0]  # type: ignore[union-attr]
    assert nearest_point(cloud[:1], np.zeros(3)) is None


def test_a_path_without_scale_reaches_no_metric_relation() -> None:
    relative = RelativeCameraPath(np.stack([np.eye(4), pose(np.eye(3), np.array([0, 0, 1.0]))]), np.ones(2), False, {})
    mover = track(np.array([[0, 0, 5.0], [1.0, 0, 5.0]]))
    for metric_function in (
        lambda: camera_distance(relative, 0, 1, scale_rel=0),  # type: ignore[arg-type]
        lambda: object_distance(relative, mover, 0, 1, scale_rel=0),  # type: ignore[arg-type]
        lambda: object_camera_distance(relative, mover, 0, 1, scale_rel=0),  # type: ignore[arg-type]
        lambda: object_camera_distance_change(relative, mover, 0, 1, scale_rel=0),  # type: ignore[arg-type]
        lambda: in_camera_i(relative, mover, 0, 1, 0, CONFIG, scale_rel=0),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match="expected a metric CameraPath, got RelativeCameraPath"):
            metric_function()
