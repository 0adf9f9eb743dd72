"""Worker hosts that outlive a run, for tests that build dozens of times: importing everything anew is most of a build's cost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from pipelines import local_runner
from pipelines.local_runner import Host, LocalRunner, Reply, Task

_Key = tuple[tuple[str, ...], frozenset[tuple[str, str]]]


class KeptHost(Host):
    """A host that knows the environment it was started with, and whether it is at work."""

    def __init__(self, preload: tuple[str, ...] = ()) -> None:
        super().__init__(preload)
        self.key, self.busy = _key(preload), False

    def run(self, task: Task) -> Reply:
        self.busy = True
        reply = super().run(task)
        self.busy = False
        return reply


def _key(preload: tuple[str, ...]) -> _Key:
    return preload, frozenset((name, value) for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST")


@pytest.fixture(scope="module")
def kept_hosts() -> Iterator[None]:
    """Runs in this process take hosts that earlier runs of the module left, where the environment is still the same.

    A host at work when its run ends (an interruption) is ended with it, as ever. ``test_local_runner`` does without this.
    """
    idle: dict[_Key, list[KeptHost]] = {}

    def host(preload: tuple[str, ...]) -> KeptHost:
        waiting = idle.get(_key(preload))
        return waiting.pop() if waiting else KeptHost(preload)

    def close(runner: Any) -> None:
        hosts, runner._hosts = runner._hosts, []
        for each in hosts:
            if each.busy:
                each.close()
            else:
                idle.setdefault(each.key, []).append(each)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_runner, "Host", host)
        patch.setattr(LocalRunner, "close", close)
        yield
    for each in (host for hosts in idle.values() for host in hosts):
        each.close()
