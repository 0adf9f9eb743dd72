"""A world: static surroundings, bodies that move or stand, a stereo camera's path, light and the sensor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from curation.geometry import inverse
from curation.worlds.bodies import Body
from curation.worlds.meshes import Mesh
from curation.worlds.motion import CameraMotion
from curation.worlds.textures import Material
from schemas.camera import Array, Intrinsics


@dataclass(frozen=True)
class Sensor:
    """What the camera does to light.

    Attributes:
        noise: standard deviation of the noise in grey levels (0..255) at middle brightness; it grows with brightness.
        shutter: share of the frame interval during which light is gathered (motion blur); 0 is none.
        flicker: relative amplitude of a slow change of exposure over the clip.
        eye_gain: relative gain of the right eye.
    """

    noise: float = 1.0
    shutter: float = 0.0
    flicker: float = 0.0
    eye_gain: float = 1.0


@dataclass(frozen=True)
class Light:
    """Outdoors a sun (``towards`` is a direction) with sky, in a room a lamp (``towards`` is a point). Scene frame.

    Attributes:
        towards: unit direction to the sun, or position of the lamp, metres.
        is_lamp: which of both.
        strength, ambient: of the direct light and of the light from everywhere.
        sky: colour at the zenith, linear RGB; None in a room.
    """

    towards: tuple[float, float, float]
    is_lamp: bool
    strength: float
    ambient: float
    sky: tuple[float, float, float] | None


@dataclass(frozen=True)
class World:
    """Everything that decides the pixels. Scene frame: ground at y = 0, +Y down; truth is given in the world frame.

    Attributes:
        seed: of all noise.
        scenario: the options it was made with, plain JSON values.
        camera: the pinhole camera of both eyes; for VR180 the perspective view that is cut out of it.
        baseline_m: the right eye stands at +X by this.
        projection: "pinhole", or "equirect" for 180 x 180 deg per eye, ``equirect_size`` pixels wide and high.
    """

    seed: int
    scenario: dict[str, Any]
    camera: Intrinsics
    baseline_m: float
    fps: float
    frames: int
    scenery: Mesh
    bodies: tuple[Body, ...]
    materials: tuple[Material, ...]
    motion: CameraMotion
    light: Light
    sensor: Sensor = field(default_factory=Sensor)
    projection: Literal["pinhole", "equirect"] = "pinhole"
    equirect_size: tuple[int, int] = (512, 512)

    @property
    def times_s(self) -> Float[Array, "n"]:
        """Time of the middle of each frame's exposure."""
        return np.arange(self.frames) / self.fps

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of one eye's image."""
        return (self.camera.width, self.camera.height) if self.projection == "pinhole" else self.equirect_size

    def scene_from_camera(self, t: float) -> Float[Array, "4 4"]:
        """Pose of the left eye in the scene frame at time ``t``, seconds."""
        return self.motion.at(t)

    @property
    def world_from_scene(self) -> Float[Array, "4 4"]:
        """The world frame is the left eye of frame 0."""
        return inverse(self.motion.at(0.0))
