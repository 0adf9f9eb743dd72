"""Where a worker does its work: in the run folder itself, or in a folder of its own when the run lives in a store.

With a store no disk is shared: the worker fetches what the clip has so far, and puts every finished product there before
the record that vouches for it.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import shutil
import tempfile
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipelines.files import json_safe
from pipelines.ledger import Ledger, Record
from pipelines.storage import Store, in_parallel, is_uri
from schemas import run_folder as names
from schemas.clip import Source
from schemas.config import Config, RunConfig


def scratch_folder(run: RunConfig) -> Path:
    """This machine's folder for fetched and half-made files (``run.scratch``)."""
    usual = f"{tempfile.gettempdir()}/mllm4d-{os.getuid()}"
    return Path(os.path.expandvars(run.scratch or usual)).expanduser()


class Workplace:
    """The run folder as a worker sees it: ``output`` is a folder of this machine, ``keep`` and ``forget`` move records.

    Attributes:
        output: the run folder, or a part copy of it.
        records: kept here, for a driver that has another disk.
    """

    def __init__(self, output: Path, store: Store | None = None, clip_id: str = "") -> None:
        self.output, self.records = output, list[Record]()
        self._ledger, self._store, self._clip_id = Ledger(output), store, clip_id
        self._sent: dict[Path, tuple[int, int]] = self._products()

    def failures(self, stage: str, item_id: str, print_: str) -> int:
        """How often this stage failed for this clip with this very fingerprint."""
        if self._store and self._ledger.read(stage, item_id) is None:
            with suppress(FileNotFoundError):
                path = self._ledger.path(stage, item_id)
                self._store.download(path.relative_to(self.output).as_posix(), path)
        return self._ledger.failures(stage, item_id, print_)

    def forget(self, stage: str, item_id: str) -> None:
        """Remove a record, before what it speaks for is overwritten."""
        self._ledger.forget(stage, item_id)
        if self._store:
            self._store.delete(self._ledger.path(stage, item_id).relative_to(self.output).as_posix())

    def keep(self, record: Record) -> None:
        """Write a record, after the products that it speaks for."""
        if self._store:
            now = self._products()
            changed = [path for path, state in now.items() if self._sent.get(path) != state]
            store, output = self._store, self.output
            in_parallel(lambda path: store.upload(path, path.relative_to(output).as_posix()), changed, 4)
            self._sent = now
        self._ledger.write(record)
        if self._store:
            path = self._ledger.path(record.stage, record.item_id)
            self._store.write(path.relative_to(self.output).as_posix(), path.read_bytes())
            self.records.append(record)

    def told(self) -> list[dict[str, Any]]:
        """The records as JSON."""
        return [{**dataclasses.asdict(record), "stats": json_safe(record.stats)} for record in self.records]

    def _products(self) -> dict[Path, tuple[int, int]]:
        """The clip's products, with what shows that one changed; temporary files apart."""
        folder = self.output / names.clip_folder(self._clip_id)
        if not self._store or not self._clip_id or not folder.is_dir():
            return {}
        files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))
        return {path: ((status := path.stat()).st_mtime_ns, status.st_size) for path in files}


@contextmanager
def workplace(payload: dict[str, Any], clip_id: str = "", *, fetch: bool = False) -> Iterator[Workplace]:
    """The place that a task's payload names; with ``fetch``, what the store has of the clip is brought."""
    if not payload.get("store"):
        yield Workplace(Path(payload["output"]))
        return
    store = Store(payload["store"])
    rooms = scratch_folder(Config.model_validate(payload["config"]).run) / "work"
    rooms.mkdir(parents=True, exist_ok=True)
    _sweep(rooms)
    place = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=rooms))
    try:
        if fetch:
            folder = names.clip_folder(clip_id)
            found = [f"{folder}/{name}" for name in store.listing(folder)]
            in_parallel(lambda name: store.download(name, place / name), [n for n in found if safe_name(n)], 4)
        yield Workplace(place, store, clip_id)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _sweep(rooms: Path) -> None:
    """Remove what workers that were killed left behind."""
    for left in rooms.iterdir():
        pid = left.name.partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(left, ignore_errors=True)


def safe_name(name: str) -> bool:
    """Whether an object's name stays below the folder it is fetched to."""
    return not name.startswith("/") and all(part not in ("", ".", "..") for part in name.split("/")) and "\0" not in name


