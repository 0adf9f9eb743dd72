"""What a worker does: plan one source, or run one clip through the stages it still needs."""

from __future__ import annotations

import contextlib
import importlib
import resource
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.clip import Clip
from pipelines.ledger import Ledger, Record
from pipelines.masking import environment_secrets, scrub, secrets_of
from pipelines.stages import Stage, fingerprints
from schemas.clip import ClipSpec, Source
from schemas.config import Config
from schemas.outcome import Rejected

Begin = Callable[[str], None]
MESSAGE_LENGTH = 2000


def stages_of(line: str) -> tuple[Stage, ...]:
    """The stages of the module that ``line`` names."""
    stages: tuple[Stage, ...] = importlib.import_module(line).STAGES
    return stages


def state(ledger: Ledger, clip_id: str, prints: dict[str, str], stages: tuple[Stage, ...]) -> list[Record]:
    """The valid records of a clip, in stage order, up to the first stage that is missing, stale or not ok.

    The last record is looked at first: when it is valid, so is all before it, because a stage that runs again removes the
    records behind it. It then stands for all.
    """
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
    output, stages = Path(payload["output"]), stages_of(payload["line"])
    ledger, prints = Ledger(output), fingerprints(spec, config, stages, payload["selection"])
    clip = Clip(spec, config, output)
    for position, stage in enumerate(stages):
        if stage.name not in payload["stages"]:
            continue
        begin(stage.name)
        failures = ledger.failures(stage.name, spec.clip_id, prints[stage.name])
        for later in stages[position + 1 :]:
            ledger.forget(later.name, spec.clip_id)
        if not failures:
            ledger.forget(stage.name, spec.clip_id)
        record = measured(spec.clip_id, stage.name, prints[stage.name], partial(stage.run, clip))
        record = replace(record, attempts=failures + 1, message=scrub(record.message, _secrets(config)))
        ledger.write(record)
        if record.outcome != "ok":
            return {"outcome": record.outcome, "stage": stage.name, "reason": record.reason, "message": record.message}
    return {"outcome": "ok", "stage": payload["stages"][-1], "reason": "", "message": ""}


def plan_source(payload: dict[str, Any], begin: Begin) -> dict[str, Any]:
    """Cut one source into clips; the record's ``stats`` hold them, without the paths, which may differ in the next run."""
    begin("source")
    source = Source(**{**payload["source"], "assumed": tuple(payload["source"]["assumed"])})
    config, output = Config.model_validate(payload["config"]), Path(payload["output"])
    ledger = Ledger(output)
    failures = ledger.failures("source", payload["key"], payload["fingerprint"])

    def work() -> dict[str, Any]:
        plan = importlib.import_module(payload["line"]).plan_clips(source, config.video)
        return {
            "source": source.name,
            "clips": [[c.start_frame, c.end_frame, c.start_s, c.end_s, c.pixel_options] for c in plan.clips],
            "refused": [[name, why.reason, why.detail] for name, why in plan.refused],
        }

    record = measured(payload["key"], "source", payload["fingerprint"], work)
    record = replace(record, attempts=failures + 1, message=scrub(record.message, _secrets(config)))
    ledger.write(replace(record, stats={"source": source.name, **record.stats}))
    return {"outcome": record.outcome, "stage": "source", "reason": record.reason, "message": record.message}


def measured(item_id: str, stage: str, print_: str, work: Callable[[], dict[str, Any]]) -> Record:
    """Run ``work`` and describe how it ended: its statistics, or why there are none, with wall, core and memory cost."""
    _reset_peak()
    started, core = time.perf_counter(), time.process_time()
    outcome, reason, message, stats = "ok", "", "", {}
    try:
        stats = work()
    except Rejected as why:
        outcome, reason, message = "rejected", why.reason, why.detail
    except Exception as error:
        traceback.print_exc()
        outcome, reason, message = "failed", type(error).__name__, f"{error} ({_place(error)})"[:MESSAGE_LENGTH]
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
        peak_mb=round(_peak_mb(), 1),
        finished_unix_s=round(time.time(), 3),
        host=socket.gethostname(),
    )


def _secrets(config: Config) -> set[str]:
    return secrets_of(config.model_dump(mode="json")) | environment_secrets()


def _place(error: BaseException) -> str:
    """File, line and function where the exception was raised, without the machine's folders."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return "unknown place"
    last = frames[-1]
    return f"{'/'.join(Path(last.filename).parts[-3:])}:{last.lineno} in {last.name}"


def _reset_peak() -> None:
    """Forget the process's peak of resident memory, so that the next reading is the stage's own.

    Where the kernel does not offer it, the reading is the process's peak so far.
    """
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as handle:
        handle.write("5")


def _peak_mb() -> float:
    """Peak resident memory, MB, since the last reset."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return (kilobytes[0] if kilobytes else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024
