"""The learned point tracker through torch hub: a folder with a hubconf and a checkpoint, as a clone of the real one has them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from curation.objects import find
from curation.objects.backends import points
from curation.objects.backends.points import _stretch, point_finder, tracked_flow
from curation.objects.backends.register import Views, measure_shift
from curation.objects.backends.weights import WeightsMissing
from curation.objects.measure import measure_tracks
from curation.objects.point_tracks import PointTracks
from schemas.config import DepthConfig, ObjectsConfig
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
        frames = torch.arange(video.shape[1], device=video.device)[None, :, None]
        steps = frames - queries[:, None, :, 0]
        assert (queries[..., 0] <= video.shape[1] - 1).all()
        way = -1 if video[0, -1, 0, 0, 0] < video[0, 0, 0, 0, 0] - 15 else 1  # a mark in the film says which way time runs
        steps = torch.clamp(steps, min=0) * way  # what comes before a query stays where the query is
        tracks = queries[:, None, :, 1:] + steps[..., None] * self.velocity
        return tracks, tracks[..., 0] < video.shape[4] / 2

class Predictor(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = Tracker()

    def forward(self, video, queries=None):
        return self.model(video, queries)

def cotracker3_offline(*, pretrained=True):
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
    left[:, :4, :4] = 20 + 10 * np.arange(6)[:, None, None, None]
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


def test_all_point_tracks_of_a_clip_can_start_from_the_tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in says that the whole picture moves as the board does: only the board's points are then found."""
    eyes = line((0, 0, 0), (0, 0, 0), 8)
    board = Board(line((-0.9, 0, 3.0), (1.6, 0, 0), 8), 0.9, 4)
    frames, path = film([board], eyes)
    speed_px = 0.16 * CAMERA.fx / 3.0
    config = ObjectsConfig(points="cotracker", points_weights=str(clone(tmp_path / "c", (speed_px, 0.0))), device="cpu")
    flow = tracked_flow(frames.left, config)
    assert flow(2, 3).shape == (300, 480, 2) and flow(2, 3)[150, 100] == pytest.approx([speed_px, 0], abs=1e-3)
    assert flow(2, 3)[150, 400] == pytest.approx([speed_px, 0], abs=1e-3)  # lost there: the nearest that is found speaks
    learned = measure_tracks(frames, path, DepthConfig(), flow)
    moved = np.array([np.ptp(learned.scene.tracks.uvd[f : f + n, 0]) for f, n in _slices(learned.scene.tracks)])
    assert len(moved) > 100 and np.median(moved) > 3 * speed_px
    assert (learned.moving.sum()) > 100
    given: list[object] = []
    monkeypatch.setattr(find, "measure_tracks", lambda *args: given.append(args[3]) or learned)
    find.find_moving_objects(frames, path, config.model_copy(update={"points": "flow"}), DepthConfig())
    find.find_moving_objects(frames, path, config, DepthConfig())
    assert given[0] is None and np.allclose(given[1](2, 3), flow(2, 3))


def _slices(tracks: PointTracks) -> list[tuple[int, int]]:
    return list(zip(tracks.first.tolist(), tracks.length.tolist(), strict=True))


def test_without_the_tracker_the_error_says_how_to_bring_it(tmp_path: Path) -> None:
    (tmp_path / "hubconf.py").write_text(HUB)
    config = ObjectsConfig(points="cotracker", points_weights=str(tmp_path), device="cpu")
    with pytest.raises(WeightsMissing, match=r"scaled_offline\.pth.*git clone.*about 100 MB.*objects\.points_weights"):
        point_finder(np.zeros((2, 8, 8, 3), np.uint8), config)


def test_a_network_that_cannot_be_reached_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def hub(repository: str, model: str, *, trust_repo: bool) -> object:
        asked.append(repository)
        return torch.nn.Identity()

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "load", hub)
    monkeypatch.setattr(points, "answers", lambda url: False)
    config = ObjectsConfig(points="cotracker", device="cpu")
    with pytest.raises(WeightsMissing, match=r"\(github.com cannot be reached\).*git clone"):
        point_finder(np.zeros((2, 8, 8, 3), np.uint8), config)
    assert asked == []
    (tmp_path / "facebookresearch_co-tracker_main").mkdir()  # what torch.hub keeps of an earlier download
    point_finder(np.zeros((2, 8, 8, 3), np.uint8), config)
    points._load.cache_clear()
    assert asked == ["facebookresearch/co-tracker:main"]


def test_a_stretch_is_long_enough_and_within_the_clip() -> None:
    assert _stretch(4, 6, 40) == list(range(1, 10)) and _stretch(2, 0, 40) == list(range(7, -1, -1))
    assert _stretch(0, 1, 3) == [0, 1, 2] and _stretch(2, 1, 3) == [2, 1, 0]  # a query is followed forward only
