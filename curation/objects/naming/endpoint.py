"""Questions with pictures to an OpenAI-compatible endpoint. What comes back is material to judge, whatever it says."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from schemas.camera import Array
from schemas.config import NamingConfig

LOG = logging.getLogger(__name__)
_MAX_SIDE_PX = 768
_MAX_REPLY = 20_000  # characters; a longer reply is no answer to what was asked
_MAX_TOKENS = 700
_TRIES_OF_WORDS = 2  # at temperature 0 a model that answers no question seldom answers it later
_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)


class NoAnswer(Exception):
    """The endpoint gave nothing that could be used; the message says what, without keys."""


class Endpoint:
    """A model behind an endpoint. The key comes from the environment and stays in the client.

    One that could not be reached in all its attempts is not asked again: what is made with this endpoint costs the wait once.
    """

    def __init__(self, config: NamingConfig) -> None:
        if not config.model:
            raise ValueError("naming.endpoint is set: say which model it serves (--set naming.model=NAME)")
        import openai  # takes a second, which clips without an endpoint need not pay

        self.config = config
        self._failure = openai.OpenAIError
        self._again = (openai.APIConnectionError, openai.RateLimitError, openai.InternalServerError)
        self._gone = ""
        self._key = os.environ.get(config.key_variable, "")
        # Local servers want no key, but the client insists on one.
        self._client = openai.OpenAI(
            base_url=config.endpoint, api_key=self._key or "none", timeout=config.timeout_s, max_retries=0
        )

    def ask(self, text: str, pictures: Sequence[UInt8[Array, "h w 3"]]) -> dict[str, Any]:
        """The JSON object that the model answers with.

        Args:
            text: the question; it must ask for a JSON object.
            pictures: RGB, shown in order after the text.

        Raises:
            NoAnswer: no reply after all attempts, now or before, or no JSON object in it.
        """
        if self._gone:
            raise NoAnswer(f"not asked again after {self._gone}")
        content: list[dict[str, Any]] = [{"type": "text", "text": text}]
        content += [{"type": "image_url", "image_url": {"url": _as_url(picture)}} for picture in pictures]
        try:
            for attempt in Retrying(
                stop=self._enough,
                wait=wait_random_exponential(multiplier=0.2, max=10),
                retry=retry_if_exception_type((*self._again, NoAnswer)),
                reraise=True,
            ):
                with attempt:
                    return self._once(content)
        except self._failure as error:
            self._gone = self._clean(f"{type(error).__name__}: {error}")
            raise NoAnswer(self._gone) from None
        except NoAnswer as error:
            raise NoAnswer(self._clean(str(error))) from None
        raise AssertionError("unreachable: the loop returns or raises")

    def _enough(self, state: RetryCallState) -> bool:
        wordy = state.outcome is not None and isinstance(state.outcome.exception(), NoAnswer)
        return state.attempt_number >= (min(_TRIES_OF_WORDS, self.config.attempts) if wordy else self.config.attempts)

    def _once(self, content: list[dict[str, Any]]) -> dict[str, Any]:
        try:
            reply: Any = self._client.chat.completions.create(
                model=self.config.model,
                messages=[{"role": "user", "content": content}],  # type: ignore[list-item,misc]
                temperature=0.0,
                max_tokens=_MAX_TOKENS,
            )
        except ValueError as error:  # what is no JSON, or no text at all, comes through the client as it is
            raise NoAnswer(f"expected a chat completion, got what cannot be read ({type(error).__name__})") from None
        choices = getattr(reply, "choices", None)
        words = getattr(getattr(choices[0], "message", None), "content", None) if choices else None
        if not isinstance(words, str):
            raise NoAnswer("expected a chat completion with text, got none")
        return json_object(words)

    def _clean(self, text: str) -> str:
        """What an error quotes, short and without the key (servers like to repeat it)."""
        text = text.replace(self._key, "***") if len(self._key) >= 6 else text
        return re.sub(r"sk-[\w-]{6,}|Bearer\s+\S+", "***", text)[:300]


def json_object(text: str) -> dict[str, Any]:
    """The JSON object in a model's reply, inside a code fence or other words or not.

    Raises:
        NoAnswer: there is none.
    """
    if len(text) > _MAX_REPLY:
        raise NoAnswer(f"a reply of {len(text)} characters answers no question of ours")
    fenced = _FENCE.search(text)
    for candidate in (fenced.group(1) if fenced else text, text[text.find("{") : text.rfind("}") + 1]):
        try:
            found = json.loads(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    raise NoAnswer(f"expected a JSON object, got {text[:80]!r}")


def _as_url(picture: UInt8[Array, "h w 3"]) -> str:
    """A JPEG as a data URL, at most ``_MAX_SIDE_PX`` across."""
    scale = _MAX_SIDE_PX / max(picture.shape[:2])
    if scale < 1:
        size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    good, data = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 90])
    assert good
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
