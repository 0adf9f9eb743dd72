"""From measured clips to the published folder: select questions over the run, publish, quarantine."""

from __future__ import annotations

import dataclasses
import importlib
import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.files import replacing, write_json
from pipelines.ledger import Ledger, Record, fingerprint
from pipelines.mirror import ahead
from pipelines.plan import Job, Loss, Work, likeness_of, source_key
from pipelines.storage import in_parallel
from schemas import run_folder as names
from schemas.clip import ClipSpec

if TYPE_CHECKING:
    from pipelines.rewriting import Rewritten

PACK_VERSION = 2
BATCH_ROWS = 200_000  # rows that are selected together; bounds memory
SELECTION = "selection"
HELD_OUT = "held_out.json"


@dataclass(frozen=True)
class Kept:
    """A clip that passed every stage before the selection."""

    spec: ClipSpec
    split: str
    digest: str  # of its selected questions


def split_clips(job: Job, specs: Sequence[ClipSpec]) -> list[tuple[ClipSpec, str]]:
    """Every clip with its split. What is held out is remembered, so that more videos never make training material of it."""
    from curation.shards.split import Look, split_sources

    ledger, share = Ledger(job.output), job.config.shards.bench_share
    sources = {source_key(spec.source): spec.source for spec in specs}
    looks = {key: Look(source.sha256, likeness_of(ledger.read("source", key))) for key, source in sources.items()}
    memory = ledger.root / HELD_OUT
    known = json.loads(memory.read_text(encoding="utf-8")) if memory.exists() else {}
    before = set(known["keys"]) if known.get("bench_share") == share else set()
    splits, held_out = split_sources(looks, share, before)
    if held_out - before or (known and known["bench_share"] != share):
        write_json(memory, {"bench_share": share, "keys": sorted(before | held_out)})
    return [(spec, splits[source_key(spec.source)]) for spec in specs]


def select_questions(job: Job, specs: Sequence[ClipSpec], prints: dict[str, str]) -> list[Kept]:
    """Decide over the whole run which questions are published, and write each clip's into its folder.

    Clip ids are hashes, so that a range of them is a fair sample: a large run is selected range by range. A clip whose selected
    questions stay the same keeps its file, and with it everything that was reasoned about them.

    Args:
        job: the run.
        specs: the kept clips in the order of their ids.
        prints: per clip id, the fingerprint of its ``questions`` record.
    """
    ledger = Ledger(job.output)
    splits = split_clips(job, specs)
    sides = [[spec.clip_id, split] for spec, split in splits]
    whole = fingerprint(SELECTION, PACK_VERSION, job.config.seed, sides, sorted(prints.items()))
    stamp = ledger.root / "selection.json"
    if stamp.exists():
        known = json.loads(stamp.read_text(encoding="utf-8"))
        if known["whole"] == whole and (job.mirror or all((_folder(job, spec) / names.SELECTED).exists() for spec in specs)):
            return [Kept(spec, split, known["digests"][spec.clip_id]) for spec, split in splits]
    stamp.unlink(missing_ok=True)  # it must not vouch for files that the loop below replaces, should that be cut short
    kept: dict[str, Kept] = {}
    for split in ("train", "test"):
        mine = [spec for spec, its in splits if its == split]
        for batch in _batches(job, ledger, mine):
            for item in _select_batch(job, ledger, batch, split):
                kept[item.spec.clip_id] = item
    job.sync()
    write_json(stamp, {"whole": whole, "digests": {clip_id: item.digest for clip_id, item in kept.items()}})
    job.sync()
    return [kept[spec.clip_id] for spec in specs]


def _folder(job: Job, spec: ClipSpec) -> Path:
    return job.output / names.clip_folder(spec.clip_id)


def _batches(job: Job, ledger: Ledger, specs: Sequence[ClipSpec]) -> Iterator[list[ClipSpec]]:
    batch: list[ClipSpec] = []
    rows = 0
    for spec in specs:
        record = ledger.read("questions", spec.clip_id)
        rows += record.stats.get("questions", 0) if record else 0
        batch.append(spec)
        if rows >= BATCH_ROWS:
            yield batch
            batch, rows = [], 0
    if batch:
        yield batch


