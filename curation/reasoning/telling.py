"""The five steps of one chain of thought, in words: what the grammar can say of a fact and of what was seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from curation.questions.options import LETTERS
from curation.questions.rows import label_of, option_values
from curation.reasoning.evidence import ALIKE, Evidence, evidence
from curation.reasoning.grammar import Expander, Grammar, Said, load_grammar
from curation.relations.kinds import FURTHER, KINDS, STEP, Kind
from curation.seeding import generator
from schemas.track import Fact

FILES = tuple(Path(__file__).with_name(name) for name in ("steps.yaml", "kinds.yaml"))
Register = Literal["qualitative", "quantitative"]
VOICES = ("i", "plain", "terse")
_WAYS = {
    "right": "to the right",
    "left": "to the left",
    "up": "upwards",
    "down": "downwards",
    "away": "deeper into the view",
    "towards": "nearer in depth",
}


@dataclass(frozen=True)
class Steps:
    """The five steps: objective and moments, start, progression, end, synthesis."""

    anchors: Said
    start: Said
    progression: Said
    end: Said
    synthesis: Said

    @property
    def said(self) -> tuple[Said, ...]:
        """In order."""
        return (self.anchors, self.start, self.progression, self.end, self.synthesis)

    @property
    def skeleton(self) -> str:
        """The prose with the names of the fields in the place of their values."""
        return "\n".join(step.skeleton for step in self.said)


def kind_of(name: str) -> Kind:
    """The definition of a kind, those beyond the paper's included."""
    return {**FURTHER, **KINDS}[name]


def grammar() -> Grammar:
    """The grammar of the two YAML files, compiled once."""
    return load_grammar(*FILES)


def tell(
    row: dict[str, Any], fact: Fact, clip: dict[str, Any], words: Mapping[str, str], *, seed: int, path: int, register: Register
) -> Steps:
    """Tell the steps of one question.

    Args:
        row: the question.
        fact: that it asks about.
        clip: row of ``clips`` (times, size).
        words: descriptions by object id.
        seed: of the run.
        path: number of the variant.
        register: "quantitative" adds shares of the picture, angles, lengths and doubts, as measured.
    """
    stream = generator(seed, fact.clip_id, f"chain:{row['id']}:{path}")
    draws: list[float] = []

    def draw() -> float:
        if not draws:
            draws.extend(stream.random(64).tolist())
        return draws.pop()

    seen = evidence(fact, clip)
    voice = VOICES[int(draw() * len(VOICES))]
    tags = {voice, "num" if register == "quantitative" else "qual"}
    fields = _fields(row, fact, clip, words, seen)
    full = {k: words.get(n, "") for k, n in (("object", fact.object_id), ("other", fact.other_object_id)) if n}
    rules = grammar()
    at_first = rules.expander({**fields, **full}, tags, draw)
    fields["goal"] = _first(at_first, f"goal_{fact.kind}", "goal_any", sentence=False)
    said = rules.expander(fields, tags, draw)
    about = _about(fact, seen)
    start = [said.say(f"start_{about}")]
    end = [said.say(f"end_{about}")]
    if fact.other_object_id:
        start.append(said.say("other_plain"))
    return Steps(
        said.say("anchors"),
        _joined(start),
        _joined(_progression(fact, seen, said, draw)),
        _joined(end),
        _synthesis(row, fact, fields, tags, rules, draw),
    )


