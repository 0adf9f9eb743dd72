"""An input folder in a store: found by its listing, read by workers. No video passes through the driver."""

from __future__ import annotations

import bisect
import dataclasses
import importlib
import itertools
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipelines.ledger import fingerprint
from pipelines.storage import Entry, Store, in_parallel
from pipelines.workplace import safe_name, scratch_folder
from schemas.clip import Source
from schemas.config import Config, RunConfig


@dataclass(frozen=True)
class Remote:
    """What may be a source, by the listing alone.

    Attributes:
        left, right, sidecar: names below the input; those of image folders end with ``/``.
        files: every object that belongs to it.
        state: hash of the names, sizes and times of these.
    """

    name: str
    left: str | None
    right: str | None
    sidecar: str | None
    files: tuple[str, ...]
    state: str


def remote_candidates(uri: str, line: str, run: RunConfig) -> tuple[list[Remote], list[tuple[str, str, str]]]:
    """Everything below the address that is named like a source, and what cannot be one: (name, reason, detail).

    The rules are those of a folder of this machine, because it is one that they are applied to: empty files of the same names.
    """
    listing = Store(uri).listing()
    refused = [
        (name[:200], "unreadable_file", "expected a plain path as the object's name") for name in listing if not _plain(name)
    ]
    objects = {name: entry for name, entry in listing.items() if _plain(name)}
    scratch = scratch_folder(run)
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="names-", dir=scratch) as temporary:
        root = Path(temporary) / _root_name(uri)
        root.mkdir()
        for name in sorted(objects):
            path = root / name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            except OSError as error:  # one object is named like the folder of another
                refused.append((name, "unreadable_file", f"its name cannot stand beside the others: {error.strerror}"))
                del objects[name]
        ordered = sorted(objects)
        found = [_remote(item, root, objects, ordered) for item in importlib.import_module(line).candidates(root)]
    return found, refused


def _plain(name: str) -> bool:
    return safe_name(name) and len(name.encode("utf-8", "surrogateescape")) < 900


def _root_name(uri: str) -> str:
    return uri.partition("?")[0].rstrip("/").rpartition("/")[2]


def _below(folder: str, ordered: Sequence[str]) -> list[str]:
    """The names that begin with ``folder``, out of sorted ones."""
    first = bisect.bisect_left(ordered, folder)
    return list(itertools.takewhile(lambda name: name.startswith(folder), itertools.islice(ordered, first, None)))


def _remote(item: Any, root: Path, objects: dict[str, Entry], ordered: Sequence[str]) -> Remote:
    def name_of(path: Path | None) -> str | None:
        if path is None:
            return None
        return path.relative_to(root).as_posix() + ("/" if path.is_dir() else "")

    eyes = [name_of(item.left), name_of(item.right)]
    files: list[str] = []
    for eye in filter(None, eyes):
        files += [n for n in _below(eye, ordered) if "/" not in n[len(eye) :]] if eye.endswith("/") else [eye]
    sidecar = name_of(item.sidecar)
    files += [sidecar] if sidecar else []
    files += _annotations(eyes[0], ordered)
    state = fingerprint([(name, objects[name].size, objects[name].mtime_ns) for name in files if name in objects])
    return Remote(item.name, eyes[0], eyes[1], sidecar, tuple(files), state)


def _annotations(left: str | None, ordered: Sequence[str]) -> list[str]:
    """The objects of a source's annotations: ``X/annotations/`` beside ``X/left.mp4``, ``X.annotations/`` beside ``X.mp4``."""
    if left is None:
        return []
    path = PurePosixPath(left)
    folder = path.with_name("annotations") if path.stem.lower() == "left" else path.with_suffix(".annotations")
    return _below(f"{folder}/", ordered)


def read_candidate(payload: dict[str, Any], config: Config, scratch: Path) -> tuple[Source, Source]:
    """Fetch a candidate's objects below ``scratch`` and read the source that it is: with paths there, and with addresses.

    Raises:
        Rejected: it is none.
    """
    from curation.video.sources import Candidate

    uri, about = payload["input"], payload["candidate"]
    folder, store = scratch / _root_name(uri), Store(uri)
    in_parallel(lambda name: store.download(name, folder / name), about["files"], 8)

    def path(name: str | None) -> Path | None:
        return folder / name if name else None

    candidate = Candidate(about["name"], path(about["left"]), path(about["right"]), path(about["sidecar"]))
    local: Source = importlib.import_module(payload["line"]).read_source(candidate, config.video)
    left = store.address(about["left"])
    right = store.address(about["right"]) if local.right else None
    annotations = store.address(f"{Path(local.annotations).relative_to(folder).as_posix()}/") if local.annotations else ""
    return local, dataclasses.replace(local, left=left, right=right, annotations=annotations)
