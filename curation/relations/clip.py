"""All facts of one clip."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from curation.geometry import vector_from_rotation
from curation.relations.camera import Answer, camera_distance, direction_answer, distance_answer
from curation.relations.doubt import scale_sigma_rel
from curation.relations.kinds import KINDS
from curation.relations.more.camera_move import move
from curation.relations.more.camera_rotation import rotation, rotation_angle
from curation.relations.more.details import object_details, seen_frames
from curation.relations.more.groups import group_facts
from curation.relations.more.scene import Scene
from curation.relations.more.single import single_answers
from curation.relations.objects import object_answers
from curation.relations.pairs import choose_pairs
from curation.seeding import generator
from schemas.camera import Array, CameraPath, RelativeCameraPath
from schemas.config import RelationsConfig
from schemas.track import Fact, ObjectTrack

# A chain of thought states positions in metres and is rewarded for them: beyond this doubt of the scale it states none.
_MAX_STATE_SCALE_REL = 0.1


def clip_facts(
    clip_id: str,
    question: Int[Array, "q"],
    times_s: Float[Array, "t"],
    path: CameraPath | RelativeCameraPath,
    tracks: list[ObjectTrack],
    config: RelationsConfig,
    *,
    seed: int,
    assumed: tuple[str, ...] = (),
) -> list[Fact]:
    """Every relation of the clip between chosen pairs of question frames, the unsafe ones included.

    Args:
        clip_id: of the clip.
        question: (Q,) measuring frame of each question frame.
        times_s: (T,) time of each measuring frame, seconds.
        path: a RelativeCameraPath yields camera directions without a value, and nothing else.
        tracks: the clip's moving objects.
        config: thresholds.
        seed: of the run.
        assumed: calibration values that nobody gave; they widen every sigma (``assumed_sigma_rel``).
    """
    facts: list[Fact] = []
    count = len(question)
    pairs = choose_pairs(
        list(range(count)), config.max_pairs, generator(seed, clip_id, "pairs:camera"), min_span=min(config.min_span, count - 1)
    )
    scale_rel = scale_sigma_rel(path, config, assumed) if isinstance(path, CameraPath) else 0.0
    scene = Scene(path, question, times_s, config, scale_rel) if isinstance(path, CameraPath) else None
    for i, j in pairs:
        a, b = int(question[i]), int(question[j])
        shared = _camera_details(path, a, b, times_s, scale_rel)
        answers: dict[str, Answer] = {"camera_direction": direction_answer(path, a, b, config)}
        if isinstance(path, CameraPath):
            answers["camera_direction"] = _scaled(answers["camera_direction"], scale_rel)
            answers["camera_distance"] = distance_answer(path, a, b, config, scale_rel=scale_rel)
            if path.static:
                answers = {kind: _static(answer) for kind, answer in answers.items()}
        if scene is not None:
            answers |= {
                "camera_rotation": rotation(scene, a, b),
                "camera_rotation_angle": rotation_angle(scene, a, b),
                "camera_move": move(scene, a, b),
            }
        facts += [_fact(clip_id, kind, "", i, j, answer, shared, config) for kind, answer in answers.items()]
    if scene is not None:
        for track in tracks:
            facts += _track_facts(clip_id, scene, track, seed)
        facts += group_facts(clip_id, scene, tracks, seed, _camera_details)
    order = {kind: n for n, kind in enumerate(KINDS)}
    return sorted(facts, key=lambda f: (order[f.kind], f.object_id, f.frame_i, f.frame_j))


def _track_facts(clip_id: str, scene: Scene, track: ObjectTrack, seed: int) -> list[Fact]:
    path, config = scene.path, scene.config
    rng = generator(seed, clip_id, f"pairs:{track.object_id}")
    facts: list[Fact] = []
    count = len(scene.question)
    for i, j in choose_pairs(seen_frames(scene, [track]), config.max_pairs, rng, min_span=min(config.min_span, count - 1)):
        a, b = int(scene.question[i]), int(scene.question[j])
        shared = _camera_details(path, a, b, scene.times_s, scene.scale_rel) | object_details(scene, track, a, b)
        answers = object_answers(path, track, a, b, config, scale_rel=scene.scale_rel) | single_answers(scene, track, a, b)
        facts += [_fact(clip_id, kind, track.object_id, i, j, answer, shared, config) for kind, answer in answers.items()]
    return facts


def _camera_details(
    path: CameraPath | RelativeCameraPath, a: int, b: int, times_s: Float[Array, "t"], scale_rel: float
) -> dict[str, Any]:
    """What reasoning needs of the camera: centres in the world frame (metric paths of known scale only), its turn, the times."""
    turn = vector_from_rotation(path.world_from_camera[a, :3, :3].T @ path.world_from_camera[b, :3, :3])
    out: dict[str, Any] = {
        "times_s": [round(float(times_s[a]), 6), round(float(times_s[b]), 6)],
        "turn_deg": _floats(np.degrees(turn)),  # rotation vector in the axes of camera i: +X turns the view up, +Y to the right
    }
    if isinstance(path, CameraPath) and scale_rel <= _MAX_STATE_SCALE_REL:
        moved = camera_distance(path, a, b, scale_rel=scale_rel)
        shift = path.world_from_camera[a, :3, :3].T @ (path.centers_m[b] - path.centers_m[a])
        out["camera_center"] = [_floats(path.centers_m[a]), _floats(path.centers_m[b])]
        out["camera_shift"] = _floats(shift)
        out["camera_moved_m"] = [round(moved.value, 6), round(moved.sigma, 6)]
    return out


def _scaled(answer: Answer, scale_rel: float) -> Answer:
    """A direction holds at any scale; its length carries the doubt of the scale, and is not stated where that is large."""
    value, label, sigma, margin, details = answer
    if value is None or sigma is None or scale_rel > _MAX_STATE_SCALE_REL:
        return None, label, None, margin, details
    return value, label, float(np.hypot(sigma, scale_rel * value)), margin, details


def _static(answer: Answer) -> Answer:
    value, _, sigma, margin, details = answer
    return value, "", sigma, -1.0, {**details, "veto": "static_camera", "margin_sigma": round(margin, 6)}


def _fact(
    clip_id: str, kind: str, object_id: str, i: int, j: int, answer: Answer, shared: dict[str, Any], config: RelationsConfig
) -> Fact:
    value, label, sigma, margin, details = answer
    unit = KINDS[kind].unit if value is not None else ""
    return Fact(clip_id, kind, object_id, "", i, j, value, unit, label, sigma, margin, config.k_sigma, {**shared, **details})


def _floats(values: Float[Array, "n"]) -> list[float]:
    return [float(x) for x in np.round(np.asarray(values, float), 6)]
