"""What all torch backends share: device and precision, models loaded once per process, batches that shrink with the memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from jaxtyping import UInt8

from curation.objects.backends.weights import WeightsMissing
from schemas.camera import Array
from schemas.config import ObjectsConfig

Item = TypeVar("Item")
Result = TypeVar("Result")
INSTALL_MODELS = "pip install -e '.[models]' in the folder of this project"


def torch_and_transformers(option: str) -> tuple[Any, Any]:
    """The two libraries, for what ``option`` (``objects.backend=sam3``) asks for.

    Raises:
        ImportError: with the extra to install.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise ImportError(f"{option} needs torch and transformers: {INSTALL_MODELS}") from error
    return torch, transformers


@dataclass(frozen=True)
class Runtime:
    """Where and how precisely a model runs: names of a torch device and dtype."""

    device: str
    dtype: str
    compile: bool


def runtime(config: ObjectsConfig, torch: Any) -> Runtime:
    """The configured device (``auto``: a GPU where there is one), in half precision there and in float32 on a CPU."""
    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    # Cards before Ampere only emulate bfloat16, more slowly than they compute in float32.
    half = device.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False)
    return Runtime(device, "bfloat16" if half else "float32", config.compile)


@lru_cache(maxsize=4)
def load(model_class: str, processor_class: str, name: str, place: Runtime, option: str, advice: str) -> tuple[Any, Any]:
    """A model in evaluation mode on its device, and its processor; once per process.

    Args:
        model_class: name in ``transformers``.
        processor_class: likewise: what prepares its input; "" for none.
        name: a folder or a Hugging Face id.
        place: device, precision, whether to compile.
        option: name of the option that ``name`` came from, for errors.
        advice: what to download, how, and how large it is.

    Raises:
        WeightsMissing: neither here nor to be had from the hub.
    """
    import torch
    import transformers

    try:
        processor = getattr(transformers, processor_class).from_pretrained(name) if processor_class else None
        model = getattr(transformers, model_class).from_pretrained(name, dtype=getattr(torch, place.dtype))
    except ImportError as error:  # EdgeTAM's backbone comes from timm
        raise ImportError(f"{option}: the model {name!r} needs a further package: {str(error).strip().splitlines()[0]}") from None
    except (OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsMissing(f"{option}: the model {name!r} could not be loaded ({first[:200]}). {advice}") from None
    model = model.to(place.device).eval()
    if place.compile:
        encoder = next(found for path in _ENCODERS if (found := _submodule(model, path)) is not None)
        encoder.compile()
    return model, processor


_ENCODERS = ("vision_encoder", "detector_model.vision_encoder", "model.backbone", "")
"""Where models keep the image encoder, most of their cost; the rest juggles sessions, which compilers do not follow."""


def _submodule(model: Any, path: str) -> Any | None:
    try:
        return model.get_submodule(path)
    except AttributeError:
        return None


def video_pixels(left: UInt8[Array, "t h w 3"], size: int, mean: Sequence[float], std: Sequence[float], dtype: str) -> Any:
    """Frames as a video segmenter takes them: a (T, 3, size, size) tensor on the host, squeezed to a square and normalised.

    This is what the models' own processors do; those need torchvision, which has no build for every torch.
    """
    import torch

    out = torch.empty((len(left), 3, size, size), dtype=getattr(torch, dtype))
    shift, scale = (torch.tensor(values).view(3, 1, 1) for values in (mean, std))
    for t, image in enumerate(left):
        picture = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
        small = torch.nn.functional.interpolate(picture, (size, size), mode="bilinear", antialias=True, align_corners=False)
        out[t] = ((small[0].round().clamp(0, 255) / 255 - shift) / scale).to(out.dtype)
    return out


def download_advice(name: str, size: str, licence: str, option: str) -> str:
    """How to bring a model to a machine without a network."""
    return (
        f"Download it where there is a network: `hf download {name} --local-dir FOLDER` ({size}; {licence}), copy the folder "
        f"here and give --set {option}=FOLDER."
    )


_FULL = ("out of memory", "can't allocate memory", "not enough memory")


class _OutOfMemory(Exception):
    """A batch did not fit."""


def in_batches(
    items: Sequence[Item], size: int, work: Callable[[Sequence[Item]], Sequence[Result]], *, advice: str = ""
) -> list[Result]:
    """``work`` of consecutive batches; one that does not fit in the device's memory is halved, and the rest stay that small.

    Raises:
        MemoryError: a single item does not fit.
    """
    out: list[Result] = []
    while len(out) < len(items):
        batch = items[len(out) : len(out) + size]
        try:
            out += _tried(work, batch)
        except _OutOfMemory:
            if len(batch) == 1:
                raise MemoryError(f"one item alone does not fit in the device's memory. {advice}".strip()) from None
            size = len(batch) // 2
    return out


def _tried(work: Callable[[Sequence[Item]], Sequence[Result]], batch: Sequence[Item]) -> Sequence[Result]:
    """The batch's results. What filled the memory is let go before the caller tries a smaller one."""
    import torch

    try:
        return work(batch)
    except (RuntimeError, MemoryError) as error:
        # Only CUDA has a type of its own for it: other devices, and a host with a limit, say it in words.
        full = isinstance(error, torch.OutOfMemoryError | MemoryError) or any(word in str(error).lower() for word in _FULL)
        if not full:
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    raise _OutOfMemory
