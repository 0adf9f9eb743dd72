"""A worker host: it imports the heavy libraries once, then runs every task in a forked child of its own.

    python -m pipelines.host MODULE...      (started by pipelines.local_runner.Host, never by hand)

Requests and replies are JSON lines on stdin and stdout. Whatever a child does - a native crash, a hang, a memory blow-up -
ends that child only. A fresh child per task also means that no task can see another's state. When stdin closes, because the
parent ended in whatever way, the running child is killed and the host ends.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from typing import IO, Any

LOG_TAIL_BYTES = 6000
_PR_SET_PDEATHSIG = 1


def main(argv: list[str]) -> int:
    """Serve tasks until stdin closes."""
    requests, replies = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)  # a stray print must not land among the replies
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in argv:
        preload(name)
    _send(replies, {"ready": os.getpid()})
    buffer = b""
    while True:
        while b"\n" not in buffer:
            chunk = os.read(requests, 1 << 16)
            if not chunk:
                return 0
            buffer += chunk
        line, buffer = buffer.split(b"\n", 1)
        reply = serve(json.loads(line), requests)
        if reply is None:
            return 0
        _send(replies, reply)


def preload(name: str) -> None:
    """Import a module so that children have it. One that cannot be imported shows in the tasks that need it, not here."""
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(f"worker host: cannot import {name}: {error}", file=sys.stderr)
    if name == "cv2" and "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(1)


def serve(request: dict[str, Any], requests: int) -> dict[str, Any] | None:
    """Run one task in a child and describe how it ended; None when the parent went away meanwhile."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as log:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            _child(request, writer, log)  # never returns
        os.close(writer)
        os.set_blocking(reader, False)
        exited = os.pidfd_open(child)
        deadline = started + float(request["timeout_s"])
        events, timed_out, orphaned, done = b"", False, False, False
        poller = select.poll()
        for handle in (reader, exited, requests):
            poller.register(handle, select.POLLIN | select.POLLHUP)
        while not (done or timed_out or orphaned):
            ready = poller.poll(max(0.0, deadline - time.monotonic()) * 1000)
            timed_out = not ready
            for handle, _ in ready:
                if handle == reader:
                    chunk = _read(reader)
                    events += chunk
                    if not chunk:
                        poller.unregister(reader)
                elif handle == exited:
                    done = True
                else:
                    orphaned = True
        _kill_group(child)
        _, status, usage = os.wait4(child, 0)
        events += _read(reader)
        os.close(reader)
        os.close(exited)
        if orphaned:
            return None
        log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
        return {
            "id": request["id"],
            "events": [json.loads(line) for line in events.decode().splitlines() if line.endswith("}")],
            "timed_out": timed_out,
            "exit": os.waitstatus_to_exitcode(status),
            "seconds": time.monotonic() - started,
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "peak_mb": usage.ru_maxrss / 1024,
            "log": log.read().decode(errors="replace"),
        }


def _read(handle: int) -> bytes:
    """Everything that waits in a non-blocking pipe."""
    out = b""
    while True:
        try:
            chunk = os.read(handle, 1 << 16)
        except BlockingIOError:
            return out
        if not chunk:
            return out
        out += chunk


def _kill_group(child: int) -> None:
    """End the child and whatever it started; either may be gone already."""
    for kill in (os.killpg, os.kill):
        try:
            kill(child, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _child(request: dict[str, Any], writer: int, log: IO[bytes]) -> None:
    """The child's whole life. By ``writer`` leave ``{"begin": stage}``, and last ``{"result": ...}`` or ``{"error": ...}``."""
    code = 1
    try:
        os.setsid()
        _die_with_parent()
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        import faulthandler

        faulthandler.enable()
        _limit(float(request["memory_gb"]))
        emit = _emitter(writer)
        try:
            emit({"result": resolve(request["call"])(request["payload"], lambda stage: emit({"begin": stage}))})
            code = 0
        except BaseException as error:
            traceback.print_exc()
            emit({"error": {"kind": type(error).__name__, "message": str(error)[:2000]}})
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)  # no clean-up of what the host still uses


def _emitter(writer: int) -> Callable[[dict[str, Any]], None]:
    def emit(event: dict[str, Any]) -> None:
        _send(writer, event)

    return emit


def _send(handle: int, value: dict[str, Any]) -> None:
    data = json.dumps(value, allow_nan=False).encode() + b"\n"
    while data:
        data = data[os.write(handle, data) :]


def _limit(memory_gb: float) -> None:
    """Cap what the child may allocate (a MemoryError in it), and make it the first the kernel ends when memory is short."""
    import resource

    if memory_gb > 0:
        limit = int(memory_gb * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    try:
        with open("/proc/self/oom_score_adj", "w") as handle:
            handle.write("1000")
    except OSError as error:
        print(f"worker host: oom_score_adj not set: {error}", file=sys.stderr)


def _die_with_parent() -> None:
    """Ask the kernel to end the child when the host is killed outright."""
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def resolve(call: str) -> Callable[..., Any]:
    """The function that ``module:name`` names."""
    module, name = call.split(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
