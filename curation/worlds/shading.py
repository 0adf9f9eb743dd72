"""From ray hits to colours: filtered textures, light with shadows, sky, and the sensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from jaxtyping import Float, Int, UInt8

from curation.worlds.meshes import Mesh, join
from curation.worlds.textures import PATTERNS, Material, lookup
from curation.worlds.world import World
from schemas.camera import Array

_CLOUDS = PATTERNS.index("fbm")
_CHUNK = 24000  # samples whose intermediate arrays fit into a core's cache
_HORIZON = np.array([0.75, 0.82, 0.9], np.float32)


class Stage:
    """All triangles at one instant, ready for rays.

    Attributes:
        owner: (n,) whose each triangle is: 0 the scenery, k + 1 body k.
        scene: the Embree scene.
    """

    def __init__(self, world: World, t: float) -> None:
        meshes: list[Mesh] = [world.scenery, *[body.mesh_at(t) for body in world.bodies]]
        self.owner = np.repeat(np.arange(len(meshes)), [len(m.material) for m in meshes])
        mesh = join(*meshes)
        self.scene = EmbreeScene()
        TriangleMesh(self.scene, np.ascontiguousarray(mesh.corners_m, np.float32))
        steps = [x[:, k] - (x[:, 0] if k else 0) for x in (mesh.uv_m, mesh.normals) for k in range(3)]
        self.surface = np.concatenate(steps, 1).astype(np.float32)  # uv, its two steps, normal, its two steps
        self.material = mesh.material
        self.looks = _looks(world.materials)

    def cast(self, origins: Float[Array, "n 3"], directions: Float[Array, "n 3"]) -> dict[str, Array]:
        """Nearest hits: ``primID`` (-1: none), barycentric ``u`` ``v``, ``tfar`` in units of the ray's direction."""
        hits: dict[str, Array] = self.scene.run(_f32(origins), _f32(directions), query="INTERSECT", output=True)
        return hits

    def shadowed(self, points: Float[Array, "n 3"], towards: Float[Array, "n 3"], reach: float) -> Array:
        """Whether something stands between each point and the point ``reach * towards`` away from it."""
        limit = np.full(len(points), reach, np.float32)
        return np.asarray(self.scene.run(_f32(points), _f32(towards), dists=limit, query="OCCLUDED") == 0)


def _f32(values: Array) -> Array:
    return np.ascontiguousarray(values, np.float32)


def _looks(materials: Sequence[Material]) -> Float[Array, "m 10"]:
    rows = [
        (*m.colour, PATTERNS.index(m.pattern), 1 / m.period_m, 1 / m.detail_period_m, *m.phase, m.contrast, m.detail)
        for m in materials
    ]
    return np.array(rows, np.float32)


def sky(world: World, directions: Float[Array, "n 3"]) -> Float[Array, "n 3"]:
    """Colour of the sky, infinitely far away, with clouds; black in a room."""
    if world.light.sky is None:
        return np.zeros((len(directions), 3), np.float32)
    d = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)
    up = np.sqrt(np.clip(-d[:, 1:2], 0, 1))
    uv = d[:, [0, 2]] / (0.25 + np.abs(d[:, 1:2])) * 0.35
    cloud = lookup(np.full(len(d), _CLOUDS), uv, np.full(len(d), 0.004, np.float32))
    cover = np.clip((cloud[:, :1] - 1.0) * 1.6, 0, 0.8)
    base = np.asarray(world.light.sky, np.float32) * up + _HORIZON * (1 - up)
    return np.asarray(base * (1 - cover) + 0.95 * cover)


def shade(
    world: World, stage: Stage, origin: Float[Array, "3"], directions: Float[Array, "n 3"], angle: float
) -> tuple[Float[Array, "n 3"], Int[Array, "n"], Float[Array, "n"]]:
    """Linear RGB seen along each ray from ``origin``; also what was hit (material and whether in shadow) and its depth.

    ``angle`` is the width of one sample, radians.
    """
    chunks = range(0, len(directions), _CHUNK)
    parts = [_shade(world, stage, origin, directions[k : k + _CHUNK], angle) for k in chunks]
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))  # type: ignore[return-value]


