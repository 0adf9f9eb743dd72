"""Which kinds are asked, and in which shares: the paper's data sets as presets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from curation.questions.rows import Row
from curation.relations.kinds import KINDS, PAPER_KINDS
from curation.seeding import generator
from schemas.config import Config, QuestionsConfig

# MLLM-4D (arXiv 2603.00515), shares of scenarios in per cent; its "object-camera direction" is our lateral and longitudinal.
PRESETS: dict[str, dict[str, float]] = {
    "mllm4d-2m": dict.fromkeys(PAPER_KINDS, 14.3),
    "mllm4d-r1-30k": {
        "object_distance": 20.0,
        "camera_distance": 19.2,
        "camera_direction": 16.7,
        "object_camera_distance": 19.2,
        "object_camera_distance_change": 16.7,
        "object_camera_lateral": 4.15,
        "object_camera_longitudinal": 4.15,
    },
    "mllm4d-bench": {
        "object_distance": 16.7,
        "camera_distance": 16.7,
        "camera_direction": 16.7,
        "object_camera_distance": 16.7,
        "object_camera_distance_change": 16.7,
        "object_camera_lateral": 8.35,
        "object_camera_longitudinal": 8.35,
    },
}


def shares_of(config: QuestionsConfig) -> dict[str, float]:
    """Share of each kind as configured; empty where questions are taken as they come.

    Raises:
        ValueError: a kind that does not exist, a share below zero, or both a preset and shares.
    """
    if config.preset and config.shares:
        raise ValueError("expected questions.preset or questions.shares, got both")
    shares = PRESETS[config.preset] if config.preset else config.shares
    _known(shares)
    if any(share < 0 for share in shares.values()) or (shares and not any(shares.values())):
        raise ValueError(f"expected questions.shares of zero or more, and one above zero, got {dict(shares)}")
    return {kind: share for kind, share in shares.items() if share > 0}


def asked_kinds(config: QuestionsConfig) -> tuple[str, ...]:
    """The kinds that may be asked, in the order of ``KINDS``.

    Raises:
        ValueError: as ``shares_of``.
    """
    _known(config.kinds)
    shares = shares_of(config)
    return tuple(k for k in KINDS if (not config.kinds or k in config.kinds) and (not shares or k in shares))


def table_shares(config: Config) -> dict[str, dict[str, float]]:
    """Shares of the kinds in ``rft`` and ``bench``; empty where they follow from the questions that there are.

    With one of the paper's presets each table gets the shares that the paper gives its own: ``rft`` those of MLLM4D-R1-30k,
    ``bench`` those of MLLM4D-Bench (whatever the preset of the training questions). ``shards.rft_shares`` overrides.

    Raises:
        ValueError: a kind that does not exist or is not asked, or a share below zero.
    """
    rft = dict(config.shards.rft_shares)
    asked = asked_kinds(config.questions)
    _known(rft)
    if any(share < 0 for share in rft.values()) or (rft and not any(rft.values())):
        raise ValueError(f"expected shards.rft_shares of zero or more, and one above zero, got {rft}")
    if unasked := [kind for kind, share in rft.items() if share > 0 and kind not in asked]:
        raise ValueError(f"expected shards.rft_shares of kinds that are asked; questions.* leave out {', '.join(unasked)}")
    if not config.questions.preset:
        return {"rft": rft, "bench": {}}
    return {"rft": rft or dict(PRESETS["mllm4d-r1-30k"]), "bench": dict(PRESETS["mllm4d-bench"])}


def in_shares(rows: Sequence[Row], shares: Mapping[str, float], seed: int) -> list[Row]:
    """As many of ``rows`` (sorted by id) as give every kind its share; which ones of a kind go is drawn by lot.

    Kinds without any row do not count: the others keep their proportions. Rows of kinds without a share are left out.
    """
    if not shares:
        return list(rows)
    by_kind: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if shares.get(row["kind"], 0) > 0:
            by_kind[row["kind"]].append(row)
    if not by_kind:
        return []
    unit = min(len(mine) / shares[kind] for kind, mine in by_kind.items())
    kept: list[Row] = []
    for kind, mine in by_kind.items():
        lots = generator(seed, kind, "shares").permutation(len(mine)).tolist()
        kept += [mine[n] for n in lots[: max(1, round(unit * shares[kind]))]]
    return sorted(kept, key=lambda row: row["id"])


def _known(kinds: Mapping[str, float] | Sequence[str]) -> None:
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"expected kinds out of {', '.join(KINDS)}; got {', '.join(unknown)}")