def _fields(
    row: dict[str, Any], fact: Fact, clip: dict[str, Any], words: Mapping[str, str], seen: Evidence
) -> dict[str, str | Said | None]:
    times, details = clip["frame_times_s"], fact.details
    short = {name: text.split(" (")[0] for name, text in words.items()}  # once pointed out, it needs no more pointing
    if fact.other_object_id and short.get(fact.object_id) == short.get(fact.other_object_id):
        short = dict(words)  # two of one name need their pointing
    thing = short.get(fact.object_id)
    turn = max((abs(x) for x in details.get("turn_deg", (0.0, 0.0))[:2]), default=0.0)
    return {
        "a": f"frame {fact.frame_i} ({times[fact.frame_i]:.1f} s)",
        "b": f"frame {fact.frame_j} ({times[fact.frame_j]:.1f} s)",
        "a_frame": f"frame {fact.frame_i}",
        "b_frame": f"frame {fact.frame_j}",
        "span": f"{times[fact.frame_j] - times[fact.frame_i]:.1f} s",
        "object": thing,
        "other": short.get(fact.other_object_id),
        "subject": thing or ("the things that are named" if fact.details.get("objects") else "the camera"),
        "place": seen.place,
        "place_j": seen.place_j,
        "size": seen.size,
        "scale": seen.scale,
        "size_pct": _percent(seen.height),
        "size_j_pct": _percent(seen.height_j),
        "camera_m": _length(details.get("camera_moved_m")) if fact.kind != "camera_distance" else None,
        "object_m": _length(details.get("object_moved_m")) if fact.kind != "object_distance" else None,
        "turn_deg": f"about {turn:.0f} degrees" if turn >= 1 else None,
        "letter": row["answer"],
        "answer": row["answer_text"],
        "label": fact.label,
        "steps": ", then ".join(_WAYS.get(step, step) for step in fact.label.split(STEP)) if fact.label else None,
        "value": _value(row, fact),
        **_with_doubt(row, fact),
    }


def _about(fact: Fact, seen: Evidence) -> str:
    if not fact.object_id:
        return "camera"
    return "object" if seen.place else "hidden"


def _progression(fact: Fact, seen: Evidence, said: Expander, draw: Callable[[], float]) -> list[Said]:
    about_camera, about_object = [], []
    # "camera still" and "camera moves" are facts of every moment between, the evidence is one of the two frames
    at_odds = fact.kind == "object_true_motion" and (seen.camera == "none") != (fact.label == "only the object")
    if seen.camera and not at_odds:
        about_camera.append(said.say(f"camera_{seen.camera}"))
    if seen.turn:
        about_camera.append(said.say(f"{'turn' if about_camera else 'alone'}_{seen.turn}"))
    if fact.object_id:
        if fact.label in ("only the camera", "stays still") or (fact.kind == "object_direction" and fact.label == "not moving"):
            about_object.append(said.say("still_object"))
        elif _certain_motion(fact):
            about_object.append(said.say("against_scene"))
        if misleading(fact, seen) and said.offers(f"caveat_{fact.kind}"):
            about_object.append(said.say(f"caveat_{fact.kind}"))
    parts = [about_camera, about_object]
    if all(parts) and draw() < 0.35:
        parts = parts[::-1]
    sentences = [sentence for part in parts for sentence in part]
    return sentences or [said.say("follow")]


def _certain_motion(fact: Fact) -> bool:
    moved, sigma = fact.details.get("object_moved_m", (0.0, 0.0))
    return bool(moved > max(0.1, 3 * sigma))


def _synthesis(
    row: dict[str, Any],
    fact: Fact,
    fields: dict[str, str | Said | None],
    tags: set[str],
    rules: Grammar,
    draw: Callable[[], float],
) -> Said:
    says = f"says_{fact.kind}"
    labelled = f"{says}__{_slug(fact.label)}"
    wrong = [letter for letter in LETTERS[: len(row["options"])] if letter != row["answer"]]
    fields = {**fields, "others": _options(wrong)}
    told = rules.expander(fields, tags, draw)
    fields["says"] = _first(told, labelled if labelled in rules else says, "says_any", sentence=False)
    if kind_of(fact.kind).numeric:
        number = dict(zip(LETTERS, option_values(row), strict=False))
        larger = [letter for letter in wrong if number[letter] > number[row["answer"]]]
        smaller = [letter for letter in wrong if number[letter] < number[row["answer"]]]
        for name, which in (("larger", larger), ("smaller", smaller)):
            fields[name] = _options(which)
            fields[f"{name}_values"] = _listing([row["options"][LETTERS.index(letter)] for letter in which])
        told = rules.expander(fields, tags, draw)
        fields["more"] = _first(told, f"more_{fact.kind}", "more_any", sentence=False)
        fields["less"] = _first(told, f"less_{fact.kind}", "less_any", sentence=False)
        told = rules.expander(fields, tags, draw)
        both = larger and smaller
        fields["against"] = told.say("both_sides" if both else "too_much" if larger else "too_little" if smaller else "none_else")
    else:
        fields["against"] = _counters(row, fact, wrong, fields, tags, rules, draw)
    return rules.expander(fields, tags, draw).say("final")


