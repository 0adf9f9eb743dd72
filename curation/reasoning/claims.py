"""What a sentence claims of motion, and whether the measurements contradict it.

Only plain statements count: a sentence, or clause, that speaks of what *would* be seen, or weighs another option, claims
nothing. The rules know the words that people use for direction, approach, turning, standstill, size, order and number; what
they do not understand they let pass, so they are tuned on texts whose claims were turned round (see the tests).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from curation.reasoning.evidence import Evidence

_HYPOTHETICAL = re.compile(
    r"\b(would|could|should|might|if|had it|were it|rather than|instead of|unless|whether|or not|not because|no longer|"
    r"rule[sd]? out|ruled|wrong|contradict\w*|against option|other options?|the others|the rest|would-be|as opposed to|unlike)\b",
    re.IGNORECASE,
)
_NOT = re.compile(r"\b(not|no|never|neither|nor|without|hardly|isn't|doesn't|didn't|cannot|can't|nothing)\b", re.IGNORECASE)
_CLAUSE = re.compile(r"(?<=[.!?;:])\s+|,\s+(?=(?:and|but|so|while|whereas|yet|because|since|which)\b)|\s->\s")

_MOVE = (
    r"(?:go(?:es|ing)?|went|mov(?:es?|ed|ing)|travel(?:s|led|ling|ed|ing)?|shift(?:s|ed|ing)?|head(?:s|ed|ing)?|"
    r"displac\w+|motion|movement|translat\w+|slid(?:es?|ing)|drift(?:s|ed|ing)?|ends? up|walk(?:s|ed|ing)?|driv\w+|glid\w+|"
    r"carr\w+|step(?:s|ped|ping)?|track(?:s|ed|ing)|truck(?:s|ed|ing)|push(?:es|ed|ing)?|pull(?:s|ed|ing)?|progress\w*|is)"
)
_TURN = r"(?:turn(?:s|ed|ing)?|swing(?:s|ing)?|swung|pan(?:s|ned|ning)?|rotat\w+|yaw\w*|tilt(?:s|ed|ing)?|swivel\w*|pitch\w*)"
_WAY = {
    "right": r"(?:rightwards?|(?:to(?:wards?)? )?the right|right)",
    "left": r"(?:leftwards?|(?:to(?:wards?)? )?the left|left)",
    "up": r"(?:upwards?|up)",
    "down": r"(?:downwards?|down)",
    "forward": r"(?:forwards?|ahead|deeper into the scene)",
    "backward": r"(?:backwards?|back)",
}
_AXIS = {"right": (0, 1), "left": (0, -1), "down": (1, 1), "up": (1, -1), "forward": (2, 1), "backward": (2, -1)}
_SHORT = {
    "forward": r"\b(?:advances|is advancing|dollies in|pushes in)\b",
    "backward": r"\b(?:retreats|is retreating|recedes|dollies out|pulls back|backs (?:up|away|off))\b",
    "up": r"\b(?:rises|is raised|ascends|climbs)\b",
    "down": r"\b(?:sinks|is lowered|descends|drops)\b",
}
_GAP = r"(?:\W+\w+){0,5}?\W+"
_CAMERA = re.compile(r"\b(?:camera|viewpoint|viewer|observer|lens|filmer|shot|shift of position)\b", re.IGNORECASE)
_NEAR = re.compile(
    r"\b(?:foreground|(?:near(?:by|er)?|close(?:r|st)?) (?:\w+ )?"
    r"(?:things?|surfaces?|edges?|parts?|objects?|landmarks?)|things close by)\b"
)
_SPREADS = re.compile(
    r"\b(?:surroundings|picture|scene|view|surfaces|image)\b[^.;:]*"
    r"\b(?:spreads? outwards?|expands?|widens?|opens? (?:up )?from)\b"
)
_CONTRACTS = re.compile(
    r"\b(?:surroundings|picture|scene|view|surfaces|image)\b[^.;:]*\b(?:draws? together|contracts?|converges?|closes? in on)\b"
)
_CLOSER = re.compile(
    r"\b(?:closer|nearer|approach(?:es|ed|ing)?|closes in|comes? towards|coming towards|"
    r"gap (?:\w+ ){0,8}(?:narrows|shrinks|smaller|closes))\b"
)
_FARTHER = re.compile(
    r"\b(?:farther|further) (?:away|off|from)\b|\bfarther\b|\b(?:reced(?:es|ed|ing)|mov(?:es|ed|ing) away|goes away|gets away|"
    r"gap (?:\w+ ){0,8}(?:widens|grows|larger|opens))\b"
)
_STILL = re.compile(
    r"\b(?:stays?|remains?|keeps?|stands?|is) (?:\w+ ){0,2}?(?:put|still|in (?:its|the same) place|its place|where it (?:is|was)|"
    r"stationary|static|motionless|fixed|at rest|its position)\b|"
    r"\bdoes not (?:move|change its (?:place|position))\b|\bnever moves\b"
)
_GROWS = re.compile(r"\b(?:taller|larger|bigger|grows|growing|grew|increases in size|swells)\b")
_SHRINKS = re.compile(
    r"\b(?:smaller|shorter|shrinks|shrinking|shrank|decreases in size|half as tall|only a fraction|two thirds as tall)\b"
)
_SAME_SIZE = re.compile(r"\b(?:same size|about as tall|unchanged in size|size (?:stays|remains))\b")
_FACTORS = (
    (r"\btwice (?:as|its|the)\b|\bdoubles?\b", 1.6, 2.7),
    (r"\b(?:half as (?:tall|large|big)|half its)\b", 0.37, 0.63),
    (r"\bone and a half times\b", 1.3, 1.8),
    (r"\btwo thirds as\b", 0.55, 0.78),
)
_IDIOM = re.compile(
    r"\bright (?=around|next|beside|behind|before|after|away|in front|there|at|where|above|below|through|from)|"
    r"\bleft (?=aside|out|behind|over|alone|to judge)|\bup to\b|\bback to\b|\b(?:is|are|was) left\b|"
    r"\bright answer\b|\bleft open\b"
)


@dataclass(frozen=True)
class Measured:
    """What the claims about one sample are held against.

    Attributes:
        kind, label: of the fact.
        camera_shift: displacement of the camera in the axes of the earlier view, metres; None where unknown.
        camera_moved, object_moved: (length, sigma), metres.
        turn_deg: rotation vector in the axes of the earlier view.
        object_shift: displacement of the object in the axes of the earlier view, metres.
        nearest_m: distances of the object to the camera at both moments.
        seen: what the outline did.
    """

    kind: str
    label: str
    camera_shift: tuple[float, ...] | None
    camera_moved: tuple[float, float] | None
    turn_deg: tuple[float, ...] | None
    object_shift: tuple[float, ...] | None
    object_moved: tuple[float, float] | None
    nearest_m: tuple[float, float] | None
    seen: Evidence

    @staticmethod
    def of(kind: str, label: str, details: dict[str, Any], seen: Evidence) -> Measured:
        """From a fact's details."""

        def vector(name: str) -> Any:
            return tuple(details[name]) if name in details else None

        return Measured(
            kind,
            label,
            vector("camera_shift"),
            vector("camera_moved_m"),
            vector("turn_deg"),
            vector("object_shift"),
            vector("object_moved_m"),
            vector("nearest_m"),
            seen,
        )


