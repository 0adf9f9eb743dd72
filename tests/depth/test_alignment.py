"""The scale of a path from a model of depth: found, doubted as it should be, refused where model and path disagree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curation.cameras.mono_metric import scaled_path
from curation.cameras.relative import Structure
from curation.depth.alignment import Alignment, align
from curation.relations.doubt import metric, scale_sigma_rel
from schemas.camera import CameraPath, Intrinsics, RelativeCameraPath
from schemas.config import DepthConfig, RelationsConfig
from schemas.outcome import Rejected

SIZE = (96, 64)
CAMERA = Intrinsics(80.0, 80.0, 48.0, 32.0, *SIZE)
FRAMES = 20
UNIT_M = 3.0  # metres in the path's unit


def scene(rng: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """True depth maps (a slanted, bumpy surface that comes nearer), and points in them with their depth in units."""
    v, u = np.mgrid[: SIZE[1], : SIZE[0]]
    shape = 4 + 8 * (1 - v / SIZE[1]) + np.sin(u / 9.0)
    depth = np.stack([shape * (1 - 0.01 * t) for t in range(FRAMES)])
    pixels = [np.column_stack([rng.integers(0, SIZE[0], 120), rng.integers(0, SIZE[1], 120)]) + 0.5 for _ in range(FRAMES)]
    units = [depth[t][p[:, 1].astype(int), p[:, 0].astype(int)] / UNIT_M for t, p in enumerate(pixels)]
    return depth, pixels, units


def fake_model(depth: np.ndarray, rng: np.random.Generator, *, domain: float, frame: float, pixel: float) -> np.ndarray:
    """Exact depth, off by one factor for the clip, one that drifts from frame to frame, and smooth blobs within a frame."""
    steps = np.zeros(len(depth))
    for t in range(1, len(depth)):
        steps[t] = 0.8 * steps[t - 1] + rng.normal()
    drift = frame * steps * np.sqrt(1 - 0.8**2)
    blobs = np.stack([np.kron(rng.normal(size=(4, 6)), np.ones((SIZE[1] // 4, SIZE[0] // 6))) for _ in depth])
    return depth * np.exp(rng.normal(0, domain) + drift[:, None, None] + pixel * blobs)


def aligned(model: np.ndarray, pixels: list[np.ndarray], units: list[np.ndarray], domain: float = 0.1) -> Alignment:
    return align(list(model), pixels, units, size=SIZE, domain_sigma_rel=domain, domain_max_m=80.0)


def test_an_exact_model_gives_the_exact_scale() -> None:
    depth, pixels, units = scene(np.random.default_rng(0))
    found = aligned(depth, pixels, units)
    assert found.metres_per_unit == pytest.approx(UNIT_M, rel=1e-6)
    np.testing.assert_allclose(found.frame_factor, 1.0, atol=1e-6)
    assert found.scatter_rel < 1e-6 and found.scale_sigma_rel == pytest.approx(0.1, rel=0.02)


def test_the_models_own_resolution_does_not_matter() -> None:
    depth, pixels, units = scene(np.random.default_rng(0))
    assert aligned(depth[:, ::2, ::2], pixels, units).metres_per_unit == pytest.approx(UNIT_M, rel=0.02)


def test_the_sigma_of_the_scale_is_calibrated() -> None:
    """Over many models that err as models do, the error of the scale in units of its sigma has unit spread."""
    errors = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        depth, pixels, units = scene(rng)
        found = aligned(fake_model(depth, rng, domain=0.1, frame=0.08, pixel=0.1), pixels, units)
        errors.append(np.log(found.metres_per_unit / UNIT_M) / found.scale_sigma_rel)
    assert 0.75 < np.std(errors) < 1.15 and np.abs(errors).max() < 3.5


def test_what_changes_over_the_clip_is_measured_from_the_clip() -> None:
    """A domain error of zero is promised: what is left must cover the frames' own changes."""
    errors, sigmas = [], []
    for seed in range(60):
        rng = np.random.default_rng(100 + seed)
        depth, pixels, units = scene(rng)
        found = aligned(fake_model(depth, rng, domain=0.0, frame=0.15, pixel=0.05), pixels, units, domain=1e-6)
        errors.append(np.log(found.metres_per_unit / UNIT_M) / found.scale_sigma_rel)
        sigmas.append(found.scale_sigma_rel)
    assert np.std(errors) < 1.4 and 0.02 < np.median(sigmas) < 0.15


def test_each_frames_own_factor_is_found() -> None:
    depth, pixels, units = scene(np.random.default_rng(1))
    factor = np.exp(0.1 * np.sin(np.arange(FRAMES)))
    found = aligned(depth * factor[:, None, None], pixels, units)
    np.testing.assert_allclose(found.frame_factor, factor / np.median(factor), rtol=0.02)


def test_a_model_that_squeezes_depth_is_doubted_more() -> None:
    depth, pixels, units = scene(np.random.default_rng(2))
    squeezed = aligned(depth**0.7, pixels, units)
    assert squeezed.trend == pytest.approx(-0.3 / 0.7, abs=0.05) and squeezed.scale_sigma_rel > 0.13


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(lambda d, rng: d * 100, "depth_out_of_domain", id="far beyond the model's reach"),
        pytest.param(lambda d, rng: np.full_like(d, np.nan), "depth_out_of_domain", id="no depth at all"),
        pytest.param(lambda d, rng: rng.uniform(0.5, 70, d.shape), "depth_inconsistent", id="noise"),
        pytest.param(lambda d, rng: d * np.exp(rng.normal(0, 0.6, (len(d), 1, 1))), "depth_inconsistent", id="jumping scale"),
    ],
)
def test_a_model_that_does_not_see_the_scene_is_refused(spoil, reason: str) -> None:
    depth, pixels, units = scene(np.random.default_rng(3))
    with pytest.raises(Rejected, match=reason):
        aligned(spoil(depth, np.random.default_rng(4)), pixels, units)


def structure() -> tuple[Structure, np.ndarray]:
    depth, pixels, units = scene(np.random.default_rng(5))
    poses = np.tile(np.eye(4), (FRAMES, 1, 1))
    poses[:, 2, 3] = np.linspace(0, 1, FRAMES)
    sigma = np.r_[180.0, np.full(FRAMES - 1, 0.5)]
    stats = {"least_points_in_frame": 120, "reprojection_px": 0.4}
    return Structure(RelativeCameraPath(poses, sigma, False, stats), CAMERA, pixels, units), depth


def test_a_path_becomes_metric_by_a_model_and_by_nothing_else() -> None:
    relative, depth = structure()
    with pytest.raises(TypeError, match="metric"):
        metric(relative.path)
    path = scaled_path(relative, depth, DepthConfig(mono="zoedepth"))
    assert isinstance(metric(path), CameraPath)
    np.testing.assert_allclose(path.centers_m[-1], [0, 0, UNIT_M], rtol=1e-5)
    assert path.stats["scale_from"] == "zoedepth"
    # The doubt of the scale reaches every fact of the clip, and the frames' own disagreement the covariance.
    assert scale_sigma_rel(path, RelationsConfig(), ()) >= 0.15
    noisy = depth * np.exp(np.random.default_rng(6).normal(0, 0.1, (FRAMES, 1, 1)))
    doubted = scaled_path(relative, noisy, DepthConfig(mono="zoedepth"))
    assert doubted.position_sigma_m[-1] > 3 * path.position_sigma_m[-1]
    assert replace(path, stats={}).position_sigma_m[0] == 0.0
