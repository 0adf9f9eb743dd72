"""The true networks of packages that are not on every machine, with random weights; skipped where a package is missing.

What runs everywhere is in test_monocular.py, tests/cameras/test_feedforward.py and tests/objects/test_points.py, with stand-ins.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `models`")

from curation.cameras import feedforward  # noqa: E402
from curation.depth import depth_anything_3 as da3  # noqa: E402
from curation.depth.monocular import metric_depth  # noqa: E402
from curation.objects.backends import runtime  # noqa: E402
from curation.objects.backends.points import point_finder  # noqa: E402
from curation.objects.backends.runtime import packaged  # noqa: E402
from curation.objects.backends.weights import WeightsMissing  # noqa: E402
from schemas.camera import Intrinsics  # noqa: E402
from schemas.config import CamerasConfig, DepthConfig, ObjectsConfig  # noqa: E402
from tests.objects.pretend_gpu import PretendGpu  # noqa: E402

CAMERA = Intrinsics(100.0, 110.0, 64.0, 40.0, 128, 80)
FRAMES = np.random.default_rng(0).integers(0, 255, (4, 80, 128, 3), np.uint8)
MOGE = "pip install git+https://github.com/microsoft/MoGe"
COTRACKER = "a clone of github.com/facebookresearch/co-tracker on PYTHONPATH"


def lacks(module: str, how: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"needs {module}: {how}")


SMALL = """
__object__: {path: depth_anything_3.model.da3, name: DepthAnything3Net, args: as_params}
net:
  __object__: {path: depth_anything_3.model.dinov2.dinov2, name: DinoV2, args: as_params}
  name: vits
  out_layers: [2, 5, 8, 11]
"""
METRIC = """
  alt_start: -1
  qknorm_start: -1
  rope_start: -1
  cat_token: False
head:
  __object__: {path: depth_anything_3.model.dpt, name: DPT, args: as_params}
  dim_in: 384
  output_dim: 1
  features: 16
  out_channels: [8, 8, 8, 8]
"""
VIEWS = """
  alt_start: 4
  qknorm_start: 4
  rope_start: 4
  cat_token: True
head:
  __object__: {path: depth_anything_3.model.dualdpt, name: DualDPT, args: as_params}
  dim_in: 768
  output_dim: 2
  features: 16
  out_channels: [8, 8, 8, 8]
cam_enc:
  __object__: {path: depth_anything_3.model.cam_enc, name: CameraEnc, args: as_params}
  dim_out: 384
cam_dec:
  __object__: {path: depth_anything_3.model.cam_dec, name: CameraDec, args: as_params}
  dim_in: 768
