"""Rewriting against a real server: what is kept, what is refused and why, what it costs, and that no key leaks."""

from __future__ import annotations

import json
import sys
import types
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from curation.reasoning import reason_clip
from curation.reasoning.endpoint import Endpoint, EndpointMissing
from curation.reasoning.rewrite import Scored, kept, thresholds
from curation.shards.products import ClipInfo, fact_row
from curation.shards.writer import table_of, write_table
from pipelines.ray_rewriter import EngineMissing, generate, ray_asker
from pipelines.rewriting import Rewritten, endpoint_asker, rewrite, summary
from schemas import run_folder as names
from schemas import tables
from schemas.camera import Intrinsics
from schemas.clip import ClipSpec, Source
from schemas.config import Config
from schemas.track import Description
from tests.reasoning.fabricated import ALL_KINDS, CLIP, WORDS, samples
from tests.reasoning.model_server import HOSTILE, ModelServer, broken, hang, honest

SECRET = "sk-very-secret-0123456789"


def config(**rewrite_options: Any) -> Config:
    options = {
        "by": "endpoint",
        "paths": 1,
        "max_wait_s": 0.02,
        "attempts": 3,
        "timeout_s": 5.0,
        "concurrency": 4,
        "min_words": 20,
    }
    return Config.model_validate({"rewrite": options | rewrite_options, "reasoning": {"max_per_clip": 100}})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two clip folders as the reasoning stage leaves them, with a question of every kind each."""
    out = []
    for c in range(2):
        source = Source(f"s{c}", "mono", "x.mp4", None, f"{c:064x}", None, {"hfov_deg": 60.0}, None, ())
        spec = ClipSpec(source, 0, 94, 0.0, 9.4, "{}")
        folder = tmp_path_factory.mktemp("clips") / spec.clip_id
        folder.mkdir()
        pairs = [(row | {"id": f"{spec.clip_id}_{n:02d}"}, fact) for n, (row, fact) in enumerate(samples(len(ALL_KINDS), seed=c))]
        words = [Description(name, "thing", text, "geometry") for name, text in WORDS.items()]
        chains, _ = reason_clip(CLIP, [r for r, _ in pairs], [f for _, f in pairs], words, config().reasoning, seed=0)
        index = list(range(0, 94, 3))
        info = ClipInfo(
            spec, [k / 10 for k in index], index, index, list(range(32)), Intrinsics(435, 435, 320, 200, 640, 400), None, ()
        )
        (folder / names.CLIP_JSON).write_text(json.dumps(info.to_json()))
        objects = [
            {"clip_id": spec.clip_id, "object_id": n, "category": "", "description": t, "description_source": ""}
            for n, t in WORDS.items()
        ]
        content = (
            (names.REASONING, chains, tables.ST_COT),
            (names.FACTS, [fact_row(f) for _, f in pairs], tables.FACTS),
            (names.OBJECTS, objects, tables.OBJECTS),
        )
        for name, rows, schema in content:
            write_table(folder / name, table_of(rows, schema))
        out.append(folder)
    return sorted(out)


def ask(
    server: ModelServer, folders: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> tuple[Rewritten, list[dict[str, Any]]]:
    for name, value in (("OPENAI_BASE_URL", server.url), ("OPENAI_MODEL", "tiny-writer"), ("OPENAI_API_KEY", SECRET)):
        monkeypatch.setenv(name, value)
    settings = config(**options)
    found = rewrite(settings, lambda: folders, cache, endpoint_asker(settings))
    return found, [row for folder in folders for row in found.rows(folder)]


def test_good_texts_replace_the_template_and_are_asked_for_once(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ModelServer(lambda n, text, key: (hang(0.03), honest(text))[1]).running() as server:
        found, rows = ask(server, folders[:1], tmp_path, monkeypatch, paths=2, price_in=2.0, price_out=10.0)
        samples_asked = len(ALL_KINDS)
        assert found.counts["kept"] == len(rows) == 2 * samples_asked and found.counts["refused"] == {}
        assert {row["rewritten_by"] for row in rows} == {"tiny-writer"} and Counter(r["path"] for r in rows)[1] == samples_asked
        assert found.counts["tokens_in"] == 200 * samples_asked and found.counts["tokens_out"] == 20 * samples_asked
        assert found.counts["cost"] == pytest.approx((200 * 2 + 20 * 10) * samples_asked / 1e6)
        assert 1 < server.most_at_once <= 4, "bounded concurrency"
        assert set(server.keys) == {SECRET} and set(found.limits) == set(ALL_KINDS)
        assert table_of(rows, tables.ST_COT).num_rows == len(rows)
        before = len(server.asked)
        again, same = ask(server, folders[:1], tmp_path, monkeypatch, paths=2, price_in=2.0, price_out=10.0)
        assert len(server.asked) == before and same == rows and again.digest == found.digest
        assert again.counts["from_cache"] == 2 * samples_asked and again.counts["cost"] == 0.0
        more, _ = ask(server, folders[:1], tmp_path, monkeypatch, paths=3)
        assert len(server.asked) == before + samples_asked and more.counts["from_cache"] == 2 * samples_asked


def test_every_hostile_text_is_refused_for_its_reason_and_the_template_stands_in(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = list(HOSTILE)
    for way in ways:
        change, reason = HOSTILE[way]
        with ModelServer(lambda n, text, key, change=change: change(honest(text))).running() as server:
            found, rows = ask(server, folders[:1], tmp_path / way, monkeypatch)
        assert set(found.counts["refused"]) <= {reason}, (way, found.counts)
        assert found.counts["refused"][reason] >= 0.9 * len(ALL_KINDS), (way, found.counts["refused"])
        assert found.counts["kept"] + sum(found.counts["refused"].values()) == len(ALL_KINDS)
        assert {row["rewritten_by"] for row in rows} <= {"template", "tiny-writer"} and len(rows) == len(ALL_KINDS)
        assert found.counts["examples"][reason]


@pytest.mark.parametrize(
    ("kind", "word"),
    [("429", "status_429"), ("500", "status_500"), ("half json", "broken_reply"), ("no choices", "broken_reply"),
     ("plain string", "broken_reply"), ("no content", "broken_reply"), ("html", "broken_reply"), ("empty body", "broken_reply")],
)  # fmt: skip
def test_what_is_no_reply_is_tried_again_and_then_counted(
    kind: str, word: str, folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every text fails once and is then there; with the server broken for good, each is lost after its tries."""
    seen: Counter[str] = Counter()

    def moody(number: int, text: str, key: str) -> Any:
        seen[text] += 1
        return broken(kind) if seen[text] == 1 else honest(text)

    with ModelServer(moody).running() as server:
        found, _ = ask(server, folders[:1], tmp_path / "a", monkeypatch)
    assert found.counts["kept"] == len(ALL_KINDS) and found.counts["tries"] == 2 * len(ALL_KINDS)
    with ModelServer(lambda *_: broken(kind)).running() as server:
        lost, rows = ask(server, folders[:1], tmp_path / "b", monkeypatch, give_up_after=5, concurrency=1)
    assert lost.counts["refused"] == {"not_asked": len(ALL_KINDS) - 5, word: 5} and len(server.asked) == 15
    assert {row["rewritten_by"] for row in rows} == {"template"} and lost.limits == {}
    assert "first error" in summary(lost.counts)


