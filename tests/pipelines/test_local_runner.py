"""One bad task costs one task."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines import stages
from pipelines.local_runner import WORKER_ENV, Leg, LocalRunner, Reply, Task


def act(payload: dict[str, Any], begin: Callable[[str], None]) -> Any:
    """What a test task does; runs in the child."""
    import ctypes
    import signal
    import subprocess

    begin("first")
    if payload.get("stage"):
        begin(payload["stage"])
    match payload["does"]:
        case "return":
            return {"value": payload.get("value"), "pid": os.getpid()}
        case "raise":
            raise LookupError("nothing there")
        case "segfault":
            ctypes.string_at(0)
        case "abort":
            print("native words", flush=True)
            os.abort()
        case "exit":
            os._exit(3)
        case "kill_host":
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(30)
        case "memory":
            return len(bytearray(payload["bytes"]))
        case "hang":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
            Path(payload["file"]).write_text(f"{os.getpid()} {child.pid}")
            time.sleep(100)
        case "orphan":
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
            return {"children": [p.pid for p in psutil.Process().children()]}
        case "threads":
            host = Path(f"/proc/{os.getppid()}/task")  # the child starts with one thread in any case
            names = sorted((task / "comm").read_text().strip() for task in host.iterdir())
            return {"host": names, "env": {k: os.environ.get(k) for k in WORKER_ENV}, "modules": sorted(sys.modules)}
        case "big":
            return "x" * 3_000_000
        case "loud":
            print("y" * 5_000_000)
            return "done"
    return None


def tasks(*payloads: dict[str, Any], timeout_s: float = 20.0, memory_gb: float = 0.0) -> list[Task]:
    return [Task(str(n), f"{__name__}:act", p, timeout_s, memory_gb) for n, p in enumerate(payloads)]


def replies(work: list[Task], workers: int = 1, preload: tuple[str, ...] = ()) -> list[Reply]:
    runner = LocalRunner(workers, preload)
    found = {task.id: reply for task, reply in runner.run(work)}
    runner.close()
    return [found[task.id] for task in work]


def gone(pid: int, within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_every_way_to_die_costs_one_task_and_names_its_stage() -> None:
    order = ["segfault", "abort", "exit", "raise", "kill_host", "return"]
    segfault, abort, leave, error, kill_host, fine = replies(tasks(*({"does": d, "stage": f"in_{d}"} for d in order)))
    assert segfault.failed and segfault.failed.kind == "crashed" and "SIGSEGV" in segfault.failed.message
    assert "string_at" in segfault.failed.message, "the Python stack of the crash belongs in the message"
    assert segfault.stage == "in_segfault"
    assert abort.failed and "SIGABRT" in abort.failed.message and "native words" in abort.failed.message
    assert leave.failed and leave.failed.kind == "crashed" and "exit code 3" in leave.failed.message
    assert error.failed and (error.failed.kind, error.failed.message) == ("LookupError", "nothing there")
    assert kill_host.failed and kill_host.failed.kind == "worker_lost" and "host" in kill_host.failed.message
    assert fine.failed is None and fine.result["value"] is None


def test_a_hang_is_ended_with_everything_it_started(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    started = time.monotonic()
    (reply,) = replies(tasks({"does": "hang", "file": str(file)}, timeout_s=4))
    assert reply.failed and reply.failed.kind == "timeout"
    assert time.monotonic() - started < 20
    assert all(gone(int(pid)) for pid in file.read_text().split())


def test_memory_is_capped_per_task() -> None:
    small, large, after = replies(
        tasks({"does": "memory", "bytes": 10**8}, {"does": "memory", "bytes": 3 * 2**30}, {"does": "return"}, memory_gb=1.0)
    )
    assert small.result == 10**8
    assert large.failed and large.failed.kind == "MemoryError"
    assert after.failed is None


def test_what_a_task_leaves_running_is_ended() -> None:
    (reply,) = replies(tasks({"does": "orphan"}))
    assert reply.result["children"] and all(gone(pid) for pid in reply.result["children"])


def test_a_host_that_forks_has_one_thread_whatever_it_imported() -> None:
    (reply,) = replies(tasks({"does": "threads"}), preload=stages.PRELOAD)
    assert len(reply.result["host"]) == 1, reply.result["host"]
    assert set(stages.PRELOAD) <= set(reply.result["modules"]), "each of them can be imported"
    assert set(reply.result["env"].values()) == {"1", "background_thread:false"}


def test_every_task_has_a_process_of_its_own() -> None:
    first, second = replies(tasks({"does": "return"}, {"does": "return"}))
    assert len({first.result["pid"], second.result["pid"], os.getpid()}) == 3


def test_large_results_and_loud_tasks_pass() -> None:
    big, loud = replies(tasks({"does": "big"}, {"does": "loud"}))
    assert len(big.result) == 3_000_000
    assert loud.result == "done" and len(loud.log) <= 6000


def test_cost_is_that_of_the_task() -> None:
    (reply,) = replies(tasks({"does": "memory", "bytes": 3 * 10**8}))
    assert 280 < reply.peak_mb < 1000 and reply.cpu_s > 0 and reply.seconds > 0


def test_leaving_the_loop_ends_the_workers(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    work = tasks({"does": "return"}, {"does": "hang", "file": str(file)}, timeout_s=60)
    running = LocalRunner(2).run(work)
    next(running)
    deadline = time.monotonic() + 10
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    running.close()  # type: ignore[attr-defined]
    assert gone(int(file.read_text().split()[0]))


def test_results_do_not_depend_on_the_number_of_workers() -> None:
    work = tasks(*({"does": "return", "value": n} for n in range(6)))
    assert [r.result["value"] for r in replies(work, 1)] == [r.result["value"] for r in replies(work, 3)] == list(range(6))


@pytest.mark.parametrize("workers", [0])
def test_zero_workers_means_one_per_core(workers: int) -> None:
    assert LocalRunner(workers).workers == len(os.sched_getaffinity(0))


def resident(*payloads: dict[str, Any], timeout_s: float = 20.0, memory_gb: float = 0.0) -> list[Task]:
    """Tasks that want a model, and so share a child."""
    legs = (Leg(("first",), model="objects.backend=x"),)
    work = tasks(*({**p, "stages": ["first"]} for p in payloads), timeout_s=timeout_s, memory_gb=memory_gb)
    return [replace(task, legs=legs) for task in work]


def test_tasks_with_a_model_share_a_child_until_one_fails(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    fine, segfault = {"does": "return"}, {"does": "segfault", "stage": "in_model"}
    work = [*resident(fine, fine, segfault, fine, fine), *resident({"does": "hang", "file": str(file)}, timeout_s=4)]
    work += [*resident(fine, {"does": "raise"}, fine), *tasks(fine)]
    found = replies([replace(task, id=str(n)) for n, task in enumerate(work)])
    pids = [reply.result["pid"] if reply.result else None for reply in found]
    assert pids[0] == pids[1] and pids[3] == pids[4], "the model stays loaded"
    assert len({pids[0], pids[3], pids[6], pids[8], pids[9]}) == 5, "but not in a child that something went wrong in"
    assert [r.failed.kind if r.failed else "" for r in found] == [
        "", "", "crashed", "", "", "timeout", "", "LookupError", "", "",
    ]  # fmt: skip
    assert found[2].stage == "in_model" and found[2].failed and "SIGSEGV" in found[2].failed.message
    assert all(gone(int(pid)) for pid in file.read_text().split())


def test_a_child_that_stays_has_the_cost_and_the_output_of_each_task_and_dies_with_its_host() -> None:
    loud, small, second = replies(resident({"does": "loud"}, {"does": "return"}, {"does": "memory", "bytes": 10**8}))
    assert len(loud.log) <= 6000 and small.log == "" and second.result == 10**8
    assert loud.cpu_s > 0 and small.cpu_s < loud.cpu_s and second.peak_mb > 90
    too_much, after = replies(resident({"does": "memory", "bytes": 3 * 2**30}, {"does": "return"}, memory_gb=1.0))
    assert too_much.failed and too_much.failed.kind == "MemoryError" and after.failed is None
    assert gone(after.result["pid"])


def test_a_worker_that_was_killed_between_two_tasks_costs_none(tmp_path: Path) -> None:
    runner = LocalRunner(1)
    ((_, first),) = runner.run(resident({"does": "return"}))
    ((_, plain),) = runner.run(tasks({"does": "return"}))
    ((_, again),) = runner.run(resident({"does": "return"}))
    assert first.result["pid"] == again.result["pid"] != plain.result["pid"], "plain work does not end it"
    os.kill(first.result["pid"], signal.SIGKILL)
    assert gone(first.result["pid"])
    ((_, second),) = runner.run(resident({"does": "return"}))
    runner.close()
    assert second.failed is None and second.result["pid"] != first.result["pid"]
