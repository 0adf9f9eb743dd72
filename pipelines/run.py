"""One run from input to summary: plan, measure, select, reason, publish."""

from __future__ import annotations

import datetime
import importlib
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.bounds import given_away
from pipelines.clip_task import source_key
from pipelines.events import EventLog, RayCounters
from pipelines.files import write_json, write_text
from pipelines.lease import Lease
from pipelines.ledger import Ledger, Lock, fingerprint
from pipelines.local_runner import LocalRunner, Reply, Task
from pipelines.masking import environment_secrets, masked, scrub, secrets_of
from pipelines.mirror import Mirror
from pipelines.pack import PACK_VERSION, Kept, publish_clips, select_questions, training_folders, write_quarantine
from pipelines.plan import (
    NO_RECORD,
    ONCE_MORE,
    Job,
    Plan,
    Runner,
    Work,
    adopt_reply,
    again,
    clip_tasks,
    make_plan,
    record_lost_clip,
    work_of,
)
from pipelines.progress import Progress
from pipelines.rewriting import REPLIES, Asker, Rewritten, asker_of, rewrite
from pipelines.rewriting import summary as rewriting_summary
from pipelines.stages import Stage, code_print, legs_of
from pipelines.storage import Store, StoreError, is_uri
from pipelines.summary import loss_counts, stage_counts, surroundings, text
from pipelines.training.record import training_records
from pipelines.workplace import scratch_folder
from schemas import run_folder as names
from schemas.config import Config
from schemas.outcome import Failed

LINE = "pipelines.stages"
INTERRUPTED = 130
_LOSSES_SHOWN = 50


class Refused(RuntimeError):
    """The run cannot start; the message says what was expected, what came and what to do."""


def run(
    input_root: str | Path,
    output: str | Path,
    config: Config,
    *,
    line: str = LINE,
    retry_failed: bool = False,
    dry_run: bool = False,
    command: Sequence[str] = (),
) -> int:
    """Carry out a run and return its exit status.

    Args:
        input_root: folder of videos, or its address.
        output: the run folder, or its address.
        config: resolved configuration.
        line: module that holds ``STAGES``, ``scan``, ``plan_clips``, ``select``.
        retry_failed: try failed clips again.
        dry_run: stop after planning.
        command: for run.json.

    Both may be addresses (``s3://``, ``gs://``; see ``pipelines.storage``). Workers then need no disk in common.

    Raises:
        Refused: unusable input or output, or a runner without the resources that a clip needs.
        OutputIsBusy: another run works on the output.
    """
    if config.run.runner == "ray":
        from pipelines.ray_runner import check_folder

        if problem := check_folder("--input", str(input_root)) or check_folder("--output", str(output)):
            raise Refused(problem)
    source = str(input_root) if is_uri(input_root) else Path(input_root).resolve()
    if isinstance(source, Path) and not source.is_dir():
        raise Refused(f"expected a folder of videos as --input, found none at {input_root}")
    if _inside(str(output) if is_uri(output) else str(Path(output).resolve()), str(source)):
        raise Refused(f"expected --output outside of --input, got {output} below {input_root}")
    try:
        if not is_uri(output):
            job = Job(source, Path(output).resolve(), config, line)
            with Lock(job.output):
                return _Run(job, retry_failed, command).carry_out(dry_run=dry_run)
        return _run_in_store(source, str(output), config, line, lambda job: _Run(job, retry_failed, command), dry_run=dry_run)
    except StoreError as error:
        raise Refused(str(error)) from error


def _inside(inner: str, outer: str) -> bool:
    inner, outer = inner.partition("?")[0].rstrip("/"), outer.partition("?")[0].rstrip("/")
    return inner == outer or inner.startswith(outer + "/")


def _run_in_store(source: Path | str, uri: str, config: Config, line: str, make: Callable[[Job], _Run], *, dry_run: bool) -> int:
    """The same where the run folder has an address: on a local copy of its records, which is kept in step."""
    store = Store(uri)
    folder = scratch_folder(config.run) / "runs" / fingerprint(uri.partition("?")[0])
    with Lock(folder, store.uri), Lease(store):
        mirror = Mirror(store, folder)
        mirror.pull()
        return make(Job(source, folder, config, line, mirror)).carry_out(dry_run=dry_run)


