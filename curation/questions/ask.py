"""The questions of one clip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from curation.questions.options import LETTERS, Letters, label_set, ladder, listed
from curation.questions.wordings import Wordings, wordings
from curation.relations.kinds import KINDS
from curation.seeding import generator
from schemas.config import QuestionsConfig
from schemas.track import Description, Fact

GENERATOR = "templates-1"
_DRAWS = 13  # 0-3 the ladder or the label set, 4-9 the order of options, 10-12 wording, lead, instruction


def ask(
    clip: dict[str, Any],
    facts: Sequence[Fact],
    descriptions: Iterable[Description],
    config: QuestionsConfig,
    *,
    seed: int,
    run_id: str,
) -> list[dict[str, Any]]:
    """Multiple-choice rows (``schemas.tables.SFT``) of one clip: safe facts only, spread over the kinds, none said twice.

    Args:
        clip: its row of the ``clips`` table.
        facts: its facts; unsafe ones, and those about an object without words, are passed over.
        descriptions: of its objects.
        config: caps and options.
        seed: of the run.
        run_id: written into every row.
    """
    words = {d.object_id: d.text for d in descriptions if d.text}
    rng = generator(seed, clip["clip_id"], "questions")
    queues = _queues(facts, words, config, rng.random(len(facts)).tolist())
    text = wordings()
    letters = Letters(rng)
    rows: list[dict[str, Any]] = []
    while queues and len(rows) < config.max_per_clip:
        for kind in list(queues):
            if len(rows) >= config.max_per_clip:
                break
            row = None
            while queues[kind] and row is None:  # a fact without safe options gives its turn to the next of its kind
                row = _row(clip, queues[kind].pop(), words, config, text, rng.random(_DRAWS).tolist(), letters, run_id)
            if row is None:
                del queues[kind]
            else:
                rows.append(row)
    return sorted(rows, key=lambda row: row["id"])


def _queues(facts: Sequence[Fact], words: dict[str, str], config: QuestionsConfig, draws: list[float]) -> dict[str, list[Fact]]:
    """Askable facts by kind, without near-duplicates: random order, but every label gets its turn (last first out)."""
    queues: dict[str, list[tuple[int, float, Fact]]] = {k: [] for k in KINDS if not config.kinds or k in config.kinds}
    taken: dict[tuple[str, str], list[Fact]] = {}
    turns: dict[tuple[str, str], int] = {}
    for draw, fact in sorted(zip(draws, facts, strict=True), key=lambda pair: pair[0]):
        if fact.kind not in queues or not fact.safe or (fact.object_id and fact.object_id not in words):
            continue
        near = config.near_frames
        others = taken.setdefault((fact.kind, fact.object_id), [])
        if any(abs(f.frame_i - fact.frame_i) <= near and abs(f.frame_j - fact.frame_j) <= near for f in others):
            continue
        others.append(fact)
        turn = turns[fact.kind, fact.label] = turns.get((fact.kind, fact.label), 0) + 1
        queues[fact.kind].append((-turn, draw, fact))
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
    words: dict[str, str],
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
        if fact.value is None or fact.sigma is None:
            return None
        rungs = ladder(fact.value, fact.sigma, config, draws)
        if rungs is None:
            return None
        texts, right, value, sigma = rungs.texts, rungs.rung, round(fact.value, 4), fact.sigma
    else:
        labels = label_set(fact.kind, fact.label, kind.labels, draws[0])
        ways = text.options[fact.kind]
        way = ways[int(draws[1] * len(ways))]
        texts, right = tuple(way[label] for label in labels), labels.index(fact.label)
    place = letters.next(len(texts))
    options = _shuffled(texts, right, place, draws[4:])
    question = _question(clip, fact, words.get(fact.object_id, ""), text, draws)
    instruction = text.instructions[int(draws[12] * len(text.instructions))]
    answer = LETTERS[place]
    about = fact.object_id or "camera"
    return {
        "id": f"{fact.clip_id}_{fact.kind}_{about}_{fact.frame_i:02d}_{fact.frame_j:02d}",
        "clip_id": fact.clip_id,
        "video": clip["video"],
        "kind": fact.kind,
        "question": question,
        "options": options,
        "answer": answer,
        "answer_text": options[place],
        "answer_value": value,
        "object_id": fact.object_id,
        "frame_i": fact.frame_i,
        "frame_j": fact.frame_j,
        "fact_ids": [fact.fact_id],
        "messages": [
            {"role": "user", "content": f"<video>\n{question}\n{listed(options)}\n{instruction}"},
            {"role": "assistant", "content": answer},
        ],
        "generator": GENERATOR,
        "run_id": run_id,
        "answer_sigma": sigma,
    }


def _question(clip: dict[str, Any], fact: Fact, words: str, text: Wordings, draws: list[float]) -> str:
    templates = text.questions[fact.kind]
    last = clip["num_frames"] - 1
    times = clip["frame_times_s"]
    time_i, time_j = f"{times[fact.frame_i]:.1f}", f"{times[fact.frame_j]:.1f}"
    template = templates[int(draws[10] * len(templates))]
    lead = text.leads[int(draws[11] * len(text.leads))]
    return f"{lead} {template}".format(
        a=f"frame {fact.frame_i} of {last} ({time_i} s)",
        b=f"frame {fact.frame_j} of {last} ({time_j} s)",
        i=fact.frame_i,
        j=fact.frame_j,
        last=last,
        last_plus_1=last + 1,
        time_i=time_i,
        time_j=time_j,
        object=words,
        Object=words[:1].upper() + words[1:],
    )
