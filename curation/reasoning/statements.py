"""The plain statements of a text: what it says is so, apart from what it supposes, weighs or leaves open.

A clause that speaks of what *would* be seen claims nothing, nor does one that rules an option out. Words that only look like a
supposition ("if one looks closely", "rather than", "unlike") or like a denial ("no doubt", "not only") take nothing back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_CLAUSE = re.compile(r"(?<=[.!?;:])\s+|(,\s+(?:and|which)\b\s*)|,\s+(?=(?:but|so|while|whereas|yet|because|since)\b)|\s->\s")
_SUPPOSED = re.compile(
    r"\b(?:would|could|should|might|would've)\b|\bhad (?:\w+ ){1,4}(?:been|gone|come|moved|turned|stayed|stood)\b|\bwere it\b|"
    r"\b(?:suppose|imagine|assuming|supposing)\b|\bif (?:\w+ )?(?:answer|option|letter|[A-F])\b|\?\s*$",
    re.IGNORECASE,
)
_WEIGHED = re.compile(
    r"\b(?:rule[sd]? out|ruled|wrong|contradict\w*|against option|is out|are out|do(?:es)? not (?:fit|agree|hold)|"
    r"cannot be|the question|asked|has to be (?:settled|judged))\b",
    re.IGNORECASE,
)
_PLAIN_ALL_THE_SAME = re.compile(
    r"\b(?:one|i|you|we) (?:would|could|might|should) (?:even )?(?:say|swear|think|note|see)\b|"
    r"\b(?:could|might|should) be (?:seen|noted|said)\b|"
    r"\bwould (?:seem|appear)\b|\b(?:nobody|no one) (?:would|could|might) (?:doubt|deny|question)\b",
    re.IGNORECASE,
)  # fmt: skip
_SET_ASIDE = re.compile(
    r"\bwhether\b(?:[^.;:]*\bor\b)?[^,.;:]*|\b(?:who|which) of\b[^,.;:]*|"
    r"\b(?:rather than|instead of|as opposed to|unlike|in place of)\b(?:(?!\b(?:the )?object (?:go|mov|com|is|get))[^,.;:])*",
    re.IGNORECASE,
)
_NO_DENIAL = re.compile(
    r"\b(?:no doubt|leaves no doubt|beyond doubt|no question|nothing else|not only|not just|not merely|not quite|"
    r"(?:nobody|no one) (?:would|could|might)? ?(?:doubts?|den(?:y|ies)|questions?)|"
    r"without (?:(?:any|a|the|much) )?\w+(?: \w+ing)?(?= (?:the )?(?:object|camera|other|it)\b)|"
    r"without (?:(?:any|a|the|much) )?(?:doubt|pause|break|stop|stopping|hurry|haste|delay|turning back|exception))\b",
    re.IGNORECASE,
)
_DENIAL = r"\b(?:not|never|neither|nor|hardly|barely|scarcely|no longer|cannot|untrue|false|fails? to|no)\b|n't\b"
_BEFORE = re.compile(rf"(?:{_DENIAL})(?:[^\w,]+\w+){{0,5}}[^\w,]*$", re.IGNORECASE)
_NEGATED = re.compile(_DENIAL, re.IGNORECASE)
_PRONOUN = re.compile(
    r"^\W*(?:(?:then|there|here|now|so|by then|later|after that|slowly|finally|and|but|still|instead)\W+)*\b(its?)\b",
    re.IGNORECASE,
)
_WAY_ALONE = re.compile(r"^\s*(?:to(?:wards)? the )?(?:left|right)(?:wards?)?[.!]?\s*$")
_EXPLETIVE = re.compile(
    r"\bit (?:is|was) (?:clear|plain|not|obvious|true|untrue|the|that|all|only|easy|possible|likely|hard|just)\b|"
    r"\bit (?:follows|takes|means|seems|remains to|can be|could be|shows|turns out|has to be|begins|ends)\b",
    re.IGNORECASE,
)
_CAMERA = re.compile(r"\b(?:camera|viewpoint|lens)\b", re.IGNORECASE)
_OBJECT = re.compile(r"\bOBJECT\b")
_OTHER = re.compile(r"\b(?:OTHER|THING)\b")


def is_hypothetical(sentence: str) -> bool:
    """Whether a sentence, or a clause, weighs what would be, and so states nothing."""
    plain = _PLAIN_ALL_THE_SAME.sub(" ", sentence)
    return bool(_SUPPOSED.search(plain) or _WEIGHED.search(plain))


def statements(prose: str) -> Iterator[str]:
    """The clauses that state something, without what they set aside; "it" by name where only one thing can be meant.

    Args:
        prose: with objects named OBJECT and OTHER.
    """
    last = ""
    for sentence in re.split(r"(?<=[.!?])\s+|\n", prose):
        supposed = False
        joined = ""
        for part in _CLAUSE.split(sentence):
            if part is None or not part.strip():
                continue
            if re.fullmatch(r",\s+(?:and|which)\b\s*", part):
                joined = part
                continue
            supposed = is_hypothetical(part) or (supposed and bool(joined) and not _PLAIN_ALL_THE_SAME.search(part))
            joined = ""
            clause = part if supposed else _named(_NO_DENIAL.sub(" ", _SET_ASIDE.sub(" ", part)), last)
            last = _meant(clause) or last
            if not supposed:
                yield clause


def denied(text: str, start: int) -> bool:
    """Whether what begins at ``start`` is said not to be so."""
    return bool(_BEFORE.search(text[:start]))


def negated(text: str) -> bool:
    """Whether anything in it is denied."""
    return bool(_NEGATED.search(text))


def _meant(clause: str) -> str:
    found = [name for name, pattern in (("OBJECT", _OBJECT), ("the camera", _CAMERA), ("", _OTHER)) if pattern.search(clause)]
    return found[0] if len(found) == 1 else ""


def _named(clause: str, last: str) -> str:
    """A clause that begins with "it" or "its", with the name that these stand for."""
    if last and _WAY_ALONE.match(clause):
        return f"{last} goes {clause.strip()}"
    found = _PRONOUN.match(clause)
    if not last or found is None or _meant(clause) or _EXPLETIVE.search(clause):
        return clause
    name = f"{last}'s" if found[1].lower() == "its" else last
    return f"{clause[: found.start(1)]}{name}{clause[found.end(1) :]}"
