"""The same line on Ray: equal bytes, nothing lost in silence, and a real head that takes a job."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pipelines import ray_runner
from pipelines.build import main
from pipelines.ledger import Ledger
from pipelines.run import Refused
from tests.pipelines.fakes import make_input
from tests.pipelines.test_run import build, calls, hashes, report, start, wait_for

ROOT = Path(__file__).resolve().parents[2]
RAY = Path(importlib.util.find_spec("ray").submodule_search_locations[0])  # type: ignore[union-attr,index]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A Ray cluster of this process, for all tests of the module; the runner's own start and stop are skipped."""
    import ray

    before = os.environ.get("RAY_AUTH_MODE")
    os.environ["RAY_AUTH_MODE"] = "disabled"
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
        runtime_env={"env_vars": environment},
    )  # fmt: skip
    yield
    ray.shutdown()
    os.environ.pop("RAY_AUTH_MODE")
    if before is not None:
        os.environ["RAY_AUTH_MODE"] = before


@pytest.fixture
def stay(cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs leave the module's cluster up."""
    monkeypatch.setattr(ray_runner.RayRunner, "close", lambda self: None)


@pytest.mark.slow
def test_ray_publishes_the_bytes_that_the_local_runner_publishes(tmp_path: Path, stay: None) -> None:
    source = make_input(
        tmp_path / "in",
        a={"clips": 3},
        b={"clips": 2},
        native={"at": "cameras", "does": "segfault"},
        dull={"at": "objects", "does": "reject"},
        hung={"at": "objects", "does": "hang", "pids": str(tmp_path / "pids")},
        unplannable={"at": "source", "does": "abort"},
    )
    options: dict[str, Any] = {"shards": {"bench_share": 0.4}}
    limits = {"clip_timeout_s": 4.0, "max_failure_rate": 1.0}
    assert build(source, tmp_path / "ray", run={"runner": "ray", "workers": 2, **limits}, **options) == 0
    assert build(source, tmp_path / "local", run={"workers": 1, **limits}, **options) == 0
    assert hashes(tmp_path / "ray") == hashes(tmp_path / "local")
    ours, theirs = report(tmp_path / "ray"), report(tmp_path / "local")
    assert ours["clips"] == theirs["clips"] and ours["sources"] == theirs["sources"]
    for stage, counts in ours["stages"].items():
        assert {k: counts[k] for k in ("ok", "rejected", "failed")} == {
            k: theirs["stages"][stage][k] for k in ("ok", "rejected", "failed")
        }
    calls(tmp_path / "ray")
    assert build(source, tmp_path / "ray", run={"runner": "ray", "workers": 2, **limits}, **options) == 0
    assert calls(tmp_path / "ray") == {}


@pytest.mark.slow
def test_a_clip_that_takes_its_worker_along_is_lost_alone_and_tried_again(tmp_path: Path, stay: None) -> None:
    flag = tmp_path / "flag"
    source = make_input(tmp_path / "in", good={"clips": 3}, killer={"at": "objects", "does": "kill_worker"})
    out, options = tmp_path / "out", {"runner": "ray", "workers": 1, "max_failure_rate": 1.0, "max_attempts": 2}
    assert build(source, out, run=options) == 0
    found = report(out)
    assert found["clips"] == {"planned": 4, "kept": 3, "rejected": 0, "failed": 1, "pending": 0}
    assert found["stages"]["objects"]["failed"] == {"worker_lost": 1}
    (clip_id,) = [
        c.name for c in (out / "clips").iterdir() if (r := Ledger(out).read("objects", c.name)) and r.outcome == "failed"
    ]
    assert len([line for line in (out / "calls" / "objects").read_text().split() if line == clip_id]) == 2, "one retry, not more"
    flag.write_text("")
    (source / "killer.fake").write_text((source / "killer.fake").read_text())
    calls(out)
    assert build(source, out, run=options) == 0
    assert calls(out)["objects"] == 2, "a lost worker is no fault of the clip: it is tried without --retry-failed"
    assert build(source, out, run=options) == 0
    assert calls(out) == {}, "but not more than max_attempts times"


@pytest.mark.slow
def test_a_terminated_driver_leaves_a_run_to_continue(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    slow = {"at": "objects", "does": "slow", "seconds": 100, "flag": str(flag)}
    source, out = make_input(tmp_path / "in", a={}, slow=slow), tmp_path / "out"
    process = start(source, out, runner="ray", environment={"RAY_AUTH_MODE": "disabled"})
    wait_for(flag, 90)
    time.sleep(1)
    process.terminate()
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert report(out)["status"] == "interrupted" and "the same command continues" in said
    calls(out)
    assert build(source, out) == 0
    assert calls(out)["objects"] <= 2 and report(out)["clips"]["kept"] == 2


@pytest.mark.slow
def test_a_clip_that_no_node_can_hold_is_refused_before_the_start(tmp_path: Path, stay: None) -> None:
    source = make_input(tmp_path / "in", a={})
    with pytest.raises(Refused, match=r"expected a node with .*'GPU': 2.*run.gpus_per_clip.*the cluster has"):
        build(source, tmp_path / "out", run={"runner": "ray", "gpus_per_clip": 2.0})


@pytest.mark.parametrize(("source", "output"), [("in", "/abs"), ("/abs", "out")])
def test_relative_paths_are_refused_in_a_submitted_job(monkeypatch: pytest.MonkeyPatch, source: str, output: str) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    with pytest.raises(Refused, match="expected an absolute --(in|out)put under `ray job submit`"):
        build(source, output, run={"runner": "ray"})  # type: ignore[arg-type]


def test_the_cluster_file_is_one_that_the_installed_ray_accepts() -> None:
    schema = json.loads((RAY / "autoscaler" / "ray-schema.json").read_text())
    cluster = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
    jsonschema.validate(cluster, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**cluster, "head_nod_type": "head"}, schema)
    types = cluster["available_node_types"]
    assert cluster["head_node_type"] in types and {"cpu_worker", "gpu_worker"} <= set(types)
    assert all(
        types[name]["min_workers"] <= types[name]["max_workers"] <= cluster["max_workers"] for name in types if name != "head"
    )


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture
def head(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A real head with token authentication; yields the environment of a client. It is ended whatever happens."""
    scripts = Path(sys.executable).parent
    token = "0123456789abcdef" * 4
    environment = {
        **os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "RAY_DISABLE_IMPORT_WARNING": "1", "RAY_USAGE_STATS_ENABLED": "0",
    }  # fmt: skip
    environment.pop("RAY_ADDRESS", None)
    temporary = Path("/tmp") / f"ray-test-{os.getpid()}"  # socket paths must be short
    port, dashboard, agent, client = free_ports(4)
    command = [
        "ray", "start", "--head", "--block", f"--port={port}", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1",
        f"--ray-client-server-port={client}", f"--dashboard-agent-listen-port={agent}", f"--temp-dir={temporary}", "--num-cpus=2",
        "--node-ip-address=127.0.0.1", "--disable-usage-stats",
    ]  # fmt: skip
    log = (tmp_path / "head.log").open("wb")
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", dashboard)) == 0:
                    break
            time.sleep(0.5)
        assert process.poll() is None, (tmp_path / "head.log").read_text()[-3000:]
        yield {**environment, "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}"}
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
        log.close()
        shutil.rmtree(temporary, ignore_errors=True)


def tiny_video(folder: Path) -> Path:
    """Four seconds of a drifting texture, seen by one eye."""
    import av
    import cv2
    import numpy as np

    folder.mkdir()
    texture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (160, 400, 3)).astype(np.uint8), (0, 0), 2) * 2
    with av.open(str(folder / "pan.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 192, 144, "yuv420p"
        for n in range(40):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(texture[8:152, 4 * n : 4 * n + 192]), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return folder


@pytest.mark.slow
def test_a_submitted_job_builds_on_a_real_head_with_a_token(tmp_path: Path, head: dict[str, str]) -> None:
    source, out = tiny_video(tmp_path / "in"), tmp_path / "out"
    working_dir = tmp_path / "code"
    for name in ("curation", "pipelines", "schemas"):
        shutil.copytree(ROOT / name, working_dir / name, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--set", "run.max_failure_rate=1", "--set", "shards.bench_share=0"]

    def submit(output: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        job = [sys.executable, "-m", "pipelines.build", "--input", str(source), "--output", output, "--runner", "ray", *options]
        call = ["ray", "job", "submit", "--working-dir", str(working_dir), "--", *job]
        return subprocess.run(call, env=environment, capture_output=True, text=True, timeout=200, check=False)

    done = submit(str(out), head)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    found = report(out)
    assert found["status"] == "finished" and found["config"]["run"]["runner"] == "ray" and found["clips"]["planned"] == 1
    assert head["RAY_AUTH_TOKEN"] not in (out / "run.json").read_text() + done.stdout
    assert main(["--input", str(source), "--output", str(tmp_path / "local"), "--workers", "1", *options]) == 0
    local = report(tmp_path / "local")
    assert local["clips"] == found["clips"] and local["run_id"] == found["run_id"]
    assert hashes(out) == hashes(tmp_path / "local")
    refused = submit("relative/out", head)
    assert refused.returncode != 0 and "expected an absolute --output" in refused.stdout + refused.stderr
    without = submit(str(tmp_path / "other"), {**head, "RAY_AUTH_TOKEN": "f" * 64})
    assert without.returncode != 0 and not (tmp_path / "other").exists(), "a wrong token must be turned away"
