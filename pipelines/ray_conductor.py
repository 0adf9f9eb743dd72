"""One execution of Ray Data, in an actor of its own, so that it can be watched and, when Ray waits for ever, ended for real.

Ray Data can wait without a word and without an end: for an actor that no node can hold any more, for an object that went away
with its node, for a task that it believes to be running. From outside this cannot be told from slow work. So workers tell the
conductor that they are at it: when a leg begins, while it lasts, when it ends. Silence then means that nothing is being done;
the driver kills the conductor, and with their owner Ray ends all tasks and actors of the execution, whatever state they are in.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.local_runner import Host, Leg, Task
from pipelines.masking import environment_secrets, scrub

if TYPE_CHECKING:
    import ray.data

BEATS = 6  # a worker tells this often, within the silence that ends an execution, that it is still at it
_hosts: dict[tuple[str, ...], Host] = {}  # of this Ray worker process; they stay for the next clips


@dataclass(frozen=True)
class Operator:
    """A leg as an operator of Ray Data: ``size`` workers at most, 0 means as many as there is room for."""

    leg: Leg
    size: int


@dataclass(frozen=True)
class Execution:
    """What Ray Data is to do: every item through every operator.

    Attributes:
        number: tells executions of one conductor apart.
        items: rows ``{"id", "request", "reply"}``, text.
        shared: the part of the requests that all share.
        preload: modules that the workers' hosts import once.
        beat_s: a worker tells this often that it is at it.
    """

    number: int
    items: list[dict[str, str]]
    operators: tuple[Operator, ...]
    shared: dict[str, Any]
    preload: tuple[str, ...]
    beat_s: float


@dataclass(frozen=True)
class Seen:
    """What became known since the last look.

    Attributes:
        rows: that came back.
        ended: the stream has ended; ``broke`` says by which error, "" for none.
        news: anything was heard since the execution began.
        quiet_s: for how long nothing has been heard.
        running: ids of the tasks that began a leg and did not end it.
    """

    rows: list[dict[str, str]]
    ended: bool
    broke: str
    news: bool
    quiet_s: float
    running: frozenset[str]


@dataclass
class _State:
    """Of the execution that is under way. ``steps``: per task the last that was heard, even for begun and odd for ended legs."""

    number: int = -1
    rows: list[dict[str, str]] = field(default_factory=list)
    ended: bool = False
    broke: str = ""
    news: bool = False
    last: float = 0.0
    steps: dict[str, int] = field(default_factory=dict)


class Conductor:
    """The actor. Its methods are called from several threads."""

    def __init__(self) -> None:
        from ray.data import DataContext

        context = DataContext.get_current()
        context.max_errored_blocks = -1
        context.execution_no_progress_timeout_s = -1  # it counts outputs only; here silence counts
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        self._changed, self._state = threading.Condition(), _State()

    def start(self, execution: Execution, me: Any) -> None:
        """Begin an execution; ``me`` is the actor's handle, for the workers."""
        self._state = _State(number=execution.number, last=time.monotonic())
        threading.Thread(target=self._pump, args=(execution, me), daemon=True, name="ray-rows").start()

    def _pump(self, execution: Execution, me: Any) -> None:
        broke = ""
        try:
            for row in dataset(execution, me).iter_rows():
                self._hear(execution.number, row=row)
        except BaseException as error:  # told to the driver, which waits
            broke = f"{type(error).__name__}: {scrub(' '.join(str(error).split()), environment_secrets())[:300]}"
        self._hear(execution.number, ended=True, broke=broke)

    def tell(self, number: int, task_id: str, step: int) -> None:
        """A worker is at it: ``step`` is twice the position of the leg, plus one when the leg has ended."""
        self._hear(number, task_id=task_id, step=step)

    def _hear(
        self,
        number: int,
        *,
        row: dict[str, str] | None = None,
        task_id: str = "",
        step: int = 0,
        ended: bool = False,
        broke: str = "",
    ) -> None:
        with self._changed:
            state = self._state
            if number != state.number:
                return
            if task_id:  # calls may overtake each other; a leg that ended does not begin again
                state.steps[task_id] = max(step, state.steps.get(task_id, 0))
            if row is not None:
                state.rows.append(row)
            state.ended, state.broke = state.ended or ended, state.broke or broke
            state.last, state.news = time.monotonic(), state.news or not ended
            if row is not None or ended:
                self._changed.notify_all()

    def look(self, wait_s: float) -> Seen:
        """Rows as soon as there are some, or what is known after ``wait_s``."""
        with self._changed:
            state = self._state
            self._changed.wait_for(lambda: bool(state.rows) or state.ended, wait_s)
            rows, state.rows = state.rows, []
            running = frozenset(task_id for task_id, step in state.steps.items() if step % 2 == 0)
            return Seen(rows, state.ended, state.broke, state.news, time.monotonic() - state.last, running)


