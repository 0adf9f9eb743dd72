"""Metric facts of a clip with one eye, end to end: real structure from motion, a depth network that errs, and the truth."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from curation.audit.answers import NUMERIC_KINDS, OBJECT_KINDS, true_answer, true_label
from curation.cameras.mono_metric import scaled_path
from curation.cameras.relative import Structure, estimate_structure
from curation.imports.one_eye import moving_bodies
from curation.questions.options import ladder
from curation.relations.clip import clip_facts
from curation.relations.kinds import KINDS
from schemas.config import Config, QuestionsConfig
from schemas.track import Fact
from tests.imports.conftest import CONFIG, Annotated
from tests.imports.test_one_eye import _body_of, depth_of, instances

SEEDS = 12


@pytest.fixture(scope="module")
def structure(world: Annotated) -> Structure:
    return estimate_structure(world.frames, CONFIG.cameras, seed=0)


def drawn(world: Annotated, seed: int, clip_rel: float) -> np.ndarray:
    """True depth as a network gives it: off by one factor for the clip, one that drifts over it, and one per body."""
    rng = np.random.default_rng(1000 + seed)
    steps = [rng.normal()]
    for _ in world.frames.source_index[1:]:
        steps.append(0.8 * steps[-1] + 0.6 * rng.normal())
    factor = np.exp(clip_rel * rng.normal() + clip_rel / 4 * np.array(steps))
    return depth_of(world, seed, clip_rel / 2) * factor[:, None, None]


def facts_with_truth(world: Annotated, structure: Structure, promised: float, real: float) -> Iterator[tuple[Fact, float, str]]:
    """Facts of the clip with what is true of them, for networks of the error ``real`` of which ``promised`` is configured."""
    config = Config.model_validate({"depth": {"mono": "zoedepth", "domain_sigma_rel": promised}})
    frames, index, seen = world.frames, world.frames.source_index, instances(world)
    for seed in range(SEEDS):
        depth = drawn(world, seed, real)
        path = scaled_path(structure, depth, config.depth)
        tracks, _ = moving_bodies(frames, path, seen, depth, config)
        bodies = {t.object_id: _body_of(world, t.masks, t.visible) for t in tracks}
        assert all(world.truth.is_mover[b] for b in bodies.values()), f"seed {seed}: a parked body was called an object"
        for fact in clip_facts("c", frames.question, frames.times_s, path, tracks, config.relations, seed=0):
            if fact.kind in {*NUMERIC_KINDS, "camera_direction", *OBJECT_KINDS}:
                i, j = (int(index[frames.question[k]]) for k in (fact.frame_i, fact.frame_j))
                true = true_answer(fact.kind, world.truth, bodies.get(fact.object_id), i, j)
                numeric = fact.kind in NUMERIC_KINDS
                label = "" if numeric else true_label(fact.kind, true, KINDS[fact.kind].labels, config.relations.still_m)
                yield fact, true.value, label


def test_exact_depth_gives_the_path_its_true_length(world: Annotated, structure: Structure) -> None:
    path = scaled_path(structure, depth_of(world, 0, 0.0), Config.model_validate({"depth": {"mono": "zoedepth"}}).depth)
    true = np.linalg.inv(world.truth.world_from_camera[world.frames.source_index[0]]) @ world.truth.world_from_camera
    off = np.linalg.norm(path.centers_m - true[world.frames.source_index, :3, 3], axis=1).max()
    assert off < 0.02 * np.linalg.norm(path.centers_m[-1]), f"{off:.4f} m"


def test_words_are_right_and_no_number_is_asked_of_a_network_that_may_be_off_by_a_seventh(
    world: Annotated, structure: Structure
) -> None:
    off, words = [], []
    for fact, true, label in facts_with_truth(world, structure, 0.15, 0.15):
        if fact.kind in NUMERIC_KINDS:
            assert fact.value is not None and fact.sigma is not None
            assert ladder(fact.value, fact.sigma, QuestionsConfig(), [0.5] * 4) is None, fact
            if fact.kind == "camera_distance":
                off.append(np.log(fact.value / true) / (fact.sigma / fact.value))
        elif fact.safe:
            words.append(fact.label == label)  # also where the scale is too doubtful for a value to be stated
    assert len(words) > 5 * SEEDS / 2 and all(words)
    assert len(off) > 5 * SEEDS / 2 and 0.5 < np.std(off) < 1.5 and np.abs(off).max() < 3.5


def test_numbers_are_asked_of_a_network_that_is_known_to_be_good_and_the_labelled_one_is_the_nearest(
    world: Annotated, structure: Structure
) -> None:
    asked = []
    for fact, true, _ in facts_with_truth(world, structure, 0.04, 0.04):
        if fact.kind in NUMERIC_KINDS and fact.safe:
            assert fact.value is not None and fact.sigma is not None
            found = ladder(fact.value, fact.sigma, QuestionsConfig(), [0.3, 0.0, 0.0, 0.0])  # the narrowest that may be drawn
            if found is not None:
                options = [float(text.split()[0]) for text in found.texts]
                asked.append((fact.kind, int(np.abs(np.log(np.array(options) / true)).argmin()) == found.rung))
    assert len(asked) > 4 * SEEDS and all(right for _, right in asked)
    assert {"camera_distance", "object_camera_distance"} <= {kind for kind, _ in asked}
