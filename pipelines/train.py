"""Train a vision-language model on a finished run: ``python -m pipelines.train sft|cold-start|grpo RUN``."""

from __future__ import annotations

import argparse
import datetime
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Any

from pipelines.files import write_text
from pipelines.ledger import Lock, OutputIsBusy
from pipelines.masking import environment_secrets, scrub
from pipelines.summary import duration, surroundings
from pipelines.training.backends import RENDER
from pipelines.training.checkpoint import saved_steps, set_aside_broken
from pipelines.training.checks import of_data
from pipelines.training.elsewhere import ray_command, slurm_script, submit_to_ray, submit_to_slurm
from pipelines.training.job import BACKENDS, Job, Launch
from pipelines.training.local import LOGS, Ended, carry_out
from pipelines.training.machine import Machine, look
from pipelines.training.prepare import Refused, prepare, run_id, same
from pipelines.training.recipes import PRESETS, STAGES, BadRecipe, Recipe, recipe
from pipelines.training.record import TRAIN, read_record, write_record
from pipelines.training.result import read_result
from schemas import run_folder as names

INTERRUPTED = 130
PLACES = ("local", "ray", "slurm")
_CPUS_PER_GPU = 8
EPILOG = """\
the three stages of MLLM-4D, each of which starts from the merged model of the one before:
  sft          the letter alone               table sft      from Qwen/Qwen3-VL-8B-Instruct, or --model
  cold-start   chain of thought               table st_cot   from the sft model
  grpo         reinforcement with the reward  table rft      from the cold-start model

  python -m pipelines.train sft RUN --rehearse                      a tiny random model, on this CPU, in a minute
  python -m pipelines.train sft RUN --dry-run                       the exact commands, and what speaks against them
  python -m pipelines.train sft RUN                                 with all GPUs of this machine; again: goes on where it stopped
  python -m pipelines.train grpo RUN --backend ms-swift --gpus 7    a rollout server on one GPU, six to train on
  python -m pipelines.train sft RUN --on slurm --gpus 8 --job-arg=--partition=gpu --job-arg=--time=24:00:00
  python -m pipelines.train sft RUN --set learning_rate=1e-5 --set frames=16

backends: trl (ours, pip install -e ".[train]"), ms-swift (its own environment), mllm4d (--trainer, the paper's code; its grpo
is ms-swift). Everything is kept below RUN/train/<stage>-<backend>: launch.sh, logs/, checkpoints/, the merged model, train.json.

exit status: 0 done; 1 the training failed; 2 something speaks against it, or the call is wrong; 130 interrupted.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog="python -m pipelines.train",
        description="Train a vision-language model on a finished run.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    out.add_argument("stage", choices=STAGES)
    out.add_argument("run", type=Path, metavar="RUN", help="folder that pipelines.build wrote")
    out.add_argument("--backend", choices=BACKENDS, default="trl", help="who trains (default trl)")
    out.add_argument("--on", choices=PLACES, default="local", help="this machine, a Ray cluster, Slurm (default local)")
    out.add_argument("--model", metavar="DIR|ID", help="checkpoint to start from (default: see below)")
    out.add_argument(
        "--gpus", type=int, metavar="N", help="GPUs, the rollout server's included; 0: a CPU (default: all there are)"
    )
    out.add_argument("--preset", choices=sorted(PRESETS), default="paper", help="the paper's values, or the public scripts'")
    out.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], dest="assignments", help="override one value of the recipe"
    )
    out.add_argument("--output", type=Path, metavar="DIR", help="default: RUN/train/<stage>-<backend>")
    out.add_argument("--trainer", type=Path, metavar="DIR", help="mllm4d: folder qwen-vl-sft of a checkout of MLLM-4D")
    out.add_argument("--port", type=int, default=8000, metavar="N", help="of the rollout server (default 8000)")
    out.add_argument("--job-arg", action="append", default=[], metavar="ARG", help="passed on to ray job submit, or as #SBATCH")
    out.add_argument(
        "--rehearse", action="store_true", help="a tiny random model and a few steps, on a CPU unless --gpus N (trl)"
    )
    out.add_argument("--dry-run", action="store_true", help="print the commands and what speaks against them; run nothing")
    out.add_argument("--force", action="store_true", help="run although something speaks against it")
    return out


def main(argv: list[str] | None = None) -> int:
    """Parse, check, train; the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = parser().parse_args(words)
    try:
        return run(arguments, words)
    except (BadRecipe, Refused, OutputIsBusy) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    """Carry out a parsed call."""
    if arguments.rehearse:
        if arguments.backend != "trl" or arguments.on != "local":
            raise Refused("a rehearsal is --backend trl --on local; leave the other options out")
        arguments.gpus = arguments.gpus or 0
    values = recipe(arguments.stage, arguments.preset, arguments.assignments, rehearse=arguments.rehearse)
    if not (arguments.run / names.RUN_JSON).is_file():
        raise Refused(f"expected a run folder with {names.RUN_JSON}, found none in {arguments.run}")
    if arguments.on != "local":
        return elsewhere(arguments, values)
    machine = look(arguments.run)
    job, against = prepare(arguments, values, machine)
    launch = RENDER[job.backend](job)
    known = read_record(job.output)
    if known and known["status"] == "finished" and same(job, known) and job.merged.is_dir() and not arguments.dry_run:
        print("\n".join(summary(job, known)) + "\n  nothing was left to do")
        return 0
    if arguments.dry_run:
        print(launch.script(), end="")
    for reason in against:
        print(f"{'# ' if arguments.dry_run else ''}against it: {reason}", file=sys.stdout if arguments.dry_run else sys.stderr)
    if arguments.dry_run:
        print(f"# {len(against) or 'nothing'} against it{'' if not against else '; it would not start without --force'}")
        return 0
    if against and not arguments.force:
        return 2
    with Lock(job.output):
        return carry(job, launch, machine, words)