def is_hypothetical(sentence: str) -> bool:
    """Whether a sentence weighs what would be, and so states nothing."""
    return bool(_HYPOTHETICAL.search(sentence))


def clauses(prose: str) -> Iterator[str]:
    """The plain statements of a text, split where a clause may have a subject of its own."""
    for sentence in re.split(r"(?<=[.!?])\s+|\n", prose):
        if is_hypothetical(sentence):
            continue
        yield from (part for part in _CLAUSE.split(sentence) if part and part.strip())


def contradiction(clause: str, about: Measured) -> str | None:
    """The counted word for what a plain statement gets wrong, or None. Objects are named OBJECT and OTHER in it."""
    clause = _IDIOM.sub("", clause)
    low = clause.lower()
    if _CAMERA.search(low) or re.search(rf"\bview\b.*\b{_TURN}\b", low):
        wrong = _camera(low, about)
        if wrong:
            return wrong
    if wrong := _parallax(low, about):
        return wrong
    if "object" in low and "other" not in low.split():
        wrong = _object(clause, about)
        if wrong:
            return wrong
    return None


def _camera(low: str, about: Measured) -> str | None:
    """Claims about the camera: the words after it, as far as the next object."""
    tail = low[_CAMERA.search(low).start() :] if _CAMERA.search(low) else low  # type: ignore[union-attr]
    tail = re.split(r"\bobject\b|\bother\b", tail)[0]
    negated = bool(_NOT.search(tail))
    turning = re.search(rf"\b{_TURN}\b", low) is not None
    if turning and about.turn_deg is not None and not negated:
        up, right = about.turn_deg[0], about.turn_deg[1]
        for way, amount in (("right", right), ("left", -right), ("up", up), ("down", -up)):
            if re.search(rf"\b{_TURN}{_GAP}?\s*{_WAY[way]}\b", tail) and amount < 0.5:
                return "contradicts_direction"
    if about.camera_shift is None or about.camera_moved is None or negated:
        return None
    length, sigma = about.camera_moved
    if _STILL.search(tail) and length > max(0.1, 4 * sigma):
        return "contradicts_motion"
    if turning:
        return None
    for way, (axis, sign) in _AXIS.items():
        said = (
            re.search(rf"\b{_MOVE}\b{_GAP}(?:mainly |mostly |straight )?{_WAY[way]}\b", tail) is not None
            or (way in _SHORT and re.search(_SHORT[way], tail) is not None)
            or re.search(rf"\b{way}(?:ward)? motion of the camera\b", low) is not None
        )
        if said and about.camera_shift[axis] * sign < 0.2 * length:
            return "contradicts_direction"
    return None


