"""A run folder that lives in a store, as its driver works on it: a local copy of the records, kept in step.

The driver reads and writes files of this machine; ``pull`` brings what other runs left, ``push`` puts back what changed, and
``adopt`` takes over the records that workers put into the store themselves. Products of clips stay in the store; those that
a step of the driver reads are fetched when it comes to them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipelines.files import write_json
from pipelines.ledger import Ledger, Record
from pipelines.storage import CONCURRENT, Store, in_parallel
from pipelines.workplace import read_records, safe_name
from schemas import run_folder as names

INDEX = ".mirror.json"
LATEST = f"{names.PUBLISH}/LATEST"
_RACY_NS = 5 * 10**9  # a record this young may be replaced by another of its size within the store's resolution of time
_OWN = (names.RUN_JSON, names.CONFIG, names.QUARANTINE)
_KEPT_VERSIONS = 2


class Mirror:
    """The local copy at ``folder`` of the run folder in ``store``."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder = store, folder
        self._in_step: dict[str, tuple[int, int]] = {}  # name -> (mtime_ns, size) of the local file when both were the same

    def pull(self) -> None:
        """Bring every record, and the run's own files; what is known to be the same is not fetched again."""
        index = self.folder / INDEX
        known = json.loads(index.read_text(encoding="utf-8")) if index.exists() else {}
        remote = {f"{names.LEDGER}/{name}": entry for name, entry in self.store.listing(names.LEDGER).items()}
        remote |= {name: entry for name in _OWN if (entry := self.store.entry(name))}
        remote = {name: entry for name, entry in remote.items() if safe_name(name)}
        for path in self._local():
            name = path.relative_to(self.folder).as_posix()
            if name.startswith(f"{names.LEDGER}/") and name not in remote:
                path.unlink()
        missing = [
            name
            for name, entry in remote.items()
            if known.get(name) != [entry.size, entry.mtime_ns] or not (self.folder / name).exists()
        ]
        in_parallel(lambda name: self.store.download(name, self.folder / name), missing)
        now = max((entry.mtime_ns for entry in remote.values()), default=0)
        fresh = {name: [e.size, e.mtime_ns] for name, e in remote.items() if now - e.mtime_ns > _RACY_NS}
        write_json(index, fresh)
        self._in_step = {name: self._state(self.folder / name) for name in remote}

    def push(self) -> None:
        """Put back what this driver wrote or removed: first stale records go, then products come, then records."""
        local = {path.relative_to(self.folder).as_posix(): path for path in self._local()}
        states = {name: self._state(path) for name, path in local.items()}
        changed = [name for name in sorted(local) if self._in_step.get(name) != states[name]]
        gone = [name for name in self._in_step if name not in local]
        replaced = [n for n in changed if n in self._in_step and n.count("/") > 1 and n.startswith(f"{names.LEDGER}/")]
        in_parallel(self.store.delete, [*gone, *replaced])
        records = [name for name in changed if name.startswith(f"{names.LEDGER}/")]
        products = [name for name in changed if not name.startswith(f"{names.LEDGER}/")]
        for group in (products, records):
            in_parallel(lambda name: self.store.upload(local[name], name), group)
        self._in_step = states

    def adopt(self, clip_id: str, stages: Iterable[str], told: Sequence[dict[str, Any]]) -> None:
        """Take over what a worker recorded of a clip. It worked on ``stages``; those without a record have none now."""
        ledger = Ledger(self.folder)
        for stage in stages:
            ledger.forget(stage, clip_id)
            self._in_step.pop(ledger.path(stage, clip_id).relative_to(self.folder).as_posix(), None)
        for record in read_records(told):
            self._mirrored(ledger, record)

    def look_again(self, clip_id: str, stages: Iterable[str]) -> None:
        """Read a clip's records from the store: its worker went away without telling."""
        ledger = Ledger(self.folder)
        for stage in stages:
            path = ledger.path(stage, clip_id)
            name = path.relative_to(self.folder).as_posix()
            ledger.forget(stage, clip_id)
            self._in_step.pop(name, None)
            with suppress(FileNotFoundError):
                self.store.download(name, path)
                self._in_step[name] = self._state(path)

    def _mirrored(self, ledger: Ledger, record: Record) -> None:
        ledger.write(record)
        path = ledger.path(record.stage, record.item_id)
        self._in_step[path.relative_to(self.folder).as_posix()] = self._state(path)

    def fetch(self, clip_id: str, files: Iterable[str], tag: str) -> None:
        """Have a clip's products at hand, fetched anew where ``tag`` is not that of the ones here.

        Raises:
            FileNotFoundError: a product that its record vouches for is not in the store.
        """
        folder = self.folder / names.clip_folder(clip_id)
        for file in files:
            mark = folder / f".{file}.of"
            if mark.exists() and mark.read_text() == tag and (folder / file).exists():
                continue
            mark.unlink(missing_ok=True)
            self.store.download(f"{names.clip_folder(clip_id)}/{file}", folder / file)
            if file == names.SELECTED:  # the one product that the driver itself writes
                self._in_step[f"{names.clip_folder(clip_id)}/{file}"] = self._state(folder / file)
            mark.write_text(tag)

    def drop(self, clip_id: str, files: Iterable[str]) -> None:
        """Remove fetched products from this machine; they stay in the store."""
        for file in files:
            path = self.folder / names.clip_folder(clip_id) / file
            path.with_name(f".{file}.of").unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            self._in_step.pop(path.relative_to(self.folder).as_posix(), None)

    def latest(self) -> str:
        """Name of the published version that readers see; "" where there is none."""
        try:
            return self.store.read(LATEST).decode().strip()
        except FileNotFoundError:
            return ""

    def publish(self, folder: Path, version: str, videos: dict[str, str]) -> None:
        """Make ``folder`` the published version: all of it first, then the one object that says which version is current.

        Args:
            folder: the packed dataset; its videos may be empty stand-ins.
            version: name of the folder below ``publish/``.
            videos: name below ``folder`` -> object of the store with the bytes, copied inside the store.
        """
        before, store, root = self.latest(), self.store, f"{names.PUBLISH}/{version}"
        files = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
        present = store.listing(root)
        copies = {f"{root}/{name}": source for name, source in videos.items() if name not in present}
        in_parallel(lambda name: store.upload(folder / name, f"{root}/{name}"), [name for name in files if name not in videos])
        in_parallel(lambda name: store.copy(copies[name], name), list(copies))
        store.write(LATEST, f"{version}\n".encode())
        versions = {name.split("/")[0] for name in store.listing(names.PUBLISH) if "/" in name}
        for old in versions - {version, before}:  # a reader of the one before may still be at it
            store.delete_folder(f"{names.PUBLISH}/{old}")

    def _local(self) -> Iterator[Path]:
        """The files of this copy that belong into the store."""
        yield from (self.folder / name for name in _OWN if (self.folder / name).exists())
        for top in (names.LEDGER, names.LOGS):
            for path in (self.folder / top).rglob("*"):
                if path.is_file() and not path.name.startswith("."):
                    yield path
        yield from (self.folder / names.CLIPS).glob(f"*/{names.SELECTED}")

    @staticmethod
    def _state(path: Path) -> tuple[int, int]:
        status = path.stat()
        return status.st_mtime_ns, status.st_size


def ahead(call: Any, items: Sequence[Any], window: int = 2 * CONCURRENT) -> Iterator[tuple[Any, Any]]:
    """``(item, call(item))`` in order, with ``window`` calls under way: memory and disk stay bounded."""
    with ThreadPoolExecutor(CONCURRENT) as pool:
        waiting: list[tuple[Any, Future[Any]]] = []
        for item in items:
            waiting.append((item, pool.submit(call, item)))
            if len(waiting) >= window:
                first, future = waiting.pop(0)
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()
