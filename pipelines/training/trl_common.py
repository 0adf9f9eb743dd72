"""What our TRL scripts share: the model, the adapters, the arguments, the record of what came out."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from pipelines.files import json_safe, write_json
from pipelines.training.job import Job
from pipelines.training.merge import save_merged
from pipelines.training.result import RESULT

_LANGUAGE = r"language_model\..*\.(q|k|v|o)_proj"
_PROJECTOR = r"visual\.(merger|deepstack_merger_list\.\d+)\.(linear_fc[12]|mlp\.[02])"


def read_job(argv: list[str]) -> Job:
    """The job that the launcher wrote, from the one word on the command line."""
    if len(argv) != 1:
        sys.exit("expected one argument, the job.json that python -m pipelines.train wrote")
    return Job.from_json(json.loads(Path(argv[0]).read_text(encoding="utf-8")))


def quiet() -> None:
    """No bars and no announcements of later versions in a log that a person follows."""
    import warnings

    import datasets
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    datasets.disable_progress_bars()
    warnings.simplefilter("ignore", FutureWarning)


def load_model(job: Job) -> Any:
    """The checkpoint: bfloat16 on a GPU, float32 on a CPU."""
    import torch
    from transformers import AutoModelForImageTextToText

    dtype = torch.bfloat16 if job.train_gpus else torch.float32
    return AutoModelForImageTextToText.from_pretrained(job.model, dtype=dtype)


def adapters(job: Job) -> Any:
    """LoRA on the attention projections of the language model and, where asked for, on the projector."""
    from peft import LoraConfig

    r = job.recipe
    return LoraConfig(
        r=r.lora_rank,
        lora_alpha=r.lora_alpha,
        lora_dropout=r.lora_dropout,
        target_modules=rf".*({_LANGUAGE}|{_PROJECTOR})" if r.tune_projector else rf".*{_LANGUAGE}",
        task_type="CAUSAL_LM",
    )


def arguments(job: Job) -> dict[str, Any]:
    """What SFTConfig and GRPOConfig have in common."""
    r, gpu = job.recipe, bool(job.train_gpus)
    return {
        "output_dir": str(job.checkpoints),
        "num_train_epochs": r.epochs,
        "max_steps": r.max_steps,
        "per_device_train_batch_size": r.per_device,
        "gradient_accumulation_steps": job.accumulation,
        "learning_rate": r.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": r.warmup,  # below 1: a share
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "bf16": gpu,
        "use_cpu": not gpu,
        "gradient_checkpointing": gpu,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "ddp_find_unused_parameters": False,
        "remove_unused_columns": False,
        "dataloader_num_workers": r.workers,
        "dataloader_pin_memory": gpu,
        "save_strategy": "steps",
        "save_steps": r.save_steps,
        "save_total_limit": 3,
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "seed": r.seed,
    }


def finish(trainer: Any, job: Job, started: float, extra: dict[str, Any]) -> None:
    """Save adapters, state and the merged model, and leave ``result.json`` (from the first process only)."""
    trainer.save_model()
    trainer.save_state()
    if not trainer.is_world_process_zero():
        return
    log = [entry for entry in trainer.state.log_history if "loss" in entry]
    seconds = time.monotonic() - started
    tokens = log[-1].get("num_tokens") if log else None
    result = {
        "steps": trainer.state.global_step,
        "losses": [entry["loss"] for entry in log],
        "rewards": [entry["reward"] for entry in log if "reward" in entry],
        "seconds": round(seconds, 3),
        "tokens": tokens,
        "tokens_per_s": round(tokens / seconds, 2) if tokens else None,
        **extra,
    }
    write_json(job.checkpoints / RESULT, json_safe(result))
    save_merged(trainer.accelerator.unwrap_model(trainer.model), trainer.processing_class, job.merged)
