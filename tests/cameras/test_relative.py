"""A path up to scale from one eye, and the clips that one eye cannot tell."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from curation.cameras import estimate_relative_path
from curation.geometry import inverse, vector_from_rotation
from schemas.clip import ClipFrames
from schemas.config import CamerasConfig
from schemas.outcome import Rejected
from tests.cameras import room


def one_eye(poses: np.ndarray, **options) -> ClipFrames:
    return dataclasses.replace(room.clip(poses, **options), right=None, baseline_m=None)


@pytest.mark.parametrize(
    "poses", [room.path(12), room.path(12, turn_deg=(0, 20, 0))], ids=["a camera that stands", "a camera that only turns"]
)
def test_without_parallax_there_is_no_path(poses):
    with pytest.raises(Rejected, match="pose_no_parallax"):
        estimate_relative_path(one_eye(poses), CamerasConfig())


def test_black_frames_have_no_path():
    with pytest.raises(Rejected, match="pose_"):
        estimate_relative_path(one_eye(room.path(8), dark=range(8)), CamerasConfig())


@pytest.mark.slow
def test_the_path_is_right_up_to_its_scale():
    poses = room.path(10, (0.5, 0, 1.0), (0, 6, 0))
    found = estimate_relative_path(one_eye(poses, view=room.camera(480, 300)), CamerasConfig())
    assert np.allclose(found.world_from_camera[0], np.eye(4)) and not found.intrinsics_assumed
    way, true = found.world_from_camera[:, :3, 3], poses[:, :3, 3]
    assert abs(np.linalg.norm(np.diff(way, axis=0), axis=1).sum() - 1) < 1e-9  # in units of its own length
    scale = (way * true).sum() / (way**2).sum()
    assert np.linalg.norm(scale * way - true, axis=1).max() < 0.02
    turn = found.world_from_camera[:, :3, :3] @ inverse(poses)[:, :3, :3]
    assert np.rad2deg(np.linalg.norm(vector_from_rotation(turn), axis=1)).max() < 0.5
    cosine = (way * true).sum(axis=1)[1:] / (np.linalg.norm(way, axis=1) * np.linalg.norm(true, axis=1))[1:]
    angle = np.rad2deg(np.arccos(np.minimum(cosine, 1)))
    assert (angle < 3 * found.direction_sigma_deg[1:] + 0.3).all()


def test_the_two_types_cannot_be_confused():
    from schemas.camera import RelativeCameraPath

    assert not hasattr(RelativeCameraPath(np.eye(4)[None], np.zeros(1), True, {}), "centers_m")


def test_pycolmap_is_loaded_only_where_it_is_needed():
    code = "import sys, curation.cameras; assert 'pycolmap' not in sys.modules and 'cv2' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
