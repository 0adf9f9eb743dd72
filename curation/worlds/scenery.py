"""What stands around the moving things: a furnished room, or a street."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.geometry import pose
from curation.worlds.meshes import Mesh, box, cylinder, ellipsoid, join, sheet
from curation.worlds.motion import CameraMotion, yaw
from curation.worlds.textures import Material


@dataclass(frozen=True)
class Scenery:
    """Static surroundings in the scene frame.

    Attributes:
        mesh: all triangles.
        obstacles: circles (x, z, radius) that bodies keep clear of.
        bounds: (x_low, x_high, z_low, z_high) that bodies stay inside.
        ceiling_m: height of the ceiling; 0 outdoors.
    """

    mesh: Mesh
    obstacles: list[tuple[float, float, float]]
    bounds: tuple[float, float, float, float]
    ceiling_m: float = 0.0


def _tint(rng: np.random.Generator, low: float, high: float) -> list[float]:
    """A wall colour: grey, cream, brick, or a little blue or green."""
    warm = np.array([[1, 1, 1], [1, 0.9, 0.72], [1, 0.72, 0.58], [0.85, 0.95, 1], [0.9, 1, 0.88], [1, 0.95, 0.85]])[
        rng.integers(0, 6)
    ]
    return [float(v) for v in warm * rng.uniform(low, high)]


def _surface(
    rng: np.random.Generator, texture: str, patterns: list[str], colour: list[float], period: tuple[float, float]
) -> Material:
    phase = (float(rng.random()), float(rng.random()))
    tint = tuple(float(c * rng.uniform(0.94, 1.06)) for c in colour)
    size = float(rng.uniform(*period))
    if texture == "plain" or (texture == "mixed" and rng.random() < 0.35):
        return Material(tint, "plain", size, 1.0, 0.05, 0.9, phase)  # type: ignore[arg-type]
    pattern = "tiles" if texture == "repeat" else str(rng.choice(patterns))
    return Material(tint, pattern, size, 0.9, 0.0 if texture == "repeat" else 0.6, size * 0.37, phase)  # type: ignore[arg-type]


def _clear(x: float, z: float, radius: float, camera: CameraMotion, taken: list[tuple[float, float, float]]) -> bool:
    path = [camera.at(t)[:3, 3] for t in np.linspace(0, camera.duration_s, 20)]
    return all(np.hypot(p[0] - x, p[2] - z) > radius + 0.9 for p in path) and all(
        np.hypot(a - x, b - z) > radius + r + 0.2 for a, b, r in taken
    )


def indoor(rng: np.random.Generator, materials: list[Material], texture: str, camera: CameraMotion) -> Scenery:
    """A room with walls, floor, ceiling, pictures and furniture; appends to ``materials``."""
    path = np.array([camera.at(t)[:3, 3] for t in np.linspace(0, camera.duration_s, 20)])
    x_low, x_high = path[:, 0].min() - rng.uniform(2.5, 4.5), path[:, 0].max() + rng.uniform(2.5, 4.5)
    z_low, z_high = path[:, 2].min() - rng.uniform(1.5, 3), path[:, 2].max() + rng.uniform(6, 10)
    ceiling = float(rng.uniform(2.5, 3.4))
    parts: list[Mesh] = []

    def material(patterns: list[str], colour: list[float], period: tuple[float, float], style: str = texture) -> int:
        materials.append(_surface(rng, style, patterns, colour, period))
        return len(materials) - 1

    floor = material(["planks", "tiles", "fbm"], [0.34, 0.25, 0.18], (1.5, 2.6))
    width, depth = x_high - x_low, z_high - z_low
    parts.append(sheet([x_low, 0, z_low], [0, 0, depth], [width, 0, 0], floor))
    parts.append(sheet([x_low, -ceiling, z_low], [width, 0, 0], [0, 0, depth], material(["fbm"], [0.6, 0.6, 0.58], (2, 3))))
    wall_colour = _tint(rng, 0.35, 0.65)
    walls = [  # origin, along the wall
        ([x_low, 0, z_high], [width, 0, 0]),
        ([x_low, 0, z_low], [0, 0, depth]),
        ([x_high, 0, z_high], [0, 0, -depth]),
        ([x_high, 0, z_low], [-width, 0, 0]),
    ]
    for origin, along in walls:
        wall = material(["fbm", "bricks", "shapes", "fbm"], wall_colour, (2.0, 3.2))
        parts.append(sheet(origin, along, [0, -ceiling, 0], wall))
        if texture == "plain":
            continue
        direction = np.asarray(along, float) / np.linalg.norm(along)
        inward = np.cross(direction, [0, 1, 0])
        centre = np.array([(x_low + x_high) / 2, 0, (z_low + z_high) / 2])
        inward *= np.sign(inward @ (centre - np.asarray(origin, float)))
        for _ in range(int(rng.integers(1, 4))):  # pictures
            w, h = rng.uniform(0.5, 1.4), rng.uniform(0.4, 1.0)
            along_m = rng.uniform(0.3, max(0.4, float(np.linalg.norm(along)) - w - 0.3))
            corner = np.asarray(origin, float) + direction * along_m + inward * 0.02 + [0, -rng.uniform(1.0, 1.3), 0]
            parts.append(
                sheet(corner, direction * w, [0, -h, 0], material(["shapes"], rng.uniform(0.15, 0.6, 3).tolist(), (0.8, 1.4)))
            )
    obstacles: list[tuple[float, float, float]] = []
    for _ in range(int(rng.integers(3, 8))):  # furniture
        size = (float(rng.uniform(0.5, 1.4)), float(rng.uniform(0.4, 1.7)), float(rng.uniform(0.4, 0.9)))
        radius = float(np.hypot(size[0], size[2]) / 2)
        x, z = rng.uniform(x_low + radius, x_high - radius), rng.uniform(z_low + radius, z_high - radius)
        middle = x_low + 0.3 * width < x < x_high - 0.3 * width and z < z_high - 1.5
        if middle and rng.random() < 0.8 or not _clear(x, z, radius, camera, obstacles):
            continue
        wood = rng.random() < 0.6
        colour = [0.3, 0.19, 0.1] if wood else _tint(rng, 0.1, 0.5)
        look = material(["planks"] if wood else ["fbm", "stripes", "shapes"], colour, (0.7, 1.4))
        piece = box(size, look, (0, -size[1] / 2, 0)).moved(
            pose(yaw(rng.choice([0, np.pi / 2, rng.uniform(0, 3)])), np.array([x, 0, z]))
        )
        parts.append(piece)
        obstacles.append((float(x), float(z), radius))
    return Scenery(join(*parts), obstacles, (float(x_low), float(x_high), float(z_low), float(z_high)), ceiling)


def outdoor(rng: np.random.Generator, materials: list[Material], texture: str, camera: CameraMotion) -> Scenery:
    """A street: road, pavements, facades on both sides and at the end, trees, lamp posts; appends to ``materials``."""
    path = np.array([camera.at(t)[:3, 3] for t in np.linspace(0, camera.duration_s, 20)])
    x_low, x_high = path[:, 0].min() - rng.uniform(5, 11), path[:, 0].max() + rng.uniform(5, 11)
    z_low, z_high = path[:, 2].min() - 12.0, path[:, 2].max() + rng.uniform(22, 45)
    parts: list[Mesh] = []

    def material(patterns: list[str], colour: list[float], period: tuple[float, float], style: str = texture) -> int:
        materials.append(_surface(rng, style, patterns, colour, period))
        return len(materials) - 1

    ground = material(["asphalt"], [0.16, 0.16, 0.165], (2.5, 3.5))
    pavement = material(["tiles", "bricks"], [0.3, 0.29, 0.27], (1.8, 2.6))
    parts.append(sheet([x_low - 25, 0, z_low], [0, 0, z_high - z_low + 40], [x_high - x_low + 50, 0, 0], ground, 3.0))
    for x0 in (x_low - 1.5, x_high - 0.9):
        parts.append(sheet([x0, -0.03, z_low], [0, 0, z_high - z_low + 2], [2.4, 0, 0], pavement, 3.0))
    for side, x_edge in ((-1, x_low), (1, x_high)):
        z = z_low
        while z < z_high + 4:
            length, tall, deep = float(rng.uniform(5, 11)), float(rng.uniform(4, 13)), 8.0
            if rng.random() < 0.9:
                look = material(["windows", "windows", "bricks"], _tint(rng, 0.25, 0.6), (6.0, 10.0))
                x = x_edge + side * (deep / 2 + 1.3 + rng.uniform(0, 0.8))
                parts.append(box((deep, tall, length - 0.1), look, (float(x), -tall / 2, z + length / 2)))
            z += length
    look = material(["windows", "bricks"], _tint(rng, 0.25, 0.6), (6.0, 10.0))
    tall = float(rng.uniform(5, 12))
    parts.append(box((x_high - x_low + 20, tall, 6), look, ((x_low + x_high) / 2, -tall / 2, z_high + 8)))
    bark = material(["fbm"], [0.12, 0.08, 0.05], (0.6, 0.9), "rich")
    leaves = material(["shapes", "speckle"], [0.06, 0.17, 0.04], (0.9, 1.4), "rich")
    steel = material(["fbm"], [0.2, 0.2, 0.2], (0.6, 1.0))
    obstacles: list[tuple[float, float, float]] = []
    for _ in range(int(rng.integers(6, 14))):
        x = x_low + rng.uniform(-0.3, 0.8) if rng.random() < 0.5 else x_high - rng.uniform(-0.3, 0.8)
        z = rng.uniform(path[:, 2].min() + 1, z_high)
        if not _clear(x, z, 0.4, camera, obstacles):
            continue
        tree = rng.random() < 0.6
        tall = float(rng.uniform(2.0, 3.2) if tree else rng.uniform(3.5, 5.0))
        piece = cylinder(0.16 if tree else 0.07, tall, bark if tree else steel)
        if tree:
            crown = tuple(float(v) for v in rng.uniform(0.9, 1.6, 3))
            piece = join(piece, ellipsoid(crown, leaves).moved(pose(np.eye(3), np.array([0, -tall - crown[1] * 0.6, 0]))))  # type: ignore[arg-type]
        parts.append(piece.moved(pose(yaw(rng.uniform(0, 6)), np.array([x, 0, z]))))
        obstacles.append((float(x), float(z), 0.3))
    return Scenery(join(*parts), obstacles, (float(x_low), float(x_high), float(z_low), float(z_high)))
