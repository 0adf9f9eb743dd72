"""Models in ONNX, loaded once per process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Net:
    """A loaded model: its input's and outputs' names, and the picture's height and width."""

    session: Any
    name: str
    size: tuple[int, int]  # height, width
    outputs: tuple[str, ...]
    inputs: str


@lru_cache(maxsize=4)
def load_net(path: Path, default: int) -> Net:
    """An ONNX model on one core, once per process; ``default`` is its side in pixels where the file leaves it open."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            "objects.backend=onnx needs ONNX Runtime: pip install -e '.[onnx]' in the folder of this project"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # a worker is a process per core already
    options.log_severity_level = 3
    # On the CPU even where there is a GPU: the stage reserves none for it, and the boxes are the same on every machine.
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    height, width = (side if isinstance(side, int) and side > 0 else default for side in entry.shape[-2:])
    return Net(session, path.name, (height, width), tuple(o.name for o in session.get_outputs()), entry.name)
