"""ONNX files written by hand (the format is protobuf), so that tests need neither weights nor the ``onnx`` package."""

from __future__ import annotations

from pathlib import Path

import numpy as np

_TYPES = {np.dtype(np.float32): 1, np.dtype(np.int64): 7}


def _varint(value: int) -> bytes:
    out = b""
    while True:
        value, low = value >> 7, value & 0x7F
        if not value:
            return out + bytes([low])
        out += bytes([low | 0x80])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _tensor(name: str, values: np.ndarray) -> bytes:
    dims = b"".join(_number(1, n) for n in values.shape)
    return dims + _number(2, _TYPES[values.dtype]) + _bytes(8, name) + _bytes(9, np.ascontiguousarray(values).tobytes())


def _value(name: str, shape: tuple[int, ...], kind: int = 1) -> bytes:
    dims = b"".join(_bytes(1, _number(1, n)) for n in shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, kind) + _bytes(2, dims)))


def _model(path: Path, image: tuple[int, ...], nodes: list[bytes], tensors: list[bytes], outputs: list[bytes]) -> Path:
    graph = b"".join(_bytes(1, node) for node in nodes) + _bytes(2, "g") + b"".join(_bytes(5, t) for t in tensors)
    graph += _bytes(11, _value("images", image)) + b"".join(_bytes(12, o) for o in outputs)
    path.write_bytes(_number(1, 8) + _bytes(7, graph) + _bytes(8, _bytes(1, "") + _number(2, 13)))
    return path


def answering(path: Path, image: tuple[int, ...], **outputs: np.ndarray) -> Path:
    """A model that gives the same outputs whatever it sees."""
    nodes = [
        _bytes(2, name) + _bytes(4, "Constant") + _bytes(5, _bytes(1, "value") + _bytes(5, _tensor("", v)) + _number(20, 4))
        for name, v in outputs.items()
    ]
    return _model(path, image, nodes, [], [_value(n, v.shape, _TYPES[v.dtype]) for n, v in outputs.items()])


def pixelwise(path: Path, image: tuple[int, ...], weights: np.ndarray, bias: np.ndarray) -> Path:
    """A segmenter whose class scores (C) are linear in a pixel's three channels: ``weights`` (C, 3), ``bias`` (C,)."""
    node = b"".join(_bytes(1, n) for n in ("images", "w", "b")) + _bytes(2, "scores") + _bytes(4, "Conv")
    tensors = [_tensor("w", weights.astype(np.float32)[..., None, None]), _tensor("b", bias.astype(np.float32))]
    return _model(path, image, [node], tensors, [_value("scores", (1, len(weights), *image[2:]))])
