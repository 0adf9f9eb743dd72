"""Hyperparameters of MLLM-4D (arXiv 2603.00515) as presets, each value overridable by ``--set name=value``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from schemas.config import Section

Stage = Literal["sft", "cold-start", "grpo"]
STAGES: tuple[Stage, ...] = ("sft", "cold-start", "grpo")
TABLES: dict[Stage, str] = {"sft": "sft", "cold-start": "st_cot", "grpo": "rft"}
"""The published table that a stage learns from."""
BEFORE: dict[Stage, Stage | None] = {"sft": None, "cold-start": "sft", "grpo": "cold-start"}
"""The stage whose merged model another starts from."""
BASE_MODEL = "Qwen/Qwen3-VL-8B-Instruct"


class BadRecipe(ValueError):
    """A value that no recipe has; the message says which, what was expected and what came."""


class Recipe(Section):
    """What a training does, whatever backend carries it out."""

    epochs: float = Field(default=1.0, gt=0)
    """Passes over the table."""
    max_steps: int = Field(default=-1, ge=-1)
    """Stop after this many steps; -1: as many as the epochs have."""
    learning_rate: float = Field(gt=0)
    """Peak; cosine decay."""
    warmup: float = Field(ge=0, lt=1)
    """Share of the steps that the learning rate rises in."""
    global_batch: int = Field(ge=1)
    """Samples (GRPO: completions) per optimiser step, over all GPUs; accumulation makes up for fewer GPUs."""
    per_device: int = Field(ge=1)
    """Samples of a GPU at a time."""
    gpus: int = Field(ge=1)
    """Training GPUs that the paper used."""
    max_length: int = Field(default=8192, ge=64)
    """Tokens of a sample, video included."""
    frames: int = Field(default=32, ge=2)
    """Frames of a clip that the model sees: must be the question frames of the run."""
    frame_pixels: int = Field(default=50176, ge=1024)
    """Most pixels of one frame."""
    lora_rank: int = Field(default=128, ge=1)
    """Rank of the adapters (attention projections of the language model)."""
    lora_alpha: int = Field(default=256, ge=1)
    """Their scale."""
    lora_dropout: float = Field(default=0.05, ge=0, lt=1)
    """Their dropout."""
    tune_projector: bool = True
    """Adapters on the projector too (paper). The vision tower stays frozen. The mllm4d scripts ask for it, but their LoRA
    leaves the projector out."""
    save_steps: int = Field(default=500, ge=1)
    """Steps between checkpoints, from which an interrupted training goes on."""
    seed: int = 0
    """Order of the samples, initial adapters, sampled completions."""
    workers: int = Field(default=4, ge=0)
    """Processes per GPU that decode videos."""
    # reinforcement only
    generations: int = Field(default=12, ge=2)
    """Completions of one prompt that are compared with each other."""
    temperature: float = Field(default=1.0, gt=0)
    """Of sampling."""
    beta: float = Field(default=0.1, ge=0)
    """Weight of the divergence from the starting model."""
    max_completion: int = Field(default=4096, ge=1)
    """Tokens of a completion."""
    weights: Literal["paper", "code"] = "paper"
    """Of accuracy, format, camera, object: 0.5 0.2 0.15 0.15 (paper) or 0.6 0.2 0.1 0.1 (public code)."""
    rollout_gpus: int = Field(default=1, ge=1)
    """GPUs of the rollout server (ms-swift)."""
    rollout_memory: float = Field(default=0.8, gt=0, le=1)
    """Share of their memory that it takes."""
    rollout_length: int = Field(default=20000, ge=256)
    """Prompt and completion together, tokens."""
    rollout_timeout_s: float = Field(default=1800.0, gt=0)
    """How long it may take to answer after its start."""


PRESETS: dict[str, dict[Stage, dict[str, Any]]] = {
    # 2 M samples / 64 are the paper's 30 k steps, 7 k / 32 its 200, 30 k prompts of 12 completions / 24 its 15 k.
    "paper": {
        "sft": {"learning_rate": 2e-5, "warmup": 0.01, "global_batch": 64, "per_device": 8, "gpus": 8},
        "cold-start": {"learning_rate": 2e-5, "warmup": 0.03, "global_batch": 32, "per_device": 8, "gpus": 4, "save_steps": 50},
        "grpo": {
            "learning_rate": 5e-5, "warmup": 0.001, "global_batch": 24, "per_device": 4, "gpus": 6,
            "beta": 0.1, "weights": "paper",
        },
    },
}  # fmt: skip
# What the public scripts set otherwise than the paper says.
PRESETS["script"] = PRESETS["paper"] | {
    "grpo": PRESETS["paper"]["grpo"] | {"learning_rate": 1e-4, "beta": 0.001, "weights": "code"}
}

REHEARSAL: dict[Stage, dict[str, Any]] = {
    "sft": {"max_steps": 12, "learning_rate": 1e-2, "global_batch": 4, "per_device": 4},
    "cold-start": {"max_steps": 5, "learning_rate": 2e-2, "global_batch": 2, "per_device": 2},
    "grpo": {
        "max_steps": 2, "learning_rate": 1e-3, "global_batch": 4, "per_device": 4, "generations": 4, "max_completion": 16,
    },
}  # fmt: skip
"""Over the preset, for a tiny random model on a CPU."""
_REHEARSAL = {"frame_pixels": 64 * 64, "lora_rank": 8, "lora_alpha": 16, "lora_dropout": 0.0, "workers": 0, "gpus": 1}


def recipe(stage: Stage, preset: str = "paper", assignments: Iterable[str] = (), *, rehearse: bool = False) -> Recipe:
    """The preset of a stage with ``name=value`` assignments on top.

    Raises:
        BadRecipe: an unknown name, a malformed assignment or a bad value.
    """
    values = dict(PRESETS[preset][stage])
    if rehearse:
        values |= _REHEARSAL | REHEARSAL[stage]
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator or name.strip() not in Recipe.model_fields:
            raise BadRecipe(f"expected --set NAME=VALUE with NAME one of {', '.join(Recipe.model_fields)}, got {assignment!r}")
        values[name.strip()] = _value(text)
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r}" for e in error.errors()]
        raise BadRecipe("; ".join(problems)) from error


def _value(text: str) -> Any:
    """YAML, but ``1e-5`` is a number too."""
    try:
        return float(text) if "e" in text.lower() else yaml.safe_load(text)
    except ValueError:
        return yaml.safe_load(text)