def carry(job: Job, launch: Launch, machine: Machine, words: list[str]) -> int:
    """Train here, and leave a record whatever happens."""
    for broken in set_aside_broken(job.checkpoints):
        print(f"a checkpoint that was not written to its end is now {broken}")
    before, started = read_record(job.output) or {}, time.time()
    record: dict[str, Any] = {
        "status": "running", "stage": job.stage, "backend": job.backend, "on": "local", "model": job.model,
        "run_id": run_id(job.run), "command": [scrub(word, environment_secrets()) for word in words],
        "recipe": job.recipe.model_dump(), "gpus": list(job.gpus), "resumed_from": str(job.resume) if job.resume else None,
        "earlier_seconds": before.get("earlier_seconds", 0) + (before.get("seconds", 0) if job.resume else 0),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), "seconds": 0.0, "exit_status": None,
        "merged": str(job.merged), "result": None, "training_machine": machine.to_json(), **surroundings(),
    }  # fmt: skip
    write_text(job.output / "launch.sh", launch.script())
    write_record(job.run, job.output, record)
    status, code = "failed", 1
    on_terminate = signal.signal(signal.SIGTERM, _interrupt)
    try:
        carry_out(launch, job.output)
        status, code = "finished", 0
    except KeyboardInterrupt:
        status, code = "interrupted", INTERRUPTED
    except Ended as error:
        print(f"error: {error}", file=sys.stderr)
    finally:
        signal.signal(signal.SIGTERM, on_terminate)
        record |= {"status": status, "exit_status": code, "seconds": round(time.time() - started, 3)}
        record["result"] = read_result(job.checkpoints)
        write_record(job.run, job.output, record)
        print("\n".join(summary(job, record)), flush=True)
    return code


def summary(job: Job, record: dict[str, Any]) -> list[str]:
    """The page that ends a training."""
    result = record["result"] or {}
    out = ["", f"{job.stage} {record['status']} in {duration(record['seconds'])}: {job.output}"]
    if losses := result.get("losses"):
        out.append(f"  {result['steps']} steps, loss {losses[0]:.3f} -> {losses[-1]:.3f}")
    if rewards := result.get("rewards"):
        out.append(f"  reward {rewards[0]:.3f} -> {rewards[-1]:.3f}")
    if result.get("tokens_per_s"):
        out.append(f"  {result['tokens_per_s']:.0f} tokens/s")
    if result.get("too_long"):
        out.append(f"  {result['too_long']} samples were longer than max_length and taught nothing")
    if record["status"] == "finished":
        out.append(f"  model {job.merged}")
    elif steps := saved_steps(job.checkpoints):
        out.append(f"  the same command goes on from step {steps[-1][0]}")
    return out


def elsewhere(arguments: argparse.Namespace, values: Recipe) -> int:
    """Submit the same call to a cluster, where it checks its machine and trains."""
    place, run_folder = arguments.on, arguments.run.resolve()
    served = arguments.stage == "grpo" and arguments.backend != "trl"
    gpus = arguments.gpus if arguments.gpus is not None else values.gpus + (values.rollout_gpus if served else 0)
    output = (arguments.output or run_folder / TRAIN / f"{arguments.stage}-{arguments.backend}").resolve()
    words = [arguments.stage, str(run_folder), "--backend", arguments.backend, "--preset", arguments.preset, "--gpus", str(gpus)]
    words += ["--output", str(output), "--port", str(arguments.port)]
    words += [word for text in arguments.assignments for word in ("--set", text)]
    if arguments.model:
        local = Path(arguments.model).expanduser()
        words += ["--model", str(local.resolve()) if local.exists() else arguments.model]
    words += ["--trainer", str(arguments.trainer.resolve())] if arguments.trainer else []
    words += ["--force"] if arguments.force else []
    machine = look(run_folder)
    job = Job(arguments.stage, arguments.backend, run_folder, output, "", "", values, tuple(range(gpus)))
    program = {"ray": "ray", "slurm": "sbatch"}[place]
    against = [*of_data(job)]
    if program not in machine.programs:
        against.append(f"--on {place} needs the command {program} on the path")
    cpus, log = max(1, gpus) * _CPUS_PER_GPU, output / LOGS / "slurm.log"
    command = ray_command(words, gpus=gpus, cpus=cpus, extra=arguments.job_arg)
    name = f"mllm4d-{arguments.stage}"
    script = slurm_script(words, name=name, log=log, gpus=gpus, cpus=cpus, extra=arguments.job_arg)
    if arguments.dry_run:
        print(shlex.join(command) if place == "ray" else script)
    for reason in against:
        print(f"{'# ' if arguments.dry_run else ''}against it: {reason}", file=sys.stdout if arguments.dry_run else sys.stderr)
    if arguments.dry_run:
        return 0
    if against and not arguments.force:
        return 2
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        return submit_to_ray(command, print) if place == "ray" else submit_to_slurm(script, output, log, print)
    except KeyboardInterrupt:
        return INTERRUPTED


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
