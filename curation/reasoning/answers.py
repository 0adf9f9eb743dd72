"""What people say for the labels of the further kinds, so that a text cannot state another answer in words of its own."""
# ruff: noqa: E501  (a pattern is easier to read on one line)

from __future__ import annotations

import re

from curation.reasoning.statements import denied

_FIRST_THIRD = r"\b(?:first|earliest|opening|early) (?:third|part)\b"
_MIDDLE_THIRD = r"\b(?:middle|second|central) third\b|\bhalfway\b"
_LAST_THIRD = r"\b(?:last|final|closing|late) third\b"
_NEAREST = r"\b(?:nearest|closest|smallest|least|minimum)\b"
_STOPS = r"\b(?:halts?|stops?|(?:comes?|came) to (?:a stop|a halt|rest|a standstill)|pauses?)\b"
_QUICK = r"(?:faster|quicker|speedier|swifter|more ground)"
_SLOW = r"(?:slower|less ground)"
_STARTS = r"(?:starts?|sets? off|leaves?|moves?|gets? going|departs?|begins?|sets? out)"
_PASSES = r"(?:overtakes?|passes|gets (?:ahead of|past)|outpaces)"
_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "object_speed_change": {
        "faster": (
            r"\b(?:speeds? up|accelerat\w+|(?:gains?|picks? up) (?:pace|speed)|becomes? (?:faster|quicker)|gets? (?:faster|quicker))\b",
            r"\b(?:second half|later)\b[^.;]*\b(?:faster|quicker|more ground)\b",
            r"\bfirst half\b[^.;]*\b(?:slower|less ground)\b",
        ),
        "slower": (
            r"\b(?:slows?(?: down)?|decelerat\w+|brak(?:es|ing)|loses? (?:pace|speed)|becomes? slower|gets? slower)\b",
            r"\b(?:second half|later)\b[^.;]*\b(?:slower|less ground)\b",
            r"\bfirst half\b[^.;]*\b(?:faster|quicker|more ground)\b",
        ),
        "as fast": (r"\b(?:keeps?|holds?|at) (?:its|the same|a (?:constant|steady|even)) (?:pace|speed)\b", r"\bspeed (?:stays|remains|does not change)\b"),
    },
    "object_motion_pattern": {
        "keeps moving": (r"\b(?:keeps? (?:moving|going)|(?:moves?|goes) on throughout|without (?:a |any )?(?:stop|break|pause|stopping))\b",),
        "comes to a stop": (rf"{_STOPS}(?!.*\b(?:goes on|moves again|continues)\b)",),
        "starts moving": (r"\b(?:stands? first|starts? from (?:a )?(?:rest|standstill)|begins? to move after)\b",),
        "stops and goes on": (r"\b(?:pauses?|stops?)\b.*\b(?:goes on|moves? again|continues?|starts? again)\b",),
        "turns back": (r"\b(?:turns? (?:back|round|around)|reverses|comes? back|returns?)\b",),
        "stays still": (r"\b(?:stays? (?:still|put)|never moves|does not move|motionless|stands? still (?:all|the whole|throughout))\b",),
    },
    "object_stop_time": {
        "first third": (rf"(?=.*{_FIRST_THIRD}).*{_STOPS}",),
        "middle third": (rf"(?=.*(?:{_MIDDLE_THIRD})).*{_STOPS}",),
        "last third": (rf"(?=.*{_LAST_THIRD}).*{_STOPS}",),
        "never": (r"\b(?:never|at no time)\b[^.;]*\b(?:halts?|stops?|rests?|comes? to)\b|\bkeeps? (?:moving|going) (?:all|the whole|throughout)\b",),
    },
    "object_object_distance_change": {
        "closer": (
            r"\b(?:(?:closer|nearer)(?! (?:surfaces|things|edges|parts))|draw(?:s|n)? together|approach(?:es)? each other|come together|converge)\b|"
            r"\b(?:gap|distance|space)\b.*\b(?:narrow\w*|shrink\w*|shrank|smaller|close[sd]|dwindl\w+|decreas\w+|shorter)\b",
        ),
        "farther": (
            r"\b(?:(?:farther|further) (?:apart|from each other)|(?:drift|move|draw|get|pull)s? apart|diverge)\b|"
            r"\b(?:gap|distance|space)\b.*\b(?:widen\w*|grow\w*|grew|larger|open(?:s|ed)|increas\w+|longer)\b",
        ),
        "not changing": (r"\b(?:gap|distance|space)\b.*\b(?:much the same|unchanged|does not change|constant|stays the same)\b",),
    },
    "object_object_heading": {
        "same way": (r"\b(?:in the|go the|the) same (?:way|direction)\b|\bin parallel\b|\bside by side\b",),
        "opposite ways": (r"\bopposite (?:ways|directions)\b|\bagainst each other\b|\bgoes the other\b",),
        "crosswise": (r"\bcrosswise\b|\bacross each other\b|\bat right angles\b",),
    },
    "object_camera_closest_time": {
        "first third": (rf"{_NEAREST}.*{_FIRST_THIRD}|{_FIRST_THIRD}.*{_NEAREST}",),
        "middle third": (rf"{_NEAREST}.*(?:{_MIDDLE_THIRD})|(?:{_MIDDLE_THIRD}).*{_NEAREST}",),
        "last third": (rf"{_NEAREST}.*{_LAST_THIRD}|{_LAST_THIRD}.*{_NEAREST}",),
    },
    "camera_rotation": {
        "clockwise": (r"\broll\w*\b.*(?<!counter)(?<!counter-)\bclockwise\b",),
        "counterclockwise": (r"\broll\w*\b.*\b(?:counter-?|anti-?)clockwise\b",),
    },
}  # fmt: skip
_WORDS["object_object_closest_time"] = _WORDS["object_camera_closest_time"]


