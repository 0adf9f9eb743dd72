"""Networks that propose a path: stand-ins that return truth with errors; their wiring, and what is refused."""

from __future__ import annotations

import dataclasses
import sys
import types

import numpy as np
import pytest

from curation.cameras import estimate_mono_path, feedforward
from curation.geometry import inverse, rotation_from_vector
from schemas.camera import RelativeCameraPath
from schemas.clip import ClipFrames
from schemas.config import CamerasConfig, DepthConfig
from schemas.outcome import Rejected
from tests.cameras import room
from tests.depth import da3_stand_in

FRAMES = 14
TRUE = room.path(FRAMES, (0.4, 0.0, 1.0), (0, 5, 0))
CONFIG = CamerasConfig(backend="vggt", device="cpu")


@pytest.fixture(scope="module")
def clip() -> ClipFrames:
    return dataclasses.replace(room.clip(TRUE, view=room.camera(480, 300)), right=None, baseline_m=None)


def guess(amount: float, turn_deg: float, unit: float = 0.2) -> np.ndarray:
    """(T, 3, 4) camera_from_world in another world and unit, with a random walk of errors."""
    rng = np.random.default_rng(1)
    walk, spin = (np.cumsum(rng.standard_normal((FRAMES, 3)), axis=0) for _ in range(2))
    path = TRUE.copy()
    path[:, :3, 3] += amount * walk / np.linalg.norm(walk, axis=1).max()
    path[:, :3, :3] = rotation_from_vector(np.radians(turn_deg) * spin / np.linalg.norm(spin, axis=1).max()) @ path[:, :3, :3]
    path[:, :3, 3] *= unit
    return inverse(path)[:, :3]


def proposing(monkeypatch: pytest.MonkeyPatch, poses: np.ndarray) -> None:
    monkeypatch.setitem(feedforward.BACKENDS, "vggt", lambda left, camera, config: poses)


def test_a_guess_in_any_unit_becomes_the_true_path(clip, monkeypatch):
    proposing(monkeypatch, guess(0.08, 1.5))
    found = estimate_mono_path(clip, CONFIG, DepthConfig())
    assert isinstance(found, RelativeCameraPath) and not found.intrinsics_assumed
    way, true = found.world_from_camera[:, :3, 3], TRUE[:, :3, 3]
    scale = (way * true).sum() / (way**2).sum()
    assert np.linalg.norm(scale * way - true, axis=1).max() < 0.01
    cosine = (way * true).sum(axis=1)[1:] / (np.linalg.norm(way, axis=1) * np.linalg.norm(true, axis=1))[1:]
    assert (np.rad2deg(np.arccos(np.minimum(cosine, 1))) < 3 * found.direction_sigma_deg[1:] + 0.3).all()
    assert 0.005 < found.stats["network_drawn_rel"] < 0.1


def test_points_have_depths_in_the_units_of_the_path(clip, monkeypatch):
    proposing(monkeypatch, guess(0.0, 0.0))
    found = feedforward.estimate_structure(clip, CONFIG)
    length = np.linalg.norm(np.diff(TRUE[:, :3, 3], axis=0), axis=1).sum()
    far_wall = np.abs(found.depth[0] * length / 9 - 1) < 0.05  # the wall that the camera looks at stands 9 m ahead
    assert far_wall.sum() > 60 and np.abs(found.depth[0] * length).max() < 11
    assert found.camera.width == 480 and all(len(p) == len(d) for p, d in zip(found.pixels, found.depth, strict=True))


@pytest.mark.parametrize("wrong", ["world_from_camera", "mirrored", "another clip's", "standing", "not finite", "too few"])
def test_what_the_clip_does_not_confirm_is_refused(clip, monkeypatch, wrong):
    poses = guess(0.0, 0.0)
    if wrong == "world_from_camera":
        poses = TRUE[:, :3]
    elif wrong == "mirrored":
        poses = np.diag([-1.0, 1, 1]) @ poses @ np.diag([-1.0, 1, 1, 1])
    elif wrong == "another clip's":
        poses = inverse(room.path(FRAMES, (-0.9, 0.3, 0.1), (4, -25, 0)))[:, :3]
    elif wrong == "standing":
        poses = np.tile(np.eye(4)[:3], (FRAMES, 1, 1))
    elif wrong == "not finite":
        poses[3, 0, 0] = np.nan
    else:
        poses = poses[:-1]
    proposing(monkeypatch, poses)
    with pytest.raises(Rejected, match="^pose_"):
        estimate_mono_path(clip, CONFIG, DepthConfig())


def test_a_guessed_focal_length_is_refused(clip):
    with pytest.raises(Rejected, match="pose_uncalibrated"):
        feedforward.estimate_structure(dataclasses.replace(clip, assumed=("fx",)), CONFIG)


