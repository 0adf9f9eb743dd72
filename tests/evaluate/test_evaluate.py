"""Models behind a real HTTP server that answers, errs and lies; resuming; scores that can be checked by hand."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import threading
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from curation.evaluate.compare import compare, markdown, picture
from curation.evaluate.frames import decode
from curation.evaluate.items import Item, bench_items, entry, file_items
from curation.evaluate.scores import BLIND, CHANCE, baselines, score, wilson
from pipelines.evaluate import compare_files, main
from pipelines.export import export
from tests.evaluate.server import Server, error, question_of, said, serving
from tests.shards.published import make_dataset, question, response

KEY = "sk-a-key-that-must-never-be-seen-0123456789"


def video(frames: int = 40, size: int = 64) -> bytes:
    """An mp4 whose frame k has the brightness 5 k + 20."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        for k in range(frames):
            image = np.full((size, size, 3), 5 * k + 20, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("run") / "publish", video=video())


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # nobody listens there: the loopback must not go through a proxy
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")


def run(server: Server, folder: Path, output: Path, *more: str) -> int:
    return main(
        [
            "answer",
            str(folder),
            "--endpoint",
            server.url,
            "--model",
            "some/model",
            "--output",
            str(output),
            "--attempts",
            "3",
            *more,
        ]
    )


def right(items: list[Item], request: dict[str, Any]) -> str:
    """The right letter for what is asked."""
    return next(item.answer for item in items if item.question in question_of(request))


def everything(folder: Path) -> str:
    return "".join(p.read_text(errors="replace") for p in folder.rglob("*") if p.is_file() and p.suffix != ".png")