def _of_two(verb: str, link: str, first: str, second: str) -> dict[str, tuple[str, ...]]:
    """Patterns for "A ... more than B": ``verb`` after the winner, ``link`` the words of the loser."""
    return {
        label: (
            rf"\b{winner}\b[^.;]*\b{verb}\b(?!.*\bthan (?:the )?{winner}\b)",
            rf"\b{loser}\b[^.;]*\b{link}\b",
            rf"\b{verb}\b[^.;]*\bis (?:the )?{winner}\b",
        )
        for label, winner, loser in (("first", first, second), ("second", second, first))
    }


_WORDS["object_speed_comparison"] = _of_two(_QUICK, _SLOW, "object", "other")
_WORDS["object_first_mover"] = {
    label: (
        rf"\b{winner}\b[^.;]*\b{_STARTS}\b[^.;]*\b(?:first|earlier|before|sooner)\b",
        rf"\b(?:first|earlier)\b[^.;]*\b{_STARTS}\b[^.;]*\bis (?:the )?{winner}\b",
        rf"\b{loser}\b[^.;]*\b{_STARTS}\b[^.;]*\b(?:later|after|second|last)\b",
    )
    for label, winner, loser in (("first", "object", "other"), ("second", "other", "object"))
}
_WORDS["object_passing"] = {
    label: (rf"\b{winner}\b[^.;]*\b{_PASSES}\b[^.;]*\b{loser}\b",)
    for label, winner, loser in (("first", "object", "other"), ("second", "other", "object"))
}
_COMPILED = {
    kind: {label: tuple(map(re.compile, patterns)) for label, patterns in labels.items()} for kind, labels in _WORDS.items()
}
_THE_TWO = re.compile(r"\b(?:object|(?<!each )other|they|two|both)\b")
_COMPATIBLE = {
    ("keeps moving", "stays still"),
    ("comes to a stop", "stops and goes on"),
    ("stops and goes on", "comes to a stop"),
}


def wrong_answer(low: str, kind: str, label: str) -> bool:
    """Whether a lower-case statement says another label of the kind, or denies the right one.

    Args:
        low: with the objects named "object" and "other".
        kind: of the question.
        label: the right one.
    """
    if kind.startswith("object_object") and not _THE_TWO.search(low):
        return False
    said: dict[str, bool] = {}
    for name, patterns in _COMPILED.get(kind, {}).items():
        for pattern in patterns:
            if found := pattern.search(low):
                said[name] = said.get(name, False) or not denied(low, found.start())
    if said.get(label):
        return False
    if label in said and kind not in ("object_motion_pattern", "object_stop_time"):
        return True  # denied
    return any(so for name, so in said.items() if (label, name) not in _COMPATIBLE)
