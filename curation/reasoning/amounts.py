"""Every number in a text must be one that was measured, or an option that is being weighed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from curation.reasoning.evidence import Evidence
from curation.reasoning.statements import is_hypothetical
from schemas.track import Fact

_ONES = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"),
    *("fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
]
_TENS = {
    ten: 20.0 + 10 * n for n, ten in enumerate(("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"))
}
_NAMED = {word: float(n) for n, word in enumerate(_ONES)} | _TENS
_SPELLED = {f"{ten}-{one}": _TENS[ten] + _NAMED[one] for ten in _TENS for one in _ONES[1:10]} | _NAMED
_PHRASES = {  # as written; the article of a unit ("a metre") comes last
    r"one and a half": 1.5, r"two and a half": 2.5, r"three and a half": 3.5, r"four and a half": 4.5, r"half an?": 0.5,
    r"half of an?": 0.5, r"a quarter of an?": 0.25, r"three quarters of an?": 0.75, r"a third of an?": 1 / 3,
    r"two thirds of an?": 2 / 3, r"a dozen": 12.0, r"half a dozen": 6.0, r"(?:a|one) hundred": 100.0, r"hundreds of": 300.0,
    r"dozens of": 36.0, r"tens of": 30.0, r"an?(?= single)?(?: single)?": 1.0,
}  # fmt: skip
_NUMBER = (
    r"(?<![\w.])(\d+(?:\.\d+)?|"
    + "|".join(rf"{p}" for p in sorted(_PHRASES, key=len, reverse=True))
    + "|"
    + "|".join(sorted(_SPELLED, key=len, reverse=True))
    + r")"
)
# Of a unit: what it measures, and how many of the measured unit (m, s, deg, m/s, %, times) it is.
_UNITS: tuple[tuple[str, str, float], ...] = (
    (r"m/s|met(?:er|re)s? (?:per|a|each|every) second", "m/s", 1.0),
    (r"km/h|kph|kilomet(?:er|re)s? (?:per|an) hour", "m/s", 1 / 3.6),
    (r"mph|miles? (?:per|an) hour", "m/s", 0.44704),
    (r"mm\b|millimet(?:er|re)s?", "m", 0.001),
    (r"cm\b|centimet(?:er|re)s?", "m", 0.01),
    (r"km\b|kilomet(?:er|re)s?", "m", 1000.0),
    (r"m\b|met(?:er|re)s?", "m", 1.0),
    (r"feet|foot|ft\b", "m", 0.3048),
    (r"inch(?:es)?", "m", 0.0254),
    (r"yards?", "m", 0.9144),
    (r"miles?", "m", 1609.0),
    (r"deg\b|degrees?|°", "deg", 1.0),
    (r"radians?|rad\b", "deg", 57.29578),
    (r"quarter[- ]turns?|right angles?", "deg", 90.0),
    (r"half[- ]turns?", "deg", 180.0),
    (r"full turns?|whole turns?|revolutions?", "deg", 360.0),
    (r"%|percent|per cent", "%", 1.0),
    (r"ms\b|milliseconds?", "s", 0.001),
    (r"s\b|secs?\b|seconds?", "s", 1.0),
    (r"minutes?|min\b", "s", 60.0),
    (r"hours?", "s", 3600.0),
    (r"times\b|-?fold\b", "times", 1.0),
)
_UNIT = re.compile(
    _NUMBER
    + r"(?:(?<=\d)|[\s-]+(?:or so |full |whole )?|(?=°|%|-fold))("
    + "|".join(f"(?:{u})" for u, *_ in _UNITS)
    + r")(?!\w)",
    re.IGNORECASE,
)
_FRAME = re.compile(r"\bframes?\s+(\d+)(?:\s*(?:of|to|and|-|–)\s*(?:frame\s+)?(\d+))?", re.IGNORECASE)
_BARE = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")
_SHARE = 0.06  # two significant digits
_WORD_SHARE = 0.15  # of numbers in words, and of those that are said to be rough
_MOMENT = re.compile(
    r"(?:\(|:|,|\b(?:at|from|to|until|till|by|around|after|and|between|start|end|is|as))\W*(?:about |roughly )?$", re.IGNORECASE
)
_ROUGH = re.compile(
    r"\b(?:about|roughly|some|around|nearly|almost|not quite|just under|just over|a (?:little|bit) (?:more|less) than)\W*$"
)


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
        for found in _UNIT.finditer(rest):
            unit, scale = _measure(found[2].lower())
            value = _value(found[1].lower()) * scale
            dated = unit == "s" and _MOMENT.search(rest[: found.start()]) is not None
            truths = _truths(unit, sentence, row, fact, clip, seen, dated)
            rough = not found[1][0].isdigit() or _ROUGH.search(rest[: found.start()]) is not None
            share = _WORD_SHARE if rough else _SHARE
            if not any(_near(value, truth, sigma, share) for truth, sigma in [*truths, *((x, 0.0) for x in offered)]):
                return f"{found[0]} was not measured"
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


def _value(text: str) -> float:
    if text[0].isdigit():
        return float(text)
    if text in _SPELLED:
        return _SPELLED[text]
    return next(value for pattern, value in sorted(_PHRASES.items(), key=lambda p: -len(p[0])) if re.fullmatch(pattern, text))


def _measure(text: str) -> tuple[str, float]:
    return next((measure, scale) for pattern, measure, scale in _UNITS if re.fullmatch(pattern, text))


def _truths(
    unit: str, sentence: str, row: Mapping[str, Any], fact: Fact, clip: Mapping[str, Any], seen: Evidence, dated: bool
) -> Sequence[tuple[float, float]]:
    """Measured values in a unit, with their sigmas, of what the sentence speaks of; ``dated``: a moment, and no lapse of time."""
    details, times = fact.details, clip["frame_times_s"]
    answer = [(row["answer_value"], 2 * (row["answer_sigma"] or 0.0))] if row["answer_value"] is not None else []
    doubt = (
        [(row["answer_sigma"], 0.0)]
        if row.get("answer_sigma") and re.search(r"give or take|plus or minus|within", sentence)
        else []
    )
    if unit == "m/s":
        return [*answer, *doubt] if fact.unit == "m/s" else []
    if unit == "s":
        start, end = times[fact.frame_i], times[fact.frame_j]
        moments = [(start, 0.05), (end, 0.05)] if dated else []
        return [*moments, (end - start, 0.1), *(answer if fact.unit == "s" else [])]
    if unit == "%":
        return [(100 * x, 1.0) for x in (seen.height, seen.height_j) if x is not None]
    if unit == "deg":
        turn = [abs(x) for x in details.get("turn_deg", ())]
        whole = [sum(x * x for x in turn) ** 0.5] if turn else []
        return [(x, 0.5) for x in (*turn, *whole)] + (answer + doubt if fact.unit == "deg" else [])
    if unit == "times":
        growth = [seen.growth, 1 / seen.growth] if seen.growth else []
        return [(x, 0.15 * x) for x in growth]
    lengths = [*answer, *doubt] if fact.unit == "m" or not fact.unit else []
    about_camera, about_object = bool(re.search(r"\b(?:camera|viewpoint)", sentence)), "OBJECT" in sentence
    if about_camera or not about_object:
        lengths += [tuple(details["camera_moved_m"])] if "camera_moved_m" in details else []
    if about_object or not about_camera:
        lengths += [tuple(details["object_moved_m"])] if "object_moved_m" in details else []
        apart = re.search(r"\b(?:away|distan\w+|far|farther|further|near\w*|close\w*|gap|range|from)\b", sentence)
        lengths += [(x, 0.0) for x in details.get("nearest_m", ())] if apart else []
    return lengths


def _offered(row: Mapping[str, Any]) -> list[float]:
    return [float(number) for option in row["options"] for number in _BARE.findall(option)]


def _near(value: float, truth: float, sigma: float, share: float = _SHARE) -> bool:
    return abs(value - truth) <= max(share * abs(truth), 2 * sigma, 0.006)
