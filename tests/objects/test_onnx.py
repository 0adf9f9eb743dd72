"""Detectors and segmenters through ONNX Runtime: decoding, weights from files and servers, and what real weights see."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from curation.objects.backends import find_instances, weights
from curation.objects.backends.classes import COCO, VOC
from curation.objects.backends.following import follow, vote
from curation.objects.backends.instances import Detection, box_iou, box_of
from curation.objects.masks import decode
from schemas.config import ObjectsConfig
from tests.objects.onnx_files import answering, pixelwise

pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
from curation.objects.backends import onnx, segmenter  # noqa: E402
from curation.objects.backends.sessions import load_net  # noqa: E402

SIDE = 64


def yolox_rows(boxes: list[tuple[str, float, tuple[float, float, float, float]]], side: int = SIDE) -> np.ndarray:
    """Raw YOLOX output for a square input with the given (class, score, box in pixels of the input)."""
    rows = []
    for stride in (8, 16, 32):
        for v in range(side // stride):
            rows += [(u, v, stride) for u in range(side // stride)]
    out = np.zeros((1, len(rows), 85), np.float32)
    for name, score, (u0, v0, u1, v1) in boxes:
        centre, sides = np.array([(u0 + u1) / 2, (v0 + v1) / 2]), np.array([u1 - u0, v1 - v0])
        k = next(i for i, (_, _, stride) in enumerate(rows) if stride == 16 and not out[0, i, 4])
        out[0, k, :2] = centre / 16 - rows[k][:2]
        out[0, k, 2:4] = np.log(sides / 16)
        out[0, k, 4], out[0, k, 5 + COCO.index(name)] = 1.0, score
    return out


def noise(count: int, height: int, width: int) -> np.ndarray:
    return np.repeat(np.random.default_rng(0).integers(0, 255, (1, height, width, 3), dtype=np.uint8), count, 0)


def test_a_box_comes_back_in_pixels_of_the_picture(tmp_path: Path) -> None:
    rows = yolox_rows([("dog", 0.8, (8, 4, 24, 28))])
    file = answering(tmp_path / "d.onnx", (1, 3, SIDE, SIDE), output=rows)
    picture = noise(1, 100, 128)[0]  # twice the input's width: the letterbox halves it
    (found,) = onnx.detect(load_net(file, 640), picture)
    assert found.category == "dog" and found.score == pytest.approx(0.8, abs=1e-4)
    assert found.box_px == pytest.approx(np.array([16, 8, 48, 56]), abs=0.01)


def test_an_export_that_decodes_by_itself_gives_the_same_boxes() -> None:
    rng = np.random.default_rng(0)
    raw = rng.normal(0, 1, (1, 84, 85)).astype(np.float32)  # of an input of 64 pixels: 64 + 16 + 4 cells
    boxes, scores = onnx.decode_yolox(raw, (SIDE, SIDE))
    decoded = raw.copy()
    decoded[0, :, :2], decoded[0, :, 2:4] = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    again, same = onnx.decode_yolox(decoded, (SIDE, SIDE))
    assert np.allclose(again, boxes, atol=1e-3) and np.array_equal(same, scores)


def test_doubles_of_one_class_are_one_detection(tmp_path: Path) -> None:
    rows = yolox_rows([("dog", 0.8, (8, 4, 24, 28)), ("dog", 0.6, (10, 4, 26, 30)), ("person", 0.7, (40, 4, 60, 60))])
    found = onnx.detect(load_net(answering(tmp_path / "d.onnx", (1, 3, SIDE, SIDE), output=rows), 640), noise(1, 64, 64)[0])
    assert [d.category for d in found] == ["dog", "person"]


def test_a_model_of_another_kind_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    file = answering(tmp_path / "d.onnx", (1, 3, SIDE, SIDE), output=np.zeros((1, 7, 6), np.float32))
    with pytest.raises(ValueError, match=r"expected a YOLOX detector.*got an output of shape \(1, 7, 6\)"):
        onnx.detect(load_net(file, 640), noise(1, 64, 64)[0])


def test_named_outputs_with_masks_give_instances_with_pixels(tmp_path: Path) -> None:
    soft = np.zeros((1, 1, 28, 28), np.float32)
    soft[..., :14] = 1.0  # the left half of the box
    file = answering(
        tmp_path / "m.onnx",
        (1, 3, 50, 80),
        boxes=np.array([[10, 10, 38, 38]], np.float32),
        labels=np.array([18], np.int64),  # COCO's own id of "dog"
        scores=np.array([0.9], np.float32),
        masks=soft,
    )
    found = find_instances(noise(4, 50, 80), ObjectsConfig(backend="onnx", weights=str(file)))
    assert [i.category for i in found] == ["dog"]
    mask = decode(found[0].masks[0])
    assert mask[10:38, 10:23].all() and not mask[:, 25:].any() and not mask[:10].any()


def test_a_segmenter_turns_boxes_into_masks(tmp_path: Path) -> None:
    detector = answering(
        tmp_path / "d.onnx",
        (1, 3, SIDE, SIDE),
        output=yolox_rows([("person", 0.9, (10, 10, 30, 40)), ("car", 0.9, (40, 4, 60, 20))]),
    )
    red = np.zeros((len(VOC), 3))
    red[VOC.index("person")] = (4.0, -2.0, -2.0)
    segmenter = pixelwise(tmp_path / "s.onnx", (1, 3, SIDE, SIDE), red, np.zeros(len(VOC)))
    left = np.full((4, SIDE, SIDE, 3), 110, np.uint8)
    left[:, 14:36, 14:26] = (250, 10, 10)
    config = ObjectsConfig(backend="onnx", weights=str(detector), segmenter=str(segmenter))
    person, car = sorted(find_instances(left, config), key=lambda i: i.category, reverse=True)
    truth = np.zeros((SIDE, SIDE), bool)
    truth[14:36, 14:26] = True
    mask = decode(person.masks[0])
    assert (mask & truth).sum() / (mask | truth).sum() > 0.8
    assert car.masks[0] is None and car.seen.all(), "what the segmenter does not see keeps its box"


def boxed(name: str, score: float, box: tuple[float, float, float, float]) -> Detection:
    return Detection(name, score, np.array(box, float))


def test_pixels_go_to_one_body_seen_twice_but_not_to_two_that_overlap() -> None:
    labels = np.full((40, 100), VOC.index("car"))
    twice = [boxed("car", 0.6, (2, 2, 40, 38)), boxed("truck", 0.4, (3, 2, 41, 38))]
    noise_beside = [boxed("car", 0.6, (2, 2, 40, 38)), boxed("car", 0.15, (25, 2, 60, 38))]
    behind = [boxed("car", 0.8, (2, 2, 60, 38)), boxed("car", 0.5, (50, 0, 90, 6))]
    two = [boxed("car", 0.6, (2, 2, 40, 38)), boxed("truck", 0.4, (25, 2, 60, 38))]
    have = [
        [d.mask is not None for d in segmenter.with_pixels(found, labels, VOC)] for found in (twice, noise_beside, behind, two)
    ]
    assert have == [[True, True], [True, False], [True, False], [False, False]]
    (mask,) = [d.mask for d in segmenter.with_pixels(twice[1:], labels, VOC)]
    assert mask is not None and decode(mask).sum() == 38 * 36, "a truck's pixels are vehicles' pixels"


def test_a_wide_picture_is_segmented_in_parts_that_are_put_together(tmp_path: Path) -> None:
    file = pixelwise(tmp_path / "s.onnx", (1, 3, SIDE, SIDE), np.eye(len(VOC), 3), np.zeros(len(VOC)))
    picture = np.zeros((50, 300, 3), np.uint8)
    picture[:, ::2] = (255, 0, 0)  # columns that a squeezed picture would mix
    picture[:, 1::2] = (0, 255, 0)
    model = segmenter.load(file)
    assert onnx._parts(50, 300)[1:][0][0] == 0
    labels, names = segmenter.segment(model, picture, [(0, 64), (40, 104), (90, 154), (140, 204), (200, 264), (236, 300)])
    assert names == VOC and labels.shape == (50, 300)
    assert (labels[:, ::2] == 0).all() and (labels[:, 1::2] == 1).all()


def test_a_model_in_tensorflow_lite_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ai_edge_litert", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"objects\.segmenter=s\.tflite needs LiteRT: pip install -e '\.\[tflite\]'"):
        segmenter.load(tmp_path / "s.tflite")


def test_labels_beyond_the_vocabulary_are_refused(tmp_path: Path) -> None:
    file = answering(tmp_path / "s.onnx", (1, 3, SIDE, SIDE), output=np.full((1, SIDE, SIDE), 300, np.int64))
    with pytest.raises(ValueError, match=r"labels \(1, h, w\) of Pascal VOC's 0\.\.20; got \(1, 64, 64\), values 300\.\.300"):
        segmenter.segment(segmenter.load(file), noise(1, 64, 64)[0])


def test_real_weights_outline_the_parked_cars_of_a_real_street(real_clips: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="the extra 'tflite' is not installed")
    models = real_clips.parent / "models"
    model, net = models / "deeplabv3_mnv2_pascal_quant.tflite", models / "yolox_nano.onnx"
    if not (model.is_file() and net.is_file()):
        pytest.skip(f"no real weights here (expected {model} and {net})")
    frame = 41
    image = cv2.imread(str(sorted((real_clips / "kitti_0009" / "left").iterdir())[frame]))[..., ::-1].copy()
    meta = json.loads((real_clips / "kitti_0009" / "meta.json").read_text())
    cars = [
        np.array(r["bbox"]) for r in meta["tracks"] if r["frame"] == frame and np.ptp(np.reshape(r["bbox"], (2, 2)), 0)[1] > 80
    ]
    labels, names = segmenter.segment(segmenter.load(model), image, onnx._parts(*image.shape[:2])[1:])
    found = segmenter.with_pixels(onnx.detect(load_net(net, 640), image), labels, names)
    boxes = np.array([box_of(d.mask) for d in found if d.mask is not None and d.category in ("car", "truck")])
    assert len(cars) >= 2
    assert (box_iou(np.array(cars), boxes).max(1) > 0.8).all(), "every large car has an outline that fills its labelled box"


def test_a_wide_picture_is_looked_at_in_parts_and_nothing_is_counted_twice(real_clips: Path) -> None:
    parts = onnx._parts(375, 1242)
    assert parts[0] == (0, 1242) and parts[1][0] == 0 and parts[-1][1] == 1242
    assert all(a[1] > b[0] for a, b in zip(parts[1:], parts[2:], strict=False)), "parts overlap"
    assert onnx._parts(400, 640) == [(0, 640)]


def test_classes_that_cannot_move_name_no_object(tmp_path: Path) -> None:
    rows = yolox_rows([("dining table", 0.9, (8, 4, 24, 28)), ("cat", 0.9, (40, 4, 60, 60))])
    file = answering(tmp_path / "d.onnx", (1, 3, SIDE, SIDE), output=rows)
    assert [i.category for i in find_instances(noise(5, 64, 64), ObjectsConfig(backend="onnx", weights=str(file)))] == ["cat"]


def boxes_over_time(rows: list[list[tuple[str, float, tuple[int, int, int, int]]]]) -> list[list[Detection]]:
    return [[Detection(name, score, np.array(box, float)) for name, score, box in row] for row in rows]


def test_an_instance_outlives_a_miss_and_weak_detections() -> None:
    rows = [[("car", 0.8 if t < 4 else 0.2, (10 + 5 * t, 10, 50 + 5 * t, 40))] if t != 5 else [] for t in range(10)]
    (found,) = follow(boxes_over_time(rows), "m", noise(10, 60, 120))
    assert found.seen.sum() == 9 and not found.seen[5] and np.isnan(found.boxes_px[5]).all()


def test_weak_detections_alone_start_nothing() -> None:
    rows = [[("car", 0.3, (10, 10, 50, 40))]] * 8
    assert follow(boxes_over_time(rows), "m", noise(8, 60, 120)) == []


def test_what_crosses_in_front_does_not_take_over() -> None:
    left = np.full((12, 60, 200, 3), 120, np.uint8)
    rows: list[list[tuple[str, float, tuple[int, int, int, int]]]] = []
    for t in range(12):
        left[t, 10:50, 80:110] = (200, 30, 30)  # stands
        u = 20 + 12 * t
        left[t, 8:52, u : u + 30] = (30, 30, 200)  # crosses in front
        row = [("person", 0.8, (u, 8, u + 30, 52))]
        hidden = abs(u - 80) < 20
        rows.append(row if hidden else [*row, ("person", 0.8, (80, 10, 110, 50))])
    found = follow(boxes_over_time(rows), "m", left)
    crossing = max(found, key=lambda i: np.nanmax(i.boxes_px[:, 0]) - np.nanmin(i.boxes_px[:, 0]))
    standing = [i for i in found if np.nanmax(i.boxes_px[:, 0]) - np.nanmin(i.boxes_px[:, 0]) < 1]
    assert crossing.seen.all() and sum(int(i.seen.sum()) for i in standing) == sum(len(r) - 1 for r in rows)


def test_votes_of_confused_classes_give_the_sure_word() -> None:
    assert vote({"car": 9.0, "truck": 1.0}) == ("car", 0.9)
    assert vote({"car": 5.0, "truck": 4.0})[0] == "vehicle"
    assert vote({"person": 1.0, "dog": 1.0})[0] == ""


def test_iou_of_boxes() -> None:
    a = np.array([[0, 0, 2, 2], [np.nan] * 4])
    assert box_iou(a, np.array([[1.0, 0, 3, 2]]))[:, 0] == pytest.approx([1 / 3, 0])


class _Files(BaseHTTPRequestHandler):
    """Serves bytes, with ranges, and breaks off where it is told to."""

    data = b""
    break_at: int | None = None
    ranges: list[str | None] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        type(self).ranges.append(wanted)
        start = int(wanted.split("=")[1].rstrip("-")) if wanted else 0
        body = self.data[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.break_at is not None and len(self.ranges) == 1:
            self.wfile.write(body[: self.break_at])
            self.wfile.flush()
            self.connection.close()
        else:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, type[_Files]]]:
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path / "cache"))
    handler = type("Handler", (_Files,), {"data": bytes(range(256)) * 4000, "ranges": [], "break_at": None})
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}/model.onnx?signature=secret", handler
    running.shutdown()
    running.server_close()


def test_a_download_that_broke_off_goes_on_where_it_stopped(server: tuple[str, type[_Files]]) -> None:
    url, handler = server
    handler.break_at = 300_000
    digest = hashlib.sha256(handler.data).hexdigest()
    path = weights.fetch(url, digest, option="objects.weights", advice="")
    assert path.read_bytes() == handler.data
    assert handler.ranges[0] is None and handler.ranges[1] is not None and handler.ranges[1].startswith("bytes=")
    assert weights.fetch(url, digest, option="objects.weights", advice="") == path and len(handler.ranges) == 2, "kept"


def test_a_download_with_another_checksum_is_removed(server: tuple[str, type[_Files]]) -> None:
    url, _ = server
    with pytest.raises(weights.WeightsDamaged, match="expected " + "0" * 64) as error:
        weights.fetch(url, "0" * 64, option="objects.weights", advice="")
    assert "secret" not in str(error.value) and not list(weights.cache_folder().glob("*.onnx*part"))


def test_without_a_network_the_error_says_what_to_fetch_and_where_to_put_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(weights, "_ATTEMPTS", 1)
    config = ObjectsConfig(backend="onnx", weights="http://127.0.0.1:9/yolox_s.onnx", weights_sha256="a" * 64)
    with pytest.raises(weights.WeightsMissing, match=r"objects\.weights.*copy the file here.*yolox_nano\.onnx \(3\.7 MB\)"):
        find_instances(noise(1, 8, 8), config)
    with pytest.raises(weights.WeightsMissing, match=r"objects\.weights is empty.*--set objects\.weights=PATH_OR_URL"):
        find_instances(noise(1, 8, 8), ObjectsConfig(backend="onnx"))
    with pytest.raises(weights.WeightsMissing, match="expected a file at"):
        find_instances(noise(1, 8, 8), ObjectsConfig(backend="onnx", weights=str(tmp_path / "none.onnx")))


def test_what_lies_in_the_cache_is_held_to_the_checksum_too(server: tuple[str, type[_Files]]) -> None:
    """The error without a network tells people to put the file there: nobody says that it is the right one."""
    url, handler = server
    digest = hashlib.sha256(handler.data).hexdigest()
    path = weights.cache_folder() / f"{digest[:16]}-model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"another model")
    with pytest.raises(weights.WeightsDamaged, match=r"expected .*remove it, or correct objects\.weights_sha256"):
        weights.fetch(url, digest, option="objects.weights", advice="")
    path.write_bytes(handler.data)
    assert weights.fetch(url, digest.upper(), option="objects.weights", advice="") == path and not handler.ranges


def test_a_detector_stays_on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU is reserved for it, and labels may not depend on whether a machine has one."""
    import onnxruntime

    asked: list[list[str]] = []
    plain = onnxruntime.InferenceSession

    def session(*arguments: object, providers: list[str]) -> object:
        asked.append(providers)
        return plain(*arguments, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    load_net(answering(tmp_path / "cpu.onnx", (1, 3, SIDE, SIDE), output=yolox_rows([])), 640)
    assert asked == [["CPUExecutionProvider"]]


def test_a_url_needs_a_checksum_and_a_file_is_held_to_its_own(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="objects.weights_sha256"):
        weights.fetch("https://example.org/a.onnx", "", option="objects.weights", advice="")
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(weights.WeightsDamaged):
        weights.fetch(str(tmp_path / "a"), "0" * 64, option="objects.weights", advice="")


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"pip install -e \'\.\[onnx\]\'"):
        load_net(tmp_path / "other.onnx", 640)


@pytest.fixture(scope="session")
def yolox(real_clips: Path) -> Path:
    """Real weights."""
    path = real_clips.parent / "models" / "yolox_nano.onnx"
    if not path.is_file():
        pytest.skip(f"no real weights here (expected {path})")
    return path


def test_real_weights_see_the_cars_of_a_real_street(real_clips: Path, yolox: Path) -> None:
    import cv2

    folder = real_clips / "kitti_0009"
    meta = json.loads((folder / "meta.json").read_text())
    hits = seen = 0
    for frame in (5, 36, 44, 50):
        image = cv2.imread(str(sorted((folder / "left").iterdir())[frame]))[..., ::-1]
        cars = np.array([d.box_px for d in onnx.detect(load_net(yolox, 640), image) if d.category == "car"])
        near = [r for r in meta["tracks"] if r["frame"] == frame and r["bottom_center_cam"][2] < 40 and not r["occluded"]]
        boxes = np.array([r["bbox"] for r in near])
        iou = box_iou(boxes, cars)
        seen += len(boxes)
        hits += int((iou.max(1) > 0.5).sum())
    assert seen > 8 and hits >= 0.7 * seen, f"{hits} of {seen}"