class _Run:
    """The state of one run while it lasts."""

    def __init__(self, job: Job, retry_failed: bool, command: Sequence[str]) -> None:
        self.job, self.retry_failed = job, retry_failed
        self.module = importlib.import_module(job.line)
        self.stages: tuple[Stage, ...] = self.module.STAGES
        self.secrets = secrets_of(job.config.model_dump(mode="json")) | environment_secrets()
        self.command = [scrub(word, self.secrets) for word in command]
        self.started = time.time()
        self.log = EventLog(job.output, self.started, lambda: self.secrets)
        self.counters: RayCounters | None = None
        self.asker = _asker(job.config)
        self.rewriting: dict[str, Any] | None = None
        self.given_away: list[str] = []  # why the questions can be answered without the video
        self.worked = 0

    def carry_out(self, *, dry_run: bool) -> int:
        """Plan, then preview or do the work; the exit status."""
        runner = self.runner()
        try:
            return self.with_runner(runner, dry_run=dry_run)
        finally:
            runner.close()

    def with_runner(self, runner: Runner, *, dry_run: bool) -> int:
        """The rest of ``carry_out``."""
        try:
            plan = self.plan(runner)
        except KeyboardInterrupt:
            print("\ninterrupted while looking for clips; the same command continues there", flush=True)
            return INTERRUPTED
        if not plan.sources and not plan.losses:
            raise Refused(f"expected videos below {self.job.input_root}, found none (see --help for what is looked for)")
        return self.preview(plan) if dry_run else self.work(runner, plan)

    def work(self, runner: Runner, plan: Plan) -> int:
        """Measure, select, reason, publish; whatever happens, leave run.json and a summary."""
        status = "failed"
        kept: list[Kept] = []
        published: dict[str, Any] | None = None
        try:
            self.announce(plan)
            if self.worked:
                tell_losses(plan)
            kept = self.select(self.clips(runner, "clips", [work_of(self.job, spec, self.stages) for spec in plan.clips]))
            reasoned = self.reason(runner, kept)
            rewritten = self.rewrite(kept, reasoned)
            published, wrote = publish_clips(self.job, self.run_id(plan), kept, reasoned, rewritten)
            if not wrote and not self.worked and (done := self.finished_before(plan)):
                print(f"{text({**done, 'output': self.job.place})}\n  nothing was left to do")
                return int(done["exit_status"])
            self.given_away = given_away(self.job.output, self.job.config.run.max_blind_excess)
            status = "finished"
        except KeyboardInterrupt:
            status = "interrupted"
            print("\ninterrupted: ended the workers", flush=True)
        except Exception:
            self.close(status, plan, kept, published)
            raise
        return self.close(status, plan, kept, published)

    def runner(self) -> Runner:
        """What carries out tasks."""
        config = self.job.config.run
        preload = tuple(self.module.PRELOAD)
        if config.runner == "ray":
            from pipelines.ray_runner import RayRunner, ResourcesMissing

            try:
                runner: Runner = RayRunner(config, preload, legs_of(self.stages, self.job.config))
                self.counters = RayCounters(self.job.place)
                return runner
            except ResourcesMissing as error:
                raise Refused(str(error)) from error
        return LocalRunner(config.workers, preload)

    def plan(self, runner: Runner) -> Plan:
        """Sources and clips."""
        progress: list[Progress] = []

        def watch(task: Task, reply: Reply, total: int) -> None:
            self.worked += 1
            if not progress:
                progress.append(Progress("sources", total).__enter__())
            outcome, words = _words(reply)
            progress[0].done(task.payload["source"]["name"], outcome, scrub(words, self.secrets), reply.seconds)

        try:
            return make_plan(self.job, runner, retry_failed=self.retry_failed, watch=watch)
        finally:
            if progress:
                progress[0].__exit__(None, None, None)

    def preview(self, plan: Plan) -> int:
        """What a real run would do."""
        config = self.job.config
        works = [work_of(self.job, spec, self.stages) for spec in plan.clips]
        due = [work for work in works if work.due(config, retry_failed=self.retry_failed)]
        print(f"{plan.sources} sources, {len(plan.clips)} clips, {len(due)} of them with work to do")
        for work in due:
            spec = work.spec
            print(f"  {spec.clip_id} {spec.source.name} {spec.start_s:.2f}-{spec.end_s:.2f} s: {', '.join(work.needs)}")
        tell_losses(plan)
        return 0

    def announce(self, plan: Plan) -> None:
        """Write what ``pipelines.status`` needs while the run lasts."""
        import yaml

        config = masked(self.job.config.model_dump(mode="json"))
        phases = {stage.name: stage.after_selection for stage in self.stages}
        known: dict[str, Any] = {
            "clips": [spec.clip_id for spec in plan.clips],
            "stages": phases,
            "losses": loss_counts(plan.losses),
        }
        known |= {"sources": plan.sources, "started_unix_s": self.started}
        write_json(self.job.output / names.LEDGER / "plan.json", known, sort=False)
        write_text(self.job.output / names.CONFIG, yaml.safe_dump(config, sort_keys=False))
        self.job.sync()

    def begin(self) -> None:
        """Mark run.json as out of date: its counts are no longer those of the ledger."""
        values = {"status": "running", "command": self.command, "started_unix_s": self.started}
        write_json(self.job.output / names.RUN_JSON, values | {"config": masked(self.job.config.model_dump(mode="json"))})
        self.job.sync()

    def clips(self, runner: Runner, title: str, works: Sequence[Work]) -> Sequence[Work]:
        """Do the work that is due, clip by clip; what was lost with its worker is tried once more. How all stand then."""
        due = {w.spec.clip_id: w for w in works if w.due(self.job.config, retry_failed=self.retry_failed)}
        if not due:
            return works
        self.begin()
        self.log.write("begin", what=title, clips=len(due), input=str(self.job.input_root), command=self.command)
        self.round(runner, title, due)
        now = self.look_again(due.values())
        lost = {
            clip_id: w
            for clip_id, w in now.items()
            if w.last and w.last.reason in ONCE_MORE and again(w.last, self.job.config, False)
        }
        if lost:
            print(f"{len(lost)} were lost with their workers; trying them again", flush=True)
            self.round(runner, title, lost)
            now |= self.look_again(lost.values())
        return [now.get(w.spec.clip_id, w) for w in works]

    def look_again(self, works: Iterable[Work]) -> dict[str, Work]:
        """How clips stand by the ledger, per id."""
        return {w.spec.clip_id: work_of(self.job, w.spec, self.stages, selection=w.selection or None) for w in works}

    def round(self, runner: Runner, title: str, due: dict[str, Work]) -> None:
        """Run the clips that are due, and see that each ends in a record."""
        behind = next(iter(due.values())).selection != ""
        phase = tuple(stage for stage in self.stages if stage.after_selection == behind)
        order = [stage.name for stage in self.stages]
        with Progress(title, len(due), [stage.name for stage in phase]) as progress:
            for task, reply in runner.run(clip_tasks(self.job, due.values(), phase)):
                self.worked += 1
                adopt_reply(self.job, task.id, order[order.index(due[task.id].needs[0]) :], reply)
                if reply.failed:
                    safe = scrub(reply.failed.message, self.secrets)
                    reply = replace(reply, failed=Failed(reply.failed.kind, safe))
                    record_lost_clip(self.job, due[task.id], self.stages, reply)
                stages = self.tell(due[task.id], reply)
                outcome, words = _words(reply)
                spec = due[task.id].spec
                name = f"{task.id} ({spec.source.name} {spec.start_s:.1f}-{spec.end_s:.1f} s)"
                progress.done(name, outcome, words, reply.seconds, stages)
        self.account(due)

    def tell(self, work: Work, reply: Reply) -> list[tuple[str, str]]:
        """Put what became of a clip's stages into the log and the counters; the stages with their outcomes."""
        ledger, told = Ledger(self.job.output), list[tuple[str, str]]()
        for stage in work.needs:
            record = ledger.read(stage, work.spec.clip_id)
            if record is None or record.fingerprint != work.prints[stage]:
                break
            told.append((stage, record.outcome))
            self.log.stage(record, work.spec.source.name)
            if self.counters:
                self.counters.stage(record)
        if reply.failed and reply.log:
            self.log.write(
                "last_output", clip=work.spec.clip_id, stage=reply.stage, text=reply.log.partition("Extension modules")[0][-3000:]
            )
        return told

    def account(self, due: dict[str, Work]) -> None:
        """Nothing may vanish: a clip that was due and has no valid record now is a failed one, with a reason."""
        for clip_id, before in due.items():
            work = work_of(self.job, before.spec, self.stages, selection=before.selection or None)
            if not work.needs or (work.last and work.last.outcome != "ok"):
                continue
            # A worker on a node that was cut off can go on for a while, and write beside what is noted here.
            words = (
                "its work ended without a record that is valid now (a node cut off, the ledger or the code changed meanwhile?)"
            )
            print(f"{clip_id} FAILED: {NO_RECORD}: {words}", flush=True)
            record_lost_clip(self.job, work, self.stages, Reply(clip_id, failed=Failed(NO_RECORD, words), stage=work.needs[0]))

    def select(self, works: Iterable[Work]) -> list[Kept]:
        """The clips that passed every stage, with their selected questions written."""
        done, prints = [], {}
        for work in works:
            if not work.needs and work.last and work.last.outcome == "ok":
                done.append(work.spec)
                prints[work.spec.clip_id] = work.last.fingerprint
        return select_questions(self.job, done, prints)

    def reason(self, runner: Runner, kept: Sequence[Kept]) -> dict[str, str]:
        """Run the stages behind the selection on the training clips; the fingerprints of those that are done."""
        if not any(stage.after_selection for stage in self.stages):
            return {}
        training = [item for item in kept if item.split == "train"]
        works = [work_of(self.job, k.spec, self.stages, selection=k.digest) for k in training]
        done = self.clips(runner, "reasoning", works)
        return {w.spec.clip_id: w.last.fingerprint for w in done if not w.needs and w.last and w.last.outcome == "ok"}

    def rewrite(self, kept: Sequence[Kept], reasoned: dict[str, str]) -> Rewritten | None:
        """Have chains of thought written anew, where the configuration says by whom."""
        if self.asker is None:
            return None
        config = self.job.config
        folder = Path(config.rewrite.cache) if config.rewrite.cache else self.job.output / names.LEDGER / REPLIES
        found = rewrite(config, lambda: training_folders(self.job, kept, reasoned), folder, self.asker)
        self.rewriting = found.counts
        return found

    def run_id(self, plan: Plan) -> str:
        """Hash of all that decides what is published: the input's content, the configuration, the code; not of time or place."""
        config = masked(self.job.config.model_dump(mode="json", exclude={"run", "train"}))
        versions = [[stage.name, stage.version] for stage in self.stages]
        return fingerprint(self.content(plan), config, versions, code_print(self.stages), PACK_VERSION)[:12]

    def content(self, plan: Plan) -> str:
        """Hash of what the clips are cut from."""
        return fingerprint(sorted({source_key(spec.source) for spec in plan.clips}))

    def finished_before(self, plan: Plan) -> dict[str, Any] | None:
        """run.json of an earlier run that finished with just this plan and configuration."""
        file = self.job.output / names.RUN_JSON
        if not file.exists():
            return None
        known = json.loads(file.read_text(encoding="utf-8"))
        same = known["status"] == "finished" and known["run_id"] == self.run_id(plan)
        bounds = ("max_failure_rate", "max_blind_excess")
        return known if same and all(known.get(name) == getattr(self.job.config.run, name) for name in bounds) else None

    def close(self, status: str, plan: Plan, kept: Sequence[Kept], published: dict[str, Any] | None) -> int:
        """Count, write run.json and quarantine.parquet, print the summary; the exit status."""
        job, config = self.job, self.job.config
        works = [work_of(job, spec, self.stages) for spec in plan.clips]
        later = [work_of(job, k.spec, self.stages, selection=k.digest) for k in kept if k.split == "train"]
        outcomes = [w.last.outcome if w.last and (not w.needs or w.last.outcome != "ok") else "pending" for w in works]
        failed_later = sum(1 for w in later if w.last and w.last.outcome == "failed")
        quarantined = write_quarantine(job, plan.losses, [*works, *later])
        losses = loss_counts(plan.losses)
        total = len(works) + sum(losses["failed"].values())
        rate = quarantined / total if total else 0.0
        failed = status == "failed" or rate > config.run.max_failure_rate or bool(self.given_away)
        exit_status = INTERRUPTED if status == "interrupted" else int(failed)
        order = [s.name for s in self.stages if not s.after_selection] + [s.name for s in self.stages if s.after_selection]
        report = {
            "status": status,
            "exit_status": exit_status,
            "run_id": self.run_id(plan),
            "command": self.command,
            "working_folder": os.getcwd(),
            "input": str(job.input_root),
            "input_content": self.content(plan),
            "output": job.place,
            "code": code_print(self.stages),
            "seed": config.seed,
            "config": masked(config.model_dump(mode="json")),
            "max_failure_rate": config.run.max_failure_rate,
            "failure_rate": round(rate, 6),
            "max_blind_excess": config.run.max_blind_excess,
            "given_away": self.given_away,
            "started": datetime.datetime.fromtimestamp(self.started, datetime.UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - self.started, 3),
            "sources": {"found": plan.sources, **losses},
            "clips": {
                "planned": len(works),
                "kept": outcomes.count("ok"),
                "rejected": outcomes.count("rejected"),
                "failed": outcomes.count("failed") + failed_later,
                "pending": outcomes.count("pending"),
            },
            **stage_counts(Ledger(job.output), order, [spec.clip_id for spec in plan.clips]),
            "published": published,
            "rewriting": self.rewriting,
            "training": training_records(job.output),
            **surroundings(),
        }
        write_json(job.output / names.RUN_JSON, report, sort=False)
        self.log.write(
            "end", **{name: report[name] for name in ("status", "exit_status", "run_id", "seconds", "sources", "clips")}
        )
        job.sync()
        print(text(report), flush=True)
        if self.rewriting:
            print(rewriting_summary(self.rewriting), flush=True)
        if rate > config.run.max_failure_rate:
            print(f"  TOO MANY FAILED: {rate:.0%} of {total}, more than run.max_failure_rate={config.run.max_failure_rate:g}")
        for words in self.given_away:
            print(f"  GIVEN AWAY (beyond run.max_blind_excess={config.run.max_blind_excess:g}) {words}")
        return exit_status


