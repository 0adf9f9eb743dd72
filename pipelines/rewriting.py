"""The step between the selection and the published folder that has chains of thought written anew, and checks them.

Texts are asked for once and kept by content (``ReplyCache``); what is published follows from the kept replies alone. So a
run that was cut short asks only for what is missing, and a finished one asks for nothing.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pipelines.ledger import fingerprint
from pipelines.summary import duration
from schemas import run_folder as names
from schemas.config import Config

REPLIES = "replies"
_EXAMPLES = 3

Row = dict[str, Any]


class Asker(Protocol):
    """Fills the cache with what it can get for the requests, and says how each ended."""

    model: str

    def __call__(self, requests: Iterable[Any], cache: Any, tally: Any) -> Iterator[tuple[Any, str | None, str]]:
        """Yield every request with its text, or None and why there is none."""
        ...


@dataclass(frozen=True)
class Asked:
    """One text that is asked for."""

    sample: Any
    path: int
    register: str
    key: str
    request: Any


@dataclass
class Rewritten:
    """The outcome: per kind the threshold, and what became of the texts. ``rows`` gives a clip's published chains."""

    config: Config
    model: str
    cache: Any
    chosen: frozenset[str] | None
    limits: dict[str, float] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    digest: str = ""

    def rows(self, folder: Path) -> list[Row]:
        """The chains of one clip: texts that are kept, and the template's where there is none."""
        from curation.reasoning.rewrite import kept

        config = self.config.rewrite
        out: list[Row] = []
        for asked_rows, template in _by_sample(folder, self.config, self.model, self.chosen):
            mine = []
            for asked in asked_rows:
                reply = self.cache.get(asked.key)
                if reply is not None:
                    text, _ = _scored(reply["text"], asked, self.config, self.model)
                    if not kept(text, self.limits) and text.row is not None:
                        mine.append(dict(text.row))
            out += mine or (template if config.keep_template else [])
        return sorted(out, key=lambda row: (row["id"], row["path"]))


class _Texts:
    """Says twenty times how far it is: texts are too many for a line each."""

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total, self._step = title, total, max(1, total // 20)
        self._fates, self._started = Counter[str](), time.monotonic()

    def __enter__(self) -> _Texts:
        if self._total:
            print(f"{self._title}: {self._total} texts", flush=True)
        return self

    def ended(self, fate: str) -> None:
        """One more text is there, or is not."""
        self._fates[fate] += 1
        count = sum(self._fates.values())
        if count % self._step == 0 or count == self._total:
            left = (time.monotonic() - self._started) / count * (self._total - count)
            words = ", ".join(f"{n} {fate}" for fate, n in sorted(self._fates.items()))
            print(f"[{count}/{self._total}] {words}" + (f" ({duration(left)} left)" if count < self._total else ""), flush=True)

    def __exit__(self, *_: object) -> None:
        pass


def rewrite(
    config: Config,
    folders: Callable[[], Iterable[Path]],
    cache_folder: Path,
    asker: Asker,
) -> Rewritten:
    """Ask for what the cache does not hold, check and score every text, and find each kind's threshold.

    Args:
        config: of the run.
        folders: gives the folders of the training clips whose reasoning is done, in the order of their ids, each time anew.
        cache_folder: of the replies.
        asker: gets texts.
    """
    from curation.reasoning.endpoint import ReplyCache, Tally
    from curation.reasoning.rewrite import kept, thresholds

    cache, tally = ReplyCache(cache_folder), Tally()
    out = Rewritten(config, asker.model, cache, _chosen(config, folders))
    total = sum(len(asked) for folder in folders() for asked, _ in _by_sample(folder, config, asker.model, out.chosen))
    scored: list[Any] = []
    reasons, examples = Counter[str](), defaultdict[str, list[str]](list)
    pending: dict[str, Asked] = {}

    def requests() -> Iterator[Any]:
        for folder in folders():
            for asked_rows, _ in _by_sample(folder, config, asker.model, out.chosen):
                for asked in asked_rows:
                    pending[asked.request.id] = asked
                    yield asked.request

    with _Texts("rewriting", total) as progress:
        for request, reply, lost in asker(requests(), cache, tally):
            asked = pending.pop(request.id)
            if reply is None:
                reasons[lost] += 1
                progress.ended("lost")
                continue
            text, why = _scored(reply, asked, config, asker.model)
            scored.append(_light(text))
            if why is not None:
                reasons[why.reason] += 1
                if len(examples[why.reason]) < _EXAMPLES:
                    examples[why.reason].append(f"{request.id}: {why.detail}"[:200])
            progress.ended("good" if why is None else "refused")
    scored.sort(key=lambda text: (text.sample_id, text.reward))
    out.limits = thresholds(scored)
    fates = Counter(kept(text, out.limits) for text in scored)
    if fates["below_threshold"]:
        reasons["below_threshold"] += fates["below_threshold"]
    out.counts = {
        "model": asker.model,
        "samples": len({text.sample_id for text in scored}),
        "asked": tally.asked,
        "answered": tally.answered,
        "from_cache": tally.cached,
        "tries": tally.tries,
        "tokens_in": tally.tokens_in,
        "tokens_out": tally.tokens_out,
        "cost": tally.cost(config.rewrite),
        "kept": fates[""],
        "refused": dict(sorted(reasons.items())),
        "examples": dict(sorted(examples.items())),
        "thresholds": {kind: round(limit, 6) for kind, limit in out.limits.items()},
        "first_error": tally.message,
    }
    out.digest = fingerprint(
        [asker.model, config.rewrite.model_dump(mode="json"), out.limits, fates[""], sorted(reasons.items())]
    )
    return out


def endpoint_asker(config: Config) -> Asker:
    """Asks the server of the environment.

    Raises:
        EndpointMissing: the environment names none.
    """
    from curation.reasoning.endpoint import Endpoint, ask_all

    endpoint = Endpoint.from_environment()

    class FromEndpoint:
        model = endpoint.model

        def __call__(self, requests: Iterable[Any], cache: Any, tally: Any) -> Iterator[tuple[Any, str | None, str]]:
            loop = asyncio.new_event_loop()
            stream = ask_all(requests, endpoint, config.rewrite, cache, tally)
            try:
                while True:
                    try:
                        yield loop.run_until_complete(anext(stream))
                    except StopAsyncIteration:
                        return
            finally:
                loop.run_until_complete(stream.aclose())
                loop.close()

    return FromEndpoint()


def asker_of(config: Config) -> Asker | None:
    """What writes texts anew; None where nobody does."""
    if config.rewrite.by == "nobody":
        return None
    if config.rewrite.by == "endpoint":
        return endpoint_asker(config)
    from pipelines.ray_rewriter import ray_asker

    return ray_asker(config)


def summary(counts: Row) -> str:
    """A line or two for the end of a run."""
    refused = ", ".join(f"{reason} {count}" for reason, count in counts["refused"].items())
    cost = "" if counts["cost"] is None else f", cost {counts['cost']:.4f}"
    lines = [
        f"  rewritten by {counts['model']}: {counts['kept']} texts kept of {counts['asked']} asked "
        f"({counts['from_cache']} from the cache), {counts['tokens_in']} + {counts['tokens_out']} tokens{cost}"
        + (f"; refused: {refused}" if refused else "")
    ]
    if counts["first_error"]:
        lines.append(f"  the first error was: {counts['first_error']}; the same command asks again for what was lost")
    return "\n".join(lines)


def _by_sample(
    folder: Path, config: Config, model: str, chosen: frozenset[str] | None
) -> Iterator[tuple[list[Asked], list[Row]]]:
    """Per sample of a clip: what is asked for, and its template rows."""
    from curation.reasoning.check import Sample
    from curation.shards.products import ClipInfo, description_of, fact_of
    from curation.shards.rows import clip_row
    from curation.shards.writer import read_table
    from schemas import tables

    rows = read_table(folder / names.REASONING).to_pylist()
    if not rows:
        return
    info = ClipInfo.from_json(json.loads((folder / names.CLIP_JSON).read_text(encoding="utf-8")))
    clip = clip_row(info, info.spec.source.name, "")
    facts = {fact.fact_id: fact for fact in (fact_of(row) for row in read_table(folder / names.FACTS).to_pylist())}
    descriptions = [description_of(row) for row in read_table(folder / names.OBJECTS).to_pylist()]
    words = {d.object_id: d.text for d in descriptions if d.text}
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row["id"]].append(row)
    columns = tables.SFT.names
    for sample_id, mine in sorted(grouped.items()):
        if chosen is not None and sample_id not in chosen:
            yield [], mine
            continue
        question = {name: mine[0][name] for name in columns}
        sample = Sample(question, facts[question["fact_ids"][0]], clip, words)
        yield [_asked(sample, mine, path, folder, config, model) for path in range(config.rewrite.paths)], mine


