"""Carries out a launch on this machine: files, commands, a rollout server that lives exactly as long as its trainer."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipelines.files import write_text
from pipelines.masking import environment_secrets, scrub
from pipelines.training.job import ROOT, Launch, Process

LOGS = "logs"
_TAIL_LINES = 15
_POLL_S = 0.2


class Ended(RuntimeError):
    """A process ended that should not have; the message names it, its status and the end of its log."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Running:
    """A started process: its output goes to a log, and to ``say`` line by line."""

    def __init__(self, process: Process, log: Path, say: Callable[[str], None] | None) -> None:
        self.process, self.log = process, log
        self._secrets = environment_secrets()
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **process.env}
        environment["PATH"] = os.pathsep.join([environment.get("PATH", os.defpath), os.path.dirname(sys.executable)])
        leash = {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), environment.get("PYTHONPATH"))))}
        self._child = subprocess.Popen(
            [sys.executable, "-m", "pipelines.training.leash", *process.argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=process.cwd,
            env=environment | leash,
        )
        assert self._child.stdout is not None
        self._pump = threading.Thread(target=self._copy, args=(self._child.stdout, say), daemon=True)
        self._pump.start()

    def _copy(self, output: IO[bytes], say: Callable[[str], None] | None) -> None:
        with self.log.open("a", encoding="utf-8") as log:
            for raw in output:
                line = scrub(raw.decode(errors="replace").rstrip(), self._secrets).rpartition("\r")[2]
                log.write(line + "\n")
                log.flush()
                if say is not None:
                    say(line)

    def poll(self) -> int | None:
        """The exit status, None while it runs."""
        return self._child.poll()

    def wait(self) -> int:
        """The exit status, when it has ended and all its output is in the log."""
        status = self._child.wait()
        self._pump.join(timeout=10)
        return status

    def stop(self) -> int:
        """End it and what it started; safe to call again."""
        assert self._child.stdin is not None
        if self.poll() is None:
            self._child.stdin.close()
        return self.wait()

    def last_words(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        return "\n".join(f"    {line}" for line in lines[-_TAIL_LINES:])

    def complain(self) -> Ended:
        """The error that says how it ended."""
        status = self.wait()
        return Ended(f"{self.process.name} ended with status {status}; the end of {self.log}:\n{self.last_words()}", status)


@contextmanager
def running(process: Process, folder: Path, say: Callable[[str], None] | None = None) -> Iterator[Running]:
    """A process that is stopped when the block is left, however it is left."""
    started = Running(process, folder / LOGS / f"{process.name}.log", say)
    try:
        yield started
    finally:
        started.stop()


def carry_out(launch: Launch, folder: Path, say: Callable[[str], None] = print) -> None:
    """Do all of a launch, in its order.

    Raises:
        Ended: a command failed, or the server did not get ready or went away before its trainer.
    """
    for path, content in launch.files.items():
        write_text(path, content)
    for process in launch.before:
        _run(process, folder, say)
    if launch.server is None:
        _run(launch.trainer, folder, say)
    else:
        with running(launch.server, folder) as server:
            wait_until_healthy(server, say)
            _run(launch.trainer, folder, say, beside=server)
            say(f"stopping {launch.server.name}")
    for process in launch.after:
        _run(process, folder, say)


def _run(process: Process, folder: Path, say: Callable[[str], None], beside: Running | None = None) -> None:
    say(f"{process.name}: {process.shell()}")
    with running(process, folder, say) as started:
        while started.poll() is None:
            if beside is not None and beside.poll() is not None:
                started.stop()
                raise beside.complain()
            time.sleep(_POLL_S)
        if started.wait():
            raise started.complain()


def wait_until_healthy(server: Running, say: Callable[[str], None]) -> None:
    """Wait for 200 from the server's health address.

    Raises:
        Ended: it ended, or did not answer in time.
    """
    process, began = server.process, time.monotonic()
    say(f"{process.name}: {process.shell()}")
    say(f"waiting for {process.health} (log: {server.log})")
    while not _answers(process.health):
        if server.poll() is not None:
            raise server.complain()
        if time.monotonic() - began > process.health_timeout_s:
            raise Ended(
                f"{process.name} did not answer at {process.health} within {process.health_timeout_s:.0f} s "
                f"(rollout_timeout_s); the end of {server.log}:\n{server.last_words()}",
                1,
            )
        time.sleep(min(1.0, max(_POLL_S, process.health_timeout_s / 100)))
    say(f"{process.name} is ready after {time.monotonic() - began:.0f} s")


def _answers(address: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy has no business on loopback
    try:
        with opener.open(address, timeout=5) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError):
        return False
