"""Grounding DINO and EdgeTAM: the same as ``grounded_sam2`` for small cards, at a fraction of its cost (Zhou et al. 2025)."""

from __future__ import annotations

from jaxtyping import UInt8

from curation.objects.backends import grounded
from curation.objects.backends.instances import Instance
from curation.objects.backends.runtime import download_advice
from schemas.camera import Array
from schemas.config import ObjectsConfig

MODEL = "yonigozlan/EdgeTAM-hf"
_ADVICE = download_advice(MODEL, "about 60 MB", "Apache-2.0", "objects.weights")


def find_instances(left: UInt8[Array, "t h w 3"], config: ObjectsConfig) -> list[Instance]:
    """Instances of the prompts, segmented in every frame; see ``grounded.find_instances``."""
    return grounded.find_instances(left, config, "EdgeTamVideoModel", config.weights or MODEL, _ADVICE)