@pytest.mark.parametrize(("backend", "package"), [("depth_anything_3", "depth_anything_3"), ("vggt", "vggt")])
def test_a_missing_package_says_how_to_install_it(clip, backend, package, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"cameras.weights: .* package of its own: pip install .*\(No module named .{package}"):
        estimate_mono_path(clip, CONFIG.model_copy(update={"backend": backend}), DepthConfig())


def test_depth_anything_3_is_shown_the_whole_clip_as_views_of_one_scene(clip, monkeypatch):
    torch = pytest.importorskip("torch")
    answer = {"extrinsics": torch.from_numpy(guess(0.0, 0.0))[None], "depth": None}
    asked = da3_stand_in.install(monkeypatch, lambda x: answer, model_name="da3-large")
    poses = feedforward.BACKENDS["depth_anything_3"](clip.left, clip.camera, CONFIG)
    assert poses.shape == (FRAMES, 3, 4) and np.allclose(poses, guess(0.0, 0.0))
    assert asked == ["depth-anything/DA3-LARGE-1.1", ((1, FRAMES, 3, 308, 504), "torch.float32", "middle")]


def test_a_depth_anything_3_that_sees_no_poses_is_refused(clip, monkeypatch):
    pytest.importorskip("torch")
    from curation.objects.backends.weights import WeightsMissing

    da3_stand_in.install(monkeypatch, lambda x: pytest.fail("asked"), model_name="da3metric-large")
    config = CONFIG.model_copy(update={"weights": "depth-anything/DA3METRIC-LARGE"})
    with pytest.raises(WeightsMissing, match="is a da3metric-large, which sees no poses"):
        feedforward.BACKENDS["depth_anything_3"](clip.left, clip.camera, config)


def vggt_stand_in(monkeypatch, aggregate):
    """Signatures of VGGT; ``aggregate`` answers for its aggregator. Returns what it is asked, in order."""
    import torch

    from curation.objects.backends.runtime import packaged

    asked = []

    class VGGT:
        @classmethod
        def from_pretrained(cls, pretrained_model_name_or_path, *, local_files_only=False):
            asked.append(pretrained_model_name_or_path)
            return cls()

        def to(self, device):
            return self

        def eval(self):
            return self

        def aggregator(self, images):
            asked.append((tuple(images.shape), float(images.min()) >= 0, float(images.max()) <= 1))
            aggregate(images)
            return [torch.zeros(images.shape[:2])] * 24, 5

        def camera_head(self, aggregated_tokens_list, num_iterations=4):
            return [torch.zeros((*aggregated_tokens_list[-1].shape, 9))] * num_iterations

        def __call__(self, images, query_points=None):
            pytest.fail("the heads of depth and points cost memory for nothing")

    def pose_encoding_to_extri_intri(
        pose_encoding, image_size_hw=None, pose_encoding_type="absT_quaR_FoV", build_intrinsics=True
    ):
        asked.append((tuple(pose_encoding.shape), tuple(image_size_hw)))
        return torch.from_numpy(guess(0.0, 0.0))[None], None

    models, utils = types.ModuleType("vggt.models.vggt"), types.ModuleType("vggt.utils.pose_enc")
    models.VGGT, utils.pose_encoding_to_extri_intri = VGGT, pose_encoding_to_extri_intri  # type: ignore[attr-defined]
    for name in ("vggt", "vggt.models", "vggt.utils"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "vggt.models.vggt", models)
    monkeypatch.setitem(sys.modules, "vggt.utils.pose_enc", utils)
    packaged.cache_clear()
    return asked


def test_vggt_is_given_pictures_in_patches_of_14_and_asked_for_poses_alone(clip, monkeypatch):
    pytest.importorskip("torch")
    asked = vggt_stand_in(monkeypatch, lambda images: None)
    poses = feedforward.BACKENDS["vggt"](clip.left, clip.camera, CONFIG)
    assert np.allclose(poses, guess(0.0, 0.0))
    assert asked == ["facebook/VGGT-1B", ((1, FRAMES, 3, 322, 518), True, True), ((1, FRAMES, 9), (322, 518))]


def test_a_clip_that_does_not_fit_in_memory_says_what_to_make_smaller(clip, monkeypatch):
    torch = pytest.importorskip("torch")

    def full(images):
        raise torch.OutOfMemoryError("CUDA out of memory")

    vggt_stand_in(monkeypatch, full)
    with pytest.raises(MemoryError, match="video.max_measure_frames"):
        feedforward.BACKENDS["vggt"](clip.left, clip.camera, CONFIG)