def dataset(execution: Execution, conductor: Any) -> ray.data.Dataset:
    """One row, one block, per task, through one operator per leg: Ray streams, and holds an operator back that is ahead."""
    import ray.data

    work = ray.data.from_items(execution.items).repartition(target_num_rows_per_block=1)
    for position, operator in enumerate(execution.operators):
        leg = operator.leg
        about = {"shared": execution.shared, "preload": execution.preload, "leg": leg}
        about |= {"teller": Teller(conductor, execution.number, position, execution.beat_s)}
        # max_retries has no parameter of its own in Ray 2.60; as a remote argument it is announced to go in 2.64
        options: dict[str, Any] = {"num_cpus": leg.cpus} | ({"num_gpus": leg.gpus} if leg.gpus else {})
        if leg.model:
            pool = ray.data.ActorPoolStrategy(min_size=1, max_size=operator.size, max_tasks_in_flight_per_actor=2)
            # An actor that Ray restarts waits for ever where no node can hold it, with its tasks.
            options |= {"max_restarts": 0, "max_task_retries": 0}
            work = work.map(ModelWorker, fn_constructor_kwargs=about, compute=pool, **options)  # type: ignore[arg-type]
            continue
        if operator.size:
            options["compute"] = ray.data.TaskPoolStrategy(size=operator.size)
        work = work.map(serve, fn_kwargs=about, max_retries=0, retry_exceptions=False, **options)  # type: ignore[arg-type]
    return work


@dataclass(frozen=True)
class Teller:
    """How a worker tells the conductor that it is at it. Nobody waits for an answer, so that a lost conductor delays nothing."""

    conductor: Any
    number: int
    position: int
    beat_s: float

    @contextlib.contextmanager
    def at(self, task_id: str) -> Iterator[None]:
        """Tell of the beginning, of every ``beat_s`` of the work, and of the end."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(self.beat_s):
                self._tell(task_id, 2 * self.position)

        self._tell(task_id, 2 * self.position)
        thread = threading.Thread(target=beat, daemon=True, name="at-it")
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self._tell(task_id, 2 * self.position + 1)

    def _tell(self, task_id: str, step: int) -> None:
        self.conductor.tell.remote(self.number, task_id, step)


class ModelWorker:
    """A Ray actor that keeps a host whose child keeps the model."""

    def __init__(self, **shared: Any) -> None:
        self._shared = shared

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """One task."""
        return serve(row, **self._shared)


def serve(row: dict[str, Any], *, shared: dict[str, Any], preload: tuple[str, ...], leg: Leg, teller: Teller) -> dict[str, Any]:
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
    with teller.at(request["id"]):
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


def items_of(tasks: Sequence[Task]) -> list[dict[str, str]]:
    """Tasks as rows, without what all share, which travels once."""
    fields = ("id", "call", "payload", "timeout_s", "memory_gb")
    return [{"id": task.id, "request": json.dumps({name: getattr(task, name) for name in fields}), "reply": ""} for task in tasks]
