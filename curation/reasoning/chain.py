"""One chain of thought in five steps, told from the geometry that was measured."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from curation.questions.options import listed
from curation.reasoning.reward import CODE_WEIGHTS, PAPER_WEIGHTS, reward
from curation.reasoning.telling import Register, kind_of, tell
from schemas.track import Fact

PROMPTS = Path(__file__).with_name("prompts.yaml")
TEMPLATE = "template"
"""``rewritten_by`` of a chain that no model has written."""
DECIMALS = 2


def reason(
    row: dict[str, Any],
    fact: Fact,
    clip: dict[str, Any],
    words: Mapping[str, str],
    *,
    seed: int,
    path: int = 0,
    register: Register = "qualitative",
) -> dict[str, Any] | None:
    """A row of ``schemas.tables.ST_COT`` for a question, or None where a position that it needs is not known in metres.

    Args:
        row: the question, as ``questions.ask`` made it.
        fact: that it asks about.
        clip: row of the ``clips`` table.
        words: descriptions by object id.
        seed: of the run.
        path: number of the variant; each phrases the steps differently.
        register: whether the prose holds measured amounts.
    """
    if not stateable(fact) or not row["options"]:
        return None
    steps = tell(row, fact, clip, words, seed=seed, path=path, register=register)
    first, last = state_blocks(fact)
    lines = [steps.anchors.text, steps.start.text, *first, steps.progression.text, steps.end.text, *last, steps.synthesis.text]
    return chain_row(row, fact, "\n".join(lines), path=path, register=register, rewritten_by=TEMPLATE)


def chain_row(
    row: dict[str, Any], fact: Fact, thinking: str, *, path: int, register: str, rewritten_by: str, answer: str | None = None
) -> dict[str, Any]:
    """A row of ``ST_COT`` with the given thinking, scored by the reward in both weightings.

    ``answer`` is what the text answers, the right letter by default.
    """
    camera_center, object_center = states(fact)
    response = f"<thinking>\n{thinking}\n</thinking>\n<answer>{answer or row['answer']}</answer>"
    score = reward(response, row["answer"], camera_center, object_center, weights=CODE_WEIGHTS)
    paper = reward(response, row["answer"], camera_center, object_center, weights=PAPER_WEIGHTS)
    return {
        **row,
        "messages": [*prompt(row), {"role": "assistant", "content": response}],
        "thinking": thinking,
        "response": response,
        "camera_center": camera_center,
        "object_center": object_center,
        "reward": score.total,
        "reward_accuracy": score.accuracy,
        "reward_format": score.format,
        "reward_camera": score.camera,
        "reward_object": score.object,
        "path": path,
        "rewritten_by": rewritten_by,
        "reward_paper": paper.total,
        "register": register,
    }


def prompt(row: dict[str, Any]) -> list[dict[str, str]]:
    """The system and user turns of cold start and RFT."""
    texts = prompts()
    return [
        {"role": "system", "content": texts["system"]},
        {"role": "user", "content": f"<video>\n{row['question']}\n{listed(row['options'])}\n{texts['request']}"},
    ]


def stateable(fact: Fact) -> bool:
    """Whether every position that the kind states is known in metres."""
    kind = kind_of(fact.kind)
    needs = (("camera_center", kind.needs_camera), ("object_center", kind.needs_object))
    return all(_both(fact.details.get(name)) for name, needed in needs if needed)


def states(fact: Fact) -> tuple[list[list[float]] | None, list[list[float]] | None]:
    """Camera and object centres at both frames, metres, in the frame of the clip's first camera; None where not needed."""
    kind = kind_of(fact.kind)
    camera = _rounded(fact.details["camera_center"]) if kind.needs_camera else None
    return camera, _rounded(fact.details["object_center"]) if kind.needs_object else None


def state_block(title: str, camera: list[float] | None, obj: list[float] | None) -> list[str]:
    """The lines that the reward reads: one list a line, no bold, no units."""
    return [f"**Spatial State ({title} Frame):**", f"- Camera Center: {_listed(camera)}", f"- Object Center: {_listed(obj)}"]


def state_blocks(fact: Fact) -> tuple[list[str], list[str]]:
    """The blocks of both frames, as every chain about the fact must hold them, byte for byte."""
    camera, obj = states(fact)
    first, last = (
        state_block(title, camera[n] if camera else None, obj[n] if obj else None) for n, title in enumerate(("Initial", "Final"))
    )
    return first, last


def _both(centers: Any) -> bool:
    return isinstance(centers, list) and len(centers) == 2 and all(isinstance(c, list) and len(c) == 3 for c in centers)


def _rounded(centers: list[list[float]]) -> list[list[float]]:
    return [[round(x, DECIMALS) + 0.0 for x in center] for center in centers]  # + 0.0: no -0.0


def _listed(center: list[float] | None) -> str:
    return "null" if center is None else "[" + ", ".join(f"{x:.{DECIMALS}f}" for x in center) + "]"


@cache
def prompts() -> dict[str, str]:
    """The texts of ``prompts.yaml``."""
    texts: dict[str, str] = yaml.safe_load(PROMPTS.read_text(encoding="utf-8"))
    return texts
