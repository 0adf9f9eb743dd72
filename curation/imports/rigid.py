"""The rigid motion that a set of labelled 3D tracks shares, although no frame need show all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from schemas.camera import Array

_LEAST = 4  # common points that fix a rotation
_FLAT = 1e-3  # second over first singular value below which points lie on a line, which fixes no rotation
_ROUNDS = 3


@dataclass(frozen=True)
class Motion:
    """A rigid model and where it is at each frame.

    Attributes:
        model: (M, 3) points in the axes of the frame that shows most of them; NaN where a point could not be tied to the rest.
        rotation, translation: (T, 3, 3), (T, 3) of world_from_model; NaN where unknown.
        known: (T,) frames with a pose.
        residual_m: (T,) root mean square distance of the points seen from where the motion puts them, per axis.
        count: (T,) points seen.
    """

    model: Float[Array, "m 3"]
    rotation: Float[Array, "t 3 3"]
    translation: Float[Array, "t 3"]
    known: Bool[Array, "t"]
    residual_m: Float[Array, "t"]
    count: Int[Array, "t"]

    def carried(self, points: Float[Array, "k 3"]) -> Float[Array, "t k 3"]:
        """Points of the model's frame at every frame, world."""
        return np.einsum("tij,kj->tki", self.rotation, points) + self.translation[:, None]


def rigid_motion(seen: Float[Array, "t m 3"]) -> Motion:
    """Fit one rigid motion to labelled tracks (NaN where not seen) by turns of alignment and averaging.

    Frames that share too few points with the rest stay unknown. With fewer than four tracks the object is taken not to turn.
    """
    frames, total = seen.shape[:2]
    alive: Bool[Array, "t m"] = np.asarray(np.isfinite(seen).all(2))
    count = alive.sum(1)
    turns = total >= _LEAST
    rotation, translation = np.full((frames, 3, 3), np.nan), np.full((frames, 3), np.nan)
    model = np.full((total, 3), np.nan)
    known = np.zeros(frames, bool)
    if not count.any():
        return Motion(model, rotation, translation, known, np.full(frames, np.nan), count)
    start = int(count.argmax())
    model[alive[start]] = seen[start, alive[start]]
    rotation[start], translation[start], known[start] = np.eye(3), 0.0, True
    waiting = set(np.flatnonzero(count > 0).tolist()) - {start}
    while waiting:
        tied = np.asarray(np.isfinite(model[:, 0]))
        shared = {t: int((alive[t] & tied).sum()) for t in waiting}
        # Neighbours first: over a long gap a body that is not quite rigid has changed most.
        best = max(waiting, key=lambda t: (shared[t], -int(np.abs(np.flatnonzero(known) - t).min()), -t))
        waiting.discard(best)
        common = alive[best] & tied
        pose = _align(model[common], seen[best, common], turns)
        if pose is None:
            continue
        rotation[best], translation[best], known[best] = pose[0], pose[1], True
        fresh = alive[best] & ~tied
        model[fresh] = (seen[best, fresh] - pose[1]) @ pose[0]
    for _ in range(_ROUNDS):
        back = np.einsum("tji,tmj->tmi", rotation, seen - translation[:, None])  # R^T (x - t)
        usable: Array = np.asarray(alive & known[:, None])
        weight = usable.sum(0)
        total = np.where(np.expand_dims(usable, 2), back, 0.0).sum(0)
        model = np.where(np.expand_dims(weight, 1) > 0, total / np.expand_dims(np.maximum(weight, 1), 1), np.nan)
        for t in np.flatnonzero(known):
            common = alive[t] & np.isfinite(model[:, 0])
            pose = _align(model[common], seen[t, common], turns)
            if pose is not None:
                rotation[t], translation[t] = pose
    placed = np.einsum("tij,mj->tmi", rotation, model) + translation[:, None]
    squared = np.where(alive[..., None], (seen - placed) ** 2, np.nan)
    with np.errstate(invalid="ignore"):
        residual = np.sqrt(np.nansum(squared, axis=(1, 2)) / np.maximum(3 * count, 1))
    return Motion(model, rotation, translation, known, np.where(known, residual, np.nan), count)


def _align(model: Float[Array, "n 3"], seen: Float[Array, "n 3"], turns: bool) -> tuple[Array, Array] | None:
    """Rotation and translation that take ``model`` to ``seen`` (Kabsch 1976); None where the points do not fix them."""
    if len(model) < (_LEAST if turns else 1):
        return None
    a, b = model.mean(0), seen.mean(0)
    if not turns:
        return np.eye(3), b - a
    u, s, vt = np.linalg.svd((model - a).T @ (seen - b))
    if s[0] <= 0 or s[1] < _FLAT * s[0]:
        return None
    flip = np.array([1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))])
    rotation = (vt.T * flip) @ u.T
    return rotation, b - rotation @ a
