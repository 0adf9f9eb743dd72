"""The same tasks on a Ray cluster, by Ray Data: one clip per block, one child process per clip.

Ray retries and reports by block and by task; a clip must be neither lost with its neighbours nor tried forever. So: one
clip a block, the native work in a child with a timeout (``pipelines.host``), at most one retry of a task whose worker went
away, and afterwards a count of what was expected and did not come back.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pipelines.local_runner import Host, Reply, Task
from pipelines.plan import LOST
from schemas.config import RunConfig
from schemas.outcome import Failed

if TYPE_CHECKING:
    import ray.data

_IN_A_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # set by the supervisor of `ray job submit`
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
    """Runs tasks on the cluster of ``RAY_ADDRESS``, or on one that it starts on this machine."""

    def __init__(self, config: RunConfig, preload: tuple[str, ...] = ()) -> None:
        import ray

        self._config, self._preload = config, preload
        self._ray = ray
        if not ray.is_initialized():
            on_terminate = signal.getsignal(signal.SIGTERM)
            address = os.environ.get("RAY_ADDRESS", "local")
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING, include_dashboard=False)
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, on_terminate)  # Ray would end the driver without a summary
        self._own = "RAY_ADDRESS" not in os.environ
        try:
            self._wait_for_room()
        except ResourcesMissing:
            self.close()
            raise
        context = ray.data.DataContext.get_current()
        context.max_errored_blocks = -1
        context.execution_no_progress_timeout_s = -1  # it counts outputs only; the clip's own timeout is the one that holds
        context.enable_progress_bars = False
        context.print_on_execution_start = False

    def _wait_for_room(self) -> None:
        """Refuse to start where no node can ever hold a clip; give an autoscaler ``nodes_timeout_s`` to bring one."""
        need = {"CPU": self._config.cpus_per_clip, "GPU": self._config.gpus_per_clip}
        need = {name: amount for name, amount in need.items() if amount > 0}
        deadline = time.monotonic() + (0 if self._own else self._config.nodes_timeout_s)
        asked = False
        while True:
            nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            if any(all(node.get(name, 0) >= amount for name, amount in need.items()) for node in nodes):
                break
            if time.monotonic() >= deadline:
                have = [{name: node.get(name, 0) for name in ("CPU", "GPU")} for node in nodes]
                raise ResourcesMissing(
                    f"expected a node with {need} for a clip (run.cpus_per_clip, run.gpus_per_clip), the cluster has {have}"
                )
            if not asked:
                from ray.autoscaler.sdk import request_resources

                request_resources(bundles=[need])
                print(f"waiting for a node with {need}", flush=True)
                asked = True
            time.sleep(2)

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Reply]]:
        """Yield every task with its reply; what the cluster lost comes last, as ``worker_lost``."""
        waiting = {task.id: task for task in tasks}
        if not waiting:
            return
        for row in self._dataset(list(waiting.values())).iter_rows():
            task = waiting.pop(row["id"], None)
            if task is not None:  # a retried task may come back twice
                yield task, _reply(json.loads(row["reply"]))
        for task in waiting.values():
            yield (
                task,
                Reply(task.id, failed=Failed(LOST, "the Ray worker of this clip went away, twice; see the cluster's logs")),
            )

    def _dataset(self, tasks: list[Task]) -> ray.data.Dataset:
        items = [{"id": task.id, "request": json.dumps(task.to_json()), "preload": list(self._preload)} for task in tasks]
        work = self._ray.data.from_items(items).repartition(target_num_rows_per_block=1)
        # max_retries has no parameter of its own in Ray 2.60; as a remote argument it is announced to go in 2.64
        options: dict[str, Any] = {"num_cpus": self._config.cpus_per_clip, "max_retries": 1, "retry_exceptions": False}
        if self._config.gpus_per_clip:
            options["num_gpus"] = self._config.gpus_per_clip
        if self._config.workers:
            options["compute"] = self._ray.data.TaskPoolStrategy(size=self._config.workers)
        return work.map(serve, **options)

    def close(self) -> None:
        """Let go of the cluster; one that was started here ends."""
        self._ray.shutdown()


def serve(row: dict[str, Any]) -> dict[str, Any]:
    """One task, on a Ray worker. Never raises for what the task does: an exception would cost the whole block."""
    preload = tuple(row["preload"])
    host = _hosts.setdefault(preload, Host(preload))
    request = json.loads(row["request"])
    reply = host.run(Task(**request))
    values = {name: getattr(reply, name) for name in ("id", "result", "stage", "seconds", "cpu_s", "peak_mb")}
    failed = [reply.failed.kind, reply.failed.message] if reply.failed else None
    return {"id": row["id"], "reply": json.dumps({**values, "failed": failed})}


def _reply(value: dict[str, Any]) -> Reply:
    failed = value.pop("failed")
    return Reply(**value, failed=Failed(*failed) if failed else None)
