"""Every number in a text must be one that was measured, or an option that is being weighed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from curation.reasoning.claims import is_hypothetical
from curation.reasoning.evidence import Evidence
from schemas.track import Fact

_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_NUMBER = r"(?<![\w.])(\d+(?:\.\d+)?|(?:" + "|".join(_WORDS) + r")\b)"
_UNIT = re.compile(
    _NUMBER + r"[\s-]*(m/s|met(?:er|re)s? (?:per|a) second|m\b|met(?:er|re)s?\b|cm\b|centimet(?:er|re)s?\b|deg\b|degrees?\b|"
    r"°|%|percent\b|per cent\b|"
    r"s\b|secs?\b|seconds?\b|times\b)",
    re.IGNORECASE,
)
_FRAME = re.compile(r"\bframes?\s+(\d+)(?:\s*(?:of|to|and|-|–)\s*(?:frame\s+)?(\d+))?", re.IGNORECASE)
_BARE = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")
_SHARE = 0.06  # two significant digits


def wrong_number(prose: str, row: Mapping[str, Any], fact: Fact, clip: Mapping[str, Any], seen: Evidence) -> str | None:
    """What is wrong with the first number that nothing supports, or None.

    Lengths, speeds, angles, shares of the picture, seconds, factors and frames are looked at each in their unit. A sentence
    that weighs what would be seen may name the options; a plain one only what was measured of the thing that it speaks of.
    """
    for sentence in re.split(r"(?<=[.!?;])\s+|\n", prose):
        offered = _offered(row) if is_hypothetical(sentence) else []
        rest = sentence
        for found in _FRAME.finditer(sentence):
            last = clip["num_frames"] - 1
            for number in filter(None, found.groups()):
                if int(number) not in (fact.frame_i, fact.frame_j, last):
                    return f"frame {number} is not one of the two in question"
        rest = _FRAME.sub(" ", rest)
        for number, unit in _UNIT.findall(rest):
            value = float(_WORDS.index(number.lower())) if number.lower() in _WORDS else float(number)
            truths = _truths(unit.lower(), sentence, row, fact, clip, seen)
            if not any(_near(value, truth, sigma) for truth, sigma in [*truths, *((x, 0.0) for x in offered)]):
                return f"{number} {unit} was not measured"
        rest = _UNIT.sub(" ", rest)
        for text in sorted(row["options"], key=len, reverse=True):
            rest = rest.replace(f"'{text}'", " ").replace(text, " ")
        for number in _BARE.findall(rest):
            known = [
                float(fact.frame_i),
                float(fact.frame_j),
                *([row["answer_value"]] if row["answer_value"] is not None else []),
            ]
            if not any(_near(float(number), truth, 0.0) for truth in (*known, *offered)):
                return f"{number} stands for nothing that was measured"
    return None


def _truths(
    unit: str, sentence: str, row: Mapping[str, Any], fact: Fact, clip: Mapping[str, Any], seen: Evidence
) -> Sequence[tuple[float, float]]:
    """Measured values in a unit, with their sigmas, of what the sentence speaks of."""
    details, times = fact.details, clip["frame_times_s"]
    answer = [(row["answer_value"], 2 * (row["answer_sigma"] or 0.0))] if row["answer_value"] is not None else []
    doubt = (
        [(row["answer_sigma"], 0.0)]
        if row.get("answer_sigma") and re.search(r"give or take|plus or minus|within", sentence)
        else []
    )
    if unit.startswith(("m/s",)) or "second" in unit and unit.startswith("met"):
        return [*answer, *doubt] if fact.unit == "m/s" else []
    if unit in ("s", "sec", "secs", "second", "seconds"):
        start, end = times[fact.frame_i], times[fact.frame_j]
        return [(start, 0.05), (end, 0.05), (end - start, 0.1), *(answer if fact.unit == "s" else [])]
    if unit == "%" or unit.startswith("per"):
        return [(100 * x, 1.0) for x in (seen.height, seen.height_j) if x is not None]
    if unit.startswith("deg") or unit == "°":
        turn = [abs(x) for x in details.get("turn_deg", ())]
        whole = [sum(x * x for x in turn) ** 0.5] if turn else []
        return [(x, 0.5) for x in (*turn, *whole)] + (answer + doubt if fact.unit == "deg" else [])
    if unit == "times":
        growth = [seen.growth, 1 / seen.growth] if seen.growth else []
        return [(x, 0.3 * x) for x in growth]
    scale = 100.0 if unit.startswith("c") else 1.0
    lengths = [*answer, *doubt] if fact.unit == "m" or not fact.unit else []
    about_camera, about_object = bool(re.search(r"\b(?:camera|viewpoint)", sentence)), "OBJECT" in sentence
    if about_camera or not about_object:
        lengths += [tuple(details["camera_moved_m"])] if "camera_moved_m" in details else []
    if about_object or not about_camera:
        lengths += [tuple(details["object_moved_m"])] if "object_moved_m" in details else []
        lengths += [(x, 0.0) for x in details.get("nearest_m", ())]
    return [(value * scale, sigma * scale) for value, sigma in lengths]


def _offered(row: Mapping[str, Any]) -> list[float]:
    return [float(number) for option in row["options"] for number in _BARE.findall(option)]


def _near(value: float, truth: float, sigma: float) -> bool:
    return abs(value - truth) <= max(_SHARE * abs(truth), 2 * sigma, 0.006)
