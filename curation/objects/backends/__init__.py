"""Learned sources of masks and names. A model says *what and where* a thing is; whether it *moves* stays geometry's decision.

One module per backend, each with ``find_instances(left, config) -> list[Instance]``; none is imported unless chosen.
"""

from __future__ import annotations

from importlib import import_module

from jaxtyping import UInt8

from curation.objects.backends.instances import Instance
from curation.objects.measure import Measured
from schemas.camera import Array, CameraPath
from schemas.clip import ClipFrames
from schemas.config import ObjectsConfig
from schemas.track import ObjectTrack

MODULES = {
    "onnx": "curation.objects.backends.onnx",
    "sam3": "curation.objects.backends.sam3",
    "grounded_sam2": "curation.objects.backends.grounded_sam2",
    "edgetam": "curation.objects.backends.edgetam",
}


def find_instances(left: UInt8[Array, "t h w 3"], config: ObjectsConfig, prompts: tuple[str, ...] = ()) -> list[Instance]:
    """Everything of a known class that the chosen model sees, moving or not, tracked over the frames.

    Args:
        left: (T, H, W, 3) RGB frames of the left eye.
        config: ``backend`` and what belongs to it. ``motion`` has no model and sees nothing.
        prompts: nouns to look for, in place of ``config.prompts``, where a model listed the clip's entities.

    Returns:
        Instances, most certain first.

    Raises:
        WeightsMissing: with what to download, how, and how large it is.
        ImportError: the extra that the backend needs is not installed.
    """
    if config.backend == "motion":
        return []
    wanted = config.model_copy(update={"prompts": prompts}) if prompts else config
    found: list[Instance] = import_module(MODULES[config.backend]).find_instances(left, wanted)
    return found


def refined(
    objects: list[ObjectTrack],
    frames: ClipFrames,
    path: CameraPath,
    config: ObjectsConfig,
    prompts: tuple[str, ...] = (),
    measured: Measured | None = None,
    seed: int = 0,
) -> list[ObjectTrack]:
    """The objects of geometry after the chosen model has looked at the clip; see ``refine.refine``."""
    from curation.objects.backends.points import point_finder
    from curation.objects.backends.refine import refine

    instances = find_instances(frames.left, config, prompts)
    finder = point_finder(frames.left, config) if config.points == "cotracker" and instances else None
    return refine(objects, frames, instances, path, finder, measured, seed)


__all__ = ["MODULES", "Instance", "find_instances", "refined"]
