"""A run folder with as much in it as a launcher looks at, and machines that are not here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.training.checkpoint import Checkpoint
from pipelines.training.checks import _NEEDS
from pipelines.training.job import Job
from pipelines.training.machine import Gpu, Machine
from pipelines.training.recipes import recipe
from schemas import tables

QWEN3_8B = Checkpoint("qwen3_vl", parameters=8.2e9, hidden=4096, layers=36, vocabulary=151936)


def run_folder(root: Path, *, status: str = "finished", frames: int = 32, rows: int = 2) -> Path:
    run = root / "run"
    for table in ("sft", "st_cot", "rft"):
        (run / "publish" / table).mkdir(parents=True)
        data = [
            {"id": f"q{n}", "video": "videos/c.mp4", "messages": [{"role": "user", "content": "<video>\nWhat?"}]}
            for n in range(rows)
        ]
        pq.write_table(pa.Table.from_pylist(data, schema=tables.PUBLISHED[table]), run / "publish" / table / "train-0.parquet")
    (run / "publish" / "videos").mkdir()
    (run / "publish" / "videos" / "c.mp4").write_bytes(b"video")
    report = {"status": status, "run_id": "r1", "config": {"video": {"question_frames": frames}}}
    (run / "run.json").write_text(json.dumps(report))
    return run


def machine(gpus: int = 8, memory_gb: float = 80.0, **other: Any) -> Machine:
    versions = {name: "99.0" for needs in _NEEDS.values() for name in needs} | {"vllm": "99.0", "ms-swift": "4.6.0"}
    values = {"memory_gb": 512.0, "disk_gb": 2000.0, "versions": versions, "programs": frozenset({"swift"})}
    return Machine(tuple(Gpu(n, "GPU", memory_gb) for n in range(gpus)), **values | other)


def trainer(root: Path) -> Path:
    """The files of the paper's fine-tuning code that a launcher looks for; ``train_qwen.py`` tells what it was given."""
    folder = root / "qwen-vl-sft"
    for name, text in {
        "scripts/zero2.json": "{}",
        "qwenvl/__init__.py": "",
        "qwenvl/data/__init__.py": "data_dict = {}\n",
        "qwenvl/train/argument.py": "video_max_frames = video_max_pixels = lora_enable = 1\n",
        "qwenvl/train/trainer.py": "",
        "qwenvl/train/train_qwen.py": (
            "import json, sys\nfrom trainer import __doc__ as _\nfrom qwenvl.data import data_dict\n"
            "if __name__ == '__main__':\n    print(json.dumps({'data': data_dict, 'argv': sys.argv[1:]}))\n"
        ),
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def job(run: Path, stage: Any = "sft", backend: Any = "trl", *assignments: str, **changed: Any) -> Job:
    r = recipe(stage, assignments=assignments)
    served = stage == "grpo" and backend != "trl"
    values = {
        "model": "Qwen/Qwen3-VL-8B-Instruct", "model_type": "qwen3_vl", "gpus": tuple(range(r.gpus + r.rollout_gpus * served)),
        "output": run / "train" / "out",
    }  # fmt: skip
    return Job(stage=stage, backend=backend, run=run, recipe=r, **values | changed)
