"""The same footage is recognised in any quality and layout; other footage is not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from curation.video.likeness import Watcher, alike, groups, perceptual_hash
from curation.video.reading import Picture


def scene(seed: int, n: int, size: tuple[int, int] = (320, 200)) -> np.ndarray:
    """Frame ``n`` of a scene: soft blobs that drift."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (14, 24, 3)).astype(np.float32)
    big = cv2.resize(coarse, (480, 280), interpolation=cv2.INTER_CUBIC)
    x = 3 * n
    return np.clip(cv2.resize(big[40:240, x : x + 320], size), 0, 255).astype(np.uint8)


def hashes(frames: list[np.ndarray], box: tuple[int, int, int, int]) -> list[int]:
    watcher = Watcher(box)
    list(watcher.watched(Picture(k * 0.5, lambda size=None, f=f: f) for k, f in enumerate(frames)))
    return watcher.hashes


def compressed(frame: np.ndarray) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 20])[1], cv2.IMREAD_COLOR)


def test_scaled_compressed_and_side_by_side_footage_is_alike_and_another_scene_is_not() -> None:
    looks = []
    for seed in range(6):
        frames = [scene(seed, n) for n in range(20)]
        small = [compressed(cv2.resize(f, (160, 100), interpolation=cv2.INTER_AREA)) for f in frames]
        beside = [np.hstack([f, scene(seed + 100, n)]) for n, f in enumerate(frames)]
        looks += [hashes(frames, (0, 0, 320, 200)), hashes(small, (0, 0, 160, 100)), hashes(beside, (0, 0, 320, 200))]
    assert groups(looks) == [3 * (n // 3) for n in range(18)]
    assert alike(looks[0], looks[1][4:10]) and not alike(looks[0], looks[3]) and not alike(looks[0], [])


def test_a_flat_picture_has_no_hash() -> None:
    assert perceptual_hash(np.full((100, 100, 3), 40, np.uint8)) is None
    assert perceptual_hash(scene(1, 0)) is not None


def test_a_list_of_evaluation_videos_keeps_a_copy_out(tmp_path: Path) -> None:
    from curation.shards.exclusion import match, read_list
    from pipelines import exclude

    for name, size, quality in (("eval.avi", (320, 200), 0), ("copy.avi", (240, 150), 1)):
        out = cv2.VideoWriter(str(tmp_path / name), cv2.VideoWriter_fourcc(*"MJPG"), 10, size)
        for n in range(30):
            frame = scene(7, n, size)
            out.write(compressed(frame) if quality else frame)
        out.release()
    assert exclude.main(["--output", str(tmp_path / "list.jsonl"), str(tmp_path / "eval.avi")]) == 0
    listed = read_list(tmp_path / "list.jsonl")
    assert len(listed[0].hashes) == 6
    assert "perceptual" in match("copy", exclude.look_of(tmp_path / "copy.avi"), listed)
    assert exclude.main(["--output", str(tmp_path / "none"), str(tmp_path / "nothing")]) == 2
