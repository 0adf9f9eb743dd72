"""The rigid motion of one object from the tracks on it: bundle adjustment of per-frame poses and points.

The object's motion carries points of the *reference frame's world* to frame t: ``x(t) = R_t (x - pivot) + pivot + s_t``.
Turning about a pivot inside the object keeps the shift s_t nearly independent of the (badly known) turn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from curation.geometry import rotation_from_vector, skew
from curation.objects.point_tracks import PointTracks
from curation.objects.rig import Rig
from schemas.camera import Array

_SOFT = 3.0  # residuals beyond this many sigma lose their weight (Geman-McClure)


def turn_of(rotation: Float[Array, "*b 3 3"]) -> Float[Array, "*b 3"]:
    """Rotation vectors of matrices, radians: ``geometry.vector_from_rotation`` for hot loops (unreliable at half turns)."""
    axis = 0.5 * np.stack(
        [
            rotation[..., 2, 1] - rotation[..., 1, 2],
            rotation[..., 0, 2] - rotation[..., 2, 0],
            rotation[..., 1, 0] - rotation[..., 0, 1],
        ],
        -1,
    )
    sine = np.linalg.norm(axis, axis=-1)
    angle = np.arctan2(sine, 0.5 * (np.trace(rotation, axis1=-2, axis2=-1) - 1.0))
    return axis * np.where(sine > 1e-9, angle / np.maximum(sine, 1e-9), 1.0)[..., None]


@dataclass(frozen=True)
class Prior:
    """How fast an object's motion may change; keeps frames with few points in line. One sigma, per axis."""

    acceleration_m_s2: float = 6.0
    turn_acceleration_rad_s2: float = 8.0
    turn_rate_rad_s: float = 1.5


@dataclass(frozen=True)
class Motion:
    """Motion of one object over the frames ``first .. first + F - 1``.

    Attributes:
        first: first clip frame; reference: clip frame at which the motion is the identity.
        pivot: (3,) world point at the reference frame that turns are taken about.
        rotation: (F, 3, 3); shift: (F, 3) metres.
        covariance: (F, 6, 6) formal, of (shift, turn) relative to the reference frame.
    """

    first: int
    reference: int
    pivot: Float[Array, "3"]
    rotation: Float[Array, "f 3 3"]
    shift: Float[Array, "f 3"]
    covariance: Float[Array, "f 6 6"]

    @property
    def count(self) -> int:
        """Number of frames."""
        return len(self.shift)

    @property
    def last(self) -> int:
        """Last clip frame."""
        return self.first + self.count - 1

    def world_from_reference(self) -> Float[Array, "f 4 4"]:
        """Per frame, the transform of world points on the object from the reference frame to that frame."""
        out = np.tile(np.eye(4), (self.count, 1, 1))
        out[:, :3, :3] = self.rotation
        out[:, :3, 3] = self.pivot + self.shift - self.rotation @ self.pivot
        return out

    def cam_from_reference(self, cam_from_world: Float[Array, "t 4 4"]) -> Float[Array, "t 4 4"]:
        """For every clip frame, camera axes from the reference world; NaN outside the motion's frames."""
        out = np.full_like(cam_from_world, np.nan)
        out[self.first : self.last + 1] = cam_from_world[self.first : self.last + 1] @ self.world_from_reference()
        return out

    def extended(self, first: int, last: int, max_step: int) -> Motion:
        """The motion on more (or fewer) frames, continued at constant velocity, by at most ``max_step`` frames a side."""
        first, last = max(first, self.first - max_step), min(last, self.last + max_step)
        rotation, shift = [], []
        for t in range(first, last + 1):
            r, s = self._at(t)
            rotation.append(r)
            shift.append(s)
        covariance = np.full((len(shift), 6, 6), np.nan)
        return replace(self, first=first, rotation=np.array(rotation), shift=np.array(shift), covariance=covariance)

    def _at(self, t: int) -> tuple[Array, Array]:
        if self.first <= t <= self.last:
            return self.rotation[t - self.first], self.shift[t - self.first]
        edge, inner, steps = (0, min(2, self.count - 1), self.first - t)
        if t > self.last:
            edge, inner, steps = (self.count - 1, max(0, self.count - 3), t - self.last)
        span = max(abs(edge - inner), 1)
        turn = turn_of(self.rotation[edge] @ self.rotation[inner].T) / span
        rotation = rotation_from_vector(turn * steps) @ self.rotation[edge]
        return rotation, self.shift[edge] + (self.shift[edge] - self.shift[inner]) / span * steps


@dataclass(frozen=True)
class Fit:
    """A motion with the points it carries (world of the reference frame) and the whitened residuals (K, 3) of its tracks."""

    motion: Motion
    points: Float[Array, "m 3"]
    residual: Float[Array, "k 3"]


