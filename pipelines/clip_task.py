"""What a worker does: plan one source, or run one clip through the stages it still needs."""

from __future__ import annotations

import contextlib
import importlib
import socket
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.clip import Clip
from pipelines.ledger import Ledger, Record, fingerprint
from pipelines.masking import environment_secrets, scrub, secrets_of
from pipelines.stages import Stage, fingerprints
from pipelines.usage import peak_mb, reset_peak
from pipelines.workplace import Workplace, adopt, at_hand, scratch_folder, with_local_files, workplace
from schemas.clip import ClipSpec, Source
from schemas.config import Config
from schemas.outcome import Rejected

Begin = Callable[[str], None]
MESSAGE_LENGTH = 2000


class CodeDiffers(RuntimeError):
    """A worker runs other code than the driver: its records would speak of something else than what was asked for."""


def stages_of(line: str) -> tuple[Stage, ...]:
    """The stages of the module that ``line`` names."""
    stages: tuple[Stage, ...] = importlib.import_module(line).STAGES
    return stages


def state(ledger: Ledger, clip_id: str, prints: dict[str, str], stages: tuple[Stage, ...]) -> list[Record]:
    """The valid records of a clip, in stage order, up to the first stage that is missing, stale or not ok.

    The last record is looked at first: when it is valid, so is all before it, because a stage that runs again removes the
    records behind it. It then stands for all.
    """
    if not stages:
        return []
    last = ledger.read(stages[-1].name, clip_id)
    if last is not None and last.fingerprint == prints[stages[-1].name]:
        return [last]
    records: list[Record] = []
    for stage in stages[:-1]:
        record = ledger.read(stage.name, clip_id)
        if record is None or record.fingerprint != prints[stage.name]:
            break
        records.append(record)
        if record.outcome != "ok":
            break
    return records


def run_clip(payload: dict[str, Any], begin: Begin) -> dict[str, Any]:
    """Run the stages named in the payload; each leaves a record. Returns how it ended, for the progress line.

    An exception in a stage becomes a ``failed`` record of its class; nothing is raised. What ends the process (a crash, the
    timeout) is recorded by the parent, which learns by ``begin`` where it happened.
    """
    spec, config = ClipSpec.from_json(payload["spec"]), Config.model_validate(payload["config"])
    stages = stages_of(payload["line"])
    prints = fingerprints(spec, config, stages, payload["selection"])
    if differ := [name for name, print_ in payload["prints"].items() if prints[name] != print_]:
        raise CodeDiffers(
            f"this worker's code gives other results in {', '.join(differ)} than the code that the run was started with; were "
            "files changed meanwhile, or is another version installed here? Run again with one version everywhere."
        )
    resumed = payload["stages"][0] != stages[0].name
    with workplace(payload, spec.clip_id, fetch=resumed) as place, at_hand(spec.source, config.run) as source:
        clip = Clip(spec, with_local_files(config), place.output, source)
        for position, stage in enumerate(stages):
            if stage.name not in payload["stages"]:
                continue
            begin(stage.name)
            failures = place.failures(stage.name, spec.clip_id, prints[stage.name])
            for later in stages[position + 1 :]:
                place.forget(later.name, spec.clip_id)
            if not failures:
                place.forget(stage.name, spec.clip_id)
            record = measured(spec.clip_id, stage.name, prints[stage.name], partial(stage.run, clip))
            record = replace(record, attempts=failures + 1, message=_safe(record.message, config))
            place.keep(record)
            if record.outcome != "ok":
                break
        return {**_ended(record), "records": place.told()}


def _ended(record: Record) -> dict[str, Any]:
    return {"outcome": record.outcome, "stage": record.stage, "reason": record.reason, "message": record.message}


def plan_source(payload: dict[str, Any], begin: Begin) -> dict[str, Any]:
    """Cut one source into clips; the record's ``stats`` hold them, without the paths, which may differ in the next run."""
    begin("source")
    source = Source(**{**payload["source"], "assumed": tuple(payload["source"]["assumed"])})
    config = Config.model_validate(payload["config"])
    with workplace(payload) as place, at_hand(source, config.run) as local:
        record = _planned(place, payload, local, payload["key"], payload["fingerprint"])
        return {**_ended(record), "records": place.told()}


