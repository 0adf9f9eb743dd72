"""The same command on another machine: as a Ray job, or by Slurm. There it runs with ``--on local`` and checks that machine."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pipelines.files import write_text
from pipelines.training.job import ROOT
from pipelines.training.machine import program

_DONE = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE", "PREEMPTED")
_POLL_S = 5.0


def ray_command(words: list[str], *, gpus: int, cpus: int, extra: list[str]) -> list[str]:
    """``ray job submit`` of ``python -m pipelines.train WORDS`` with GPUs reserved for it; follows the job's log by itself."""
    address = os.environ.get("RAY_ADDRESS", "")
    where = ["--address", address] if address.startswith("http") else []
    reserve = ["--entrypoint-num-gpus", str(gpus), "--entrypoint-num-cpus", str(cpus)]
    return [
        program("ray") or "ray",
        "job",
        "submit",
        *where,
        "--working-dir",
        str(ROOT),
        *reserve,
        *extra,
        "--",
        *_entry("python", words),
    ]


def slurm_script(words: list[str], *, name: str, log: Path, gpus: int, cpus: int, extra: list[str]) -> str:
    """A batch script; requeued after a node's end, it goes on from the last checkpoint."""
    options = [
        f"--job-name={name}", "--nodes=1", "--ntasks=1", f"--gpus-per-node={gpus}", f"--cpus-per-task={cpus}",
        f"--output={log}", "--open-mode=append", "--requeue", "--signal=TERM@180", *extra,
    ]  # fmt: skip
    lines = ["#!/usr/bin/env bash", *(f"#SBATCH {option}" for option in options)]
    return "\n".join([*lines, f"cd {shlex.quote(str(ROOT))}", f"exec srun {shlex.join(_entry(sys.executable, words))}"]) + "\n"


def submit_to_ray(command: list[str], say: Callable[[str], None]) -> int:
    """Submit and follow; the exit status of the submission, which Ray makes that of the job."""
    say(shlex.join(command))
    return subprocess.run(command, check=False).returncode


def submit_to_slurm(script: str, folder: Path, log: Path, say: Callable[[str], None], poll_s: float = _POLL_S) -> int:
    """Submit, follow the log, and return the job's exit status. Ctrl-C leaves the job running and says how to end it."""
    file = folder / "job.sbatch"
    write_text(file, script)
    done = subprocess.run(["sbatch", "--parsable", str(file)], capture_output=True, text=True, check=False)
    if done.returncode:
        say(f"sbatch refused {file}: {done.stderr.strip() or done.stdout.strip()}")
        return done.returncode
    job = done.stdout.strip().split(";")[0]
    say(f"job {job} is submitted: {file}; log {log}")
    read = log.stat().st_size if log.exists() else 0
    try:
        while True:
            state, status = slurm_state(job)
            read = _follow(log, read, say)
            if state in _DONE:
                say(f"job {job}: {state}, exit status {status}")
                return status if status or state == "COMPLETED" else 1
            time.sleep(poll_s)
    except KeyboardInterrupt:
        say(f"\njob {job} goes on; scancel {job} ends it, and the same command follows up where it stopped")
        raise


def slurm_state(job: str) -> tuple[str, int]:
    """State and exit status of a job; ``("PENDING", 0)`` while the accounting does not know it."""
    query = ["sacct", "-j", job, "-X", "-n", "-P", "-o", "State,ExitCode"]
    lines = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip().splitlines()
    if not lines:
        return "PENDING", 0
    state, _, code = lines[-1].partition("|")
    return state.split()[0], int(code.split(":")[0] or 0)


def _follow(log: Path, start: int, say: Callable[[str], None]) -> int:
    """Say the whole lines that were added behind ``start``; where to go on."""
    if not log.exists():
        return start
    with log.open("rb") as handle:
        handle.seek(start)
        text = handle.read()
    whole = text[: text.rfind(b"\n") + 1]
    for line in whole.decode(errors="replace").splitlines():
        say(line)
    return start + len(whole)


def _entry(interpreter: str, words: list[str]) -> list[str]:
    return [interpreter, "-m", "pipelines.train", *words]
