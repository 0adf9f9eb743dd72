"""Why a training would fail, or learn the wrong thing, said before it starts."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipelines.training.backends import cell_pixels
from pipelines.training.checkpoint import FAMILIES, Checkpoint
from pipelines.training.job import Job
from pipelines.training.machine import Machine
from schemas import run_folder as names

_CPU_PARAMETERS = 2e8  # more would take years on a CPU
_TEXT_TOKENS = 900  # the longest sample seen has 2246 characters with its instructions: 2.5 a token, fewer than usual
_STAMP_TOKENS = 11  # of Qwen3-VL's "<12.3 seconds>" with its two vision marks
# What each backend needs in this environment, with the least version that was seen to work.
_NEEDS = {
    "trl": {"torch": "2.6", "transformers": "5.20", "trl": "1.10", "peft": "0.17", "accelerate": "1.10"},
    "ms-swift": {"ms-swift": "3.9", "torch": "2.5", "transformers": "4.57", "qwen-vl-utils": "0.0.14"},
    "mllm4d": {
        "torch": "2.5", "transformers": "4.57", "deepspeed": "0.16", "flash-attn": "2.7", "peft": "0.15", "accelerate": "1.0",
    },
}  # fmt: skip


def problems(job: Job, checkpoint: Checkpoint, machine: Machine) -> list[str]:
    """All reasons against the job, each a sentence with what was expected, what came and what to do."""
    return [*of_data(job), *of_model(job, checkpoint), *of_machine(job, checkpoint, machine)]


def of_data(job: Job) -> Iterator[str]:
    """The run: finished, rows in the table, videos there, frames as the questions count them, a fitting length."""
    report = run_report(job.run)
    if report is None:
        yield f"expected a run folder with {names.RUN_JSON}, found none in {job.run}"
        return
    if report.get("status") != "finished":
        yield f"the run is {report.get('status')!r}: finish it first with the build command that made it"
    frames = report.get("config", {}).get("video", {}).get("question_frames")
    if frames is not None and frames != job.recipe.frames:
        yield (
            f"the questions count {frames} frames (video.question_frames), the model would see {job.recipe.frames}: "
            f"--set frames={frames}"
        )
    folder = job.run / names.PUBLISH
    files = sorted((folder / job.table).glob("train-*.parquet"))
    rows = sum(pq.read_metadata(file).num_rows for file in files)
    if not rows:
        yield f"the table {job.table} of {folder} has no training rows: nothing in these videos was safe enough to ask"
        return
    videos = {video for file in files for video in pq.read_table(file, columns=["video"])["video"].to_pylist()}
    missing = sorted(video for video in videos if not (folder / video).is_file())
    if missing:
        yield f"{len(missing)} of {len(videos)} videos are not in {folder} ({missing[0]}, ...): build again, or copy them too"
    needed = sample_tokens(job)
    if needed > job.recipe.max_length:
        yield (
            f"a sample has about {needed} tokens, more than max_length={job.recipe.max_length}: "
            f"--set max_length={needed} or --set frame_pixels={job.recipe.frame_pixels // 2}"
        )


def of_model(job: Job, checkpoint: Checkpoint) -> Iterator[str]:
    """The checkpoint: readable, whole, of a family that is known, under a name that its trainer understands."""
    if checkpoint.adapter:
        yield (
            f"{job.model} holds adapters of {checkpoint.adapter} only: merge them first, python -m pipelines.training.merge "
            f"--model {checkpoint.adapter} --checkpoints {job.model} --output MERGED"
        )
    elif checkpoint.problem:
        yield checkpoint.problem
    elif checkpoint.model_type not in FAMILIES:
        yield f"expected a checkpoint of {', '.join(FAMILIES)}, {job.model} is {checkpoint.model_type!r}"
    elif job.backend == "mllm4d" and job.stage != "grpo":
        yield from of_name(job.model, checkpoint.model_type)


def of_name(model: str, model_type: str) -> Iterator[str]:
    """The class that the mllm4d trainer would take, which it guesses from the path."""
    path, last = model.lower(), Path(model).name.lower()
    guess = "qwen2_vl"
    if "qwen3" in path:
        guess = "qwen3_vl_moe" if "a" in last else "qwen3_vl"
    elif "qwen2.5" in path:
        guess = "qwen2_5_vl"
    if guess != model_type:
        yield (
            f"the mllm4d trainer guesses the class from the path and would load {model} as {guess}, but it is {model_type}: "
            'link it to a path with "qwen3" (and an "a" in the last part for a mixture of experts, none else), or "qwen2.5"'
        )


def of_machine(job: Job, checkpoint: Checkpoint, machine: Machine) -> Iterator[str]:
    """GPUs, memory, disk, packages, the trainer's checkout, the server's port, and batches that come out even."""
    yield from _gpus(job, checkpoint, machine)
    yield from _packages(job, machine)
    r, step = job.recipe, job.recipe.per_device * job.processes
    if r.global_batch % step:
        each = max((n for n in range(1, r.per_device + 1) if r.global_batch % (n * job.processes) == 0), default=0)
        hint = f"--set per_device={each}" if each else f"--set global_batch={step}"
        yield f"global_batch={r.global_batch} is no multiple of per_device={r.per_device} x {job.processes} processes: {hint}"
    if job.stage == "grpo" and r.global_batch % r.generations:
        yield f"global_batch={r.global_batch} completions are no multiple of generations={r.generations}"
    if checkpoint.parameters:
        disk = 2 * checkpoint.parameters / 2**30 * 1.5
        if machine.disk_gb < disk:
            yield f"the merged model and checkpoints need about {disk:.0f} GiB, {machine.disk_gb:.0f} are free at {job.output}"
    if job.served and not _port_is_free(job.port):
        yield f"port {job.port} of the rollout server is taken: --port N"
    if job.backend == "mllm4d" and job.stage != "grpo":
        yield from _checkout(job.trainer)


def _gpus(job: Job, checkpoint: Checkpoint, machine: Machine) -> Iterator[str]:
    known = {gpu.index: gpu for gpu in machine.gpus}
    absent = [index for index in job.gpus if index not in known]
    if not job.gpus:
        if job.backend != "trl":
            yield f"{job.backend} needs GPUs, {len(machine.gpus)} found here: run it where some are (--on ray, --on slurm)"
        elif checkpoint.parameters > _CPU_PARAMETERS:
            yield (
                f"a model of {checkpoint.parameters / 1e9:.1f} billion parameters needs GPUs, {len(machine.gpus)} found here: "
                "run it where some are (--on ray, --on slurm), or rehearse with a tiny one (--rehearse)"
            )
        return
    if absent:
        yield f"expected {len(job.gpus)} GPUs ({_listed(job.gpus)}), found {_listed(known) or 'none'}: --gpus N"
    if job.served and not job.train_gpus:
        yield f"the rollout server takes {job.recipe.rollout_gpus} of {len(job.gpus)} GPUs: none is left to train on"
    needed = gpu_memory_gb(job, checkpoint)
    small = [known[index] for index in job.train_gpus if index in known and known[index].memory_gb < needed]
    if small:
        yield (
            f"training needs about {needed:.0f} GiB a GPU (an estimate), {small[0].name} has {small[0].memory_gb:.0f}: "
            "--set per_device=1 keeps the batch by accumulation; --force tries all the same"
        )


def gpu_memory_gb(job: Job, checkpoint: Checkpoint) -> float:
    """Estimated memory of one training GPU, GiB.

    bf16 weights; adapters with float32 weight, gradient and two moments; one saved activation per layer (checkpointing), one
    layer's inner activations, logits of the tokens that are scored. Not measured on a GPU yet.
    """
    if not checkpoint.parameters:
        return 0.0
    r = job.recipe
    tokens = r.per_device * min(r.max_length, sample_tokens(job) + (r.max_completion if job.stage == "grpo" else 0))
    adapters = checkpoint.layers * 4 * 2 * r.lora_rank * checkpoint.hidden
    scored = r.per_device * (r.max_completion if job.stage == "grpo" else _TEXT_TOKENS)
    activations = tokens * checkpoint.hidden * 2 * (checkpoint.layers + 24) + scored * checkpoint.vocabulary * 6
    return (2 * checkpoint.parameters + 16 * adapters + activations) / 2**30 + 3  # 3: CUDA context, vision tower, slack


def sample_tokens(job: Job) -> int:
    """Most tokens of a sample: the video's, its time stamps', the text's."""
    pairs = -(-job.recipe.frames // 2)
    return pairs * (job.recipe.frame_pixels // cell_pixels(job.model_type) + _STAMP_TOKENS) + _TEXT_TOKENS


def _packages(job: Job, machine: Machine) -> Iterator[str]:
    backend = "ms-swift" if job.stage == "grpo" and job.backend == "mllm4d" else job.backend
    needs = dict(_NEEDS[backend]) | ({"vllm": "0.11"} if job.served else {})
    if job.processes > 1 and backend == "ms-swift":
        needs |= {"deepspeed": "0.16"}
    for name, least in needs.items():
        have = machine.versions.get(name)
        if have is None or _numbers(have) < _numbers(least):
            hint = 'pip install -e ".[train]"' if backend == "trl" else f"the environment of {backend} (see docs)"
            yield f"{backend} needs {name} {least} or later, found {have or 'none'}: {hint}"
    if backend == "ms-swift" and "swift" not in machine.programs:
        yield "ms-swift needs its command `swift` on the path"


def _checkout(folder: Path | None) -> Iterator[str]:
    if folder is None:
        yield "the mllm4d backend needs --trainer DIR, the folder qwen-vl-sft of a checkout of MLLM-4D"
        return
    script, data = folder / "qwenvl" / "train" / "train_qwen.py", folder / "qwenvl" / "data" / "__init__.py"
    for file in (script, data, folder / "scripts" / "zero2.json"):
        if not file.is_file():
            yield f"expected {file.relative_to(folder)} in --trainer {folder}, found none"
    arguments = folder / "qwenvl" / "train" / "argument.py"
    text = arguments.read_text(encoding="utf-8") if arguments.is_file() else ""
    lacks = [flag for flag in ("video_max_frames", "video_max_pixels", "lora_enable") if text and flag not in text]
    if lacks:
        yield f"the trainer in {folder} has no option {', '.join(lacks)}: its videos would be cut to a default of 8 frames"


def run_report(run: Path) -> dict[str, Any] | None:
    """run.json, None where there is none."""
    file = run / names.RUN_JSON
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def _port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])


def _listed(values: Any) -> str:
    return ", ".join(str(value) for value in values)
