"""What is known of a run, from its files alone: clips and their outcomes, losses with examples, balance, cost."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from curation.questions.rows import label_of, option_values
from curation.report.clip_view import published_rows
from pipelines.ledger import Ledger, Record
from pipelines.plan import source_key
from pipelines.summary import duration, stage_counts
from schemas import run_folder as names
from schemas.clip import ClipSpec, Source
from schemas.config import RelationsConfig

Row = dict[str, Any]
_QUESTION_COLUMNS = ["kind", "options", "answer", "answer_text", "answer_value"]


class NoRun(FileNotFoundError):
    """The folder is no run."""


def read_json(path: Path) -> Row:
    """The content of a JSON file, {} where there is none."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def plan_of(run: Path) -> Row:
    """``plan.json``; for a published folder without a ledger, the same keys from what was published.

    Raises:
        NoRun: there is neither.
    """
    plan = read_json(run / names.LEDGER / "plan.json")
    if plan:
        return plan
    clips = sorted(row["clip_id"] for row in published_rows(run, "clips", columns=["clip_id"]))
    if not clips and not (run / names.PUBLISH).is_dir():
        raise NoRun(
            f"expected a run folder with {names.LEDGER}/plan.json (or {names.PUBLISH}/) in {run}, found none; is it the --output "
            "of pipelines.build, and has planning ended?"
        )
    return {"clips": clips, "stages": {}, "losses": {"rejected": {}, "failed": {}}, "sources": None}


def clip_statuses(run: Path, plan: Row, clip_ids: Iterable[str]) -> list[Row]:
    """Of each clip: clip_id, source, start_s, end_s, outcome (kept, rejected, failed, pending), reason, message, records."""
    ledger, wanted = Ledger(run), list(clip_ids)
    found = _sources_of(run, set(wanted))
    stages = list(plan["stages"])
    measuring = [name for name in stages if not plan["stages"][name]]
    out = []
    for clip_id in wanted:
        records = [r for r in (ledger.read(stage, clip_id) for stage in stages) if r]
        lost = next((r for r in records if r.outcome != "ok"), None)
        done = not measuring or any(r.stage == measuring[-1] for r in records)
        outcome = lost.outcome if lost else "kept" if done else "pending"
        source, start_s, end_s = found.get(clip_id, ("", None, None))
        out.append(
            {
                "clip_id": clip_id, "source": source, "start_s": start_s, "end_s": end_s, "outcome": outcome,
                "reason": f"{lost.stage}: {lost.reason}" if lost else "", "message": lost.message if lost else "",
                "records": [asdict(r) for r in records],
            }
        )  # fmt: skip
    return sorted(out, key=lambda row: (row["source"], row["start_s"] or 0.0, row["clip_id"]))


def _sources_of(run: Path, wanted: set[str]) -> dict[str, tuple[str, float, float]]:
    """Source, start and end of the wanted clips, also of those that were rejected before anything was written of them."""
    out: dict[str, tuple[str, float, float]] = {}
    ledger = Ledger(run)
    for value in read_json(ledger.root / "scan.json").get("sources", []):
        source = Source(**{**value, "assumed": tuple(value["assumed"])})
        record = ledger.read("source", source_key(source))
        for start, end, start_s, end_s, options in record.stats.get("clips", []) if record else []:
            clip_id = ClipSpec(source, start, end, start_s, end_s, options).clip_id
            if clip_id in wanted:
                out[clip_id] = (source.name, start_s, end_s)
    if not out:
        for row in published_rows(run, "clips", columns=["clip_id", "source", "start_s", "end_s"]):
            if row["clip_id"] in wanted:
                out[row["clip_id"]] = (row["source"], row["start_s"], row["end_s"])
    return out


