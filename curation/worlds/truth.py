"""What is really there, per source frame, and how it is written and read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool, Float, UInt8

from schemas.camera import Array


@dataclass(frozen=True)
class Truth:
    """Exact truth of a rendered world. World frame = the left camera of frame 0, metres, OpenCV axes. N frames, K bodies.

    Attributes:
        world_from_camera: (N, 4, 4) of the left eye.
        names, categories, colours: K words each; the order of all arrays below.
        is_mover: (K,) moves at some time of the clip.
        rigid: (K,) False for bodies with swinging limbs.
        moving: (N, K) moves at that frame (some point of it faster than 0.05 m/s).
        world_from_object: (N, K, 4, 4) pose of the body.
        points_m: per body (N, M, 3): the same material surface points at every frame.
        centroid_m: (N, K, 3) mean of ``points_m``: a fixed material point for a rigid body, the body's mean for a walker.
        labels: (N, H, W) which body the ray through each pixel's centre of the left eye meets: k + 1, or 0.
        depth_m: (N, H, W) float32 depth along +Z there; inf where sky. None where not kept.
        visible_fraction: (N, K) visible pixels over the pixels the body would cover alone in an unbounded image.
        info: plain JSON values: fps, intrinsics, baseline, scenario.
    """

    world_from_camera: Float[Array, "n 4 4"]
    names: tuple[str, ...]
    categories: tuple[str, ...]
    colours: tuple[str, ...]
    is_mover: Bool[Array, "k"]
    rigid: Bool[Array, "k"]
    moving: Bool[Array, "n k"]
    world_from_object: Float[Array, "n k 4 4"]
    points_m: tuple[Float[Array, "n m 3"], ...]
    centroid_m: Float[Array, "n k 3"]
    labels: UInt8[Array, "n h w"]
    depth_m: Float[Array, "n h w"] | None
    visible_fraction: Float[Array, "n k"]
    info: dict[str, Any]

    def mask(self, frame: int, body: int) -> Bool[Array, "h w"]:
        """Visible pixels of a body."""
        return self.labels[frame] == body + 1
