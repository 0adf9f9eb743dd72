"""Detection and segmentation on the CPU through ONNX Runtime: boxes and classes from a detector, pixels from a segmenter.

YOLOX (raw heads: (1, N, 5 + classes), one row per cell of strides 8, 16, 32), and models that answer with named ``boxes``,
``labels``, ``scores`` and optionally ``masks``, as torchvision exports them. Segmenters: see ``segmenter``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from curation.objects.backends import segmenter
from curation.objects.backends.classes import COCO, COCO_91, can_move
from curation.objects.backends.following import follow
from curation.objects.backends.instances import Detection, Instance
from curation.objects.backends.sessions import Net, load_net
from curation.objects.backends.weights import fetch
from curation.objects.masks import decode, encode
from schemas.camera import Array
from schemas.config import ObjectsConfig

_ADVICE = (
    "YOLOX in ONNX (Apache-2.0, COCO's 80 classes) is published under releases of Megvii-BaseDetection/YOLOX: yolox_nano.onnx "
    "(3.7 MB), yolox_s.onnx (36 MB), yolox_x.onnx (397 MB). Name it with --set objects.weights=PATH_OR_URL; "
    "a URL needs objects.weights_sha256."
)
_SEGMENTER_ADVICE = (
    "Any semantic segmentation model in ONNX or TensorFlow Lite serves, with Pascal VOC's 21 or COCO's 80 classes (DeepLab v3 on "
    "MobileNet, 2 to 8 MB, Apache-2.0, is published under models/research/deeplab of tensorflow/models); leave objects.segmenter "
    "empty to do without."
)
_LOW = 0.1  # detections below are never used
_NMS_IOU = 0.5
_LARGEST_LOG = 6.0  # of a size in strides of 8 pixels: 3200 pixels
_TILE_OVERLAP = 0.3
_WIDE = 2.0  # wider pictures (width over height) are looked at in parts too


def find_instances(left: UInt8[Array, "t h w 3"], config: ObjectsConfig) -> list[Instance]:
    """Detections of every frame, with pixels where a segmenter is given, linked over time.

    Raises:
        WeightsMissing, WeightsDamaged, ValueError: see ``weights.fetch``; or the model's output is of no known layout.
    """
    path = fetch(config.weights, config.weights_sha256, option="objects.weights", advice=_ADVICE)
    detector = load_net(path, 640)
    pixels = None
    if config.segmenter:
        file = fetch(config.segmenter, config.segmenter_sha256, option="objects.segmenter", advice=_SEGMENTER_ADVICE)
        pixels = segmenter.load(file)
    frames = []
    for image in left:
        found = [d for d in detect(detector, image) if can_move(d.category)]
        if pixels is not None and found:
            labels, names = segmenter.segment(pixels, image, _parts(*image.shape[:2])[1:])
            found = segmenter.with_pixels(found, labels, names)
        frames.append(found)
    return [i for i in follow(frames, path.stem, left) if i.score >= config.least_score]


def detect(net: Net, image: UInt8[Array, "h w 3"]) -> list[Detection]:
    """Detections of one RGB frame, most certain first. A wide frame is also looked at in overlapping squarer parts."""
    found: list[Detection] = []
    for u0, u1 in _parts(*image.shape[:2]):
        whole = u1 - u0 == image.shape[1]
        for d in _detect_part(net, image[:, u0:u1]):
            # what the edge of a part cuts off is seen whole by the part beside it
            cut = (d.box_px[0] < 4 and u0 > 0) or (d.box_px[2] > u1 - u0 - 4 and u1 < image.shape[1])
            if whole or not cut:
                mask = d.mask if whole else _shifted(d.mask, u0, image.shape[1])
                found.append(Detection(d.category, d.score, d.box_px + np.array([u0, 0, u0, 0]), mask))
    return _distinct(found)


def _parts(height: int, width: int) -> list[tuple[int, int]]:
    parts = [(0, width)]
    if width > _WIDE * height:
        side = int(1.5 * height)
        count = math.ceil((width - side) / (side * (1 - _TILE_OVERLAP))) + 1
        parts += [(round(u), round(u) + side) for u in np.linspace(0, width - side, count)]
    return parts


def _distinct(found: Sequence[Detection]) -> list[Detection]:
    """Non-maximum suppression per class."""
    if not found:
        return []
    names = sorted({d.category for d in found})
    boxes = np.array([d.box_px for d in found])
    sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
    scores = [d.score for d in found]
    kept = cv2.dnn.NMSBoxesBatched(sides.tolist(), scores, [names.index(d.category) for d in found], _LOW, _NMS_IOU)
    return sorted((found[int(i)] for i in kept), key=lambda d: -d.score)


def _detect_part(net: Net, image: UInt8[Array, "h w 3"]) -> list[Detection]:
    if {"boxes", "labels", "scores"} <= set(net.outputs):
        return _named_outputs(net, image)
    height, width = net.size
    scale = min(height / image.shape[0], width / image.shape[1])
    canvas = np.full((height, width, 3), 114, np.uint8)
    small = cv2.resize(image, (max(1, int(image.shape[1] * scale)), max(1, int(image.shape[0] * scale))))
    canvas[: small.shape[0], : small.shape[1]] = small[..., ::-1]  # YOLOX was trained on BGR, 0..255
    (output,) = net.session.run(net.outputs[:1], {net.inputs: canvas.transpose(2, 0, 1)[None].astype(np.float32)})
    boxes, scores = decode_yolox(output, net.size)
    classes = scores.argmax(1)
    best = scores[np.arange(len(scores)), classes]
    names = COCO if scores.shape[1] == len(COCO) else tuple(f"class {i}" for i in range(scores.shape[1]))
    out = []
    limit = np.array([image.shape[1], image.shape[0]] * 2, float)
    for i in np.flatnonzero(best > _LOW):
        box = np.clip(boxes[i] / scale, 0, limit)
        if (box[2:] - box[:2] > 1).all():
            out.append(Detection(names[classes[i]], float(best[i]), box))
    return _distinct(out)


def decode_yolox(output: Float[Array, "1 n c"], size: tuple[int, int]) -> tuple[Float[Array, "n 4"], Float[Array, "n k"]]:
    """Boxes (u0, v0, u1, v1, pixels of the network's input) and class scores of YOLOX's raw heads (Ge et al. 2021).

    A row holds the centre's offset in its cell and log sizes, in strides; objectness; a score per class. Exports with
    ``--decode_in_inference`` hold centres and sizes in pixels: no logarithm of a size is that large in most cells.

    Raises:
        ValueError: the number of rows fits no set of strides (8, 16, 32) or (8, 16, 32, 64).
    """
    height, width = size
    for strides in ((8, 16, 32), (8, 16, 32, 64)):
        cells = [np.mgrid[: height // s, : width // s][::-1].reshape(2, -1).T for s in strides]
        if output.ndim == 3 and output.shape[2] > 5 and sum(map(len, cells)) == output.shape[1]:
            break
    else:
        raise ValueError(
            f"expected a YOLOX detector with raw heads (1, cells, 5 + classes) for input {height}x{width}, or named outputs "
            f"boxes, labels, scores; got an output of shape {output.shape}"
        )
    stride = np.concatenate([np.full(len(c), s) for c, s in zip(cells, strides, strict=True)])[:, None]
    raw = output[0].astype(float)
    if np.median(raw[:, 2:4]) > _LARGEST_LOG:
        centre, half = raw[:, :2], raw[:, 2:4] / 2
    else:
        centre = (raw[:, :2] + np.concatenate(cells)) * stride
        half = np.exp(np.clip(raw[:, 2:4], -20, 20)) * stride / 2
    return np.concatenate([centre - half, centre + half], 1), raw[:, 4:5] * raw[:, 5:]


def _named_outputs(net: Net, image: UInt8[Array, "h w 3"]) -> list[Detection]:
    """Detections of a model that answers with ``boxes``, ``labels``, ``scores``, ``masks``; it takes RGB, 0..1."""
    shape = net.session.get_inputs()[0].shape
    fixed = all(isinstance(side, int) for side in shape[-2:])
    height, width = image.shape[:2]
    picture = cv2.resize(image, net.size[::-1]) if fixed else image
    tensor = picture.transpose(2, 0, 1).astype(np.float32) / 255
    values = net.session.run(None, {net.inputs: tensor[None] if len(shape) == 4 else tensor})
    named = dict(zip(net.outputs, values, strict=True))
    boxes = np.asarray(named["boxes"], float).reshape(-1, 4)
    boxes *= np.array([width / picture.shape[1], height / picture.shape[0]] * 2)
    masks = named.get("masks")
    out = []
    for i, (label, score) in enumerate(zip(named["labels"].ravel().tolist(), named["scores"].ravel().tolist(), strict=True)):
        name = COCO_91.get(int(label), "")
        if score <= _LOW or not name or not np.isfinite(boxes[i]).all():
            continue
        mask = None if masks is None else _pasted(np.squeeze(masks[i]), boxes[i], (height, width))
        out.append(Detection(name, float(score), boxes[i], mask))
    return _distinct(out)


def _pasted(mask: Float[Array, "h w"], box: Float[Array, "4"], shape: tuple[int, int]) -> dict[str, Any] | None:
    """A soft mask of the whole image, or of its box (28 x 28 and the like), as RLE of the image; None where it is empty."""
    out = np.zeros(shape, bool)
    if max(mask.shape) > 64:
        out = cv2.resize(mask.astype(np.float32), shape[::-1]) > 0.5
    else:
        u0, v0, u1, v1 = np.clip(np.round(box), 0, [shape[1], shape[0]] * 2).astype(int)
        if u1 > u0 and v1 > v0:
            out[v0:v1, u0:u1] = cv2.resize(mask.astype(np.float32), (u1 - u0, v1 - v0)) > 0.5
    return encode(out) if out.any() else None


def _shifted(mask: dict[str, Any] | None, u0: int, width: int) -> dict[str, Any] | None:
    """The RLE of a part of the frame as one of the whole frame (columns come first in COCO's order)."""
    if mask is None:
        return None
    part = decode(mask)
    whole = np.zeros((part.shape[0], width), bool)
    whole[:, u0 : u0 + part.shape[1]] = part
    return encode(whole)