def losses(run: Path, plan: Row, statuses: list[Row], stages: Row) -> list[Row]:
    """stage, outcome, reason, count, example: of sources and of clips, the most frequent first."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for outcome, reasons in plan["losses"].items():
        for reason, count in reasons.items():
            counts["source", outcome, reason] += count
    for stage, row in stages.items():
        for outcome in ("rejected", "failed"):
            for reason, count in row[outcome].items():
                counts[stage, outcome, reason] += count
    examples: dict[tuple[str, str, str], str] = {}
    for name, reason, message in _lost_sources(run):
        for outcome in ("rejected", "failed"):
            examples.setdefault(("source", outcome, reason), f"{name}: {message}")
    for status in statuses:
        lost = next((r for r in status["records"] if r["outcome"] != "ok"), None)
        if lost:
            name = status["source"] or status["clip_id"]
            examples.setdefault((lost["stage"], lost["outcome"], lost["reason"]), f"{name}: {lost['message']}")
    words = "stage", "outcome", "reason"
    rows = [dict(zip(words, key, strict=True)) | {"count": n, "example": examples.get(key, "")} for key, n in counts.items()]
    return sorted(rows, key=lambda r: (-r["count"], r["stage"], r["reason"]))


def _lost_sources(run: Path) -> Iterator[tuple[str, str, str]]:
    """(name, reason, message) of sources, and of parts of sources, that yield no clip."""
    ledger = Ledger(run)
    for loss in read_json(ledger.root / "scan.json").get("losses", []):
        yield loss["name"], loss["reason"], loss["message"]
    for path in sorted((ledger.root / "source").glob("*/*.json")):
        record: Record | None = ledger.read("source", path.stem)
        if record is None:
            continue
        if record.outcome != "ok":
            yield str(record.stats.get("source", path.stem)), record.reason, record.message
        yield from (tuple(refused) for refused in record.stats.get("refused", []))


def balance(rows: Iterable[Row]) -> Row:
    """Counts over questions: ``kinds``; ``letters`` by number of options; ``labels`` by kind; ``ranks`` of true numbers."""
    kinds: Counter[str] = Counter()
    letters: dict[int, Counter[str]] = defaultdict(Counter)
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    ranks: Counter[str] = Counter()
    for row in rows:
        kinds[row["kind"]] += 1
        if row["options"]:
            letters[len(row["options"])][row["answer"]] += 1
        if row["answer_value"] is None:
            labels[row["kind"]][label_of(row)] += 1
        elif row["options"]:
            values = option_values(row)
            ranks[str(1 + sorted(values).index(values[ord(row["answer"]) - ord("A")]))] += 1
    return {
        "kinds": dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0]))),
        "letters": {count: dict(sorted(found.items())) for count, found in sorted(letters.items())},
        "labels": {kind: dict(sorted(found.items())) for kind, found in sorted(labels.items())},
        "ranks": dict(sorted(ranks.items())),
    }


def run_facts(run: Path, plan: Row, statuses: list[Row]) -> Row:
    """Everything that the first page says of the run."""
    known = read_json(run / names.RUN_JSON)
    ended = "stages" in known
    stages = known["stages"] if ended else stage_counts(Ledger(run), list(plan["stages"]), plan["clips"])["stages"]
    if ended:
        clips = known["clips"]
    elif len(statuses) == len(plan["clips"]):
        outcomes = Counter(status["outcome"] for status in statuses)
        clips = {"planned": len(statuses)} | {word: outcomes[word] for word in ("kept", "rejected", "failed", "pending")}
    else:
        clips = _counted(stages, plan)
    published = (known.get("published") or {}).get("rows", {})
    rows = {name: sum(published[name].values()) for name in ("sft", "st_cot", "rft", "bench") if name in published}
    config = run / names.CONFIG
    questions = (row for table in ("sft", "bench") for row in published_rows(run, table, columns=_QUESTION_COLUMNS))
    count = sum(rows.get(name, 0) for name in ("sft", "bench"))
    return {
        "name": run.resolve().name,
        "status": known.get("status", "" if not plan["stages"] else "running"),
        "run_id": known.get("run_id", ""),
        "started": known.get("started", "").replace("T", " ").replace("+00:00", " UTC"),
        "revision": (known.get("git") or {}).get("revision", ""),
        "seconds": known.get("seconds"),
        "duration": duration(known["seconds"]) if known.get("seconds") is not None else "",
        "clips": clips,
        "rows": rows,
        "losses": losses(run, plan, statuses, stages),
        "balance": balance(questions) | {"what": f"the {count} published questions" if count else "the published questions"},
        "stages": _stage_rows(stages),
        "config": config.read_text(encoding="utf-8") if config.exists() else "",
        "left_out": len(plan["clips"]) - len(statuses),
    }


def _counted(stages: Row, plan: Row) -> Row:
    """Outcomes of clips from the counts of the stages: each clip is lost at most once."""
    measuring = [name for name in plan["stages"] if not plan["stages"][name]]
    lost = {word: sum(sum(stages[name][word].values()) for name in stages) for word in ("rejected", "failed")}
    kept = stages[measuring[-1]]["ok"] if measuring else len(plan["clips"])
    return {"planned": len(plan["clips"]), "kept": kept, **lost, "pending": len(plan["clips"]) - kept - sum(lost.values())}


def _stage_rows(stages: Row) -> list[Row]:
    out = []
    for name, row in stages.items():
        rejected, failed = sum(row["rejected"].values()), sum(row["failed"].values())
        count = max(1, row["ok"] + rejected + failed)
        costs = {"cpu_s": row["cpu_s"], "peak_mb": row["peak_mb"], "cpu_each": row["cpu_s"] / count}
        out.append({"name": name, "ok": row["ok"], "rejected": rejected, "failed": failed, **costs})
        out[-1]["seconds_each"] = row["seconds"] / count
    most = max((row["cpu_each"] for row in out), default=0.0)
    return [row | {"bar": 100 * row["cpu_each"] / most if most else 0.0} for row in out]


def still_threshold_m(run: Path) -> float:
    """Change of distance that divides "not moving" from closer and farther: the middle of the run's two thresholds."""
    relations = RelationsConfig()
    if (run / names.CONFIG).exists():
        resolved = yaml.safe_load((run / names.CONFIG).read_text(encoding="utf-8")) or {}
        relations = RelationsConfig.model_validate(resolved.get("relations", {}))
    return (relations.still_m + relations.moving_m) / 2
