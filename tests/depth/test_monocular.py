"""Models of metric depth: the true code path on tiny random networks, and what is said where the real ones are missing."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `models`")
transformers = pytest.importorskip("transformers", reason="needs the extra `models`")

from curation.depth import monocular  # noqa: E402
from curation.depth.monocular import BACKENDS, metric_depth  # noqa: E402
from curation.objects.backends import runtime  # noqa: E402
from curation.objects.backends.weights import WeightsMissing  # noqa: E402
from schemas.camera import Intrinsics  # noqa: E402
from schemas.clip import ClipFrames  # noqa: E402
from schemas.config import CamerasConfig, DepthConfig  # noqa: E402
from tests.depth import da3_stand_in  # noqa: E402

CAMERA = Intrinsics(100.0, 100.0, 64.0, 40.0, 128, 80)
FRAMES = np.random.default_rng(0).integers(0, 255, (3, 80, 128, 3), np.uint8)


def tiny_depth_anything(folder: Path, kind: str = "metric") -> Path:
    backbone = transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32, image_size=28, patch_size=14,
        out_indices=[1, 2, 3, 4], reshape_hidden_states=False, apply_layernorm=True,
    )  # fmt: skip
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone, patch_size=14, reassemble_hidden_size=16, neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8, head_hidden_size=8, depth_estimation_type=kind, max_depth=80,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    return folder


def test_depth_anything_gives_depth_of_the_pictures_shape_within_its_range(tmp_path: Path) -> None:
    config = DepthConfig(mono="depth_anything_v2", weights=str(tiny_depth_anything(tmp_path)), device="cpu", batch=2)
    depth = metric_depth(FRAMES, CAMERA, config)
    assert depth.shape[0] == 3 and depth.dtype == np.float32
    assert depth.shape[2] / depth.shape[1] == pytest.approx(128 / 80, rel=0.05) and depth.shape[2] <= 640
    assert np.nanmin(depth) > 0 and np.nanmax(depth) <= 80
    alone = metric_depth(FRAMES[2:], CAMERA, config.model_copy(update={"batch": 1}))
    np.testing.assert_allclose(depth[2], alone[0], rtol=1e-4)  # a frame's depth does not depend on its neighbours


def test_a_relative_model_is_refused_because_it_has_no_metres(tmp_path: Path) -> None:
    config = DepthConfig(mono="depth_anything_v2", weights=str(tiny_depth_anything(tmp_path, "relative")), device="cpu")
    with pytest.raises(WeightsMissing, match="estimates relative depth; a scale needs a metric model"):
        metric_depth(FRAMES, CAMERA, config)


def test_zoedepth_runs(tmp_path: Path) -> None:
    backbone = transformers.BeitConfig(
        image_size=32, patch_size=16, hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32,
        out_indices=[1, 2, 3, 4], reshape_hidden_states=False, use_relative_position_bias=True,
    )  # fmt: skip
    bins = [{"n_bins": 8, "min_depth": 0.1, "max_depth": 10.0, "name": "nyu"}]
    config = transformers.ZoeDepthConfig(
        backbone_config=backbone, neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8, bottleneck_features=8,
        num_relative_features=4, bin_embedding_dim=8, num_attractors=[4, 2, 2, 1], bin_configurations=bins,
        backbone_hidden_size=16, patch_transformer_hidden_size=8, patch_transformer_intermediate_size=16,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.ZoeDepthForDepthEstimation(config).save_pretrained(tmp_path)
    depth = metric_depth(FRAMES[:1], CAMERA, DepthConfig(mono="zoedepth", weights=str(tmp_path), device="cpu"))
    assert depth.ndim == 3 and np.isfinite(depth).all() and depth.min() > 0


def test_depth_pro_uses_the_calibrated_focal_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """Canonical inverse depth times (width / focal) is inverse depth: 0.25 * 128 / 100 is that of 3.125 m."""
    asked: list[Any] = []

    class Network:
        config = types.SimpleNamespace(patch_size=8)

        def __call__(self, pixel_values: Any) -> Any:
            asked.append(tuple(pixel_values.shape))
            return types.SimpleNamespace(predicted_depth=torch.full((len(pixel_values), 32, 32), 0.25))

    monkeypatch.setattr(monocular, "load", lambda *a, **k: (Network(), None))
    depth = metric_depth(FRAMES[:2], CAMERA, DepthConfig(mono="depth_pro", device="cpu"))
    np.testing.assert_allclose(depth, 3.125, rtol=1e-6)
    assert asked == [(2, 3, 32, 32)]


def test_depth_anything_3_is_scaled_by_the_focal_length_at_its_own_resolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """Focal lengths 100 and 120 at 128 x 80 are 393.75 and 462 at the 504 x 308 that it sees; its depth is for 300."""

    def answer(x: Any) -> dict[str, Any]:
        sky = torch.zeros_like(x[:, :, 0])
        sky[..., :14, :] = 0.4
        return {"depth": torch.full_like(sky, 6.0), "sky": sky}

    asked = da3_stand_in.install(monkeypatch, answer, model_name="da3metric-large")
    camera = Intrinsics(100.0, 120.0, 64.0, 40.0, 128, 80)
    depth = metric_depth(FRAMES, camera, DepthConfig(mono="depth_anything_3", device="cpu", batch=2))
    # every frame is a scene of its own
    assert asked == [
        "depth-anything/DA3METRIC-LARGE",
        ((2, 1, 3, 308, 504), "torch.float32", "saddle_balanced"),
        ((1, 1, 3, 308, 504), "torch.float32", "saddle_balanced"),
    ]
    assert depth.shape == (3, 308, 504) and np.isnan(depth[:, :14]).all()  # sky has no depth
    np.testing.assert_allclose(depth[:, 14:], 6.0 * (393.75 + 462) / 2 / 300, rtol=1e-6)


def test_a_depth_anything_3_without_metres_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    da3_stand_in.install(monkeypatch, lambda x: pytest.fail("asked"), model_name="da3-base")
    config = DepthConfig(mono="depth_anything_3", weights="depth-anything/DA3-BASE", device="cpu")
    with pytest.raises(WeightsMissing, match="'depth-anything/DA3-BASE' is a da3-base; metres come from da3metric-large alone"):
        metric_depth(FRAMES, CAMERA, config)


def moge_stand_in(monkeypatch: pytest.MonkeyPatch, *, metric: bool) -> list[Any]:
    """Signatures of MoGe 2; its depth is the field of view in degrees, and infinite where it masks. Returns what it is asked."""
    asked: list[Any] = []

    class MoGeModel:
        def __init__(self) -> None:
            if metric:
                self.scale_head = object()

        @classmethod
        def from_pretrained(cls, pretrained_model_name_or_path: str, model_kwargs: None = None, **hf_kwargs: bool) -> MoGeModel:
            asked.append(pretrained_model_name_or_path)
            if Path(pretrained_model_name_or_path).is_dir():
                raise IsADirectoryError(21, "Is a directory", pretrained_model_name_or_path)
            assert set(hf_kwargs) <= {"local_files_only"}
            return cls()

        def to(self, device: str) -> MoGeModel:
            return self

        def eval(self) -> MoGeModel:
            return self

        def infer(
            self,
            image: Any,
            num_tokens: int | None = None,
            resolution_level: int = 9,
            force_projection: bool = True,
            apply_mask: bool = True,
            fov_x: float | None = None,
            use_fp16: bool = True,
        ) -> dict[str, Any]:
            assert image.shape == (3, 80, 128) and image.min() >= 0 and image.max() <= 1
            assert not use_fp16, "half precision is three times slower on a processor"
            depth = torch.full((80, 128), float(fov_x or np.nan))
            depth[:10] = torch.inf
            return {"depth": depth}

    package = types.ModuleType("moge.model.v2")
    package.MoGeModel = MoGeModel  # type: ignore[attr-defined]
    for name in ("moge", "moge.model"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "moge.model.v2", package)
    runtime.packaged.cache_clear()
    return asked


def test_moge_2_is_given_the_field_of_view_and_the_file_in_a_downloaded_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = moge_stand_in(monkeypatch, metric=True)
    (tmp_path / "model.pt").write_bytes(b"")
    depth = metric_depth(FRAMES[:2], CAMERA, DepthConfig(mono="moge2", weights=str(tmp_path), device="cpu"))
    assert asked == [str(tmp_path / "model.pt")]
    assert np.isnan(depth[:, :10]).all()
    np.testing.assert_allclose(depth[:, 10:], 2 * np.degrees(np.arctan(0.64)), rtol=1e-6)


def test_a_moge_without_a_scale_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    moge_stand_in(monkeypatch, metric=False)
    with pytest.raises(WeightsMissing, match="estimates relative depth; a scale needs a metric model"):
        metric_depth(FRAMES, CAMERA, DepthConfig(mono="moge2", weights="Ruicheng/moge-vitl", device="cpu"))


@pytest.mark.parametrize("mono", ["depth_anything_v2", "zoedepth", "depth_pro"])
def test_missing_weights_say_what_to_download_how_and_how_large(mono: str) -> None:
    with pytest.raises(WeightsMissing, match=r"hf download \S+ --local-dir FOLDER.*B.*--set depth.weights=FOLDER"):
        metric_depth(FRAMES, CAMERA, DepthConfig(mono=mono, device="cpu"))  # type: ignore[arg-type]


def test_a_missing_model_shows_before_the_shape_of_the_path_is_worked_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curation.cameras import mono_metric

    monkeypatch.setattr(mono_metric, "estimate_structure", lambda *_, **__: pytest.fail("work that is lost"))
    index = np.arange(3)
    frames = ClipFrames("c", FRAMES, None, index / 10, index, index, index, CAMERA, None)
    config = DepthConfig(mono="zoedepth", weights=str(tmp_path / "none"), device="cpu")
    with pytest.raises(WeightsMissing, match="--set depth.weights=FOLDER"):
        mono_metric.estimate_mono_path(frames, CamerasConfig(), config)


@pytest.mark.parametrize(("mono", "package"), [("moge2", "moge"), ("depth_anything_3", "depth_anything_3")])
def test_a_missing_package_says_how_to_install_it(mono: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"depth.weights: .* package of its own: pip install .*\(No module named .{package}"):
        metric_depth(FRAMES, CAMERA, DepthConfig(mono=mono, device="cpu"))  # type: ignore[arg-type]


def test_memory_that_does_not_suffice_halves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def backend(camera: Intrinsics, config: DepthConfig) -> Any:
        def work(images: np.ndarray) -> np.ndarray:
            sizes.append(len(images))
            if len(images) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return np.full((len(images), 8, 8), float(images[0, 0, 0, 0]))

        return work

    monkeypatch.setitem(BACKENDS, "zoedepth", backend)
    depth = metric_depth(FRAMES, CAMERA, DepthConfig(mono="zoedepth", batch=4))
    assert sizes == [3, 1, 1, 1] and depth[:, 0, 0].tolist() == [max(float(f[0, 0, 0]), 0) or np.nan for f in FRAMES]
