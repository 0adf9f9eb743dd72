"""The same line on Ray: equal bytes, nothing lost in silence, and a real head that takes a job."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pipelines import ray_runner
from pipelines.build import main
from pipelines.config_file import load_config
from pipelines.ledger import Ledger
from pipelines.local_runner import Leg, Task
from pipelines.run import Refused
from schemas.config import RunConfig
from tests.pipelines.fakes import make_input
from tests.pipelines.stores import make_bucket, put_folder, s3_server, tiny_video
from tests.pipelines.test_run import build, calls, hashes, report, start, wait_for

ROOT = Path(__file__).resolve().parents[2]
RAY = Path(importlib.util.find_spec("ray").submodule_search_locations[0])  # type: ignore[union-attr,index]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two nodes on this machine, for all tests of the module; the runner's own start and stop are skipped."""
    import ray
    from ray.cluster_utils import Cluster

    changed = {"RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RAY_DEDUP_LOGS": "0"}
    changed |= {"FAKE_WORKERS": str(tmp_path_factory.mktemp("workers")), "RAY_USAGE_STATS_ENABLED": "0"}
    changed["RAY_worker_niceness"] = "0"  # 15 by default: on a busy machine the nodes then have nearly nothing
    changed["SCRATCH"] = str(tmp_path_factory.mktemp("scratch_of_the_nodes"))
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    store = s3_server()
    store.__enter__()  # the nodes inherit its address and keys
    # Ray takes 14 s to see that a node has gone, this way 5 s. A slow node still has 10 s for each of five answers.
    notice = {"health_check_initial_delay_ms": 1000, "health_check_period_ms": 1000, "health_check_failure_threshold": 5}
    head = {"num_cpus": 2, "include_dashboard": False, "_system_config": notice}
    nodes = started(lambda: Cluster(initialize_head=True, head_node_args=head))
    started(lambda: nodes.add_node(num_cpus=1, num_gpus=1))  # a GPU in name: Ray hands it out, the fake stages do not touch it
    nodes.wait_for_nodes()
    ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
    yield nodes
    ray.shutdown()
    nodes.shutdown()
    store.__exit__(None, None, None)
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)


def started(start: Callable[[], Any], attempts: int = 5) -> Any:
    """Ray gives the helpers of a new node 15 s to report; on a busy machine that takes several tries."""
    for attempt in range(attempts):
        try:
            return start()
        except Exception as error:
            if "timed out during startup" not in str(error) or attempt == attempts - 1:
                raise
    raise AssertionError


TWO_NODES = {"CPU": 3.0, "GPU": 1.0}


@contextmanager
def a_node_more(cluster: Any, **resources: float) -> Iterator[Callable[[], None]]:
    """A node for the length of the block; the yielded call takes it away before. After it, the cluster is as it was."""
    import ray

    nodes = [started(lambda: cluster.add_node(**resources))]
    try:
        yield lambda: cluster.remove_node(nodes.pop(), allow_graceful=False)
    finally:
        for node in nodes:
            cluster.remove_node(node)
        deadline = time.monotonic() + 60
        while any(ray.cluster_resources().get(name) != count for name, count in TWO_NODES.items()):
            assert time.monotonic() < deadline, f"expected {TWO_NODES}, got {ray.cluster_resources()}"
            time.sleep(0.2)