def _smoothness(frames: int, dt: float, prior: Prior) -> tuple[Array, Array]:
    """Rows of second differences (F-2, F) and first differences (F-1, F)."""
    second = np.zeros((max(frames - 2, 0), frames))
    for i in range(len(second)):
        second[i, i : i + 3] = 1, -2, 1
    first = np.zeros((max(frames - 1, 0), frames))
    for i in range(len(first)):
        first[i, i : i + 2] = -1, 1
    return second, first


def fit_motion(
    tracks: PointTracks,
    start: Motion,
    points: Float[Array, "m 3"],
    cam_from_world: Float[Array, "t 4 4"],
    rig: Rig,
    sigma: Float[Array, "k 3"],
    dt_s: float,
    *,
    prior: Prior = Prior(),
    iterations: int = 8,
) -> Fit:
    """Bundle adjustment of an object's motion and points.

    Args:
        tracks: tracks on the object; observations outside the motion's frames are ignored.
        start: motion to begin from; its frames, reference and pivot are kept.
        points: (M, 3) a point per track, world of the reference frame.
        cam_from_world: camera axes from world, per clip frame.
        rig: the stereo camera.
        sigma: (K, 3) of the observations.
        dt_s: time between frames.
        prior: smoothness of the motion.
        iterations: Levenberg-Marquardt steps.

    Returns:
        The refined motion with its formal covariance, the points and residuals (NaN where unmeasured or outside).
    """
    frames, m = start.count, tracks.count
    local = tracks.frame - start.first
    inside = (local >= 0) & (local < frames)
    rows = np.flatnonzero(inside)
    f, p = local[rows], tracks.track[rows]
    observed = tracks.uvd[rows].astype(float)
    seen = np.isfinite(observed)
    observed = np.nan_to_num(observed)
    spread = sigma[rows]
    camera_r, camera_t = cam_from_world[tracks.frame[rows], :3, :3], cam_from_world[tracks.frame[rows], :3, 3]
    second, first = _smoothness(frames, dt_s, prior)
    weight_s = 1.0 / (prior.acceleration_m_s2 * dt_s**2) ** 2
    weight_w = 1.0 / (prior.turn_acceleration_rad_s2 * dt_s**2) ** 2
    weight_rate = 1.0 / (prior.turn_rate_rad_s * dt_s) ** 2
    smooth_s = weight_s * second.T @ second
    smooth_w = weight_w * second.T @ second + weight_rate * first.T @ first
    fixed = start.reference - start.first

    rotation, shift, structure = start.rotation.copy(), start.shift.copy(), points.copy()

    def evaluate(rotation: Array, shift: Array, structure: Array) -> tuple[Array, Array, Array, float]:
        turned = np.einsum("kij,kj->ki", rotation[f], structure[p] - start.pivot)
        world = turned + start.pivot + shift[f]
        cam = np.einsum("kij,kj->ki", camera_r, world) + camera_t
        residual = np.where(seen, observed - rig.project(cam), 0.0)
        white = (residual / spread) ** 2
        data = float((_SOFT**2 * white / (_SOFT**2 + white)).sum())
        turn = turn_of(rotation) if frames > 1 else np.zeros((frames, 3))
        smooth = float(np.einsum("fa,fg,ga->", shift, smooth_s, shift) + np.einsum("fa,fg,ga->", turn, smooth_w, turn))
        return turned, cam, residual, data + smooth

    turned, cam, residual, cost = evaluate(rotation, shift, structure)
    damping = 1e-3
    schur = np.eye(6 * frames)
    for _ in range(iterations):
        white = (residual / spread) ** 2
        weight = np.where(seen, (_SOFT**2 / (_SOFT**2 + white)) ** 2 / spread**2, 0.0)
        to_world = rig.jacobian(cam) @ camera_r
        j_motion = np.concatenate([to_world, -to_world @ skew(turned)], -1)
        j_point = to_world @ rotation[f]
        wm = np.swapaxes(j_motion * weight[..., None], -1, -2)
        wp = np.swapaxes(j_point * weight[..., None], -1, -2)
        h_motion = np.zeros((frames, 6, 6))
        np.add.at(h_motion, f, wm @ j_motion)
        g_motion = np.zeros((frames, 6))
        np.add.at(g_motion, f, (wm @ residual[..., None])[..., 0])
        h_point = np.zeros((m, 3, 3))
        np.add.at(h_point, p, wp @ j_point)
        g_point = np.zeros((m, 3))
        np.add.at(g_point, p, (wp @ residual[..., None])[..., 0])
        cross = np.zeros((frames, m, 6, 3))
        cross[f, p] = wm @ j_point
        turn = turn_of(rotation)
        g_motion[:, :3] -= smooth_s @ shift
        g_motion[:, 3:] -= smooth_w @ turn
        full = np.zeros((frames, 6, frames, 6))
        full[np.arange(frames), :, np.arange(frames), :] = h_motion
        for axis in range(3):
            full[:, axis, :, axis] += smooth_s
            full[:, axis + 3, :, axis + 3] += smooth_w
        full[fixed, :, fixed, :] += np.eye(6) * 1e12
        g_motion[fixed] = 0.0
        full = full.reshape(6 * frames, 6 * frames)  # type: ignore[assignment]
        # Every point keeps a weak tie to where it is, so that one seen once cannot run away.
        h_point += np.eye(3) * 1e-2
        for _attempt in range(4):
            damped_point = h_point + damping * np.einsum("mii->mi", h_point)[:, :, None] * np.eye(3)
            inverse_point = np.linalg.inv(damped_point)
            reduced = np.einsum("fmab,mbc->famc", cross, inverse_point).reshape(6 * frames, 3 * m)
            flat = cross.transpose(0, 2, 1, 3).reshape(6 * frames, 3 * m)
            schur = full - reduced @ flat.T
            right = g_motion.ravel() - reduced @ g_point.ravel()
            step = np.linalg.solve(schur + damping * np.diag(np.diag(full)), right)
            back = g_point - (flat.T @ step).reshape(m, 3)
            step_point = np.einsum("mab,mb->ma", inverse_point, back)
            step = step.reshape(frames, 6)
            new_rotation = rotation_from_vector(np.clip(step[:, 3:], -0.5, 0.5)) @ rotation
            new_shift = shift + step[:, :3]
            new_structure = structure + step_point
            new = evaluate(new_rotation, new_shift, new_structure)
            if new[3] <= cost:
                break
            damping *= 10.0
        else:
            break
        gain = cost - new[3]
        rotation, shift, structure = new_rotation, new_shift, new_structure
        turned, cam, residual, cost = new
        damping = max(damping * 0.2, 1e-6)
        if gain < 1e-3 * cost:
            break
    covariance = np.linalg.inv(schur + 1e-9 * np.eye(len(schur))).reshape(frames, 6, frames, 6)
    own = covariance[np.arange(frames), :, np.arange(frames), :]
    out = np.full((len(tracks.frame), 3), np.nan)
    out[rows] = np.where(seen & (cam[:, 2:] > 0.05), residual / spread, np.nan)
    motion = replace(start, rotation=rotation, shift=shift, covariance=own)
    return Fit(motion, structure, out)


