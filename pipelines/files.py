"""Writing files so that a reader, or a run that was killed, never meets half of one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to; on success it is fsynced and renamed over ``path``.

    The temporary name keeps the suffix, since encoders choose their container by it. On an exception it is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        handle = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` at once."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, *, sort: bool = True) -> None:
    """Write ``value`` to ``path`` at once, as indented JSON with sorted keys (or in the order given).

    Raises:
        ValueError: a number is NaN or infinite, which JSON has no word for.
    """
    write_text(path, json.dumps(value, indent=1, sort_keys=sort, allow_nan=False, default=plain) + "\n")


def plain(value: Any) -> Any:
    """What ``json.dumps(default=...)`` calls: numpy's scalars and arrays, tuples' relatives and paths as JSON values."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"expected a JSON value, got {type(value).__name__}: {value!r}")


def json_safe(value: Any) -> Any:
    """``value`` with numpy unwrapped and NaN or infinity turned into None, for statistics that must not stop a run."""
    if isinstance(value, dict):
        return {str(key): json_safe(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(item) for item in value]
    if hasattr(value, "tolist"):
        return json_safe(value.tolist())
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
