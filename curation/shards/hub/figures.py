"""What the card says of a dataset in numbers, counted from its tables, and two plots of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from curation.questions.options import LETTERS
from curation.questions.rows import option_values
from curation.shards.export import read
from curation.shards.split import SPLITS
from schemas import tables

ASKED = ("sft", "st_cot", "rft", "bench")
_COLUMNS = ("kind", "options", "answer", "answer_value")


def counts(folder: Path) -> dict[str, Any]:
    """Rows by table and split, questions by kind, letters and ranks: as ``curation.shards.publish`` counts them, and more.

    Args:
        folder: a dataset folder.

    Returns:
        ``rows`` (table -> split -> count), ``kinds`` (table -> kind -> count), ``videos``, ``letters`` (number of options ->
        letter -> count), ``ranks`` (rank of the true number among its options, 0 the smallest -> count); the last two over the
        questions of ``sft`` and ``bench``.
    """
    rows: dict[str, dict[str, int]] = {}
    for name in tables.PUBLISHED:
        for path in sorted((folder / name).glob("*.parquet")):
            split = path.name.split("-")[0]
            rows.setdefault(name, {}).setdefault(split, 0)
            rows[name][split] += pq.read_metadata(path).num_rows
        if name in rows:  # in the order in which the splits are declared
            rows[name] = {split: rows[name][split] for split in SPLITS if split in rows[name]}
    kinds: dict[str, Counter[str]] = {name: Counter() for name in ASKED}
    letters: dict[int, Counter[str]] = {}
    ranks: Counter[int] = Counter()
    for name in ASKED:
        if name not in rows:
            continue
        for row in read.rows(folder, name, _COLUMNS if name in ("sft", "bench") else ("kind",)):
            kinds[name][row["kind"]] += 1
            if name in ("sft", "bench"):
                letters.setdefault(len(row["options"]), Counter())[row["answer"]] += 1
                if row["answer_value"] is not None:
                    values = option_values(row)
                    ranks[sorted(values).index(values[LETTERS.index(row["answer"])])] += 1
    return {
        "rows": rows,
        "kinds": {name: dict(sorted(count.items())) for name, count in kinds.items()},
        "videos": sum(1 for _ in (folder / "videos").glob("*.mp4")) if (folder / "videos").is_dir() else 0,
        "letters": {number: dict(sorted(count.items())) for number, count in sorted(letters.items())},
        "ranks": {rank: ranks[rank] for rank in sorted(ranks)},
    }


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110)
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, path: Path) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})


def plot_balance(found: Mapping[str, Any], path: Path) -> None:
    """Questions by kind and table; how often each letter, and each rank among the options, is the right one. PNG."""
    figure = _figure(11, 3.6)
    by_kind, by_letter, by_rank = figure.subplots(1, 3, width_ratios=[2.2, 1.2, 1])
    names = [name for name in ASKED if found["kinds"][name]]
    kinds = sorted({kind for name in names for kind in found["kinds"][name]})
    height = 0.8 / max(len(names), 1)
    for n, name in enumerate(names):
        places = [k + 0.4 - height * (n + 0.5) for k in range(len(kinds))]
        by_kind.barh(places, [found["kinds"][name].get(kind, 0) for kind in kinds], height * 0.92, label=name)
    by_kind.set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds], fontsize=8)
    by_kind.set_xlabel("questions")
    if names:
        by_kind.legend(fontsize=8, frameon=False)
    for number, letters in found["letters"].items():
        total = sum(letters.values())
        shares = [100 * letters.get(letter, 0) / total for letter in LETTERS[:number]]
        by_letter.plot(list(LETTERS[:number]), shares, "o-", ms=4, lw=1, label=f"{number} options ({total})")
    by_letter.set_ylim(bottom=0)
    by_letter.set_title("right letter, %", fontsize=9)
    if found["letters"]:
        by_letter.legend(fontsize=7, frameon=False)
    total = sum(found["ranks"].values())
    by_rank.bar(
        [str(rank + 1) for rank in found["ranks"]], [100 * count / total for count in found["ranks"].values()], color="C0"
    )
    by_rank.set_title("rank of the right number, %\n(1: the smallest)", fontsize=9)
    _save(figure, path)


def plot_accuracy(questions: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Share of right labels by kind with its 95 % interval, from an audit's ``questions``. PNG."""
    from curation.evaluate.scores import wilson

    kinds = [kind for kind in questions if questions[kind]["asked"]]
    figure = _figure(7, 0.8 + 0.34 * len(kinds))
    axes = figure.add_subplot()
    for n, kind in enumerate(reversed(kinds)):
        right, asked = questions[kind]["right"], questions[kind]["asked"]
        low, high = wilson(right, asked)
        axes.plot([100 * low, 100 * high], [n, n], "-", color="C0", lw=2)
        axes.plot([100 * right / asked], [n], "o", color="C0", ms=5)
    axes.set_yticks(range(len(kinds)), [f"{k.replace('_', ' ')} ({questions[k]['asked']})" for k in reversed(kinds)], fontsize=8)
    axes.set_xlim(right=100.5)
    axes.set_xlabel("right labels, % (line: 95 % interval)")
    axes.grid(axis="x", lw=0.3)
    _save(figure, path)
