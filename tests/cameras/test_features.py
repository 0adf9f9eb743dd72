"""Keypoints and matches in the database, and SuperPoint: its true code path on a tiny random network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from curation.cameras import features, learned_features
from curation.geometry import inverse, skew
from schemas.config import CamerasConfig
from tests.cameras import room

VIEW = room.camera(240, 150)
TRUE = room.path(6, (0.3, 0.0, 0.5), (0, 4, 0))


def images() -> list[np.ndarray]:
    return [frame[..., 0].copy() for frame in room.clip(TRUE, view=VIEW).left]


def test_pairs_are_neighbours_and_some_far_apart():
    pairs = features.sequential_pairs(20)
    assert (0, 1) in pairs and (0, 6) in pairs and (0, 7) not in pairs and (0, 8) in pairs and (0, 16) in pairs
    assert len(set(pairs)) == len(pairs) and all(a < b < 20 for a, b in pairs)


def tiny_lightglue(folder: Path) -> Path:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(0)
    detector = transformers.SuperPointConfig(
        encoder_hidden_sizes=[8, 8, 16, 16], decoder_hidden_size=16, descriptor_decoder_dim=16, keypoint_threshold=0.0,
        max_keypoints=80,
    )  # fmt: skip
    config = transformers.LightGlueConfig(
        keypoint_detector_config=detector, descriptor_dim=16, num_hidden_layers=2, num_attention_heads=2, filter_threshold=0.0,
    )  # fmt: skip
    transformers.LightGlueForKeypointMatching(config).save_pretrained(folder)
    return folder


def test_superpoint_runs_and_its_matches_name_keypoints_that_exist(tmp_path: Path):
    config = CamerasConfig(features="superpoint", weights=str(tiny_lightglue(tmp_path)), device="cpu", batch=2)
    frames, pairs = images()[:3], [(0, 1), (0, 2), (1, 2)]
    keypoints, matches = learned_features.find(frames, pairs, config)
    assert len(keypoints) == 3 and set(matches) <= set(pairs) and matches
    for (a, b), rows in matches.items():
        assert rows[:, 0].max() < len(keypoints[a]) and rows[:, 1].max() < len(keypoints[b])
    for places in keypoints:
        assert (places >= 0).all() and (places <= [VIEW.width, VIEW.height]).all()
    again = learned_features.find(frames, pairs, config.model_copy(update={"batch": 1}))
    for pair, rows in matches.items():  # a pair's matches do not depend on the pairs beside it
        assert {(*again[0][pair[0]][i], *again[0][pair[1]][j]) for i, j in again[1][pair]} == {
            (*keypoints[pair[0]][i], *keypoints[pair[1]][j]) for i, j in rows
        }


def test_missing_weights_say_what_to_download_how_and_how_large():
    pytest.importorskip("transformers")
    from curation.objects.backends.weights import WeightsMissing

    with pytest.raises(WeightsMissing, match=r"hf download \S+ --local-dir FOLDER.*MB.*--set cameras.weights=FOLDER"):
        learned_features.find(images()[:2], [(0, 1)], CamerasConfig(features="superpoint", device="cpu"))


def true_matches(frames: list[np.ndarray], pairs: list[tuple[int, int]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Corners on whole pixels, and where the room's far wall says that they are in the other frame."""
    from curation.cameras import matching

    out = []
    for a, b in pairs:
        places = np.floor(matching.detect_corners(frames[a], 200))
        found, ok = matching.track(frames[a], frames[b], places + 0.5)
        out.append((places[ok].astype(int), np.floor(found[ok]).astype(int)))
    return out


def test_matches_of_a_model_reach_the_database_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A stand-in for the network: what follows it must give relative poses of the truth's rotation."""
    import cv2
    import pycolmap

    frames = images()

    def stand_in(given: list[Any], pairs: list[Any], config: Any) -> Any:
        return learned_features._numbered(given, pairs, true_matches(given, pairs))

    monkeypatch.setattr(learned_features, "find", stand_in)
    pictures = tmp_path / "images"
    pictures.mkdir()
    for k, frame in enumerate(frames):
        cv2.imwrite(str(pictures / f"{k:05d}.png"), frame)
    database = str(tmp_path / "database.db")
    config = CamerasConfig(features="superpoint")
    features.find_matches(frames, VIEW, pictures, database, config, refine_focal=False, seed=0)
    with pycolmap.Database.open(database) as data:
        number = {image.name: image.image_id for image in data.read_all_images()}
        a, b = number["00000.png"], number["00005.png"]
        rows = data.read_two_view_geometry(a, b).inlier_matches
        places = [data.read_keypoints(k)[rows[:, c], :2] for c, k in enumerate((a, b))]
    assert len(rows) > 60
    rays = [np.c_[(p - [VIEW.cx, VIEW.cy]) / VIEW.fx, np.ones(len(p))] for p in places]
    later = inverse(TRUE[5]) @ TRUE[0]
    line = rays[0] @ (skew(later[:3, 3]) @ later[:3, :3]).T
    off_px = np.abs((line * rays[1]).sum(axis=1)) / np.linalg.norm(line[:, :2], axis=1) * VIEW.fx
    assert np.median(off_px) < 1.0  # whole pixels, moved to the corners beside them: half a pixel off would show


def test_the_namespace_of_backends_is_what_the_configuration_offers():
    assert {"classical", *learned_features.BACKENDS} == set(get_args(CamerasConfig.model_fields["features"].annotation))