def _select_batch(job: Job, ledger: Ledger, batch: Sequence[ClipSpec], split: str) -> Iterator[Kept]:
    from curation.shards.writer import read_table, table_of, write_table
    from schemas import tables

    _bring(job, ledger, batch)
    rows = [row for spec in batch for row in read_table(_folder(job, spec) / names.QUESTIONS).to_pylist()]
    by_clip: dict[str, list[dict[str, Any]]] = {spec.clip_id: [] for spec in batch}
    for row in importlib.import_module(job.line).select(rows, job.config):
        by_clip[row["clip_id"]].append(row)
    for spec in batch:
        mine = sorted(by_clip[spec.clip_id], key=lambda row: row["id"])
        digest = fingerprint(mine)
        record = ledger.read(SELECTION, spec.clip_id)
        file = _folder(job, spec) / names.SELECTED
        if record is None or record.fingerprint != digest or not file.exists():
            ledger.forget(SELECTION, spec.clip_id)
            with replacing(file) as temporary:
                write_table(temporary, table_of(mine, tables.SFT))
            ledger.write(Record(spec.clip_id, SELECTION, digest, "ok", stats={"selected": len(mine)}))
        yield Kept(spec, split, digest)


def _bring(job: Job, ledger: Ledger, batch: Sequence[ClipSpec]) -> None:
    """Have the questions of the clips, and what was selected of them before, on this machine."""
    mirror = job.mirror
    if mirror is None:
        return

    def fetch(spec: ClipSpec) -> None:
        asked, selected = ledger.read("questions", spec.clip_id), ledger.read(SELECTION, spec.clip_id)
        mirror.fetch(spec.clip_id, [names.QUESTIONS], f"{asked.fingerprint} {asked.finished_unix_s}" if asked else "")
        if selected:
            mirror.fetch(spec.clip_id, [names.SELECTED], selected.fingerprint)

    in_parallel(fetch, batch)


def publish_clips(
    job: Job, run_id: str, kept: Sequence[Kept], reasoned: dict[str, str], rewritten: Rewritten | None = None
) -> tuple[dict[str, Any], bool]:
    """Write ``publish/`` unless it holds just this already.

    Args:
        job: the run.
        run_id: for the rows.
        kept: the clips, in the order of their ids.
        reasoned: per clip id whose reasoning is done, the fingerprint of that record.
        rewritten: chains of thought that stand for those of the reasoning stage.

    Returns:
        The counts that ``curation.shards.publish`` gives, and whether anything was written.
    """
    from curation.questions.shares import table_shares
    from schemas.tables import PUBLISHED

    folder, stamp = job.output / names.PUBLISH, job.output / names.LEDGER / "publish.json"
    about = {
        "seed": job.config.seed,
        "k_sigma": job.config.relations.k_sigma,
        "question_frames": job.config.video.question_frames,
        "bench_share": job.config.shards.bench_share,
    }
    clips = [[k.spec.clip_id, k.spec.source.name, k.split, k.digest, reasoned.get(k.spec.clip_id)] for k in kept]
    columns = {name: schema.names for name, schema in PUBLISHED.items()}
    whole = fingerprint(
        PACK_VERSION,
        run_id,
        about,
        job.config.shards.model_dump(mode="json"),
        table_shares(job.config),
        columns,
        clips,
        rewritten.digest if rewritten else "",
    )
    if stamp.exists():
        known = json.loads(stamp.read_text(encoding="utf-8"))
        there = known.get("version") == job.mirror.latest() if job.mirror else known["files"] == _listing(folder)
        if known["whole"] == whole and there:
            return known["counts"], False
    from curation.shards.publish import PublishedClip, publish
    from curation.shards.rows import clip_row

    videos: dict[str, str] = {}
    choice = _choice(job, kept, reasoned)
    chains = rewritten.rows if rewritten else None

    def published() -> Iterator[PublishedClip]:
        for item in _at_hand(job, kept, reasoned):
            info = _info(job, item.spec)
            row = clip_row(info, item.spec.source.name, item.split)
            videos[row["video"]] = f"{names.clip_folder(item.spec.clip_id)}/{names.CLIP_VIDEO}"
            yield PublishedClip(_folder(job, item.spec), row, item.spec.clip_id in reasoned, choice, chains)

    if job.mirror is None:
        counts = publish(published(), folder, job.config.shards, run_id, about)
        write_json(stamp, {"whole": whole, "counts": counts, "files": _listing(folder)})
        return counts, True
    counts = publish(published(), folder, job.config.shards, run_id, about, link=lambda _, target: target.touch())
    version = f"{run_id}-{whole[:8]}"
    job.mirror.publish(folder, version, videos)
    write_json(stamp, {"whole": whole, "counts": counts, "version": version})
    job.sync()
    return counts, True


