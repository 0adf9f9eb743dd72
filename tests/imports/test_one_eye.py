"""Objects of mono clips from masks and a network's depth: found and measured within their doubt; wrong depth moves nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from curation.depth import monocular
from curation.imports import imported_path
from curation.imports.one_eye import _outruns, moving_bodies
from curation.objects import backends
from curation.objects.backends.instances import Instance, box_of
from curation.objects.masks import encode
from pipelines import stages
from pipelines.clip import Clip
from schemas.camera import CameraPath
from schemas.config import Config
from schemas.track import ObjectTrack
from tests.imports.conftest import CONFIG, Annotated

_PIXEL, _SCATTER = 0.03, 0.02


def instances(world: Annotated) -> list[Instance]:
    """A perfect segmenter: every body, the parked ones too."""
    labels = world.truth.labels[world.frames.source_index]
    out = []
    for k, category in enumerate(world.truth.categories):
        masks = tuple(encode(m) if (m := labels[t] == k + 1).sum() > 60 else None for t in range(len(labels)))
        if sum(m is not None for m in masks) >= 5:
            boxes = np.stack([np.full(4, np.nan) if m is None else box_of(m) for m in masks])
            scores = np.array([0.0 if m is None else 0.9 for m in masks])
            out.append(Instance(category, 1.0, scores, boxes, masks, f"body {k}"))
    return out


def scaled(world: Annotated) -> CameraPath:
    """The true path as structure from motion and a depth model would give it."""
    path = imported_path(world.annotation, world.frames, CONFIG.imports)
    count = len(world.frames.left)
    extra = {"depth_frame_factor": [1.0] * count, "depth_pixel_rel": _PIXEL, "depth_scatter_rel": _SCATTER}
    return CameraPath(
        path.world_from_camera, path.covariance, False, 0.0, 0.0, 0.1, path.stats | extra | {"scale_sigma_rel": 0.15}
    )


def depth_of(world: Annotated, seed: int, shared: float) -> np.ndarray:
    """True depth, off by a factor of its own in every body (all along the clip) and by blobs that change from frame to frame."""
    assert world.truth.depth_m is not None
    rng = np.random.default_rng(seed)
    index = world.frames.source_index
    depth, labels = world.truth.depth_m[index].astype(float), world.truth.labels[index]
    factor = np.exp(shared * rng.normal(size=len(world.truth.categories) + 1))
    wobble = np.exp(_PIXEL * rng.normal(size=(len(index), len(factor))))
    depth = depth * factor[labels] * wobble[np.arange(len(index))[:, None, None], labels]
    return np.where(np.isfinite(depth), depth, np.nan)


def test_movers_are_found_and_parked_bodies_are_not_however_wrong_their_depth(world: Annotated) -> None:
    path, seen = scaled(world), instances(world)
    moves = world.truth.is_mover
    assert sum(not moves[int(i.source.split()[1])] for i in seen) >= 2, "parked bodies are among what the segmenter sees"
    found: list[bool] = []
    ratios: list[float] = []
    for seed in range(5):
        tracks, words = moving_bodies(world.frames, path, seen, depth_of(world, seed, 0.15), Config())
        assert len(words) == len(tracks)
        for track in tracks:
            body = _body_of(world, track.masks, track.visible)
            found.append(bool(moves[body]))
            a, b = np.flatnonzero(track.visible)[[0, -1]]
            true = world.truth.centroid_m[world.frames.source_index[[a, b]], body]
            rays = track.centroid_m[[a, b]] - path.centers_m[[a, b]]
            shared = track.common_sigma_rel * np.linalg.norm(rays[1] - rays[0])
            own = np.trace(track.centroid_cov_m2[a] + track.centroid_cov_m2[b])
            off = (track.centroid_m[b] - track.centroid_m[a]) - (true[1] - true[0])
            ratios.append(float(np.linalg.norm(off) / np.sqrt(own + shared**2)))
            assert track.common_sigma_rel == 0.15 and track.stats["made_of"] == "masks and monocular depth"
    assert all(found), "a parked body was called an object"
    assert len(found) >= 5
    assert np.mean(np.array(ratios) < 2) > 0.9 and max(ratios) < 4


def _body_of(world: Annotated, masks: tuple, visible: np.ndarray) -> int:
    from curation.objects.masks import decode

    t = int(np.flatnonzero(visible)[0])
    labels = world.truth.labels[world.frames.source_index[t]]
    return int(np.bincount(labels[decode(masks[t])]).argmax()) - 1


@pytest.mark.parametrize(("shared", "believed"), [(0.15, False), (0.01, True)])
def test_a_parked_car_that_the_camera_nears_does_not_move_by_the_error_of_its_depth(shared: float, believed: bool) -> None:
    total = 12
    poses = np.tile(np.eye(4), (total, 1, 1))
    poses[:, 2, 3] = np.linspace(0, 12, total)
    path = CameraPath(poses, np.zeros((total, 6, 6)), False, 0.0, 0.0, 0.1, {})
    car = np.array([2.0, 0.0, 20.0])
    seen = path.centers_m + 1.25 * (car - path.centers_m)  # a depth that is a quarter too large: it seems to go 3 m
    assert np.linalg.norm(seen[-1] - seen[0]) == pytest.approx(3.0)
    assert _outruns(track_at(seen), path, shared, 0.01) is believed
    driven = np.linspace(car, car + [0, 0, 25.0], total)
    assert _outruns(track_at(path.centers_m + 1.25 * (driven - path.centers_m)), path, 0.15, 0.01)


def track_at(places: np.ndarray) -> ObjectTrack:
    total = len(places)
    seen, nothing = np.ones(total, bool), np.full((total, 4), np.nan)
    return ObjectTrack(
        "obj_1", seen, places, np.tile(1e-4 * np.eye(3), (total, 1, 1)), 0.0, places[:, None].astype(np.float32),
        np.full(total, 0.01), seen, (None,) * total, nothing, np.full(total, 9), {},
    )  # fmt: skip


def test_the_objects_stage_of_a_mono_clip_uses_both_models(
    world: Annotated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config.model_validate(
        {"video": {"min_clip_s": 1.0}, "imports": {"use": False}, "depth": {"mono": "zoedepth"}, "objects": {"backend": "sam3"}}
    )
    monkeypatch.setattr(backends, "find_instances", lambda left, config, prompts: instances(world))
    monkeypatch.setattr(monocular, "metric_depth", lambda left, camera, config: depth_of(world, 0, 0.0))
    clip = Clip(world.spec, config, tmp_path)
    clip.folder.mkdir(parents=True)
    stages.video(clip)
    clip.path = scaled(world)
    assert stages.objects(clip)["objects"] >= 1
    monkeypatch.setattr(backends, "find_instances", pytest.fail)
    without = config.model_copy(update={"objects": config.objects.model_copy(update={"backend": "motion"})})
    plain = Clip(world.spec, without, tmp_path)
    plain.path = scaled(world)
    assert stages.objects(plain)["objects"] == 0  # boxes and motion alone say nothing of a mono clip