def test_a_server_that_hangs_costs_its_timeout(folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ModelServer(lambda n, text, key: hang(3.0) if n == 0 else honest(text)).running() as server:
        found, rows = ask(server, folders[:1], tmp_path, monkeypatch, timeout_s=0.5, attempts=1)
    assert found.counts["refused"] == {"timeout": 1} and found.counts["kept"] == len(ALL_KINDS) - 1
    assert Counter(row["rewritten_by"] for row in rows) == {"tiny-writer": len(ALL_KINDS) - 1, "template": 1}


def test_a_refused_key_ends_the_asking_and_leaks_nowhere(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = (401, {}, {"error": {"message": f"Incorrect API key provided: {SECRET}"}})
    with ModelServer(lambda *_: refusal).running() as server:
        found, rows = ask(server, folders[:1], tmp_path / "replies", monkeypatch, concurrency=1)
    assert len(server.asked) == 1 and found.counts["refused"] == {"status_401": 1, "not_asked": len(ALL_KINDS) - 1}
    with ModelServer(lambda n, text, key: honest(text).replace("</thinking>", f"{key}</thinking>")).running() as server:
        told, more = ask(server, folders[:1], tmp_path / "replies", monkeypatch)
    assert told.counts["refused"] == {"leaks_secret": len(ALL_KINDS)}
    said = capsys.readouterr()
    everything = json.dumps([found.counts, told.counts, rows, more]) + summary(found.counts) + said.out + said.err
    assert SECRET not in everything and "***" in everything
    assert not any(SECRET.encode() in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert SECRET not in repr(Endpoint("http://x", "m", SECRET))


def test_a_damaged_reply_in_the_cache_is_asked_for_again(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ModelServer(lambda n, text, key: honest(text)).running() as server:
        ask(server, folders[:1], tmp_path, monkeypatch)
        files = sorted(tmp_path.rglob("*.json"))
        assert len(files) == len(ALL_KINDS)
        files[0].write_text('{"text": ')
        found, _ = ask(server, folders[:1], tmp_path, monkeypatch)
    assert len(server.asked) == len(ALL_KINDS) + 1 and found.counts["kept"] == len(ALL_KINDS)


def test_only_some_samples_are_rewritten_spread_over_the_kinds(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ModelServer(lambda n, text, key: honest(text)).running() as server:
        found, rows = ask(server, folders, tmp_path, monkeypatch, max_samples=len(ALL_KINDS))
    new = [row for row in rows if row["rewritten_by"] == "tiny-writer"]
    assert len(new) == len(ALL_KINDS) == len({row["kind"] for row in new}) and len(rows) == 2 * len(ALL_KINDS)
    assert found.counts["asked"] == len(ALL_KINDS)


def test_without_an_address_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_MODEL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(EndpointMissing, match="OPENAI_BASE_URL and OPENAI_MODEL"):
        endpoint_asker(config())


def test_the_threshold_is_the_mean_of_the_best_texts_of_each_kind() -> None:
    row: dict[str, Any] = {}
    texts = [Scored("a", "k", 1.0, row), Scored("a", "k", 0.4, row), Scored("b", "k", 0.6, row), Scored("c", "z", 0.0, row)]
    limits = thresholds(texts)
    assert limits == {"k": pytest.approx(0.8), "z": 0.0}
    assert [kept(text, limits) for text in texts] == ["", "below_threshold", "below_threshold", "below_threshold"]
    assert kept(Scored("a", "k", 1.0, None), limits) == "rejected"
    alike = [Scored(str(n), "k", 0.1 + 0.2, row) for n in range(3)]
    assert all(kept(text, thresholds(alike)) == "" for text in alike), "rounding of the mean loses no text"


def test_on_a_cluster_the_same_texts_come_from_ray(folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is a stub: it gets the messages through pre- and postprocessing as Ray's does, and loses one row."""
    settings = config(by="ray")
    monkeypatch.setenv("OPENAI_MODEL", "some/model")
    made: dict[str, Any] = {}

    def build(engine: Any, preprocess: Any, postprocess: Any) -> Any:
        made["engine"] = engine

        def run(rows: list[dict[str, Any]]) -> Any:
            out = []
            for row in map(preprocess, rows[1:]):
                reply = {
                    "generated_text": honest(row["messages"][-1]["content"]),
                    "num_input_tokens": 5,
                    "num_generated_tokens": 7,
                }
                assert row["sampling_params"]["max_tokens"] == settings.rewrite.max_tokens
                out.append(postprocess({**row, **reply}))
            return types.SimpleNamespace(iter_rows=lambda: iter(out))

        return run

    stub = types.SimpleNamespace(vLLMEngineProcessorConfig=lambda **k: k, build_processor=build)
    data = types.SimpleNamespace(from_items=lambda rows: rows, llm=stub)
    monkeypatch.setitem(sys.modules, "ray", types.SimpleNamespace(data=data))
    monkeypatch.setitem(sys.modules, "ray.data", data)
    monkeypatch.setitem(sys.modules, "ray.data.llm", stub)
    monkeypatch.setitem(sys.modules, "vllm", types.ModuleType("vllm"))
    found = rewrite(settings, lambda: folders, tmp_path, ray_asker(settings))
    assert made["engine"]["model_source"] == "some/model"
    assert found.counts["kept"] == 2 * len(ALL_KINDS) - 1 and found.counts["refused"] == {"worker_lost": 1}
    assert found.counts["tokens_out"] == 7 * found.counts["kept"]
    monkeypatch.delitem(sys.modules, "vllm")
    with pytest.raises(EngineMissing, match="vLLM"):
        ray_asker(settings)


def test_the_engine_is_asked_for_in_words_that_ray_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's own configuration takes what we say of the engine; only the engine itself needs vLLM and a GPU."""
    llm = pytest.importorskip("ray.data.llm", reason="this build of Ray has no ray.data.llm")
    made: dict[str, Any] = {}

    def build(engine: Any, **functions: Any) -> Any:
        made["engine"] = engine
        return lambda rows: types.SimpleNamespace(iter_rows=lambda: map(functions["postprocess"], ({"key": "a"},)))

    real = types.SimpleNamespace(vLLMEngineProcessorConfig=llm.vLLMEngineProcessorConfig, build_processor=build)
    monkeypatch.setattr("ray.data.from_items", lambda rows: rows)
    settings = config(by="ray", frames=4, gpus=2, copies=3)
    request = types.SimpleNamespace(key="a", content=lambda: [{"role": "user", "content": "x"}])
    assert list(generate(real, "some/model", settings, [request])) == [{"key": "a", "text": "", "tokens_in": 0, "tokens_out": 0}]
    engine = made["engine"]
    assert isinstance(engine, llm.vLLMEngineProcessorConfig) and (engine.model_source, engine.concurrency) == ("some/model", 3)
    assert engine.engine_kwargs["tensor_parallel_size"] == 2 and engine.engine_kwargs["limit_mm_per_prompt"] == {"image": 4}
    assert engine.prepare_multimodal_stage and "enabled" in str(engine.prepare_multimodal_stage)
    with pytest.raises(ValueError, match="[Ee]xtra"):
        llm.vLLMEngineProcessorConfig(model_source="some/model", a_word_it_does_not_know=1)
