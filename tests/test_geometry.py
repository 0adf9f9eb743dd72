import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation import geometry as g
from schemas.camera import CameraPath, Intrinsics

_vector = st.tuples(*[st.floats(-3, 3) for _ in range(3)]).map(np.array)


def _pose(rotation_vector: np.ndarray, translation: np.ndarray) -> np.ndarray:
    return g.pose(g.rotation_from_vector(rotation_vector), translation)


@given(_vector, _vector, _vector)
def test_a_pose_and_its_inverse_cancel(rotation: np.ndarray, translation: np.ndarray, point: np.ndarray) -> None:
    world_from_camera = _pose(rotation, translation)
    there = g.transform(world_from_camera, point)
    assert np.allclose(g.transform(g.inverse(world_from_camera), there), point, atol=1e-9)


@given(_vector, _vector, _vector, _vector, _vector)
def test_composition_reads_left_to_right(r1: np.ndarray, t1: np.ndarray, r2: np.ndarray, t2: np.ndarray, x: np.ndarray) -> None:
    a_from_b, b_from_c = _pose(r1, t1), _pose(r2, t2)
    assert np.allclose(g.transform(a_from_b @ b_from_c, x), g.transform(a_from_b, g.transform(b_from_c, x)), atol=1e-9)


@given(_vector)
def test_rotation_vectors_round_trip_below_half_a_turn(vector: np.ndarray) -> None:
    if np.linalg.norm(vector) > 3.1:
        vector = vector / np.linalg.norm(vector) * 3.1
    assert np.allclose(g.vector_from_rotation(g.rotation_from_vector(vector)), vector, atol=1e-6)


def test_a_positive_turn_about_the_down_axis_looks_right() -> None:
    # OpenCV axes: +Y is down, so turning by +90 deg about it brings the optical axis to +X, the right.
    world_from_camera = _pose(np.array([0, np.pi / 2, 0]), np.zeros(3))
    assert np.allclose(g.transform(world_from_camera, np.array([0.0, 0.0, 1.0])), [1, 0, 0], atol=1e-12)


def test_the_ray_through_the_principal_point_is_the_optical_axis_and_pixels_count_from_the_corner() -> None:
    camera = Intrinsics(100.0, 100.0, 2.0, 1.0, 4, 2)  # 4 x 2 pixels: the corner between the middle pixels is (2, 1)
    assert np.allclose(camera.unproject(np.array([2.0, 1.0]), np.array(5.0)), [0, 0, 5])
    assert np.allclose(g.from_opencv(np.zeros(2)), [0.5, 0.5])
    matrix = g.opencv_camera_matrix(camera.fx, camera.fy, camera.cx, camera.cy)
    ray = np.linalg.inv(matrix) @ [0, 0, 1]  # OpenCV's name for the top-left pixel
    ours = camera.unproject(np.array([0.5, 0.5]), np.array(1.0))
    assert np.allclose(ray, ours)


@given(_vector, st.floats(0.1, 50))
def test_projecting_an_unprojected_pixel_gives_the_pixel_back(offset: np.ndarray, depth: float) -> None:
    camera = Intrinsics(435.0, 430.0, 320.0, 200.0, 640, 400)
    pixel = np.array([320.0, 200.0]) + offset[:2] * 60
    assert np.allclose(camera.project(camera.unproject(pixel, np.array(depth))), pixel, atol=1e-6)


def test_points_behind_the_camera_do_not_project() -> None:
    camera = Intrinsics(435.0, 430.0, 320.0, 200.0, 640, 400)
    assert np.isnan(camera.project(np.array([[0.0, 0.0, -1.0]]))).all()


def test_a_path_whose_first_pose_is_not_the_world_is_refused() -> None:
    poses = np.stack([_pose(np.zeros(3), np.array([1.0, 0, 0]))] * 2)
    with pytest.raises(ValueError, match="must be the identity"):
        CameraPath(poses, np.zeros((2, 6, 6)), False, 0.0, 0.0, 0.1, {})
