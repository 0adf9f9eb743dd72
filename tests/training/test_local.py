"""Processes of a training: the server lives as long as its trainer, and nothing outlives the launcher."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipelines import train
from pipelines.ledger import Lock
from pipelines.training import elsewhere
from pipelines.training.job import ROOT, Job, Launch, Process
from pipelines.training.local import Ended, carry_out
from tests.training.fabricated import machine, run_folder
from tests.training.test_checks import weights

SERVER = """
import http.server, os, subprocess, sys, time
port, delay, life, mark = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])   # as an engine has workers
open(mark, "w").write(f"{os.getpid()} {helper.pid}")
print("loading", flush=True)
time.sleep(delay)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health/" else 404); self.end_headers()
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", port), Answer)
server.timeout = 0.05
end = time.monotonic() + life
while time.monotonic() < end:
    server.handle_request()
print("CUDA out of memory"); sys.exit(3)
"""


def python(name: str, code: str, *words: str) -> Process:
    return Process(name, (sys.executable, "-c", code, *words))


def server(mark: Path, *, delay: float = 0.0, life: float = 600.0, timeout_s: float = 60.0) -> Process:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = (sys.executable, "-c", SERVER, str(port), str(delay), str(life), str(mark))
    return Process("rollout", words, health=f"http://127.0.0.1:{port}/health/", health_timeout_s=timeout_s)


def alive(mark: Path) -> list[int]:
    pids = [int(word) for word in mark.read_text().split()] if mark.exists() else []
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def gone(mark: Path, within_s: float = 20.0) -> bool:
    deadline = time.monotonic() + within_s
    while alive(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    return mark.exists() and not alive(mark)


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEASH_GRACE_S", "3")


def test_all_is_done_in_order_and_the_trainer_starts_when_the_server_answers(tmp_path: Path) -> None:
    order, mark = tmp_path / "order", tmp_path / "mark"
    write = "import sys; open(sys.argv[1], 'a').write(sys.argv[2])"
    trainer = python("trainer", "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).status)", "")
    rollout = server(mark, delay=0.5)
    trainer = Process("trainer", (*trainer.argv[:-1], rollout.health))
    launch = Launch(
        {tmp_path / "made" / "f": "text"}, (python("export", write, str(order), "1"),), trainer, rollout,
        (python("merge", write, str(order), "2"),),
    )  # fmt: skip
    said: list[str] = []
    carry_out(launch, tmp_path, said.append)
    assert (tmp_path / "made" / "f").read_text() == "text" and order.read_text() == "12"
    assert "200" in said and (tmp_path / "logs" / "trainer.log").read_text().strip() == "200"
    assert gone(mark)


def test_the_server_ends_with_a_trainer_that_crashes(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    crash = python("trainer", "print('loss 1.0'); raise SystemExit('NCCL error')")
    with pytest.raises(Ended, match="(?s)trainer ended with status 1.*NCCL error"):
        carry_out(Launch({}, (), crash, server(mark)), tmp_path, lambda _: None)
    assert gone(mark)


def test_the_trainer_ends_with_a_server_that_crashes(tmp_path: Path) -> None:
    mark, mine = tmp_path / "mark", tmp_path / "mine"
    trainer = python(
        "trainer", "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)", str(mine)
    )
    began = time.monotonic()
    with pytest.raises(Ended, match="(?s)rollout ended with status 3.*CUDA out of memory"):
        carry_out(Launch({}, (), trainer, server(mark, life=4.0)), tmp_path, lambda _: None)
    assert time.monotonic() - began < 60 and gone(mine) and gone(mark)


def test_a_server_that_never_answers_or_dies_while_loading_stops_the_training_before_it_starts(tmp_path: Path) -> None:
    started = python("trainer", "import sys; open(sys.argv[1], 'w')", str(tmp_path / "started"))
    with pytest.raises(Ended, match=r"did not answer at http://127.0.0.1:\d+/health/ within 1 s"):
        carry_out(Launch({}, (), started, server(tmp_path / "a", delay=600, timeout_s=1)), tmp_path, lambda _: None)
    with pytest.raises(Ended, match="rollout ended with status 3"):
        carry_out(Launch({}, (), started, server(tmp_path / "b", life=0)), tmp_path, lambda _: None)
    if (tmp_path / "a").exists():  # else it was ended before it could say who it is
        assert gone(tmp_path / "a")
    assert gone(tmp_path / "b") and not (tmp_path / "started").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_a_launcher_that_is_killed(number: int, tmp_path: Path) -> None:
    mark, mine = tmp_path / "mark", tmp_path / "mine"
    rollout = server(mark)
    wait = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
    code = f"""
