"""Several models on the same questions: one table, one picture."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curation.evaluate.items import Item
from curation.evaluate.scores import ALL, BLIND, CHANCE, baselines, score

Scores = dict[str, Any]


def question_set(items: Sequence[Item]) -> str:
    """A name for a set of questions: equal for equal questions, options and answers, in any order."""
    asked = sorted((item.id, item.question, item.options, item.answer) for item in items)
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]


def compare(models: Mapping[str, tuple[Sequence[Item], Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Scores of models, those on the same questions together.

    Args:
        models: by name: the questions, and the responses by id.

    Returns:
        For each set of questions: ``questions`` (its name), ``count``, ``rows``: by name, chance and blind guesser first.
    """
    sets: dict[str, dict[str, Any]] = {}
    for name, (items, responses) in models.items():
        key = question_set(items)
        if key not in sets:
            sets[key] = {"questions": key, "count": len(items), "rows": dict(baselines(items))}
        sets[key]["rows"][name] = score(items, responses)
    return list(sets.values())


def markdown(group: Mapping[str, Any]) -> str:
    """The table of one set of questions."""
    rows: Mapping[str, Scores] = group["rows"]
    kinds = [kind for kind in rows[CHANCE]["kinds"] if kind != ALL]
    lines = [
        "| model | "
        + " | ".join(["all", "mean of kinds", *(kind.replace("_", " ") for kind in kinds), "unclear", "no response"])
        + " |",
        "|---|" + "---|" * (len(kinds) + 4),
        "| questions | "
        + " | ".join([str(group["count"]), "", *(str(rows[CHANCE]["kinds"][k]["count"]) for k in kinds), "", ""])
        + " |",
    ]
    for name, row in rows.items():
        whole = row["kinds"][ALL]
        cells = [_share(whole), _percent(row["mean_of_kinds"]), *(_share(row["kinds"][kind]) for kind in kinds)]
        cells += [str(whole.get("unclear", "")), str(whole.get("unanswered", ""))]
        lines.append(f"| {_safe(name)} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "Accuracy in percent with its 95 % confidence interval (Wilson); what is unclear or without a response is wrong.",
    ]
    if BLIND in rows:
        about = rows[BLIND]
        lines.append(
            f"The blind guesser never sees the video: `{about['guesser']}`, the best of {about['guessers']} in hindsight, which "
            "on few questions is above chance by luck."
        )
    stated = [line for name, row in rows.items() if (line := _states_row(name, row))]
    if stated:
        head = "| model | camera stated | mean error | median | object stated | mean error | median |"
        lines += [
            "",
            "Positions that the reasoning states, where they are known:",
            "",
            head,
            "|---|---|---|---|---|---|---|",
            *stated,
        ]
    return "\n".join(lines) + "\n"


def _states_row(name: str, row: Scores) -> str:
    states = row.get("states") or {}
    if not any(entry["stated"] for entry in states.values()):
        return ""
    cells = []
    for who in ("camera", "object"):
        entry = states[who]
        errors = (entry["mean_error_m"], entry["median_error_m"])
        cells += [f"{entry['stated']} of {entry['count']}", *("" if e is None else f"{e:.2f} m" for e in errors)]
    return f"| {_safe(name)} | " + " | ".join(cells) + " |"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def _share(entry: Mapping[str, Any]) -> str:
    if entry.get("low") is None:
        return _percent(entry["accuracy"])
    return f"{_percent(entry['accuracy'])} ({_percent(entry['low'])} - {_percent(entry['high'])})"


def _safe(name: str) -> str:
    return name.replace("|", "/").replace("\n", " ")[:80]


def picture(group: Mapping[str, Any], path: Path) -> None:
    """Bars by kind with their intervals; chance is the black line in each group. PNG or SVG, by the suffix."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows: Mapping[str, Scores] = group["rows"]
    kinds = list(rows[CHANCE]["kinds"])
    names = [name for name in rows if name != CHANCE]
    figure = Figure(figsize=(max(7.0, 1.0 + len(kinds) * (0.5 + 0.22 * len(names))), 4.2), dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    width = 0.8 / max(len(names), 1)
    colours = ["#b0b0b0" if name == BLIND else f"C{n}" for n, name in enumerate(names)]
    for n, name in enumerate(names):
        entries = [rows[name]["kinds"][kind] for kind in kinds]
        shares = [100 * entry["accuracy"] for entry in entries]
        below = [max(0.0, 100 * (entry["accuracy"] - entry["low"])) for entry in entries]
        above = [max(0.0, 100 * (entry["high"] - entry["accuracy"])) for entry in entries]
        places = [k - 0.4 + width * (n + 0.5) for k in range(len(kinds))]
        axes.bar(places, shares, width * 0.92, yerr=[below, above], color=colours[n], label=_safe(name), error_kw={"lw": 1})
    for k, kind in enumerate(kinds):
        chance = 100 * rows[CHANCE]["kinds"][kind]["accuracy"]
        axes.hlines(chance, k - 0.45, k + 0.45, color="black", lw=1.5, label=CHANCE if k == 0 else "")
    labels = [f"{kind.replace('_', ' ')}\n({rows[CHANCE]['kinds'][kind]['count']})" for kind in kinds]
    axes.set_xticks(range(len(kinds)), labels, rotation=25, ha="right", fontsize=8)
    axes.set_ylim(0, 100)
    axes.set_ylabel("accuracy, %")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, ncols=min(4, len(names) + 1), loc="lower left", bbox_to_anchor=(0, 1), frameon=False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None} if path.suffix == ".png" else {"Date": None})