def _asker(config: Config) -> Asker | None:
    """What writes texts anew; refused at once where it cannot, and not after hours of measuring."""
    if config.rewrite.by == "nobody":
        return None
    from curation.reasoning.endpoint import EndpointMissing
    from pipelines.ray_rewriter import EngineMissing

    try:
        return asker_of(config)
    except (EndpointMissing, EngineMissing) as error:
        raise Refused(str(error)) from error


def tell_losses(plan: Plan) -> None:
    """One line for each source, or part of one, that yields no clip; of many, the first ones."""
    for loss in plan.losses[:_LOSSES_SHOWN]:
        print(f"  {loss.outcome}: {loss.name}: {loss.reason}: {loss.message[:300]}")
    if len(plan.losses) > _LOSSES_SHOWN:
        print(f"  ... and {len(plan.losses) - _LOSSES_SHOWN} more; the summary counts them all")


def _words(reply: Reply) -> tuple[str, str]:
    """Outcome and words for the progress line."""
    if reply.failed:
        return "failed", f"FAILED{' at ' + reply.stage if reply.stage else ''}: {reply.failed.kind}: {reply.failed.message[:300]}"
    result = reply.result
    if result["outcome"] == "ok":
        return "ok", "ok"
    verb = "rejected" if result["outcome"] == "rejected" else "FAILED"
    return result["outcome"], f"{verb} at {result['stage']}: {result['reason']}: {result['message'][:300]}"
