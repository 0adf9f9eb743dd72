"""The further kinds about two objects and more."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from curation.relations.camera import Answer
from curation.relations.kinds import KINDS
from curation.relations.more.closest import closest_to_each_other
from curation.relations.more.details import object_details, seen_frames
from curation.relations.more.first_mover import first_mover
from curation.relations.more.moving_count import moving_count
from curation.relations.more.object_speed import speed_comparison
from curation.relations.more.pair_direction import pair_direction, pair_side
from curation.relations.more.pair_distance import pair_distance_change
from curation.relations.more.pair_heading import heading
from curation.relations.more.passing import passing
from curation.relations.more.scene import Scene
from curation.relations.pairs import choose_pairs
from curation.relations.wholeness import may_be_one
from curation.seeding import generator
from schemas.track import Fact, ObjectTrack

PAIRS: dict[str, Callable[[Scene, ObjectTrack, ObjectTrack, int, int], Answer | None]] = {
    "object_object_distance_change": pair_distance_change,
    "object_object_direction": pair_direction,
    "object_object_side": pair_side,
    "object_object_heading": heading,
    "object_speed_comparison": speed_comparison,
    "object_first_mover": first_mover,
    "object_passing": passing,
    "object_object_closest_time": closest_to_each_other,
}
_COUNTED = 4  # objects in one question


def group_facts(
    clip_id: str, scene: Scene, tracks: Sequence[ObjectTrack], seed: int, camera_details: Callable[..., dict[str, Any]]
) -> list[Fact]:
    """All facts about several objects. Which one of two comes first is drawn by lot for every interval.

    Two tracks that may be parts of one body are never asked about together.
    """
    rng = generator(seed, clip_id, "pairs:objects")
    facts: list[Fact] = []
    couples = [couple for couple in itertools.combinations(tracks, 2) if not may_be_one(*couple)]
    apart = {(a.object_id, b.object_id) for a, b in couples}
    chosen = sorted(rng.permutation(len(couples))[: scene.config.max_object_pairs].tolist())
    for n in chosen:
        for i, j in _intervals(scene, list(couples[n]), rng):
            a, b = int(scene.question[i]), int(scene.question[j])
            one, two = couples[n] if rng.random() < 0.5 else couples[n][::-1]
            shared = camera_details(scene.path, a, b, scene.times_s, scene.scale_rel) | object_details(scene, one, a, b)
            shared |= {f"other_{name.removeprefix('object_')}": v for name, v in object_details(scene, two, a, b).items()}
            for kind, answer_of in PAIRS.items():
                answer = answer_of(scene, one, two, a, b)
                if answer is not None:
                    facts.append(_fact(clip_id, kind, one.object_id, two.object_id, i, j, answer, shared, scene))
    for size in range(2, min(len(tracks), _COUNTED) + 1):
        groups = [
            group
            for group in itertools.combinations(tracks, size)
            if all((a.object_id, b.object_id) in apart for a, b in itertools.combinations(group, 2))
        ]
        if not groups:
            break
        group = list(groups[int(rng.integers(len(groups)))])
        for i, j in _intervals(scene, group, rng):
            a, b = int(scene.question[i]), int(scene.question[j])
            shared = camera_details(scene.path, a, b, scene.times_s, scene.scale_rel)
            shared["marks"] = [object_details(scene, track, a, b).get("mark") for track in group]
            first, *others = [track.object_id for track in group]
            answer = moving_count(scene, group, a, b)
            facts.append(_fact(clip_id, "moving_count", first, "+".join(others), i, j, answer, shared, scene))
    return facts


def _intervals(scene: Scene, tracks: list[ObjectTrack], rng: Any) -> list[tuple[int, int]]:
    count = min(scene.config.min_span, len(scene.question) - 1)
    return choose_pairs(seen_frames(scene, tracks), scene.config.max_pairs // 2, rng, min_span=count)


def _fact(
    clip_id: str, kind: str, one: str, others: str, i: int, j: int, answer: Answer, shared: dict[str, Any], scene: Scene
) -> Fact:
    value, label, sigma, margin, details = answer
    unit = KINDS[kind].unit if value is not None else ""
    return Fact(
        clip_id, kind, one, others, i, j, value, unit, label, sigma, float(margin), scene.config.k_sigma, {**shared, **details}
    )
