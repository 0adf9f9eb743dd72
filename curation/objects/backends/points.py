"""A learned point tracker (CoTracker 3, Karaev et al. 2024) in place of optical flow, for the points inside an object's mask.

It sees a stretch of video and not two pictures, so it holds on to points through blur, large motion and short occlusions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.spatial import cKDTree

from curation.geometry import from_opencv, to_opencv
from curation.objects.backends.runtime import INSTALL_MODELS, Runtime, answers, in_batches, runtime
from curation.objects.backends.weights import WeightsMissing
from schemas.camera import Array
from schemas.config import ObjectsConfig

REPOSITORY = "facebookresearch/co-tracker"
_BRANCH = "main"  # named, so that torch.hub need not ask for it and finds a copy in its cache without a network
MODEL = "cotracker3_offline"
_SIDE_PX = 512  # longer side of what the tracker sees
_LEAST_FRAMES = 8  # shorter stretches are extended
_AT_ONCE = 512
_VISIBLE = 0.6
_GRID_PX = 10
_ADVICE = (
    f"Download it where there is a network: `git clone https://github.com/{REPOSITORY}` and its checkpoint "
    "scaled_offline.pth (about 100 MB; CC BY-NC 4.0) into the clone's checkpoints/ folder, copy the clone here and give "
    "--set objects.points_weights=FOLDER. objects.points=flow does without."
)

Finder = Callable[[int, int, Float[Array, "n 2"], Float[Array, "n 2"]], tuple[Float[Array, "n 2"], Bool[Array, "n"]]]
"""(frame a, frame b, pixels in a, guesses in b) -> pixels in b (NaN where lost) and whether they were found."""


@lru_cache(maxsize=1)
def _load(folder: str, place: Runtime) -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"objects.points=cotracker needs torch: {INSTALL_MODELS}") from error
    try:
        if folder:
            checkpoint = Path(folder) / "checkpoints" / "scaled_offline.pth"
            model = torch.hub.load(folder, MODEL, source="local", pretrained=False)
            if checkpoint.is_file():
                inner = getattr(model, "model", model)
                inner.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
            else:
                raise FileNotFoundError(f"no {checkpoint}")
        else:
            cached = Path(torch.hub.get_dir()) / f"{REPOSITORY.replace('/', '_')}_{_BRANCH}"
            if not (cached.is_dir() or answers("https://github.com")):  # torch.hub would wait for as long as the network does
                raise OSError("github.com cannot be reached")
            model = torch.hub.load(f"{REPOSITORY}:{_BRANCH}", MODEL, trust_repo=True)
    except ImportError as error:
        raise ImportError(f"objects.points=cotracker needs a further package: {error}") from error
    except (OSError, RuntimeError, ValueError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise WeightsMissing(f"objects.points=cotracker: the tracker could not be loaded ({first}). {_ADVICE}") from None
    return model.to(place.device).eval()


def point_finder(left: UInt8[Array, "t h w 3"], config: ObjectsConfig) -> Finder:
    """A function that finds points of one frame in another, by the tracker's view of all frames between them.

    Args:
        left: (T, H, W, 3) RGB frames.
        config: ``points_weights`` (a clone of the tracker's repository; empty loads it from the hub), ``device``.

    Raises:
        WeightsMissing: the tracker is not here.
    """
    import torch

    place = runtime(config, torch)
    model = _load(config.points_weights, place)
    height, width = left.shape[1:3]
    scale = min(1.0, _SIDE_PX / max(height, width))
    small = [cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for image in left]
    ratio = np.array([small[0].shape[1] / width, small[0].shape[0] / height])

    def find(a: int, b: int, points: Array, guess: Array) -> tuple[Array, Array]:
        if len(points) == 0:
            return np.zeros((0, 2)), np.zeros(0, bool)
        order = _stretch(a, b, len(left))
        video = torch.from_numpy(np.stack([small[t] for t in order])).permute(0, 3, 1, 2)[None].float().to(place.device)
        at = to_opencv(np.asarray(points, float) * ratio)

        def look(rows: Any) -> list[tuple[Array, float]]:
            queries = torch.tensor(np.column_stack([np.full(len(rows), order.index(a)), np.stack(rows)]), dtype=torch.float32)
            with torch.inference_mode():
                tracks, visible = model(video, queries=queries[None].to(place.device))[:2]
            there = order.index(b)
            seen = visible[0, there].reshape(len(rows)).float().cpu().tolist()
            return list(zip(tracks[0, there].float().cpu().numpy(), seen, strict=True))

        found = in_batches(list(at), _AT_ONCE, look, advice="objects.points=flow needs no such memory.")
        places = from_opencv(np.stack([place for place, _ in found]).astype(float)) / ratio
        good = np.array([seen > _VISIBLE for _, seen in found])
        good &= (places > 1).all(1) & (places[:, 0] < width - 1) & (places[:, 1] < height - 1)
        places[~good] = np.nan
        return places, good

    return find


def _stretch(a: int, b: int, total: int) -> list[int]:
    """The frames from a to b and what the tracker wants beyond them, in the order in which a comes before b.

    It follows a query only to what comes after it: back in time, it is shown the film backwards.
    """
    low, high = min(a, b), max(a, b)
    while high - low + 1 < min(_LEAST_FRAMES, total):
        low, high = max(low - 1, 0), min(high + 1, total - 1)
    return list(range(low, high + 1)) if a <= b else list(range(high, low - 1, -1))


def tracked_flow(left: UInt8[Array, "t h w 3"], config: ObjectsConfig) -> Callable[[int, int], Float[Array, "h w 2"]]:
    """A function (frame a, frame b) -> dense motion from a to b, pixels, by the tracker: what all point tracks start from.

    Where the tracker loses a point of its grid, the nearest that is found speaks for it; Lucas-Kanade, forward and back, then
    says which points go on.

    Raises:
        WeightsMissing: the tracker is not here.
    """
    find = point_finder(left, config)
    height, width = left.shape[1:3]
    columns, rows = (np.arange(_GRID_PX / 2, size, _GRID_PX) for size in (width, height))
    grid = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2)

    def flow(a: int, b: int) -> Array:
        there, good = find(a, b, grid, grid)
        moved = np.where(good[:, None], there - grid, 0.0)
        if good.any() and not good.all():
            moved[~good] = moved[good][cKDTree(grid[good]).query(grid[~good])[1]]
        coarse = moved.reshape(len(rows), len(columns), 2).astype(np.float32)
        # Bilinear, with the grid's own points at the middle of their cells.
        u = (np.arange(width) + 0.5) / _GRID_PX - 0.5
        v = (np.arange(height) + 0.5) / _GRID_PX - 0.5
        at = np.meshgrid(u.astype(np.float32), v.astype(np.float32))
        return cv2.remap(coarse, at[0], at[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    return flow