def _parallax(low: str, about: Measured) -> str | None:
    """What the fixed things are said to do: near ones slide against the camera's way, all of them with a turn."""
    if about.camera_shift is None or about.camera_moved is None or _NOT.search(low):
        return None
    across, ahead = about.camera_shift[0], about.camera_shift[2]
    swing = about.turn_deg[1] if about.turn_deg is not None else 0.0
    slack = 0.02 * about.camera_moved[0] + about.camera_moved[1]
    for way, sign in (("left", 1), ("right", -1)):
        found = _NEAR.search(low)
        slides = r"(?:slid\w*|shift\w*|wander\w*|drift\w*|mov\w+|pass\w*)"
        said = found and re.search(rf"\b{slides}{_GAP}?\s*{_WAY[way]}\b", low[found.end() :])
        if said and across * sign < -slack and swing * sign < 1.0:
            return "contradicts_direction"
    if (_SPREADS.search(low) and ahead < -slack) or (_CONTRACTS.search(low) and ahead > slack):
        return "contradicts_direction"
    return None


def _object(clause: str, about: Measured) -> str | None:
    """Claims about the object."""
    negated = bool(_NOT.search(clause))
    low = clause.lower()[clause.lower().index("object") :]
    seen = about.seen
    if about.object_moved is not None and not negated:
        length, sigma = about.object_moved
        if re.match(rf"object(?:\W+\w+){{0,2}}?\W+(?:{_STILL.pattern})", low) and length > max(0.15, 4 * sigma):
            return "contradicts_motion"
    if seen.growth is not None and not negated and not re.search(r"\b(?:gap|distance)\b", clause):
        if _GROWS.search(low) and seen.growth < 1.0:
            return "contradicts_size"
        if _SHRINKS.search(low) and seen.growth > 1.0:
            return "contradicts_size"
        for pattern, least, most in _FACTORS:
            if re.search(pattern, low) and not least < seen.growth < most:
                return "contradicts_size"
        if _SAME_SIZE.search(low) and not 0.8 < seen.growth < 1.25:
            return "contradicts_size"
    if negated:
        return None
    wrong = _place(low, about)
    if wrong:
        return wrong
    if about.object_shift is not None and about.object_moved is not None and " > " not in about.label:
        length = about.object_moved[0]
        for way in ("right", "left"):
            sign = _AXIS[way][1]
            if not re.search(rf"\b{_MOVE}\b{_GAP}(?:further |farther )?{_WAY[way]}\b(?! of)", low) or " picture" in low:
                continue
            in_scene, in_picture = about.object_shift[0] * sign, seen.drift * sign
            if about.label in ("left", "right") and about.kind in ("object_camera_lateral", "object_direction"):
                if about.label != way:
                    return "contradicts_direction"
                continue
            if in_scene < 0.1 * length and in_picture < 0.01:
                return "contradicts_direction"
    return _approach(clause.lower(), about)


def _place(low: str, about: Measured) -> str | None:
    """Where the object is said to be in the picture: left or right must be so in one of both frames."""
    places = f"{about.seen.place} {about.seen.place_j}"
    for side, other in (("left", "right"), ("right", "left")):
        said = re.search(
            rf"\b(?:on the {side}|{side} of the middle|at the {side}|{side} half|{side} side) "
            r"(?:of|in) the (?:picture|frame|view|image)\b",
            low,
        )
        if said and side not in places and other in places and "middle" not in places:
            return "contradicts_place"
        if said and side not in places and places.strip():
            return "contradicts_place"
    return None


def _approach(low: str, about: Measured) -> str | None:
    closer, farther = bool(_CLOSER.search(low)), bool(_FARTHER.search(low))
    if closer == farther or " > " in about.label:
        return None
    if about.kind in ("object_camera_distance_change", "object_camera_longitudinal"):
        return None if about.label == ("closer" if closer else "farther") else "contradicts_approach"
    if about.kind.startswith("object_object"):
        return None
    truths = []
    if about.nearest_m is not None:
        truths.append(about.nearest_m[1] - about.nearest_m[0])
    if about.object_shift is not None:
        truths.append(about.object_shift[2])
    sign = -1 if closer else 1
    return "contradicts_approach" if truths and all(change * sign < 0.02 for change in truths) else None
