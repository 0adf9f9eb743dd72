"""The same tasks on a Ray cluster, by Ray Data: one clip per block, one child process per clip.

Ray retries and reports by block and by task; a clip must be neither lost with its neighbours nor tried forever. So: one
clip a block, the native work in a child with a timeout (``pipelines.host``), no retries by Ray, and afterwards a count of
what was expected and did not come back. What had begun by then is lost, and the run tries it once more (``pipelines.run``);
what had not begun is no loss, and goes into the next execution (``pipelines.ray_conductor``).
"""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from pipelines.local_runner import LOST, Leg, Reply, Task
from pipelines.ray_conductor import BEATS, Conductor, Execution, Operator, Seen, items_of
from pipelines.ray_room import lacking, model_workers
from schemas.config import RunConfig
from schemas.outcome import Failed

_IN_A_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # set by the supervisor of `ray job submit`
QUIET_S = 60.0  # an execution is ended when no worker has been heard for so long; a worker that starts needs a third of it
FIRST_NEWS_S = 600.0  # the same until any has been heard at all: a first start imports everything, from a cold network disk
_LOOK_S = 2.0


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
        self._own = "RAY_ADDRESS" not in os.environ
        self._conductor: Any = None
        self._executions, self._heard = 0, False
        try:
            self._wait_for_room([self._wanted(leg) for leg in legs])
        except ResourcesMissing:
            self.close()
            raise

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
        """Yield every task with its reply; what the cluster lost comes as ``worker_lost``.

        What did not come back from an execution and was not running goes into the next one, as long as executions bring
        anything. When none does, they are repeated for ``run.nodes_timeout_s``: nodes may come.
        """
        waiting = {task.id: task for task in tasks}
        legs = [self._wanted(leg) for leg in (next(iter(waiting.values())).legs if waiting else ()) or (Leg(()),)]
        last_gain, first, fruitless, why = time.monotonic(), True, 0, ""
        while waiting and (first or self._worth_another(legs, fruitless, time.monotonic() - last_gain)):
            before, first = len(waiting), False
            running, why = frozenset[str](), ""
            for seen in self._execute(list(waiting.values()), legs):
                running, why = seen.running, seen.broke
                for row in seen.rows:
                    task = waiting.pop(row["id"], None)
                    if task is not None:
                        yield task, _reply(json.loads(row["reply"]))
            for task_id in sorted(running & waiting.keys()):
                yield waiting.pop(task_id), _lost(task_id, why)
            gained = len(waiting) < before
            last_gain, fruitless = (time.monotonic(), 0) if gained else (last_gain, fruitless + 1)
            if waiting:
                print(f"{len(waiting)} of this round had not begun when it ended{_because(why)}; they go again", flush=True)
        if waiting:
            print(f"{len(waiting)} of this round did not come back from the cluster{_because(why)}", flush=True)
        for task_id, task in waiting.items():
            yield task, _lost(task_id, why)

    def _worth_another(self, legs: list[Leg], fruitless: int, since_s: float) -> bool:
        """Whether another execution may bring what the last ones did not; waits for nodes where some are lacking."""
        try:
            self._wait_for_room(legs)
        except ResourcesMissing as error:
            print(f"giving up: {error}", flush=True)
            return False
        return fruitless < 2 or (not self._own and since_s < self._config.nodes_timeout_s)

    def _execute(self, tasks: list[Task], legs: list[Leg]) -> Iterator[Seen]:
        """One execution: what is seen of it, until it has ended or is ended here because nothing is heard of it."""
        sizes = [model_workers(leg, legs, self._nodes(), self._config.model_workers) for leg in legs]
        operators = tuple(
            Operator(leg, size if leg.model else self._config.workers) for leg, size in zip(legs, sizes, strict=True)
        )
        self._executions += 1
        execution = Execution(
            self._executions, items_of(tasks), operators, tasks[0].shared, self._preload, beat_s=QUIET_S / BEATS
        )
        running = frozenset[str]()
        try:
            conductor = self._conductor = self._conductor or self._new_conductor()
            self._ray.get(conductor.start.remote(execution, conductor), timeout=FIRST_NEWS_S)
            while True:
                seen: Seen = self._ray.get(conductor.look.remote(_LOOK_S), timeout=2 * QUIET_S if self._heard else FIRST_NEWS_S)
                self._heard |= seen.news
                running = seen.running
                quiet = not seen.ended and not seen.rows and seen.quiet_s > (QUIET_S if self._heard else FIRST_NEWS_S)
                if not quiet:
                    yield seen
                    if seen.ended:
                        return
                    continue
                words = f"nothing was heard from the cluster for {seen.quiet_s:.0f} s"
                break
        except (self._ray.exceptions.RayError, self._ray.exceptions.GetTimeoutError) as error:
            words = f"its conductor is gone: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
        self._end_conductor()
        yield Seen([], True, words, False, 0.0, running)

    def _new_conductor(self) -> Any:
        """On the driver's own node, which it needs anyhow, and outside of the cores that clips are counted against.

        A soft affinity would not do: Ray 2.60 puts two in five actors without cores elsewhere then.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(self._ray.get_runtime_context().get_node_id(), soft=False)
        remote: Any = self._ray.remote
        return remote(num_cpus=0, max_restarts=0, max_concurrency=8, scheduling_strategy=here)(Conductor).remote()

    def _end_conductor(self) -> None:
        """End the conductor, and with it everything that it owns: running tasks, actors, and those that wait for room."""
        conductor, self._conductor = self._conductor, None
        if conductor is not None:
            self._ray.kill(conductor)

    def close(self) -> None:
        """Let go of the cluster; one that was started here ends."""
        self._conductor = None
        self._ray.shutdown()


def _because(why: str) -> str:
    return f"; {why}" if why else ""


def _lost(task_id: str, why: str) -> Reply:
    return Reply(task_id, failed=Failed(LOST, f"its Ray worker went away; see the cluster's logs{_because(why)}"))


def _reply(value: dict[str, Any]) -> Reply:
    failed = value.pop("failed")
    return Reply(**value, failed=Failed(*failed) if failed else None)
