"""A worker host: it imports the heavy libraries once, then runs every task in a forked child of its own.

    python -m pipelines.host MODULE...      (started by pipelines.local_runner.Host, never by hand)

Requests and replies are JSON lines on stdin and stdout. Whatever a child does - a native crash, a hang, a memory blow-up -
ends that child only. A fresh child per task also means that no task can see another's state. When stdin closes, because the
parent ended in whatever way, the running child is killed and the host ends.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from pipelines.masking import environment_secrets, scrub, secrets_of
from pipelines.usage import core_s, peak_mb

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


@dataclass
class _Child:
    """A running child: its process, where its events come from, what it prints, and (if it stays) where tasks go."""

    pid: int
    exited: int
    reader: int
    log: IO[bytes]
    tasks: int = -1

    def close(self) -> None:
        """Let go of the handles of a child that has ended."""
        for handle in (self.exited, self.reader, self.tasks):
            if handle >= 0:
                os.close(handle)
        self.log.close()


_resident: _Child | None = None  # the one child that stays; it keeps the models that it loaded


def serve(request: dict[str, Any], requests: int) -> dict[str, Any] | None:
    """Run one task in a child and describe how it ended; None when the parent went away meanwhile.

    A ``resident`` task runs in the child of the resident tasks before it, where models are loaded already. That child ends
    with the first task that fails in any way, so that nothing carries over from it.
    """
    global _resident
    started = time.monotonic()
    resident = bool(request.get("resident"))
    if _resident and _ended_by_itself(_resident):  # the kernel may have ended it, to have its memory
        os.wait4(_resident.pid, 0)
        _resident.close()
        _resident = None
    child = _resident if resident and _resident else _start(request, stays=resident)
    kept, _resident = (None, None) if resident else (_resident, None)
    printed = child.log.seek(0, os.SEEK_END)
    if resident:
        with contextlib.suppress(BrokenPipeError):  # it ended this very moment: the loop below finds out
            _send(child.tasks, request)
    os.set_blocking(child.reader, False)
    deadline = started + float(request["timeout_s"])
    events, timed_out, orphaned, done, ended = b"", False, False, False, False
    poller = select.poll()
    for handle in (child.reader, child.exited, requests):
        poller.register(handle, select.POLLIN | select.POLLHUP)
    while not (done or timed_out or orphaned or ended):
        ready = poller.poll(max(0.0, deadline - time.monotonic()) * 1000)
        timed_out = not ready
        for handle, _ in ready:
            if handle == child.reader:
                chunk = _read(child.reader)
                events += chunk
                ended = resident and events.endswith(b"}\n") and _last(events).get("end") is not None
                if not chunk:
                    poller.unregister(child.reader)
            elif handle == child.exited:
                done = True
            else:
                orphaned = True
    status, cost = 0, _last(events).get("end") or {}
    if ended and cost["clean"] and not orphaned:
        _resident = child
    else:
        _kill_group(child.pid)
        _, status, usage = os.wait4(child.pid, 0)
        events += _read(child.reader)
        cost = cost or {"cpu_s": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss / 1024}
    if orphaned:
        return None
    # Secrets are found in more than is kept, since the cut may go through one.
    child.log.seek(max(printed, child.log.seek(0, os.SEEK_END) - 2 * LOG_TAIL_BYTES))
    said = scrub(child.log.read().decode(errors="replace"), _secrets(request))[-LOG_TAIL_BYTES:]
    reply = {
        "id": request["id"],
        "events": [json.loads(line) for line in events.decode().splitlines() if line.endswith("}")],
        "timed_out": timed_out,
        "exit": 0 if ended else os.waitstatus_to_exitcode(status),
        "seconds": time.monotonic() - started,
        "cpu_s": cost["cpu_s"],
        "peak_mb": cost["peak_mb"],
        "log": said,
    }
    if _resident is None:
        child.close()
        _resident = kept
    return reply


def _secrets(request: dict[str, Any]) -> set[str]:
    payload = request["payload"]
    return environment_secrets() | secrets_of(payload.get("config", {}) if isinstance(payload, dict) else {})


def _ended_by_itself(child: _Child) -> bool:
    return bool(select.select([child.exited], [], [], 0)[0])


def _last(events: bytes) -> dict[str, Any]:
    """The last whole event."""
    lines = [line for line in events.splitlines() if line.endswith(b"}")]
    event: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return event


def _start(request: dict[str, Any], *, stays: bool) -> _Child:
    log = tempfile.TemporaryFile()  # noqa: SIM115 (it is closed with the child)
    reader, writer = os.pipe()
    tasks, gives = os.pipe() if stays else (-1, -1)
    pid = os.fork()
    if pid == 0:
        if stays:
            os.close(gives)
        _child(request, writer, log, tasks)  # never returns
    os.close(writer)
    if stays:
        os.close(tasks)
    return _Child(pid, os.pidfd_open(pid), reader, log, gives)


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


def _child(request: dict[str, Any], writer: int, log: IO[bytes], tasks: int) -> None:
    """The child's whole life. By ``writer`` leave ``{"begin": stage}``, and last ``{"result": ...}`` or ``{"error": ...}``.

    With ``tasks`` (a handle that requests come from) it does one after another, and leaves ``{"end": cost}`` behind each.
    """
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
        if tasks < 0:
            code = int(not _perform(request, emit))
        else:
            with os.fdopen(tasks, "rb") as stream:
                for line in stream:
                    before = core_s()
                    clean = _perform(json.loads(line), emit)
                    emit({"end": {"clean": clean, "cpu_s": core_s() - before, "peak_mb": peak_mb()}})
            code = 0
    finally:
        os._exit(code)  # no clean-up of what the host still uses


def _perform(request: dict[str, Any], emit: Callable[[dict[str, Any]], None]) -> bool:
    """Do one task; whether nothing of it need be feared by the next one."""
    try:
        result = resolve(request["call"])(request["payload"], lambda stage: emit({"begin": stage}))
        emit({"result": result})
        return not (isinstance(result, dict) and result.get("outcome") == "failed")
    except BaseException as error:
        emit({"error": {"kind": type(error).__name__, "message": scrub(str(error), _secrets(request))[:2000]}})
        with contextlib.suppress(OSError):  # on a full disk there is no room for words either
            traceback.print_exc()
        return False
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()


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
