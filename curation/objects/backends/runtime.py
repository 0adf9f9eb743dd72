"""What all torch backends share: device and precision, models loaded once per process, batches that shrink with the memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
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


def half_precision(torch: Any, place: Runtime) -> Any:
    """A context in which a model with float32 weights computes as precisely as ``place`` says."""
    half = place.dtype != "float32"
    return torch.autocast(place.device.split(":")[0], dtype=getattr(torch, place.dtype) if half else None, enabled=half)


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
        ImportError: the model needs a further package.
    """
    import torch
    import transformers

    try:
        processor = from_hub(getattr(transformers, processor_class), name, option, advice) if processor_class else None
        model = from_hub(getattr(transformers, model_class), name, option, advice, dtype=getattr(torch, place.dtype))
    except ImportError as error:  # EdgeTAM's backbone comes from timm
        raise ImportError(f"{option}: the model {name!r} needs a further package: {str(error).strip().splitlines()[0]}") from None
    model = model.to(place.device).eval()
    if place.compile:
        encoder = next(found for path in _ENCODERS if (found := _submodule(model, path)) is not None)
        encoder.compile()
    return model, processor


_ASK_AGAIN_S = 600.0
_refused: dict[tuple[Any, str], tuple[str, float]] = {}  # what the hub would not give: what it said, and when


def from_hub(loader: Any, name: str, option: str, advice: str, **options: Any) -> Any:
    """``loader.from_pretrained(name)`` of a folder, a file or a Hugging Face id, which is downloaded where there is a network.

    A hub that cannot be reached is not asked: its client tries every file six times, 47 s for a model of transformers, and as
    long for one that lies in its cache. Nor is it asked for what it would not give a process within the last ten minutes.

    Args:
        loader: a class with ``from_pretrained``, of transformers or of a package that follows it.
        name: a folder, a file or an id.
        option: name of the option that ``name`` came from, for errors.
        advice: what to download, how, and how large it is.
        options: further arguments of ``from_pretrained``.

    Raises:
        WeightsMissing: neither here nor to be had from the hub.
    """
    here = Path(name).exists()
    said, when = _refused.get((loader, name), ("", -_ASK_AGAIN_S))
    if here or time.monotonic() - when >= _ASK_AGAIN_S:
        try:
            return loader.from_pretrained(name, local_files_only=here or not hub_answers(), **options)
        except (OSError, ValueError) as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        if not here:
            _refused[loader, name] = said, time.monotonic()
    raise WeightsMissing(f"{option}: the model {name!r} could not be loaded ({said}). {advice}")


def hub_answers() -> bool:
    """Whether the hub of Hugging Face says anything at all (``answers``), and may be asked."""
    from huggingface_hub import constants

    return not constants.HF_HUB_OFFLINE and answers(constants.ENDPOINT)


def answers(url: str) -> bool:
    """Whether the server of ``url`` says anything at all, be it a refusal; asked every ten minutes, for five seconds at most."""
    return _answers(url, int(time.monotonic() // _ASK_AGAIN_S))


@lru_cache(maxsize=8)
def _answers(url: str, period: int) -> bool:
    """As ``answers``, in one period of time. Doubtful certificates and strange words are left to the client."""
    import http.client
    import ssl
    import urllib.error
    import urllib.request

    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=5.0).close()
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:
        return isinstance(error.reason, ssl.SSLError)
    except (http.client.HTTPException, ValueError):
        return True
    except OSError:
        return False
    return True


@lru_cache(maxsize=4)
def packaged(module: str, name: str, weights: str, device: str, install: str, option: str, advice: str) -> Any:
    """A model in evaluation mode on its device, whose class comes in a package of its own; once per process.

    Args:
        module: where the class is.
        name: of the class; it has ``from_pretrained``.
        weights: a folder, a file or a Hugging Face id.
        device: name of a torch device.
        install: the command that installs the package.
        option: name of the option that ``weights`` came from, for errors.
        advice: what to download, how, and how large it is.

    Raises:
        ImportError: the package is not here, or lacks one of its own.
        WeightsMissing: neither here nor to be had from the hub.
    """
    import importlib

    try:
        loader = getattr(importlib.import_module(module), name)
    except (ImportError, RuntimeError) as error:  # a torchvision that does not fit torch is a RuntimeError
        raise ImportError(f"{option}: this model comes in a package of its own: {install} ({error})") from error
    return from_hub(loader, weights, option, advice).to(device).eval()


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