def _asked(sample: Any, templates: Sequence[Row], path: int, folder: Path, config: Config, model: str) -> Asked:
    from curation.reasoning.clip import register_of
    from curation.reasoning.endpoint import ReplyCache, Request
    from curation.reasoning.pictures import picture_frames, pictures
    from curation.reasoning.rewrite import request_messages

    ours, row = config.rewrite, sample.row
    register = register_of(row["id"], path, config.reasoning, config.seed)
    plain = templates[path % len(templates)]["thinking"]
    frames = picture_frames(row["frame_i"], row["frame_j"], ours.frames)
    words = request_messages(sample, plain, path=path, register=register)
    key = ReplyCache.key(model, ours, [words, row["clip_id"], frames, ours.frame_width if frames else 0], path)

    def content() -> list[Row]:
        seen = pictures(folder / names.CLIP_VIDEO, sample.clip, frames, ours.frame_width) if frames else []
        return request_messages(sample, plain, path=path, register=register, pictures=seen)

    return Asked(sample, path, register, key, Request(f"{row['id']}/{path}", key, content))


def _scored(reply: str, asked: Asked, config: Config, model: str) -> Any:
    from curation.reasoning.rewrite import score

    return score(reply, asked.sample, config.rewrite, path=asked.path, register=asked.register, model=model)


def _light(text: Any) -> Any:
    """A scored text without its row's content, of which there may be millions."""
    from curation.reasoning.rewrite import Scored

    return Scored(text.sample_id, text.kind, text.reward, {} if text.row is not None else None)


def _chosen(config: Config, folders: Callable[[], Iterable[Path]]) -> frozenset[str] | None:
    """The samples that are rewritten, by turns over the kinds; None means all."""
    most = config.rewrite.max_samples
    if not most:
        return None
    from curation.shards.writer import read_table

    kinds: dict[str, set[str]] = defaultdict(set)
    for folder in folders():
        table = read_table(folder / names.REASONING)
        for sample_id, kind in zip(table["id"].to_pylist(), table["kind"].to_pylist(), strict=True):
            kinds[kind].add(sample_id)
    queues = [sorted(ids, key=lambda name: fingerprint(config.seed, name), reverse=True) for _, ids in sorted(kinds.items())]
    out: list[str] = []
    while len(out) < most and any(queues):
        out += [queue.pop() for queue in queues if queue]
    return frozenset(out[:most])
