"""The exact truth of a world: poses from its closed-form motions, masks and depth from rays through pixel centres."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float

from curation.worlds.shading import Stage
from curation.worlds.truth import Truth
from curation.worlds.world import World
from schemas.camera import Array

MOVING_M_S = 0.05  # a body moves at a frame when some point of it is faster than this


def _labels(world: World, t: float) -> tuple[Array, Array]:
    """Owner and depth along +Z at every pixel centre of the left pinhole view."""
    view, stage, scene_from_camera = world.camera, Stage(world, t), world.scene_from_camera(t)
    u, v = np.meshgrid(np.arange(view.width) + 0.5, np.arange(view.height) + 0.5)
    local = np.stack([(u - view.cx) / view.fx, (v - view.cy) / view.fy, np.ones_like(u)], -1).reshape(-1, 3)
    directions = local @ scene_from_camera[:3, :3].T  # z = 1 in camera axes: the ray's parameter is the depth
    hits = stage.cast(np.broadcast_to(scene_from_camera[:3, 3], directions.shape), directions)
    found = hits["primID"] >= 0
    owner = np.where(found, stage.owner[hits["primID"]], 0).astype(np.uint8)
    depth = np.where(found, hits["tfar"], np.inf).astype(np.float32)
    return owner.reshape(u.shape), depth.reshape(u.shape)


def _alone_px(world: World, body: int, t: float) -> float:
    """Pixels that the body's silhouette covers alone in an image without borders; inf where part of it is behind the camera."""
    view, scene_from_camera = world.camera, world.scene_from_camera(t)
    corners = world.bodies[body].mesh_at(t).corners_m.reshape(-1, 3)
    local = (corners - scene_from_camera[:3, 3]) @ scene_from_camera[:3, :3]
    if local[:, 2].min() < 0.05:
        return float("inf")
    pixels = view.project(local)
    low, high = pixels.min(0), pixels.max(0)
    scale = min(8.0, 600.0 / float((high - low).max()))  # small bodies are drawn larger, so that rounding does not matter
    size = np.ceil((high - low) * scale).astype(int) + 2
    canvas = np.zeros((size[1], size[0]), np.uint8)
    for triangle in np.round((pixels - low).reshape(-1, 3, 2) * scale * 16).astype(np.int32):
        cv2.fillConvexPoly(canvas, triangle, (1,), cv2.LINE_8, 4)
    return float(canvas.sum()) / scale**2


def truth_of(world: World, keep_depth: bool = True) -> Truth:
    """Exact truth of every frame; ``Truth`` says frames and shapes."""
    world_from_scene, times, bodies = world.world_from_scene, world.times_s, world.bodies
    half = 0.5 / world.fps
    count = len(bodies)
    models = [body.model(np.random.default_rng([world.seed, 5, k])) for k, body in enumerate(bodies)]

    def points(k: int, t: float) -> Float[Array, "m 3"]:
        model, piece, _ = models[k]
        poses = bodies[k].scene_from_parts(t)[piece]
        return np.asarray(np.einsum("mij,mj->mi", poses[:, :3, :3], model) + poses[:, :3, 3])

    moving = np.zeros((world.frames, count), bool)
    fraction = np.zeros((world.frames, count))
    world_from_object = np.zeros((world.frames, count, 4, 4))
    views = [_labels(world, t) for t in times]
    for n, t in enumerate(times):
        for k, body in enumerate(bodies):
            fastest = np.linalg.norm(points(k, t + half) - points(k, t - half), axis=1).max() * world.fps
            moving[n, k] = fastest > MOVING_M_S
            world_from_object[n, k] = world_from_scene @ body.motion.at(t)
            seen = int((views[n][0] == k + 1).sum())
            fraction[n, k] = min(1.0, seen / max(_alone_px(world, k, t), 1.0)) if seen else 0.0
    view = world.camera
    camera = {"fx": view.fx, "fy": view.fy, "cx": view.cx, "cy": view.cy, "width": view.width, "height": view.height}
    return Truth(
        world_from_camera=np.stack([world_from_scene @ world.scene_from_camera(t) for t in times]),
        names=tuple(b.name for b in bodies),
        categories=tuple(b.category for b in bodies),
        colours=tuple(b.colour for b in bodies),
        is_mover=np.asarray(moving.any(0)),
        rigid=np.array([b.rigid for b in bodies], bool),
        moving=moving,
        world_from_object=world_from_object,
        model_m=tuple(m[0] for m in models),
        piece=tuple(m[1] for m in models),
        world_from_piece=tuple(np.stack([world_from_scene @ b.scene_from_parts(t) for t in times]) for b in bodies),
        spread=np.array([m[2] for m in models], np.int64),
        labels=np.stack([v[0] for v in views]),
        depth_m=np.stack([v[1] for v in views]) if keep_depth else None,
        visible_fraction=fraction,
        info={
            "fps": world.fps,
            "baseline_m": world.baseline_m,
            "camera": camera,
            "scenario": dict(world.scenario),
            "seed": world.seed,
        },
    )
