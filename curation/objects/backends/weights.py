"""Where a model's weights come from: a path, a URL with a checksum, or a Hugging Face repository. Never silently a guess."""

from __future__ import annotations

import fcntl
import hashlib
import os
import urllib.error
import urllib.request
from functools import lru_cache
from pathlib import Path

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

CACHE_VARIABLE = "MLLM4D_WEIGHTS"
_CHUNK = 1 << 20
_ATTEMPTS = 4
_TIMEOUT_S = 30.0


class WeightsMissing(RuntimeError):
    """The weights are not here and cannot be fetched; the message says what to download, how, and how large it is."""


class WeightsDamaged(RuntimeError):
    """What was found or downloaded has another checksum than the configuration says."""


def cache_folder() -> Path:
    """Where downloads are kept: ``$MLLM4D_WEIGHTS``, else ``~/.cache/mllm4d/weights``."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "mllm4d" / "weights")


def fetch(weights: str, sha256: str, *, option: str, advice: str) -> Path:
    """The local file of ``weights``, downloaded once if it is a URL.

    A download that broke off goes on where it stopped; processes that want the same file wait for the one that loads it.

    Args:
        weights: path of a file, or an http(s) URL.
        sha256: hex digest that the file must have. A URL needs one; "" accepts any local file.
        option: name of the option that ``weights`` came from, for errors.
        advice: what to download, from where, and how large it is.

    Raises:
        WeightsMissing: nothing is configured, the path does not exist, or the URL cannot be reached.
        WeightsDamaged: the checksum differs, also of what lies in the cache already; a damaged download is removed.
        ValueError: a URL without a checksum.
    """
    if not weights:
        raise WeightsMissing(f"{option} is empty; expected a file or a URL. {advice}")
    if not weights.startswith(("http://", "https://")):
        path = Path(weights).expanduser()
        if not path.is_file():
            raise WeightsMissing(f"{option}: expected a file at {path}, found none. {advice}")
        return _checked(path, sha256, option) if sha256 else path
    if len(sha256) != 64:
        raise ValueError(f"{option} is a URL: give its checksum too (--set {option}_sha256=<64 hex digits>), got {sha256!r}")
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    name = weights.split("?")[0].rstrip("/").rsplit("/", 1)[-1]
    path = folder / f"{sha256[:16].lower()}-{name}"
    if path.is_file():
        return _checked(path, sha256, option)  # somebody may have put it there by hand
    with (folder / f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.is_file():
            _download(weights, path, sha256.lower(), option, advice)
    return _checked(path, sha256, option)


def _checked(path: Path, sha256: str, option: str) -> Path:
    status = path.stat()
    found = _digest_of(path, status.st_size, status.st_mtime_ns)
    if found != sha256.lower():
        raise WeightsDamaged(f"{option}: {path} has sha256 {found}, expected {sha256}; remove it, or correct {option}_sha256")
    return path


def _download(url: str, path: Path, sha256: str, option: str, advice: str) -> None:
    part = path.with_name(path.name + ".part")
    shown = url.split("?")[0]  # a signed URL's query is a secret
    try:
        for attempt in Retrying(
            stop=stop_after_attempt(_ATTEMPTS),
            wait=wait_exponential(multiplier=0.2, max=5),
            retry=retry_if_exception_type((OSError, _Broken)),
            reraise=True,
        ):
            with attempt:
                _append(url, part)
    except (OSError, _Broken) as error:
        reason = getattr(error, "reason", None) or getattr(error, "code", None) or type(error).__name__
        raise WeightsMissing(
            f"{option}: {shown} cannot be downloaded ({reason}). Without a network, copy the file here and give its path "
            f"(--set {option}=PATH), or put it at {path}. {advice}"
        ) from None
    found = _digest(part)
    if found != sha256:
        part.unlink()
        raise WeightsDamaged(f"{option}: what {shown} sent has sha256 {found}, expected {sha256}; it was removed")
    part.replace(path)


class _Broken(Exception):
    """The connection closed before all of the file came."""


def _append(url: str, part: Path) -> None:
    """Continue ``part`` to the end of what ``url`` sends."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left to send
            return
        raise
    with answer:
        resumed = answer.status == 206
        length = answer.headers.get("Content-Length")
        received = 0
        with part.open("ab" if resumed else "wb") as out:
            while chunk := answer.read(_CHUNK):
                out.write(chunk)
                received += len(chunk)
        if length is not None and received < int(length):
            raise _Broken(f"{received} of {length} bytes came")


@lru_cache(maxsize=8)
def _digest_of(path: Path, size: int, mtime_ns: int) -> str:
    """Once per process and state of the file: a worker asks for every clip."""
    return _digest(path)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
