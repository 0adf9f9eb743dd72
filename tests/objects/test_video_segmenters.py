"""The code path of the GPU backends, from a folder of weights to instances, on tiny checkpoints with random weights."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from curation.depth.monocular import metric_depth
from curation.objects.backends import find_instances
from curation.objects.backends.grounded import prompt_of
from curation.objects.backends.runtime import Runtime, in_batches, load, runtime, video_pixels
from curation.objects.backends.weights import WeightsMissing
from curation.objects.masks import decode
from schemas.camera import Intrinsics
from schemas.config import DepthConfig, ObjectsConfig

torch = pytest.importorskip("torch", reason="the extra 'models' is not installed")
pytest.importorskip("transformers", reason="the extra 'models' is not installed")
from tests.objects import tiny_models  # noqa: E402

LEFT = np.random.default_rng(0).integers(0, 255, (4, 48, 80, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return save_checkpoints(tmp_path_factory.mktemp("checkpoints"))


def save_checkpoints(root: Path) -> dict[str, Path]:
    torch.set_num_threads(1)
    makers = {
        "grounded_sam2": tiny_models.sam2,
        "edgetam": tiny_models.edgetam,
        "sam3": tiny_models.sam3,
        "detector": tiny_models.grounding_dino,
    }
    return {name: make(root / name) for name, make in makers.items()}


def config_for(backend: str, checkpoints: dict[str, Path], **more: object) -> ObjectsConfig:
    weights, detector = str(checkpoints[backend]), str(checkpoints["detector"])
    values = {"backend": backend, "weights": weights, "detector": detector, "prompts": ("person",), "least_score": 0.0}
    return ObjectsConfig(**{**values, **more})


@pytest.mark.parametrize("backend", ["grounded_sam2", "edgetam", "sam3"])
def test_a_folder_of_weights_gives_masks_over_the_whole_clip(backend: str, checkpoints: dict[str, Path]) -> None:
    found = find_instances(LEFT, config_for(backend, checkpoints))
    assert found, "the tiny models are made to see something"
    for instance in found:
        assert instance.category == "person" and 0 <= instance.score <= 1
        for t in np.flatnonzero(instance.seen):
            mask = decode(instance.masks[t])
            assert mask.shape == LEFT.shape[1:3] and mask.any()
            v, u = np.nonzero(mask)
            assert instance.boxes_px[t] == pytest.approx([u.min(), v.min(), u.max() + 1, v.max() + 1])
    assert max(int(i.seen.sum()) for i in found) == len(LEFT)
    assert [i.scores.sum() for i in found] == sorted((i.scores.sum() for i in found), reverse=True)


def test_prompts_of_a_clip_take_the_place_of_the_configured_ones(checkpoints: dict[str, Path]) -> None:
    found = find_instances(LEFT, config_for("sam3", checkpoints, prompts=("car",)), prompts=("dog", "ball"))
    assert {i.category for i in found} <= {"dog", "ball"} and found


def test_objects_that_do_not_fit_in_memory_together_are_followed_one_by_one(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import Sam2VideoModel

    one_by_one = find_instances(LEFT, config_for("grounded_sam2", checkpoints, batch=1))
    plain, together = Sam2VideoModel.forward, []

    def forward(self, inference_session, *args, **kwargs):
        together.append(inference_session.get_obj_num())
        if together[-1] > 1:
            raise torch.OutOfMemoryError("CUDA out of memory (pretended)")
        return plain(self, inference_session, *args, **kwargs)

    monkeypatch.setattr(Sam2VideoModel, "forward", forward)
    halved = find_instances(LEFT, config_for("grounded_sam2", checkpoints, batch=8))
    assert max(together) > 1, "it was tried with several"
    assert len(halved) == len(one_by_one)
    assert all(np.array_equal(a.boxes_px, b.boxes_px, equal_nan=True) for a, b in zip(halved, one_by_one, strict=True))


@pytest.mark.parametrize("backend", ["grounded_sam2", "edgetam"])
def test_every_frame_is_encoded_once_however_often_the_clip_is_passed_through(
    backend: str, checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    from curation.objects.backends import grounded

    model_class = {"grounded_sam2": transformers.Sam2VideoModel, "edgetam": transformers.EdgeTamVideoModel}[backend]
    plain, encoded = model_class.get_image_features, []

    def counted(self, *args, **kwargs):
        encoded.append(1)
        return plain(self, *args, **kwargs)

    monkeypatch.setattr(model_class, "get_image_features", counted)
    config = config_for(backend, checkpoints, batch=1)
    kept = find_instances(LEFT, config)
    assert len(kept) > 1 and len(encoded) == len(LEFT)
    monkeypatch.setattr(grounded, "_KEPT_ON_HOST", 0)  # room for one frame only
    encoded.clear()
    again = find_instances(LEFT, config)
    assert len(encoded) > 2 * len(LEFT)
    assert [i.masks for i in again] == [i.masks for i in kept] and [i.category for i in again] == [i.category for i in kept]


def test_a_box_with_two_nouns_is_one_prompt_with_two_votes() -> None:
    from curation.objects.backends.grounded import _detections, _instances, _prompts

    boxes = torch.tensor([[0.0, 0, 40, 40], [1, 0, 40, 40], [50, 0, 79, 40], [0, 0, 40, 39]])
    result = {"scores": torch.tensor([0.8, 0.7, 0.6, 0.5]), "text_labels": ["car", "truck", "car", "car"], "boxes": boxes}
    found = _detections(result, ("car", "truck"), (48, 80))
    assert [d.category for d in found] == ["car", "truck", "car"], "a noun's second box of one body is left out"
    bodies = _prompts(0, found)
    assert [sorted(b.votes) for b in bodies] == [["car", "truck"], ["car"]]
    for body in bodies:
        body.masks = {t: {"size": [48, 80], "counts": "0"} for t in range(3)}
        body.presence = dict.fromkeys(range(3), 1.0)
    van, car = sorted(_instances(bodies, 3, "m"), key=lambda i: i.category, reverse=True)
    assert (van.category, car.category) == ("vehicle", "car") and van.score == pytest.approx(0.75, abs=1e-4)


def test_frames_that_do_not_fit_the_detector_together_are_looked_at_in_halves(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import GroundingDinoForObjectDetection

    from curation.objects.backends.grounded import detect

    config = config_for("grounded_sam2", checkpoints, batch=4)
    place = runtime(config, torch)
    expected = detect(LEFT, config.model_copy(update={"batch": 1}), place)
    plain, sizes = GroundingDinoForObjectDetection.forward, []

    def forward(self, pixel_values, *args, **kwargs):
        sizes.append(len(pixel_values))
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError("pretended")
        return plain(self, pixel_values, *args, **kwargs)

    monkeypatch.setattr(GroundingDinoForObjectDetection, "forward", forward)
    found = detect(LEFT, config, place)
    assert sizes == [4, 2, 2]
    assert [[d.category for d in f] for f in found] == [[d.category for d in e] for e in expected]


def test_a_batch_that_does_not_fit_is_halved_and_stays_small() -> None:
    sizes: list[int] = []

    def work(batch: list[int]) -> list[int]:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("pretended")
        return [2 * n for n in batch]

    assert in_batches(list(range(7)), 8, work) == [0, 2, 4, 6, 8, 10, 12]
    assert sizes == [7, 3, 1, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("kind", ["host", "mps", "numpy"])
def test_a_full_host_and_other_devices_count_as_full_too(kind: str) -> None:
    """Only CUDA has a type of its own for it; the first of these is what torch really raises on this machine."""
    sizes: list[int] = []

    def work(batch: list[int]) -> list[int]:
        sizes.append(len(batch))
        if len(batch) > 1 and kind == "host":
            torch.empty(2**46, dtype=torch.uint8)
        elif len(batch) > 1:
            raise RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)") if kind == "mps" else MemoryError("1 GiB")
        return batch

    assert in_batches([1, 2, 3], 4, work) == [1, 2, 3] and sizes == [3, 1, 1, 1]


def test_one_item_that_does_not_fit_says_what_to_do() -> None:
    def work(batch: list[int]) -> list[int]:
        raise torch.OutOfMemoryError("pretended")

    with pytest.raises(MemoryError, match="use edgetam"):
        in_batches([1, 2], 2, work, advice="use edgetam")


def test_other_errors_are_not_taken_for_a_full_memory() -> None:
    def work(batch: list[int]) -> list[int]:
        raise RuntimeError("a defect")

    with pytest.raises(RuntimeError, match="a defect"):
        in_batches([1, 2], 2, work)


@pytest.mark.parametrize(
    ("backend", "model", "option"),
    [
        ("sam3", "facebook/sam3", "objects.weights"),
        ("grounded_sam2", "IDEA-Research/grounding-dino-base", "objects.detector"),
        ("edgetam", "IDEA-Research/grounding-dino-base", "objects.detector"),
    ],
)
def test_without_weights_the_error_says_what_to_download_how_and_how_large(backend: str, model: str, option: str) -> None:
    with pytest.raises(WeightsMissing) as error:
        find_instances(LEFT, ObjectsConfig(backend=backend, weights="" if backend != "sam3" else "/nowhere/at/all"))
    text = str(error.value)
    assert f"hf download {model} --local-dir FOLDER" in text and f"--set {option}=FOLDER" in text and "GB" in text


def test_pixels_are_squeezed_and_normalised_as_the_models_were_trained() -> None:
    left = np.full((2, 30, 50, 3), 255, np.uint8)
    left[1] = 0
    pixels = video_pixels(left, 16, (0.5, 0.5, 0.5), (0.5, 0.25, 0.5), "float32")
    assert tuple(pixels.shape) == (2, 3, 16, 16)
    assert torch.allclose(pixels[0, 0], torch.tensor(1.0)) and torch.allclose(pixels[1, 1], torch.tensor(-2.0))


def test_the_device_is_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    place = runtime(ObjectsConfig(backend="sam3"), torch)
    assert (place.device, place.dtype) == ("cuda", "bfloat16")
    assert runtime(ObjectsConfig(backend="sam3", device="cpu"), torch).dtype == "float32"


def test_compiling_takes_the_image_encoder_of_every_model(checkpoints: dict[str, Path]) -> None:
    place = Runtime("cpu", "float32", compile=True)
    for kind, path in (
        ("sam3", "detector_model.vision_encoder"),
        ("grounded_sam2", "vision_encoder"),
        ("edgetam", "vision_encoder"),
    ):
        name = {"sam3": "Sam3VideoModel", "grounded_sam2": "Sam2VideoModel", "edgetam": "EdgeTamVideoModel"}[kind]
        model, _ = load(name, "", str(checkpoints[kind]), place, "o", "a")
        assert model.get_submodule(path)._compiled_call_impl is not None and model._compiled_call_impl is None


def test_a_missing_package_of_a_model_is_named(checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import EdgeTamVideoModel

    def from_pretrained(*_: object, **__: object) -> None:
        raise ImportError("TimmWrapperModel requires the timm library but it was not found\nmore")

    monkeypatch.setattr(EdgeTamVideoModel, "from_pretrained", from_pretrained)
    with pytest.raises(ImportError, match="objects.weights.*timm"):
        load("EdgeTamVideoModel", "", "elsewhere", Runtime("cpu", "float32", False), "objects.weights", "")


@pytest.mark.parametrize(
    ("text", "prompt"),
    [("person", "person"), ("person. [SEP]", "person"), ("toy car", "toy car"), ("car person", ""), ("##son", ""), ("", "")],
)
def test_a_detectors_text_names_one_prompt_or_none(text: str, prompt: str) -> None:
    assert prompt_of(text, ("person", "car", "toy car")) == prompt


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"objects\.backend=sam3 needs .*pip install -e '\.\[models\]'"):
        find_instances(LEFT, ObjectsConfig(backend="sam3"))
    frame = np.zeros((1, 8, 8, 3), np.uint8)
    with pytest.raises(ImportError, match=r"depth\.mono=zoedepth needs .*pip install -e '\.\[models\]'"):
        metric_depth(frame, Intrinsics(8.0, 8.0, 4.0, 4.0, 8, 8), DepthConfig(mono="zoedepth"))
