"""Depth Anything 3 out of its package (``depth-anything-3``), for metric depth and for poses alike.

Its ``inference`` is not used: that computes in half precision on processors too (three times slower), speaks on standard
output, and takes all pictures for views of one scene. Its preparation of pictures and its network are.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from jaxtyping import UInt8

from curation.objects.backends.runtime import download_advice, packaged
from schemas.camera import Array

INSTALL = (
    "pip install --no-deps depth-anything-3 moviepy==1.0.3 && pip install addict decorator einops imageio imageio-ffmpeg "
    "omegaconf plyfile proglog requests trimesh, and the torchvision that belongs to your torch (docs/backends-depth-poses.md)"
)
_SIDE = 504  # pixels of the longer side that it sees


def network(weights: str, device: str, option: str, size: str, licence: str) -> Any:
    """Its model on a device, in evaluation mode; once per process.

    Args:
        weights: a folder or a Hugging Face id.
        device: name of a torch device.
        option: name of the option that ``weights`` came from, for errors.
        size: of the weights, for errors.
        licence: likewise.

    Raises:
        ImportError, WeightsMissing: as ``packaged``.
    """
    os.environ.setdefault("DA3_LOG_LEVEL", "ERROR")  # read when it is imported
    advice = download_advice(weights, size, licence, option)
    return packaged("depth_anything_3.api", "DepthAnything3", weights, device, INSTALL, option, advice)


def pixels(model: Any, images: UInt8[Array, "k H W 3"]) -> Any:
    """Normalised (k, 3, h, w) on the host, of RGB pictures: the longer side 504, both in steps of 14."""
    pictures = [np.ascontiguousarray(image) for image in images]
    prepared, _, _ = model.input_processor(pictures, None, None, _SIDE, "upper_bound_resize", num_workers=1)
    return prepared
