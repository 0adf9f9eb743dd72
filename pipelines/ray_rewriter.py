"""Texts by a model on the cluster's own GPUs: ``ray.data.llm`` with vLLM, for what an endpoint would take too long for."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

from schemas.config import Config

_BATCH = 64


class EngineMissing(RuntimeError):
    """Ray's batch inference cannot run here; the message says what is missing."""


def ray_asker(config: Config) -> Any:
    """Writes texts with the model of ``OPENAI_MODEL`` (a name on the Hub or a folder), loaded by vLLM on the cluster.

    Raises:
        EndpointMissing: no model is named.
        EngineMissing: vLLM is not installed.
    """
    from curation.reasoning.endpoint import MODEL, EndpointMissing

    name = os.environ.get(MODEL, "")
    if not name:
        raise EndpointMissing(f"expected {MODEL} in the environment for rewrite.by=ray: a model's name on the Hub, or its folder")
    llm = _engine()

    class FromCluster:
        model = name

        def __call__(self, requests: Iterable[Any], cache: Any, tally: Any) -> Iterator[tuple[Any, str | None, str]]:
            waiting = {}
            for request in requests:
                tally.asked += 1
                if (known := cache.get(request.key)) is not None:
                    tally.cached += 1
                    yield request, known["text"], ""
                else:
                    waiting[request.key] = request
            for row in generate(llm, name, config, list(waiting.values())) if waiting else ():
                found = waiting.pop(row["key"], None)
                if found is None:
                    continue
                reply = {"text": row["text"], "tokens_in": int(row["tokens_in"]), "tokens_out": int(row["tokens_out"])}
                tally.answered, tally.tries = tally.answered + 1, tally.tries + 1
                tally.tokens_in, tally.tokens_out = tally.tokens_in + reply["tokens_in"], tally.tokens_out + reply["tokens_out"]
                cache.put(row["key"], reply)
                yield found, reply["text"], ""
            for (
                request
            ) in waiting.values():  # a block that broke takes its rows with it; they are counted, and asked for next time
                tally.lost["worker_lost"] += 1
                yield request, None, "worker_lost"

    return FromCluster()


def generate(llm: Any, model: str, config: Config, requests: list[Any]) -> Iterator[dict[str, Any]]:
    """Rows ``key, text, tokens_in, tokens_out`` in any order. Messages travel as JSON: Arrow has no type for mixed content."""
    import ray

    ours = config.rewrite
    engine = llm.vLLMEngineProcessorConfig(
        model_source=model,
        engine_kwargs={
            "max_model_len": 16384,
            "tensor_parallel_size": ours.gpus,
            "limit_mm_per_prompt": {"image": max(1, ours.frames)},
        },
        concurrency=ours.copies,
        batch_size=_BATCH,
        **({"prepare_multimodal_stage": {"enabled": True}} if ours.frames else {}),
    )
    sampling = {"temperature": ours.temperature, "max_tokens": ours.max_tokens, "seed": config.seed}

    def before(row: dict[str, Any]) -> dict[str, Any]:
        return {"key": row["key"], "messages": json.loads(row["messages"]), "sampling_params": sampling}

    def after(row: dict[str, Any]) -> dict[str, Any]:
        counts = {"tokens_in": row.get("num_input_tokens") or 0, "tokens_out": row.get("num_generated_tokens") or 0}
        return {"key": row["key"], "text": row.get("generated_text") or "", **counts}

    processor = llm.build_processor(engine, preprocess=before, postprocess=after)
    rows = [{"key": request.key, "messages": json.dumps(request.content())} for request in requests]
    yield from processor(ray.data.from_items(rows)).iter_rows()


def _engine() -> Any:
    try:
        import ray.data.llm as llm
        import vllm  # noqa: F401
    except ImportError as error:
        raise EngineMissing(
            f"expected ray[llm] and vLLM on the cluster for rewrite.by=ray ({error}); install them there "
            "(pip install 'ray[llm]'), or serve the model and use rewrite.by=endpoint"
        ) from error
    return llm