import signal, sys
from pathlib import Path
from pipelines.training.job import Launch, Process
from pipelines.training.local import carry_out
def stop(*_): raise KeyboardInterrupt
signal.signal(signal.SIGTERM, stop)
server = Process("rollout", {rollout.argv!r}, health={rollout.health!r}, health_timeout_s=60)
carry_out(Launch({{}}, (), Process("trainer", (sys.executable, "-c", {wait!r}, {str(mine)!r})), server), Path({str(tmp_path)!r}))
"""
    launcher = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (mine.exists() and mine.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive(mine) and len(alive(mark)) == 2
    launcher.send_signal(number)
    launcher.wait(timeout=30)
    assert gone(mine) and gone(mark)


def test_a_command_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(Ended, match="(?s)status 127.*no-such-command cannot be started"):
        carry_out(Launch({}, (), Process("trainer", ("no-such-command",))), tmp_path, lambda _: None)


def test_secrets_of_the_environment_reach_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijklmnop")
    said: list[str] = []
    carry_out(Launch({}, (), python("trainer", "import os; print('key', os.environ['HF_TOKEN'])")), tmp_path, said.append)
    assert "key ***" in (tmp_path / "logs" / "trainer.log").read_text() and "hf_abc" not in "".join(said)


def stand_in(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """A backend whose trainer is a few lines of Python that know whether they ``resume``."""

    def render(job: Job) -> Launch:
        begin = "import sys, time\n" + f"resume = {job.resume is not None}\n"
        return Launch({}, (), python("trainer", begin + code))

    monkeypatch.setitem(train.RENDER, "trl", render)
    monkeypatch.setattr(train, "look", lambda _: machine())
    monkeypatch.setattr("pipelines.training.prepare.problems", lambda *_: [])


def test_what_became_of_a_training_is_recorded_and_it_goes_on_where_it_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_folder(tmp_path)
    stand_in(monkeypatch, "sys.exit('lost a GPU' if not resume else 0)")
    checkpoint = run / "train" / "sft-trl" / "checkpoints" / "checkpoint-5"
    assert train.main(["sft", str(run)]) == 1
    assert "lost a GPU" in capsys.readouterr().err
    first = json.loads((run / "train" / "sft-trl" / "train.json").read_text())
    assert (first["status"], first["exit_status"], first["resumed_from"]) == ("failed", 1, None)
    checkpoint.mkdir(parents=True)
    weights(checkpoint / "adapter_model.safetensors")
    history = [{"loss": 2.0}, {"loss": 1.5}, {"reward": 0.1}]
    (checkpoint / "trainer_state.json").write_text(json.dumps({"global_step": 5, "log_history": history}))
    assert train.main(["sft", str(run)]) == 0
    second = json.loads((run / "train" / "sft-trl" / "train.json").read_text())
    assert second["status"] == "finished" and second["resumed_from"] == str(checkpoint)
    assert second["result"] == {"steps": 5, "losses": [2.0, 1.5], "rewards": [0.1]} and second["earlier_seconds"] > 0
    (listed,) = json.loads((run / "run.json").read_text())["training"]
    assert (listed["name"], listed["status"], listed["stage"]) == ("sft-trl", "finished", "sft")
    assert (run / "train" / "sft-trl" / "launch.sh").is_file() and second["versions"] and second["git"]


def test_two_trainings_never_share_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_folder(tmp_path)
    stand_in(monkeypatch, "")
    with Lock(run / "train" / "sft-trl"):
        assert train.main(["sft", str(run)]) == 2
    assert "another run holds it" in capsys.readouterr().err
    assert train.main(["sft", str(run)]) == 0


def test_an_interrupted_training_says_so_and_keeps_its_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_folder(tmp_path)
    stand_in(monkeypatch, f"import os, signal; os.kill({os.getpid()}, signal.SIGTERM); time.sleep(600)")  # as a scheduler would
    assert train.main(["sft", str(run)]) == train.INTERRUPTED
    assert json.loads((run / "train" / "sft-trl" / "train.json").read_text())["status"] == "interrupted"
    assert "sft interrupted" in capsys.readouterr().out


def commands(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    for name, body in scripts.items():
        file = folder / name
        file.write_text(f"#!/usr/bin/env bash\n{body}\n")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize(("code", "state", "status"), [(0, "COMPLETED", 0), (2, "FAILED", 2), (0, "CANCELLED by 0", 1)])
def test_a_slurm_job_is_followed_to_its_end(
    code: int, state: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, tools = run_folder(tmp_path), tmp_path / "tools"
    tools.mkdir()
    log = run / "train" / "sft-trl" / "logs" / "slurm.log"
    asked = (
        f'n=$(cat {tools}/n 2>/dev/null || echo 0); echo $((n+1)) > {tools}/n; if [ $n -gt 1 ]; then echo "{state}|{code}:0"; '
    )
    asked += f'elif [ $n -gt 0 ]; then echo "step 1" >> {log}; echo "RUNNING|0:0"; fi'
    commands(tools, monkeypatch, sbatch=f"cp $2 {tools}/script; echo 42", sacct=asked)
    monkeypatch.setattr(elsewhere, "_POLL_S", 0.01)
    monkeypatch.setattr(train, "submit_to_slurm", lambda *words: elsewhere.submit_to_slurm(*words, poll_s=0.01))
    assert train.main(["sft", str(run), "--on", "slurm", "--gpus", "2", "--set", "seed=3", "--job-arg=--partition=gpu"]) == status
    said = capsys.readouterr().out
    assert "job 42 is submitted" in said and "\nstep 1\n" in said and f"exit status {code}" in said
    script = (tools / "script").read_text()
    assert "--gpus-per-node=2" in script and "#SBATCH --partition=gpu" in script
    assert f"train sft {run} --backend trl" in script and "--set seed=3" in script and "--on" not in script


def test_a_ray_job_is_submitted_with_its_gpus_and_its_status_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run, tools = run_folder(tmp_path), tmp_path / "tools"
    tools.mkdir()
    commands(tools, monkeypatch, ray='echo "submitted: $@"; exit 1')
    monkeypatch.setenv("RAY_ADDRESS", "http://head:8265")
    assert train.main(["grpo", str(run), "--on", "ray", "--backend", "ms-swift"]) == 1
    said = capfd.readouterr().out
    assert (
        "--address http://head:8265" in said
        and "--entrypoint-num-gpus 7 " in said
        and f"train grpo {run} --backend ms-swift" in said
    )


def test_a_cluster_without_its_command_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(train, "look", lambda _: machine(programs=frozenset()))
    assert train.main(["sft", str(run_folder(tmp_path)), "--on", "slurm"]) == 2
    assert "needs the command sbatch" in capsys.readouterr().err
