"""What is to be done: sources found, clips cut from them, minus what the ledger has."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipelines.clip_task import source_key, state
from pipelines.files import write_json
from pipelines.ledger import Ledger, Record, fingerprint
from pipelines.local_runner import LOST, Reply, Task
from pipelines.masking import environment_secrets, scrub
from pipelines.mirror import Mirror
from pipelines.stages import Stage, fingerprints, legs_of
from schemas import run_folder
from schemas.clip import ClipSpec, Source
from schemas.config import Config

NO_RECORD = "no_record"
ONCE_MORE = (LOST, NO_RECORD, "StoreError")  # no fault of the clip: tried again at once, and by the next run


class Runner(Protocol):
    """Anything that runs tasks and says how each ended."""

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Reply]]:
        """Yield every task once, with its reply."""
        ...

    def close(self) -> None:
        """Let go of processes; ``run`` may be called no more."""
        ...


@dataclass(frozen=True)
class Loss:
    """A source, or a part of one, that yields no clip: rejected (counted reason) or failed (kind)."""

    name: str
    outcome: str
    reason: str
    message: str
    attempts: int = 1


@dataclass(frozen=True)
class Plan:
    """The clips of a run in the order of their ids, and what was lost on the way to them."""

    sources: int
    clips: list[ClipSpec]
    losses: list[Loss]


@dataclass(frozen=True)
class Job:
    """What every task of a run needs to know.

    Attributes:
        input_root: folder of videos, or the address of one.
        output: the run folder; where the run lives in a store, the driver's local copy of it.
        mirror: what keeps that copy in step, None where there is none.
    """

    input_root: Path | str
    output: Path
    config: Config
    line: str
    mirror: Mirror | None = None

    @property
    def place(self) -> str:
        """Path or address of the run folder, for people."""
        return self.mirror.store.uri if self.mirror else str(self.output)

    @property
    def payload(self) -> dict[str, Any]:
        """The part that all tasks share. With a store it names no folder of this machine."""
        shared = {"config": self.config.model_dump(mode="json"), "line": self.line}
        return shared | ({"store": self.mirror.store.uri} if self.mirror else {"output": str(self.output)})

    def sync(self) -> None:
        """Put into the store what this driver wrote; nothing to do without one."""
        if self.mirror:
            self.mirror.push()


Watch = Callable[[Task, Reply, int], None]


def find_sources(job: Job, runner: Runner, *, retry_failed: bool, watch: Watch | None) -> tuple[list[Source], list[Loss]]:
    """The sources of the input, and what is none."""
    if isinstance(job.input_root, Path):
        return _scan_folder(job, job.input_root)
    return _scan_store(job, job.input_root, runner, retry_failed=retry_failed, watch=watch)


def _scan_store(
    job: Job, uri: str, runner: Runner, *, retry_failed: bool, watch: Watch | None
) -> tuple[list[Source], list[Loss]]:
    """Sources in a store: workers fetch, hash and plan those whose objects are new; the listing alone tells which."""
    from pipelines.remote_input import remote_candidates

    ledger, how = Ledger(job.output), importlib.import_module(job.line).plan_print(job.config)
    found, refused = remote_candidates(uri, job.line, job.config.run)
    losses = [Loss(name, "rejected", reason, detail) for name, reason, detail in refused]
    keys = {item.name: fingerprint("scan", uri, item.name) for item in found}
    prints = {keys[item.name]: fingerprint(item.state, how) for item in found}
    tasks, shared = [], job.payload
    for item in found:
        key = keys[item.name]
        record = ledger.read("scan", key)
        if record is None or record.fingerprint != prints[key] or again(record, job.config, retry_failed):
            about = {"source": {"name": item.name}, "input": uri, "candidate": dataclasses.asdict(item), "how": how}
            payload = {**about, "key": key, "fingerprint": prints[key]}
            tasks.append(_planning_task(job, key, "look_at_candidate", payload, shared))
    _carry_out(job, runner, "scan", tasks, prints, watch)
    sources, by_hash = list[Source](), dict[str, str]()
    for item in found:
        record = ledger.read("scan", keys[item.name])
        if record is None:
            raise RuntimeError(f"expected a record of {item.name} in {ledger.root}, found none")
        if record.outcome != "ok":
            losses.append(Loss(item.name, record.outcome, record.reason, record.message, record.attempts))
            continue
        source = _source(record.stats["source"])
        first = by_hash.setdefault(source.sha256, source.name)
        if first != source.name:
            losses.append(Loss(source.name, "rejected", "duplicate", f"same content as {first}"))
        else:
            sources.append(source)
    return sources, losses


def _carry_out(job: Job, runner: Runner, stage: str, tasks: list[Task], prints: dict[str, str], watch: Watch | None) -> None:
    """Run planning tasks; each ends in a record. What was lost with its worker is tried once more."""
    ledger = Ledger(job.output)
    for _ in range(2):
        lost = []
        for task, reply in runner.run(tasks) if tasks else ():
            adopt_reply(job, task.id, (stage,), reply)
            if reply.failed:
                record = record_failure(ledger, stage, task.id, prints[task.id], reply)
                lost += [task] if record.reason == LOST and again(record, job.config, False) else []
            if watch:
                watch(task, reply, len(tasks))
        tasks = lost


def _planning_task(job: Job, key: str, call: str, payload: dict[str, Any], shared: dict[str, Any]) -> Task:
    run = job.config.run
    return Task(key, f"pipelines.clip_task:{call}", payload, run.plan_timeout_s, run.clip_memory_gb, shared)


def adopt_reply(job: Job, item_id: str, stages: Iterable[str], reply: Reply) -> None:
    """Take over the records that a worker with another disk wrote into the store; those of sources name themselves."""
    if job.mirror is None:
        return
    if reply.failed or reply.result is None:
        job.mirror.look_again(item_id, stages)
        return
    job.mirror.adopt(item_id, stages, reply.result["records"])


def _scan_folder(job: Job, root: Path) -> tuple[list[Source], list[Loss]]:
    """Scan a folder. One whose files have not changed (paths, sizes, times) is not hashed again."""
    cache = Ledger(job.output).root / "scan.json"
    signature = fingerprint(_listing(root), importlib.import_module(job.line).plan_print(job.config))
    if cache.exists():
        known = json.loads(cache.read_text(encoding="utf-8"))
        if known["signature"] == signature:
            return [_source(value) for value in known["sources"]], [Loss(**value) for value in known["losses"]]
    found = importlib.import_module(job.line).scan(root, job.config.video)
    losses = [Loss(name, "rejected", why.reason, why.detail) for name, why in found.refused]
    value = {
        "signature": signature,
        "sources": [dataclasses.asdict(source) for source in found.sources],
        "losses": [dataclasses.asdict(loss) for loss in losses],
    }
    if not any(loss.reason.startswith("unreadable") for loss in losses):  # these may pass: permissions, a busy disk
        write_json(cache, value)
    return list(found.sources), losses


def _source(value: dict[str, Any]) -> Source:
    return Source(**{**value, "assumed": tuple(value["assumed"])})


def _listing(root: Path) -> list[tuple[str, int, int]]:
    """Every file below ``root`` with its size and time of change; links are followed, each real folder once."""
    out: list[tuple[str, int, int]] = [(os.path.abspath(root), 0, 0)]
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        for file in files:
            path = os.path.join(folder, file)
            status = os.stat(path) if os.path.exists(path) else os.lstat(path)
            out.append(
                (os.fsencode(os.path.relpath(path, root)).decode("utf-8", "backslashreplace"), status.st_size, status.st_mtime_ns)
            )
    return sorted(out)


def make_plan(job: Job, runner: Runner, *, retry_failed: bool, watch: Watch | None = None) -> Plan:
    """Find the sources and cut them into clips, in child processes; what the ledger knows is not cut again."""
    ledger, config = Ledger(job.output), job.config
    sources, losses = find_sources(job, runner, retry_failed=retry_failed, watch=watch)
    how = importlib.import_module(job.line).plan_print(config)
    keyed = {source_key(source): source for source in sources}
    prints = {key: fingerprint(key, how) for key in keyed}
    tasks, shared = [], job.payload
    for key, source in keyed.items():
        record = ledger.read("source", key)
        if record is None or record.fingerprint != prints[key] or again(record, config, retry_failed):
            payload = {"source": dataclasses.asdict(source), "key": key, "fingerprint": prints[key]}
            tasks.append(_planning_task(job, key, "plan_source", payload, shared))
    _carry_out(job, runner, "source", tasks, prints, watch)
    excluded = _exclusion(config.shards.exclude)
    clips: dict[str, ClipSpec] = {}
    for key, source in keyed.items():
        record = ledger.read("source", key)
        if record is None:
            raise RuntimeError(f"expected a record of source {source.name} in {ledger.root}, found none")
        if record.outcome != "ok":
            losses.append(Loss(source.name, record.outcome, record.reason, record.message, record.attempts))
            continue
        if why := excluded(source.name, likeness_of(record)):
            losses.append(Loss(source.name, "rejected", "evaluation_video", f"{why}, so it is kept out (shards.exclude)"))
            continue
        losses += [Loss(name, "rejected", reason, detail) for name, reason, detail in record.stats["refused"]]
        for start, end, start_s, end_s, options in record.stats["clips"]:
            spec = ClipSpec(source, start, end, start_s, end_s, options)
            clips.setdefault(spec.clip_id, spec)
    return Plan(len(sources), [clips[clip_id] for clip_id in sorted(clips)], losses)


def _exclusion(listed_in: str) -> Callable[[str, tuple[int, ...]], str]:
    """Says why a source of this name and look is kept out; "" for one that is not."""
    if not listed_in:
        return lambda name, likeness: ""
    from curation.shards.exclusion import match, read_list

    listed = read_list(Path(listed_in))
    return lambda name, likeness: match(name, likeness, listed)


def likeness_of(record: Record | None) -> tuple[int, ...]:
    """What a source looks like, from its record."""
    return tuple(int(digits, 16) for digits in record.stats.get("likeness", ())) if record else ()


def again(record: Record, config: Config, retry_failed: bool) -> bool:
    """Whether something that failed is to be tried again.

    A clip that broke breaks again, as a rule: it waits for ``--retry-failed``. What is no fault of the clip (a worker that
    went away) is tried without asking. Nothing is tried more than ``run.max_attempts`` times.
    """
    wanted = retry_failed or record.reason in (*ONCE_MORE, "CodeDiffers")
    return record.outcome == "failed" and wanted and record.attempts < config.run.max_attempts


@dataclass(frozen=True)
class Work:
    """A clip and the stages that it still needs. ``last`` is its last valid record, None where there is none.

    ``prints`` are the fingerprints of all stages.
    """

    spec: ClipSpec
    needs: tuple[str, ...]
    last: Record | None
    prints: dict[str, str]
    selection: str = ""

    def due(self, config: Config, *, retry_failed: bool) -> bool:
        """Whether there is something to do: not done, not rejected, and not failed unless that is to be tried again."""
        if not self.needs or (self.last and self.last.outcome == "rejected"):
            return False
        return self.last is None or self.last.outcome == "ok" or again(self.last, config, retry_failed)


def work_of(job: Job, spec: ClipSpec, stages: tuple[Stage, ...], *, selection: str | None = None) -> Work:
    """Planned minus done, for one clip: the stages before the selection, or (given its digest) those behind it."""
    prints = fingerprints(spec, job.config, stages, selection or "")
    phase = tuple(stage for stage in stages if stage.after_selection == (selection is not None))
    records = state(Ledger(job.output), spec.clip_id, prints, phase)
    names = tuple(stage.name for stage in phase)
    last = records[-1] if records else None
    folder = job.output / run_folder.clip_folder(spec.clip_id)
    if job.mirror is None and last is not None and last.outcome == "ok" and not (folder / run_folder.CLIP_JSON).exists():
        last = None  # the products were removed by hand
    if last is None:
        return Work(spec, names, None, prints, selection or "")
    position = names.index(last.stage)
    return Work(spec, names[position + (last.outcome == "ok") :], last, prints, selection or "")


def clip_tasks(job: Job, works: Iterable[Work], stages: tuple[Stage, ...]) -> Iterator[Task]:
    """The tasks that do the clips' work, made one by one."""
    run, shared, legs = job.config.run, job.payload, legs_of(stages, job.config)
    for work in works:
        payload = {"spec": work.spec.to_json(), "stages": list(work.needs), "selection": work.selection}
        payload["prints"] = {name: work.prints[name] for name in work.needs}
        call = "pipelines.clip_task:run_clip"
        yield Task(work.spec.clip_id, call, payload, run.clip_timeout_s, run.clip_memory_gb, shared, legs)


def record_lost_clip(job: Job, work: Work, stages: tuple[Stage, ...], reply: Reply) -> Record:
    """Write the record that a clip's process could not write itself, at the stage where it ended."""
    stage = reply.stage
    if not stage:  # the whole worker went away: what has no record was running or still to come
        stage = (work_of(job, work.spec, stages, selection=work.selection or None).needs or work.needs)[0]
    prints = fingerprints(work.spec, job.config, stages, work.selection)
    return record_failure(Ledger(job.output), stage, work.spec.clip_id, prints[stage], reply)


def record_failure(ledger: Ledger, stage: str, item_id: str, print_: str, reply: Reply) -> Record:
    """Write a ``failed`` record for work whose process ended without one."""
    assert reply.failed is not None
    record = Record(
        item_id,
        stage,
        print_,
        "failed",
        reply.failed.kind,
        scrub(reply.failed.message, environment_secrets()),
        seconds=round(reply.seconds, 3),
        cpu_s=round(reply.cpu_s, 3),
        peak_mb=round(reply.peak_mb, 1),
        attempts=ledger.failures(stage, item_id, print_) + 1,
        finished_unix_s=round(time.time(), 3),
    )
    ledger.write(record)
    return record
