"""Tasks in child processes of this machine: a crash, a hang or a memory blow-up costs the one task that caused it."""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from schemas.outcome import Failed

# Each worker is one core's worth: libraries that open a thread per core would fight each other, and some sum in another
# order then. pycolmap's and OpenCV's thread counts are set where they are called.
_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
WORKER_ENV = dict.fromkeys(_POOLS, "1") | {"JE_ARROW_MALLOC_CONF": "background_thread:false"}  # Arrow's thread
LOST = "worker_lost"  # the kind of a failure that is the worker's: killed for memory, gone with its node
_GRACE_S = 30.0
_START_S = 600.0  # imports take seconds, minutes from a cold network disk


@dataclass(frozen=True)
class Leg:
    """Stages of a clip that one kind of worker does.

    Attributes:
        stages: names, in order.
        cpus, gpus: what the worker reserves on a cluster.
        model: the option that asks for a model which is worth keeping between clips; "" for plain work.
    """

    stages: tuple[str, ...]
    cpus: float = 1.0
    gpus: float = 0.0
    model: str = ""


@dataclass(frozen=True)
class Task:
    """One unit of work. ``call`` names ``module:function``; it is called with its payload (JSON) and a ``begin(stage)``.

    Attributes:
        payload: what is the task's own; ``shared`` is the rest, one object for all tasks of a run.
        legs: how its stages divide among kinds of workers, the same for all tasks of a run; empty for a task without stages.
    """

    id: str
    call: str
    payload: dict[str, Any]
    timeout_s: float
    memory_gb: float = 0.0
    shared: dict[str, Any] = field(default_factory=dict)
    legs: tuple[Leg, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The request that a worker host reads."""
        due = set(self.payload.get("stages", ()))
        return {
            "id": self.id,
            "call": self.call,
            "payload": {**self.shared, **self.payload},
            "timeout_s": self.timeout_s,
            "memory_gb": self.memory_gb,
            "resident": any(leg.model and due & set(leg.stages) for leg in self.legs),
        }


@dataclass(frozen=True)
class Reply:
    """How a task ended: ``result`` is what the function returned, or ``failed`` says why it did not.

    Attributes:
        stage: the stage that was running at the end; "" where none had begun.
        log: the last of what the child printed; a native crash names its place there.
    """

    id: str
    result: Any = None
    failed: Failed | None = None
    stage: str = ""
    seconds: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0
    log: str = field(default="", repr=False)

    @staticmethod
    def of(raw: dict[str, Any], timeout_s: float) -> Reply:
        """Read what a worker host sent."""
        result, failed, stage = None, None, ""
        for event in raw["events"]:
            stage = event.get("begin", stage)
            result = event.get("result", result)
            if "error" in event:
                failed = Failed(event["error"]["kind"], event["error"]["message"])
        if raw["timed_out"]:
            failed = Failed(
                "timeout", f"not done after {timeout_s:g} s (run.clip_timeout_s for clips, run.plan_timeout_s for sources)"
            )
        elif raw["exit"] < 0:
            name = signal.Signals(-raw["exit"]).name
            failed = Failed("crashed", f"ended by {name}; last output: {_last_words(raw['log'])}")
        elif result is None and failed is None:
            failed = Failed("crashed", f"exit code {raw['exit']} without a result; last output: {_last_words(raw['log'])}")
        numbers = {name: raw[name] for name in ("seconds", "cpu_s", "peak_mb")}
        return Reply(raw["id"], result, failed, stage, log=raw["log"], **numbers)


def _last_words(log: str, most: int = 400) -> str:
    """What a crash left: the end of the output, then the Python stack that ``faulthandler`` prints, innermost first."""
    said, fatal, stack = log.partition("Fatal Python error")
    stack = stack.partition("Extension modules")[0]
    return " ".join((said[-most:] + fatal + stack[:most]).split()) or "none"


class HostDied(RuntimeError):
    """The worker host itself ended (killed for memory, for instance)."""


class Host:
    """The parent's side of one ``pipelines.host`` process; started when first used, and again when it died."""

    def __init__(self, preload: tuple[str, ...] = ()) -> None:
        self._preload = preload
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._closed = False

    def run(self, task: Task) -> Reply:
        """Run one task and wait for its end; never raises for what the task does."""
        try:
            if self._process is None or self._process.poll() is not None:
                self._start()
            self._write(json.dumps(task.to_json(), allow_nan=False).encode() + b"\n")
            return Reply.of(self._read(task.timeout_s + _GRACE_S), task.timeout_s)
        except KeyboardInterrupt:  # Ray cancels by it; the answer that is still to come must not be taken for the next task's
            self.kill()
            raise
        except (HostDied, BrokenPipeError) as error:
            self.kill()
            return Reply(task.id, failed=Failed(LOST, f"the worker host ended: {error}"))
        except (OSError, ValueError) as error:  # no process could be made, or the task cannot be written down
            self.kill()
            return Reply(task.id, failed=Failed(type(error).__name__, f"the task could not be handed to a worker: {error}"))

    def _start(self) -> None:
        if self._closed:
            raise HostDied("the run is over")
        self._buffer = b""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.host", *self._preload],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # the terminal's Ctrl-C is for the parent, which then closes its hosts
            env={**os.environ, **WORKER_ENV, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )
        self._read(_START_S)

    def _write(self, data: bytes) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def _read(self, timeout_s: float) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        handle, deadline = self._process.stdout.fileno(), time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            if not select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise HostDied(f"no answer within {timeout_s:g} s")
            chunk = os.read(handle, 1 << 16)
            if not chunk:
                raise HostDied(f"it closed its output (exit code {self._process.poll()})")
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        return message

    def close(self) -> None:
        """End the host; a child that still runs is killed by it."""
        self._closed = True
        process = self._process
        if process is None:
            return
        if process.stdin:
            process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the host outright; its child dies with it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class LocalRunner:
    """Runs tasks on ``workers`` hosts, which stay for the next tasks. Replies come in the order in which tasks end."""

    def __init__(self, workers: int, preload: tuple[str, ...] = ()) -> None:
        self.workers = workers or len(os.sched_getaffinity(0))
        self._preload = preload
        self._hosts: list[Host] = []

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Reply]]:
        """Yield every task with its reply. Leaving the loop early, Ctrl-C included, ends the hosts.

        Tasks are taken from the iterable when a worker is free, so that they need not all exist at once.
        """
        feed = _Feed(tasks)
        done: queue.SimpleQueue[tuple[Task, Reply] | None] = queue.SimpleQueue()
        stop = threading.Event()
        threads: list[threading.Thread] = []
        finished = False
        try:
            while len(threads) < self.workers and feed.more():
                if len(self._hosts) <= len(threads):
                    self._hosts.append(Host(self._preload))
                host = self._hosts[len(threads)]
                threads.append(threading.Thread(target=_work, args=(host, feed, done, stop), daemon=True))
                threads[-1].start()
            working = len(threads)
            while working:
                reply = done.get()
                if reply is None:
                    working -= 1
                else:
                    yield reply
            feed.check()
            finished = True
        finally:
            stop.set()
            if not finished:
                self.close()
            for thread in threads:
                thread.join(5)

    def close(self) -> None:
        """End the hosts, and with them whatever they run."""
        hosts, self._hosts = self._hosts, []
        for host in hosts:
            host.close()


class _Feed:
    """Tasks for several threads, one ahead."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks, self._lock = iter(tasks), threading.Lock()
        self._ahead: list[Task] = []
        self._error: BaseException | None = None

    def more(self) -> bool:
        """Whether there is another task."""
        with self._lock:
            if not self._ahead and self._error is None:
                try:
                    self._ahead = [next(self._tasks)]
                except StopIteration:
                    self._ahead = []
                except Exception as error:  # in whoever makes the tasks; told in ``check``
                    self._error = error
            return bool(self._ahead)

    def take(self) -> Task | None:
        """The next task, None after the last."""
        while self.more():
            with self._lock:
                if self._ahead:
                    return self._ahead.pop()
        return None

    def check(self) -> None:
        """Raise what went wrong while tasks were made."""
        if self._error:
            raise self._error


def _work(host: Host, feed: _Feed, done: queue.SimpleQueue[tuple[Task, Reply] | None], stop: threading.Event) -> None:
    try:
        while not stop.is_set() and (task := feed.take()) is not None:
            done.put((task, host.run(task)))
    finally:
        done.put(None)
