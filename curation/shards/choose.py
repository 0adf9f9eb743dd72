"""Which questions reach ``rft`` and ``bench``: those of clips that really move, and equally many of each kind."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
_FEW = 4  # of a kind whose answers cannot be balanced: too few to learn a habit from


@dataclass(frozen=True)
class Candidate:
    """A question, as far as the choice depends on it.

    Attributes:
        habit: what a guesser could learn: the label that is right with the labels on offer, or the rank of the right number.
        motion: ``motion_score``, metres beyond doubt; 0 where it is not known.
    """

    id: str
    clip_id: str
    kind: str
    habit: tuple[object, ...]
    motion: float = 0.0


def habit_of(options: Sequence[str], answer: str, number: float | None) -> tuple[object, ...]:
    """Rank of the right one of four numbers, or the right one among the texts on offer; an open question has none."""
    if not options:
        return (1, 0)
    place = "ABCDEF".index(answer)
    if number is None:
        return (tuple(sorted(options)), options[place])
    values = [float(_NUMBER.findall(option)[0]) for option in options]
    return (len(options), sorted(values).index(values[place]))


def choose_rft(rows: Iterable[Candidate], *, min_motion_m: float, size: int, shares: Mapping[str, float]) -> set[str]:
    """Ids for ``rft``: of clips whose largest motion score is at least ``min_motion_m``, in the shares of the kinds.

    The score judges clips and never a single question: questions with much motion alone would have large numbers only, and
    never "not moving". Within a kind every answer that is offered is right equally often.
    """
    rows = list(rows)
    most: dict[str, float] = defaultdict(float)
    for row in rows:
        most[row.clip_id] = max(most[row.clip_id], row.motion)
    queues = _queues(row for row in rows if most[row.clip_id] >= min_motion_m and (not shares or shares.get(row.kind, 0) > 0))
    if not size and not shares:
        return {row.id for queue in queues.values() for row in queue}
    weights = {kind: shares.get(kind, 0.0) if shares else float(len(queue)) for kind, queue in queues.items()}
    total = sum(weights.values())
    if not total:
        return set()
    room = min(len(queues[kind]) * total / weight for kind, weight in weights.items() if weight) if shares else float(size)
    whole = min(room, size) if size else room
    return {row.id for kind, queue in queues.items() for row in queue[: round(whole * weights[kind] / total)]}


def choose_bench(rows: Iterable[Candidate], *, size: int, shares: Mapping[str, float] | None = None) -> set[str]:
    """Ids for ``bench``: equally many of each kind, or in ``shares``; as many in all as that allows, or ``size``.

    As many kinds take part as leave the benchmark at least half as large as it could be with fewer: of two kinds of 100 and one
    of 3, the rare one is left out (200 questions, not 9).
    """
    queues = _queues((row for row in rows if not shares or shares.get(row.kind, 0) > 0), few=None)
    weights = {kind: shares[kind] if shares else 1.0 for kind in queues}
    rooms = sorted(((len(queue) / weights[kind], weights[kind]) for kind, queue in queues.items()), reverse=True)
    if not rooms:
        return set()
    totals = [room * sum(weight for _, weight in rooms[: n + 1]) for n, (room, _) in enumerate(rooms)]
    unit = rooms[max(n for n, total in enumerate(totals) if total >= max(totals) / 2)][0]
    taking = {kind: queue for kind, queue in queues.items() if len(queue) >= unit * weights[kind]}
    if size:
        unit = min(unit, size / sum(weights[kind] for kind in taking))
    return {row.id for kind, queue in taking.items() for row in queue[: max(1, int(unit * weights[kind] + 1e-9))]}


def _queues(rows: Iterable[Candidate], few: int | None = _FEW) -> dict[str, list[Candidate]]:
    """By kind, in an order of which every beginning is balanced: the habits that compete in turns, by lot within each.

    A habit that is right more often than its rivals loses what is too much, but for ``few`` rows of each kind; with None what
    is too much comes last.
    """
    kinds: dict[str, dict[object, dict[tuple[object, ...], list[Candidate]]]] = defaultdict(lambda: defaultdict(dict))
    for row in sorted(rows, key=_lot):
        kinds[row.kind][row.habit[0]].setdefault(row.habit, []).append(row)
    out: dict[str, list[Candidate]] = {}
    for kind, offers in sorted(kinds.items()):
        rounds: list[list[Candidate]] = []
        rest: list[Candidate] = []
        for offered, habits in offers.items():
            rivals = len(offered) if isinstance(offered, tuple) else int(str(offered))
            even = min(map(len, habits.values())) if len(habits) == rivals else 0
            rounds += [[queue[n] for queue in habits.values()] for n in range(even)]
            rest += [row for queue in habits.values() for row in queue[even:]]
        rounds.sort(key=lambda group: min(map(_lot, group)))
        balanced = [row for group in rounds for row in group]
        most = len(rest) if few is None else max(0, few - len(balanced))
        out[kind] = balanced + sorted(rest, key=_lot)[:most]
    return {kind: queue for kind, queue in out.items() if queue}


def _lot(row: Candidate) -> str:
    return hashlib.sha256(row.id.encode()).hexdigest()
