"""Only one run works on an output in a store: there is no file lock there, so each run keeps a fresh mark beside it."""

from __future__ import annotations

import _thread
import json
import os
import socket
import threading
import uuid
from types import TracebackType

from pipelines.ledger import OutputIsBusy
from pipelines.storage import Store

FOLDER = "lock"
BEAT_S = 15.0
EXPIRES_S = 90.0  # without a beat for so long, a run counts as dead


class Lease:
    """Holds ``lock/<own>.json``, renewed every ``BEAT_S``; ages are by the store's clock, never by this machine's.

    The mark is written first and the others are listed after: of two runs that start together at least one sees the other,
    so that never both go on. A run that was cut off for longer than ``EXPIRES_S`` and finds another in its place is
    interrupted.

    Raises:
        OutputIsBusy: another run holds a fresh mark; the message names it.
    """

    def __init__(self, store: Store, *, beat_s: float = BEAT_S, expires_s: float = EXPIRES_S) -> None:
        self._store, self._beat_s, self._expires_s = store, beat_s, expires_s
        self._own = f"{uuid.uuid4().hex}.json"
        self._stop = threading.Event()
        self.lost = False

    def __enter__(self) -> Lease:
        self._mark()
        others = self._live()
        if others:
            holder = self._holder(others[0])
            self._store.delete(f"{FOLDER}/{self._own}")
            raise OutputIsBusy(
                f"expected {self._store.uri} to be free; another run holds it ({holder}). Wait for it, stop it, or choose "
                f"another --output. A run that died is forgotten after {self._expires_s:g} s."
            )
        self._thread = threading.Thread(target=self._keep, daemon=True, name="lease")
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(self._beat_s)
        self._store.delete(f"{FOLDER}/{self._own}")

    def _mark(self) -> None:
        about = {"pid": os.getpid(), "host": socket.gethostname()}
        self._store.write(f"{FOLDER}/{self._own}", json.dumps(about).encode())

    def _keep(self) -> None:
        while not self._stop.wait(self._beat_s):
            try:
                self._mark()
                self.lost = bool(self._live())
            except OSError:  # the store is away: the next beat tells
                continue
            if self.lost:
                print("\nanother run took over this output while this one was cut off; it ends here", flush=True)
                _thread.interrupt_main()
                return

    def _live(self) -> list[str]:
        """Marks of other runs that are fresh; expired ones are removed."""
        found = live(self._store, self._expires_s)
        return [name for name in found if name != self._own]

    def _holder(self, name: str) -> str:
        return holder(self._store, name)


def live(store: Store, expires_s: float = EXPIRES_S) -> list[str]:
    """Names of the fresh marks beside an output; fresh is by comparison with the newest of them."""
    marks = store.listing(FOLDER)
    newest = max((entry.mtime_ns for entry in marks.values()), default=0)
    return sorted(name for name, entry in marks.items() if newest - entry.mtime_ns < expires_s * 1e9)


def holder(store: Store, name: str) -> str:
    """Process and machine that a mark names."""
    try:
        about = json.loads(store.read(f"{FOLDER}/{name}"))
        return f"pid {about['pid']} on {about['host']}"
    except (OSError, ValueError, KeyError):
        return "unknown"
