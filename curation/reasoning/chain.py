"""One chain of thought in five steps, told from the geometry that was measured."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import yaml

from curation.questions.options import listed
from curation.questions.rows import label_of
from curation.reasoning.evidence import Evidence, evidence
from curation.reasoning.reward import reward
from curation.relations.kinds import KINDS
from curation.seeding import generator
from schemas.track import Fact

PHRASES = Path(__file__).with_name("phrases.yaml")
DECIMALS = 2


def reason(
    row: dict[str, Any], fact: Fact, clip: dict[str, Any], words: str, *, seed: int, path: int = 0
) -> dict[str, Any] | None:
    """A row of ``schemas.tables.ST_COT`` for a question, or None where the fact has no metric state.

    Args:
        row: the question, as ``questions.ask`` made it.
        fact: that it asks about.
        clip: row of the ``clips`` table.
        words: description of the object; "" for a camera question.
        seed: of the run.
        path: number of the variant; each phrases the steps differently.
    """
    if "camera_center" not in fact.details:
        return None
    camera_center, object_center = states(fact)
    thinking = "\n".join(_steps(row, fact, clip, words, camera_center, object_center, seed, path))
    response = f"<thinking>\n{thinking}\n</thinking>\n<answer>{row['answer']}</answer>"
    score = reward(response, row["answer"], camera_center, object_center)
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
        "rewritten_by": "",
    }


def prompt(row: dict[str, Any]) -> list[dict[str, str]]:
    """The system and user turns of cold start and RFT."""
    phrases = _phrases()
    return [
        {"role": "system", "content": phrases["system"]},
        {"role": "user", "content": f"<video>\n{row['question']}\n{listed(row['options'])}\n{phrases['request']}"},
    ]


def states(fact: Fact) -> tuple[list[list[float]] | None, list[list[float]] | None]:
    """Camera and object centres at both frames, metres, in the frame of the clip's first camera; None where not needed."""
    kind = KINDS[fact.kind]
    camera = _rounded(fact.details["camera_center"]) if kind.needs_camera else None
    return camera, _rounded(fact.details["object_center"]) if kind.needs_object else None


def state_block(title: str, camera: list[float] | None, obj: list[float] | None) -> list[str]:
    """The lines that the reward reads: one list a line, no bold, no units."""
    return [f"**Spatial State ({title} Frame):**", f"- Camera Center: {_listed(camera)}", f"- Object Center: {_listed(obj)}"]


def _steps(
    row: dict[str, Any],
    fact: Fact,
    clip: dict[str, Any],
    words: str,
    camera_center: list[list[float]] | None,
    object_center: list[list[float]] | None,
    seed: int,
    path: int,
) -> list[str]:
    phrases, seen = _phrases(), evidence(fact, clip)
    draws = iter(generator(seed, fact.clip_id, f"chain:{row['id']}:{path}").random(16).tolist())
    times = clip["frame_times_s"]
    fields: dict[str, Any] = {
        "object": words,
        "Object": words[:1].upper() + words[1:],
        "a": f"frame {fact.frame_i} ({times[fact.frame_i]:.1f} s)",
        "b": f"frame {fact.frame_j} ({times[fact.frame_j]:.1f} s)",
        "place": seen.place,
        "place_j": seen.place_j,
        "size": seen.size,
        "scale": seen.scale,
        "letter": row["answer"],
        "value": _value(row),
    }
    fields["goal"] = phrases["goals"][fact.kind].render(fields)
    short = words.split(" (")[0]  # once pointed out, the object needs no more pointing
    fields |= {"object": short, "Object": short[:1].upper() + short[1:]}

    def say(ways: list[jinja2.Template]) -> str:
        return ways[int(next(draws) * len(ways))].render(fields)

    about = "object" if fact.object_id else "camera"
    first, last = (
        state_block(title, camera_center[n] if camera_center else None, object_center[n] if object_center else None)
        for n, title in enumerate(("Initial", "Final"))
    )
    middle = _progression(fact, seen, phrases, say)
    return [
        say(phrases["anchors"]),
        say(phrases[f"start_{about}"]),
        *first,
        " ".join(middle),
        say(phrases[f"end_{about}"]),
        *last,
        say(phrases["conclusions"][fact.kind]),
    ]


def _progression(fact: Fact, seen: Evidence, phrases: dict[str, Any], say: Any) -> list[str]:
    sentences = [say(phrases["camera_moves"][seen.camera])] if seen.camera else []
    if seen.turn:
        sentences.append(say(phrases["turns"][seen.turn]))
    if fact.object_id:
        moved, sigma = fact.details["object_moved_m"]
        if moved > max(0.1, 3 * sigma):
            sentences.append(say(phrases["object_against_scene"]))
        if _misleading(fact, seen):
            sentences.append(say(phrases["caveats"][fact.kind]))
    return sentences or [say(phrases["start_camera"])]


def _misleading(fact: Fact, seen: Evidence) -> bool:
    """Whether the picture alone would suggest another answer than the geometry gives."""
    if fact.kind == "object_camera_lateral":
        return seen.drift * (1 if fact.label == "right" else -1) < -0.02
    if fact.kind in ("object_camera_longitudinal", "object_camera_distance_change"):
        if seen.growth is None:
            return True
        expected = {"closer": 1, "farther": -1, "not moving": 0}[fact.label]
        return (seen.growth - 1) * expected < 0 if expected else abs(seen.growth - 1) > 0.25
    return False


def _value(row: dict[str, Any]) -> str:
    if row["answer_value"] is not None:
        return f"about {float(format(row['answer_value'], '.2g')):g} m"
    label = label_of(row)
    if row["kind"] == "object_camera_distance_change":
        return {"closer": "closer than before", "farther": "farther away than before"}.get(label, "at about the same distance")
    return {"farther": "farther away"}.get(label, label)


def _rounded(centers: list[list[float]]) -> list[list[float]]:
    return [[round(x, DECIMALS) + 0.0 for x in center] for center in centers]  # + 0.0: no -0.0


def _listed(center: list[float] | None) -> str:
    return "null" if center is None else "[" + ", ".join(f"{x:.{DECIMALS}f}" for x in center) + "]"


@cache
def _phrases() -> dict[str, Any]:
    env = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    data = yaml.safe_load(PHRASES.read_text(encoding="utf-8"))

    def compiled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: compiled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [compiled(item) for item in value]
        return env.from_string(value)

    return {key: value if key in ("system", "request") else compiled(value) for key, value in data.items()}