def _counters(
    row: dict[str, Any],
    fact: Fact,
    wrong: list[str],
    fields: dict[str, str | Said | None],
    tags: set[str],
    rules: Grammar,
    draw: Callable[[], float],
) -> Said:
    """Why the other answers fail: each by what would be seen, where that is known."""
    order = sorted(wrong, key=lambda _: draw())
    out: list[Said] = []
    for letter in order[:3]:
        text = row["options"][LETTERS.index(letter)]
        about: dict[str, str | Said | None] = {**fields, "wrong": text, "wrong_letter": letter}
        sign = f"sign_{fact.kind}__{_slug(label_of(row, text))}"
        if sign in rules:
            about["wrong_sign"] = rules.expander(about, tags, draw).say(sign, sentence=False)
            out.append(rules.expander(about, tags, draw).say("counter"))
        else:
            out.append(rules.expander(about, tags, draw).say("counter_plain"))
    if len(order) > 3 or not out or draw() < 0.1:
        return rules.expander(fields, tags, draw).say("none_else")
    return _joined(out)


def misleading(fact: Fact, seen: Evidence) -> bool:
    """Whether the picture alone would suggest another answer than the geometry gives."""
    if fact.kind == "object_camera_lateral":
        return seen.drift * (1 if fact.label == "right" else -1) < -0.02
    if fact.kind in ("object_camera_longitudinal", "object_camera_distance_change"):
        if seen.growth is None:
            return True
        larger = {"closer": seen.growth, "farther": 1 / seen.growth}.get(fact.label)
        return max(seen.growth, 1 / seen.growth) >= ALIKE if larger is None else larger < ALIKE
    return False


def _first(said: Expander, rule: str, otherwise: str, *, sentence: bool) -> Said:
    return said.say(rule if said.offers(rule) else otherwise, sentence=sentence)


def _joined(parts: list[Said]) -> Said:
    return Said(" ".join(p.text for p in parts), " ".join(p.skeleton for p in parts))


def _slug(label: str) -> str:
    return label.replace(" ", "_")


def _options(letters: list[str]) -> str | None:
    if not letters:
        return None
    return f"option {letters[0]}" if len(letters) == 1 else f"options {_listing(letters)}"


def _listing(words: list[str]) -> str | None:
    if not words:
        return None
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _percent(share: float | None) -> str | None:
    return None if share is None else f"about {100 * share:.0f} %"


def _length(moved: tuple[float, float] | None) -> str | None:
    """A length that is beyond doubt, in words."""
    return None if moved is None or moved[0] < max(0.05, 4 * moved[1]) else f"about {rounded(moved[0])} m"


def _with_doubt(row: dict[str, Any], fact: Fact) -> dict[str, str | None]:
    """A number and its standard error with the same decimals: two digits of the error, thousandths at the finest."""
    value, sigma = row["answer_value"], row.get("answer_sigma")
    if value is None or not sigma:
        return {}
    decimals = min(3, max(0, 1 - math.floor(math.log10(sigma))))
    least = 10.0**-decimals
    unit = _unit(fact.unit)
    return {"value_exactly": f"{value:.{decimals}f} {unit}", "doubt": f"{max(sigma, least):.{decimals}f} {unit}"}


def rounded(value: float) -> str:
    """Two significant digits, without an exponent."""
    return f"{float(format(value, '.2g')):g}"


def _unit(unit: str) -> str:
    return {"deg": "degrees"}.get(unit, unit)


def _value(row: dict[str, Any], fact: Fact) -> str | None:
    return None if row["answer_value"] is None else f"about {rounded(row['answer_value'])} {_unit(fact.unit)}"
