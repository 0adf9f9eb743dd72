"""Facts about one moving object: how far it went, how far it is from the camera, and which way."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from curation.relations.camera import Answer
from curation.relations.closed_form import in_camera_axes, nearest_point
from curation.relations.doubt import (
    Estimate,
    axes_variance,
    carried_variance,
    center_variance,
    metric,
    shared_range_error,
)
from curation.relations.wholeness import cut_sideways, only_in_part, turn_lever_m
from schemas.camera import Array, CameraPath
from schemas.config import RelationsConfig
from schemas.track import ObjectTrack

_OFF_MIDDLE = 0.2  # one sigma of how far an object's middle is off the middle of what was measured, as a share of its diameter
VETOED = -1.0
"""Margin of a fact that no sigma covers (its reason stands in ``details["veto"]``); ``margin_sigma`` keeps the number."""


def displacement_along(
    path: CameraPath, track: ObjectTrack, i: int, j: int, u: Float[Array, "3"], *, scale_rel: float
) -> Estimate:
    """The centroid's world-frame displacement from measuring frame i to j, along the unit world vector ``u``, metres."""
    path = metric(path)
    start, end = track.centroid_m[i], track.centroid_m[j]
    camera_i, camera_j = path.centers_m[i], path.centers_m[j]
    variance = float(u @ (track.centroid_cov_m2[i] + track.centroid_cov_m2[j]) @ u)
    variance += carried_variance(path, i, start, u) + carried_variance(path, j, end, u)
    variance += swing_m(track, i, j) ** 2
    shared = shared_range_error(start - camera_i, end - camera_j, u, math.hypot(track.common_sigma_rel, scale_rel))
    shared += scale_rel * abs(float(u @ (camera_j - camera_i)))
    return Estimate(float(u @ (end - start)), math.sqrt(max(variance, 0.0) + shared**2))


def swing_m(track: ObjectTrack, i: int, j: int, partial: bool | None = None) -> float:
    """One-sigma doubt of the motion of the object's middle that comes from its turn between frames i and j, metres.

    What is measured are points of the side that is seen; as the object turns, they swing about its middle. Of an object that the
    picture shows in part only, the middle of what is seen may lie far from the middle of the whole.
    """
    partial = only_in_part(track) if partial is None else partial
    return (1.0 if partial else _OFF_MIDDLE) * turn_lever_m(track.points_m[i], track.points_m[j])


def object_distance(path: CameraPath, track: ObjectTrack, i: int, j: int, *, scale_rel: float) -> Estimate:
    """Distance between the centroids of P_i and P_j in the world frame, metres."""
    difference = track.centroid_m[j] - track.centroid_m[i]
    length = float(np.linalg.norm(difference))
    if length > 0:
        return displacement_along(path, track, i, j, difference / length, scale_rel=scale_rel)
    sigmas = [displacement_along(path, track, i, j, u, scale_rel=scale_rel).sigma for u in np.eye(3)]
    return Estimate(0.0, max(sigmas))


def object_camera_distance(path: CameraPath, track: ObjectTrack, i: int, j: int, *, scale_rel: float) -> Estimate | None:
    """Least distance of the object's points at frame j to the camera's centre at frame i, metres; None without points."""
    path = metric(path)
    camera_i, camera_j = path.centers_m[i], path.centers_m[j]
    point = nearest_point(track.points_m[j], camera_i)
    if point is None or not np.isfinite(track.points_sigma_m[j]):
        return None
    length = float(np.linalg.norm(point - camera_i))
    u = (point - camera_i) / max(length, 1e-9)
    variance = float(track.points_sigma_m[j]) ** 2
    if i != j:  # seen from the same camera, the distance does not depend on where that camera is
        variance += center_variance(path, i, u) + carried_variance(path, j, point, u)
    shared = math.hypot(track.common_sigma_rel, scale_rel) * abs(float(u @ (point - camera_j)))
    shared += scale_rel * abs(float(u @ (camera_j - camera_i)))
    return Estimate(length, math.sqrt(max(variance, 0.0) + shared**2))


def object_camera_distance_change(
    path: CameraPath, track: ObjectTrack, i: int, j: int, *, scale_rel: float
) -> tuple[Estimate, float, float] | None:
    """d_j - d_i with d_k = min |P_k - C_k|, metres, and both distances. The poses' own errors cancel in each d_k."""
    d_i = object_camera_distance(path, track, i, i, scale_rel=0.0)
    d_j = object_camera_distance(path, track, j, j, scale_rel=0.0)
    if d_i is None or d_j is None:
        return None
    change = d_j.value - d_i.value
    shared = 2 * math.hypot(track.common_sigma_rel, scale_rel) * abs(change)  # 2: the square law of a disparity offset
    variance = float(track.points_sigma_m[i]) ** 2 + float(track.points_sigma_m[j]) ** 2
    return Estimate(change, math.sqrt(variance + shared**2)), d_i.value, d_j.value


def in_camera_i(
    path: CameraPath, track: ObjectTrack, i: int, j: int, axis: int, config: RelationsConfig, *, scale_rel: float
) -> Estimate:
    """Change of the centroid's coordinate ``axis`` (0 right, 1 down, 2 forward), both times in camera i's frame, metres."""
    path = metric(path)
    u = path.world_from_camera[i, :3, axis]
    along = displacement_along(path, track, i, j, u, scale_rel=scale_rel)
    world = track.centroid_m[j] - track.centroid_m[i]
    turned = axes_variance(path, i, world, u, math.radians(config.axis_sigma_deg))
    return Estimate(along.value, math.hypot(along.sigma, math.sqrt(max(turned, 0.0))))


