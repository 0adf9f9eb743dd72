"""Work adapters into their base model: ``python -m pipelines.training.merge --model BASE --checkpoints DIR --output DIR``."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from pipelines.training.checkpoint import saved_steps


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog="python -m pipelines.training.merge",
        description="Write a model with the adapters worked in, which any loader, vLLM and the next stage of training read.",
        epilog="The adapters are DIR's own, or else those of its last whole checkpoint-N.",
    )
    out.add_argument("--model", required=True, help="folder or Hub id that the adapters were trained on")
    out.add_argument("--checkpoints", required=True, type=Path, metavar="DIR", help="folder of the training or of one checkpoint")
    out.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder of the merged model; replaced at once")
    return out


def adapters_of(folder: Path) -> Path:
    """The folder with the newest adapters.

    Raises:
        FileNotFoundError: there are none.
    """
    if (folder / "adapter_config.json").is_file() and (folder / "adapter_model.safetensors").is_file():
        return folder
    if steps := saved_steps(folder):
        return steps[-1][1]
    raise FileNotFoundError(f"expected adapter_model.safetensors or a whole checkpoint-N in {folder}, found neither")


def merge(model: str, checkpoints: Path, output: Path) -> Path:
    """Write the merged model to ``output``; returns the adapters' folder."""
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText

    from pipelines.training.frames import load_processor
    from pipelines.training.trl_common import quiet

    quiet()
    adapters = adapters_of(checkpoints)
    base = AutoModelForImageTextToText.from_pretrained(model, dtype="auto", low_cpu_mem_usage=True)
    save_merged(PeftModel.from_pretrained(base, str(adapters)), load_processor(model, frames=2, frame_pixels=1024), output)
    return adapters


def save_merged(adapted: Any, processor: Any, output: Path) -> None:
    """Work a model's adapters into it and write it, with its processor's files, to ``output`` at once."""
    import torch

    with torch.no_grad():
        whole = adapted.merge_and_unload(safe_merge=True)
    staging = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    shutil.rmtree(staging, ignore_errors=True)
    whole.save_pretrained(staging)
    processor.save_pretrained(staging)
    shutil.rmtree(output, ignore_errors=True)
    staging.rename(output)


def main(argv: list[str] | None = None) -> int:
    """Entry point; the exit status is 2 where there is nothing to merge."""
    arguments = parser().parse_args(argv)
    try:
        adapters = merge(arguments.model, arguments.checkpoints, arguments.output)
    except (FileNotFoundError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"merged {adapters} into {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
