"""The questions of one clip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from curation.questions.naming import Names
from curation.questions.options import LETTERS, UNITS, Letters, label_set, ladder, listed
from curation.questions.shares import asked_kinds
from curation.questions.wordings import Wordings, say, wordings
from curation.relations.kinds import KINDS
from curation.seeding import generator
from schemas.config import QuestionsConfig
from schemas.track import Description, Fact

GENERATOR = "templates-2"
_DRAWS = 15  # 0-3 the ladder or the label set, 4-9 the order of options, 10-12 wording, lead, instruction, 13 mark, 14 open
_MAX_NUMBER = {"m": float("inf"), "deg": 100.0, "m/s": float("inf")}  # beyond it, options would pass half a turn

# Kinds of which one answer gives, or nearly gives, another kind's about the same moments: only one of them is asked.
_SAYS_THE_SAME: tuple[frozenset[str], ...] = (
    frozenset({"object_distance", "object_speed"}),
    frozenset({"object_direction", "object_camera_lateral"}),
    frozenset({"object_direction", "object_camera_longitudinal"}),
    frozenset({"camera_move", "camera_rotation"}),
    frozenset({"camera_move", "camera_direction"}),
    frozenset({"object_motion_pattern", "object_stop_time"}),
)
_RELATED = {kind: [other for pair in _SAYS_THE_SAME if kind in pair for other in pair] or [kind] for kind in KINDS}


def ask(
    clip: dict[str, Any],
    facts: Sequence[Fact],
    descriptions: Iterable[Description],
    config: QuestionsConfig,
    *,
    seed: int,
    run_id: str,
) -> list[dict[str, Any]]:
    """Rows (``schemas.tables.SFT``) of one clip: safe facts only, spread over the kinds, none said twice.

    Args:
        clip: its row of the ``clips`` table.
        facts: its facts; unsafe ones, and those about an object without words, are passed over.
        descriptions: of its objects.
        config: caps and options.
        seed: of the run.
        run_id: written into every row.
    """
    names = Names(clip, {d.object_id: d.text for d in descriptions if d.text}, config)
    rng = generator(seed, clip["clip_id"], "questions")
    queues = _queues(facts, names, config, rng.random(len(facts)).tolist())
    text = wordings()
    letters = Letters(rng)
    rows: list[dict[str, Any]] = []
    counts = dict.fromkeys(queues, 0)
    while queues and len(rows) < config.max_per_clip:
        for kind in list(queues):
            if len(rows) >= config.max_per_clip:
                break
            row = None
            while queues[kind] and row is None:  # a fact without safe options gives its turn to the next of its kind
                row = _row(clip, queues[kind].pop(), names, config, text, rng.random(_DRAWS).tolist(), letters, run_id)
            if row is not None:
                rows.append(row)
                counts[kind] += 1
            if row is None or counts[kind] >= config.max_per_kind:
                del queues[kind]
    return sorted(rows, key=lambda row: row["id"])


def _queues(facts: Sequence[Fact], names: Names, config: QuestionsConfig, draws: list[float]) -> dict[str, list[Fact]]:
    """Askable facts by kind, without near-duplicates: random order, but every label gets its turn (last first out)."""
    queues: dict[str, list[tuple[int, float, Fact]]] = {kind: [] for kind in asked_kinds(config)}
    taken: dict[tuple[str, frozenset[str]], list[Fact]] = {}
    turns: dict[tuple[str, str], int] = {}
    near = config.near_frames
    for n in sorted(range(len(facts)), key=draws.__getitem__):
        fact = facts[n]
        if fact.kind not in queues or not fact.safe or not names.can_name(fact):
            continue
        about, i, j = names.about(fact), fact.frame_i, fact.frame_j
        for kind in _RELATED[fact.kind]:
            others = taken.get((kind, about))
            if others and any(-near <= f.frame_i - i <= near and -near <= f.frame_j - j <= near for f in others):
                break
        else:
            taken.setdefault((fact.kind, about), []).append(fact)
            turn = turns[fact.kind, fact.label] = turns.get((fact.kind, fact.label), 0) + 1
            queues[fact.kind].append((-turn, draws[n], fact))
    return {kind: [fact for _, _, fact in sorted(queue, key=lambda e: e[:2])] for kind, queue in queues.items() if queue}


def _shuffled(items: Sequence[str], right: int, place: int, draws: list[float]) -> list[str]:
    """``items`` in random order, with number ``right`` at ``place``."""
    wrong = [(draw, item) for n, (draw, item) in enumerate(zip(draws, items, strict=False)) if n != right]
    out = [item for _, item in sorted(wrong)]
    out.insert(place, items[right])
    return out


def _row(
    clip: dict[str, Any],
    fact: Fact,
    names: Names,
    config: QuestionsConfig,
    text: Wordings,
    draws: list[float],
    letters: Letters,
    run_id: str,
) -> dict[str, Any] | None:
    kind = KINDS[fact.kind]
    value: float | None = None
    sigma: float | None = None
    if kind.numeric:
        if fact.value is None or fact.sigma is None or fact.value > _MAX_NUMBER[kind.unit]:
            return None
        rungs = ladder(fact.value, fact.sigma, config, draws, kind.unit)
        if rungs is None:
            return None
        texts, right, value, sigma = rungs.texts, rungs.rung, round(fact.value, 4), fact.sigma
    else:
        possible = kind.labels[: len(fact.details["objects"]) + 1] if kind.subject == "several" else kind.labels
        labels = label_set(fact.kind, fact.label, possible, draws[0])
        way = int(draws[1] * len(text.options[fact.kind]))
        texts, right = tuple(say(fact.kind, way, label) for label in labels), labels.index(fact.label)
    templates = text.questions[fact.kind]
    question = names.question(
        fact, templates[int(draws[10] * len(templates))], text.leads[int(draws[11] * len(text.leads))], draws[13]
    )
    if kind.numeric and draws[14] < config.open_share:
        options: list[str] = []
        answer_text = texts[right]
        answer = answer_text.removesuffix(UNITS[kind.unit])
        ways = text.open[kind.unit]
        user = f"<video>\n{question}\n{ways[int(draws[12] * len(ways))]}"
    else:
        place = letters.next(len(texts))
        options = _shuffled(texts, right, place, draws[4:])
        answer, answer_text = LETTERS[place], options[place]
        user = f"<video>\n{question}\n{listed(options)}\n{text.instructions[int(draws[12] * len(text.instructions))]}"
    about = f"{fact.object_id}+{fact.other_object_id}" if fact.other_object_id else fact.object_id or "camera"
    return {
        "id": f"{fact.clip_id}_{fact.kind}_{about}_{fact.frame_i:02d}_{fact.frame_j:02d}",
        "clip_id": fact.clip_id,
        "video": clip["video"],
        "kind": fact.kind,
        "question": question,
        "options": options,
        "answer": answer,
        "answer_text": answer_text,
        "answer_value": value,
        "object_id": fact.object_id,
        "frame_i": fact.frame_i,
        "frame_j": fact.frame_j,
        "fact_ids": [fact.fact_id],
        "messages": [{"role": "user", "content": user}, {"role": "assistant", "content": answer}],
        "generator": GENERATOR,
        "run_id": run_id,
        "answer_sigma": sigma,
    }
