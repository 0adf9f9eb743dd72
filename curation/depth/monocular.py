"""Metric depth from one eye: models of transformers, and two optional packages. None is imported unless it is chosen.

A backend gives (k, h, w) depth along +Z in metres for (k, H, W, 3) RGB frames, at its own resolution; one dict names them all.
Pictures are prepared as the models' own processors do, but with torch alone: those need torchvision, which has no build for
every torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from curation.depth import depth_anything_3
from curation.objects.backends.runtime import (
    Runtime,
    download_advice,
    half_precision,
    in_batches,
    load,
    packaged,
    runtime,
    torch_and_transformers,
)
from curation.objects.backends.weights import WeightsMissing
from schemas.camera import Array, Intrinsics
from schemas.config import DepthConfig, ObjectsConfig

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_MAX_WIDTH = 640  # of the depth maps that are kept: they stay in memory for a whole clip
_OPTION = "depth.weights"
_DA3_SKY = 0.3  # what Depth Anything 3 itself takes for sky
Depth = Float[Array, "k h w"]


def metric_depth(left: UInt8[Array, "t h w 3"], camera: Intrinsics, config: DepthConfig) -> Float[Array, "t h2 w2"]:
    """Depth along +Z of every frame, metres, by the model ``config.mono``; at most 640 wide, NaN where the model says nothing.

    Raises:
        WeightsMissing: with what to download, how, and how large it is.
        ImportError: what the backend needs is not installed.
        MemoryError: a single frame does not fit in the accelerator's memory.
    """
    work = BACKENDS[config.mono](camera, config)

    def some(batch: Sequence[Array]) -> list[Array]:
        return [_small(depth) for depth in work(np.stack(batch))]

    advice = "Take a smaller model (depth.weights), smaller frames (video.max_width), or depth.device=cpu."
    return np.stack(in_batches(list(left), config.batch, some, advice=advice))


def load_model(camera: Intrinsics, config: DepthConfig) -> None:
    """Load the model of ``config.mono`` for ``metric_depth`` to find: what is missing shows before other work is done.

    Raises:
        WeightsMissing, ImportError: as ``metric_depth``.
    """
    BACKENDS[config.mono](camera, config)


def _small(depth: Float[Array, "h w"]) -> Float[Array, "h2 w2"]:
    step = max(1, -(-depth.shape[1] // _MAX_WIDTH))
    small = depth[step // 2 :: step, step // 2 :: step].astype(np.float32)
    return np.where(np.isfinite(small) & (small > 0), small, np.float32(np.nan))


def _depth_anything_v2(camera: Intrinsics, config: DepthConfig) -> Callable[[Array], Depth]:
    torch, place = _place(config)
    name = config.weights or "depth-anything/Depth-Anything-V2-Metric-Outdoor-Small-hf"
    advice = download_advice(name, "99 MB; Indoor instead of Outdoor for rooms; Base 390 MB, Large 1.3 GB", "Apache-2.0", _OPTION)
    model, _ = load("DepthAnythingForDepthEstimation", "", name, place, _OPTION, advice)
    if getattr(model.config, "depth_estimation_type", "metric") != "metric":
        raise WeightsMissing(f"{_OPTION}: {name!r} estimates relative depth; a scale needs a metric model. {advice}")

    def work(images: Array) -> Depth:
        height, width = images.shape[1:3]
        scale = min((518 / height, 518 / width), key=lambda s: abs(1 - s))
        size = tuple(max(14, round(side * scale / 14) * 14) for side in (height, width))
        with torch.inference_mode():
            out = model(pixel_values=_pixels(torch, images, size, *_IMAGENET, place)).predicted_depth
        return _host(out)

    return work


def _zoedepth(camera: Intrinsics, config: DepthConfig) -> Callable[[Array], Depth]:
    torch, place = _place(config)
    name = config.weights or "Intel/zoedepth-nyu-kitti"
    model, _ = load("ZoeDepthForDepthEstimation", "", name, place, _OPTION, download_advice(name, "1.4 GB", "MIT", _OPTION))

    def work(images: Array) -> Depth:
        height, width = images.shape[1:3]
        scale = min((384 / height, 512 / width), key=lambda s: abs(1 - s))
        size = tuple(max(32, round(side * scale / 32) * 32) for side in (height, width))
        with torch.inference_mode():
            out = model(pixel_values=_pixels(torch, images, size, *_HALF, place)).predicted_depth
        return _host(out)

    return work


def _depth_pro(camera: Intrinsics, config: DepthConfig) -> Callable[[Array], Depth]:
    torch, place = _place(config)
    name = config.weights or "apple/DepthPro-hf"
    advice = download_advice(name, "3.8 GB, or 1.9 GB in half precision", "Apple's own research licence: read it", _OPTION)
    model, _ = load("DepthProForDepthEstimation", "", name, place, _OPTION, advice)
    side = int(model.config.patch_size * 4)  # 1536: it cuts the picture into patches at three sizes

    def work(images: Array) -> Depth:
        with torch.inference_mode():
            inverse = model(pixel_values=_pixels(torch, images, (side, side), *_HALF, place)).predicted_depth
        # It sees inverse depth for a focal length of one picture width; the calibrated one is known better than its own guess.
        return _host(1.0 / (inverse.float() * (images.shape[2] / camera.fx)).clamp(1e-4, 1e4))

    return work


def _moge2(camera: Intrinsics, config: DepthConfig) -> Callable[[Array], Depth]:
    torch, place = _place(config)
    name = config.weights or "Ruicheng/moge-2-vitl"
    file = Path(name) / "model.pt"  # it reads files, and the advice is to download a folder
    install, advice = "pip install git+https://github.com/microsoft/MoGe", download_advice(name, "1.3 GB", "MIT", _OPTION)
    model = packaged("moge.model.v2", "MoGeModel", str(file) if file.is_file() else name, place.device, install, _OPTION, advice)
    if not hasattr(model, "scale_head"):
        raise WeightsMissing(f"{_OPTION}: {name!r} estimates relative depth; a scale needs a metric model. {advice}")
    fov_x_deg = float(np.degrees(2 * np.arctan(camera.width / 2 / camera.fx)))

    def work(images: Array) -> Depth:
        out = []
        for image in images:
            picture = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float().to(place.device) / 255
            half = place.device.startswith("cuda")  # without it said, it computes in half precision on processors too
            with torch.inference_mode():
                out.append(_host(model.infer(picture, fov_x=fov_x_deg, use_fp16=half)["depth"]))
        return np.stack(out)

    return work


def _depth_anything_3(camera: Intrinsics, config: DepthConfig) -> Callable[[Array], Depth]:
    torch, place = _place(config)
    name = config.weights or "depth-anything/DA3METRIC-LARGE"
    model = depth_anything_3.network(name, place.device, _OPTION, "1.4 GB", "Apache-2.0")
    if "metric" not in model.model_name:
        advice = download_advice("depth-anything/DA3METRIC-LARGE", "1.4 GB", "Apache-2.0", _OPTION)
        raise WeightsMissing(f"{_OPTION}: {name!r} is a {model.model_name}; metres come from da3metric-large alone. {advice}")

    def work(images: Array) -> Depth:
        pixels = depth_anything_3.pixels(model, images)
        with torch.inference_mode(), half_precision(torch, place):
            out = model.model(pixels[:, None].to(place.device))  # frames as clips of one view each: none sees another
        depth, sky = _host(out.depth[:, 0]), _host(out.sky[:, 0])
        # The network's depth is for a focal length of 300 pixels of what it sees, by its README.
        focal_px = (camera.fx * depth.shape[2] / images.shape[2] + camera.fy * depth.shape[1] / images.shape[1]) / 2
        # Where it sees sky, its own depth is overwritten by that of the farthest things in the batch.
        return np.where(sky < _DA3_SKY, depth * (focal_px / 300.0), np.float32(np.nan))

    return work


BACKENDS: dict[str, Callable[[Intrinsics, DepthConfig], Callable[[Array], Depth]]] = {
    "depth_anything_v2": _depth_anything_v2,
    "depth_pro": _depth_pro,
    "zoedepth": _zoedepth,
    "moge2": _moge2,
    "depth_anything_3": _depth_anything_3,
}


def _place(config: DepthConfig) -> tuple[Any, Runtime]:
    torch, _ = torch_and_transformers(f"depth.mono={config.mono}")
    return torch, runtime(ObjectsConfig(device=config.device, compile=config.compile), torch)


def _pixels(torch: Any, images: Array, size: tuple[int, ...], mean: Sequence[float], std: Sequence[float], place: Runtime) -> Any:
    """Normalised (k, 3, h, w) on the model's device."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(place.device).permute(0, 3, 1, 2).float() / 255
    pixels = torch.nn.functional.interpolate(pixels, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    shift, scale = (torch.tensor(values, device=place.device).view(1, 3, 1, 1) for values in (mean, std))
    return ((pixels - shift) / scale).to(getattr(torch, place.dtype))


def _host(depth: Any) -> Array:
    return np.asarray(depth.float().cpu().numpy(), np.float32)
