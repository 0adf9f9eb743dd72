"""Is a description that a model wrote fit to stand in a question? True of the object, of it alone, and giving nothing away."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from curation.objects.backends.classes import group_of, plausible_size
from curation.objects.colours import COLOURS

_LONGEST = 14  # words
_FORM = re.compile(r"the [a-z][a-z' -]*(, [a-z' -]+)?")
MOTION = re.compile(
    r"\b(mov\w+|motion\w*|walk\w*|run(s|ning)?|ran|jog\w*|driv\w+|drove|rid(es?|ing)|cycl(es?|ing)|roll(s|ing)|fly\w*|flies|slid\w+|"
    r"turn(s|ing)|approach\w*|leav(es|ing)|depart\w*|com(es|ing)|go(es|ing)|head(s|ing|ed)|toward\w*|away|forward\w*|backward\w*|"
    r"cross(es|ing)|pass(es|ing|ed)|enter\w*|exit\w*|travel\w*|speed\w*|fast\w*|slow\w*|quick\w*|stop\w*|stand\w*|stood|station\w*|"
    r"still|static|park\w*|wait\w*|idle|fac(es|ing)|follow\w*|chas\w+|overtak\w*|accelerat\w*|brak(es|ing)|rotat\w*|spin\w*|"
    r"swing\w*|jump\w*|climb\w*|danc\w*|push\w*|pull\w*|carried|thrown|kick\w*|bounc\w*|reced\w*|advanc\w*|oncoming|incoming|"
    r"outgoing|revers\w*|return\w*|arriv\w*|sprint\w*|stroll\w*|strid\w*|step(s|ping)|rush\w*|hurr\w+|rac(es|ing)|crawl\w*|"
    r"drift\w*|glid\w*|float\w*|hover\w*|skat(es|ing)|ascend\w*|descend\w*|fall\w*|rising|drop\w*|tow(s|ed|ing)|wander\w*|"
    r"sit(s|ting)|sat|kneel\w*|lying|lies|active|inactive)\b"
)
"""Words that say what a question asks about, or hint at it."""
_PLACE = re.compile(
    r"\b(left\w*|right\w*|cent(er|re)\w*|central|middle|upper|lower|side|corner|edge|opposite|between|among|near\w*|far\w*|clos\w+|front|behind|back|ahead|beside|next|above|below|under|top|bottom|"
    r"first|last|second|third|frame\w*|image|picture|video|view|scene|camera|distan\w+|met(er|re)s?|background|foreground)\b"
)
_ANSWERS = re.compile(
    r"\b(answer\w*|option\w*|correct|question\w*|ignore|instruction\w*|system|assistant|user|prompt|object|thing|entity|choose|"
    r"choice|select|pick|reply|respond|say|says|output)\b"
)
_FOREIGN = re.compile(
    r"\b(el|la|los|las|un|una|uno|de|del|con|le|les|une|du|des|avec|et|der|die|das|dem|den|ein|eine|einem|einer|mit|und|im|il|lo|"
    r"gli|di|della|em|com|um|uma|na|het|een|met|en|och|med)\b"
)
"""Small words of other languages: a question is in English, and only English colours and nouns are checked."""
_SIZE = re.compile(
    r"\b(large|larger|largest|big|bigger|biggest|huge|tall|taller|tallest)\b|\b(small|smaller|smallest|tiny|short|little)\b"
)
_REFUSED = (("tells_motion", MOTION), ("tells_place", _PLACE), ("no_description", _ANSWERS), ("not_english", _FOREIGN))
_OTHER_COLOURS = {
    "gray": ("grey",),
    "silver": ("grey", "white"),
    "beige": ("brown", "white", "grey"),
    "tan": ("brown", "orange"),
    "cream": ("white", "yellow"),
    "golden": ("yellow", "orange", "brown"),
    "gold": ("yellow", "orange"),
    "navy": ("blue", "black"),
    "teal": ("blue", "green"),
    "turquoise": ("blue", "green"),
    "maroon": ("red", "brown"),
    "violet": ("purple",),
    "magenta": ("purple", "pink"),
    "dark": ("black", "grey", "blue", "brown"),
}
_KINDS = {
    "person": frozenset(
        ("person", "man", "woman", "boy", "girl", "child", "kid", "adult", "pedestrian", "cyclist", "skater", "runner", "worker")
        + ("player", "dancer", "lady", "guy", "human")
    ),
    "vehicle": frozenset(
        ("car", "truck", "bus", "train", "boat", "airplane", "plane", "van", "suv", "sedan", "taxi", "cab", "hatchback", "lorry")
        + ("pickup", "vehicle", "minivan", "tram")
    ),
    "two-wheeler": frozenset(("bicycle", "bike", "motorcycle", "motorbike", "scooter", "moped", "two-wheeler")),
    "animal": frozenset(
        ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "puppy", "kitten", "pony")
        + ("animal", "duck", "goose")
    ),
    "ball": frozenset(("ball", "football", "basketball")),
}


@dataclass(frozen=True)
class Known:
    """What was measured of an object.

    Attributes:
        category: the detector's noun, or "".
        colours: share of its pixels per clear colour name.
        size_m: extent of its seen part, metres; None unknown.
    """

    category: str
    colours: Mapping[str, float]
    size_m: float | None


_LEAST_COLOUR = 0.10  # of an object's pixels that a named colour must have; garments are small


def tidied(text: object) -> str:
    """A model's description as one lower-case phrase that begins with "the"; "" for what is no short text."""
    if not isinstance(text, str) or len(text) > 200:
        return ""
    words = " ".join(text.lower().replace("’", "'").split()).strip(" .!\"'")
    words = re.sub(r"^(a|an|this|that) ", "the ", words)
    return words if words.startswith("the ") or not words else f"the {words}"


