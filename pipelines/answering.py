"""Asking many questions at a time, and keeping every reply as it comes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from curation.evaluate.compare import question_set
from curation.evaluate.endpoint import Refused, Reply
from curation.evaluate.items import Item, entry
from pipelines.files import write_json
from pipelines.masking import scrub

_GIVE_UP = 4  # times the concurrency: so many failures one after another mean that nobody is there


class Answers:
    """The replies of one model: ``<path>.jsonl`` while they come in, ``<path>.json`` when all did.

    Raises:
        ValueError: ``<path>.jsonl`` holds replies to other questions, or asked in another way.
    """

    def __init__(self, path: Path, items: Sequence[Item], settings: dict[str, Any], secrets: set[str]) -> None:
        self.items = items
        self._path, self._secrets = path, secrets
        self._file = path.with_name(path.name + ".jsonl")
        head = {"settings": {**settings, "questions": question_set(items)}}
        path.parent.mkdir(parents=True, exist_ok=True)
        self.replies = self._read(head)
        self._stream = self._file.open("a", encoding="ascii")
        if not self._stream.tell():
            self._write(head)

    def _read(self, head: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """What an earlier call got. Its last line may be half a line: it is cut off."""
        if not self._file.exists():
            return {}
        data = self._file.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            with self._file.open("r+b") as file:
                file.truncate(len(whole))
        lines = [json.loads(line) for line in whole.splitlines()]
        if lines and lines[0] != json.loads(json.dumps(head)):
            raise ValueError(
                f"{self._file} holds replies to other questions, or to questions put in another way; give --name, or remove it. "
                f"There: {json.dumps(lines[0])}; here: {json.dumps(head)}"
            )
        return {line["id"]: line for line in lines[1:] if "response" in line}

    def left(self) -> list[Item]:
        """The questions without a reply."""
        return [item for item in self.items if item.id not in self.replies]

    def keep(self, item: Item, reply: Reply) -> None:
        """Write a reply down."""
        about = {"finish": reply.finish, "prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.completion_tokens}
        line = {"id": item.id, "response": scrub(reply.text, self._secrets), **about}
        self.replies[item.id] = line
        self._write(line)

    def keep_failure(self, item: Item, error: Exception) -> str:
        """Write down that a question stayed without a reply; returns the error without secrets."""
        message = scrub(f"{type(error).__name__}: {error}", self._secrets)[:1000]
        self._write({"id": item.id, "error": message})
        return message

    def _write(self, line: dict[str, Any]) -> None:
        self._stream.write(json.dumps(line) + "\n")
        self._stream.flush()

    def finish(self) -> None:
        """Write ``<path>.json``: the questions in their order, with the responses."""
        responses = {name: line["response"] for name, line in self.replies.items()}
        write_json(
            self._path.with_name(self._path.name + ".json"), [entry(i, responses.get(i.id)) for i in self.items], sort=False
        )

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def answer_all(ask: Callable[[Item], Reply], answers: Answers, concurrency: int, console: Console) -> Counter[str]:
    """Ask what is left; returns how many questions stayed without a reply, by the class of their error.

    Raises:
        Refused: the endpoint refuses every question, or many questions failed one after another.
    """
    failed: Counter[str] = Counter()
    row = 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    left = answers.left()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("questions", total=len(answers.items), completed=len(answers.items) - len(left))
        for item, found in _each(ask, left, concurrency):
            if isinstance(found, Reply):
                answers.keep(item, found)
                row = 0
            elif isinstance(found, Refused):
                raise found
            else:
                message = answers.keep_failure(item, found)
                failed[type(found).__name__] += 1
                row += 1
                if failed.total() <= 3:
                    progress.console.print(f"{item.id}: {message}", markup=False, highlight=False, soft_wrap=True)
                if row >= max(_GIVE_UP * concurrency, 8):
                    raise Refused(f"{row} questions one after another stayed without a reply; the last: {message}")
            progress.advance(task)
    return failed


def _each(ask: Callable[[Item], Reply], items: Sequence[Item], concurrency: int) -> Iterator[tuple[Item, Reply | Exception]]:
    """Replies and errors as they come. Only a few questions wait in memory; leaving the loop early drops those."""
    waiting: dict[Future[Reply], Item] = {}
    queue = iter(items)
    pool = ThreadPoolExecutor(concurrency)
    try:
        while True:
            while len(waiting) < 2 * concurrency and (item := next(queue, None)) is not None:
                waiting[pool.submit(ask, item)] = item
            if not waiting:
                return
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                item = waiting.pop(future)
                error = future.exception()
                if error is not None and not isinstance(error, Exception):
                    raise error
                yield item, future.result() if error is None else error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
