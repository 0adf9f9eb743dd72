"""The same tasks on a Ray cluster, by Ray Data: one clip per block, one child process per clip.

Ray retries and reports by block and by task; a clip must be neither lost with its neighbours nor tried forever. So: one
clip a block, the native work in a child with a timeout (``pipelines.host``), no retries by Ray, and afterwards a count of
what was expected and did not come back; the run tries that once more (``pipelines.run``).
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.local_runner import LOST, Host, Leg, Reply, Task
from schemas.config import RunConfig
from schemas.outcome import Failed

if TYPE_CHECKING:
    import ray.data

_IN_A_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # set by the supervisor of `ray job submit`
STALL_GRACE_S = 300.0
_hosts: dict[tuple[str, ...], Host] = {}  # of this Ray worker process; they stay for the next clips


class ResourcesMissing(RuntimeError):
    """No node of the cluster can hold a clip; the message says what is missing."""


def check_folder(name: str, folder: str) -> str:
    """What is wrong with a folder for this driver; "" where nothing is.

    Under ``ray job submit`` the working directory is a temporary copy, so that a relative path would be lost with it.
    """
    if os.environ.get(_IN_A_JOB) and not os.path.isabs(os.path.expanduser(folder)):
        return (
            f"expected an absolute {name} under `ray job submit`, got {folder!r}: the working directory is a temporary copy. "
            "Give a path that every node sees."
        )
    return ""


class RayRunner:
    """Runs tasks on the cluster of ``RAY_ADDRESS``, or on one that it starts on this machine.

    Args:
        config: the run's section.
        preload: modules that workers import once.
        legs: what the run's clips will want; the cluster is held against it before anything starts.

    Raises:
        ResourcesMissing: the cluster can never hold one of them.
    """

    def __init__(self, config: RunConfig, preload: tuple[str, ...] = (), legs: tuple[Leg, ...] = (Leg(()),)) -> None:
        import ray

        self._config, self._preload, self._ray = config, preload, ray
        if not ray.is_initialized():
            on_terminate = signal.getsignal(signal.SIGTERM)
            address = os.environ.get("RAY_ADDRESS", "local")
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING, include_dashboard=False)
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, on_terminate)  # Ray would end the driver without a summary
        self._own, self._stalled = "RAY_ADDRESS" not in os.environ, False
        try:
            self._wait_for_room([self._wanted(leg) for leg in legs])
        except ResourcesMissing:
            self.close()
            raise
        context = ray.data.DataContext.get_current()
        context.max_errored_blocks = -1
        context.execution_no_progress_timeout_s = -1  # it counts outputs only; the clip's own timeout is the one that holds
        context.enable_progress_bars = False
        context.print_on_execution_start = False

    def _wanted(self, leg: Leg) -> Leg:
        """What a worker of this leg reserves under the run's configuration."""
        gpus = leg.gpus if self._config.gpus_per_model is None or not leg.model else self._config.gpus_per_model
        return Leg(leg.stages, max(leg.cpus, self._config.cpus_per_clip), gpus, leg.model)

    def _wait_for_room(self, legs: list[Leg]) -> None:
        """Refuse to start where the cluster can never hold the work; give an autoscaler ``nodes_timeout_s`` to grow."""
        deadline = time.monotonic() + (0 if self._own else self._config.nodes_timeout_s)
        asked = False
        while problem := lacking(legs, self._nodes(), self._config.model_workers):
            if time.monotonic() >= deadline:
                raise ResourcesMissing(problem)
            if not asked:
                from ray.autoscaler.sdk import request_resources

                request_resources(bundles=[{"CPU": leg.cpus} | ({"GPU": leg.gpus} if leg.gpus else {}) for leg in legs])
                print(f"waiting for nodes: {problem}", flush=True)
                asked = True
            time.sleep(2)

    def _nodes(self) -> list[dict[str, float]]:
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Reply]]:
        """Yield every task with its reply; what the cluster lost comes last, as ``worker_lost``."""
        waiting = {task.id: task for task in tasks}
        if not waiting:
            return
        broke = "" if not self._stalled else "; the cluster stands still"
        try:
            for row in self._rows(list(waiting.values())) if not self._stalled else ():
                task = waiting.pop(row["id"], None)
                if task is not None:  # a retried task may come back twice
                    yield task, _reply(json.loads(row["reply"]))
        except self._ray.exceptions.RayError as error:  # the stream as a whole ended; what is missing is told below
            broke = f"; the stream ended with {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        except TimeoutError as error:
            self._stalled, broke = True, f"; {error}"
        if waiting:
            print(f"{len(waiting)} of this round did not come back from the cluster{broke}", flush=True)
        for task in waiting.values():
            yield task, Reply(task.id, failed=Failed(LOST, f"its Ray worker went away; see the cluster's logs{broke}"))

    def _rows(self, tasks: list[Task]) -> Iterator[dict[str, Any]]:
        """The rows as they come back.

        Ray can wait for ever, without a word, for an actor that no node can hold any more; so a thread waits for Ray, and this
        waits for the thread.

        Raises:
            TimeoutError: nothing came back for longer than any task may take.
        """
        legs = len(tasks[0].legs) or 1
        longest_s = (max(task.timeout_s for task in tasks) + STALL_GRACE_S) * legs + STALL_GRACE_S
        rows: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def pump() -> None:
            try:
                for row in self._dataset(tasks).iter_rows():
                    rows.put(row)
                rows.put(None)
            except BaseException as error:  # told to the one who waits
                rows.put(error)

        threading.Thread(target=pump, daemon=True, name="ray-rows").start()
        while True:
            try:
                row = rows.get(timeout=longest_s)
            except queue.Empty:
                raise TimeoutError(
                    f"nothing came back from the cluster for {longest_s:.0f} s, longer than a clip may take; are there nodes "
                    "left that can hold every stage?"
                ) from None
            if row is None:
                return
            if isinstance(row, BaseException):
                raise row
            yield row

    def _dataset(self, tasks: list[Task]) -> ray.data.Dataset:
        """One row, one block, per task, through one operator per leg: Ray streams, and holds an operator back that is ahead."""
        items = [{"id": task.id, "request": json.dumps(own_part(task)), "reply": ""} for task in tasks]
        work = self._ray.data.from_items(items).repartition(target_num_rows_per_block=1)
        legs = [self._wanted(leg) for leg in tasks[0].legs or (Leg(()),)]
        for leg in legs:
            shared = {"shared": tasks[0].shared, "preload": self._preload, "leg": leg}
            # max_retries has no parameter of its own in Ray 2.60; as a remote argument it is announced to go in 2.64
            options: dict[str, Any] = {"num_cpus": leg.cpus} | ({"num_gpus": leg.gpus} if leg.gpus else {})
            if leg.model:
                size = model_workers(leg, legs, self._nodes(), self._config.model_workers)
                pool = self._ray.data.ActorPoolStrategy(min_size=1, max_size=size, max_tasks_in_flight_per_actor=2)
                # An actor that Ray restarts waits for ever where no node can hold it, with its tasks, and outlives the round.
                options |= {"max_restarts": 0, "max_task_retries": 0}
                work = work.map(ModelWorker, fn_constructor_kwargs=shared, compute=pool, **options)  # type: ignore[arg-type]
                continue
            if self._config.workers:
                options["compute"] = self._ray.data.TaskPoolStrategy(size=self._config.workers)
            work = work.map(serve, fn_kwargs=shared, max_retries=0, retry_exceptions=False, **options)  # type: ignore[arg-type]
        return work

    def close(self) -> None:
        """Let go of the cluster; one that was started here ends."""
        self._ray.shutdown()