def _aligned(source: Array, target: Array) -> tuple[Array, Array]:
    """Rotation and shift that carry source points onto target points, in the middle between "no turn" and least squares.

    The median shift is right where depth is noisy and the turn small; Kabsch's solution where it is not. The residual
    decides.
    """
    shift = np.median(target - source, axis=0)
    plain = np.median(np.linalg.norm(target - source - shift, axis=1))
    weight = np.ones(len(source))
    rotation, moved = np.eye(3), shift
    for _ in range(3):
        mean_s, mean_t = np.average(source, axis=0, weights=weight), np.average(target, axis=0, weights=weight)
        u, _, vt = np.linalg.svd(((target - mean_t) * weight[:, None]).T @ (source - mean_s))
        rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
        moved = mean_t - rotation @ mean_s
        error = np.linalg.norm(target - source @ rotation.T - moved, axis=1)
        scale = np.median(error) + 1e-9
        weight = 1.0 / (1.0 + (error / (2 * scale)) ** 2) ** 2
    if np.median(error) < 0.6 * plain:
        return rotation, moved
    return np.eye(3), shift


def start_motion(world: Float[Array, "n f 3"], first: int, reference: int) -> Motion:
    """A first guess: every frame's shift is the median shift of the points that are known there and at the reference.

    Args:
        world: world points of N tracks at F frames, NaN unknown.
        first: clip frame of the first column.
        reference: clip frame of the identity.
    """
    frames = world.shape[1]
    at = reference - first
    pivot = np.nanmedian(world[:, at], axis=0)
    rotation, shift = np.tile(np.eye(3), (frames, 1, 1)), np.full((frames, 3), np.nan)
    for t in range(frames):
        both = np.isfinite(world[:, at, 0]) & np.isfinite(world[:, t, 0])
        if both.sum() >= 3:
            rotation[t], shift[t] = _aligned(world[both, at] - pivot, world[both, t] - pivot)
    index = np.arange(frames)
    for axis in range(3):
        good = np.isfinite(shift[:, axis])
        shift[:, axis] = np.interp(index, index[good], shift[good, axis])
    return Motion(first, reference, pivot, rotation, shift, np.full((frames, 6, 6), np.nan))
