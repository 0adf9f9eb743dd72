"""Errors of camera paths and of object tracks, and whether they are as large as they claim to be."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from curation.audit.answers import rebased
from curation.audit.matching import Match
from curation.audit.published import PublishedClip
from curation.geometry import transform
from curation.worlds.truth import Truth
from schemas.camera import Array

STATIC_M = 0.02  # a true path shorter than this is a static camera: its error is given in metres only


def align(
    target: Float[Array, "n 3"], source: Float[Array, "n 3"], with_scale: bool = False
) -> tuple[Float[Array, "3 3"], Float[Array, "3"], float]:
    """Rotation, shift and scale with ``target ~ scale * rotation @ source + shift``, least squares (Umeyama 1991)."""
    a, b = target - target.mean(0), source - source.mean(0)
    u, singular, vt = np.linalg.svd(a.T @ b)
    sign = np.ones(3)
    sign[2] = np.sign(np.linalg.det(u @ vt))
    rotation = u @ np.diag(sign) @ vt
    scale = float((singular * sign).sum() / max(float((b**2).sum()), 1e-18)) if with_scale else 1.0
    return rotation, target.mean(0) - scale * rotation @ source.mean(0), scale


def camera_errors(clip: PublishedClip, truth: Truth) -> dict[str, Any] | None:
    """How far the published path is from the true one; None where no path was published.

    Keys: ``path_m``; ``rms_m``, ``percent`` (rms over the path's length; None for a static camera) and ``rotation_deg`` (worst)
    without alignment; ``aligned_percent`` after a rigid alignment (with scale for a path without scale); ``z``: error over sigma,
    per axis and frame.
    """
    frames = clip.source_frames
    true = rebased(truth, frames[0]) @ truth.world_from_camera[frames]
    centers = true[:, :3, 3]
    length = float(np.linalg.norm(np.diff(centers, axis=0), axis=1).sum())
    poses, metric = clip.poses(), True
    if poses is None:
        poses, metric = clip.poses("relative_from_camera"), False
    if poses is None or len(poses) != len(frames):
        return None
    moving = length > STATIC_M
    rotation, shift, scale = align(centers, poses[:, :3, 3], with_scale=not metric)
    rest = centers - (scale * poses[:, :3, 3] @ rotation.T + shift)
    turn = np.swapaxes(true[:, :3, :3], -1, -2) @ poses[:, :3, :3]
    angle = np.degrees(np.arccos(np.clip((np.trace(turn, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    out: dict[str, Any] = {
        "path_m": length,
        "metric": metric,
        "rotation_deg": float(angle.max()),
        "aligned_percent": 100 * _rms(rest) / length if moving else None,
        "rms_m": None,
        "percent": None,
        "z": [],
    }
    if metric:
        error = poses[:, :3, 3] - centers
        out["rms_m"] = _rms(error)
        out["percent"] = 100 * _rms(error) / length if moving else None
        sigmas = [row["position_sigma_m"] for row in clip.cameras]
        out["z"] = [float(x) for e, s in zip(error, sigmas, strict=True) if s for x in e / s]
    return out


def _rms(error: Float[Array, "n 3"]) -> float:
    return float(np.sqrt((error**2).sum(1).mean()))


def track_errors(clip: PublishedClip, truth: Truth, match: Match) -> dict[str, Any]:
    """Errors of an object's displacements from its first visible frame to every later one.

    Keys: ``error_m`` (norm of the difference to the displacement of the body's centroid), ``material_m`` (to that of the
    measured point itself, carried by the body's motion; rigid bodies only), ``z`` (per axis, error over the published sigma).
    """
    out: dict[str, Any] = {"error_m": [], "material_m": [], "moved_m": [], "z": []}
    rows = [r for r in clip.tracks.get(match.object_id, []) if r["visible"] and r["centroid_m"]]
    if match.body is None or len(rows) < 2:
        return out
    frames, body = clip.source_frames, match.body
    clip_from_world = rebased(truth, frames[0])
    first = frames[rows[0]["frame"]]
    start, sigma_start = np.array(rows[0]["centroid_m"]), rows[0]["centroid_sigma_m"]
    pieces = truth.world_from_piece[body]
    for row in rows[1:]:
        at = frames[row["frame"]]
        measured = np.array(row["centroid_m"]) - start
        moved = clip_from_world[:3, :3] @ (truth.centroid_m[at, body] - truth.centroid_m[first, body])
        out["error_m"].append(float(np.linalg.norm(measured - moved)))
        out["moved_m"].append(float(np.linalg.norm(moved)))
        if truth.rigid[body] and pieces.shape[1] == 1:
            carried = clip_from_world @ pieces[at, 0] @ np.linalg.inv(pieces[first, 0]) @ np.linalg.inv(clip_from_world)
            out["material_m"].append(float(np.linalg.norm(measured - (transform(carried, start) - start))))
        sigma = np.hypot(sigma_start or 0.0, row["centroid_sigma_m"] or 0.0)
        if sigma > 0:
            out["z"] += [float(x) for x in (measured - moved) / sigma]
    return out


def coverage(z: list[float]) -> dict[str, Any]:
    """Share of |error| within 1 and 2 sigma (a normal distribution has 0.683 and 0.954), and the typical ratio."""
    values = np.abs(np.asarray(z, float))
    if not len(values):
        return {"count": 0, "within_1": None, "within_2": None, "median_ratio": None, "worst": None}
    return {
        "count": len(values),
        "within_1": float((values <= 1).mean()),
        "within_2": float((values <= 2).mean()),
        "median_ratio": float(np.median(values) / 0.6745),  # 1 where sigma is right, 2 where errors are twice as large
        "worst": float(values.max()),
    }
