"""Objects below an ``s3://`` or ``gs://`` address: whole or absent, never half; calls that fail are made again.

Addresses: ``s3://BUCKET/PREFIX``, ``gs://BUCKET/PREFIX``, with ``?region=`` and ``?endpoint_override=`` where a store needs
them (MinIO, Ceph; ``AWS_ENDPOINT_URL`` does the same). Keys come from where the SDKs look for them (environment, profile,
the machine's role), never from the address: addresses are written into records.
"""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pipelines.masking import environment_secrets, scrub

T = TypeVar("T")
SCHEMES = ("s3", "gs", "file")  # file: a folder treated as a store, for tests
ATTEMPTS = 6
CONCURRENT = 16
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 20.0
_BLOCK = 1 << 22
# A wrong key or bucket stays wrong: these are told at once.
_FINAL = ("ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "NO_SUCH_BUCKET", "403", "INVALID_SIGNATURE")


class StoreError(OSError):
    """A store cannot be used; the message says what was tried and what to look at."""


@dataclass(frozen=True)
class Entry:
    """What a listing says of an object."""

    size: int
    mtime_ns: int


def is_uri(text: str | Path) -> bool:
    """Whether ``text`` is an address of a store and not a path of this machine."""
    return "://" in str(text)


class Store:
    """The objects below one address. ``name`` is a path relative to it, POSIX style. Safe for many threads.

    Raises:
        StoreError: an address of another kind, or one with keys in it; and, in every method, a call that failed
            ``ATTEMPTS`` times. ``FileNotFoundError`` where an object does not exist.
    """

    def __init__(self, uri: str, *, attempts: int = ATTEMPTS) -> None:
        self.uri = uri.rstrip("/")
        self._attempts = attempts
        try:
            self._system, self._root = _file_system(self.uri)
        except StoreError:
            raise
        except OSError as error:
            raise _cannot("open", self.uri, error) from error

    def at(self, folder: str) -> Store:
        """The store of what lies below ``folder``."""
        address, _, query = self.uri.partition("?")
        return Store(f"{address}/{urllib.parse.quote(folder)}" + (f"?{query}" if query else ""), attempts=self._attempts)

    def address(self, name: str) -> str:
        """The full address of one object."""
        address, _, query = self.uri.partition("?")
        return f"{address}/{urllib.parse.quote(name)}" + (f"?{query}" if query else "")

    def read(self, name: str) -> bytes:
        """The object's bytes."""

        def call() -> bytes:
            with self._system.open_input_stream(self._path(name)) as stream:
                data: bytes = stream.read()
                return data

        return self._try("read", name, call)

    def write(self, name: str, data: bytes) -> None:
        """Put an object in place at once."""
        self._try("write", name, lambda: self._put(name, [data]))

    def upload(self, file: Path, name: str) -> None:
        """Put a file's bytes in place at once."""

        def call() -> None:
            with file.open("rb") as stream:
                self._put(name, iter(lambda: stream.read(_BLOCK), b""))

        self._try("write", name, call)

    def download(self, name: str, file: Path) -> None:
        """Write the object to ``file``, which appears at once."""
        from pipelines.files import replacing

        def call() -> None:
            with (
                replacing(file) as temporary,
                self._system.open_input_stream(self._path(name)) as stream,
                temporary.open("wb") as out,
            ):
                while block := stream.read(_BLOCK):
                    out.write(block)

        self._try("read", name, call)

    def copy(self, name: str, target: str) -> None:
        """Copy an object inside the store; its bytes do not pass through this machine."""

        def call() -> None:
            self._make_parent(target)
            self._system.copy_file(self._path(name), self._path(target))

        self._try("copy", name, call)

    def delete(self, name: str) -> None:
        """Remove an object, if it is there."""
        from contextlib import suppress

        with suppress(FileNotFoundError):
            self._try("delete", name, lambda: self._system.delete_file(self._path(name)))

    def delete_folder(self, folder: str) -> None:
        """Remove everything below ``folder``."""
        names = [f"{folder}/{name}" for name in self.listing(folder)]
        in_parallel(self.delete, names)
        from contextlib import suppress

        with suppress(FileNotFoundError):  # the mark that a store keeps for an empty folder
            self._try("delete", folder, lambda: self._system.delete_dir(self._path(folder)))

    def listing(self, folder: str = "") -> dict[str, Entry]:
        """Every object below ``folder``, by its name relative to it."""
        from pyarrow.fs import FileSelector, FileType

        root = self._path(folder) if folder else self._root

        def call() -> dict[str, Entry]:
            infos = self._system.get_file_info(FileSelector(root, recursive=True, allow_not_found=True))
            files = (i for i in infos if i.type == FileType.File)
            return {i.path[len(root) :].lstrip("/"): Entry(i.size, i.mtime_ns or 0) for i in files}

        return self._try("list", folder, call)

    def entry(self, name: str) -> Entry | None:
        """What is known of one object, None where it does not exist."""
        from pyarrow.fs import FileType

        info = self._try("look at", name, lambda: self._system.get_file_info(self._path(name)))
        return Entry(info.size, info.mtime_ns or 0) if info.type == FileType.File else None

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _put(self, name: str, blocks: Iterable[bytes]) -> None:
        path = self._path(name)
        self._make_parent(name)
        whole = path if self._system.type_name != "local" else f"{path}.{os.getpid()}.part"
        with self._system.open_output_stream(whole) as stream:
            for block in blocks:
                stream.write(block)
        if whole != path:
            self._system.move(whole, path)

    def _make_parent(self, name: str) -> None:
        if self._system.type_name == "local":
            self._system.create_dir(self._path(name).rpartition("/")[0], recursive=True)

    def _try(self, what: str, name: str, call: Callable[[], T]) -> T:
        import tenacity

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_pass),
            wait=tenacity.wait_exponential(_FIRST_WAIT_S, _LONGEST_WAIT_S) + tenacity.wait_random(0, _FIRST_WAIT_S),
            stop=tenacity.stop_after_attempt(self._attempts),
            reraise=True,
        )
        try:
            return retrying(call)
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno == 28:  # this machine's disk is full, whatever the store does
                raise
            raise _cannot(what, self.address(name), error) from error