def why_unfit(text: str, noun: str, known: Known, others: Sequence[Known]) -> str:
    """Why a tidied description cannot be used; "" if it can.

    Args:
        text: from ``tidied``.
        noun: what the model says the thing is; it must stand in the text.
        known: measured of the object.
        others: the same of the clip's other objects.
    """
    if not _FORM.fullmatch(text) or len(text.split()) > _LONGEST:
        return "no_plain_phrase"
    for reason, pattern in _REFUSED:
        if pattern.search(text):
            return reason
    if not noun or not re.search(rf"\b{re.escape(noun)}\b", text):
        return "names_nothing"
    if known.category and known.category != noun and _kind(known.category) not in kinds_in(noun):
        return "other_class"
    if not plausible_size(noun, known.size_m):
        return "impossible_size"
    for colour, allowed in _colours_in(text):
        if max((known.colours.get(name, 0.0) for name in allowed), default=0.0) < _LEAST_COLOUR:
            return f"not_{colour}"
    return _why_not_size(text, known, others)


def gives_away(text: str) -> bool:
    """Whether words that somebody wrote elsewhere hint at an answer, or are no words of one line at all."""
    return not text.isprintable() or len(text) > 200 or bool(MOTION.search(text.lower()) or _ANSWERS.search(text.lower()))


def _why_not_size(text: str, known: Known, others: Sequence[Known]) -> str:
    """A word of size compares with the others of its kind, and one must be clearly larger (smaller) than each of them."""
    found = _SIZE.search(text)
    if found is None:
        return ""
    sizes = [o.size_m for o in others if _kind(o.category) == _kind(known.category)]
    if known.size_m is None or not sizes or any(size is None for size in sizes):
        return "size_not_measured"
    mine = known.size_m
    fits = all(mine > 1.5 * size if found[1] else 1.5 * mine < size for size in sizes if size is not None)
    return "" if fits else "other_size"


def kinds_in(text: str) -> set[str]:
    """The kinds of thing that a phrase may mean."""
    words = _words_of(text)
    return {kind for kind, names in _KINDS.items() if any(w in names or w.rstrip("s") in names for w in words)}


def _words_of(text: str) -> list[str]:
    return re.findall(r"[a-z-]+", text)


def _kind(category: str) -> str:
    """The kind of a detector's noun."""
    group = group_of(category)
    return next((kind for kind, names in _KINDS.items() if kind == group or category in names), group)


def _colours_in(text: str) -> list[tuple[str, tuple[str, ...]]]:
    named = [(c, (c,)) for c in COLOURS if re.search(rf"\b{c}\b", text)]
    return named + [(c, allowed) for c, allowed in _OTHER_COLOURS.items() if re.search(rf"\b{c}\b", text)]


def doubled(texts: Sequence[str]) -> set[int]:
    """Indices of descriptions that also fit another object: the same words, or all of its words among the other's."""
    pairs = ((i, j) for i in range(len(texts)) for j in range(len(texts)) if i != j and texts[i] and texts[j])
    return {i for i, j in pairs if fits_too(texts[i], texts[j])}


def fits_too(text: str, other: str) -> bool:
    """Whether a description also fits what another one describes: all of its words are among the other's."""
    bags = [set(_words_of(t)) - {"the", "a", "and", "with", "in", "of"} for t in (text, other)]
    return bags[0] <= bags[1]