"""


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Folders as ``hf download`` leaves them, of the two kinds of network with the smallest backbone."""
    registry = pytest.importorskip("depth_anything_3.registry", reason=da3.INSTALL)
    root, known = tmp_path_factory.mktemp("da3"), dict(registry.MODEL_REGISTRY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(da3, "_SIDE", 140)
        patch.setenv("DA3_LOG_LEVEL", "ERROR")
        for name, rest in (("da3metric-large", METRIC), ("da3-large", VIEWS)):
            (root / f"{name}.yaml").write_text(SMALL + rest)
            registry.MODEL_REGISTRY[name] = str(root / f"{name}.yaml")
            from depth_anything_3.api import DepthAnything3

            torch.manual_seed(1)
            model = DepthAnything3(model_name=name)
            if name == "da3metric-large":  # its sky is zero everywhere by chance: lift it to cover a part of the picture
                last = model.model.head.scratch.sky_output_conv2[-1]
                with torch.no_grad():
                    last.weight *= 300
            model.save_pretrained(root / name)
        packaged.cache_clear()
        yield {name: root / name for name in ("da3metric-large", "da3-large")}
        registry.MODEL_REGISTRY.update(known)
        packaged.cache_clear()


@lacks("depth_anything_3", da3.INSTALL)
def test_depth_anything_3_gives_metres_of_each_frame_by_itself_and_none_of_the_sky(networks, capsys) -> None:
    config = DepthConfig(mono="depth_anything_3", weights=str(networks["da3metric-large"]), device="cpu", batch=4)
    model = da3.network(str(networks["da3metric-large"]), "cpu", "depth.weights", "1.4 GB", "Apache-2.0")
    capsys.readouterr()
    depth = metric_depth(FRAMES, CAMERA, config)
    assert capsys.readouterr().out == ""
    theirs = model.inference(list(FRAMES), process_res=140)  # in half precision
    assert depth.shape == theirs.depth.shape == (4, 84, 140)
    with torch.inference_mode():
        sky = model.model(da3.pixels(model, FRAMES)[:, None]).sky[:, 0].numpy() >= 0.3
    assert 0.05 < sky.mean() < 0.95 and (np.isnan(depth) == sky).all()
    focal_px = (100.0 * 140 / 128 + 110.0 * 84 / 80) / 2
    assert np.abs(depth / (theirs.depth * focal_px / 300) - 1)[~sky].max() < 0.02
    alone = metric_depth(FRAMES[2:3], CAMERA, config.model_copy(update={"batch": 1}))
    np.testing.assert_allclose(alone[0], depth[2], rtol=1e-4)


@lacks("depth_anything_3", da3.INSTALL)
def test_depth_anything_3_gives_the_poses_that_its_own_inference_gives(networks) -> None:
    config = CamerasConfig(backend="depth_anything_3", weights=str(networks["da3-large"]), device="cpu")
    poses = feedforward.BACKENDS["depth_anything_3"](FRAMES, CAMERA, config)
    assert poses.shape == (4, 3, 4) and poses.dtype == np.float64
    model = da3.network(str(networks["da3-large"]), "cpu", "cameras.weights", "1.4 GB", "CC BY-NC 4.0")
    theirs = model.inference(list(FRAMES), process_res=140, ref_view_strategy="middle")
    assert theirs.extrinsics.shape == (4, 3, 4)
    np.testing.assert_allclose(poses, theirs.extrinsics, atol=0.02 * np.abs(theirs.extrinsics).max())
    np.testing.assert_allclose(poses[:, :, :3] @ poses[:, :, :3].transpose(0, 2, 1), np.tile(np.eye(3), (4, 1, 1)), atol=1e-5)
    again = feedforward.BACKENDS["depth_anything_3"](FRAMES, CAMERA, config)
    assert (again == poses).all()


@lacks("depth_anything_3", da3.INSTALL)
def test_each_network_of_depth_anything_3_is_refused_where_it_says_nothing(networks) -> None:
    with pytest.raises(WeightsMissing, match="is a da3-large; metres come from da3metric-large alone"):
        metric_depth(FRAMES, CAMERA, DepthConfig(mono="depth_anything_3", weights=str(networks["da3-large"]), device="cpu"))
    config = CamerasConfig(backend="depth_anything_3", weights=str(networks["da3metric-large"]), device="cpu")
    with pytest.raises(WeightsMissing, match="is a da3metric-large, which sees no poses"):
        feedforward.BACKENDS["depth_anything_3"](FRAMES, CAMERA, config)


def moge(folder: Path, *, metric: bool) -> Path:
    """A folder as ``hf download`` leaves it."""
    from moge.model.v2 import MoGeModel

    stack = {"dim_res_blocks": [32] * 5, "resamplers": ["bilinear"] * 4, "num_res_blocks": 1}
    config: dict[str, Any] = {
        "encoder": {"backbone": "dinov2_vits14", "intermediate_layers": [5, 11], "dim_out": 32},
        "neck": stack | {"dim_in": [34, 2, 2, 2, 2], "dim_out": None},
        "points_head": stack | {"dim_in": [None] * 5, "dim_out": [None] * 4 + [3]},
        "mask_head": stack | {"dim_in": [None] * 5, "dim_out": [None] * 4 + [1]},
        "remap_output": "exp",
        "num_tokens_range": [16, 64],
    }
    if metric:
        config["scale_head"] = {"dims": [384, 16, 1]}
    torch.manual_seed(0)
    folder.mkdir()
    torch.save({"model_config": config, "model": MoGeModel(**config).state_dict()}, folder / "model.pt")
    return folder


@lacks("moge", MOGE)
def test_moge_2_gives_metres_for_the_calibrated_field_of_view(tmp_path: Path) -> None:
    config = DepthConfig(mono="moge2", weights=str(moge(tmp_path / "m", metric=True)), device="cpu", batch=2)
    depth = metric_depth(FRAMES, CAMERA, config)
    assert depth.shape == FRAMES.shape[:3] and np.isfinite(depth).any() and (depth[np.isfinite(depth)] > 0).all()
    assert not np.isinf(depth).any()
    narrow = metric_depth(FRAMES, Intrinsics(400.0, 440.0, 64.0, 40.0, 128, 80), config)
    both = np.isfinite(depth) & np.isfinite(narrow)
    assert np.abs(narrow / depth - 1)[both].max() > 0.01  # the depth of a longer lens is another one
    again = metric_depth(FRAMES[1:2], CAMERA, config)
    np.testing.assert_array_equal(again[0], depth[1])


@lacks("moge", MOGE)
def test_a_moge_without_a_scale_is_refused(tmp_path: Path) -> None:
    config = DepthConfig(mono="moge2", weights=str(moge(tmp_path / "m", metric=False)), device="cpu")
    with pytest.raises(WeightsMissing, match="estimates relative depth; a scale needs a metric model"):
        metric_depth(FRAMES, CAMERA, config)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[PretendGpu]:
    mode, plain = PretendGpu(), runtime.from_hub

    def from_hub(*args: Any, **options: Any) -> Any:
        mode.away = True
        try:
            return plain(*args, **options)
        finally:
            mode.away = False

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(runtime, "from_hub", from_hub)
    packaged.cache_clear()
    with mode:
        yield mode
    packaged.cache_clear()


@lacks("depth_anything_3", da3.INSTALL)
def test_depth_anything_3_leaves_no_tensor_on_the_host(networks, gpu: PretendGpu) -> None:
    views, metric = str(networks["da3-large"]), str(networks["da3metric-large"])
    depth, poses = {}, {}
    for device in ("cuda", "cpu"):
        depth[device] = metric_depth(FRAMES[:2], CAMERA, DepthConfig(mono="depth_anything_3", weights=metric, device=device))
        poses[device] = feedforward.BACKENDS["depth_anything_3"](
            FRAMES[:3], CAMERA, CamerasConfig(backend="depth_anything_3", weights=views, device=device)
        )
        assert gpu.ran > 500
    np.testing.assert_allclose(depth["cuda"], depth["cpu"], rtol=1e-3)
    np.testing.assert_allclose(poses["cuda"], poses["cpu"], atol=1e-4)


@lacks("moge", MOGE)
def test_moge_2_leaves_no_tensor_on_the_host(tmp_path: Path, gpu: PretendGpu) -> None:
    gpu.away = True
    folder = moge(tmp_path / "m", metric=True)
    gpu.away = False
    there, here = (
        metric_depth(FRAMES[:1], CAMERA, DepthConfig(mono="moge2", weights=str(folder), device=device))
        for device in ("cuda", "cpu")
    )
    assert gpu.ran > 300
    np.testing.assert_allclose(there, here, rtol=1e-3)


HUB = """
from cotracker.predictor import CoTrackerPredictor

def cotracker3_offline(*, pretrained=True, **kwargs):
    return CoTrackerPredictor(checkpoint=None, window_len=60, v2=False)
"""


@pytest.mark.slow
@lacks("cotracker", COTRACKER)
def test_cotracker_3_keeps_points_where_its_network_sees_no_motion(tmp_path: Path) -> None:
    from cotracker.predictor import CoTrackerPredictor

    inner = CoTrackerPredictor(checkpoint=None, window_len=60, v2=False).model
    for head in (inner.updateformer.flow_head, inner.updateformer.vis_conf_head):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    torch.nn.init.ones_(inner.updateformer.vis_conf_head.bias)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "hubconf.py").write_text(HUB)
    torch.save(inner.state_dict(), tmp_path / "checkpoints" / "scaled_offline.pth")
    config = ObjectsConfig(points="cotracker", points_weights=str(tmp_path), device="cpu")
    points = np.array([[20.5, 30.5], [64.0, 40.0], [100.25, 70.75], [127.5, 40.0]])
    find = point_finder(FRAMES, config)
    for a, b in ((0, 2), (3, 1)):  # the second pair is shown the film backwards
        places, good = find(a, b, points, points)
        assert good.tolist() == [True, True, True, False]  # the last lies on the picture's edge
        np.testing.assert_allclose(places[:3], points[:3], atol=1e-3)
