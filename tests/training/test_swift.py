"""Our exports, plugin and command lines in the hands of the real ms-swift, where an environment has it.

It cannot share one with the present TRL. To make one (no GPU needed), and to use it:

    python -m venv E; E/bin/pip install torch==2.13.0 ms-swift==4.6.0 msgspec qwen-vl-utils av
    E/bin/pip install --no-deps torchvision==0.28.0 torchcodec==0.13.0
    MS_SWIFT_PYTHON=E/bin/python pytest tests/training/test_swift.py
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curation.reasoning import trl_rewards
from curation.shards.export import read
from curation.video.encode import ClipWriter
from curation.video.sampling import question_indices
from pipelines.export import export
from pipelines.training.backends import RENDER
from tests.shards.published import make_dataset, response
from tests.training.fabricated import job, run_folder

PROBE = Path(__file__).with_name("swift_probe.py")
PLUGIN = Path(trl_rewards.__file__).with_name("swift_plugin.py")
FRAMES = 75  # 32 of them are shown


def interpreter() -> str:
    try:
        importlib.metadata.version("ms-swift")
    except importlib.metadata.PackageNotFoundError:
        return os.environ.get("MS_SWIFT_PYTHON", "")
    return sys.executable


pytestmark = [
    pytest.mark.skipif(not interpreter(), reason="ms-swift is not here; MS_SWIFT_PYTHON may name a python that has it"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


def level(frame: int) -> float:
    return 16.0 + 2.8 * frame


def a_video(path: Path) -> bytes:
    """Frames of one grey level each."""
    with ClipWriter(path, 64, 64, 15.0, 18) as writer:
        for n in range(FRAMES):
            writer.add(np.full((64, 64, 3), round(level(n)), np.uint8))
        writer.finish([n / 15 for n in range(FRAMES)])
    return path.read_bytes()


def wrong(text: str, answer: str) -> str:
    return text.replace(f"<answer>{answer}<", f"<answer>{'B' if answer == 'A' else 'A'}<")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ms-swift says of the exports of a small dataset and of the launcher's command lines."""
    root = tmp_path_factory.mktemp("swift")
    folder = make_dataset(root / "publish", clips=1, questions=8, video=a_video(root / "v.mp4"))
    for name, table, form in (
        ("sft", "sft", "ms-swift-sft"),
        ("cot", "st_cot", "ms-swift-sft"),
        ("grpo", "rft", "ms-swift-grpo"),
    ):
        export(folder, form, root / f"{name}.jsonl", table=table)
    rows = {table: list(read.rows(folder, table)) for table in ("sft", "st_cot", "rft")}
    said = [response(row) if n % 2 else wrong(response(row), row["answer"]) for n, row in enumerate(rows["rft"])]
    (root / "completions.json").write_text(json.dumps(said))
    run = run_folder(root)
    launches = {stage: RENDER["ms-swift"](job(run, stage, "ms-swift", resume=root)) for stage in ("sft", "cold-start", "grpo")}
    words = {stage: list(launch.trainer.argv[2:]) for stage, launch in launches.items()}
    words["rollout"] = list(launches["grpo"].server.argv[2:])  # type: ignore[union-attr]
    (root / "arguments.json").write_text(json.dumps(words))
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")} | {"CUDA_VISIBLE_DEVICES": ""}
    env |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "MODELSCOPE_CACHE": str(root / "cache")}
    env |= {k: v for k, v in launches["sft"].trainer.env.items() if k.startswith(("FPS", "VIDEO", "MAX"))}
    command = [interpreter(), str(PROBE), str(root), str(PLUGIN), str(root / "arguments.json")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, env=env, timeout=840)
    assert done.returncode == 0, done.stderr[-4000:]
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("PROBE ")]
    return {**json.loads(line.removeprefix("PROBE ")), "source": rows, "said": said}


@pytest.mark.parametrize(("name", "table"), [("sft", "sft"), ("cot", "st_cot"), ("grpo", "rft")])
def test_its_loader_keeps_every_row_and_its_template_finds_the_question_and_the_video(
    found: dict[str, Any], name: str, table: str
) -> None:
    source = found["source"][table]
    assert found[name]["count"] == len(source) == 8
    for made, row in zip(found[name]["rows"], source, strict=True):
        asked = next(turn["content"] for turn in row["messages"] if turn["role"] == "user").removeprefix("<video>\n")
        assert made["text"].count(asked) == 1 and "<video>" not in made["text"]
        system = [turn["content"] for turn in row["messages"] if turn["role"] == "system"]
        assert all(f"<|im_start|>system\n{text}<|im_end|>" in made["text"] for text in system)
        assert made["video_tokens"] == 16 * 2 * 2, "of 16 pairs of frames, 2 x 2 cells each"
        assert made["text"].count("seconds>") == 16, "every pair has its time"


@pytest.mark.parametrize("name", ["sft", "cot", "grpo"])
def test_the_frames_that_it_shows_are_those_that_questions_count(found: dict[str, Any], name: str) -> None:
    wanted = [level(n) for n in question_indices(FRAMES, 32)]
    for made in found[name]["rows"]:
        assert made["grid"] == [16, 4, 4] and made["levels"] == pytest.approx(wanted, abs=1.6)


def test_answers_alone_are_learned(found: dict[str, Any]) -> None:
    for made, row in zip(found["sft"]["rows"], found["source"]["sft"], strict=True):
        assert made["learned"].strip() == f"{row['answer']}<|im_end|>"
    for made, row in zip(found["cot"]["rows"], found["source"]["st_cot"], strict=True):
        assert made["learned"].strip() == f"{row['response']}<|im_end|>"


def test_its_trainer_finds_our_rewards_and_scores_completions_as_we_do(found: dict[str, Any]) -> None:
    assert set(found["rewards"]) == {f"mllm4d_{name}" for name in ("st", "st_paper", "accuracy", "format", "camera", "object")}
    for name, function in (("mllm4d_st", trl_rewards.st_reward), ("mllm4d_st_paper", trl_rewards.st_reward_paper)):
        ours = function(completions=found["said"], solution=[row["solution"] for row in found["source"]["rft"]])
        assert found["rewards"][name] == pytest.approx(ours, abs=1e-6)
    assert found["rewards"]["mllm4d_st"] == pytest.approx([0.4, 1.0] * 4)


def test_it_knows_every_option_of_the_launcher(found: dict[str, Any]) -> None:
    said = found["arguments"]
    assert set(said) == {"sft", "cold-start", "grpo", "rollout"}
    assert {stage: about["unknown"] for stage, about in said.items()} == dict.fromkeys(said, [])
    for stage, rate in (("sft", 2e-5), ("cold-start", 2e-5), ("grpo", 5e-5)):
        assert (said[stage]["tuner_type"], said[stage]["freeze_vit"], said[stage]["learning_rate"]) == ("lora", True, rate)
