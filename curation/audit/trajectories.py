"""Errors of camera paths and of object tracks, and whether they are as large as they claim to be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from curation.audit.answers import rebased
from curation.audit.matching import Match
from curation.audit.published import PublishedClip
from curation.geometry import pose, transform
from curation.worlds.truth import Truth
from schemas.camera import Array

# Shares of errors are looked at up to these multiples of sigma.
SIGMAS = tuple(0.25 * n for n in range(1, 13))
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
    per axis and frame; ``evo``: see ``evo_errors``.
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
        "evo": evo_errors(true, poses, metric),
    }
    if metric:
        error = poses[:, :3, 3] - centers
        out["rms_m"] = _rms(error)
        out["percent"] = 100 * _rms(error) / length if moving else None
        sigmas = [row["position_sigma_m"] for row in clip.cameras]
        out["z"] = [float(x) for e, s in zip(error, sigmas, strict=True) if s for x in e / s]
    return out


def evo_errors(true: Float[Array, "q 4 4"], poses: Float[Array, "q 4 4"], metric: bool) -> dict[str, Any]:
    """Absolute and relative pose errors as evo (github.com/MichaelGrupp/evo) defines them, each as rmse, median and max.

    ``ape_m`` and ``rpe_m`` (from frame to frame) without any alignment, None for a path without scale; ``ape_aligned_m`` and
    ``rpe_aligned_m`` after Umeyama's alignment, with scale for a path without scale; ``rpe_deg`` is the turn from frame to frame.
    """
    from evo.core import metrics
    from evo.core.trajectory import PosePath3D

    reference = PosePath3D(poses_se3=list(_orthonormal(true)))
    raw, aligned = (PosePath3D(poses_se3=list(_orthonormal(poses))) for _ in range(2))
    rotation, shift, scale = align(true[:, :3, 3], poses[:, :3, 3], with_scale=not metric)
    if not metric:
        aligned.scale(scale)
    # Not PosePath3D.align: it refuses paths along a straight line, whose residual is well defined all the same.
    aligned.transform(pose(rotation, shift))

    def stated(metric_: Any, estimate: Any) -> dict[str, float]:
        metric_.process_data((reference, estimate))
        found = metric_.get_all_statistics()
        return {name: float(found[name]) for name in ("rmse", "median", "max")}

    place, turn = metrics.PoseRelation.translation_part, metrics.PoseRelation.rotation_angle_deg
    return {
        "ape_m": stated(metrics.APE(place), raw) if metric else None,
        "ape_aligned_m": stated(metrics.APE(place), aligned),
        "rpe_m": stated(metrics.RPE(place), raw) if metric and len(poses) > 1 else None,
        "rpe_aligned_m": stated(metrics.RPE(place), aligned) if len(poses) > 1 else None,
        "rpe_deg": stated(metrics.RPE(turn), raw) if len(poses) > 1 else None,
    }


def _orthonormal(poses: Float[Array, "q 4 4"]) -> Float[Array, "q 4 4"]:
    """The nearest poses with exact rotations; evo is strict about the last digits."""
    u, _, vt = np.linalg.svd(poses[:, :3, :3])
    out = poses.copy()
    out[:, :3, :3] = u @ vt
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


def over_time(clip: PublishedClip, truth: Truth, matches: dict[str, Match]) -> dict[str, Any]:
    """Errors at every question frame: of the camera's position, and of each matched object's displacement since first seen.

    Keys: ``time_s``; ``camera`` (None without a metric path) and ``objects`` by id, each with ``error_m`` and ``claimed_m``, the
    root mean square length that the published sigma claims for that error (sigma is per axis); None where not measured.
    """
    frames = clip.source_frames
    clip_from_world = rebased(truth, frames[0])
    times = [row["time_s"] for row in clip.cameras]
    out: dict[str, Any] = {"time_s": times, "camera": None, "objects": {}}
    poses = clip.poses()
    if poses is not None and len(poses) == len(frames):
        error = poses[:, :3, 3] - (clip_from_world @ truth.world_from_camera[frames])[:, :3, 3]
        claimed = [None if r["position_sigma_m"] is None else float(3**0.5 * r["position_sigma_m"]) for r in clip.cameras]
        out["camera"] = {"error_m": [float(x) for x in np.linalg.norm(error, axis=1)], "claimed_m": claimed}
    for match in matches.values():
        rows = [r for r in clip.tracks.get(match.object_id, []) if r["visible"] and r["centroid_m"]]
        if match.body is None or not rows:
            continue
        first = rows[0]
        errors: list[float | None] = [None] * len(frames)
        claims: list[float | None] = [None] * len(frames)
        for row in rows:
            here, start = frames[row["frame"]], frames[first["frame"]]
            moved = clip_from_world[:3, :3] @ (truth.centroid_m[here, match.body] - truth.centroid_m[start, match.body])
            rest = np.array(row["centroid_m"]) - np.array(first["centroid_m"]) - moved
            errors[row["frame"]] = float(np.linalg.norm(rest))
            sigmas = first["centroid_sigma_m"], row["centroid_sigma_m"]
            if row is not first and None not in sigmas:
                claims[row["frame"]] = float(3**0.5 * np.hypot(*sigmas))
        out["objects"][match.object_id] = {"error_m": errors, "claimed_m": claims}
    return out


def reliability(z: list[float]) -> dict[str, Any]:
    """Share of |error| within multiples of sigma (``SIGMAS``), and the share that a normal distribution has there."""
    values = np.abs(np.asarray(z, float))
    claimed = [math.erf(k / math.sqrt(2)) for k in SIGMAS]
    return {
        "count": len(values),
        "sigmas": list(SIGMAS),
        "claimed": claimed,
        "found": [float((values <= k).mean()) for k in SIGMAS] if len(values) else [],
    }


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
