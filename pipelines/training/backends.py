"""A job as the exact commands of its backend."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from pipelines.training.job import ROOT, Backend, Job, Launch, Process, devices, python
from schemas import run_folder as names

_EXPORTS = {
    ("mllm4d", "sft"): "mllm4d-sft", ("mllm4d", "cold-start"): "mllm4d-cold-start",
    ("ms-swift", "sft"): "ms-swift-sft", ("ms-swift", "cold-start"): "ms-swift-sft", ("ms-swift", "grpo"): "ms-swift-grpo",
}  # fmt: skip
_LEAST_FRAME_TOKENS = 4
DATASET = "factory"
REWARDS = {"paper": "mllm4d_st_paper", "code": "mllm4d_st"}


def trl(job: Job) -> Launch:
    """Our own scripts: videos as the run's exact question frames, labels on the answer only, no blind scoring."""
    module = "pipelines.training.trl_grpo" if job.stage == "grpo" else "pipelines.training.trl_sft"
    description = job.output / "job.json"
    spread = ("-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={job.processes}") if job.processes > 1 else ()
    trainer = Process("trainer", python(*spread, "-m", module, str(description)), _factory() | devices(job.gpus), cwd=None)
    return Launch({description: json.dumps(job.to_json(), indent=1) + "\n"}, (), trainer)


def ms_swift(job: Job) -> Launch:
    """``swift sft`` or ``swift rlhf``; reinforcement with a ``swift rollout`` server on GPUs of its own."""
    r, data = job.recipe, job.output / "data.jsonl"
    command = ["swift", *(("rlhf", "--rlhf_type", "grpo") if job.stage == "grpo" else ("sft",))]
    options = {
        "model": job.model,
        "model_type": job.model_type or "qwen3_vl",
        ("tuner_type" if job.swift >= 4 else "train_type"): "lora",
        "lora_rank": r.lora_rank,
        "lora_alpha": r.lora_alpha,
        "lora_dropout": r.lora_dropout,
        "freeze_vit": True,
        "freeze_aligner": not r.tune_projector,
        "torch_dtype": "bfloat16",
        "dataset": data,
        "split_dataset_ratio": 0,
        **_schedule(job),
        "lr_scheduler_type": "cosine",
        "warmup_ratio": r.warmup,
        "weight_decay": 0,
        "max_grad_norm": 1,
        "gradient_checkpointing": True,
        "add_version": False,
        "seed": r.seed,
        "dataloader_num_workers": r.workers,
        "report_to": "tensorboard",
        **({"max_steps": r.max_steps} if r.max_steps > 0 else {}),
        **({"resume_from_checkpoint": job.resume} if job.resume else {}),
    }
    if job.processes > 1:
        options["deepspeed"] = "zero2"
    server = None
    if job.stage == "grpo":
        options |= {
            "external_plugins": ROOT / "curation" / "reasoning" / "swift_plugin.py",
            "reward_funcs": REWARDS[r.weights],
            "num_generations": r.generations,
            "generation_batch_size": r.global_batch,
            "temperature": r.temperature,
            "beta": r.beta,
            "max_completion_length": r.max_completion,
            "use_vllm": True,
            "vllm_mode": "server",
            "vllm_server_host": "127.0.0.1",
            "vllm_server_port": job.port,
            "async_generate": True,
            "log_completions": True,
        }
        server = _rollout(job)
    else:
        options |= {"max_length": r.max_length, "truncation_strategy": "delete"}
    env = _vision(job) | devices(job.train_gpus) | {"NPROC_PER_NODE": str(job.processes)}
    trainer = Process("trainer", (*command, *_flags(options)), env)
    return Launch({}, (_export(job, "ms-swift", data.name),), trainer, server, (_merge(job),))


def mllm4d(job: Job) -> Launch:
    """The paper's fine-tuning code (a checkout of ``qwen-vl-sft``); reinforcement is ms-swift, as in the paper."""
    if job.stage == "grpo":
        return ms_swift(job)
    r, data, trainer = job.recipe, job.output / "data.json", job.trainer or Path("qwen-vl-sft")
    entry = job.output / "entry.py"
    options = {
        "model_name_or_path": job.model,
        "dataset_use": DATASET,
        "data_flatten": True,
        "tune_mm_vision": False,
        "tune_mm_mlp": r.tune_projector,
        "tune_mm_llm": True,
        "bf16": True,
        "lora_enable": True,
        "lora_r": r.lora_rank,
        "lora_alpha": r.lora_alpha,
        "lora_dropout": r.lora_dropout,
        **_schedule(job),
        "max_pixels": r.frame_pixels,
        "min_pixels": 784,
        # Its own default is 8 frames. Least and most alike: the rate of the video has no say in which frames are seen.
        "video_max_frames": r.frames,
        "video_min_frames": r.frames,
        **_video_budget(job),
        "lr_scheduler_type": "cosine",
        "warmup_ratio": r.warmup,
        "weight_decay": 0,
        "max_grad_norm": 1,
        "model_max_length": r.max_length,
        "gradient_checkpointing": True,
        "dataloader_num_workers": r.workers,
        "eval_strategy": "no",
        "seed": r.seed,
        "report_to": "none",
        "deepspeed": "./scripts/zero2.json",
        **({"max_steps": r.max_steps} if r.max_steps > 0 else {}),
    }
    spread = ("-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={job.processes}")
    command = python(*spread, str(entry), *_flags(options))
    process = Process("trainer", command, devices(job.train_gpus), cwd=trainer)
    return Launch({entry: _entry(job, data.name)}, (_export(job, "mllm4d", data.name),), process, after=(_merge(job),))


