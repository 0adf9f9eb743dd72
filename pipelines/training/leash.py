"""Runs a command that does not outlive its launcher: ``python -m pipelines.training.leash COMMAND...`` (never by hand).

Trainers and servers start processes of their own, which hold GPU memory. The launcher keeps a pipe open to this process's
stdin. When the pipe closes, because the launcher ended in whatever way (a kill -9 included), or on SIGTERM, the command's
whole process group is ended: politely first, then for good.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys

GRACE_S = 30.0


def main(argv: list[str]) -> int:
    """Run the command; its exit status."""
    wake, waker = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.write(waker, b"x"))
    try:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        print(f"{argv[0]} cannot be started: {error.strerror}", file=sys.stderr)
        return 127
    ended = os.pidfd_open(child.pid)
    ready, _, _ = select.select([0, wake, ended], [], [])
    if ended not in ready:
        _signal(child.pid, signal.SIGTERM)
        select.select([ended], [], [], float(os.environ.get("LEASH_GRACE_S", GRACE_S)))
    _signal(child.pid, signal.SIGKILL)  # what the command left behind goes with it
    status = child.wait()
    return status if status >= 0 else 128 - status


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
