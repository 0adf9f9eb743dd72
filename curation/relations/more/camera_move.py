"""The cinematographer's word for what the camera does from frame i to frame j, as a whole.

Over all question frames k from i to j, v_k = R_i^T (C_k - C_i) and w_k = log(R_i^T R_k):
* static: |v_k| and |w_k| stay below ``still_camera_m`` and ``still_turn_deg``;
* pan (left, right), tilt (up, down): it turns by ``move_turn_deg`` or more about Y or X, and keeps its place (``place_m``);
* dolly (in, out), truck (left, right), pedestal (up, down): it goes ``move_m`` or more along Z, X or Y, and keeps its
  direction (``turning_deg``);
* arc (left, right): it goes sideways to that side and turns to the other, as one does around a subject.
It must go one way: a step back by more than a fifth of the whole, or aside by more than a third, is no such move. Terms:
Katz, "Film Directing: Shot by Shot".
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from curation.relations.camera import Answer
from curation.relations.closed_form import in_camera_axes
from curation.relations.doubt import axes_variance, center_variance
from curation.relations.more.axes import dominant
from curation.relations.more.camera_rotation import turn_deg, turn_sigma_deg
from curation.relations.more.scene import NEVER, Scene, sigmas
from schemas.camera import Array

MOVES = {
    (0, 1): "truck right",
    (0, -1): "truck left",
    (1, 1): "pedestal down",
    (1, -1): "pedestal up",
    (2, 1): "dolly in",
    (2, -1): "dolly out",
}
TURNS = {(1, 1): "pan right", (1, -1): "pan left", (0, 1): "tilt up", (0, -1): "tilt down"}
_BACK, _ASIDE = 0.2, 0.33


def move(scene: Scene, a: int, b: int) -> Answer:
    """The move; label "" with a margin of ``NEVER`` where no single word fits. It has no value."""
    config, path = scene.config, scene.path
    frames = scene.between(a, b)
    places = np.stack([in_camera_axes(path.world_from_camera[a], path.centers_m[k] - path.centers_m[a]) for k in frames])
    turns = np.stack([turn_deg(scene, a, k) for k in frames])
    far, wide = float(np.linalg.norm(places, axis=1).max()), float(np.linalg.norm(turns, axis=1).max())
    sigma_m = max(_place_sigma(scene, a, k) for k in frames)
    sigma_deg = max(turn_sigma_deg(scene, a, k, u, wide) for k in frames for u in np.eye(3))
    v, w = places[-1], turns[-1]
    details: dict[str, Any] = {"toward_camera_i": [round(float(x), 6) for x in v], "turn_deg": [round(float(x), 6) for x in w]}
    still_m = sigmas(config.still_camera_m - far, sigma_m)
    still_deg = sigmas(config.still_turn_deg - wide, sigma_deg)
    if min(still_m, still_deg) > 0:
        return None, "static", None, min(still_m, still_deg), details
    goes = sigmas(float(np.linalg.norm(v)) - config.move_m, sigma_m)
    turned = sigmas(float(np.linalg.norm(w)) - config.move_turn_deg, sigma_deg)
    keeps_place, keeps_direction = sigmas(config.place_m - far, sigma_m), sigmas(config.turning_deg - wide, sigma_deg)
    turn_axis, turn_sign, turn_margin = dominant(w, config.direction_band_deg, lambda u: turn_sigma_deg(scene, a, b, u, wide))
    axis, sign, margin = dominant(v, config.direction_band_deg, lambda u: _direction_sigma(scene, a, b, v, u))
    label, safe = "", NEVER
    if keeps_place > 0 and (turn_axis, turn_sign) in TURNS and _one_way(turns):
        label, safe = TURNS[turn_axis, turn_sign], min(turned, keeps_place, turn_margin)
    elif keeps_direction > 0 and _one_way(places):
        label, safe = MOVES[axis, sign], min(goes, keeps_direction, margin)
    elif axis == 0 and turn_axis == 1 and sign == -turn_sign and _one_way(places) and _one_way(turns):
        label, safe = ("arc right" if sign > 0 else "arc left"), min(goes, turned, margin, turn_margin)
    return None, label, None, safe, details


def _one_way(course: Float[Array, "n 3"]) -> bool:
    """Whether progress along the whole never falls back by more than a fifth of it, nor leaves its line by more than a third."""
    length = float(np.linalg.norm(course[-1]))
    ahead = course[-1] / max(length, 1e-9)
    along = course @ ahead
    aside = np.linalg.norm(course - along[:, None] * ahead, axis=1)
    return bool((np.maximum.accumulate(along) - along).max() <= _BACK * length and aside.max() <= _ASIDE * length)


def _place_sigma(scene: Scene, a: int, k: int) -> float:
    return math.sqrt(max(float(sum(np.linalg.eigvalsh(scene.path.covariance[n, :3, :3])[-1] for n in (a, k))), 0.0))


def _direction_sigma(scene: Scene, a: int, b: int, v: Float[Array, "3"], u: Float[Array, "3"]) -> float:
    path, rotation = scene.path, scene.path.world_from_camera[a, :3, :3]
    world_u = rotation @ u
    variance = center_variance(path, a, world_u) + center_variance(path, b, world_u)
    variance += axes_variance(path, a, rotation @ v, world_u, math.radians(scene.config.axis_sigma_deg))
    return math.sqrt(max(variance, 0.0))
