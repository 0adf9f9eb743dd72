"""What a checkpoint is, from its small files; and which checkpoints of a training are whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FAMILIES = ("qwen3_vl", "qwen3_vl_moe", "qwen2_5_vl")  # in this order: an id says no more than the first


@dataclass(frozen=True)
class Checkpoint:
    """A model's facts.

    Attributes:
        model_type: of its config; "" where there is none.
        adapter: whether the folder holds adapters only, and of which model.
        parameters: estimated from the config's sizes.
        hidden, layers, vocabulary: of the language model.
        problem: why it could not be read.
    """

    model_type: str = ""
    adapter: str = ""
    parameters: float = 0.0
    hidden: int = 0
    layers: int = 0
    vocabulary: int = 0
    problem: str = ""


def read_checkpoint(model: str) -> Checkpoint:
    """Facts of a folder, or of a Hub id whose config.json can be fetched or is cached."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").exists():
            adapter = folder / "adapter_config.json"
            if adapter.exists():
                return Checkpoint(adapter=str(json.loads(adapter.read_text()).get("base_model_name_or_path") or "its base model"))
            return Checkpoint(problem=f"expected config.json in {folder}, found none")
        return _facts(json.loads((folder / "config.json").read_text()))
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        return Checkpoint(problem=f"expected a folder or a Hub id (owner/name) as --model, found nothing at {model}")
    try:
        from huggingface_hub import hf_hub_download

        return _facts(json.loads(Path(hf_hub_download(model, "config.json")).read_text()))
    except Exception as error:  # offline, gated, mistyped: the library has a dozen classes for it, and its words say which
        words = str(error).strip().splitlines() or [""]
        kind = next((kind for kind in FAMILIES if kind.replace("_vl", "-vl").replace("2_5", "2.5") in model.lower()), "")
        return Checkpoint(kind, problem=f"config.json of {model} cannot be had: {type(error).__name__}: {words[0][:200]}")


def _facts(config: dict[str, Any]) -> Checkpoint:
    text, vision = config.get("text_config") or config, config.get("vision_config") or {}
    hidden, layers, vocabulary = (int(text.get(key) or 0) for key in ("hidden_size", "num_hidden_layers", "vocab_size"))
    heads = int(text.get("num_attention_heads") or 1)
    head = int(text.get("head_dim") or hidden // heads)
    attention = hidden * head * (2 * heads + 2 * int(text.get("num_key_value_heads") or heads))
    experts, wide = int(text.get("num_experts") or 1), text.get("moe_intermediate_size") or text.get("intermediate_size") or 0
    parameters = layers * (attention + 3 * hidden * int(wide) * experts)
    parameters += hidden * vocabulary * (1 if config.get("tie_word_embeddings") else 2)
    width = int(vision.get("hidden_size") or 0)
    parameters += int(vision.get("depth") or 0) * (4 * width * width + 2 * width * int(vision.get("intermediate_size") or 0))
    return Checkpoint(
        str(config.get("model_type") or ""), parameters=float(parameters), hidden=hidden, layers=layers, vocabulary=vocabulary
    )


def saved_steps(folder: Path) -> list[tuple[int, Path]]:
    """Checkpoints of a training by step, whole ones only."""
    found = [(int(p.name.split("-")[1]), p) for p in folder.glob("checkpoint-*") if p.name.split("-")[1].isdigit()]
    return sorted((step, path) for step, path in found if is_whole(path))


def is_whole(path: Path) -> bool:
    """Whether a checkpoint was written to its end: the trainer's state and a readable weight file are there."""
    try:
        json.loads((path / "trainer_state.json").read_text())
    except (OSError, ValueError):
        return False
    weights = [*path.glob("*.safetensors"), *path.glob("global_step*")]
    return bool(weights) and all(_readable(file) for file in weights if file.suffix == ".safetensors")


def set_aside_broken(folder: Path) -> list[Path]:
    """Rename checkpoints that a kill left half written, since some trainers resume from the last one unseen."""
    broken = [path for path in folder.glob("checkpoint-*") if path.is_dir() and not is_whole(path)]
    return [path.rename(path.with_name(f"broken-{path.name}-{number}")) for number, path in enumerate(sorted(broken))]


def _readable(file: Path) -> bool:
    """A safetensors file says its own length in its head."""
    with file.open("rb") as handle:
        size = int.from_bytes(handle.read(8), "little")
        if not 0 < size < file.stat().st_size:
            return False
        try:
            head = json.loads(handle.read(size))
        except ValueError:
            return False
    ends = [value["data_offsets"][1] for name, value in head.items() if name != "__metadata__"]
    return file.stat().st_size == 8 + size + max(ends, default=0)