@contextmanager
def at_hand(source: Source, run: RunConfig) -> Iterator[Source]:
    """The source with paths of this machine; one in a store is fetched once per machine and kept while there is room.

    Raises:
        RuntimeError: the bytes in the store are not those that were planned.
    """
    if not is_uri(source.left):
        yield source
        return
    from curation.video.sources import annotations_hash, content_hash, image_files

    cache = scratch_folder(run) / "sources"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / _key(source)
    with (cache / f"{folder.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _make_room(cache, run.scratch_gb)
            filling = Path(tempfile.mkdtemp(prefix=".fill-", dir=cache))
            try:
                local = _fetch(source, filling)
                eyes = [Path(p) for p in (local.left, local.right) if p]
                files = [f for eye in eyes for f in (image_files(eye) if eye.is_dir() else [eye])]
                checks = [("the bytes", content_hash(files), source.sha256)]
                if local.annotations:
                    checks.append(("the annotations", annotations_hash(Path(local.annotations)), source.annotations_sha256))
                for what, got, planned in checks:
                    if got != planned:
                        raise RuntimeError(
                            f"expected {what} of {source.name!r} that were planned (sha256 {planned[:12]}...), the store has "
                            f"others now ({got[:12]}...): run again, it is then planned anew"
                        )
                os.replace(filling, folder)
            finally:
                shutil.rmtree(filling, ignore_errors=True)
        os.utime(folder)
        fcntl.flock(lock, fcntl.LOCK_SH)  # while it is read, nobody makes room with it
        if folder.exists():
            yield _placed(source, folder)
            return
    with at_hand(source, run) as again:  # removed between the two locks
        yield again


def _key(source: Source) -> str:
    return f"{source.sha256[:32]}{source.annotations_sha256[:16]}"


def adopt(source: Source, local: Source, run: RunConfig) -> None:
    """Put files that were just fetched and hashed where ``at_hand`` looks, so that they are not fetched again."""
    cache = scratch_folder(run) / "sources"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / _key(source)
    with (cache / f"{folder.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return
        _make_room(cache, run.scratch_gb)
        filling = Path(tempfile.mkdtemp(prefix=".fill-", dir=cache))
        for part, path in (("left", local.left), ("right", local.right), ("annotations", local.annotations)):
            if path:
                (filling / part).mkdir()
                shutil.move(path, filling / part / Path(path).name)
        os.replace(filling, folder)


def _fetch(source: Source, folder: Path) -> Source:
    """Bring the files of both eyes into ``folder/left`` and ``folder/right``, under their own names; annotations likewise."""
    for part, address in (("left", source.left), ("right", source.right), ("annotations", source.annotations)):
        if not address:
            continue
        base, name = _split(address)
        store = Store(base)
        wanted = (
            [f"{name}/{n}" for n in store.listing(name) if safe_name(n)] if address.partition("?")[0].endswith("/") else [name]
        )

        def bring(item: str, part: str = part, store: Store = store) -> None:
            store.download(item, folder / part / item)

        in_parallel(bring, wanted, 4)
    return _placed(source, folder)


def _placed(source: Source, folder: Path) -> Source:
    def here(part: str, address: str) -> str:
        return str(folder / part / _split(address)[1])

    return dataclasses.replace(
        source,
        left=here("left", source.left),
        right=here("right", source.right) if source.right else None,
        annotations=here("annotations", source.annotations) if source.annotations else "",
    )


def _split(address: str) -> tuple[str, str]:
    """Address of the folder above, and the last name."""
    path, _, query = address.partition("?")
    base, _, name = path.rstrip("/").rpartition("/")
    return base + (f"?{query}" if query else ""), urllib.parse.unquote(name)


def _make_room(cache: Path, limit_gb: float) -> None:
    """Remove the sources that were used longest ago until the rest fits; what another process reads stays."""
    folders = sorted((p for p in cache.iterdir() if p.is_dir() and not p.name.startswith(".")), key=lambda p: p.stat().st_mtime)
    sizes = {p: sum(f.stat().st_size for f in p.rglob("*") if f.is_file()) for p in folders}
    total = sum(sizes.values())
    for folder in folders:
        if total <= limit_gb * 2**30:
            return
        with (cache / f"{folder.name}.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(folder, ignore_errors=True)
            total -= sizes[folder]


def with_local_files(config: Config) -> Config:
    """The configuration with every address in a room's section (a model's weights, say) replaced by a local copy of it.

    Fetched once per machine, below ``run.scratch``. Fingerprints are taken of the addresses, not of the copies.
    """
    root = scratch_folder(config.run) / "models"

    def local(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: local(item) for key, item in value.items()}
        if isinstance(value, list):
            return [local(item) for item in value]
        return str(fetched(value, root)) if isinstance(value, str) and value.startswith(("s3://", "gs://")) else value

    values = config.model_dump(mode="json")
    changed = {name: section if name == "run" else local(section) for name, section in values.items()}
    return Config.model_validate(changed) if changed != values else config


def fetched(address: str, root: Path) -> Path:
    """A local copy of an object, or of everything below an address, made once; it appears whole.

    Raises:
        FileNotFoundError: there is nothing at the address.
    """
    from pipelines.ledger import fingerprint

    base, name = _split(address)
    target = root / fingerprint(address) / name
    root.mkdir(parents=True, exist_ok=True)
    with (root / f"{target.parent.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return target
        store = Store(base)
        filling = Path(tempfile.mkdtemp(prefix=".fill-", dir=root))
        try:
            found = [n for n in store.listing(name) if safe_name(n)]
            if found:
                in_parallel(lambda n: store.download(f"{name}/{n}", filling / name / n), found, 8)
            else:
                store.download(name, filling / name)
            os.replace(filling, target.parent)
        finally:
            shutil.rmtree(filling, ignore_errors=True)
    return target


def read_records(told: Sequence[dict[str, Any]]) -> list[Record]:
    """The inverse of ``Workplace.told``."""
    return [Record(**json.loads(json.dumps(value))) for value in told]
