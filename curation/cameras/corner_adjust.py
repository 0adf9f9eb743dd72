"""Adjustment of a path up to scale to the corners of ``witness``: what these alone would make of it, whole and by halves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from curation.cameras.witness import Corners, Testimony, middle
from curation.geometry import inverse, rotation_from_vector
from schemas.camera import Array

_STEPS = 25
_ENOUGH = 1e-4  # relative gain of a step below which the adjustment has settled
_KNEE_PX = 0.5  # of Huber's weights (of a frame 640 wide)
_SPAN = 5  # frames that a corner must be seen in


def adjust_to_corners(corners: Corners, world_from_camera: Float[Array, "t 4 4"], use: Bool[Array, "n"]) -> Float[Array, "t 4 4"]:
    """The path that explains the corners ``use`` best, near the given one; its first pose stays, its scale is free.

    Poses and points (ray and inverse depth at the frame in the middle of a track, from the given path) are solved together
    by Levenberg and Marquardt with Huber's weights; the points are eliminated.
    """
    camera = corners.camera
    pixels = corners.pixels[use & (np.isfinite(corners.pixels[..., 0]).sum(axis=1) >= _SPAN)]
    unit = max(float(np.linalg.norm(np.ptp(world_from_camera[:, :3, 3], axis=0))), 1e-12)
    poses = world_from_camera.copy()
    poses[:, :3, 3] /= unit
    state = _start(poses, (pixels - [camera.cx, camera.cy]) / [camera.fx, camera.fy])
    knee = _KNEE_PX * camera.width / 640 / camera.fx
    cost, damping = _cost(state, knee), 1e-3
    for _ in range(_STEPS):
        trial = _step(state, knee, damping)
        tried = _cost(trial, knee)
        if tried < cost:
            settled = cost - tried < _ENOUGH * cost
            state, cost, damping = trial, tried, max(damping / 10, 1e-9)
            if settled:
                break
        elif damping > 1e6:
            break
        else:
            damping *= 10
    found = inverse(state.camera_from_world)
    found[:, :3, 3] *= unit
    return found


@dataclass(frozen=True)
class Halves:
    """Paths from two disjoint halves of the corners, and from all of them, each brought onto the given path.

    Attributes:
        whole, first, second: (T, 4, 4).
    """

    whole: Float[Array, "t 4 4"]
    first: Float[Array, "t 4 4"]
    second: Float[Array, "t 4 4"]

    @property
    def apart(self) -> Float[Array, "t"]:
        """Distance of the two halves, per frame, in the units of the given path."""
        return np.asarray(np.linalg.norm(self.first[:, :3, 3] - self.second[:, :3, 3], axis=1))


def adjust_halves(corners: Corners, world_from_camera: Float[Array, "t 4 4"], said: Testimony, seed: int) -> Halves:
    """Adjust to all corners that the path explains, and to two halves of them drawn by lot."""
    first = np.random.default_rng([seed, 29]).permutation(len(said.explained)) % 2 == 0
    found = [adjust_to_corners(corners, world_from_camera, said.explained & use) for use in (np.ones_like(first), first, ~first)]
    return Halves(*(aligned(path, world_from_camera) for path in found))


def aligned(path: Float[Array, "t 4 4"], onto: Float[Array, "t 4 4"]) -> Float[Array, "t 4 4"]:
    """``path`` turned, moved and scaled so that its camera centres lie best on those of ``onto`` (least squares)."""
    here, there = path[:, :3, 3], onto[:, :3, 3]
    a, b = here - here.mean(axis=0), there - there.mean(axis=0)
    # Centres on a line leave the turn about it open; the axes of the cameras close it.
    reach = max(float(np.sqrt((b**2).sum() / len(b))), 1e-12)
    small = 0.05 * reach
    u, _, v = np.linalg.svd(b.T @ a * reach / max(float(np.sqrt((a**2).sum() / len(a))), 1e-12) + small**2 * np.einsum(
        "tij,tkj->ik", onto[:, :3, :3], path[:, :3, :3]
    ))  # fmt: skip
    turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ v))]) @ v
    scale = float((b * (a @ turn.T)).sum() / max(float((a**2).sum()), 1e-24))
    out = path.copy()
    out[:, :3, :3] = turn @ path[:, :3, :3]
    out[:, :3, 3] = scale * a @ turn.T + there.mean(axis=0)
    return out


@dataclass(frozen=True)
class _State:
    """Poses (T, 4, 4) and points: world (N, 3) = base + axes @ (x, y, 1) + q * centre, of weight q."""

    camera_from_world: Array
    ray: Array  # (N, 2) x, y
    nearness: Array  # (N,) inverse depth
    axes: Array  # (N, 3, 3) rotation of the frame that the point is counted from
    centre: Array  # (N, 3) its place
    seen: Array  # (N, T, 2), NaN where unseen


def _start(world_from_camera: Array, rays: Array) -> _State:
    anchor, rows = middle(np.isfinite(rays[..., 0])), np.arange(len(rays))
    axes, centre = world_from_camera[anchor, :3, :3], world_from_camera[anchor, :3, 3]
    state = _State(inverse(world_from_camera), rays[rows, anchor], np.zeros(len(rows)), axes, centre, rays)
    for _ in range(6):  # inverse depth alone, linearised about what it is
        residual, by_point, _ = _residual(state)
        slope = by_point[..., 2]
        step = (slope * residual).sum(axis=(1, 2)) / np.maximum((slope**2).sum(axis=(1, 2)), 1e-18)
        state = _State(state.camera_from_world, state.ray, np.maximum(state.nearness - step, 0.0), axes, centre, rays)
    return state


def _residual(state: _State) -> tuple[Array, Array, Array]:
    """(N, T, 2) expected minus seen at depth 1; its derivatives by (x, y, q) and by a small turn and shift of each pose."""
    turn, shift = state.camera_from_world[:, :3, :3], state.camera_from_world[:, :3, 3]
    ray = np.concatenate([state.ray, np.ones((len(state.ray), 1))], axis=1)
    q = state.nearness[:, None]
    world = np.einsum("nij,nj->ni", state.axes, ray) + q * state.centre
    place = np.einsum("tij,nj->nti", turn, world) + q[:, :, None] * shift
    known = np.isfinite(state.seen[..., 0]) & (place[..., 2] > 1e-3)
    depth = np.where(known, place[..., 2], 1.0)
    expected = place[..., :2] / depth[..., None]
    residual = np.where(known[..., None], expected - np.nan_to_num(state.seen), 0.0)
    head = np.zeros((*place.shape[:2], 2, 3))  # d expected / d place
    head[..., 0, 0] = head[..., 1, 1] = 1 / depth
    head[..., :, 2] = -expected / depth[..., None]
    head *= known[..., None, None]
    by_ray = np.einsum("tij,njk->ntik", turn, state.axes[..., :2])
    by_q = np.einsum("tij,nj->nti", turn, state.centre) + shift
    by_point = head @ np.concatenate([by_ray, by_q[..., None]], axis=-1)
    cross = np.zeros((*place.shape[:2], 3, 3))  # omega x place = -[place]x omega
    x, y, z = np.moveaxis(place, -1, 0)
    cross[..., 0, 1], cross[..., 0, 2], cross[..., 1, 0] = z, -y, -z
    cross[..., 1, 2], cross[..., 2, 0], cross[..., 2, 1] = x, y, -x
    by_pose = np.concatenate([head @ cross, head * q[:, :, None, None]], axis=-1)
    return residual, by_point, by_pose


def _weights(residual: Array, knee: float) -> Array:
    return np.asarray(knee / np.maximum(np.linalg.norm(residual, axis=-1), knee))


def _cost(state: _State, knee: float) -> float:
    size = np.linalg.norm(_residual(state)[0], axis=-1)
    return float(np.where(size < knee, size**2 / 2, knee * (size - knee / 2)).sum())


def _step(state: _State, knee: float, damping: float) -> _State:
    residual, by_point, by_pose = _residual(state)
    weight = _weights(residual, knee)
    count, total = residual.shape[:2]
    poses = np.einsum("ntki,ntkj,nt->tij", by_pose, by_pose, weight)
    points = np.einsum("ntki,ntkj,nt->nij", by_point, by_point, weight)
    mixed = np.einsum("ntki,ntkj,nt->ntij", by_pose, by_point, weight)
    down_pose = np.einsum("ntki,ntk,nt->ti", by_pose, residual, weight)
    down_point = np.einsum("ntki,ntk,nt->ni", by_point, residual, weight)
    points = points * (1 + damping * np.eye(3)) + 1e-12 * np.eye(3)
    solved = np.linalg.inv(points)
    big = mixed.reshape(count, total * 6, 3)
    half = big @ solved  # (N, 6T, 3)
    flat = half.transpose(1, 0, 2).reshape(total * 6, -1)
    normal = -flat @ big.transpose(1, 0, 2).reshape(total * 6, -1).T
    for t in range(total):
        normal[6 * t : 6 * t + 6, 6 * t : 6 * t + 6] += poses[t] * (1 + damping * np.eye(6))
    right = down_pose.reshape(-1) - flat @ down_point.reshape(-1)
    normal = normal[6:, 6:]  # the first pose stays
    normal[np.diag_indices_from(normal)] += 1e-12 + 1e-9 * np.trace(normal) / len(normal)
    move = np.concatenate([np.zeros(6), -np.linalg.solve(normal, right[6:])])
    shift = -np.einsum("nij,nj->ni", solved, down_point) - np.einsum("nai,a->ni", half, move)
    moved = move.reshape(total, 6)
    camera_from_world = state.camera_from_world.copy()
    for t in range(1, total):
        turn = rotation_from_vector(moved[t, :3])
        camera_from_world[t, :3, :3] = turn @ camera_from_world[t, :3, :3]
        camera_from_world[t, :3, 3] = turn @ camera_from_world[t, :3, 3] + moved[t, 3:]
    nearness = np.maximum(state.nearness + shift[:, 2], 0.0)
    return _State(camera_from_world, state.ray + shift[:, :2], nearness, state.axes, state.centre, state.seen)
