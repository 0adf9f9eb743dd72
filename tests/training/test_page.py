"""docs/from-videos-to-model.md does what it says."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from pipelines.training.record import KEY
from tests.training.conftest import PAGE, Walk, call, commands

ROOT = PAGE.parents[1]
GPU = commands("gpu")
pytestmark = pytest.mark.timeout(1200)  # the first test that asks for it walks the whole page


@pytest.mark.slow
def test_every_command_of_the_page_works(walk: Walk) -> None:
    assert {line: walk.outputs.get(line, (None, "not reached"))[0] for line in commands("")} == dict.fromkeys(commands(""), 0)


@pytest.mark.slow
@pytest.mark.parametrize("line", GPU)
def test_every_command_that_needs_a_gpu_works_up_to_there(
    line: str, walk: Walk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(walk.folder)
    if "pipelines.train" not in line:
        module = __import__(shlex.split(line)[2], fromlist=["parser"])
        module.parser().parse_args(shlex.split(line)[3:])  # leaves by SystemExit where an option does not exist
        return
    assert call(line, "--dry-run") == 0
    said = capsys.readouterr().out
    assert re.search(r"trl_(sft|grpo)|swift (sft|rlhf)|entry\.py|#SBATCH|job submit", said)
    assert "--on" in line or "against it" in said, "this machine has no GPU: the dry run must say so"


def test_the_page_has_commands_of_every_kind() -> None:
    assert len(commands("")) >= 8 and len(GPU) >= 8 and commands("setup")
    fences = re.findall(r"^```(.+)$", PAGE.read_text(), flags=re.MULTILINE)
    assert set(fences) == {"bash", "bash gpu", "bash setup"}, "a fence of another kind would not be tested"


def test_what_is_installed_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = re.findall(r"\.\[([a-z,]+)\]", "\n".join(commands("setup")))
    assert asked and all(name in extras for names in asked for name in names.split(","))
    assert "-c constraints.txt" in "\n".join(commands("setup")) and (ROOT / "constraints.txt").is_file()


@pytest.mark.slow
def test_run_json_lists_the_trainings_even_after_a_build(walk: Walk) -> None:
    listed = json.loads((walk.run / "run.json").read_text())[KEY]
    assert {entry["name"]: entry["status"] for entry in listed} == {
        "cold-start-rehearsal": "finished", "grpo-rehearsal": "finished", "sft-rehearsal": "finished",
    }  # fmt: skip
    sft = next(entry for entry in listed if entry["stage"] == "sft")
    assert sft["recipe"]["frames"] == 32 and len(sft["result"]["losses"]) == sft["result"]["steps"] == 12


@pytest.mark.slow
def test_training_after_a_build_is_not_repeated_when_nothing_changed(walk: Walk) -> None:
    status, said = walk.outputs[commands("")[-1]]
    assert status == 0 and "nothing was left to do" in said.split("sft finished")[1]


@pytest.mark.slow
def test_each_stage_started_from_the_model_of_the_one_before(walk: Walk) -> None:
    models = {
        name: json.loads((walk.run / "train" / f"{name}-rehearsal" / "train.json").read_text())
        for name in ("sft", "cold-start", "grpo")
    }
    assert Path(models["cold-start"]["model"]) == Path(models["sft"]["merged"])
    assert Path(models["grpo"]["model"]) == Path(models["cold-start"]["merged"])
    assert (Path(models["grpo"]["merged"]) / "model.safetensors").is_file()
