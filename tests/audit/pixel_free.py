"""Clips measured without pixels: the worlds' bodies and motions, seen by a camera whose noise is drawn from what it claims."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from curation.geometry import inverse, pose, rotation_from_vector, transform
from curation.worlds.bodies import BUILDERS, COLOURS, Body
from curation.worlds.motion import CAMERAS, CameraMotion, Motion
from curation.worlds.truth import Truth
from schemas.camera import CameraPath, Intrinsics
from schemas.track import Description, ObjectTrack

VIEW = Intrinsics(440.0, 440.0, 320.0, 200.0, 640, 400)
FPS = 10.0
_SHAPES = {"ball": 0.4, "crate": 0.6, "barrel": 0.9, "car": 2.6, "van": 3.0, "person": 1.7}
_MOVES = ("steady", "steady", "accelerate", "brake", "stop_and_go", "there_and_back", "turn")
_PAIR_ODDS = 0.5  # of a mover that goes along another one's line, so that they meet, pass or follow


@dataclass(frozen=True)
class PixelFree:
    """One clip as measured, and what is true of it. Measuring frames are all frames; body k is object k."""

    question: np.ndarray
    times_s: np.ndarray
    path: CameraPath
    tracks: list[ObjectTrack]
    truth: Truth
    bodies: dict[str, int]
    descriptions: list[Description]


def pixel_free(seed: int) -> PixelFree:
    """A clip of 4 to 8 s with two to four moving bodies; the same for the same seed."""
    rng = np.random.default_rng([seed, 77])
    duration = float(rng.uniform(4, 8))
    count = round(duration * FPS)
    times = np.arange(count) / FPS
    camera = _camera(rng, duration)
    poses = np.stack([camera.at(t) for t in times])
    world_from_scene = inverse(poses[0])
    bodies = _bodies(rng, camera, duration)
    truth = _truth(rng, bodies, world_from_scene, poses, times)
    path = _path(rng, truth.world_from_camera)
    tracks, known = [], {}
    for k in range(len(bodies)):
        track = _track(rng, f"obj_{len(tracks) + 1}", truth, k, path)
        if track is not None:
            known[track.object_id] = k
            tracks.append(track)
    words = [Description(name, "object", f"the {bodies[k].colour} object", "geometry") for name, k in known.items()]
    question = np.round(np.linspace(0, count - 1, 32)).astype(int)
    return PixelFree(question, times, path, tracks, truth, known, words)


def _camera(rng: np.random.Generator, duration: float) -> CameraMotion:
    kind = str(rng.choice(list(CAMERAS)))
    low, high = CAMERAS[kind]
    amount = float(rng.uniform(low, high)) * (1.0 if kind in ("orbit", "pan") else duration / 4)
    shaken = kind == "shake"
    return CameraMotion(
        kind,
        float(rng.uniform(1.2, 1.8)),
        amount,
        duration,
        float(np.deg2rad(rng.uniform(4, 14))),
        tuple(float(w) for w in rng.random(12)),
        shake_m=0.05 if shaken else 0.0,
        shake_deg=1.0 if shaken else 0.0,
        side=float(rng.choice([-1, 1])),
    )


def _bodies(rng: np.random.Generator, camera: CameraMotion, duration: float) -> list[Body]:
    bodies: list[Body] = []
    colours = rng.permutation(list(COLOURS)).tolist()
    for n in range(int(rng.integers(2, 5))):
        kind = str(rng.choice(list(_SHAPES)))
        parts, size, stride = BUILDERS[kind][0](_SHAPES[kind], 0, 1, 2)
        when = float(rng.uniform(0.2, 0.8)) * duration
        view = camera.at(when)
        depth = float(rng.uniform(3, 12))
        local = np.array([rng.uniform(-0.55, 0.55) * depth, 0, depth])
        at = (view[:3, :3] @ local + view[:3, 3]) * [1, 0, 1]
        heading = float(rng.uniform(-np.pi, np.pi))
        if bodies and rng.random() < _PAIR_ODDS:
            along = bodies[-1].motion
            heading = along.heading_rad + (np.pi if rng.random() < 0.4 else 0.0)
            side = np.array([np.cos(heading), 0, -np.sin(heading)]) * float(rng.uniform(1.5, 3))
            at = along.at(when)[:3, 3] + side
        fast = 4.0 if kind in ("car", "van") else 1.6
        length = float(rng.uniform(0.3, fast)) * duration
        curve = float(rng.uniform(-0.3, 0.3)) if rng.random() < 0.4 else 0.0
        trial = Motion(
            (0.0, 0.0), heading, str(rng.choice(_MOVES)), length, duration, curve, 0.8, 0.0, float(rng.uniform(0.25, 0.45))
        )
        start = at - trial.at(when)[:3, 3]
        motion = Motion((float(start[0]), float(start[2])), *(getattr(trial, f) for f in _REST))
        bodies.append(Body(f"{colours[n]}_{kind}_{n}", kind, colours[n], parts, motion, size, True, stride))
    return bodies


_REST = ("heading_rad", "profile", "length_m", "duration_s", "curvature", "spin_rad_s", "facing_rad", "phase")


def _truth(
    rng: np.random.Generator, bodies: list[Body], world_from_scene: np.ndarray, poses: np.ndarray, times: np.ndarray
) -> Truth:
    models = [body.model(rng) for body in bodies]
    pieces = [np.stack([world_from_scene @ body.scene_from_parts(t) for t in times]) for body in bodies]
    shape = (len(times), len(bodies))
    truth = Truth(
        np.stack([world_from_scene @ p for p in poses]),
        tuple(b.name for b in bodies),
        tuple(b.category for b in bodies),
        tuple(b.colour for b in bodies),
        np.ones(len(bodies), bool),
        np.array([b.rigid for b in bodies]),
        np.zeros(shape, bool),
        np.stack([np.stack([world_from_scene @ b.motion.at(t) for b in bodies]) for t in times]),
        tuple(m[0] for m in models),
        tuple(m[1] for m in models),
        tuple(pieces),
        np.array([m[2] for m in models]),
        np.zeros((len(times), 1, 1), np.uint8),
        None,
        np.ones(shape),
        {"fps": FPS, "camera": {}},
    )
    for k, points in enumerate(truth.points_m):
        speed = np.linalg.norm(np.gradient(points, 1 / FPS, axis=0), axis=2).max(1)
        truth.moving[:, k] = speed > 0.05
    return truth


def _path(rng: np.random.Generator, true: np.ndarray, sigma_m: float = 0.004, sigma_rad: float = 3e-4) -> CameraPath:
    """The true path under a random walk, with the covariance of that walk."""
    count = len(true)
    steps = rng.normal(size=(count, 6)) * np.array([sigma_m] * 3 + [sigma_rad] * 3) / np.sqrt(count / 2)
    steps[0] = 0
    walk = np.cumsum(steps, axis=0)
    poses = np.stack([pose(rotation_from_vector(w[3:]) @ p[:3, :3], p[:3, 3] + w[:3]) for w, p in zip(walk, true, strict=True)])
    covariance = np.zeros((count, 6, 6))
    growth = np.arange(count) / (count / 2)
    covariance[:, range(3), range(3)] = growth[:, None] * sigma_m**2
    covariance[:, range(3, 6), range(3, 6)] = growth[:, None] * sigma_rad**2
    return CameraPath(poses, covariance, False, 0.0, 0.0, 0.1, {})


def _track(rng: np.random.Generator, name: str, truth: Truth, body: int, path: CameraPath) -> ObjectTrack | None:
    """What a camera would measure of a body: points of the side that it sees first, each frame with an error of its own."""
    count, cloud = len(truth.world_from_camera), truth.points_m[body]
    local = np.stack([transform(inverse(p), c) for p, c in zip(truth.world_from_camera, cloud, strict=True)])
    middle = local[:, : truth.spread[body]].mean(1)
    pixels = VIEW.project(middle)
    inside = (middle[:, 2] > 1.0) & (pixels > [25, 0]).all(1) & (pixels < [VIEW.width - 25, VIEW.height]).all(1)
    visible = inside & (middle[:, 2] < 25)
    if visible.sum() < 0.4 * count:
        return None
    first = int(np.flatnonzero(visible)[0])
    near = np.argsort(np.linalg.norm(local[first], axis=1))[: len(cloud[0]) // 2]
    chosen = rng.choice(near, 80, replace=False)
    common = rng.normal() * 0.003
    points, covariance, sigma = np.full((count, 80, 3), np.nan), np.full((count, 3, 3), np.nan), np.full(count, np.nan)
    boxes = np.full((count, 4), np.nan)
    for n in np.flatnonzero(visible):
        depth = float(middle[n, 2])
        ray = middle[n] / np.linalg.norm(middle[n])
        across_m, along_m = 0.004 + 0.001 * depth, 0.006 + 0.0012 * depth**2
        local_cov = across_m**2 * np.eye(3) + (along_m**2 - across_m**2) * np.outer(ray, ray)
        error = rng.multivariate_normal(np.zeros(3), local_cov)
        measured = local[n][chosen] * (1 + common) + error
        rotation = path.world_from_camera[n, :3, :3]
        points[n] = transform(path.world_from_camera[n], measured)
        covariance[n], sigma[n] = rotation @ local_cov @ rotation.T, along_m
        seen = VIEW.project(local[n])
        low, high = np.nanmin(seen, axis=0), np.nanmax(seen, axis=0)
        boxes[n] = [max(low[0], 0), max(low[1], 0), min(high[0], VIEW.width), min(high[1], VIEW.height)]
    masks = tuple({"size": [VIEW.height, VIEW.width], "counts": ""} if v else None for v in visible)
    return ObjectTrack(
        name,
        visible,
        points.mean(1),
        covariance,
        0.003,
        points.astype(np.float32),
        sigma,
        truth.moving[:, body].copy(),
        masks,
        boxes,
        np.where(visible, 80, 0),
    )
