"""Facts and questions of every kind out of thin air, whose details agree with their labels as measured ones do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from curation.geometry import rotation_from_vector
from curation.questions.options import LETTERS
from curation.reasoning.telling import kind_of
from curation.relations.kinds import FURTHER, KINDS, STEP
from schemas.track import Fact

Row = dict[str, Any]
ALL_KINDS = list({**KINDS, **FURTHER})
WORDS = {
    "obj_1": "the red object (on the left of the view at frame 3)",
    "obj_2": "the large blue vehicle",
    "obj_3": "the person in a green coat",
}
CLIP = {
    "clip_id": "0" * 16,
    "width": 640,
    "height": 400,
    "num_frames": 32,
    "frame_times_s": [n * 0.3 for n in range(32)],
    "video": "videos/x.mp4",
    "video_index": [n * 3 for n in range(32)],
}
_AXES = {"x": ("right", "left"), "y": ("down", "up"), "z": ("forward", "backward")}
_FOCAL = 435.0


def samples(count: int, seed: int = 0) -> Iterator[tuple[Row, Fact]]:
    """Questions with their facts, the kinds in turn."""
    rng = np.random.default_rng(seed)
    for n in range(count):
        kind = ALL_KINDS[n % len(ALL_KINDS)]
        fact = make_fact(kind, rng, f"{n:016x}")
        yield make_row(fact, rng), fact


def make_fact(kind: str, rng: np.random.Generator, clip_id: str = "0" * 16) -> Fact:
    about = kind_of(kind)
    i = int(rng.integers(0, 24))
    j = int(rng.integers(i + 4, 32))
    start = np.array([rng.uniform(-2, 2), rng.uniform(-0.5, 0.8), rng.uniform(5, 12)])
    shift = _uneven(rng, 3.0)
    moved = _uneven(rng, 2.0)
    still = kind == "camera_move" or (not kind.startswith("camera") and rng.random() < 0.15)
    if still:
        moved = np.zeros(3)
    turn = rng.normal(0, 7, 3)
    label = ""
    if about.labels:
        label = STEP.join(rng.choice(about.labels, 3)) if about.sequence else str(rng.choice(about.labels))
    if kind == "object_true_motion":
        moved = np.zeros(3) if label == "only the object" else _uneven(rng, 2.0)
        shift = np.zeros(3) if label == "only the camera" else shift
    if kind == "object_direction" and label == "not moving":
        shift = np.zeros(3)
    end = start + shift
    rotation = rotation_from_vector(np.radians(turn))
    boxes = [_box(start), _box(rotation.T @ (end - moved))]
    nearest = [float(np.linalg.norm(start)), float(np.linalg.norm(end - moved))]
    if kind == "object_camera_distance_change":
        change = nearest[1] - nearest[0]
        label = "not moving" if abs(change) < 0.2 else "closer" if change < 0 else "farther"
    label = _measured_label(kind, label, moved, shift, turn)
    details: dict[str, Any] = {
        "times_s": [i * 0.3, j * 0.3],
        "turn_deg": turn.tolist(),
        "camera_center": [[0.0, 0.0, 0.0], moved.round(6).tolist()],
        "camera_shift": moved.round(6).tolist(),
        "camera_moved_m": [float(np.linalg.norm(moved)), 0.01],
    }
    object_id = other = ""
    if about.subject in ("object", "pair"):
        object_id = "obj_1"
        details |= {
            "object_center": [start.round(6).tolist(), end.round(6).tolist()],
            "object_shift": shift.round(6).tolist(),
            "object_moved_m": [float(np.linalg.norm(shift)), 0.02],
            "boxes_px": boxes,
            "nearest_m": nearest,
        }
        other = "obj_2" if about.subject == "pair" else ""
    if about.subject == "several":
        details["objects"] = ["obj_1", "obj_2", "obj_3"]
    value: float | None = None
    if about.numeric:
        value = {
            "camera_distance": float(np.linalg.norm(moved)),
            "object_distance": float(np.linalg.norm(shift)),
            "object_camera_distance": float(np.linalg.norm(end)),
            "camera_rotation_angle": float(np.linalg.norm(turn)),
        }.get(kind, float(rng.uniform(0.5, 6)))
    sigma = 0.02 * value if value is not None else None
    return Fact(clip_id, kind, object_id, other, i, j, value, about.unit if value else "", label, sigma, 9.0, 3.0, details)


def _measured_label(kind: str, label: str, moved: Any, shift: Any, turn: Any) -> str:
    if kind == "camera_direction" and np.any(moved):
        return _dominant(moved, ("right", "left", "down", "up", "forward", "backward"))
    if kind == "object_direction" and np.any(shift):
        return _dominant(shift, ("right", "left", "down", "up", "away", "towards"))
    if kind == "object_camera_lateral":
        return "right" if shift[0] > 0 else "left"
    if kind == "object_camera_longitudinal":
        return "farther" if shift[2] > 0 else "closer"
    if kind == "camera_rotation":
        axis = int(np.argmax(np.abs(turn)))
        return (("up", "down"), ("right", "left"), ("clockwise", "counterclockwise"))[axis][int(turn[axis] < 0)]
    return label


def _dominant(v: Any, names: tuple[str, ...]) -> str:
    axis = int(np.argmax(np.abs(v)))
    return names[2 * axis + int(v[axis] < 0)]


def _uneven(rng: np.random.Generator, most: float) -> Any:
    """A motion with one clear main axis."""
    v = rng.uniform(-0.4, 0.4, 3)
    v[int(rng.choice(3, p=(0.4, 0.1, 0.5)))] = rng.choice([-1, 1])
    return v * rng.uniform(0.5, most)


def _box(p: Any) -> list[float]:
    z = max(p[2], 0.5)
    u, v, w, h = 320 + _FOCAL * p[0] / z, 200 + _FOCAL * p[1] / z, _FOCAL * 0.8 / z, _FOCAL * 1.5 / z
    return [float(np.clip(x, 0, m)) for x, m in ((u - w / 2, 640), (v - h / 2, 400), (u + w / 2, 640), (v + h / 2, 400))]


def make_row(fact: Fact, rng: np.random.Generator) -> Row:
    about = kind_of(fact.kind)
    if about.numeric:
        assert fact.value is not None
        rung = int(rng.integers(4))
        unit = {"deg": "deg"}.get(about.unit, about.unit)
        texts = [f"{fact.value * 1.6 ** (n - rung):.2f} {unit}" for n in range(4)]
        right = texts[rung]
    elif about.sequence:
        right = fact.label.replace(STEP, ", then ")
        other = [", then ".join(rng.choice(about.labels, 3)) for _ in range(6)]
        texts = [right, *dict.fromkeys(t for t in other if t != right)][:4]
    else:
        right = fact.label
        others = [label for label in about.labels if label != right]
        texts = [right, *rng.permutation(others)[:3].tolist()]
    options = [str(t) for t in rng.permutation(texts)]
    place = options.index(right)
    who = WORDS.get(fact.object_id, "the camera")
    return {
        "id": f"{fact.clip_id}_{fact.kind}_{fact.object_id or 'camera'}_{fact.frame_i:02d}_{fact.frame_j:02d}",
        "clip_id": fact.clip_id,
        "video": f"videos/{fact.clip_id}.mp4",
        "kind": fact.kind,
        "question": f"What holds for {who} from frame {fact.frame_i} of 31 to frame {fact.frame_j} of 31?",
        "options": options,
        "answer": LETTERS[place],
        "answer_text": right,
        "answer_value": fact.value,
        "object_id": fact.object_id,
        "frame_i": fact.frame_i,
        "frame_j": fact.frame_j,
        "fact_ids": [fact.fact_id],
        "messages": [{"role": "user", "content": "<video>?"}, {"role": "assistant", "content": LETTERS[place]}],
        "generator": "test",
        "run_id": "",
        "answer_sigma": fact.sigma,
    }