def _planned(place: Workplace, payload: dict[str, Any], source: Source, key: str, print_: str) -> Record:
    config = Config.model_validate(payload["config"])
    failures = place.failures("source", key, print_)

    def work() -> dict[str, Any]:
        plan = importlib.import_module(payload["line"]).plan_clips(source, config.video)
        return {
            "source": source.name,
            "clips": [[c.start_frame, c.end_frame, c.start_s, c.end_s, c.pixel_options] for c in plan.clips],
            "refused": [[name, why.reason, why.detail] for name, why in plan.refused],
            "likeness": [f"{value:016x}" for value in plan.likeness],
        }

    record = measured(key, "source", print_, work)
    record = replace(record, attempts=failures + 1, message=_safe(record.message, config))
    record = replace(record, stats={"source": source.name, **record.stats})
    place.keep(record)
    return record


def look_at_candidate(payload: dict[str, Any], begin: Begin) -> dict[str, Any]:
    """Fetch what may be a source from the input's store, read and plan it; the record's ``stats`` hold the source."""
    from pipelines.remote_input import read_candidate

    begin("scan")
    config = Config.model_validate(payload["config"])
    scratch = scratch_folder(config.run)
    scratch.mkdir(parents=True, exist_ok=True)
    with workplace(payload) as place, tempfile.TemporaryDirectory(prefix="look-", dir=scratch) as folder:
        failures = place.failures("scan", payload["key"], payload["fingerprint"])

        def work() -> dict[str, Any]:
            local, source = read_candidate(payload, config, Path(folder))
            key = source_key(source)
            _planned(place, payload, local, key, fingerprint(key, payload["how"]))
            adopt(source, local, config.run)
            return {"source": asdict(source)}

        record = measured(payload["key"], "scan", payload["fingerprint"], work)
        record = replace(record, attempts=failures + 1, message=_safe(record.message, config))
        place.keep(record)
        return {**_ended(record), "records": place.told()}


def source_key(source: Source) -> str:
    """What identifies a source: its content and its calibration, not its place."""
    return fingerprint(source.sha256, source.layout, source.fps, source.camera, source.baseline_m, list(source.assumed))


def measured(item_id: str, stage: str, print_: str, work: Callable[[], dict[str, Any]]) -> Record:
    """Run ``work`` and describe how it ended: its statistics, or why there are none, with wall, core and memory cost."""
    reset_peak()
    started, core = time.perf_counter(), time.process_time()
    outcome, reason, message, stats = "ok", "", "", {}
    try:
        stats = work()
    except Rejected as why:
        outcome, reason, message = "rejected", why.reason, why.detail
    except Exception as error:
        with contextlib.suppress(OSError):  # no room for words on a full disk
            traceback.print_exc()
        outcome, reason, message = "failed", type(error).__name__, f"{error} ({_place(error)})"
    return Record(
        item_id,
        stage,
        print_,
        outcome,  # type: ignore[arg-type]
        reason,
        message,
        stats,
        seconds=round(time.perf_counter() - started, 3),
        cpu_s=round(time.process_time() - core, 3),
        peak_mb=round(peak_mb(), 1),
        finished_unix_s=round(time.time(), 3),
        host=socket.gethostname(),
    )


def _safe(message: str, config: Config) -> str:
    """A message for a record: without secrets, and only then cut short, so that no half of one is left."""
    return scrub(message, secrets_of(config.model_dump(mode="json")) | environment_secrets())[:MESSAGE_LENGTH]


def _place(error: BaseException) -> str:
    """File, line and function where the exception was raised, without the machine's folders."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "unknown place"
    last = frames[-1]
    return f"{'/'.join(Path(last.filename).parts[-3:])}:{last.lineno} in {last.name}"
