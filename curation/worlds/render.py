"""Ray-cast a world with Embree, both eyes, frame by frame.

Every colour sample is a ray of its own: 2 per pixel, 6 where something begins or ends (another surface, a shadow's edge), 8 over
the shutter time where there is motion blur. Textures are looked up in mip pyramids: what remains of aliasing is below the
sensor noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from curation.geometry import transform
from curation.worlds.exact import truth_of
from curation.worlds.shading import Stage, develop, shade
from curation.worlds.truth import Truth
from curation.worlds.world import World
from schemas.camera import Array
from schemas.clip import ClipFrames

# All sets of samples have zero mean: neither edges nor blur shift the image.
_BASE = np.array([[-0.25, -0.25], [0.25, 0.25]])
_EDGE = np.array([[-0.375, 0.125], [0.125, -0.375], [0.375, -0.125], [-0.125, 0.375]])
# Eight rooks: no two samples share a row, a column or an instant.
_ROOKS = (np.array([[0, 3], [5, 0], [2, 6], [7, 4], [4, 7], [1, 1], [6, 5], [3, 2]]) - 3.5) / 8


@dataclass(frozen=True)
class RenderedWorld:
    """Pixels and truth of a world.

    Attributes:
        left, right: (N, H, W, 3) RGB.
    """

    world: World
    left: UInt8[Array, "n h w 3"]
    right: UInt8[Array, "n h w 3"]
    truth: Truth

    def clip_frames(self, question_frames: int = 32) -> ClipFrames:
        """The clip as rooms measure it: measuring frames = all frames."""
        index = np.arange(len(self.left))
        return ClipFrames(
            clip_id=f"world{self.world.seed:011d}",
            left=self.left,
            right=self.right,
            times_s=self.world.times_s,
            video_index=index,
            source_index=index,
            question=np.round(np.linspace(0, len(index) - 1, question_frames)).astype(int),
            camera=self.world.camera,
            baseline_m=self.world.baseline_m,
        )


def _directions(world: World, offset: Float[Array, "2"]) -> tuple[Float[Array, "n 3"], float]:
    """Rays through every pixel in camera axes, and the angle between neighbouring samples, radians."""
    width, height = world.image_size
    u, v = np.meshgrid(np.arange(width) + 0.5 + offset[0], np.arange(height) + 0.5 + offset[1])
    if world.projection == "equirect":
        longitude, latitude = (u / width - 0.5) * np.pi, (v / height - 0.5) * np.pi
        rays = np.stack([np.cos(latitude) * np.sin(longitude), np.sin(latitude), np.cos(latitude) * np.cos(longitude)], -1)
        return rays.reshape(-1, 3), 0.6 * np.pi / max(width, height)
    view = world.camera
    rays = np.stack([(u - view.cx) / view.fx, (v - view.cy) / view.fy, np.ones_like(u)], -1)
    return rays.reshape(-1, 3), 0.6 / view.fx


def _edges(keys: list[Int[Array, "n"]], depths: list[Float[Array, "n"]], shape: tuple[int, int]) -> Bool[Array, "n"]:
    """Pixels in which, or beside which, the surface, its light or its depth changes abruptly."""
    first, second = (k.reshape(shape) for k in keys)
    near, far = np.minimum(*depths).reshape(shape), np.maximum(*depths).reshape(shape)
    out = (first != second) | (far > 1.04 * near)
    for ahead, behind in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
        change = (first[ahead] != second[behind]) | (far[ahead] > 1.04 * near[behind]) | (far[behind] > 1.04 * near[ahead])
        out[ahead] |= change
        out[behind] |= change
    return np.asarray(out.ravel())


def _sharp(world: World, t: float, eyes: Sequence[int]) -> list[Float[Array, "n 3"]]:
    """Linear RGB of the pixels of each eye at one instant."""
    width, height = world.image_size
    stage, scene_from_camera = Stage(world, t), world.scene_from_camera(t)
    rotation = scene_from_camera[:3, :3].T
    base, edge = ([_directions(world, offset) for offset in offsets] for offsets in (_BASE, _EDGE))
    images = []
    for eye in eyes:
        origin = transform(scene_from_camera, np.array([eye * world.baseline_m, 0.0, 0.0]))
        samples = [shade(world, stage, origin, local @ rotation, angle) for local, angle in base]
        image = samples[0][0] + samples[1][0]
        at = np.flatnonzero(_edges([s[1] for s in samples], [s[2] for s in samples], (height, width)))
        more = sum(shade(world, stage, origin, local[at] @ rotation, angle)[0] for local, angle in edge) if len(at) else 0.0
        image[at] = (image[at] + more) / 3
        images.append(image / 2)
    return images


def _blurred(world: World, middle: float, eyes: Sequence[int]) -> list[Float[Array, "n 3"]]:
    """Linear RGB of the pixels of each eye, gathered over the shutter time around ``middle``."""
    shutter = world.sensor.shutter / world.fps
    sums: list[Array] = [np.zeros(1, np.float32) for _ in eyes]
    for index, offset in enumerate(_ROOKS):
        t = middle + ((index + 0.5) / len(_ROOKS) - 0.5) * shutter
        stage, scene_from_camera = Stage(world, t), world.scene_from_camera(t)
        local, angle = _directions(world, offset)
        for slot, eye in enumerate(eyes):
            origin = transform(scene_from_camera, np.array([eye * world.baseline_m, 0.0, 0.0]))
            sums[slot] = sums[slot] + shade(world, stage, origin, local @ scene_from_camera[:3, :3].T, angle)[0]
    return [s / len(_ROOKS) for s in sums]


def render_frame(world: World, frame: int, eyes: Sequence[int] = (0, 1)) -> list[UInt8[Array, "h w 3"]]:
    """Images of one frame, for each of ``eyes`` (0 left, 1 right)."""
    width, height = world.image_size
    images = (_blurred if world.sensor.shutter else _sharp)(world, float(world.times_s[frame]), eyes)
    return [develop(world, image.reshape(height, width, 3), frame, eye) for image, eye in zip(images, eyes, strict=True)]


def frames_of(world: World, eyes: Sequence[int] = (0, 1)) -> Iterator[list[UInt8[Array, "h w 3"]]]:
    """The images of every frame in turn."""
    for frame in range(world.frames):
        yield render_frame(world, frame, eyes)


def render(world: World) -> RenderedWorld:
    """All frames of both eyes, and the truth: about a second per 640x400 stereo frame on one thread."""
    pairs = list(frames_of(world))
    return RenderedWorld(world, np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs]), truth_of(world))
