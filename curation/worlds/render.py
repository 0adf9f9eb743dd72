"""Ray-cast a world with Embree and shade it with filtered procedural textures.

Every colour sample is a ray of its own (2 x 2 per pixel, spread over the shutter time where there is motion blur), textures are
looked up in mip pyramids: what remains of aliasing is far below the sensor noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from jaxtyping import Float, Int, UInt8

from curation.geometry import transform
from curation.worlds.meshes import Mesh, join
from curation.worlds.textures import PATTERNS, lookup
from curation.worlds.truth import Truth
from curation.worlds.world import World
from schemas.camera import Array
from schemas.clip import ClipFrames

MOVING_M_S = 0.05
_OFFSETS = np.array([[-0.25, -0.25], [0.25, -0.25], [-0.25, 0.25], [0.25, 0.25]])
_BLUR_OFFSETS = np.array([[-3, -1], [1, -3], [3, 1], [-1, 3], [-2, 2], [2, -2], [0, 0.5], [0.5, -0.5]]) / 8.0


@dataclass(frozen=True)
class RenderedWorld:
    """Pixels and truth of a world."""

    world: World
    left: UInt8[Array, "n h w 3"]
    right: UInt8[Array, "n h w 3"]
    truth: Truth

    def clip_frames(self, question_frames: int = 32) -> ClipFrames:
        """The clip as rooms measure it: measuring frames = all frames."""
        count = len(self.left)
        index = np.arange(count)
        question = np.round(np.linspace(0, count - 1, question_frames)).astype(int)
        return ClipFrames(
            clip_id=f"world{self.world.seed:011d}",
            left=self.left,
            right=self.right,
            times_s=self.world.times_s,
            video_index=index,
            source_index=index,
            question=question,
            camera=self.world.camera,
            baseline_m=self.world.baseline_m,
        )


@dataclass(frozen=True)
class _Hits:
    depth: Float[Array, "n"]  # in units of the ray's direction; inf where nothing was hit
    triangle: Int[Array, "n"]  # -1 where nothing was hit
    bary: Float[Array, "n 3"]


class _Stage:
    """The triangles at one instant, ready for rays. Owner 0 is the scenery, k + 1 is body k."""

    def __init__(self, world: World, t: float) -> None:
        meshes = [world.scenery, *[body.mesh_at(t) for body in world.bodies]]
        self.owner = np.repeat(np.arange(len(meshes)), [len(m.material) for m in meshes])
        self.mesh: Mesh = join(*meshes)
        self.scene = EmbreeScene()
        TriangleMesh(self.scene, np.ascontiguousarray(self.mesh.corners_m, np.float32))

    def cast(self, origins: Float[Array, "n 3"], directions: Float[Array, "n 3"]) -> _Hits:
        hit = self.scene.run(
            np.ascontiguousarray(origins, np.float32),
            np.ascontiguousarray(directions, np.float32),
            query="INTERSECT",
            output=True,
        )
        triangle = hit["primID"].astype(np.int64)
        depth = np.where(triangle >= 0, hit["tfar"].astype(float), np.inf)
        u, v = hit["u"], hit["v"]
        return _Hits(depth, triangle, np.stack([1 - u - v, u, v], -1))


def _rays(world: World, scene_from_camera: Array, offset: Array, eye: int) -> tuple[Array, Array]:
    """Origins and directions (z = 1 in camera axes, so that the ray parameter is the depth) through every pixel."""
    view = world.camera
    u, v = np.meshgrid(np.arange(view.width) + 0.5 + offset[0], np.arange(view.height) + 0.5 + offset[1])
    local = np.stack([(u - view.cx) / view.fx, (v - view.cy) / view.fy, np.ones_like(u)], -1).reshape(-1, 3)
    directions = local @ scene_from_camera[:3, :3].T
    origin = transform(scene_from_camera, np.array([eye * world.baseline_m, 0.0, 0.0]))
    return np.broadcast_to(origin, directions.shape), directions


def _sky(world: World, directions: Array) -> Array:
    d = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    zenith = np.asarray(world.sky if world.sky else (0.02, 0.02, 0.02), np.float32)
    up = np.clip(-d[:, 1:2], 0, 1) ** 0.5
    uv = np.stack([d[:, 0], d[:, 2]], -1) / (0.25 + np.abs(d[:, 1:2])) * 0.35
    cloud = lookup(np.full(len(d), PATTERNS.index("fbm")), uv, np.full(len(d), 0.004))
    cover = np.clip((cloud[:, :1] - 1.0) * 1.6, 0, 0.8)
    base = zenith * up + np.array([0.75, 0.82, 0.9]) * (1 - up)
    return base * (1 - cover) + 0.95 * cover


def _shade(world: World, stage: _Stage, hits: _Hits, origins: Array, directions: Array) -> Float[Array, "n 3"]:
    """Linear RGB of each sample: filtered texture x (sun with shadow + ambient light)."""
    out = np.empty((len(hits.triangle), 3), np.float32)
    sky = np.flatnonzero(hits.triangle < 0)
    out[sky] = _sky(world, directions[sky])
    at = np.flatnonzero(hits.triangle >= 0)
    if not len(at):
        return out
    triangle, bary = hits.triangle[at], hits.bary[at][..., None]
    d, depth = directions[at], hits.depth[at]
    uv = (stage.mesh.uv_m.astype(np.float32)[triangle] * bary).sum(1)
    normal = (stage.mesh.normals.astype(np.float32)[triangle] * bary).sum(1)
    facing = np.einsum("ij,ij->i", normal, d)
    normal *= np.where(facing > 0, -1.0, 1.0)[:, None]  # sheets are seen from both sides
    length = np.linalg.norm(d, axis=1)
    slant = np.clip(np.abs(facing) / length, 0.05, 1)
    footprint_m = 0.5 * depth * length / world.camera.fx / slant**0.6
    table = world.materials
    owner_material = stage.mesh.material[triangle]
    column = lambda values: np.array(values, np.float32)[owner_material]  # noqa: E731
    period, phase = column([m.period_m for m in table]), column([m.phase for m in table])
    coarse = lookup(
        column([PATTERNS.index(m.pattern) for m in table]).astype(int), uv / period[:, None] + phase, footprint_m / period
    )
    fine_period = column([m.detail_period_m for m in table])
    turned = uv @ np.array([[0.8, 0.6], [-0.6, 0.8]], np.float32)  # so that the two patterns never line up
    fine = lookup(np.full(len(at), PATTERNS.index("fbm")), turned / fine_period[:, None] + phase, footprint_m / fine_period)
    contrast, detail = column([m.contrast for m in table])[:, None], column([m.detail for m in table])[:, None]
    albedo = column([m.colour for m in table]) * (1 + contrast * (coarse - 1)) * (1 + detail * (fine - 1))
    sun = np.asarray(world.sun, np.float32)
    lit = np.clip(normal @ sun, 0, 1)
    towards = np.flatnonzero(lit > 0)
    if world.sky is not None:
        points = origins[at[towards]] + depth[towards, None] * d[towards] + normal[towards] * 2e-3
        blocked = stage.scene.run(
            np.ascontiguousarray(points, np.float32),
            np.ascontiguousarray(np.broadcast_to(sun, points.shape), np.float32),
            query="OCCLUDED",
        )
        lit[towards[blocked == 0]] = 0
    hemisphere = world.ambient * (0.75 - 0.25 * normal[:, 1])
    out[at] = albedo * (hemisphere + (1.3 if world.sky is not None else 0.6) * lit)[:, None]
    return out


def _develop(world: World, linear: Float[Array, "h w 3"], frame: int, eye: int) -> UInt8[Array, "h w 3"]:
    """Exposure, gamma, noise, eight bits."""
    rng = np.random.default_rng([world.seed, 7, frame, eye])
    phase = 2 * np.pi * frame / max(world.frames, 2)
    gain = (1 + world.sensor.flicker * np.sin(phase)) * (world.sensor.eye_gain if eye else 1.0)
    image = np.clip(linear * gain * 1.25, 0, 1) ** (1 / 2.2) * 255
    noise = rng.standard_normal(image.shape, np.float32) * world.sensor.noise * np.sqrt(0.5 + image / 255)
    return np.clip(np.round(image + noise), 0, 255).astype(np.uint8)


def render_frame(world: World, frame: int) -> tuple[UInt8[Array, "h w 3"], UInt8[Array, "h w 3"]]:
    """Left and right image of one frame."""
    view = world.camera
    middle = world.times_s[frame]
    blur = world.sensor.shutter > 0
    offsets = _BLUR_OFFSETS if blur else _OFFSETS
    sums = [np.zeros((view.height * view.width, 3), np.float32) for _ in range(2)]
    stage = None if blur else _Stage(world, middle)
    for index, offset in enumerate(offsets):
        t = middle + (((index * 3) % 8 + 0.5) / 8 - 0.5) * world.sensor.shutter / world.fps if blur else middle
        now = _Stage(world, t) if stage is None else stage
        pose_t = world.scene_from_camera(t)
        for eye in (0, 1):
            origins, directions = _rays(world, pose_t, offset, eye)
            sums[eye] += _shade(world, now, now.cast(origins, directions), origins, directions)
    images = [_develop(world, (s / len(offsets)).reshape(view.height, view.width, 3), frame, eye) for eye, s in enumerate(sums)]
    return images[0], images[1]


def _truth_of_frame(world: World, frame: int) -> tuple[Array, Array, Array]:
    """Labels, depth and visible fraction of one frame, from rays through the pixel centres of the left eye."""
    view, t = world.camera, world.times_s[frame]
    stage = _Stage(world, t)
    pose_t = world.scene_from_camera(t)
    origins, directions = _rays(world, pose_t, np.zeros(2), 0)
    hits = stage.cast(origins, directions)
    owner = np.where(hits.triangle >= 0, stage.owner[hits.triangle], 0)
    fraction = np.array([_fraction(world, k, t, pose_t, int((owner == k + 1).sum())) for k in range(len(world.bodies))])
    shape = (view.height, view.width)
    return owner.astype(np.uint8).reshape(shape), hits.depth.astype(np.float32).reshape(shape), fraction


def _fraction(world: World, body: int, t: float, scene_from_camera: Array, visible: int) -> float:
    """Visible pixels over those of the body's silhouette drawn alone, beyond the image's borders too."""
    mesh, view = world.bodies[body].mesh_at(t), world.camera
    local = (mesh.corners_m.reshape(-1, 3) - scene_from_camera[:3, 3]) @ scene_from_camera[:3, :3]
    if visible == 0 or local[:, 2].min() < 0.05:
        return 0.0 if visible == 0 else visible / (view.width * view.height)
    pixels = view.project(local)
    low, high = np.floor(pixels.min(0)), np.ceil(pixels.max(0))
    size = (high - low).astype(int)
    scale = min(1.0, 1000.0 / size.max())
    canvas = np.zeros((int(size[1] * scale) + 2, int(size[0] * scale) + 2), np.uint8)
    corners = np.round((pixels - low).reshape(-1, 3, 2) * scale * 16).astype(np.int32)
    for triangle in corners:
        cv2.fillConvexPoly(canvas, triangle, 1, cv2.LINE_8, 4)
    return float(min(1.0, visible / max(canvas.sum() / scale**2, 1)))


def truth_of(world: World, keep_depth: bool = True) -> Truth:
    """Exact truth of every frame. See ``Truth`` for frames and shapes."""
    world_from_scene = world.world_from_scene
    times = world.times_s
    half = 0.5 / world.fps
    points, moving, poses = [], [], []
    for index, body in enumerate(world.bodies):
        model = body.model_points(np.random.default_rng([world.seed, 5, index]))
        points.append(np.stack([transform(world_from_scene, body.points_at(model, t)) for t in times]))
        step = [np.linalg.norm(body.points_at(model, t + half) - body.points_at(model, t - half), axis=1).max() for t in times]
        moving.append(np.array(step) * world.fps > MOVING_M_S)
        poses.append(np.stack([world_from_scene @ body.motion.at(t) for t in times]))
    rows = [_truth_of_frame(world, frame) for frame in range(world.frames)]
    count, view = len(world.bodies), world.camera
    stack = lambda items, shape: np.stack(items, 1) if items else np.zeros((world.frames, 0, *shape))  # noqa: E731
    return Truth(
        world_from_camera=np.stack([world_from_scene @ world.scene_from_camera(t) for t in times]),
        names=tuple(b.name for b in world.bodies),
        categories=tuple(b.category for b in world.bodies),
        colours=tuple(b.colour for b in world.bodies),
        is_mover=np.array([b.is_mover for b in world.bodies], bool),
        rigid=np.array([b.rigid for b in world.bodies], bool),
        moving=stack(moving, ()).astype(bool),
        world_from_object=stack(poses, (4, 4)),
        points_m=tuple(points),
        centroid_m=stack([p.mean(1) for p in points], (3,)),
        labels=np.stack([r[0] for r in rows]),
        depth_m=np.stack([r[1] for r in rows]) if keep_depth else None,
        visible_fraction=np.stack([r[2] for r in rows]).reshape(world.frames, count),
        info={
            "fps": world.fps,
            "baseline_m": world.baseline_m,
            "camera": {"fx": view.fx, "fy": view.fy, "cx": view.cx, "cy": view.cy, "width": view.width, "height": view.height},
            "scenario": dict(world.scenario),
            "seed": world.seed,
        },
    )


def frames_of(world: World) -> Iterator[tuple[UInt8[Array, "h w 3"], UInt8[Array, "h w 3"]]]:
    """Left and right images, one frame at a time."""
    for frame in range(world.frames):
        yield render_frame(world, frame)


def render(world: World) -> RenderedWorld:
    """All frames and the truth: about half a second per 640x400 stereo frame on one thread."""
    pairs = list(frames_of(world))
    return RenderedWorld(world, np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs]), truth_of(world))
