"""A model behind an OpenAI-compatible endpoint: vLLM, SGLang, Gemini, Qwen, OpenAI."""

from __future__ import annotations

import base64
import functools
import ipaddress
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from curation.evaluate.frames import decode, jpeg
from curation.evaluate.items import Item

_LONGEST = 100_000  # characters kept of a reply
_CLIPS_HELD = 8
_LOCK = threading.Lock()


class Refused(Exception):
    """The endpoint will refuse every question: wrong key, model or address. The message holds no secret of its own making."""


class BadReply(Exception):
    """A reply that is none: no choices, no text, or no JSON at all."""


@dataclass(frozen=True)
class Reply:
    """What a model said, why it stopped, and the tokens that it cost."""

    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Endpoint:
    """Where the model is and how it is asked.

    Attributes:
        base_url: ends in ``/v1`` for most servers.
        model: its name there.
        api_key: "" where the server wants none.
        reasoning: ask for thoughts and states, or for the letter alone.
        frames: shown per question, spread over the question frames.
        send: as single images, each with its number (any server), or the video file (vLLM: ``video_url``).
        max_side_px: of an image.
        max_tokens: of a reply.
        temperature: 0 repeats itself, as far as the server lets it.
        timeout_s: of one request.
        attempts: of one question.
    """

    base_url: str
    model: str
    api_key: str = ""
    reasoning: bool = False
    frames: int = 32
    send: Literal["frames", "video"] = "frames"
    max_side_px: int = 512
    max_tokens: int = 4096
    temperature: float = 0.0
    timeout_s: float = 300.0
    attempts: int = 5
    longest_wait_s: float = 60.0

    @functools.cached_property
    def client(self) -> Any:
        """Of the ``openai`` library; a proxy of the environment is not asked for an address on this machine."""
        import openai

        http = openai.DefaultHttpxClient(trust_env=not _on_this_machine(self.base_url))
        return openai.OpenAI(
            base_url=self.base_url, api_key=self.api_key or "none", max_retries=0, timeout=self.timeout_s, http_client=http
        )

    def ask(self, item: Item) -> Reply:
        """Put one question; safe to call from several threads.

        Raises:
            Refused: no question can be answered.
            BadReply, openai.OpenAIError: this one was not, after all attempts.
            ValueError: its video cannot be read.
        """
        import openai
        import tenacity

        # `Retry-After` is honoured; else waits double, with a random part, so that many clients do not come back together.
        backoff = tenacity.wait_random_exponential(multiplier=0.5, max=self.longest_wait_s)

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.response.headers.get("retry-after", "") if isinstance(error, openai.APIStatusError) else ""
            try:
                return min(max(float(asked), 0.0), self.longest_wait_s)
            except ValueError:
                return backoff(state)

        transient = (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError, openai.ConflictError, BadReply)
        messages = self.messages(item)
        retry = tenacity.retry_if_exception_type(transient)
        for attempt in tenacity.Retrying(stop=tenacity.stop_after_attempt(self.attempts), wait=wait, retry=retry, reraise=True):
            with attempt:
                return self._once(messages)
        raise AssertionError("tenacity returns or raises")

    def _once(self, messages: list[dict[str, Any]]) -> Reply:
        import openai

        try:
            found = self.client.chat.completions.create(
                model=self.model, messages=messages, max_tokens=self.max_tokens, temperature=self.temperature
            )
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            raise Refused(f"{type(error).__name__} ({error.status_code}): {str(error)[:500]}") from None
        except (openai.APIResponseValidationError, ValueError) as error:
            raise BadReply(f"expected JSON, got {str(error)[:200]}") from None
        return reply_of(found)

    def messages(self, item: Item) -> list[dict[str, Any]]:
        """What is sent: the system turn, and the user's with the video before the words."""
        *before, user = item.turns(self.reasoning)
        with _LOCK:  # the first questions of a clip come at once; it is decoded for one of them, and kept
            seen = _video_part(item.video) if self.send == "video" else _frame_parts(self._key(item))
        return [*before, {"role": "user", "content": [*seen, {"type": "text", "text": user["content"]}]}]

    def _key(self, item: Item) -> tuple[Path, tuple[int, ...] | None, int, int]:
        return item.video, item.frames, self.frames, self.max_side_px


def reply_of(found: Any) -> Reply:
    """The reply in a server's answer.

    Raises:
        BadReply: there is none. Servers answer 200 with an error page, with no choices, or with nothing said.
    """
    choices = getattr(found, "choices", None)
    if not isinstance(choices, list) or not choices:
        raise BadReply(f"expected choices, got {str(found)[:200]!r}")
    message = getattr(choices[0], "message", None)
    content = getattr(message, "content", None)
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    thought = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    text = content if isinstance(content, str) else ""
    if isinstance(thought, str) and thought and "<thinking>" not in text:
        text = f"<thinking>{thought}</thinking>{text}"
    if not text.strip():
        raise BadReply("expected words, got an empty message")
    usage = getattr(found, "usage", None)
    tokens = [getattr(usage, name, 0) for name in ("prompt_tokens", "completion_tokens")]
    counts = [value if isinstance(value, int) and not isinstance(value, bool) else 0 for value in tokens]
    return Reply(text[:_LONGEST], str(getattr(choices[0], "finish_reason", "") or "")[:40], *counts)


@functools.lru_cache(_CLIPS_HELD)  # the questions of a clip follow one another
def _frame_parts(key: tuple[Path, tuple[int, ...] | None, int, int]) -> tuple[dict[str, Any], ...]:
    video, wanted, count, side = key
    images, times = decode(video, wanted, count)
    numbers = _numbers(wanted, count, len(images))
    parts: list[dict[str, Any]] = []
    for image, number, time_s in zip(images, numbers, times, strict=True):
        data = base64.b64encode(jpeg(image, side)).decode()
        parts.append({"type": "text", "text": f"Frame {number} ({time_s:.1f} s):"})
        parts.append({"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}})
    return tuple(parts)


def _numbers(wanted: tuple[int, ...] | None, count: int, shown: int) -> list[int]:
    """The numbers by which questions name the frames that are shown."""
    total = shown if wanted is None else len(wanted)
    return [round(i * (total - 1) / max(min(count, total) - 1, 1)) for i in range(shown)]


def _video_part(video: Path) -> tuple[dict[str, Any], ...]:
    data = base64.b64encode(video.read_bytes()).decode()
    return ({"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{data}"}},)


def public_address(url: str) -> str:
    """The address without user, password and query, which may be secrets."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit((parts.scheme, host + port, parts.path, "", ""))


def _on_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
