"""The configuration of a run from a YAML file and ``--set`` assignments, with errors that a person can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from curation.questions.shares import table_shares
from schemas.config import Config


class ConfigError(ValueError):
    """The configuration cannot be used; the message says where, what was expected and what came."""


def load_config(file: Path | None, assignments: Iterable[str] = ()) -> Config:
    """Defaults, overlaid by the file, overlaid by ``a.b=value`` assignments in order.

    Raises:
        ConfigError: an unreadable file, a malformed assignment, an unknown key or a bad value.
    """
    values = _read(file) if file else {}
    for assignment in assignments:
        _assign(values, assignment)
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(item) for item in error.errors())) from error
    try:
        table_shares(config)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return config


def _read(file: Path) -> dict[str, Any]:
    import yaml

    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"expected a configuration file at {file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"expected YAML in {file}: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"expected sections (video:, cameras:, ...) in {file}, got {type(values).__name__}")
    return values


def _assign(values: dict[str, Any], assignment: str) -> None:
    import yaml

    name, separator, text = assignment.partition("=")
    parts = name.strip().split(".")
    if not separator or not all(parts):
        raise ConfigError(f"expected --set section.key=value, got {assignment!r}")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"expected a YAML value in --set {assignment!r}: {error}") from error
    target = values
    for part in parts[:-1]:
        inner = target.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {assignment!r}: {part} is a value, not a section")
        target = inner
    target[parts[-1]] = value


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        return f"{where}: {error['msg'][:1].lower()}{error['msg'][1:]}, got {error['input']!r}"
    section: Any = Config
    for part in error["loc"][:-1]:
        section = section.model_fields[str(part)].annotation
    known = list(section.model_fields) if isinstance(section, type) and issubclass(section, BaseModel) else []
    close = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
    return f"{where}: there is no such key; {hint}"
