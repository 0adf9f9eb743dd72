"""Facts out of thin air, with the skewed labels and values that real clips have."""

from __future__ import annotations

import numpy as np

from curation.relations.kinds import KINDS
from schemas.track import Description, Fact
from tests.relations.fabricated import QUESTIONS

# how often labels come up, and where values lie (median, spread of the logarithm), both far from even
LABELS = {
    "camera_direction": (0.12, 0.1, 0.02, 0.03, 0.63, 0.1),
    "object_camera_distance_change": (0.5, 0.3, 0.2),
    "object_camera_lateral": (0.3, 0.7),
    "object_camera_longitudinal": (0.65, 0.35),
}
VALUES = {"camera_distance": (0.8, 1.0), "object_distance": (1.5, 0.7), "object_camera_distance": (5.0, 0.5)}
DESCRIPTIONS = [
    Description("obj_1", "object", "the red object", "geometry"),
    Description("obj_2", "object", "the blue object (on the left of the view at frame 3)", "geometry"),
    Description("obj_3", "object", "", "geometry"),
]


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
            if about.numeric:
                median, spread = VALUES[kind]
                value = float(median * np.exp(rng.normal(0, spread)) * ((j - i) / 16) ** 0.3)
                sigma = value * float(np.exp(rng.uniform(-5.5, -2)))
                facts.append(Fact(clip_id, kind, name, "", i, j, value, "m", "", sigma, (value - 0.1) / sigma, 3.0, details))
            else:
                label = about.labels[int(np.searchsorted(np.cumsum(LABELS[kind])[:-1], rng.random()))]
                margin = float(rng.uniform(0, 12))
                facts.append(Fact(clip_id, kind, name, "", i, j, 1.0, "m", label, 0.05, margin, 3.0, details))
    return list({fact.fact_id: fact for fact in facts}.values())
