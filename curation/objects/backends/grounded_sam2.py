"""Grounding DINO and SAM 2 video: the pair that the paper's own pipeline names (Liu et al. 2024; Ravi et al. 2024)."""

from __future__ import annotations

from jaxtyping import UInt8

from curation.objects.backends import grounded
from curation.objects.backends.instances import Instance
from curation.objects.backends.runtime import download_advice
from schemas.camera import Array
from schemas.config import ObjectsConfig

MODEL = "facebook/sam2.1-hiera-large"
_ADVICE = download_advice(MODEL, "about 0.9 GB", "Apache-2.0", "objects.weights")


def find_instances(left: UInt8[Array, "t h w 3"], config: ObjectsConfig) -> list[Instance]:
    """Instances of the prompts, segmented in every frame; see ``grounded.find_instances``."""
    return grounded.find_instances(left, config, "Sam2VideoModel", config.weights or MODEL, _ADVICE)
