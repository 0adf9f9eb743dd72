"""What is to be trained on what, and the processes that do it."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipelines.training.recipes import TABLES, Recipe, Stage

Backend = Literal["trl", "ms-swift", "mllm4d"]
BACKENDS: tuple[Backend, ...] = ("trl", "ms-swift", "mllm4d")
ROOT = Path(__file__).resolve().parents[2]
"""The factory's own folder: trainers import it from there."""
CHECKPOINTS = "checkpoints"
MERGED = {"qwen3_vl": "qwen3-vl-merged", "qwen3_vl_moe": "qwen3-vl-moe-merged-a", "qwen2_5_vl": "qwen2.5-vl-merged"}
"""Folder of the merged model. The mllm4d trainer guesses a model's class from this name: with "qwen3" and an "a" in the last
part it takes the mixture of experts, without either Qwen2-VL."""


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        run: the run folder.
        output: where logs, checkpoints and the merged model go.
        model: folder or Hub id that it starts from.
        model_type: of its config.json; "" where that could not be read.
        gpus: indices of the GPUs; empty for a CPU.
        trainer: checkout of the mllm4d trainer (``qwen-vl-sft``), None for the others.
        resume: checkpoint to go on from.
        port: of the rollout server.
        swift: major version of ms-swift.
    """

    stage: Stage
    backend: Backend
    run: Path
    output: Path
    model: str
    model_type: str
    recipe: Recipe
    gpus: tuple[int, ...]
    trainer: Path | None = None
    resume: Path | None = None
    port: int = 8000
    swift: int = 4

    @property
    def table(self) -> str:
        """The published table that it learns from."""
        return TABLES[self.stage]

    @property
    def served(self) -> bool:
        """Whether completions come from a server of their own."""
        return self.stage == "grpo" and self.backend != "trl"

    @property
    def server_gpus(self) -> tuple[int, ...]:
        """GPUs of the rollout server: the first ones."""
        return self.gpus[: self.recipe.rollout_gpus] if self.served else ()

    @property
    def train_gpus(self) -> tuple[int, ...]:
        """GPUs of the trainer."""
        return self.gpus[len(self.server_gpus) :]

    @property
    def processes(self) -> int:
        """Trainer processes: one per GPU, one on a CPU."""
        return max(1, len(self.train_gpus))

    @property
    def accumulation(self) -> int:
        """Forward passes per step, so that the step has ``global_batch`` samples."""
        return max(1, self.recipe.global_batch // (self.recipe.per_device * self.processes))

    @property
    def checkpoints(self) -> Path:
        """Where the trainer saves."""
        return self.output / CHECKPOINTS

    @property
    def merged(self) -> Path:
        """The model with the adapters worked in."""
        return self.output / MERGED.get(self.model_type, "merged")

    def to_json(self) -> dict[str, Any]:
        """For ``from_json`` in another process."""
        return json.loads(json.dumps(asdict(self) | {"recipe": self.recipe.model_dump()}, default=str))

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Job:
        """The inverse of ``to_json``."""
        paths = {name: Path(value[name]) if value[name] else None for name in ("run", "output", "trainer", "resume")}
        return cls(**value | paths | {"recipe": Recipe(**value["recipe"]), "gpus": tuple(value["gpus"])})


@dataclass(frozen=True)
class Process:
    """One command.

    Attributes:
        name: of its log.
        argv: the command.
        env: variables on top of the environment.
        cwd: where it runs.
        health: address that answers 200 when a server is ready; "" for a command that ends by itself.
        health_timeout_s: how long that may take.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    health: str = ""
    health_timeout_s: float = 0.0

    def shell(self) -> str:
        """The same as a line for a shell."""
        words = [f"{name}={shlex.quote(value)}" for name, value in self.env.items()]
        line = " ".join([*words, *(shlex.quote(word) for word in self.argv)])
        return f"(cd {shlex.quote(str(self.cwd))} && {line})" if self.cwd else line


@dataclass(frozen=True)
class Launch:
    """All that a job needs done: files, then ``before``, then the trainer beside the server, then ``after``."""

    files: dict[Path, str]
    before: tuple[Process, ...]
    trainer: Process
    server: Process | None = None
    after: tuple[Process, ...] = ()

    def script(self) -> str:
        """The launch as a shell script that does the same by hand."""
        lines = ["#!/usr/bin/env bash", "set -euo pipefail"]
        for path, content in self.files.items():
            lines += [f"mkdir -p {shlex.quote(str(path.parent))}", f"cat > {shlex.quote(str(path))} <<'END_OF_FILE'"]
            lines += [content.rstrip("\n"), "END_OF_FILE"]
        lines += [process.shell() for process in self.before]
        if self.server:
            lines += [f"{self.server.shell()} &", "server=$!", "trap 'kill $server' EXIT"]
            lines += [f"until curl -sf {self.server.health} > /dev/null; do kill -0 $server; sleep 2; done"]
        lines += [self.trainer.shell(), *(process.shell() for process in self.after)]
        return "\n".join(lines) + "\n"


def python(*words: str) -> tuple[str, ...]:
    """A command of this very interpreter."""
    return (sys.executable, *words)


def devices(gpus: tuple[int, ...]) -> dict[str, str]:
    """The variable that shows a process just these GPUs."""
    return {"CUDA_VISIBLE_DEVICES": ",".join(str(gpu) for gpu in gpus)}
