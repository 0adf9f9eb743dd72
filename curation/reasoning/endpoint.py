"""Texts from any server that speaks the OpenAI protocol: a bounded number at a time, retried, cached by content, counted.

The key is read from the environment and goes into the request's header only: it is scrubbed from every message, and a reply
that holds it is thrown away before it could be cached.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from schemas.config import RewriteConfig

URL, MODEL, KEY = "OPENAI_BASE_URL", "OPENAI_MODEL", "OPENAI_API_KEY"
_FATAL = {400, 401, 402, 403, 404, 405, 422}
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class EndpointMissing(RuntimeError):
    """The environment does not say where to ask."""


@dataclass(frozen=True)
class Endpoint:
    """Where to ask; the key is in no ``repr``."""

    base_url: str
    model: str
    key: str = field(repr=False, default="")

    @staticmethod
    def from_environment(environment: Mapping[str, str] = os.environ) -> Endpoint:
        """Read ``OPENAI_BASE_URL``, ``OPENAI_MODEL`` and ``OPENAI_API_KEY`` (which a server of one's own may not need).

        Raises:
            EndpointMissing: address or model are not set.
        """
        missing = [name for name in (URL, MODEL) if not environment.get(name)]
        if missing:
            raise EndpointMissing(
                f"expected {' and '.join(missing)} in the environment, for rewrite.by=endpoint; set them "
                f"(export {URL}=http://host:8000/v1 {MODEL}=Qwen/Qwen3-VL-8B-Instruct), or leave rewrite.by=nobody"
            )
        return Endpoint(environment[URL], environment[MODEL], environment.get(KEY, ""))

    def scrub(self, text: str) -> str:
        """``text`` without key and without user and password of the address."""
        address = urlsplit(self.base_url)
        for secret in filter(None, (self.key, address.password, f"{address.username}:{address.password}")):
            text = text.replace(secret, "***")
        return text


@dataclass(frozen=True)
class Request:
    """One text to ask for. ``content`` gives the messages; it is called only where the cache has no reply."""

    id: str
    key: str
    content: Callable[[], list[dict[str, Any]]]


@dataclass
class Tally:
    """What asking cost."""

    asked: int = 0
    answered: int = 0
    cached: int = 0
    tries: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    message: str = ""

    def cost(self, config: RewriteConfig) -> float | None:
        """In the currency of the prices; None where no price was given."""
        if not config.price_in and not config.price_out:
            return None
        return (self.tokens_in * config.price_in + self.tokens_out * config.price_out) / 1e6


class ReplyCache:
    """Replies by the hash of all that they depend on: one small file each, written at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @staticmethod
    def key(model: str, config: RewriteConfig, messages: Any, path: int) -> str:
        """Hash of model, sampling and messages (pictures by their hash); not of the address, and never of the key."""
        parts = [model, config.temperature, config.max_tokens, path, messages]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def get(self, key: str) -> dict[str, Any] | None:
        """The reply, or None where there is none or its file is damaged."""
        try:
            found = json.loads(self._file(key).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, dict) and isinstance(found.get("text"), str) else None

    def put(self, key: str, reply: dict[str, Any]) -> None:
        """Keep a reply."""
        file = self._file(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=".")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump(reply, stream, sort_keys=True)
        os.replace(name, file)

    def _file(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"


class _Broken(Exception):
    """A reply of 200 that is none."""


async def ask_all(
    requests: Iterable[Request], endpoint: Endpoint, config: RewriteConfig, cache: ReplyCache, tally: Tally
) -> AsyncGenerator[tuple[Request, str | None, str], None]:
    """Yield every request, in the order in which they end, with its text, or None and a counted word for why there is none.

    Never raises for what a server does. After ``give_up_after`` losses in a row, or a refusal that concerns all requests
    (a wrong key, an unknown model), the rest ends as ``not_asked``.
    """
    waiting = iter(requests)
    done: asyncio.Queue[tuple[Request, str | None, str]] = asyncio.Queue()
    state = {"in_a_row": 0, "stop": False}

    async def worker(client: Any) -> None:
        for request in waiting:  # shared: each worker takes the next one
            done.put_nowait(await one(client, request))
            await asyncio.sleep(0)

    async def one(client: Any, request: Request) -> tuple[Request, str | None, str]:
        tally.asked += 1
        known = cache.get(request.key)
        if known is not None:
            tally.cached += 1
            return request, known["text"], ""
        if state["stop"]:
            tally.lost["not_asked"] += 1
            return request, None, "not_asked"
        try:
            reply = await _reply(client, request, endpoint, config, tally)
        except Exception as error:  # whatever a server or a network does costs one text
            word, fatal = _word(error)
            tally.lost[word] += 1
            tally.message = tally.message or endpoint.scrub(f"{type(error).__name__}: {error}")[:300]
            state["in_a_row"] += 1
            state["stop"] = state["stop"] or fatal or state["in_a_row"] >= config.give_up_after
            return request, None, word
        state["in_a_row"] = 0
        if endpoint.key and endpoint.key in reply["text"]:
            tally.lost["leaks_secret"] += 1
            return request, None, "leaks_secret"
        tally.answered += 1
        tally.tokens_in += reply["tokens_in"]
        tally.tokens_out += reply["tokens_out"]
        cache.put(request.key, reply)
        return request, reply["text"], ""

    async with _client(endpoint, config) as client:
        workers = [asyncio.create_task(worker(client)) for _ in range(config.concurrency)]
        try:
            while not all(task.done() for task in workers) or not done.empty():
                getting = asyncio.ensure_future(done.get())
                await asyncio.wait({getting, *(t for t in workers if not t.done())}, return_when=asyncio.FIRST_COMPLETED)
                if getting.done():
                    yield getting.result()
                else:
                    getting.cancel()
            for task in workers:
                task.result()  # a defect of ours must not pass in silence
        finally:
            for task in workers:
                task.cancel()


@asynccontextmanager
async def _client(endpoint: Endpoint, config: RewriteConfig) -> AsyncIterator[Any]:
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    here = urlsplit(endpoint.base_url).hostname in _LOOPBACK  # a proxy of the environment does not lead to this machine
    client = AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.key or "none",
        max_retries=0,
        timeout=config.timeout_s,
        http_client=DefaultAsyncHttpxClient(trust_env=not here),
    )
    try:
        yield client
    finally:
        await client.close()


async def _reply(client: Any, request: Request, endpoint: Endpoint, config: RewriteConfig, tally: Tally) -> dict[str, Any]:
    from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

    messages = request.content()
    async for attempt in AsyncRetrying(
        stop=stop_after_attempt(config.attempts),
        wait=lambda state: _pause_s(state, config.max_wait_s),
        retry=retry_if_exception(lambda error: isinstance(error, Exception) and not _word(error)[1]),
        reraise=True,
    ):
        with attempt:
            tally.tries += 1
            call = client.chat.completions.create(
                model=endpoint.model, messages=messages, temperature=config.temperature, max_tokens=config.max_tokens
            )
            return _read(await asyncio.wait_for(call, config.timeout_s))
    raise AssertionError("unreachable: tenacity raises the last error")


def _read(reply: Any) -> dict[str, Any]:
    """Text and token counts of a reply; a server may answer 200 with anything."""
    choices = getattr(reply, "choices", None)
    message = getattr(choices[0], "message", None) if isinstance(choices, list) and choices else None
    text = getattr(message, "content", None)
    if not isinstance(text, str):
        raise _Broken(f"expected a chat completion, got {type(reply).__name__} without text")
    usage = getattr(reply, "usage", None)

    def count(name: str) -> int:
        value = getattr(usage, name, 0)
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0

    return {"text": text, "tokens_in": count("prompt_tokens"), "tokens_out": count("completion_tokens")}


def _word(error: BaseException) -> tuple[str, bool]:
    """The counted word for an error, and whether it concerns all requests, so that trying again is in vain."""
    import openai

    if isinstance(error, (openai.APITimeoutError, TimeoutError)):
        return "timeout", False
    if isinstance(error, openai.APIStatusError):
        return f"status_{error.status_code}", error.status_code in _FATAL
    if isinstance(error, (_Broken, openai.APIResponseValidationError, ValueError)):
        return "broken_reply", False
    if isinstance(error, openai.APIConnectionError):
        return "no_connection", False
    return type(error).__name__, False


def _pause_s(state: Any, most_s: float) -> float:
    """What the server asks for (Retry-After), else twice as long each time; the spread comes from the request's turn."""
    error = state.outcome.exception() if state.outcome else None
    headers = getattr(getattr(error, "response", None), "headers", {}) or {}
    try:
        wanted = float(headers.get("retry-after", ""))
    except ValueError:
        wanted = 0.5 * 2 ** (state.attempt_number - 1) * (1 + (id(state) % 97) / 97)
    return min(max(wanted, 0.0), most_s)
