"""The reasoned samples of one clip."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from curation.reasoning.chain import reason, stateable
from curation.reasoning.reinforcement import motion_score, reinforcement_row
from curation.reasoning.telling import Register
from curation.relations.kinds import FURTHER, KINDS, PAPER_KINDS
from curation.seeding import generator
from schemas.config import ReasoningConfig
from schemas.track import Description, Fact

Row = dict[str, Any]


def reason_clip(
    clip: Row,
    rows: Sequence[Row],
    facts: Iterable[Fact],
    descriptions: Iterable[Description],
    config: ReasoningConfig,
    *,
    seed: int,
) -> tuple[list[Row], list[Row]]:
    """Cold-start (``ST_COT``) and reinforcement (``RFT``) rows of one clip's questions, ids unique within each list.

    Every question whose states are known in metres can serve reinforcement. Of these, ``max_per_clip`` get a chain of thought,
    by turns over the kinds (the paper's before others, another one of them first in each clip), those with the most certain
    motion first.
    """
    known = {fact.fact_id: fact for fact in facts}
    words = {d.object_id: d.text for d in descriptions}
    pairs = [(row, known[row["fact_ids"][0]]) for row in rows]
    reinforcement = [made for row, fact in pairs if (made := reinforcement_row(row, fact)) is not None]
    chains: list[Row] = []
    first = int(generator(seed, clip["clip_id"], "turns").integers(len(PAPER_KINDS)))
    for row, fact in _by_turns(pairs, first)[: config.max_per_clip]:
        for path in range(config.paths):
            register = register_of(row["id"], path, config, seed)
            made = reason(row, fact, clip, words, seed=seed, path=path, register=register)
            if made is not None:
                chains.append(made)
    return sorted(chains, key=lambda r: (r["id"], r["path"])), sorted(reinforcement, key=lambda r: r["id"])


def register_of(sample_id: str, path: int, config: ReasoningConfig, seed: int) -> Register:
    """The register of one path: as configured, or with ``mixed`` each equally often, by lot."""
    if config.prose != "mixed":
        return config.prose
    lot = int(generator(seed, sample_id, "register").integers(2))
    return "quantitative" if (lot + path) % 2 else "qualitative"


def _by_turns(pairs: list[tuple[Row, Fact]], first: int) -> list[tuple[Row, Fact]]:
    """A turn has one question of each kind; a cap must not always leave out the same kinds."""
    paper = [*PAPER_KINDS[first:], *PAPER_KINDS[:first]]
    order = list(dict.fromkeys([*paper, *KINDS, *FURTHER]))
    ranked = sorted((p for p in pairs if stateable(p[1]) and p[0]["options"]), key=lambda p: (-motion_score(p[1]), p[0]["id"]))
    turns: dict[str, int] = {}
    keyed = []
    for row, fact in ranked:
        turn = turns[fact.kind] = turns.get(fact.kind, 0) + 1
        keyed.append((turn, order.index(fact.kind), row["id"], row, fact))
    return [(row, fact) for *_, row, fact in sorted(keyed, key=lambda entry: entry[:3])]
