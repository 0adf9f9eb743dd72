"""Which pixels are of which class? Semantic segmentation on the CPU, through ONNX Runtime or LiteRT.

One image in, class scores (1, C, h, w) or (1, h, w, C), or labels (1, h, w), out. Models in ONNX take (1, 3, h, w), normalised as
ImageNet models expect; models in TensorFlow Lite take (1, h, w, 3): bytes where they are quantised, -1..1 where they are not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Int, UInt8

from curation.objects.backends.classes import COCO, VOC, group_of
from curation.objects.backends.instances import Detection, box_region
from curation.objects.backends.sessions import load_net
from curation.objects.masks import encode
from schemas.camera import Array

_MEAN, _STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
_VOCABULARIES = {len(names): names for names in (VOC, COCO, ("background", *COCO))}
_LEAST_SHARE = 0.2  # of a box
_CROWD = 0.1  # of a box that another body may reach into
_RIVAL = 0.25  # confidence below which a box beside is mostly noise
_DOUBLE_IOU = 0.6  # above: one body seen twice (as a car and as a truck)


@dataclass(frozen=True)
class Segmenter:
    """A loaded model: ``answer`` takes RGB bytes (h, w, 3) of ``size`` and returns the raw output."""

    size: tuple[int, int]
    answer: Callable[[UInt8[Array, "h w 3"]], Array]


@lru_cache(maxsize=2)
def load(path: Path) -> Segmenter:
    """The model of a ``.tflite`` file, or of one in ONNX; once per process, on one core.

    Raises:
        ImportError: with the extra to install.
        ValueError: its input is no picture.
    """
    return _lite(path) if path.suffix == ".tflite" else _onnx(path)


def _onnx(path: Path) -> Segmenter:
    net = load_net(path, 512)

    def answer(picture: UInt8[Array, "h w 3"]) -> Array:
        tensor = ((picture.astype(np.float32) / 255 - _MEAN) / _STD).transpose(2, 0, 1)[None]
        return np.asarray(net.session.run(net.outputs[:1], {net.inputs: tensor})[0])

    return Segmenter(net.size, answer)


def _lite(path: Path) -> Segmenter:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ImportError(
            f"objects.segmenter={path.name} needs LiteRT: pip install -e '.[tflite]' in the folder of this project"
        ) from error
    model = Interpreter(str(path), num_threads=1)  # a worker is a process per core already
    model.allocate_tensors()
    entry, out = model.get_input_details()[0], model.get_output_details()[0]
    shape, kind = tuple(int(n) for n in entry["shape"]), np.dtype(entry["dtype"])
    if len(shape) != 4 or shape[3] != 3 or kind not in (np.uint8, np.int8, np.float32):
        raise ValueError(f"{path.name}: expected a model of pictures (1, h, w, 3), bytes or float32; it takes {shape} of {kind}")

    def answer(picture: UInt8[Array, "h w 3"]) -> Array:
        if kind == np.float32:
            tensor = picture.astype(np.float32) / 127.5 - 1
        else:
            tensor = picture if kind == np.uint8 else (picture.astype(np.int16) - 128).astype(np.int8)
        model.set_tensor(entry["index"], tensor[None])
        model.invoke()
        return np.array(model.get_tensor(out["index"]))

    return Segmenter(shape[1:3], answer)


def segment(
    model: Segmenter, image: UInt8[Array, "h w 3"], parts: Sequence[tuple[int, int]] = ()
) -> tuple[Int[Array, "h w"], tuple[str, ...]]:
    """Class index per pixel of one RGB frame, and the classes' names. Labels without scores are taken for Pascal VOC's.

    Args:
        model: see ``load``.
        image: the frame; it is stretched to the network's input.
        parts: overlapping ranges of columns, from left to right, that a wide frame is looked at in, so that it is not squeezed;
            where two overlap, the one whose middle is nearer counts. Empty: the frame as a whole.

    Raises:
        ValueError: the output is of no known layout.
    """
    if not parts:
        return _segment(model, image)
    out = np.zeros(image.shape[:2], int)
    for n, (low, high) in enumerate(parts):
        labels, names = _segment(model, np.ascontiguousarray(image[:, low:high]))
        start = low if n == 0 else (low + parts[n - 1][1]) // 2
        out[:, start:high] = labels[:, start - low :]
    return out, names


def _segment(model: Segmenter, image: UInt8[Array, "h w 3"]) -> tuple[Int[Array, "h w"], tuple[str, ...]]:
    output = model.answer(cv2.resize(image, model.size[::-1], interpolation=cv2.INTER_AREA))
    shape = image.shape[1::-1]
    if output.ndim == 4 and output.shape[1] in _VOCABULARIES:
        output = output.transpose(0, 2, 3, 1)
    if output.ndim == 4 and output.shape[3] in _VOCABULARIES:
        scores = output[0].astype(np.float32)
        dense = [cv2.resize(np.ascontiguousarray(scores[..., k]), shape) for k in range(scores.shape[2])]
        return np.stack(dense).argmax(0), _VOCABULARIES[scores.shape[2]]
    if output.ndim == 3:
        labels = output[0].astype(np.int16)
        if labels.min() >= 0 and labels.max() < len(VOC):
            return cv2.resize(labels, shape, interpolation=cv2.INTER_NEAREST).astype(int), VOC
    raise ValueError(
        f"expected a segmenter that answers with (1, classes, h, w) or (1, h, w, classes), {sorted(_VOCABULARIES)} classes, or "
        f"with labels (1, h, w) of Pascal VOC's 0..{len(VOC) - 1}; got {output.shape}, values {output.min()}..{output.max()}"
    )


def with_pixels(found: Sequence[Detection], labels: Int[Array, "h w"], names: Sequence[str]) -> list[Detection]:
    """Detections, most certain first, with the pixels of their class inside their boxes.

    Classes that models confuse (car, truck, bus) count as one. A box keeps no pixels where they fill little of it, or where
    another box of its class covers more than a rim of it: whose a pixel is, no class tells.
    """
    groups = np.array([group_of(name) for name in names])
    out = []
    for d in found:
        mask = None
        group = group_of(d.category)
        if group in groups and not any(_beside(o, d, group) for o in found):
            region = box_region(d.box_px, labels.shape)
            pixels = np.zeros_like(region)
            pixels[region] = (groups == group)[labels[region]]
            if pixels.sum() > _LEAST_SHARE * region.sum():
                mask = encode(pixels)
        out.append(Detection(d.category, d.score, d.box_px, mask, exact=False))
    return out


def _beside(other: Detection, own: Detection, group: str) -> bool:
    """Whether another body of the class reaches into a detection's box."""
    if other is own or group_of(other.category) != group or other.score < _RIVAL:
        return False
    a, b = other.box_px, own.box_px
    shared = float(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod())
    area, mine = float((a[2:] - a[:2]).prod()), float((b[2:] - b[:2]).prod())
    return shared > _CROWD * mine and shared < _DOUBLE_IOU * (area + mine - shared)
