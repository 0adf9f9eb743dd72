"""Things that can move: simple bodies with a nameable colour, rigid or (people) of swinging limbs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from curation.geometry import pose, rotation_from_vector
from curation.worlds.meshes import Mesh, box, capsule, cylinder, ellipsoid, join, surface_points
from curation.worlds.motion import Motion
from curation.worlds.textures import Material
from schemas.camera import Array

COLOURS: dict[str, tuple[float, float, float]] = {  # linear RGB
    "red": (0.62, 0.03, 0.03),
    "orange": (0.80, 0.22, 0.02),
    "yellow": (0.78, 0.55, 0.03),
    "green": (0.04, 0.33, 0.07),
    "blue": (0.03, 0.10, 0.55),
    "purple": (0.22, 0.04, 0.36),
    "pink": (0.80, 0.22, 0.38),
    "brown": (0.20, 0.085, 0.03),
    "white": (0.72, 0.72, 0.72),
    "black": (0.025, 0.025, 0.028),
}
MODEL_POINTS = 1500


@dataclass(frozen=True)
class Part:
    """A rigid piece of a body. It hangs at ``pivot_m`` and turns about X as the body travels.

    Attributes:
        mesh: in the frame of the piece.
        pivot_m: where the piece's origin is in the body.
        swing_rad, lag_rad: it swings like a limb: ``swing * sin(gait + lag)``.
        roll_radius_m: it rolls like a wheel of this radius; 0 does not roll.
    """

    mesh: Mesh
    pivot_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    swing_rad: float = 0.0
    lag_rad: float = 0.0
    roll_radius_m: float = 0.0

    def object_from_part(self, distance_m: float, stride_m: float) -> Float[Array, "4 4"]:
        """Pose of the piece in the body after ``distance_m`` of travel."""
        gait = 2 * np.pi * distance_m / stride_m if stride_m else 0.0
        angle = self.swing_rad * np.sin(gait + self.lag_rad)
        if self.roll_radius_m:
            angle -= distance_m / self.roll_radius_m
        return pose(rotation_from_vector(np.array([angle, 0.0, 0.0])), np.asarray(self.pivot_m))


@dataclass(frozen=True)
class Body:
    """One object of a world.

    Attributes:
        name: unique in its world (``red_car_0``).
        category: a key of ``BUILDERS``.
        colour: a key of ``COLOURS``.
        parts: its pieces; one for a rigid body.
        motion: where it is when.
        size_m: (x, y, z) of its bounding box.
        is_mover: it moves at some time in its world; a parked look-alike does not.
        stride_m: distance of a full gait cycle; 0 for a rigid body.
    """

    name: str
    category: str
    colour: str
    parts: tuple[Part, ...]
    motion: Motion
    size_m: tuple[float, float, float]
    is_mover: bool
    stride_m: float = 0.0

    @property
    def rigid(self) -> bool:
        """Whether all its points keep their distances."""
        return self.stride_m == 0

    @property
    def radius_m(self) -> float:
        """Of its footprint."""
        return float(np.hypot(self.size_m[0], self.size_m[2]) / 2)

    def scene_from_parts(self, t: float) -> Float[Array, "p 4 4"]:
        """Pose of every piece at time ``t``, seconds."""
        distance = self.motion.distance(t)
        return np.stack([self.motion.at(t) @ part.object_from_part(distance, self.stride_m) for part in self.parts])

    def mesh_at(self, t: float) -> Mesh:
        """The body's triangles in the scene frame at time ``t``."""
        return join(*[part.mesh.moved(m) for part, m in zip(self.parts, self.scene_from_parts(t), strict=True)])

    def model(self, rng: np.random.Generator) -> tuple[Float[Array, "m 3"], Int[Array, "m"], int]:
        """Surface points in the frame of their piece, the piece of each, and how many are spread evenly.

        About ``MODEL_POINTS`` are spread by area, so that their mean is the body's centroid; the corners of the mesh
        come after them, so that the nearest point is found exactly at corners too.
        """
        areas = []
        for part in self.parts:
            c = part.mesh.corners_m
            areas.append(float(np.linalg.norm(np.cross(c[:, 1] - c[:, 0], c[:, 2] - c[:, 0]), axis=1).sum()))
        counts = [max(8, round(MODEL_POINTS * a / sum(areas))) for a in areas]
        spread = [surface_points(part.mesh, n, rng) for part, n in zip(self.parts, counts, strict=True)]
        corners = [np.unique(part.mesh.corners_m.reshape(-1, 3).round(9), axis=0) for part in self.parts]
        index = np.arange(len(self.parts))
        owner = np.concatenate([np.repeat(index, counts), np.repeat(index, [len(c) for c in corners])])
        return np.concatenate([*spread, *corners]), owner, sum(counts)


def _at(mesh: Mesh, x: float, y: float, z: float, turn: Array | None = None) -> Mesh:
    return mesh.moved(pose(np.eye(3) if turn is None else turn, np.array([x, y, z])))


# Builders take (size in metres, indices of the paint, trim and skin materials) and return parts, bounding box, stride.
Built = tuple[tuple[Part, ...], tuple[float, float, float], float]


def _ball(size: float, paint: int, trim: int, skin: int) -> Built:
    r = size / 2
    return (Part(ellipsoid((r, r, r), paint, 32), (0, -r, 0)),), (size, size, size), 0.0


def _rolling_ball(size: float, paint: int, trim: int, skin: int) -> Built:
    r = size / 2
    return (Part(ellipsoid((r, r, r), paint, 32), (0, -r, 0), roll_radius_m=r),), (size, size, size), 0.0


