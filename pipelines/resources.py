"""What a stage wants of its worker, by the configuration: cores, a share of a GPU, models that are loaded once for many clips."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.config import Config


@dataclass(frozen=True)
class Resources:
    """What a stage wants of its worker.

    ``model`` names the options that ask for models, for messages; "" where there are none.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    model: str = ""


# Of a GPU with 24 GB, by the size of the usual weights and what a batch adds; run.gpus_per_model says otherwise.
_GPU_SHARE: dict[str, dict[str, float]] = {
    "cameras.backend": {"depth_anything_3": 0.5, "vggt": 1.0},
    "cameras.features": {"superpoint": 0.125, "xfeat": 0.125, "aliked": 0.125},
    "depth.mono": {"depth_anything_v2": 0.25, "depth_pro": 0.5, "zoedepth": 0.25, "moge2": 0.25, "depth_anything_3": 0.25},
    "objects.backend": {"onnx": 0.0, "sam3": 0.5, "grounded_sam2": 0.5, "edgetam": 0.25},
    "objects.points": {"cotracker": 0.25},
}


def plain(config: Config) -> Resources:
    """One core, nothing else."""
    return Resources()


def cameras_resources(config: Config) -> Resources:
    """Paths of one eye: a network that proposes them, learned features, metric depth. Stereo needs none of them."""
    return _models(config, "cameras.backend", "cameras.features", "depth.mono")


def objects_resources(config: Config) -> Resources:
    """Models that name and outline objects, what follows points, and metric depth for one eye."""
    return _models(config, "objects.backend", "objects.points", "depth.mono")


def _models(config: Config, *options: str) -> Resources:
    """What the models that some of these options ask for want of one worker, which holds all of them."""
    gpus, asked = 0.0, []
    for option in options:
        section, _, name = option.partition(".")
        values = getattr(config, section)
        share = _GPU_SHARE[option].get(getattr(values, name))
        if share is None:
            continue
        asked.append(f"{option}={getattr(values, name)}")
        gpus += share if values.device == "auto" or values.device.startswith("cuda") else 0.0
    return Resources(gpus=min(gpus, 1.0), model=", ".join(asked))
