"""Draw a world from a seed: camera, surroundings, bodies, light, sensor."""

from __future__ import annotations

import numpy as np

from curation.worlds.bodies import BUILDERS
from curation.worlds.events import EVENTS, Draft, populate
from curation.worlds.meshes import join
from curation.worlds.motion import CAMERAS, PROFILES, CameraMotion
from curation.worlds.scenery import indoor, outdoor
from curation.worlds.textures import Material
from curation.worlds.world import Light, Sensor, World
from schemas.camera import Intrinsics

TEXTURES = ("rich", "mixed", "plain", "repeat")


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
    event: str | None = None,
    noise: float = 1.0,
    shutter: float = 0.0,
    flicker: float = 0.0,
) -> World:
    """A world drawn from ``seed``; the options pin what should not be left to chance.

    Args:
        seed: decides everything that no option pins.
        camera: a key of ``motion.CAMERAS``.
        frames: number of frames.
        width: of the image, pixels.
        height: of the image, pixels.
        baseline_m: the right eye stands at +X by this.
        hfov_deg: horizontal field of view.
        movers: number of moving bodies; None draws 1 to 4. Fewer come where there is no room.
        parked: number of standing bodies, mostly look-alikes of the movers; None draws 0 to 3.
        texture: "rich", "mixed" (some surfaces plain), "plain" (hardly any texture) or "repeat" (strictly repeated tiles).
        fps: frame rate.
        scene: "indoor" or "outdoor"; None draws it ("fast" is always outdoors).
        profile: one of ``motion.PROFILES`` for all movers.
        category: a key of ``bodies.BUILDERS`` for all bodies.
        event: one of ``EVENTS`` for all movers.
        noise: of the sensor, grey levels.
        shutter: share of the frame interval during which light is gathered (motion blur).
        flicker: relative amplitude of a slow change of exposure.

    Raises:
        ValueError: an option is not among the values listed.
    """
    allowed = {"camera": CAMERAS, "texture": TEXTURES, "scene": (None, "indoor", "outdoor"), "profile": (None, *PROFILES),
               "category": (None, *BUILDERS), "event": (None, *EVENTS)}  # fmt: skip
    given = {"camera": camera, "texture": texture, "scene": scene, "profile": profile, "category": category, "event": event}
    for option, value in given.items():
        if value not in allowed[option]:
            raise ValueError(f"expected {option} out of {sorted(v for v in allowed[option] if v)}, got {value!r}")
    rng = np.random.default_rng([seed, 1])
    scene = scene or ("outdoor" if rng.random() < 0.5 else "indoor")
    outdoors = scene == "outdoor" or camera == "fast"
    duration = frames / fps
    low, high = CAMERAS[camera]
    amount = float(rng.uniform(low, high)) * (1.0 if camera in ("orbit", "pan") else duration / 4.0)
    shaken = camera == "shake"
    motion = CameraMotion(
        camera, float(rng.uniform(1.2, 1.8)), amount, duration, float(np.deg2rad(rng.uniform(4, 14))),
        tuple(float(w) for w in rng.random(12)), shake_m=float(rng.uniform(0.02, 0.07)) if shaken else 0.0,
        shake_deg=float(rng.uniform(1, 4)) if shaken else 0.0, focus_m=float(rng.uniform(4, 6)), side=float(rng.choice([-1, 1])),
    )  # fmt: skip
    fx = float(width / 2 / np.tan(np.deg2rad(hfov_deg) / 2))
    view = Intrinsics(fx, fx, width / 2, height / 2, width, height)
    materials: list[Material] = []
    place = (outdoor if outdoors else indoor)(np.random.default_rng([seed, 2]), materials, texture, motion)
    movers = int(rng.integers(1, 5)) if movers is None else movers
    parked = int(rng.integers(0, 4)) if parked is None else parked
    draft = Draft(np.random.default_rng([seed, 3]), motion, view, place, materials, [], texture, outdoors, duration)
    extra, happened = populate(draft, movers, parked, profile, category, event)
    sun = np.array([rng.uniform(-0.7, 0.7), -1.0, rng.uniform(-0.7, 0.5)])
    lamp = (
        float(np.mean(place.bounds[:2]) + rng.uniform(-1, 1)),
        -place.ceiling_m + 0.1,
        float(np.mean(place.bounds[2:]) - rng.uniform(0, 2)),
    )
    light = (
        Light(tuple(sun / np.linalg.norm(sun)), False, 1.3, 0.45, (0.30, 0.48, 0.85))
        if outdoors
        else Light(lamp, True, 1.1, 0.55, None)
    )
    options = {**given, "scene": "outdoor" if outdoors else "indoor", "noise": noise, "shutter": shutter, "flicker": flicker,
               "hfov_deg": hfov_deg, "events": happened}  # fmt: skip
    return World(
        seed=seed, scenario=options, camera=view, baseline_m=baseline_m, fps=fps, frames=frames,
        scenery=join(place.mesh, *extra), bodies=tuple(draft.bodies), materials=tuple(materials), motion=motion, light=light,
        sensor=Sensor(noise, shutter, flicker, float(rng.uniform(0.98, 1.02))),
    )  # fmt: skip
