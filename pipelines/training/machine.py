"""What this machine has, seen without importing a deep-learning library."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch", "transformers", "trl", "peft", "accelerate", "datasets", "ms-swift", "vllm", "deepspeed", "flash-attn",
    "qwen-vl-utils",
)  # fmt: skip


@dataclass(frozen=True)
class Gpu:
    """One GPU: its index, name and memory, GiB."""

    index: int
    name: str
    memory_gb: float


@dataclass(frozen=True)
class Machine:
    """GPUs that this process may use, memory and disk (GiB), installed packages, and programs on the path."""

    gpus: tuple[Gpu, ...]
    memory_gb: float
    disk_gb: float
    versions: dict[str, str]
    programs: frozenset[str]

    def to_json(self) -> dict[str, Any]:
        """For the record of a training."""
        return {"host": socket.gethostname(), **asdict(self), "programs": sorted(self.programs)}


def look(folder: Path) -> Machine:
    """This machine, with the free disk of ``folder`` (or of its nearest parent that exists)."""
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    return Machine(
        gpus=visible(find_gpus(), os.environ.get("CUDA_VISIBLE_DEVICES")),
        memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        disk_gb=round(shutil.disk_usage(place).free / 2**30, 1),
        versions={name: found for name in PACKAGES if (found := _version(name))},
        programs=frozenset(name for name in ("swift", "ray", "sbatch", "sacct") if program(name)),
    )


def program(name: str) -> str | None:
    """Path of a command: on the path, or beside this interpreter."""
    return shutil.which(name) or shutil.which(name, path=os.path.dirname(sys.executable))


def find_gpus() -> tuple[Gpu, ...]:
    """All NVIDIA GPUs, by ``nvidia-smi``; none where there is no such program or it fails."""
    query = ["nvidia-smi", "--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return parse_gpus(done.stdout) if done.returncode == 0 else ()


def parse_gpus(text: str) -> tuple[Gpu, ...]:
    """Lines of ``index, name, MiB``."""
    rows = [[part.strip() for part in line.split(",")] for line in text.splitlines() if line.strip()]
    return tuple(Gpu(int(row[0]), row[1], round(float(row[2]) / 1024, 1)) for row in rows if len(row) == 3 and row[0].isdigit())


def visible(gpus: Sequence[Gpu], allowed: str | None) -> tuple[Gpu, ...]:
    """Those that ``CUDA_VISIBLE_DEVICES`` leaves (a scheduler sets it); identifiers other than indices are kept by number."""
    if allowed is None:
        return tuple(gpus)
    words = [word.strip() for word in allowed.split(",") if word.strip()]
    if not all(word.isdigit() for word in words):  # UUIDs of a MIG or of a scheduler: so many, renumbered for the child
        return tuple(gpus[: len(words)])
    return tuple(gpu for gpu in gpus if str(gpu.index) in words)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