def _shade(world: World, stage: Stage, origin: Array, directions: Array, angle: float) -> tuple[Array, Array, Array]:
    hits = stage.cast(np.broadcast_to(origin, directions.shape), directions)
    out = np.empty((len(directions), 3), np.float32)
    missed = np.flatnonzero(hits["primID"] < 0)
    out[missed] = sky(world, directions[missed])
    at = np.flatnonzero(hits["primID"] >= 0)
    key = np.full(len(directions), -1, np.int32)
    depths = np.full(len(directions), 1e6, np.float32)
    if not len(at):
        return out, key, depths
    triangle = hits["primID"][at]
    u, v = hits["u"][at, None], hits["v"][at, None]
    d = directions[at].astype(np.float32)
    depth = hits["tfar"][at]
    row = stage.surface[triangle]
    uv = row[:, 0:2] + u * row[:, 2:4] + v * row[:, 4:6]
    normal = row[:, 6:9] + u * row[:, 9:12] + v * row[:, 12:15]
    facing = np.einsum("ij,ij->i", normal, d)
    normal *= np.where(facing > 0, np.float32(-1), np.float32(1))[:, None]  # sheets are seen from both sides
    length = np.sqrt(np.einsum("ij,ij->i", d, d))
    slant = np.clip(np.abs(facing) / length, 0.05, 1)
    footprint_m = angle * depth * length / slant**0.6  # between the short and the long side of the sample on the surface
    material = stage.material[triangle]
    look = stage.looks[material]
    period, fine_period, phase = look[:, 4], look[:, 5], look[:, 6:8]
    coarse = lookup(look[:, 3].astype(np.int32), uv * period[:, None] + phase, footprint_m * period)
    turned = uv @ np.array([[0.8, 0.6], [-0.6, 0.8]], np.float32)  # so that the two patterns never line up
    fine = lookup(np.full(len(at), _CLOUDS, np.int32), turned * fine_period[:, None] + phase, footprint_m * fine_period)
    albedo = look[:, :3] * (1 + look[:, 8:9] * (coarse - 1)) * (1 + look[:, 9:10] * (fine - 1))
    points = origin.astype(np.float32) + depth[:, None] * d + normal * np.float32(2e-3)
    direct = _direct(world, stage, points, normal)
    hemisphere = world.light.ambient * (0.75 - 0.25 * normal[:, 1])
    out[at] = albedo * (hemisphere + world.light.strength * direct)[:, None]
    key[at], depths[at] = material * 2 + (direct > 0), depth
    return out, key, depths


def _direct(world: World, stage: Stage, points: Float[Array, "n 3"], normal: Float[Array, "n 3"]) -> Float[Array, "n"]:
    """Share of the lamp's or the sun's light that each point gets."""
    light = np.asarray(world.light.towards, np.float32)
    towards = light - points if world.light.is_lamp else np.broadcast_to(light, points.shape)
    distance2 = np.einsum("ij,ij->i", towards, towards)
    lit = np.clip(np.einsum("ij,ij->i", normal, towards), 0, None) / np.sqrt(distance2)
    if world.light.is_lamp:
        lit *= 9.0 / (9.0 + distance2)
    bright = np.flatnonzero(lit > 0)
    blocked = stage.shadowed(points[bright], towards[bright], 0.98 if world.light.is_lamp else 1e4)
    lit[bright[blocked]] = 0
    return np.asarray(lit)


def develop(world: World, linear: Float[Array, "h w 3"], frame: int, eye: int) -> UInt8[Array, "h w 3"]:
    """Exposure, gamma, noise, eight bits. The noise depends on (seed, frame, eye) alone."""
    rng = np.random.default_rng([world.seed, 7, frame, eye])
    phase = 2 * np.pi * frame / max(world.frames, 2)
    gain = (1 + world.sensor.flicker * np.sin(phase)) * (world.sensor.eye_gain if eye else 1.0)
    image = np.clip(linear * np.float32(gain * 1.25), 0, 1) ** np.float32(1 / 2.2) * 255
    noise = rng.standard_normal(image.shape, np.float32) * world.sensor.noise * np.sqrt(0.5 + image / 255)
    return np.clip(np.round(image + noise), 0, 255).astype(np.uint8)