def _cannot(what: str, address: str, error: OSError) -> StoreError:
    words = scrub(" ".join(str(error).split()), environment_secrets())[:300]
    return StoreError(
        f"cannot {what} {address}: {words}. Look at the address, the keys (AWS_ACCESS_KEY_ID, a "
        "profile, the machine's role) and the network; the same command then continues."
    )


def _may_pass(error: BaseException) -> bool:
    """Whether the same call can succeed later: not where a name, a key or a right is wrong."""
    if not isinstance(error, OSError) or isinstance(error, (FileNotFoundError, StoreError)) or error.errno == 28:
        return False
    return not any(word in str(error) for word in _FINAL)


def _file_system(uri: str) -> tuple[Any, str]:
    """The pyarrow file system of an address, and the path in it."""
    from pyarrow import fs

    parts = urllib.parse.urlsplit(uri)
    if parts.scheme not in SCHEMES:
        raise StoreError(f"expected a path, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX, got {parts.scheme}://...")
    if "@" in parts.netloc:
        raise StoreError(
            f"expected {parts.scheme}://BUCKET/PREFIX without keys in it: addresses are written into records. Put keys into "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )
    options = dict(urllib.parse.parse_qsl(parts.query))
    if unknown := set(options) - {"region", "endpoint_override", "scheme"}:
        raise StoreError(f"expected only ?region, ?endpoint_override, ?scheme behind an address, got {sorted(unknown)}")
    path = (parts.netloc + urllib.parse.unquote(parts.path)).rstrip("/")
    if parts.scheme == "file":
        return fs.LocalFileSystem(), path
    if not parts.netloc:
        raise StoreError(f"expected {parts.scheme}://BUCKET/PREFIX, got no bucket in {uri!r}")
    if parts.scheme == "gs":
        return fs.GcsFileSystem(**{k: v for k, v in options.items() if k != "region"}), path
    endpoint = options.pop("endpoint_override", "") or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = options.pop("region", "") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if endpoint:
        options |= {"endpoint_override": endpoint, "region": region or "us-east-1"}  # other stores than AWS take any region
    else:
        options["region"] = region or fs.resolve_s3_region(parts.netloc)
    # One request per small object; nothing is made that was not asked for.
    system = fs.S3FileSystem(**options, allow_delayed_open=True, background_writes=False)
    return system, path


def in_parallel(call: Callable[..., T], items: Iterable[Any], workers: int = CONCURRENT) -> list[T]:
    """``call`` of every item, some at a time, results in order; the first exception is raised."""
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(call, items))