def _crate(size: float, paint: int, trim: int, skin: int) -> Built:
    x, y, z = size, size * 0.8, size * 1.2
    return (Part(_at(box((x, y, z), paint), 0, -y / 2, 0)),), (x, y, z), 0.0


def _board(size: float, paint: int, trim: int, skin: int) -> Built:
    x, y, z = size * 0.08, size, size * 0.9
    return (Part(_at(box((x, y, z), paint), 0, -y / 2, 0)),), (x, y, z), 0.0


def _pole(size: float, paint: int, trim: int, skin: int) -> Built:
    r = size * 0.05
    return (Part(join(cylinder(r, size, paint), cylinder(r * 3, 0.05, trim))),), (6 * r, size, 6 * r), 0.0


def _barrel(size: float, paint: int, trim: int, skin: int) -> Built:
    r = size * 0.35
    band = [_at(cylinder(r * 1.04, size * 0.05, trim), 0, -size * h, 0) for h in (0.1, 0.8)]
    return (Part(join(cylinder(r, size, paint), *band)),), (2 * r, size, 2 * r), 0.0


def _cone(size: float, paint: int, trim: int, skin: int) -> Built:
    base = _at(box((size * 0.7, size * 0.06, size * 0.7), trim), 0, -size * 0.03, 0)
    body = cylinder(size * 0.3, size, paint, top_radius_m=size * 0.05)
    return (Part(join(base, body)),), (size * 0.7, size, size * 0.7), 0.0


def _car(size: float, paint: int, trim: int, skin: int) -> Built:
    length, width, height = size, size * 0.43, size * 0.34
    body = _at(box((width, height * 0.5, length), paint), 0, -height * 0.5, 0)
    cabin = _at(box((width * 0.88, height * 0.42, length * 0.5), paint), 0, -height * 0.93, -length * 0.06)
    glass = _at(box((width * 0.9, height * 0.26, length * 0.44), trim), 0, -height * 0.93, -length * 0.06)
    return (Part(join(body, cabin, glass, *_wheels(width, length, height * 0.24, trim))),), (width, height * 1.14, length), 0.0


def _van(size: float, paint: int, trim: int, skin: int) -> Built:
    length, width, height = size, size * 0.44, size * 0.5
    hull = _at(box((width, height * 0.8, length), paint), 0, -height * 0.58, 0)
    glass = _at(box((width * 0.9, height * 0.25, length * 1.01), trim), 0, -height * 0.75, 0)
    return (Part(join(hull, glass, *_wheels(width, length, height * 0.18, trim))),), (width, height, length), 0.0


def _wheels(width: float, length: float, radius: float, material: int) -> list[Mesh]:
    side = rotation_from_vector(np.array([0.0, 0.0, np.pi / 2]))
    wheel = cylinder(radius, width * 0.12, material).moved(pose(side, np.zeros(3)))
    places = [(x * width * 0.53 - 0.06 * width, z * length * 0.32) for x in (-1, 1) for z in (-1, 1)]
    return [_at(wheel, x, -radius, z) for x, z in places]


def _person(size: float, paint: int, trim: int, skin: int) -> Built:
    h = size
    torso = _at(ellipsoid((0.125 * h, 0.19 * h, 0.08 * h), paint), 0, -0.66 * h, 0)
    head = _at(ellipsoid((0.055 * h, 0.075 * h, 0.062 * h), skin), 0, -0.925 * h, 0)
    hips = _at(ellipsoid((0.1 * h, 0.085 * h, 0.075 * h), trim), 0, -0.5 * h, 0)
    parts = [Part(join(torso, head, hips))]
    for side, lag in ((-1, 0.0), (1, np.pi)):
        parts.append(Part(capsule(0.048 * h, 0.43 * h, trim), (side * 0.062 * h, -0.48 * h, 0), 0.5, lag))
        parts.append(Part(capsule(0.034 * h, 0.32 * h, paint), (side * 0.155 * h, -0.79 * h, 0), 0.45, lag + np.pi))
    return tuple(parts), (0.38 * h, h, 0.3 * h), 0.8 * h


BUILDERS: dict[str, tuple[Callable[[float, int, int, int], Built], tuple[float, float]]] = {  # and the range of sizes, metres
    "ball": (_ball, (0.3, 0.8)),
    "rolling_ball": (_rolling_ball, (0.3, 0.8)),
    "crate": (_crate, (0.35, 1.0)),
    "board": (_board, (0.7, 1.6)),
    "pole": (_pole, (1.2, 1.9)),
    "barrel": (_barrel, (0.6, 1.1)),
    "cone": (_cone, (0.5, 1.0)),
    "car": (_car, (0.9, 4.2)),
    "van": (_van, (1.2, 4.8)),
    "person": (_person, (1.5, 1.9)),
}


def paint(colour: str, texture: str, rng: np.random.Generator) -> Material:
    """The main material of a body: ``texture`` "rich" gives it patches that can be tracked, "plain" hardly any."""
    phase = (float(rng.random()), float(rng.random()))
    if texture == "plain" or (texture == "mixed" and rng.random() < 0.3):
        return Material(COLOURS[colour], "plain", 1.0, 1.0, 0.08, 0.5, phase)
    pattern = str(rng.choice(["fbm", "shapes", "speckle", "shapes"]))
    return Material(COLOURS[colour], pattern, float(rng.uniform(0.5, 1.1)), 0.7, 0.6, 0.37, phase)