def test_a_model_that_knows_all_gets_everything_right_and_saw_32_numbered_frames(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = bench_items(folder)
    with serving(lambda request, _: said(right(items, request))) as server:
        assert run(server, folder, tmp_path) == 0
    out = capsys.readouterr().out
    scores = json.loads((tmp_path / "some_model-scores" / "comparison.json").read_text())[0]["rows"]
    assert scores["some_model"]["kinds"]["all"]["accuracy"] == 1.0 and scores["some_model"]["kinds"]["all"]["count"] == 12
    assert "| chance |" in out and "| blind guesser |" in out and "| some_model |" in out
    content = server.requests[0]["messages"][-1]["content"]
    images = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    assert len(images) == 32 and content[0]["text"] == "Frame 0 (0.0 s):" and content[62]["text"].startswith("Frame 31 (3.9 s)")
    pixels = [
        cv2.imdecode(np.frombuffer(base64.b64decode(url.split(",")[1]), np.uint8), cv2.IMREAD_COLOR).mean() for url in images
    ]
    wanted = [5 * round(k * 39 / 31) + 20 for k in range(32)]
    assert np.allclose(pixels, wanted, atol=4), "the frames are uniform, in order, first and last included"
    assert set(server.keys) == {f"Bearer {KEY}"}


def test_reasoning_asks_for_states_and_their_errors_are_measured(folder: Path, tmp_path: Path) -> None:
    rows = {row["question"]: row for row in (question(f"{2:016x}", n) for n in range(12))}
    export(folder, "eval", tmp_path / "bench.json")
    entries = json.loads((tmp_path / "bench.json").read_text())
    for item in entries:
        item |= {
            "camera_center": [[0.0, 0, 0], [0.3, 0, 1.9]],
            "object_center": None,
        }  # one metre from what is said: half a metre
    (tmp_path / "bench.json").write_text(json.dumps(entries))

    def respond(request: dict[str, Any], _: int) -> Any:
        assert request["messages"][0]["role"] == "system" and "Spatial State" in request["messages"][0]["content"]
        return said(response(next(row for text, row in rows.items() if text in question_of(request))))

    with serving(respond) as server:
        assert run(server, tmp_path / "bench.json", tmp_path / "out", "--reasoning", "--video-root", str(folder)) == 0
    scores = json.loads((tmp_path / "out" / "some_model-reasoning-scores" / "comparison.json").read_text())[0]["rows"]
    states = scores["some_model-reasoning"]["states"]
    assert states["camera"] == {
        "count": 12,
        "stated": 12,
        "mean_error_m": pytest.approx(0.5),
        "median_error_m": pytest.approx(0.5),
    }
    assert states["object"]["count"] == 0 and states["object"]["mean_error_m"] is None
    assert "| some_model-reasoning | 12 of 12 | 0.50 m | 0.50 m |" in everything(tmp_path / "out")


HOSTILE: list[Any] = [
    error(500),
    error(503, **{"Retry-After": "0"}),
    error(429, **{"Retry-After": "0"}),
    error(429, **{"Retry-After": "soon"}),
    (200, {"Content-Type": "text/html"}, b"<html>busy</html>"),
    (200, {"Content-Type": "application/json"}, b"{not json"),
    (200, {"Content-Type": "application/json"}, b'"just a string"'),
    (200, {"Content-Type": "application/json"}, b"{}"),
    (200, {"Content-Type": "application/json"}, b'{"choices": null}'),
    (200, {"Content-Type": "application/json"}, b'{"choices": []}'),
    (200, {"Content-Type": "application/json"}, b'{"choices": [{"message": null}]}'),
    (200, {"Content-Type": "application/json"}, b'{"choices": [{"message": {"content": null}}], "usage": "much"}'),
    said(""),
    None,
]


@pytest.mark.parametrize("n", range(len(HOSTILE)))
def test_a_bad_reply_is_asked_again(folder: Path, tmp_path: Path, n: int) -> None:
    with serving(lambda _, count: HOSTILE[n] if count == 1 else said("A")) as server:
        assert run(server, folder, tmp_path, "--limit", "1", "--frames", "2") == 0
        assert len(server.requests) == 2
    assert json.loads((tmp_path / "some_model.json").read_text())[0]["response"] == "A"


@pytest.mark.parametrize(
    "reply, expected",
    [
        (said([{"type": "text", "text": "A"}]), "A"),
        (said("A", reasoning_content="hm"), "<thinking>hm</thinking>A"),
        (said("\ud800 A \x00 \U0001f600"), "\ud800 A \x00 \U0001f600"),
        (said("x" * 300_000), "x" * 100_000),
        (said(f"my key is {KEY}"), "my key is ***"),
    ],
)
def test_odd_replies_are_kept_whole_short_and_without_secrets(folder: Path, tmp_path: Path, reply: Any, expected: str) -> None:
    with serving(lambda *_: reply) as server:
        assert run(server, folder, tmp_path, "--limit", "1", "--frames", "2") == 0
    lines = (tmp_path / "some_model.jsonl").read_text().splitlines()
    assert json.loads(lines[1])["response"] == expected
    assert KEY not in everything(tmp_path)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_stops_at_once_and_says_why_without_the_key(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    with serving(lambda *_: error(status, f"bad key {KEY}")) as server:
        assert run(server, folder, tmp_path, "--concurrency", "1", "--frames", "2") == 2
        assert len(server.requests) <= 2
    captured = capsys.readouterr()
    assert str(status) in captured.err and KEY not in captured.err + captured.out + everything(tmp_path)


def test_nobody_there_is_noticed_before_every_question_has_been_tried(folder: Path, tmp_path: Path) -> None:
    with serving(lambda *_: None) as server:
        url = server.url
    arguments = ["--model", "m", "--attempts", "1", "--concurrency", "1", "--frames", "2", "--output", str(tmp_path)]
    assert main(["answer", str(folder), "--endpoint", url, *arguments]) == 2


def test_what_failed_is_counted_named_and_tried_again_and_nothing_else_is(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = bench_items(folder)

    def broken(request: dict[str, Any], _: int) -> Any:
        return error(400, f"too long for {KEY}") if items[3].question in question_of(request) else said(right(items, request))

    with serving(broken) as server:
        assert run(server, folder, tmp_path, "--frames", "2") == 1
        assert len(server.requests) == 12, "a bad request is not repeated"
    text = capsys.readouterr()
    assert "1 BadRequestError" in text.err and KEY not in text.err + text.out + everything(tmp_path)
    whole = json.loads((tmp_path / "some_model.json").read_text())
    assert ["response" in row for row in whole].count(False) == 1
    with serving(lambda request, _: said(right(items, request))) as server:
        # another address is another model, for all that is known: the first file is not gone on with
        assert run(server, folder, tmp_path, "--frames", "2") == 2
        head, *lines = (tmp_path / "some_model.jsonl").read_text().splitlines(keepends=True)
        changed = json.loads(head)
        changed["settings"]["endpoint"] = server.url
        (tmp_path / "some_model.jsonl").write_text(json.dumps(changed) + "\n" + "".join(lines) + '{"id": "half a li')
        assert run(server, folder, tmp_path, "--frames", "2") == 0
        assert [items[3].question in question_of(request) for request in server.requests] == [True]
    assert all(row["response"] for row in json.loads((tmp_path / "some_model.json").read_text()))


def test_other_settings_do_not_mix_with_earlier_replies(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda *_: said("A")) as server:
        assert run(server, folder, tmp_path, "--frames", "2") == 0
        assert run(server, folder, tmp_path, "--frames", "3") == 2
        assert "put in another way" in capsys.readouterr().err
        assert run(server, folder, tmp_path, "--frames", "3", "--name", "three") == 0


def test_questions_are_asked_several_at_a_time_but_not_more_than_allowed(folder: Path, tmp_path: Path) -> None:
    together = threading.Barrier(3)

    def respond(*_: Any) -> Any:
        together.wait(timeout=20)  # breaks unless three are under way at once
        return said("A")

    with serving(respond) as server:
        assert run(server, folder, tmp_path, "--concurrency", "3", "--frames", "2") == 0
        assert server.most_at_once == 3
    replies = [json.loads(line) for line in (tmp_path / "some_model.jsonl").read_text().splitlines()[1:]]
    assert len(replies) == len({line["id"] for line in replies}) == 12


def test_the_video_can_be_sent_as_a_file(folder: Path, tmp_path: Path) -> None:
    with serving(lambda *_: said("A")) as server:
        assert run(server, folder, tmp_path, "--limit", "1", "--send", "video") == 0
    part = server.requests[0]["messages"][-1]["content"][0]
    assert part["type"] == "video_url"
    assert base64.b64decode(part["video_url"]["url"].split(",")[1]) == next((folder / "videos").glob("*.mp4")).read_bytes()


def test_a_video_that_cannot_be_read_costs_its_questions_only(folder: Path, tmp_path: Path) -> None:
    entries = [{**entry(item, None), "video": str(item.video)} for item in bench_items(folder)]
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    entries[0]["video"] = str(tmp_path / "broken.mp4")
    entries[1]["video"] = str(tmp_path / "missing.mp4")
    (tmp_path / "q.json").write_text(json.dumps(entries))
    with serving(lambda *_: said("A")) as server:
        assert run(server, tmp_path / "q.json", tmp_path / "out", "--frames", "2") == 1
        assert len(server.requests) == 10


def test_a_checkpoint_answers_from_what_it_sees(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra `train`")
    pytest.importorskip("transformers", reason="needs the extra `train`")
    from pipelines.local_model import LocalModel
    from pipelines.training.tiny import make_tiny

    items = bench_items(folder)
    checkpoint = make_tiny(tmp_path / "tiny", [item.question for item in items])
    arguments = ["--limit", "2", "--max-tokens", "3", "--frames", "8", "--frame-pixels", "4096", "--output", str(tmp_path)]
    assert main(["answer", str(folder), "--checkpoint", str(checkpoint), "--reasoning", *arguments]) == 0
    assert "| tiny-reasoning |" in capsys.readouterr().out
    replies = [json.loads(line) for line in (tmp_path / "tiny-reasoning.jsonl").read_text().splitlines()[1:]]
    assert [reply["completion_tokens"] for reply in replies] == [3, 3] and replies[0]["prompt_tokens"] > 100
    model = LocalModel(str(checkpoint), frames=8, frame_pixels=4096, max_tokens=1)
    seen = []
    hook = model.loaded[0].register_forward_hook(lambda _, __, out: seen.append(out.logits[0, -1].clone()))
    dark = tmp_path / "dark.mp4"
    dark.write_bytes(video(frames=20))
    for file in (items[0].video, items[0].video, dark):
        model.ask(dataclasses.replace(items[0], video=file))
    hook.remove()
    assert torch.equal(seen[0], seen[1]) and not torch.allclose(seen[0], seen[2], atol=1e-4), "another video, other logits"


def test_frames_are_those_that_the_questions_count(folder: Path) -> None:
    images, times = decode(next((folder / "videos").glob("*.mp4")), (0, 7, 20, 39), 32)
    assert np.allclose(images.mean((1, 2, 3)), [20, 55, 120, 215], atol=3) and times == pytest.approx([0, 0.7, 2.0, 3.9])
    with pytest.raises(ValueError, match="expected frame 40 .* it ends before"):
        decode(next((folder / "videos").glob("*.mp4")), (0, 40), 32)


@pytest.mark.parametrize(
    "right_ones, count, low, high",
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (50, 100, 0.4038, 0.5962), (1, 1, 0.2065, 1.0), (0, 0, 0, 1)],
)
def test_intervals_are_wilsons(right_ones: int, count: int, low: float, high: float) -> None:
    assert wilson(right_ones, count) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def foreign(answer: Any, choices: dict[str, Any], response: Any = None, **more: Any) -> dict[str, Any]:
    return {"id": more.pop("id", "q1"), "video": "v.mp4", "question": "Which?", "choices": choices, "answer": answer, **more} | (
        {} if response is None else {"response": response}
    )


def test_files_of_others_are_scored_whatever_their_answers_are_made_of(tmp_path: Path) -> None:
    numbers = {"A": 1, "B": 2, "C": 3, "D": 4}
    words = {"A": "left", "B": "right"}
    rows = [
        foreign(3, numbers, "C", id=1),
        foreign("3", numbers, "3", id=2),
        foreign(3, numbers, 3, id="three"),
        foreign("left", words, "<answer>A</answer>", id=4, question_type="multiple-choice"),
        foreign("left", words, "B", id=5),
        foreign("left", words, "", id=6),
        foreign("right", words, "I see nothing", id=7),
        foreign("right", words, id=8, kind="all"),
    ]
    (tmp_path / "m.json").write_text(json.dumps(rows))
    text = compare_files([tmp_path / "m.json"], tmp_path / "out")
    found = json.loads((tmp_path / "out" / "comparison.json").read_text())[0]["rows"]
    whole = found["m"]["kinds"]["all"]
    assert (whole["count"], whole["right"], whole["unclear"], whole["unanswered"]) == (8, 4, 2, 1)
    assert found[CHANCE]["kinds"]["all"]["accuracy"] == pytest.approx((3 * 0.25 + 5 * 0.5) / 8)
    assert "50.0 (21.5 - 78.5)" in text and "| chance |" in text


def test_a_file_of_another_shape_is_refused_with_its_entry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def message(text: str) -> str:
        (tmp_path / "x.json").write_text(text)
        assert main(["score", str(tmp_path / "x.json"), "--output", str(tmp_path / "o")]) == 2
        return capsys.readouterr().err

    assert "expected one of ['1', '2'] as its answer, got 5" in message(json.dumps([foreign(5, {"A": 1, "B": 2}, "A")]))
    assert "without ['choices']" in message(json.dumps([{"id": 1, "question": "q", "answer": "a", "response": "A"}]))
    assert "expected the key 'response'" in message(json.dumps([foreign(1, {"A": 1, "B": 2})]))
    assert "come again" in message(json.dumps([foreign(1, {"A": 1, "B": 2}, "A")] * 2))
    assert "expected a JSON array or JSON lines" in message("[{")
    assert "expected a list of objects" in message("[1]")


def test_broken_entries_can_be_left_out_and_a_choice_offered_twice_is_right_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twice = {"A": "up", "B": "left", "C": "left"}
    rows = [foreign("left", twice, "C", id=1), foreign("left", twice, "A", id=2), foreign("gone", twice, "A", id=3)]
    (tmp_path / "m.json").write_text(json.dumps(rows))
    assert main(["score", str(tmp_path / "m.json"), "--output", str(tmp_path / "o")]) == 2
    assert "--skip-broken" in capsys.readouterr().err
    assert main(["score", str(tmp_path / "m.json"), "--output", str(tmp_path / "o"), "--skip-broken"]) == 0
    assert "left out" in capsys.readouterr().err
    whole = json.loads((tmp_path / "o" / "comparison.json").read_text())[0]["rows"]["m"]["kinds"]["all"]
    assert (whole["count"], whole["right"]) == (2, 1)


def many(count: int = 400) -> list[Item]:
    rows = [entry_row(n) for n in range(count)]
    return file_items(rows)


def entry_row(n: int) -> dict[str, Any]:
    row = question(f"{n % 40:016x}", n)
    choices = dict(zip("ABCD", row["options"], strict=False))
    return {**row, "choices": choices, "answer": row["answer_text"]}


def test_models_on_the_same_questions_share_a_table_with_chance_and_the_blind(tmp_path: Path) -> None:
    items = many()
    perfect = {item.id: item.answer for item in items}
    first = {item.id: "A" for item in items}
    groups = compare({"good": (items, perfect), "lazy": (items[::-1], first), "other": (items[:40], first)})
    assert [group["count"] for group in groups] == [400, 40]
    rows = groups[0]["rows"]
    assert list(rows) == [CHANCE, BLIND, "good", "lazy"]
    assert rows["good"]["kinds"]["all"]["accuracy"] == 1 and rows["good"]["mean_of_kinds"] == 1
    assert rows["lazy"]["kinds"]["all"]["accuracy"] == pytest.approx(rows[CHANCE]["kinds"]["all"]["accuracy"], abs=0.03)
    kinds = rows["lazy"]["kinds"]
    assert sum(kinds[k]["right"] for k in kinds if k != "all") == kinds["all"]["right"]
    picture(groups[0], tmp_path / "a.png")
    picture(groups[0], tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert markdown(groups[0]).count("\n| ") == 5


def test_the_blind_guesser_finds_a_shortcut_that_is_there() -> None:
    rows = [entry_row(n) for n in range(400)]
    items = [item for item in file_items(rows) if item.kind == "camera_direction" and item.answer == "B"]
    found = baselines(items)
    assert found[BLIND]["kinds"]["all"]["accuracy"] == 1.0 > found[CHANCE]["kinds"]["all"]["accuracy"]


def test_a_missing_response_is_wrong_and_not_left_out() -> None:
    items = many(40)
    scores = score(items, {items[0].id: items[0].answer})
    assert scores["kinds"]["all"]["accuracy"] == 1 / 40 and scores["kinds"]["all"]["unanswered"] == 39


def test_a_checkpoint_that_cannot_be_loaded_is_told_once(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers", reason="needs the extra `train`")
    (tmp_path / "broken").mkdir()
    arguments = ["--checkpoint", str(tmp_path / "broken"), "--output", str(tmp_path / "out")]
    assert main(["answer", str(folder), *arguments]) == 2
    assert capsys.readouterr().err.count("error:") == 1 and not (tmp_path / "out").exists()
