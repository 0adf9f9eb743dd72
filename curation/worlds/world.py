"""A world: static surroundings, bodies that move or stand, a stereo camera's path, light and the sensor. All from a seed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from curation.geometry import inverse
from curation.worlds.bodies import BUILDERS, COLOURS, Body, paint
from curation.worlds.meshes import Mesh
from curation.worlds.motion import CAMERAS, CameraMotion, Motion
from curation.worlds.scenery import Scenery, indoor, outdoor
from curation.worlds.textures import Material
from schemas.camera import Array, Intrinsics


@dataclass(frozen=True)
class Sensor:
    """What the camera does to light.

    Attributes:
        noise: standard deviation of the read noise in grey levels (0..255); shot noise grows with brightness from it.
        shutter: share of the frame interval during which light is gathered (motion blur); 0 is none.
        flicker: relative amplitude of a slow change of exposure over the clip.
        eye_gain: relative gain of the right eye.
    """

    noise: float = 1.0
    shutter: float = 0.0
    flicker: float = 0.0
    eye_gain: float = 1.0


@dataclass(frozen=True)
class World:
    """Everything that decides the pixels. ``scene`` axes: ground at y = 0, +Y down; truth is given in the world frame.

    Attributes:
        seed: of all noise.
        scenario: the options it was made with, plain JSON values.
    """

    seed: int
    scenario: dict[str, object]
    camera: Intrinsics
    baseline_m: float
    fps: float
    frames: int
    scenery: Mesh
    bodies: tuple[Body, ...]
    materials: tuple[Material, ...]
    motion: CameraMotion
    sun: tuple[float, float, float]  # unit vector towards the light, scene frame
    sky: tuple[float, float, float] | None  # colour at the zenith; None indoors
    ambient: float
    sensor: Sensor = field(default_factory=Sensor)

    @property
    def times_s(self) -> Float[Array, "t"]:
        """Time of each frame."""
        return np.arange(self.frames) / self.fps

    def scene_from_camera(self, t: float) -> Float[Array, "4 4"]:
        """Pose of the left eye in the scene frame."""
        return self.motion.at(t)

    @property
    def world_from_scene(self) -> Float[Array, "4 4"]:
        """The world frame is the left eye of frame 0."""
        return inverse(self.motion.at(0.0))


def _speed_range(category: str, outdoors: bool) -> tuple[float, float]:
    if category in ("car", "van"):
        return (0.6, 5.0) if outdoors else (0.4, 1.4)
    return (0.5, 1.6) if category == "person" else (0.3, 1.8)


def _fits(body: Body, others: list[Body], camera: CameraMotion, view: Intrinsics, place: Scenery, duration: float) -> bool:
    """Whether a body keeps clear of everything at all times and is in view for at least half of the clip."""
    seen = 0
    times = np.linspace(0, duration, 25)
    for t in times:
        p = body.motion.at(t)[:3, 3]
        x_low, x_high, z_low, z_high = place.bounds
        r = body.radius_m
        if not (x_low + r < p[0] < x_high - r and z_low + r < p[2] < z_high - r):
            return False
        if any(np.hypot(p[0] - x, p[2] - z) < r + radius + 0.05 for x, z, radius in place.obstacles):
            return False
        if any(np.hypot(*(p - o.motion.at(t)[:3, 3])[[0, 2]]) < r + o.radius_m + 0.1 for o in others):
            return False
        camera_from_scene = inverse(camera.at(t))
        q = camera_from_scene[:3, :3] @ (p - [0, body.size_m[1] / 2, 0]) + camera_from_scene[:3, 3]
        if np.hypot(q[0], q[2]) < r + 0.9:
            return False
        u = view.fx * q[0] / max(q[2], 0.1) + view.cx
        v = view.fy * q[1] / max(q[2], 0.1) + view.cy
        seen += bool(q[2] > 0.5 and 0.04 * view.width < u < 0.96 * view.width and 0 < v < view.height)
    return seen >= 0.5 * len(times)


def make_world(
    seed: int,
    *,
    camera: str = "forward",
    frames: int = 40,
    width: int = 640,
    height: int = 400,
    baseline_m: float = 0.12,
    hfov_deg: float = 72.0,
    movers: int | None = None,
    parked: int | None = None,
    texture: str = "rich",
    fps: float = 10.0,
    scene: str | None = None,
    profile: str | None = None,
    category: str | None = None,
    noise: float = 1.0,
    shutter: float = 0.0,
    flicker: float = 0.0,
) -> World:
    """A world drawn from ``seed``; the options pin what should not be left to chance.

    Args:
        seed: decides everything that no option pins.
        camera: a key of ``motion.CAMERAS``.
        frames: number of frames; fps: their rate.
        width, height, hfov_deg: of the pinhole camera.
        baseline_m: the right eye stands at +X by this.
        movers, parked: number of moving bodies and of standing look-alikes; None draws 1-4 and 0-3.
        texture: "rich", "plain" (walls and bodies hardly textured) or "repeat" (strictly repeated patterns).
        scene: "indoor" or "outdoor"; None draws it ("fast" is always outdoors).
        profile: one of ``motion.PROFILES`` for all movers; category: a key of ``bodies.BUILDERS`` for all bodies.
        noise: read noise, grey levels; shutter: share of the frame interval (motion blur); flicker: exposure change.

    Raises:
        ValueError: an option is not among the values listed.
    """
    if camera not in CAMERAS:
        raise ValueError(f"expected a camera out of {sorted(CAMERAS)}, got {camera!r}")
    if texture not in ("rich", "plain", "repeat"):
        raise ValueError(f"expected texture 'rich', 'plain' or 'repeat', got {texture!r}")
    rng = np.random.default_rng([seed, 1])
    scene = scene or ("outdoor" if camera == "fast" or rng.random() < 0.5 else "indoor")
    outdoors = scene == "outdoor"
    duration = frames / fps
    low, high = CAMERAS[camera]
    amount = float(rng.uniform(low, high)) * (1.0 if camera in ("orbit", "pan") else duration / 4.0)
    lens = float(rng.uniform(1.2, 1.8))
    motion = CameraMotion(
        camera, lens, amount, duration, float(np.deg2rad(rng.uniform(4, 14))), tuple(rng.random(12)),
        shake_m=0.05 if camera == "shake" else 0.0, shake_deg=2.5 if camera == "shake" else 0.0,
        focus_m=float(rng.uniform(4, 6)), side=float(rng.choice([-1, 1])),
    )  # fmt: skip
    fx = width / 2 / np.tan(np.deg2rad(hfov_deg) / 2)
    view = Intrinsics(fx, fx, width / 2, height / 2, width, height)
    materials: list[Material] = []
    place = (outdoor if outdoors else indoor)(np.random.default_rng([seed, 2]), materials, texture, motion)

    count = int(rng.integers(1, 5)) if movers is None else movers
    standing = int(rng.integers(0, 4)) if parked is None else parked
    kinds = ["ball", "crate", "barrel", "cone", "car", "van", "person", "board", "pole"]
    weights = np.array([1, 1.2, 1, 0.8, 2.2 if outdoors else 1.2, 1, 2, 0.4, 0.4])
    colours = list(rng.permutation(list(COLOURS)))
    bodies: list[Body] = []
    for index in range(count + standing):
        is_mover = index < count
        if is_mover or not bodies or rng.random() < 0.3:
            kind = category or str(rng.choice(kinds, p=weights / weights.sum()))
            colour = str(colours[index % len(colours)])
        else:  # a look-alike of a mover
            twin = bodies[int(rng.integers(0, min(len(bodies), count)))]
            kind, colour = twin.category, twin.colour
        for attempt in range(150):
            body = _draw_body(f"{colour}_{kind}_{index}", kind, colour, is_mover, profile, outdoors, materials, texture,
                              motion, view, duration, rng, closer=attempt > 75)  # fmt: skip
            if _fits(body, bodies, motion, view, place, duration):
                bodies.append(body)
                break
    sun = np.array([rng.uniform(-0.7, 0.7), -1.0, rng.uniform(-0.7, 0.5)])
    return World(
        seed=seed,
        scenario={"camera": camera, "scene": scene, "texture": texture, "movers": count, "parked": standing, "noise": noise,
                  "shutter": shutter, "flicker": flicker, "hfov_deg": hfov_deg, "profile": profile, "category": category},
        camera=view, baseline_m=baseline_m, fps=fps, frames=frames, scenery=place.mesh, bodies=tuple(bodies),
        materials=tuple(materials), motion=motion, sun=tuple(sun / np.linalg.norm(sun)),
        sky=(0.30, 0.48, 0.85) if outdoors else None, ambient=0.45 if outdoors else 0.6,
        sensor=Sensor(noise, shutter, flicker, float(rng.uniform(0.98, 1.02))),
    )  # fmt: skip


def _draw_body(
    name: str, kind: str, colour: str, is_mover: bool, profile: str | None, outdoors: bool, materials: list[Material],
    texture: str, camera: CameraMotion, view: Intrinsics, duration: float, rng: np.random.Generator, closer: bool,
) -> Body:  # fmt: skip
    build, (low, high) = BUILDERS[kind]
    if kind in ("car", "van"):
        low, high = (2.2, high) if outdoors else (low, 1.6)
    size = float(rng.uniform(low, high))
    first = len(materials)
    parts, box_m, stride = build(size, first, first + 1, first + 2)
    tint = tuple(float(x) for x in rng.uniform(0.03, 0.12, 3))
    materials += [
        paint(colour, texture, rng),
        Material(tint, "fbm", 0.6, 0.8),  # type: ignore[arg-type]
        Material((0.5, 0.3, 0.2), "fbm", 0.4, 0.4),
    ]
    when = float(rng.uniform(0.15, 0.85)) * duration
    u = float(rng.uniform(0.12, 0.88))
    depth = float(rng.uniform(2.2, 6.0 if not outdoors or closer else 14.0)) + box_m[2] / 2
    scene_from_camera = camera.at(when)
    sight = scene_from_camera[:3, :3] @ [(u * view.width - view.cx) / view.fx, 0, 1]
    target = scene_from_camera[:3, 3] + sight / np.hypot(sight[0], sight[2]) * depth
    heading = float(rng.uniform(-np.pi, np.pi))
    chosen = "stand"
    if is_mover:
        chosen = profile or str(rng.choice(["steady", "accelerate", "brake", "stop_and_go", "there_and_back", "turn"],
                                           p=[0.35, 0.15, 0.12, 0.15, 0.13, 0.1]))  # fmt: skip
    speed = float(rng.uniform(*_speed_range(kind, outdoors)))
    curvature = float(rng.choice([0.0, rng.uniform(-0.35, 0.35)]))
    spin = float(rng.uniform(0.4, 1.2) * rng.choice([-1, 1])) if chosen == "turn" else 0.0
    length = max(speed * duration, 0.6)
    trial = Motion((0.0, 0.0), heading, chosen, length, duration, curvature, spin)
    offset = trial.at(when)[:3, 3]  # start so that it stands at the target at that time
    motion = Motion(
        (float(target[0] - offset[0]), float(target[2] - offset[2])), heading, chosen, length, duration, curvature, spin
    )
    return Body(name, kind, colour, parts, motion, box_m, is_mover, stride if stride else 0.0)