def _choice(job: Job, kept: Sequence[Kept], reasoned: dict[str, str]) -> dict[str, set[str]]:
    """The ids that ``rft`` and ``bench`` take."""
    from curation.questions.shares import table_shares
    from curation.shards.choose import Candidate, choose_bench, choose_rft, habit_of
    from curation.shards.writer import read_table

    config, shares = job.config.shards, table_shares(job.config)
    found: dict[str, list[Candidate]] = {"train": [], "test": []}
    for item in _at_hand(job, kept, reasoned):
        if item.split == "train" and item.spec.clip_id not in reasoned:
            continue
        table = read_table(_folder(job, item.spec) / (names.RFT if item.split == "train" else names.SELECTED))
        columns = ["id", "clip_id", "kind", "options", "answer", "answer_value", *({"motion_score"} & set(table.schema.names))]
        for row in table.select(columns).to_pylist():
            habit = habit_of(row["options"], row["answer"], row["answer_value"])
            found[item.split].append(Candidate(row["id"], row["clip_id"], row["kind"], habit, row.get("motion_score", 0.0)))
    rft = choose_rft(found["train"], min_motion_m=config.rft_min_motion_m, size=config.rft_size, shares=shares["rft"])
    return {"rft": rft, "bench": choose_bench(found["test"], size=config.bench_size, shares=shares["bench"])}


def training_folders(job: Job, kept: Sequence[Kept], reasoned: dict[str, str]) -> Iterator[Path]:
    """The folders of the training clips whose reasoning is done, each with its products at hand while it is its turn."""
    training = [item for item in kept if item.split == "train" and item.spec.clip_id in reasoned]
    return (_folder(job, item.spec) for item in _at_hand(job, training, reasoned))


PACKED = (names.CLIP_JSON, names.CAMERAS, names.OBJECTS, names.TRACKS, names.FACTS)


def _at_hand(job: Job, kept: Sequence[Kept], reasoned: dict[str, str]) -> Iterator[Kept]:
    """The clips one after another, each with the products that are packed on this machine while it is its turn."""
    mirror = job.mirror
    if mirror is None:
        yield from kept
        return

    now = uuid.uuid4().hex  # whatever an earlier run left here is fetched again

    def fetch(item: Kept) -> None:
        clip_id = item.spec.clip_id
        mirror.fetch(clip_id, PACKED, now)
        mirror.fetch(clip_id, [names.SELECTED], item.digest)
        if clip_id in reasoned:
            mirror.fetch(clip_id, [names.REASONING, names.RFT], now)

    for item, _ in ahead(fetch, kept):
        yield item
        mirror.drop(item.spec.clip_id, [*PACKED, names.REASONING, names.RFT])


def _info(job: Job, spec: ClipSpec) -> Any:
    from curation.shards.products import ClipInfo

    file = _folder(job, spec) / names.CLIP_JSON
    return ClipInfo.from_json(json.loads(file.read_text(encoding="utf-8")))


def _listing(folder: Path) -> dict[str, int]:
    """Every published file with its size."""
    if not folder.is_dir():
        return {}
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()}


def write_quarantine(job: Job, losses: Iterable[Loss], works: Iterable[Work]) -> int:
    """``quarantine.parquet``: every source and clip that failed, with stage, kind, message and attempts. Returns how many."""
    rows = [
        {"clip_id": "", "source": x.name, "stage": "source", "kind": x.reason, "message": x.message, "attempts": x.attempts}
        for x in losses
        if x.outcome == "failed"
    ]
    for work in works:
        if (last := work.last) and last.outcome == "failed":
            found = dataclasses.asdict(last)
            row = {name: found[name] for name in ("stage", "message", "attempts")}
            rows.append({"clip_id": last.item_id, "source": work.spec.source.name, "kind": last.reason, **row})
    file = job.output / names.QUARANTINE
    if not rows and not file.exists():
        return 0
    from curation.shards.writer import table_of, write_table
    from schemas.tables import QUARANTINE

    rows.sort(key=lambda row: (row["clip_id"], row["source"], row["stage"]))
    with replacing(file) as temporary:
        write_table(temporary, table_of(rows, QUARANTINE))
    return len(rows)