def lacking(legs: Sequence[Leg], nodes: Sequence[dict[str, float]], wanted_workers: int) -> str:
    """What the cluster lacks to run all legs at a time, as a sentence with a way out; "" where it lacks nothing.

    All must fit together: workers that hold a model never give their cores back, so that the others would wait for ever.
    """
    total = {name: sum(node.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU")}
    for leg in legs:
        who = f"{', '.join(leg.stages)} ({leg.model})" if leg.model else "a clip (run.cpus_per_clip)"
        if leg.gpus and not any(node.get("GPU", 0.0) >= leg.gpus for node in nodes):
            largest = max((node.get("GPU", 0.0) for node in nodes), default=0.0)
            return (
                f"needs {leg.gpus:g} GPU for {who}, the cluster has {total['GPU']:g} (largest node: {largest:g}): set "
                f"{_other_way(leg)}, run.gpus_per_model=<less>, or add a node with a GPU"
            )
        if not any(node.get("CPU", 0.0) >= leg.cpus and node.get("GPU", 0.0) >= leg.gpus for node in nodes):
            largest = max((node.get("CPU", 0.0) for node in nodes), default=0.0)
            return (
                f"needs {leg.cpus:g} CPU{f' and {leg.gpus:g} GPU on one node' if leg.gpus else ''} for {who}, the largest node "
                f"of the cluster has {largest:g} CPU: set run.cpus_per_clip=<less> or add a larger node"
            )
    models = [leg for leg in legs if leg.model]
    for name in ("GPU", "CPU"):
        each = [leg.gpus if name == "GPU" else leg.cpus for leg in models]
        rest = max((leg.cpus for leg in legs if not leg.model), default=0.0) if name == "CPU" else 0.0
        need = sum(each) * max(wanted_workers, 1) + rest
        if models and need > total[name] + 1e-6:
            who = ", ".join(f"{max(wanted_workers, 1)} x {', '.join(leg.stages)} ({leg.model})" for leg in models)
            return (
                f"needs {need:g} {name} at a time for {who}{f' and {rest:g} for the other stages' if rest else ''}, the cluster "
                f"has {total[name]:g}: set run.model_workers=<fewer>, run.cpus_per_clip=<less>, or add a node"
            )
    return ""


def _other_way(leg: Leg) -> str:
    """The option that does without a GPU."""
    section = leg.model.partition(".")[0]
    return f"{section}.device=cpu" if section else "another backend"


def model_workers(leg: Leg, legs: Sequence[Leg], nodes: Sequence[dict[str, float]], wanted: int) -> int:
    """How many workers with this leg's model: as asked, or what the nodes hold while every other leg keeps one worker."""
    if wanted:
        return wanted
    if not leg.gpus:
        return 1
    by_gpu = sum(int(node.get("GPU", 0.0) / leg.gpus + 1e-6) for node in nodes)
    sharing = sum(1 for other in legs if other.gpus)
    others = sum(other.cpus for other in legs if other is not leg)
    by_cpu = int((sum(node.get("CPU", 0.0) for node in nodes) - others) / leg.cpus)
    return max(1, min(by_gpu // sharing, by_cpu))


def own_part(task: Task) -> dict[str, Any]:
    """A task's request without what all tasks share, which travels once."""
    return {"id": task.id, "call": task.call, "payload": task.payload, "timeout_s": task.timeout_s, "memory_gb": task.memory_gb}


class ModelWorker:
    """A Ray actor that keeps a host whose child keeps the model."""

    def __init__(self, **shared: Any) -> None:
        self._shared = shared

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """One task."""
        return serve(row, **self._shared)


def serve(row: dict[str, Any], *, shared: dict[str, Any], preload: tuple[str, ...], leg: Leg) -> dict[str, Any]:
    """One leg of a task, on a Ray worker. Never raises for what the task does: an exception would cost the whole block."""
    request, before = json.loads(row["request"]), json.loads(row["reply"]) if row["reply"] else None
    payload = request.pop("payload")
    due = [name for name in payload.get("stages", ()) if name in leg.stages]
    if ("stages" in payload and not due) or (before and (before["failed"] or before["result"]["outcome"] != "ok")):
        return row
    if "stages" in payload:
        payload["stages"] = due
        payload["prints"] = {name: payload["prints"][name] for name in due}
    host = _hosts.setdefault(preload, Host(preload))
    reply = host.run(Task(**request, payload=payload, shared=shared, legs=(leg,)))
    values = {name: getattr(reply, name) for name in ("id", "result", "stage", "seconds", "cpu_s", "peak_mb")}
    after = {**values, "failed": [reply.failed.kind, reply.failed.message] if reply.failed else None}
    return {**row, "reply": json.dumps(_joined(before, after))}


def _joined(before: dict[str, Any] | None, after: dict[str, Any]) -> dict[str, Any]:
    """The replies of two legs as one."""
    if before is None:
        return after
    cost = {name: before[name] + after[name] for name in ("seconds", "cpu_s")}
    out = {**after, **cost, "peak_mb": max(before["peak_mb"], after["peak_mb"])}
    if after["result"] and "records" in after["result"]:
        out["result"] = {**after["result"], "records": before["result"]["records"] + after["result"]["records"]}
    return out


def _reply(value: dict[str, Any]) -> Reply:
    failed = value.pop("failed")
    return Reply(**value, failed=Failed(*failed) if failed else None)
