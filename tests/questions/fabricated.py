"""Facts out of thin air, with the skewed labels and values that real clips have."""

from __future__ import annotations

import numpy as np

from curation.relations.kinds import KINDS, STEP, Kind
from schemas.track import Description, Fact
from tests.relations.fabricated import QUESTIONS

# how often labels come up, and where values lie (median, spread of the logarithm), both far from even
LABELS = {
    "camera_direction": (0.12, 0.1, 0.02, 0.03, 0.63, 0.1),
    "object_camera_distance_change": (0.5, 0.3, 0.2),
    "object_camera_lateral": (0.3, 0.7),
    "object_camera_longitudinal": (0.65, 0.35),
}
VALUES = {
    "camera_distance": (0.8, 1.0),
    "object_distance": (1.5, 0.7),
    "object_camera_distance": (5.0, 0.5),
    "camera_rotation_angle": (15.0, 0.6),
    "object_speed": (0.9, 0.6),
}
DESCRIPTIONS = [
    Description("obj_1", "object", "the red object", "geometry"),
    Description("obj_2", "object", "the blue object (on the left of the view at frame 3)", "geometry"),
    Description("obj_3", "object", "", "geometry"),
    Description("obj_4", "person", "the person in white (on the right of the view at frame 7)", "some model"),
]
_NAMED = ("obj_1", "obj_2", "obj_4")


def random_facts(clip_id: str, rng: np.random.Generator, per_kind: int = 8) -> list[Fact]:
    """Safe and unsafe facts of all kinds; longer intervals hold larger values."""
    facts = []
    for kind, about in KINDS.items():
        for n in range(per_kind):
            i = int(rng.integers(0, QUESTIONS - 5))
            j = int(rng.integers(i + 4, QUESTIONS))
            details = {
                "times_s": [i * 0.3, j * 0.3],
                "turn_deg": rng.normal(0, 8, 3).tolist(),
                "camera_center": rng.normal(0, 1, (2, 3)).tolist(),
                "camera_shift": rng.normal(0, 1, 3).tolist(),
                "camera_moved_m": [float(rng.uniform(0, 2)), 0.02],
            }
            name = ""
            if about.subject == "object":
                name = f"obj_{1 + n % 3}"
                corner = rng.uniform(0, 200, (2, 2))
                details |= {
                    "object_center": rng.normal(0, 3, (2, 3)).tolist(),
                    "object_moved_m": [float(rng.uniform(0, 2)), 0.05],
                    "boxes_px": np.hstack([corner, corner + rng.uniform(30, 150, (2, 2))]).tolist(),
                }
            others = ""
            if about.subject in ("pair", "several"):
                count = 2 if about.subject == "pair" else int(rng.integers(2, 4))
                name, *rest = rng.permutation(_NAMED)[:count].tolist()
                others = "+".join(rest)
                details["objects"] = [name, *rest]
                details["object_center"] = rng.normal(0, 3, (2, 3)).tolist()
            box = {"frame": 1, "box_px": [10.0, 20.0, 110.0, 220.0]}
            details |= {"mark": box, "other_mark": box, "marks": [box] * 4}
            if about.numeric:
                median, spread = VALUES[kind]
                value = float(median * np.exp(rng.normal(0, spread)) * ((j - i) / 16) ** 0.3)
                sigma = value * float(np.exp(rng.uniform(-5.5, -2)))
                margin = (value - 0.1) / sigma
                facts.append(Fact(clip_id, kind, name, others, i, j, value, about.unit, "", sigma, margin, 3.0, details))
            else:
                label = _label(kind, about, rng, name, j - i, len(details.get("objects", ())))
                value = None if not about.unit or about.unit == "s" else 1.0
                margin = float(rng.uniform(0, 12))
                unit = about.unit if value is not None else ""
                facts.append(Fact(clip_id, kind, name, others, i, j, value, unit, label, 0.05, margin, 3.0, details))
    return list({fact.fact_id: fact for fact in facts}.values())


def _label(kind: str, about: Kind, rng: np.random.Generator, name: str, span: int, count: int) -> str:
    """A label out of far from even odds; what is named first and how long the interval is makes some likelier."""
    if about.sequence:
        steps = [_pick(about.labels, rng)]
        while len(steps) < 3:
            steps.append(steps[-1] if rng.random() < 0.8 else _pick(about.labels, rng))
        return STEP.join(steps)
    if about.subject == "several":
        return str(int(rng.choice(count + 1, p=np.array([1, 2, 4, 12])[: count + 1] / sum([1, 2, 4, 12][: count + 1]))))
    if kind in LABELS:
        return about.labels[int(np.searchsorted(np.cumsum(LABELS[kind])[:-1], rng.random()))]
    if about.labels == ("first", "second") and rng.random() < 0.4:  # people are slow, and start late
        return "second" if name == "obj_4" else "first"
    if span > 20 and rng.random() < 0.3:
        return about.labels[0]
    return _pick(about.labels, rng)


def _pick(labels: tuple[str, ...], rng: np.random.Generator) -> str:
    odds = 0.6 ** np.arange(len(labels))
    return labels[int(rng.choice(len(labels), p=odds / odds.sum()))]
