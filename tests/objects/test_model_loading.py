"""What happens where a model's weights are not here: the hub is asked shortly, once, and never when it cannot be reached."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the extra `models`")
pytest.importorskip("transformers", reason="needs the extra `models`")

from huggingface_hub import constants  # noqa: E402

from curation.objects.backends import runtime  # noqa: E402
from curation.objects.backends.runtime import Runtime, answers, from_hub, load  # noqa: E402
from curation.objects.backends.weights import WeightsMissing  # noqa: E402

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(runtime, "_refused", {})
    runtime._answers.cache_clear()


class Loader:
    """A class of a model whose weights the hub does not give."""

    asked: list[tuple[str, bool]]

    def __init_subclass__(cls) -> None:
        cls.asked = []

    @classmethod
    def from_pretrained(cls, name: str, *, local_files_only: bool = False) -> None:
        cls.asked.append((name, local_files_only))
        raise OSError(f"{name} is a gated repository\nmore words")


def test_a_model_of_transformers_that_cannot_be_had_is_missed_without_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", NOBODY)
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail(f"it waits {seconds} s to try again"))
    with pytest.raises(WeightsMissing, match="depth.weights: the model 'Intel/zoedepth-nyu-kitti' could not be loaded .* How."):
        load(
            "ZoeDepthForDepthEstimation",
            "",
            "Intel/zoedepth-nyu-kitti",
            Runtime("cpu", "float32", False),
            "depth.weights",
            "How.",
        )


def test_what_the_hub_would_not_give_is_not_asked_for_again_for_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    class Model(Loader): ...

    class Processor(Loader): ...

    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(runtime, "answers", lambda url: True)
    for moment, asked in ((1000.0, 1), (1590.0, 1), (1601.0, 2)):
        now[0] = moment
        with pytest.raises(WeightsMissing, match=r"o: the model 'a/b' could not be loaded \(a/b is a gated repository\)\. How\."):
            from_hub(Model, "a/b", "o", "How.")
        assert Model.asked == [("a/b", False)] * asked
    with pytest.raises(WeightsMissing):
        from_hub(Processor, "a/b", "o", "How.")
    with pytest.raises(WeightsMissing):
        from_hub(Model, "a/c", "o", "How.")
    assert len(Processor.asked) == 1 and Model.asked[-1] == ("a/c", False)


def test_a_folder_is_looked_at_again_and_asks_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Model(Loader): ...

    monkeypatch.setattr(runtime, "answers", lambda url: pytest.fail("asked"))
    for _ in range(2):
        with pytest.raises(WeightsMissing):
            from_hub(Model, str(tmp_path), "o", "How.")
    assert Model.asked == [(str(tmp_path), True)] * 2


@pytest.fixture
def refusing() -> Iterator[str]:
    """A server that forbids everything, and counts."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            seen.append(self.path)
            self.send_error(403)

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    assert len(seen) == 1
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_that_refuses_is_there_and_is_asked_once(refusing: str) -> None:
    assert answers(refusing) and answers(refusing)
    assert not answers(NOBODY)


def test_with_the_hub_switched_off_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Model(Loader): ...

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(runtime, "answers", lambda url: pytest.fail("asked"))
    with pytest.raises(WeightsMissing):
        from_hub(Model, "a/b", "o", "How.")
    assert Model.asked == [("a/b", True)]
