"""The learned point tracker through torch hub: a folder with a hubconf and a checkpoint, as a clone of the real one has them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from curation.objects.backends.points import _stretch, point_finder
from curation.objects.backends.register import Views, measure_shift
from curation.objects.backends.weights import WeightsMissing
from schemas.config import ObjectsConfig
from tests.objects.flat_world import BASELINE_M, CAMERA, Board, film, line, texture

torch = pytest.importorskip("torch", reason="the extra 'models' is not installed")

HUB = """
import torch

class Tracker(torch.nn.Module):
    '''Every point moves at one velocity, pixels of the input per frame; points right of the middle are called hidden.'''

    def __init__(self):
        super().__init__()
        self.velocity = torch.nn.Parameter(torch.zeros(2))

    def forward(self, video, queries=None):
        assert video.dtype == torch.float32 and video.shape[2] == 3 and video.max() > 1.5
        frames = torch.arange(video.shape[1])[None, :, None]
        steps = frames - queries[:, None, :, 0]
        tracks = queries[:, None, :, 1:] + steps[..., None] * self.velocity
        return tracks, tracks[..., 0] < video.shape[4] / 2

class Predictor(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = Tracker()

    def forward(self, video, queries=None):
        return self.model(video, queries)

def cotracker3_offline(pretrained=True):
    return Predictor()
"""


def clone(folder: Path, velocity: tuple[float, float]) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "hubconf.py").write_text(HUB)
    torch.save({"velocity": torch.tensor(velocity)}, folder / "checkpoints" / "scaled_offline.pth")
    return folder


def test_points_are_found_forward_and_back_in_pixels_of_the_picture(tmp_path: Path) -> None:
    big = texture(3, 1400)
    left = np.stack([cv2.warpAffine(big, np.array([[1, 0, 8.0 * t], [0, 1, 4.0 * t]]), (1024, 400)) for t in range(6)])
    config = ObjectsConfig(points="cotracker", points_weights=str(clone(tmp_path / "c", (4.0, 2.0))), device="cpu")
    find = point_finder(left, config)  # it sees the frames at half size
    points = np.array([[200.0, 100.0], [300.5, 200.5], [900.0, 100.0]])
    there, good = find(1, 4, points, points)
    assert good.tolist() == [True, True, False] and np.isnan(there[2]).all()
    assert there[:2] == pytest.approx(points[:2] + [24, 12], abs=1e-3)
    back, _ = find(4, 1, points, points)
    assert back[:2] == pytest.approx(points[:2] - [24, 12], abs=1e-3)
    assert find(0, 1, np.zeros((0, 2)), np.zeros((0, 2)))[0].shape == (0, 2)


def test_a_shift_is_measured_at_the_places_that_the_tracker_finds(tmp_path: Path) -> None:
    eyes = line((0, 0, 0), (0, 0, 0), 8)
    board = Board(line((-0.9, 0, 3.0), (1.6, 0, 0), 8), 0.9, 4)
    frames, path = film([board], eyes)
    speed_px = 0.16 * CAMERA.fx / 3.0
    grid = np.stack(np.meshgrid(np.linspace(-0.4, 0.4, 8), np.linspace(-0.4, 0.4, 8)), -1).reshape(-1, 2)
    points = np.column_stack([grid, np.zeros(len(grid))])
    config = ObjectsConfig(points="cotracker", points_weights=str(clone(tmp_path / "c", (speed_px, 0.0))), device="cpu")
    still = points + board.centre_m[0]
    truth = board.centre_m[4] - board.centre_m[0]
    learned = Views(frames, path, point_finder(frames.left, config))
    # measured against a prediction that is right but for its last 5 cm
    close = measure_shift(learned, 0, 4, still, still + truth - [0.05, 0, 0])
    assert close is not None and np.abs(close.offset_m - [0.05, 0, 0]).max() < 0.02
    assert BASELINE_M > 0 and close.agreeing > 10


def test_without_the_tracker_the_error_says_how_to_bring_it(tmp_path: Path) -> None:
    (tmp_path / "hubconf.py").write_text(HUB)
    config = ObjectsConfig(points="cotracker", points_weights=str(tmp_path), device="cpu")
    with pytest.raises(WeightsMissing, match=r"scaled_offline\.pth.*git clone.*about 100 MB.*objects\.points_weights"):
        point_finder(np.zeros((2, 8, 8, 3), np.uint8), config)


def test_a_stretch_is_long_enough_and_within_the_clip() -> None:
    assert _stretch(4, 6, 40) == list(range(1, 10)) and _stretch(2, 0, 40) == list(range(0, 8))
    assert _stretch(0, 1, 3) == [0, 1, 2]
