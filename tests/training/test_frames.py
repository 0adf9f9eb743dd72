"""The model is shown the frames that the questions count, cut as its own processor would cut them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers", reason='training needs the extra: pip install -e ".[train]"')

import torch
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from curation.video.encode import ClipWriter
from curation.video.sampling import question_indices
from pipelines.training.frames import Frames, Patching, QuestionFrames, read_frames, to_patches
from schemas.outcome import Rejected

HALF = (0.5, 0.5, 0.5)
HOW = Patching(16, 2, 2, HALF, HALF)


def noise(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(200, 320), (333, 517), (64, 64), (40, 300)])
@pytest.mark.parametrize("patch", [14, 16])
def test_a_still_video_is_cut_as_transformers_cuts_a_picture(size: tuple[int, int], patch: int) -> None:
    """An image is a video of two equal frames; its processor needs no torchvision."""
    frame = noise(1, *size)[0]
    mean, std = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
    cell, budget = 2 * patch, 128 * 128
    theirs = Qwen2VLImageProcessorPil(
        patch_size=patch, merge_size=2, image_mean=list(mean), image_std=list(std),
        size={"shortest_edge": 4 * cell * cell, "longest_edge": budget},
    )([frame], return_tensors="np")  # fmt: skip
    rows, grid = to_patches(np.stack([frame, frame]), Patching(patch, 2, 2, mean, std), budget)
    assert list(grid) == theirs["image_grid_thw"][0].tolist()
    np.testing.assert_allclose(rows.numpy(), theirs["pixel_values"], atol=1e-5)


def test_frames_of_a_pair_keep_their_order_and_an_odd_one_is_repeated() -> None:
    frames = np.stack([np.full((64, 64, 3), level, np.uint8) for level in (0, 100, 200)])
    rows, grid = to_patches(frames, HOW, 64 * 64)
    assert grid == (2, 4, 4) and rows.shape == (32, 3 * 2 * 16 * 16)
    levels = (rows.reshape(2, 16, 3, 2, 256).numpy() + 1) * 127.5
    assert np.allclose(levels[0, :, :, 0], 0, atol=1e-3) and np.allclose(levels[0, :, :, 1], 100, atol=1e-3)
    assert np.allclose(levels[1], 200, atol=1e-3)


def test_neighbours_that_become_one_token_lie_together() -> None:
    """Rows 0-3 are the top left 2x2 patches: what the merger joins."""
    frame = np.zeros((64, 64, 3), np.uint8)
    frame[:32, :32] = 255
    rows, grid = to_patches(np.stack([frame, frame]), HOW, 64 * 64)
    assert grid == (1, 4, 4)
    assert [bool(row.mean() > 0) for row in rows] == [True] * 4 + [False] * 12


def test_a_frame_never_has_more_pixels_than_allowed() -> None:
    for size in ((720, 1280), (100, 3000), (480, 640)):
        rows, (t, h, w) = to_patches(noise(2, *size), HOW, 50176)
        assert h * w * 256 <= 50176 and len(rows) == t * h * w


@pytest.mark.parametrize("count", [8, 32, 100])
@pytest.mark.parametrize("steady", [True, False])
def test_exactly_the_question_frames_are_read_with_their_true_times(count: int, steady: bool, tmp_path: Path) -> None:
    levels = np.linspace(20, 235, 50)
    times = np.arange(50) / 10 if steady else np.cumsum(np.random.default_rng(0).uniform(0.02, 0.3, 50))
    times -= times[0]
    with ClipWriter(tmp_path / "v.mp4", 64, 64, 10.0, 4) as writer:
        for level in levels:
            writer.add(np.full((64, 64, 3), round(level), np.uint8))
        writer.finish(times.tolist())
    frames = read_frames(tmp_path / "v.mp4", count)
    assert frames.indices == question_indices(50, count).tolist()
    seen = frames.rgb.reshape(len(frames.rgb), -1).mean(axis=1)
    assert [int(np.abs(levels - value).argmin()) for value in seen] == frames.indices
    np.testing.assert_allclose(frames.times_s, times[frames.indices], atol=1e-3)


def test_a_clip_that_breaks_off_is_an_error_and_not_fewer_frames(tmp_path: Path) -> None:
    with ClipWriter(tmp_path / "v.mp4", 64, 64, 10.0, 4) as writer:
        for frame in noise(20, 64, 64):
            writer.add(frame)
        writer.finish([n / 10 for n in range(20)])
    whole = (tmp_path / "v.mp4").read_bytes()
    (tmp_path / "v.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises((ValueError, Rejected), match="expected 8 question frames|v.mp4"):
        read_frames(tmp_path / "v.mp4", 8)


def test_the_same_clip_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def read(path: str, count: int) -> Frames:
        calls.append(path)
        return Frames(noise(2, 64, 64), [0, 1], [0.0, 0.1])

    monkeypatch.setattr("pipelines.training.frames.read_frames", read)
    out = QuestionFrames(HOW, 2, 4096)([["a.mp4"], ["a.mp4"], ["b.mp4"]])
    assert calls == ["a.mp4", "b.mp4"]
    assert out["video_grid_thw"].tolist() == [[1, 4, 4]] * 3 and len(out["pixel_values_videos"]) == 48


def test_patches_are_those_of_transformers_video_processor() -> None:
    """Runs where torchvision can be imported (not beside a CPU build of torch): within one grey level."""
    pytest.importorskip("torchvision", reason="torchvision is not here; a still video was compared above", exc_type=Exception)
    from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor

    frames = noise(5, 200, 320)
    theirs = Qwen3VLVideoProcessor(
        size={"shortest_edge": 5 * 4096, "longest_edge": 5 * 16384}, do_sample_frames=False, cap_pixels_per_frame=False
    )([torch.from_numpy(frames).permute(0, 3, 1, 2)], return_tensors="pt", video_metadata=[{"fps": 10.0, "total_num_frames": 5}])
    rows, grid = to_patches(frames, HOW, 16384)
    assert theirs["video_grid_thw"].tolist() == [list(grid)]
    assert float((rows - theirs["pixel_values_videos"]).abs().max()) < 2.1 / 255
