"""Real weights on real clips: what moves is named, outlined and tracked; what is parked is not asked about."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")

from curation import cameras, objects, video
from curation.geometry import inverse, transform
from curation.objects.backends.instances import box_iou
from curation.objects.masks import decode
from curation.objects.naming import name_objects
from schemas.camera import CameraPath
from schemas.clip import ClipFrames
from schemas.config import Config, NamingConfig
from schemas.track import ObjectTrack


def seen_by_onnx(clips: Path, name: str) -> tuple[ClipFrames, CameraPath, list[ObjectTrack]]:
    weights = clips.parent / "models" / "yolox_nano.onnx"
    if not weights.is_file():
        pytest.skip(f"no real weights here (expected {weights})")
    config = Config()
    segmenter = weights.with_name("deeplabv3_mnv2_pascal_quant.tflite")
    masks = {"segmenter": str(segmenter)} if segmenter.is_file() and find_spec("ai_edge_litert") else {}
    chosen = config.objects.model_copy(update={"backend": "onnx", "weights": str(weights)} | masks)
    source = next(s for s in video.scan(clips, config.video).sources if s.name.split("/")[0] == name)
    frames = video.decode_clip(video.plan_clips(source, config.video).clips[0], config.video, None)
    path = cameras.estimate_path(frames, config.cameras, seed=0)
    return frames, path, objects.find_moving_objects(frames, path, chosen, config.depth, seed=0)


@pytest.mark.slow
def test_the_car_that_moves_is_a_car_and_its_track_is_true(real_clips: Path) -> None:
    frames, path, tracks = seen_by_onnx(real_clips, "kitti_0009")
    meta = json.loads((real_clips / "kitti_0009" / "meta.json").read_text())
    truth = {row["frame"]: row for row in meta["tracks"] if row["track_id"] == 8}
    assert len(tracks) == 1, "19 of the 20 labelled cars are parked"
    (car,) = tracks
    assert car.stats["category"] == "car"
    words = name_objects(frames, tracks, NamingConfig(), path)
    assert words[0].category == "car" and words[0].text.startswith("the ") and "car" in words[0].text
    offsets, sigmas, ranges, ious = [], [], [], []
    for t in np.flatnonzero(car.visible):
        row = truth.get(int(frames.source_index[t]))
        if row is None:
            continue
        centre = np.array(row["bottom_center_cam"]) - [0, row["dims_hwl"][0] / 2, 0]
        offsets.append(transform(inverse(path.world_from_camera[t]), car.centroid_m[t]) - centre)
        sigmas.append(np.sqrt(np.trace(car.centroid_cov_m2[t])))
        ranges.append(row["bottom_center_cam"][2])
        ious.append(box_iou(car.bbox_xyxy_px[t][None], np.array([row["bbox"]]))[0, 0])
    # Only its rear is seen: the middle of that lies a constant way from the middle of the box.
    apart = np.linalg.norm(np.array(offsets) - np.median(offsets, axis=0), axis=1)
    assert len(apart) >= 12
    assert apart[np.array(ranges) < 46].max() < 0.5
    assert np.linalg.norm(np.median(offsets, axis=0)) < 2.5, "within half a car"
    assert np.median(ious) > 0.6


# Where people are, by eye: middle of the body (share of the view's width and height) at measuring frames.
_COMES = {0: (0.55, 0.55), 8: (0.57, 0.58), 16: (0.71, 0.67), 20: (0.80, 0.78)}
_GOES = {28: (0.72, 0.56), 40: (0.58, 0.61), 56: (0.52, 0.59), 72: (0.67, 0.63)}


@pytest.mark.slow
def test_people_on_a_real_pavement_are_people_and_nobody_becomes_another(real_clips: Path) -> None:
    frames, path, tracks = seen_by_onnx(real_clips, "stereo4d_vr180")
    names = [track.stats.get("category", "") for track in tracks]
    assert names.count("person") >= 5 and set(names) == {"person"}
    for track in tracks:
        on = [sum(_lies_on(track, t, at) for t, at in places.items()) for places in (_COMES, _GOES)]
        assert min(on) == 0, f"{track.object_id} is the woman who comes at {on[0]} frames, and the one who goes at {on[1]}"
    seen = [max(sum(_lies_on(track, t, at) for t, at in places.items()) for track in tracks) for places in (_COMES, _GOES)]
    assert min(seen) >= 3, "each of the two is an object"
    words = name_objects(frames, tracks, NamingConfig(), path)
    texts = [w.text for w in words if w.text]
    assert len(set(texts)) == len(texts) and all("person" in w.text for w in words if w.category == "person" and w.text)


def _lies_on(track: ObjectTrack, t: int, at: tuple[float, float]) -> bool:
    rle = track.masks[t]
    if rle is None:
        return False
    mask = decode(rle)
    height, width = mask.shape
    u, v, reach = int(at[0] * width), int(at[1] * height), width // 40
    return bool(mask[v - reach : v + reach + 1, u - reach : u + reach + 1].any())
