"""What only a GPU would show: tensors left on the host, half precision, compiled encoders. On tiny checkpoints, without a GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'models' is not installed")
transformers = pytest.importorskip("transformers", reason="the extra 'models' is not installed")

from curation.depth.monocular import metric_depth  # noqa: E402
from curation.objects.backends import find_instances  # noqa: E402
from curation.objects.backends.points import _load as load_tracker  # noqa: E402
from curation.objects.backends.points import point_finder  # noqa: E402
from curation.objects.backends.runtime import load  # noqa: E402
from schemas.config import DepthConfig, ObjectsConfig  # noqa: E402
from tests.depth.test_monocular import CAMERA, FRAMES, tiny_depth_anything  # noqa: E402
from tests.objects.pretend_gpu import PretendGpu  # noqa: E402
from tests.objects.test_points import clone  # noqa: E402
from tests.objects.test_video_segmenters import LEFT, config_for, save_checkpoints  # noqa: E402


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return save_checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (8 << 30, 16 << 30))
    load.cache_clear()
    mode, plain = PretendGpu(), transformers.PreTrainedModel.from_pretrained.__func__

    def read(cls, *args, **kwargs):
        mode.away = True
        try:
            return plain(cls, *args, **kwargs)
        finally:
            mode.away = False

    monkeypatch.setattr(transformers.PreTrainedModel, "from_pretrained", classmethod(read))
    with mode:
        yield mode
    load.cache_clear()


def test_the_pretended_gpu_refuses_what_a_real_one_refuses(gpu: PretendGpu) -> None:
    there, here = torch.ones(3, device="cuda"), torch.ones(3)
    assert there.device.type == "cuda" and (there + 1).device.type == "cuda" and there.cpu().device.type == "cpu"
    with pytest.raises(RuntimeError, match="same device"):
        there + here
    with pytest.raises(TypeError, match="cuda"):
        there.numpy()
    layer = torch.nn.Linear(3, 2).to("cuda")
    assert layer(there).device.type == "cuda"
    with pytest.raises(RuntimeError, match="same device"):
        layer(here)


@pytest.mark.parametrize("backend", ["grounded_sam2", "edgetam", "sam3"])
def test_video_segmenters_run_in_half_precision_with_all_tensors_on_the_gpu(
    backend: str, checkpoints: dict[str, Path], gpu: PretendGpu
) -> None:
    found = find_instances(LEFT[:2], config_for(backend, checkpoints, device="cuda"))
    assert found and gpu.moved > 50 and gpu.ran > 300
    assert all(np.isfinite(i.scores).all() for i in found)
    model, _ = load.__wrapped__(*MODELS[backend], str(checkpoints[backend]), _place(), "o", "a")
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}


def test_the_detector_of_boxes_keeps_their_precision_on_a_gpu(
    checkpoints: dict[str, Path], gpu: PretendGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curation.objects.backends import grounded

    kinds = []
    plain = transformers.GroundingDinoForObjectDetection.forward

    def forward(self, *args, **kwargs):
        out = plain(self, *args, **kwargs)
        kinds.append(out.pred_boxes.dtype)
        return out

    monkeypatch.setattr(transformers.GroundingDinoForObjectDetection, "forward", forward)
    grounded.detect(LEFT[:2], config_for("grounded_sam2", checkpoints, device="cuda"), _place())
    assert kinds == [torch.float32], "shares of a picture in bfloat16 are 5 pixels of 1280 apart"


def test_what_sam3_remembers_goes_to_the_host_where_the_card_cannot_hold_it(
    checkpoints: dict[str, Path], gpu: PretendGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_for("sam3", checkpoints, device="cuda")
    expected = find_instances(LEFT[:2], config)
    plain, tried = transformers.Sam3VideoModel.forward, []

    def forward(self, inference_session, *args, **kwargs):
        tried.append(inference_session.inference_state_device)
        if tried[-1] != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory (pretended)")
        return plain(self, inference_session, *args, **kwargs)

    monkeypatch.setattr(transformers.Sam3VideoModel, "forward", forward)
    found = find_instances(LEFT[:2], config)
    assert tried == ["cuda", "cpu", "cpu"] and expected
    assert [i.masks for i in found] == [i.masks for i in expected]


MODELS = {
    "grounded_sam2": ("Sam2VideoModel", ""),
    "edgetam": ("EdgeTamVideoModel", ""),
    "sam3": ("Sam3VideoModel", ""),
}


def _place():
    from curation.objects.backends.runtime import runtime

    return runtime(ObjectsConfig(device="cuda"), torch)


def test_monocular_depth_runs_there_and_says_about_the_same_in_half_precision(tmp_path: Path, gpu: PretendGpu) -> None:
    weights = str(tiny_depth_anything(tmp_path))
    there = metric_depth(FRAMES, CAMERA, DepthConfig(mono="depth_anything_v2", weights=weights, device="cuda", batch=2))
    ran = gpu.ran
    here = metric_depth(FRAMES, CAMERA, DepthConfig(mono="depth_anything_v2", weights=weights, device="cpu", batch=2))
    assert ran > 50 and gpu.ran == ran
    assert not np.array_equal(there, here) and np.median(np.abs(np.log(there / here))) < 0.05


def test_the_point_tracker_runs_there(tmp_path: Path, gpu: PretendGpu) -> None:
    config = ObjectsConfig(points="cotracker", points_weights=str(clone(tmp_path / "c", (2.0, 1.0))), device="cuda")
    load_tracker.cache_clear()
    there, good = point_finder(LEFT, config)(0, 2, np.array([[10.0, 10.0]]), np.array([[10.0, 10.0]]))
    load_tracker.cache_clear()
    assert good.all() and there[0] == pytest.approx([14, 12], abs=1e-3) and gpu.ran > 5


def test_compiled_encoders_see_the_same(checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the compiler that runs what it traced as it is: the C++ and GPU ones are not on every machine."""
    plain, traced = torch.nn.Module.compile, []

    def compile(self, *args, **kwargs):
        traced.append(type(self).__name__)
        return plain(self, *args, backend="eager", **kwargs)

    expected = find_instances(LEFT[:2], config_for("grounded_sam2", checkpoints, device="cpu"))
    monkeypatch.setattr(torch.nn.Module, "compile", compile)
    load.cache_clear()
    found = find_instances(LEFT[:2], config_for("grounded_sam2", checkpoints, device="cpu", compile=True))
    load.cache_clear()
    assert "Sam2VisionModel" in traced
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert np.allclose(a.boxes_px, b.boxes_px, atol=1.01, equal_nan=True)