def depth_is_distance(path: CameraPath, track: ObjectTrack, i: int, j: int) -> bool:
    """Whether the object's depth in camera i's view and its distance from that viewpoint change in the same sense.

    What crosses in front of the camera may lose depth and yet get farther away; "closer" then means two things.
    """
    path = metric(path)
    center, forward = path.centers_m[i], path.world_from_camera[i, :3, 2]
    start, end = track.centroid_m[i] - center, track.centroid_m[j] - center
    return bool(float(forward @ (end - start)) * (np.linalg.norm(end) - np.linalg.norm(start)) > 0)


def object_answers(
    path: CameraPath, track: ObjectTrack, i: int, j: int, config: RelationsConfig, *, scale_rel: float
) -> dict[str, Answer]:
    """All facts of one object between measuring frames i and j, by kind."""
    still = not bool(track.moving[min(i, j) : max(i, j) + 1].any())
    veto_motion = {"veto": "standstill"} if still else {}
    out: dict[str, Answer] = {}

    moved = object_distance(path, track, i, j, scale_rel=scale_rel)
    out["object_distance"] = _answer(moved, "", (moved.value - config.min_object_motion_m) / _least(moved), veto_motion)

    distance = object_camera_distance(path, track, i, j, scale_rel=scale_rel)
    if distance is not None:
        margin = (distance.value - config.min_object_range_m) / _least(distance)
        veto = {"veto": "out_of_view"} if _near_end_unseen(track, j) else _other_side(path, track, i, j, config)
        out["object_camera_distance"] = _answer(distance, "", margin, veto)

    change = object_camera_distance_change(path, track, i, j, scale_rel=scale_rel)
    if change is not None:
        label, margin = _change_label(change[0], config)
        details: dict[str, Any] = {"nearest_m": [round(change[1], 6), round(change[2], 6)]}
        if _near_end_unseen(track, i) or _near_end_unseen(track, j):
            details["veto"] = "out_of_view"
        elif not _middle_agrees(path, track, i, j, label, config):
            details["veto"] = "parts_disagree"
        out["object_camera_distance_change"] = _answer(change[0], label, margin, details)

    axes = (("object_camera_lateral", 0, ("left", "right")), ("object_camera_longitudinal", 2, ("closer", "farther")))
    for kind, axis, (negative, positive) in axes:
        shift = in_camera_i(path, track, i, j, axis, config, scale_rel=scale_rel)
        label = positive if shift.value >= 0 else negative
        veto = veto_motion
        if axis == 2 and not veto and not depth_is_distance(path, track, i, j):
            veto = {"veto": "distance_disagrees"}
        out[kind] = _answer(shift, label, (abs(shift.value) - config.min_object_motion_m) / _least(shift), veto)
    return out


def _change_label(change: Estimate, config: RelationsConfig) -> tuple[str, float]:
    """Label and margin. Between ``still_m`` and ``moving_m`` lies no man's land, where every margin is negative."""
    moving = (abs(change.value) - config.moving_m) / _least(change)
    still = (config.still_m - abs(change.value)) / _least(change)
    if still >= moving:
        return "not moving", still
    return ("farther" if change.value > 0 else "closer"), moving


def _middle_agrees(path: CameraPath, track: ObjectTrack, i: int, j: int, label: str, config: RelationsConfig) -> bool:
    """Whether the distance to the centroid changed the same way: a long object that passes may come nearer with one end only."""
    ranges = [float(np.linalg.norm(track.centroid_m[k] - path.centers_m[k])) for k in (i, j)]
    change = ranges[1] - ranges[0]
    return abs(change) < config.moving_m if label == "not moving" else (change > 0) == (label == "farther")


def _near_end_unseen(track: ObjectTrack, k: int) -> bool:
    """Whether the nearest part may lie beyond the picture's border: it cuts the object now and whenever it is seen."""
    return bool(cut_sideways(track)[k]) and only_in_part(track)


def _other_side(path: CameraPath, track: ObjectTrack, i: int, j: int, config: RelationsConfig) -> dict[str, Any]:
    """A veto where camera i would face a side of the object that the camera at j does not see, so its points are unknown."""
    to_i = path.centers_m[i] - track.centroid_m[j]
    to_j = path.centers_m[j] - track.centroid_m[j]
    cosine = float(to_i @ to_j) / max(float(np.linalg.norm(to_i) * np.linalg.norm(to_j)), 1e-9)
    return {"veto": "other_side"} if cosine < math.cos(math.radians(config.max_view_angle_deg)) else {}


def displacement_details(path: CameraPath, track: ObjectTrack, i: int, j: int) -> Float[Array, "3"]:
    """The centroid's displacement in the axes of camera i, metres."""
    return in_camera_axes(path.world_from_camera[i], track.centroid_m[j] - track.centroid_m[i])


def _least(estimate: Estimate) -> float:
    return max(estimate.sigma, 1e-6)


def _answer(estimate: Estimate, label: str, margin: float, details: dict[str, Any]) -> Answer:
    if "veto" in details:
        return estimate.value, label, estimate.sigma, VETOED, {**details, "margin_sigma": round(margin, 6)}
    return estimate.value, label, estimate.sigma, float(margin), details
