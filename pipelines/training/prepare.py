"""From a call to a job: which model, which GPUs, which checkpoint to go on from, and what speaks against it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from pipelines.training.checkpoint import read_checkpoint, saved_steps
from pipelines.training.checks import problems
from pipelines.training.job import Job
from pipelines.training.machine import Machine
from pipelines.training.recipes import BASE_MODEL, BEFORE, Recipe, Stage
from pipelines.training.record import TRAIN, read_record
from schemas import run_folder as names


class Refused(RuntimeError):
    """The call cannot be carried out; the message says what was expected, what came and what to do."""


def prepare(arguments: argparse.Namespace, values: Recipe, machine: Machine) -> tuple[Job, list[str]]:
    """The job of a call, and what speaks against it."""
    run_folder = arguments.run.resolve()
    name = f"{arguments.stage}-{'rehearsal' if arguments.rehearse else arguments.backend}"
    output = (arguments.output or run_folder / TRAIN / name).resolve()
    model = arguments.model or _model(arguments.stage, run_folder, output, rehearse=arguments.rehearse, dry=arguments.dry_run)
    checkpoint = read_checkpoint(model)
    gpus = tuple(gpu.index for gpu in machine.gpus)
    if arguments.gpus is not None:
        gpus = gpus[: arguments.gpus] if arguments.gpus <= len(gpus) else tuple(range(arguments.gpus))
    steps = saved_steps(output / "checkpoints")
    job = Job(
        arguments.stage, arguments.backend, run_folder, output, model, checkpoint.model_type, values, gpus,
        trainer=arguments.trainer.resolve() if arguments.trainer else None, resume=steps[-1][1] if steps else None,
        port=arguments.port, swift=int(machine.versions.get("ms-swift", "4").split(".")[0]),
    )  # fmt: skip
    return job, [*_changed(job), *problems(job, checkpoint, machine)]


def _model(stage: Stage, run_folder: Path, output: Path, *, rehearse: bool, dry: bool) -> str:
    """What a stage starts from when the call does not say: the merged model of the stage before, the newest one."""
    before = BEFORE[stage]
    if before is not None:
        folders = [run_folder / TRAIN / f"{before}-rehearsal"] if rehearse else sorted((run_folder / TRAIN).glob(f"{before}-*"))
        found = [
            record
            for folder in folders
            if (rehearse or not folder.name.endswith("-rehearsal")) and (record := read_record(folder))
        ]
        done = [record for record in found if record["status"] == "finished" and Path(record["merged"]).is_dir()]
        if done:
            return str(max(done, key=lambda record: record["started"])["merged"])
    if rehearse:
        return str(_tiny(run_folder, output, dry=dry))
    if before is not None and not dry:
        raise Refused(
            f"expected a finished {before} below {run_folder / TRAIN} to start from, found none: train it, or give --model"
        )
    return BASE_MODEL


def _tiny(run_folder: Path, output: Path, *, dry: bool) -> Path:
    """The random model of a rehearsal, made from the run's own texts."""
    import pyarrow.parquet as pq

    folder = output / "tiny-qwen3-vl"
    if not dry and not (folder / "config.json").exists():
        from pipelines.training.tiny import make_tiny

        files = sorted((run_folder / names.PUBLISH).glob("st_cot/train-*.parquet"))
        rows = [turns for file in files for turns in pq.read_table(file, columns=["messages"])["messages"].to_pylist()[:500]]
        make_tiny(folder, [turn["content"] for turns in rows for turn in turns])
    return folder


def _changed(job: Job) -> list[str]:
    """Why a folder's checkpoints are not this job's: they were made by another recipe, model or dataset."""
    known = read_record(job.output)
    if known is None or job.resume is None:
        return []
    if same(job, known):
        return []
    now = _identity(job)
    old = known.get("recipe") or {}
    differing = [f"{k}: {old.get(k)} -> {v}" for k, v in now["recipe"].items() if old.get(k) != v]
    differing += [f"{k}: {known.get(k)} -> {now[k]}" for k in ("model", "run_id") if known.get(k) != now[k]]
    return [f"{job.output} holds checkpoints of another training ({'; '.join(differing)}): --output DIR, or remove it"]


def same(job: Job, known: dict[str, Any]) -> bool:
    """Whether a record is of this very training."""
    now = _identity(job)
    return now == {key: known.get(key) for key in now}


def _identity(job: Job) -> dict[str, Any]:
    return {"model": job.model, "recipe": job.recipe.model_dump(), "run_id": run_id(job.run)}


def run_id(run_folder: Path) -> Any:
    """What names the content of a run's dataset."""
    return json.loads((run_folder / names.RUN_JSON).read_text(encoding="utf-8")).get("run_id")
