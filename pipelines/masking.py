"""Secrets must not reach run.json, the ledger or a log."""

from __future__ import annotations

import json
import os
import re
import urllib.parse
from collections.abc import Iterable
from typing import Any

MASK = "***"
_SECRET = re.compile(r"(^|_)(key|token|secret|password|passwd|credentials?)s?$|api_?key|access_key|(^|_)auth(_|$)", re.IGNORECASE)
_HARMLESS = re.compile(r"^(max|min|num)_")  # max_tokens is a number, not a token
_LEAST_LENGTH = 6
_LEAST_ENVIRONMENT_LENGTH = 12  # below are modes and names (RAY_AUTH_MODE=token), not secrets


def is_secret(key: str) -> bool:
    """Whether a value of this name is kept from records."""
    return bool(_SECRET.search(key)) and not _HARMLESS.match(key)


def masked(value: Any, key: str = "") -> Any:
    """A copy of nested dicts and lists in which the values of secret keys read ``***``; empty ones stay empty."""
    if isinstance(value, dict):
        return {name: masked(item, str(name)) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(item, key) for item in value]
    return MASK if is_secret(key) and value not in ("", None) else value


def secrets_of(value: Any, key: str = "") -> set[str]:
    """The secret strings in nested dicts and lists."""
    if isinstance(value, dict):
        return {s for name, item in value.items() for s in secrets_of(item, str(name))}
    if isinstance(value, (list, tuple)):
        return {s for item in value for s in secrets_of(item, key)}
    return {value} if is_secret(key) and isinstance(value, str) and len(value) >= _LEAST_LENGTH else set()


def environment_secrets() -> set[str]:
    """The values of this process's environment variables whose names say that they are secret."""
    return {value for name, value in os.environ.items() if is_secret(name) and len(value) >= _LEAST_ENVIRONMENT_LENGTH}


def scrub(text: str, secrets: Iterable[str]) -> str:
    """``text`` without the secrets, for messages that quote what was sent or configured.

    Also without those that stand in it as JSON, as part of an address, or in Python's quotes. What is to be cut short is
    scrubbed first: half a secret is not recognised.
    """
    for form in sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True):
        text = text.replace(form, MASK)
    return text


def _forms(secret: str) -> set[str]:
    as_json = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return {secret, *as_json, urllib.parse.quote(secret), urllib.parse.quote_plus(secret), repr(secret)[1:-1]}
