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

from pipelines.clip_task import state
from pipelines.files import write_json
from pipelines.ledger import Ledger, Record, fingerprint
from pipelines.local_runner import Reply, Task
from pipelines.masking import environment_secrets, scrub
from pipelines.stages import Stage, fingerprints
from schemas import run_folder
from schemas.clip import ClipSpec, Source
from schemas.config import Config

LOST = "worker_lost"


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
    """What every task of a run needs to know."""

    input_root: Path
    output: Path
    config: Config
    line: str

    @property
    def payload(self) -> dict[str, Any]:
        """The part that all tasks share."""
        return {"config": self.config.model_dump(mode="json"), "output": str(self.output), "line": self.line}


def find_sources(job: Job) -> tuple[list[Source], list[Loss]]:
    """Scan the input. An input whose files have not changed (paths, sizes, times) is not hashed again."""
    cache = Ledger(job.output).root / "scan.json"
    signature = fingerprint(_listing(job.input_root), importlib.import_module(job.line).plan_print(job.config))
    if cache.exists():
        known = json.loads(cache.read_text(encoding="utf-8"))
        if known["signature"] == signature:
            return [_source(value) for value in known["sources"]], [Loss(**value) for value in known["losses"]]
    found = importlib.import_module(job.line).scan(job.input_root, job.config.video)
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


def make_plan(job: Job, runner: Runner, *, retry_failed: bool, watch: Callable[[Any, Any, int], None] | None = None) -> Plan:
    """Find the sources and cut them into clips, in child processes; what the ledger knows is not cut again."""
    ledger, config = Ledger(job.output), job.config
    sources, losses = find_sources(job)
    how = importlib.import_module(job.line).plan_print(config)
    keyed = {source_key(source): source for source in sources}
    prints = {key: fingerprint(key, how) for key in keyed}
    tasks = []
    for key, source in keyed.items():
        record = ledger.read("source", key)
        if record is None or record.fingerprint != prints[key] or again(record, config, retry_failed):
            payload = {**job.payload, "source": dataclasses.asdict(source), "key": key, "fingerprint": prints[key]}
            tasks.append(
                Task(key, "pipelines.clip_task:plan_source", payload, config.run.plan_timeout_s, config.run.clip_memory_gb)
            )
    for task, reply in runner.run(tasks) if tasks else ():
        if reply.failed:
            record_failure(ledger, "source", task.id, prints[task.id], reply)
        if watch:
            watch(task, reply, len(tasks))
    clips: dict[str, ClipSpec] = {}
    for key, source in keyed.items():
        record = ledger.read("source", key)
        if record is None:
            raise RuntimeError(f"expected a record of source {source.name} in {ledger.root}, found none")
        if record.outcome != "ok":
            losses.append(Loss(source.name, record.outcome, record.reason, record.message, record.attempts))
            continue
        losses += [Loss(name, "rejected", reason, detail) for name, reason, detail in record.stats["refused"]]
        for start, end, start_s, end_s, options in record.stats["clips"]:
            spec = ClipSpec(source, start, end, start_s, end_s, options)
            clips.setdefault(spec.clip_id, spec)
    return Plan(len(sources), [clips[clip_id] for clip_id in sorted(clips)], losses)


def source_key(source: Source) -> str:
    """What identifies a source: its content and its calibration, not its place."""
    return fingerprint(source.sha256, source.layout, source.fps, source.camera, source.baseline_m, list(source.assumed))


def again(record: Record, config: Config, retry_failed: bool) -> bool:
    """Whether something that failed is to be tried again.

    A clip that broke breaks again, as a rule: it waits for ``--retry-failed``. A worker that went away is no fault of the
    clip, so that is tried without asking. Nothing is tried more than ``run.max_attempts`` times.
    """
    wanted = retry_failed or record.reason == LOST
    return record.outcome == "failed" and wanted and record.attempts < config.run.max_attempts


@dataclass(frozen=True)
class Work:
    """A clip and the stages that it still needs. ``last`` is its last valid record, None where there is none."""

    spec: ClipSpec
    needs: tuple[str, ...]
    last: Record | None
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
    if last is not None and last.outcome == "ok" and not (folder / run_folder.CLIP_JSON).exists():
        last = None  # the products were removed by hand
    if last is None:
        return Work(spec, names, None, selection or "")
    position = names.index(last.stage)
    return Work(spec, names[position + (last.outcome == "ok") :], last, selection or "")


def clip_task(job: Job, work: Work) -> Task:
    """The task that does a clip's work."""
    run = job.config.run
    payload = {**job.payload, "spec": work.spec.to_json(), "stages": list(work.needs), "selection": work.selection}
    return Task(work.spec.clip_id, "pipelines.clip_task:run_clip", payload, run.clip_timeout_s, run.clip_memory_gb)


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
