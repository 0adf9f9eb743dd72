"""What a process has used: core-seconds and peak memory. Standard library only: worker hosts import it first."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path


def core_s(who: int = resource.RUSAGE_SELF) -> float:
    """User and system time of this process (or, with ``RUSAGE_CHILDREN``, of its ended children), seconds."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def peak_mb() -> float:
    """Peak resident memory of this process since its start or the last ``reset_peak``, MiB.

    The kernel's own mark is read where there is one: ``ru_maxrss`` of a started program begins at the peak of the process that
    started it, and so tells of a large parent and not of the program.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return (kilobytes[0] if kilobytes else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1024


def reset_peak() -> None:
    """Forget the peak of resident memory; where the kernel does not offer it, ``peak_mb`` goes on counting from the start."""
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as handle:
        handle.write("5")