RENDER: dict[Backend, Callable[[Job], Launch]] = {"trl": trl, "ms-swift": ms_swift, "mllm4d": mllm4d}


def _schedule(job: Job) -> dict[str, object]:
    """What the two command-line trainers call alike. Saving by steps, not by epoch: one epoch is the whole training."""
    r = job.recipe
    return {
        "output_dir": job.checkpoints,
        "num_train_epochs": r.epochs,
        "per_device_train_batch_size": r.per_device,
        "gradient_accumulation_steps": job.accumulation,
        "learning_rate": r.learning_rate,
        "save_strategy": "steps",
        "save_steps": r.save_steps,
        "save_total_limit": 3,
        "logging_steps": 1,
    }


def _rollout(job: Job) -> Process:
    r = job.recipe
    options = {
        "model": job.model,
        "model_type": job.model_type or "qwen3_vl",
        "infer_backend": "vllm",
        "host": "127.0.0.1",
        "port": job.port,
        "max_new_tokens": r.max_completion,
        "temperature": r.temperature,
        "vllm_gpu_memory_utilization": r.rollout_memory,
        "vllm_max_model_len": r.rollout_length,
        "vllm_tensor_parallel_size": len(job.server_gpus) or r.rollout_gpus,
        "vllm_limit_mm_per_prompt": json.dumps({"image": 0, "video": 1}),
    }
    return Process(
        "rollout",
        ("swift", "rollout", *_flags(options)),
        _vision(job) | devices(job.server_gpus),
        health=f"http://127.0.0.1:{job.port}/health/",
        health_timeout_s=r.rollout_timeout_s,
    )


def _vision(job: Job) -> dict[str, str]:
    """What ms-swift reads from the environment; server and trainer must see the same frames."""
    r = job.recipe
    cell = cell_pixels(job.model_type)
    tokens = max(r.frame_pixels // cell, _LEAST_FRAME_TOKENS)
    return {
        "FPS_MIN_FRAMES": str(r.frames),
        "FPS_MAX_FRAMES": str(r.frames),
        "VIDEO_MAX_TOKEN_NUM": str(tokens),  # read for Qwen3-VL, a frame's
        "VIDEO_MIN_TOKEN_NUM": str(_LEAST_FRAME_TOKENS),  # its default of 128 would win over a smaller maximum
        "VIDEO_MAX_PIXELS": str(tokens * cell),  # read for Qwen2.5-VL
        "VIDEO_MIN_PIXELS": str(_LEAST_FRAME_TOKENS * cell),
        "MAX_PIXELS": str(r.frame_pixels),
    }


def _video_budget(job: Job) -> dict[str, object]:
    """Pixels of a video: of all frames together for Qwen3-VL, of one frame for Qwen2.5-VL."""
    r = job.recipe
    frames = r.frames if job.model_type != "qwen2_5_vl" else 1
    return {
        "video_max_pixels": r.frame_pixels * frames,
        "video_min_pixels": _LEAST_FRAME_TOKENS * cell_pixels(job.model_type) * frames,
    }


def cell_pixels(model_type: str) -> int:
    """Pixels of a frame that become one token."""
    return 28 * 28 if model_type == "qwen2_5_vl" else 32 * 32


def _export(job: Job, backend: str, name: str) -> Process:
    form = _EXPORTS[backend, job.stage]
    words = ("-m", "pipelines.export", str(job.run), "--format", form, "--table", job.table)
    return Process("export", python(*words, "--output", str(job.output / name)), _factory())


def _merge(job: Job) -> Process:
    words = ("-m", "pipelines.training.merge", "--model", job.model, "--checkpoints", str(job.checkpoints))
    return Process("merge", python(*words, "--output", str(job.merged)), _factory())


def _factory() -> dict[str, str]:
    return {"PYTHONPATH": str(ROOT)}


def _flags(options: dict[str, object]) -> list[str]:
    words: list[str] = []
    for name, value in options.items():
        words += [f"--{name}", str(value).lower() if isinstance(value, bool) else str(value)]
    return words


def _entry(job: Job, data: str) -> str:
    """The trainer knows data sets by names in its source; this enters ours without touching the checkout."""
    about = {"annotation_path": str(job.output / data), "data_path": str(job.run / names.PUBLISH)}
    return "\n".join(
        [
            "import os, runpy, sys",
            "sys.path[:0] = [os.getcwd(), os.path.join(os.getcwd(), 'qwenvl', 'train')]",
            "import qwenvl.data",
            f"qwenvl.data.data_dict[{DATASET!r}] = {about!r}",
            "runpy.run_path(os.path.join('qwenvl', 'train', 'train_qwen.py'), run_name='__main__')",
            "",
        ]
    )