@pytest.fixture
def stay(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs leave the module's cluster up."""
    monkeypatch.setattr(ray_runner.RayRunner, "close", ray_runner.RayRunner._end_conductor)


@pytest.mark.slow
def test_a_clip_that_takes_its_worker_along_is_lost_alone_and_tried_again(tmp_path: Path, stay: None) -> None:
    flag = tmp_path / "flag"
    source = make_input(tmp_path / "in", good={"clips": 3}, killer={"at": "objects", "does": "kill_worker"})
    out, options = tmp_path / "out", {"runner": "ray", "workers": 1, "max_failure_rate": 1.0, "max_attempts": 3}
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
    assert calls(out)["objects"] == 1, "a lost worker is no fault of the clip: it is tried without --retry-failed"
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


def workers(stage: str) -> list[tuple[str, str, float]]:
    """Process, GPU and time of every call of a fake stage since the last look."""
    file = Path(os.environ["FAKE_WORKERS"]) / stage
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return [(pid, gpu.removeprefix("gpu="), float(at)) for pid, gpu, at in (line.split() for line in lines)]


@pytest.mark.slow
def test_ray_publishes_the_bytes_of_the_local_runner_from_actors_with_a_share_of_a_gpu(tmp_path: Path, stay: None) -> None:
    source = make_input(
        tmp_path / "in",
        a={"clips": 6, "at": "cameras", "does": "slow", "seconds": 1.0},
        b={"clips": 2},
        native={"at": "objects", "does": "segfault"},
        dull={"at": "cameras", "does": "reject"},
        hung={"at": "relations", "does": "hang", "pids": str(tmp_path / "pids")},
        unplannable={"at": "source", "does": "abort"},
    )
    options: dict[str, Any] = {"shards": {"bench_share": 0.4}, "objects": {"backend": "sam3"}}
    limits = {"clip_timeout_s": 4.0, "max_failure_rate": 1.0}
    for stage in ("cameras", "objects", "questions"):
        workers(stage)  # of the tests before
    assert build(source, tmp_path / "ray", run={"runner": "ray", **limits}, **options) == 0
    did = {stage: workers(stage) for stage in ("cameras", "objects", "questions")}
    assert {gpu for _, gpu, _ in did["objects"]} == {"0"} and {gpu for _, gpu, _ in did["cameras"]} == {""}
    assert len(did["objects"]) == 10, "the clip that was rejected before never reached it"
    assert len({pid for pid, _, _ in did["objects"]}) <= 3, "few processes keep the model: two actors, and one after the crash"
    assert len({pid for pid, _, _ in did["cameras"]}) == 11, "plain stages have a process per clip"
    # Not of a later stage: the clip that hangs may hold its place there until all objects are done.
    first_object, last_camera = min(at for *_, at in did["objects"]), max(at for *_, at in did["cameras"])
    assert first_object < last_camera, "clips stream through the stages, none waits for all"
    ours = report(tmp_path / "ray")
    assert ours["clips"] == {"planned": 11, "kept": 8, "rejected": 1, "failed": 2, "pending": 0}
    assert ours["stages"]["objects"]["failed"] == {"crashed": 1} and ours["stages"]["relations"]["failed"] == {"timeout": 1}
    assert build(source, tmp_path / "local", run={"workers": 1, **limits}, **options) == 0
    assert len({pid for pid, _, _ in workers("objects")}) <= 3, "on one machine too"
    assert hashes(tmp_path / "ray") == hashes(tmp_path / "local")
    theirs = report(tmp_path / "local")
    assert ours["clips"] == theirs["clips"] and ours["sources"] == theirs["sources"]
    for stage, counts in ours["stages"].items():
        for outcome in ("ok", "rejected", "failed"):
            assert counts[outcome] == theirs["stages"][stage][outcome], stage
    calls(tmp_path / "ray")
    assert build(source, tmp_path / "ray", run={"runner": "ray", **limits}, **options) == 0
    assert calls(tmp_path / "ray") == {}
    counters = metrics(tmp_path / "ray")
    assert counters['mllm4d_stages_total{stage="objects",outcome="failed",reason="crashed"}'] == 1.0
    assert counters['mllm4d_stages_total{stage="questions",outcome="ok",reason="-"}'] == 8.0


def metrics(run: Path, name: str = "mllm4d_stages", patience_s: float = 30.0) -> dict[str, float]:
    """What the nodes of the cluster tell Prometheus about a run, as soon as there is anything; Ray sends it every 10 s."""
    import ray

    deadline = time.monotonic() + patience_s
    while True:
        found: dict[str, float] = {}
        for node in ray.nodes():
            if node["Alive"]:
                with urllib.request.urlopen(
                    f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics", timeout=10
                ) as page:
                    lines = [line for line in page.read().decode().splitlines() if line.startswith(f"ray_{name}")]
                for line in (line for line in lines if f'run="{run}"' in line):
                    value = line.rpartition(" ")[2]
                    tags = [
                        f'{tag}="{hit[1]}"'
                        for tag in ("stage", "outcome", "reason")
                        if (hit := re.search(f'{tag}="([^"]*)"', line))
                    ]
                    found[f"{line.partition('{')[0].removeprefix('ray_')}{{{','.join(tags)}}}"] = float(value)
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


@pytest.mark.slow
def test_a_node_that_goes_in_mid_run_costs_nothing_but_time(tmp_path: Path, cluster: Any, stay: None) -> None:
    wishes = {f"s{n}": {"n": n, "at": "video", "does": "slow", "seconds": 0.5} for n in range(4)}
    source, out = make_input(tmp_path / "in", **wishes), tmp_path / "out"
    models = {"objects": {"backend": "sam3"}}
    # Nodes come and go by the main thread only.
    with ThreadPoolExecutor(1) as beside, a_node_more(cluster, num_cpus=2, num_gpus=1) as take_away:
        status = beside.submit(build, source, out, run={"runner": "ray", "max_failure_rate": 1.0}, **models)
        wait_for(out / "calls" / "objects", 120)
        time.sleep(1)
        take_away()
        assert status.result(250) == 0
    found = report(out)
    if found["clips"]["failed"]:  # taken along twice: told as lost, tried again by the next run without being asked
        assert {kind for s in found["stages"].values() for kind in s["failed"]} <= {"worker_lost", "no_record"}
        assert build(source, out, run={"runner": "ray"}, **models) == 0
    assert report(out)["clips"] == {"planned": 4, "kept": 4, "rejected": 0, "failed": 0, "pending": 0}
    assert build(source, tmp_path / "local", run={"workers": 2}, **models) == 0
    assert hashes(out) == hashes(tmp_path / "local")


@pytest.mark.slow
def test_a_run_goes_on_when_the_only_node_for_a_model_goes_and_another_comes(
    tmp_path: Path, cluster: Any, stay: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray would wait for ever: it lets tasks and actors stand that nothing can hold any more, and says nothing."""
    import ray

    monkeypatch.setenv("RAY_ADDRESS", cluster.address)  # a cluster that may grow
    monkeypatch.setattr(ray_runner, "QUIET_S", 12.0)
    source, out = make_input(tmp_path / "in", **{f"s{n}": {"n": n} for n in range(4)}), tmp_path / "out"
    (source / "slow.fake").write_text(json.dumps({"at": "objects", "does": "slow", "seconds": 4}))
    models = {"objects": {"backend": "sam3"}}
    with ThreadPoolExecutor(1) as beside, a_node_more(cluster, num_cpus=1, num_gpus=2) as take_away:
        status = beside.submit(build, source, out, run={"runner": "ray", "gpus_per_model": 2.0}, **models)
        wait_for(out / "calls" / "objects", 120)
        time.sleep(1)
        take_away()
        time.sleep(5)
        with a_node_more(cluster, num_cpus=1, num_gpus=2):
            assert status.result(250) == 0
            assert report(out)["clips"] == {"planned": 5, "kept": 5, "rejected": 0, "failed": 0, "pending": 0}
            free, deadline = dict[str, float](), time.monotonic() + 20
            while free != {name: ray.cluster_resources()[name] for name in ("CPU", "GPU")} and time.monotonic() < deadline:
                time.sleep(0.5)
                free = {name: ray.available_resources().get(name, 0.0) for name in ("CPU", "GPU")}
            assert free == {name: ray.cluster_resources()[name] for name in ("CPU", "GPU")}, "nothing of ended executions is left"


@pytest.mark.slow
def test_silence_ends_an_execution_and_the_next_one_has_its_room(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody else holds the only GPU; what would wait for it is ended, with the actor that Ray has queued, and goes again."""
    import ray

    monkeypatch.setattr(ray_runner, "QUIET_S", 3.0)
    monkeypatch.setattr(ray_runner, "FIRST_NEWS_S", 15.0)
    other = ray.remote(num_gpus=1)(Other).remote()
    ray.get(other.here.remote())
    leg = Leg(("objects",), 1.0, 1.0, "objects.backend=sam3")
    tasks = [
        Task(f"t{n}", "tests.pipelines.test_ray:fine", {"stages": ["objects"], "prints": {"objects": ""}}, 30, legs=(leg,))
        for n in range(3)
    ]
    runner = ray_runner.RayRunner(RunConfig(), legs=(leg,))
    conductors = []
    with ThreadPoolExecutor(1) as beside:
        replies = beside.submit(lambda: list(runner.run(tasks)))
        said = ""
        while "they go again" not in said and not replies.done():
            conductors += [runner._conductor] if runner._conductor not in conductors else []
            time.sleep(0.2)
            said += capsys.readouterr().out
        assert re.search("3 of this round had not begun .*nothing was heard from the cluster for 1. s; they go again", said)
        with pytest.raises(ray.exceptions.RayActorError):
            ray.get(conductors[-1].look.remote(0))
        ray.kill(other)
        assert sorted((task.id, reply.result["outcome"]) for task, reply in replies.result(100)) == [
            (f"t{n}", "ok") for n in range(3)
        ]
    runner._end_conductor()


class Other:
    """An actor of another user."""

    def here(self) -> None:
        return None


def fine(payload: dict[str, Any], begin: Any) -> dict[str, Any]:
    """A task that does nothing."""
    begin("objects")
    return {"outcome": "ok", "records": []}


@pytest.mark.slow
def test_nodes_without_a_disk_in_common_work_from_store_to_store(
    tmp_path: Path, stay: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.pipelines.test_store_runs import published

    of_the_nodes = Path(os.environ["SCRATCH"])
    monkeypatch.setenv("SCRATCH", str(tmp_path / "driver"))
    bucket = make_bucket("no-shared-disk")
    source = make_input(tmp_path / "in", a={"clips": 3}, b={"clips": 2}, native={"at": "cameras", "does": "segfault"})
    remote, out = put_folder(source, f"{bucket}/in"), f"{bucket}/out"
    shutil.move(source, tmp_path / "away")
    settings = {"runner": "ray", "max_failure_rate": 1.0, "scratch": "$SCRATCH"}
    assert build(remote, out, run=settings, objects={"backend": "sam3"}) == 0
    assert list((of_the_nodes / "sources").glob("*/left/*.fake")) and not list((of_the_nodes / "work").iterdir())
    assert not [p for p in (tmp_path / "driver").rglob("*") if p.suffix in (".mp4", ".fake", ".npz") and p.stat().st_size]
    assert build(tmp_path / "away", tmp_path / "local", run={"max_failure_rate": 1.0}, objects={"backend": "sam3"}) == 0
    assert published(out) == hashes(tmp_path / "local")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "objects", "words"),
    [
        (
            {"gpus_per_model": 2.0},
            "sam3",
            r"needs 2 GPU for objects \(objects.backend=sam3\), the cluster has 1 .*objects.device=cpu",
        ),
        ({"cpus_per_clip": 3.0}, "motion", r"needs 3 CPU for a clip \(run.cpus_per_clip\), the largest node .* has 2 CPU: set"),
        (
            {"model_workers": 4},
            "sam3",
            r"needs 2 GPU at a time for 4 x objects.*the cluster has 1: set run.model_workers=<fewer>",
        ),
    ],
)
def test_what_the_cluster_lacks_is_said_before_the_start(
    tmp_path: Path, stay: None, settings: dict[str, Any], objects: str, words: str
) -> None:
    source = make_input(tmp_path / "in", a={})
    with pytest.raises(Refused, match=words):
        build(source, tmp_path / "out", run={"runner": "ray", **settings}, objects={"backend": objects})
    assert not (tmp_path / "out" / "calls").exists()


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


def test_the_kubernetes_job_fits_the_command_line_the_pinned_ray_and_its_own_pods() -> None:
    from pipelines.build import parser

    job = yaml.safe_load((ROOT / "docs" / "rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    words = job["spec"]["entrypoint"].split()
    assert words[:3] == ["python", "-m", "pipelines.build"]
    arguments = parser().parse_args(words[3:])
    assert arguments.input.startswith("s3://") and arguments.output.startswith("s3://") and arguments.runner == "ray"
    load_config(None, arguments.assignments)
    cluster = job["spec"]["rayClusterSpec"]
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    assert cluster["rayVersion"] == pinned["ray"]
    groups = {g["groupName"]: g for g in cluster["workerGroupSpecs"]}
    assert set(groups) == {"cpu", "gpu"}
    for group in [cluster["headGroupSpec"], *groups.values()]:
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert container["resources"]["requests"] == container["resources"]["limits"], "Ray reads its resources off the limits"
        assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
        assert group.get("minReplicas", 0) <= group.get("replicas", 0) <= group.get("maxReplicas", 1)
    (gpu,) = groups["gpu"]["template"]["spec"]["containers"]
    assert gpu["resources"]["limits"]["nvidia.com/gpu"] == "1"


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


@pytest.mark.slow
def test_a_submitted_job_builds_on_a_real_head_with_a_token(tmp_path: Path, head: dict[str, str]) -> None:
    source, out = tiny_video(tmp_path / "in"), tmp_path / "out"
    working_dir = tmp_path / "code"
    for name in ("curation", "pipelines", "schemas"):
        shutil.copytree(ROOT / name, working_dir / name, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--set", "run.max_failure_rate=1", "--set", "shards.bench_share=0"]

    def command(output: str) -> str:
        words = ["-m", "pipelines.build", "--input", str(source), "--output", output, "--runner", "ray", *options]
        return shlex.join([sys.executable, *words])

    def submit(job: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        call = ["ray", "job", "submit", "--working-dir", str(working_dir), "--", "bash", "-c", job]
        return subprocess.run(call, env=environment, capture_output=True, text=True, timeout=200, check=False)

    done = submit(f"{command('relative/out')}; [ $? = 2 ] && {command(str(out))}", head)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert "expected an absolute --output" in done.stdout + done.stderr
    found = report(out)
    assert found["status"] == "finished" and found["config"]["run"]["runner"] == "ray" and found["clips"]["planned"] == 1
    assert head["RAY_AUTH_TOKEN"] not in (out / "run.json").read_text() + done.stdout
    assert main(["--input", str(source), "--output", str(tmp_path / "local"), "--workers", "1", *options]) == 0
    local = report(tmp_path / "local")
    assert local["clips"] == found["clips"] and local["run_id"] == found["run_id"]
    assert hashes(out) == hashes(tmp_path / "local")
    without = submit(command(str(tmp_path / "other")), {**head, "RAY_AUTH_TOKEN": "f" * 64})
    assert without.returncode != 0 and not (tmp_path / "other").exists(), "a wrong token must be turned away"
