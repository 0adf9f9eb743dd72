"""What would fail, or teach the wrong thing, is said before it starts."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from pipelines import train
from pipelines.training.checkpoint import Checkpoint, is_whole, read_checkpoint, saved_steps, set_aside_broken
from pipelines.training.checks import gpu_memory_gb, problems
from pipelines.training.recipes import recipe
from tests.training.fabricated import QWEN3_8B, job, machine, run_folder, trainer


def against(made: Any, checkpoint: Checkpoint = QWEN3_8B, **of_machine: Any) -> str:
    return "\n".join(problems(made, checkpoint, machine(**of_machine)))


@pytest.mark.parametrize("stage", ["sft", "cold-start", "grpo"])
@pytest.mark.parametrize("backend", ["trl", "ms-swift", "mllm4d"])
def test_nothing_speaks_against_the_papers_machine(stage: str, backend: str, tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    made = job(run, stage, backend, trainer=trainer(tmp_path), port=18231)
    assert against(made) == ""


def test_each_fault_of_the_data_is_named(tmp_path: Path) -> None:
    assert "expected a run folder with run.json" in against(job(tmp_path))
    assert "'interrupted': finish it first" in against(job(run_folder(tmp_path / "a", status="interrupted")))
    said = against(job(run_folder(tmp_path / "b", frames=16)))
    assert "the questions count 16 frames" in said and "--set frames=16" in said
    assert "no training rows" in against(job(run_folder(tmp_path / "c", rows=0)))
    run = run_folder(tmp_path / "d")
    (run / "publish" / "videos" / "c.mp4").unlink()
    assert "1 of 1 videos are not in" in against(job(run))


def test_a_video_that_does_not_fit_the_context_is_refused(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    assert "more than max_length=8192" in against(job(run, "sft", "trl", "frame_pixels=600000", "per_device=1"))


def test_adapters_foreign_families_and_missing_models_are_refused(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    folder = tmp_path / "model"
    folder.mkdir()
    assert "expected config.json" in read_checkpoint(str(folder)).problem
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "Qwen/Base"}))
    said = against(job(run, model=str(folder)), read_checkpoint(str(folder)))
    assert "holds adapters of Qwen/Base only" in said and "pipelines.training.merge" in said
    (folder / "config.json").write_text(json.dumps({"model_type": "llava"}))
    assert "is 'llava'" in against(job(run, model=str(folder)), read_checkpoint(str(folder)))
    assert "found nothing at" in read_checkpoint(str(tmp_path / "nowhere")).problem
    absent = read_checkpoint("Qwen/Qwen3-VL-No-Such-Model")
    assert "cannot be had" in absent.problem and absent.model_type == "qwen3_vl"


@pytest.mark.parametrize(
    ("path", "kind", "right"),
    [
        ("/m/Qwen3-VL-8B-Instruct", "qwen3_vl", True),
        ("/m/mllm4d-sft", "qwen3_vl", False),  # Qwen2-VL would be loaded
        ("/m/qwen3-vl-sft-cold-start", "qwen3_vl", False),  # an "a": the mixture of experts
        ("/m/qwen3/sft", "qwen3_vl", True),
        ("/m/Qwen2.5-VL-7B-Instruct", "qwen2_5_vl", True),
        ("/qwen3/Qwen2.5-VL-7B", "qwen2_5_vl", False),
        ("/m/Qwen3-VL-30B-A3B", "qwen3_vl_moe", True),
    ],
)
def test_a_path_that_the_papers_trainer_would_misread_is_refused(path: str, kind: str, right: bool, tmp_path: Path) -> None:
    made = job(run_folder(tmp_path), "sft", "mllm4d", model=path, model_type=kind, trainer=trainer(tmp_path))
    said = against(made, Checkpoint(kind, parameters=1e9, hidden=1024, layers=8, vocabulary=1000))
    assert ("guesses the class from the path" not in said) == right


def test_gpus_memory_and_disk_are_weighed(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    assert "expected 8 GPUs (0, 1, 2, 3, 4, 5, 6, 7), found 0, 1" in against(job(run), gpus=2)
    assert "needs GPUs, 0 found here" in against(job(run, gpus=()), gpus=0)
    assert "ms-swift needs GPUs" in against(job(run, "sft", "ms-swift", gpus=()), gpus=0)
    assert "GPU has 16" in against(job(run), memory_gb=16.0)
    assert "are free" in against(job(run), disk_gb=5.0)
    assert "none is left to train on" in against(job(run, "grpo", "ms-swift", gpus=(0,)), gpus=1)
    few, many = (gpu_memory_gb(job(run, "sft", "trl", f"per_device={n}"), QWEN3_8B) for n in (1, 8))
    assert 17 < few < many < 80, "the weights alone are 15 GiB; the paper's GPUs had 80"


def test_batches_must_come_out_even(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    assert "--set per_device=" not in against(job(run, gpus=(0, 1, 2, 3)))
    assert "is no multiple of per_device=8 x 7 processes" in against(job(run, gpus=tuple(range(7))))
    assert "--set per_device=4" in against(job(run, "sft", "trl", "per_device=5", gpus=(0, 1)))
    assert "no multiple of generations=5" in against(job(run, "grpo", "trl", "generations=5"))


def test_packages_the_command_the_checkout_and_the_port_are_looked_for(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    old = machine().versions | {"trl": "0.9.1"}
    assert "trl needs trl 1.10 or later, found 0.9.1" in against(job(run), versions=old)
    bare = {name: found for name, found in machine().versions.items() if name != "vllm"}
    assert "needs vllm 0.11" in against(job(run, "grpo", "ms-swift"), versions=bare)
    assert "command `swift`" in against(job(run, "sft", "ms-swift"), programs=frozenset())
    assert "needs --trainer DIR" in against(job(run, "sft", "mllm4d"))
    folder = trainer(tmp_path)
    (folder / "qwenvl" / "train" / "argument.py").write_text("lora_enable = 1")
    assert "has no option video_max_frames" in against(job(run, "sft", "mllm4d", trainer=folder))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} of the rollout server is taken" in against(job(run, "grpo", "ms-swift", port=port))


def weights(path: Path, size: int = 16) -> None:
    head = json.dumps({"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(size))


def test_a_checkpoint_that_a_kill_cut_short_is_not_taken_up(tmp_path: Path) -> None:
    for step in (5, 10, 15, 20):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        weights(folder / "adapter_model.safetensors")
        (folder / "trainer_state.json").write_text("{}")
    (tmp_path / "checkpoint-20" / "trainer_state.json").unlink()
    cut = tmp_path / "checkpoint-15" / "adapter_model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-1])
    assert [step for step, _ in saved_steps(tmp_path)] == [5, 10] and not is_whole(tmp_path / "checkpoint-15")
    assert len(set_aside_broken(tmp_path)) == 2
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-10", "checkpoint-5"]


def test_the_command_refuses_with_reasons_and_a_dry_run_runs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_folder(tmp_path)
    monkeypatch.setattr(train, "look", lambda _: machine(gpus=0))
    assert train.main(["sft", str(run)]) == 2
    assert "against it:" in capsys.readouterr().err and not (run / "train").exists()
    assert train.main(["sft", str(run), "--dry-run"]) == 0
    assert "#!/usr/bin/env bash" in capsys.readouterr().out and not (run / "train").exists()
    assert train.main(["cold-start", str(run)]) == 2
    assert "expected a finished sft below" in capsys.readouterr().err
    assert train.main(["sft", str(run), "--set", "learning_rat=1"]) == 2
    assert "learning_rate" in capsys.readouterr().err
    assert train.main(["sft", str(tmp_path / "none")]) == 2
    assert train.main(["sft", str(run), "--rehearse", "--backend", "ms-swift"]) == 2


def test_other_options_never_go_on_from_a_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_folder(tmp_path)
    folder = run / "train" / "sft-trl"
    checkpoint = folder / "checkpoints" / "checkpoint-5"
    checkpoint.mkdir(parents=True)
    weights(checkpoint / "adapter_model.safetensors")
    (checkpoint / "trainer_state.json").write_text(json.dumps({"global_step": 5, "log_history": []}))
    known = {"status": "interrupted", "model": "Qwen/Qwen3-VL-8B-Instruct", "recipe": recipe("sft").model_dump(), "run_id": "r1"}
    (folder / "train.json").write_text(json.dumps(known))
    monkeypatch.setattr(train, "look", lambda _: machine())
    monkeypatch.setattr("pipelines.training.prepare.read_checkpoint", lambda _: QWEN3_8B)
    assert train.main(["sft", str(run), "--dry-run"]) == 0
    same = capsys.readouterr().out
    assert "checkpoint-5" in same and "another training" not in same
    assert train.main(["sft", str(run), "--dry-run", "--set", "learning_rate=1e-5"]) == 0
    assert "holds checkpoints of another training (learning_rate: 2e-05 -> 1e-05)" in capsys.readouterr().out
