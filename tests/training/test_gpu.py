"""The same scripts on a GPU. Skipped where there is none; none was at hand when this was written."""

from __future__ import annotations

import json

import pytest

from pipelines import train
from pipelines.training.machine import find_gpus
from tests.training.conftest import Walk

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not find_gpus(), reason="no GPU here (nvidia-smi lists none)"),
]


@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_a_rehearsal_trains_on_a_gpu_and_tells_its_speed(stage: str, walk: Walk) -> None:
    output = walk.folder / f"gpu-{stage}"
    assert train.main([stage, str(walk.run), "--rehearse", "--gpus", "1", "--output", str(output)]) == 0
    result = json.loads((output / "train.json").read_text())["result"]
    assert result["tokens_per_s"] > 0
    if stage == "sft":
        assert sum(result["losses"][-3:]) < sum(result["losses"][:3]), "in bfloat16 too"
