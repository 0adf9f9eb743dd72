"""The commands are those of the paper, and say the same to every backend."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.training.backends import RENDER
from pipelines.training.elsewhere import ray_command, slurm_script
from pipelines.training.job import ROOT, Job, Process
from pipelines.training.machine import Gpu, parse_gpus, visible
from pipelines.training.recipes import BadRecipe, recipe
from tests.training.fabricated import job, run_folder, trainer


def flags(process: Process) -> dict[str, str]:
    words = list(process.argv)
    return {word.removeprefix("--"): words[n + 1] for n, word in enumerate(words[:-1]) if word.startswith("--")}


@pytest.mark.parametrize(
    ("stage", "samples", "steps", "rate", "warmup"),
    [("sft", 2_000_000, 30_000, 2e-5, 0.01), ("cold-start", 7_000, 200, 2e-5, 0.03), ("grpo", 30_000 * 12, 15_000, 5e-5, 0.001)],
)
def test_presets_are_the_papers(stage: str, samples: int, steps: int, rate: float, warmup: float) -> None:
    r = recipe(stage)  # type: ignore[arg-type]
    assert samples / r.global_batch == pytest.approx(steps, rel=0.1)
    assert (r.learning_rate, r.warmup, r.lora_rank, r.lora_alpha, r.frames, r.epochs) == (rate, warmup, 128, 256, 32, 1)
    assert r.global_batch == r.per_device * r.gpus, "without accumulation on the paper's GPUs"


def test_the_public_scripts_differ_from_the_paper_in_reinforcement_only() -> None:
    for stage in ("sft", "cold-start"):
        assert recipe(stage, "script") == recipe(stage, "paper")  # type: ignore[arg-type]
    script, paper = recipe("grpo", "script"), recipe("grpo", "paper")
    assert (script.beta, script.learning_rate, script.weights) == (0.001, 1e-4, "code")
    assert (paper.beta, paper.generations, paper.temperature, paper.max_completion) == (0.1, 12, 1.0, 4096)


def test_values_are_overridden_by_name_and_nonsense_is_refused() -> None:
    assert recipe("sft", assignments=["learning_rate=1e-5", "frames=16", "tune_projector=false"]).learning_rate == 1e-5
    for wrong in ("learning_rat=1", "frames", "frames=many", "beta=-1", "learning_rate=0"):
        with pytest.raises(BadRecipe, match=wrong.partition("=")[0]):
            recipe("grpo", assignments=[wrong])


def test_fewer_gpus_accumulate_to_the_same_batch(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    for gpus in (1, 2, 4, 8):
        made = job(run, gpus=tuple(range(gpus)))
        assert made.accumulation * made.recipe.per_device * made.processes == 64


def test_a_job_survives_its_way_to_another_process(tmp_path: Path) -> None:
    made = job(run_folder(tmp_path), "grpo", resume=tmp_path / "checkpoint-3", trainer=tmp_path)
    assert Job.from_json(json.loads(json.dumps(made.to_json()))) == made


def test_trl_is_spread_over_the_gpus_and_told_all_by_one_file(tmp_path: Path) -> None:
    launch = RENDER["trl"](job(run_folder(tmp_path), gpus=(2, 5)))
    assert launch.trainer.env["CUDA_VISIBLE_DEVICES"] == "2,5" and "--nproc_per_node=2" in launch.trainer.argv
    ((file, text),) = launch.files.items()
    assert launch.trainer.argv[-1] == str(file) and Job.from_json(json.loads(text)).recipe == recipe("sft")
    alone = RENDER["trl"](job(run_folder(tmp_path / "b"), "grpo", gpus=()))
    assert alone.trainer.argv[1:3] == ("-m", "pipelines.training.trl_grpo") and alone.trainer.env["CUDA_VISIBLE_DEVICES"] == ""


def test_ms_swift_gets_its_own_words_for_the_recipe(tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    for stage, form in (("sft", "ms-swift-sft"), ("cold-start", "ms-swift-sft"), ("grpo", "ms-swift-grpo")):
        made = job(run, stage, "ms-swift", resume=Path("/c/checkpoint-9"))
        launch = RENDER["ms-swift"](made)
        given = flags(launch.trainer)
        assert given["tuner_type"] == "lora" and given["model_type"] == "qwen3_vl" and given["add_version"] == "false"
        assert (given["freeze_vit"], given["freeze_aligner"]) == ("true", "false")
        assert given["resume_from_checkpoint"] == "/c/checkpoint-9" and float(given["learning_rate"]) == made.recipe.learning_rate
        assert launch.trainer.env["FPS_MIN_FRAMES"] == launch.trainer.env["FPS_MAX_FRAMES"] == "32"
        export = flags(launch.before[0])
        assert export["format"] == form and export["output"] == given["dataset"]
    old = flags(RENDER["ms-swift"](job(run, "sft", "ms-swift", swift=3)).trainer)
    assert old["train_type"] == "lora" and "tuner_type" not in old


@pytest.mark.parametrize("backend", ["ms-swift", "mllm4d"])
def test_reinforcement_has_a_server_on_a_gpu_of_its_own_that_sees_the_same(backend: str, tmp_path: Path) -> None:
    launch = RENDER[backend](job(run_folder(tmp_path), "grpo", backend, port=8123))  # type: ignore[index]
    assert launch.server is not None
    server, given = flags(launch.server), flags(launch.trainer)
    assert launch.server.env["CUDA_VISIBLE_DEVICES"] == "0" and launch.trainer.env["CUDA_VISIBLE_DEVICES"] == "1,2,3,4,5,6"
    assert launch.trainer.env["NPROC_PER_NODE"] == "6" and server["port"] == given["vllm_server_port"] == "8123"
    assert launch.server.health == "http://127.0.0.1:8123/health/" and server["model"] == given["model"]
    seen = [{k: v for k, v in p.env.items() if k.startswith(("FPS", "VIDEO", "MAX"))} for p in (launch.server, launch.trainer)]
    assert seen[0] == seen[1] and seen[0]["VIDEO_MAX_TOKEN_NUM"] == "49"  # 50176 / 32^2
    assert given["reward_funcs"] == "mllm4d_st_paper" and Path(given["external_plugins"]).is_file()
    assert given["reward_funcs"] in Path(given["external_plugins"]).read_text()
    assert (given["num_generations"], given["beta"], given["max_completion_length"]) == ("12", "0.1", "4096")


def test_the_papers_trainer_sees_all_frames_and_finds_the_data_without_being_edited(tmp_path: Path) -> None:
    folder = trainer(tmp_path)
    made = job(run_folder(tmp_path), "sft", "mllm4d", trainer=folder, gpus=(0,))
    launch = RENDER["mllm4d"](made)
    given = flags(launch.trainer)
    assert given["video_max_frames"] == given["video_min_frames"] == "32" and given["video_max_pixels"] == str(32 * 50176)
    assert launch.trainer.cwd == folder and given["deepspeed"] == "./scripts/zero2.json"
    entry = next(path for path in launch.files if path.name == "entry.py")
    entry.parent.mkdir(parents=True, exist_ok=True)
    entry.write_text(launch.files[entry])
    said = subprocess.run([sys.executable, str(entry), "--x", "1"], cwd=folder, capture_output=True, text=True, check=True).stdout
    told = json.loads(said)
    assert told["argv"] == ["--x", "1"]
    about = told["data"][given["dataset_use"]]
    assert about["annotation_path"] == flags(launch.before[0])["output"] and about["data_path"] == str(made.run / "publish")
    per_frame = flags(RENDER["mllm4d"](job(made.run, "sft", "mllm4d", trainer=folder, model_type="qwen2_5_vl")).trainer)
    assert per_frame["video_max_pixels"] == "50176", "of one frame there, of all frames in Qwen3-VL"


def test_the_merged_models_name_is_one_that_the_papers_trainer_reads_right(tmp_path: Path) -> None:
    from pipelines.training.checks import of_name

    run = run_folder(tmp_path)
    for kind in ("qwen3_vl", "qwen3_vl_moe", "qwen2_5_vl"):
        merged = job(run, model_type=kind).merged
        assert not list(of_name(f"/runs/x/{merged.name}", kind))


def test_the_printed_script_is_a_shell_script_that_says_the_same(tmp_path: Path) -> None:
    launch = RENDER["ms-swift"](job(run_folder(tmp_path), "grpo", "ms-swift"))
    script = launch.script()
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert launch.trainer.shell() in script and f"{launch.server.shell()} &" in script  # type: ignore[union-attr]
    assert re.search(r"trap 'kill \$server' EXIT", script)
    echo = Process("echo", ("printf", "%s|", "a b", '{"image": 0}', "$HOME"), {"X": "1 2"}, cwd=tmp_path)
    done = subprocess.run(["bash", "-c", echo.shell()], capture_output=True, text=True, check=True)
    assert done.stdout == 'a b|{"image": 0}|$HOME|'


def test_on_a_cluster_the_same_call_runs_there_with_its_gpus() -> None:
    words = ["sft", "/data/run", "--gpus", "8"]
    ray = ray_command(words, gpus=8, cpus=64, extra=["--submission-id", "x"])
    assert ray[1:3] == ["job", "submit"] and ray[-6:] == ["-m", "pipelines.train", *words]
    assert ray[ray.index("--entrypoint-num-gpus") + 1] == "8" and "--submission-id" in ray
    assert ray[ray.index("--working-dir") + 1] == str(ROOT)
    script = slurm_script(words, name="n", log=Path("/data/run/l.log"), gpus=8, cpus=64, extra=["--partition=gpu"])
    assert "#SBATCH --gpus-per-node=8" in script and "#SBATCH --partition=gpu" in script and "#SBATCH --requeue" in script
    assert script.splitlines()[-1].endswith("-m pipelines.train sft /data/run --gpus 8")


def test_gpus_are_read_from_the_drivers_table_and_a_scheduler_may_hide_some() -> None:
    gpus = parse_gpus("0, NVIDIA H100 80GB HBM3, 81559\n1, NVIDIA H100 80GB HBM3, 81559\n")
    assert [gpu.index for gpu in gpus] == [0, 1] and gpus[0].memory_gb == pytest.approx(79.6, abs=0.1)
    assert parse_gpus("No devices were found\n") == ()
    assert visible(gpus, None) == gpus and visible(gpus, "") == () and visible(gpus, "1") == gpus[1:]
    assert visible((Gpu(0, "a", 1),), "GPU-8f2c") == (Gpu(0, "a", 1),)
