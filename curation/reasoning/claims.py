"""What a sentence claims of motion, and whether the measurements contradict it.

Only plain statements count (``statements``). A claim may be made or denied; it contradicts when it is made and false, or denied
and clearly true. The rules know the words that people use for direction, approach, turning, standstill, size, order and number;
what they do not understand they let pass, so they are held against texts that were written to deceive them (see the tests).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from curation.reasoning import vocabulary as words
from curation.reasoning.answers import wrong_answer
from curation.reasoning.evidence import Evidence
from curation.reasoning.statements import denied, negated

_MUCH_M = 0.3  # a change of distance whose denial is false


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


def contradiction(clause: str, about: Measured) -> str | None:
    """The counted word for what a plain statement gets wrong, or None. Objects are named OBJECT and OTHER in it."""
    low = words.IDIOM.sub("", clause.lower())
    for pattern, way in words.FROM_TO:
        low = pattern.sub(way, low)
    for look in (_camera, _sideways, _parallax, _compared, _object):
        if wrong := look(low, about):
            return wrong
    if about.label and wrong_answer(low, about.kind, about.label):
        return "contradicts_answer"
    return None


def _camera(low: str, about: Measured) -> str | None:
    """Claims about the camera: the words after it, as far as the next object."""
    found = words.CAMERA.search(low)
    turning = re.search(rf"\b{words.TURN}\b", low) is not None
    if not found and not (turning and "view" in low):
        return None
    if words.ONLY_CAMERA.search(low):
        return None  # says something of the object
    start = found.start() if found else 0
    tail = re.split(r"\bobject\b|\bother\b", low[start:])[0]
    turned = low if "object" not in low and not words.NEAR.search(low) else tail
    if about.turn_deg is not None:
        if (said := words.STILL_TURN.search(tail)) and max(map(abs, about.turn_deg)) > 4.0 and not denied(tail, said.start()):
            return "contradicts_motion"
        up, right = about.turn_deg[0], about.turn_deg[1]
        for way, amount in (("right", right), ("left", -right), ("up", up), ("down", -up)):
            for said in re.finditer(rf"\b{words.TURN}{words.GAP}?\s*{words.WAY[way]}\b", turned):
                not_so = denied(turned, said.start()) or negated(said[0])
                if (amount > 3.0) if not_so else (amount < 0.5):
                    return "contradicts_direction"
    if about.camera_shift is None or about.camera_moved is None:
        return None
    length, sigma = about.camera_moved
    if said := words.STILL.search(turned):
        moved = length > max(0.1, 4 * sigma)
        not_so = denied(turned, said.start()) or negated(said[0])
        if moved != not_so and (moved or length + 2 * sigma < 0.05):
            return "contradicts_motion"
    if words.UNMOVED.search(turned) and length > max(0.1, 4 * sigma):
        return "contradicts_motion"
    if turning:
        return None
    for way, (axis, sign) in words.AXIS.items():
        share = about.camera_shift[axis] * sign / max(length, 1e-9)
        patterns = [rf"\b{words.MOVE}\b{words.GAP}(?:mainly |mostly |straight )?{words.WAY[way]}\b", words.SHORT.get(way, r"$^")]
        if way in ("forward", "backward"):
            patterns.append(rf"\b{way}s?\b")
        for pattern in patterns:
            for said in re.finditer(pattern, tail):
                if re.search(r"\b(?:look\w*|fac(?:es|ing)|turn\w*|swing\w*)\b", said[0]):
                    continue
                not_so = denied(tail, said.start()) or negated(said[0])
                if length > max(0.1, 4 * sigma) and ((share > 0.7) if not_so else (share < 0.2)):
                    return "contradicts_direction"
        backed = rf"\b{way}(?:ward)?s? (?:motion of the camera|dolly|tracking)\b"
        if re.search(backed, low) and share < 0.2 and length > max(0.1, 4 * sigma):
            return "contradicts_direction"
    return None


def _sideways(low: str, about: Measured) -> str | None:
    """Every "left" and "right" that is no place, by its subject: camera or object."""
    mixed = words.CAMERA.search(low) or words.NEAR.search(low)
    for said in words.SIDEWAYS.finditer(low):
        directed = re.match(r"\W*direction", low[said.end() :])
        if not directed and words.PLACED.search(low[: said.start()]) and not re.search(r"\bto (?:the )?$", low[: said.start()]):
            continue
        if words.RELATED.match(low[said.end() :]) and "hand" not in said[0]:
            continue
        way = said[1]
        subject = "object" if "object" in low and not mixed else _subject(low, said.start())
        not_so = denied(low, said.start())
        if subject == "object" and _object_sideways(low, way, not_so, about):
            return "contradicts_direction"
        if subject == "camera" and about.camera_shift is not None and about.camera_moved is not None:
            if re.search(rf"\b{words.TURN}\b|\blook|\bfac(?:es|ing)", low):
                continue
            share = about.camera_shift[0] * words.AXIS[way][1] / max(about.camera_moved[0], 1e-9)
            clear = about.camera_moved[0] > max(0.1, 4 * about.camera_moved[1])
            if clear and ((share > 0.7) if not_so else (share < 0.0)):
                return "contradicts_direction"
    return None


def _subject(low: str, at: int, *, or_after: bool = True) -> str:
    """Who a word at a place of a clause speaks of: the last one named before it, or else the first one after."""
    found = [(m.start(), m.lastgroup) for m in words.SUBJECTS.finditer(low)]
    before = [name for start, name in found if start < at]
    return str(before[-1] if before else found[0][1] if found and or_after else "")


def _object_sideways(low: str, way: str, not_so: bool, about: Measured) -> bool:
    if about.object_shift is None or about.object_moved is None or " > " in about.label or "other" in low.split():
        return False
    sign, length = words.AXIS[way][1], about.object_moved[0]
    if about.label in ("left", "right") and about.kind in ("object_camera_lateral", "object_direction"):
        return "picture" not in low and (about.label == way) == not_so
    in_scene, in_picture = about.object_shift[0] * sign, about.seen.drift * sign
    if not_so:
        return in_scene > 0.7 * length and in_scene > 0.15 and in_picture > 0.05
    return " picture" not in low and in_scene < 0.1 * length and in_picture < 0.01


def _parallax(low: str, about: Measured) -> str | None:
    """What the fixed things are said to do: near ones slide against the camera's way, all of them with a turn."""
    if about.camera_shift is None or about.camera_moved is None or negated(low):
        return None
    across, ahead = about.camera_shift[0], about.camera_shift[2]
    swing = about.turn_deg[1] if about.turn_deg is not None else 0.0
    slack = 0.02 * about.camera_moved[0] + about.camera_moved[1]
    for way, sign in (("left", 1), ("right", -1)):
        found = words.NEAR.search(low)
        slides = r"(?:slid\w*|shift\w*|wander\w*|drift\w*|mov\w+|pass\w*)"
        said = found and re.search(rf"\b{slides}{words.GAP}?\s*{words.WAY[way]}\b", low[found.end() :])
        if said and across * sign < -slack and swing * sign < 1.0:
            return "contradicts_direction"
    if (words.SPREADS.search(low) and ahead < -slack) or (words.CONTRACTS.search(low) and ahead > slack):
        return "contradicts_direction"
    return None


def _compared(low: str, about: Measured) -> str | None:
    """Camera and object compared: who went farther."""
    if about.camera_moved is None or about.object_moved is None:
        return None
    for first, second, sign in (("camera|viewpoint", "object|thing", 1), ("object", "camera|viewpoint", -1)):
        if re.search(rf"\b(?:{first}) (?:outruns|outpaces|overtakes|outdistances) (?:the )?(?:{second})\b", low):
            lead = (about.camera_moved[0] - about.object_moved[0]) * sign
            if lead < -2 * (about.camera_moved[1] + about.object_moved[1]):
                return "contradicts_motion"
        said = re.search(rf"\b(?:{first})\b[^.;]*?\b(?P<much>{words.MORE}|{words.LESS}).*?\bthan (?:the )?(?:{second})\b", low)
        if said:
            more = re.fullmatch(words.MORE, said["much"]) is not None
            lead = (about.camera_moved[0] - about.object_moved[0]) * sign * (1 if more != denied(low, said.start("much")) else -1)
            if lead < -2 * (about.camera_moved[1] + about.object_moved[1]):
                return "contradicts_motion"
    return None


def _object(low: str, about: Measured) -> str | None:
    """Claims about the object."""
    if about.object_moved is not None and (wrong := _still(low, about, *about.object_moved)):
        return wrong
    if "object" not in low or "other" in low.split() or re.search(r"\bthan (?:the )?(?:object|thing)\b", low):
        return None
    seen, tail = about.seen, low[low.index("object") :]
    if seen.growth is not None and not re.search(r"\b(?:gap|distance|space|separation)\b", low):
        for pattern, truth, clear in (
            (words.GROWS, seen.growth >= 1.0, seen.growth > 1.2),
            (words.SHRINKS, seen.growth <= 1.0, seen.growth < 0.83),
            (words.SAME_SIZE, 0.8 < seen.growth < 1.25, 0.95 < seen.growth < 1.05),
        ):
            for said in pattern.finditer(low):
                if clear if denied(low, said.start()) else not truth:
                    return "contradicts_size"
        for text, least, most in words.FACTORS:
            if re.search(text, tail) and not negated(tail) and not least < seen.growth < most:
                return "contradicts_size"
    if not negated(low) and (wrong := _place(low, about)):
        return wrong
    return _approach(low, about)


def _still(low: str, about: Measured, length: float, sigma: float) -> str | None:
    moved = length > max(0.15, 4 * sigma)
    only = words.ONLY_CAMERA.search(low)
    if (
        only
        and moved
        and not re.search(r"\b(?:some|part|partly|all but|much|most)\b", low[: only.end()])
        and not denied(low, only.start())
        and not negated(low[: only.end()])
    ):
        return "contradicts_motion"
    alone = words.ONLY_OBJECT.search(low)
    if (
        alone
        and about.camera_moved is not None
        and not negated(low)
        and about.camera_moved[0] > max(0.1, 4 * about.camera_moved[1])
    ):
        return "contradicts_motion"
    if "object" not in low or about.kind in ("object_motion_pattern", "object_stop_time"):
        return None  # whose courses hold standstill
    for said in words.STILL.finditer(low):
        not_so = denied(low, said.start()) or negated(said[0])
        mine = _subject(low, said.end(), or_after=False) == "object"
        if mine and ((moved and not not_so) or (not_so and length + 2 * sigma < 0.05)):
            return "contradicts_motion"
    unmoved = words.UNMOVED.search(low)
    if unmoved and moved and _subject(low, unmoved.end(), or_after=False) == "object":
        return "contradicts_motion"
    return None


def _place(low: str, about: Measured) -> str | None:
    """Where the object is said to be in the picture: at the moment that is named, or else at one of both."""
    start, end = words.AT_START.search(low), words.AT_END.search(low)
    places = f"{about.seen.place} {about.seen.place_j}"
    if bool(start) != bool(end):
        places = about.seen.place if start else about.seen.place_j
    for side in ("left", "right"):
        said = re.search(
            rf"\b(?:on the {side}|{side} of the middle|(?:at|near|on) the (?:far |very |extreme )?{side}(?: border| edge| side)?|"
            rf"{side} half|{side} side) "
            r"(?:of|in) the (?:picture|frame|view|image)\b",
            low,
        )
        if said and side not in places and places.strip():
            return "contradicts_place"
    return None


def _approach(low: str, about: Measured) -> str | None:
    if " > " in about.label or about.kind.startswith("object_object"):
        return None
    truths = []
    if about.nearest_m is not None:
        truths.append(about.nearest_m[1] - about.nearest_m[0])
        ratio = about.nearest_m[1] / max(about.nearest_m[0], 1e-6)
        for text, least, most in words.RANGE_FACTORS:
            said = re.search(text, low)
            if said and not negated(low) and about.kind != "object_camera_longitudinal" and not least < ratio < most:
                return "contradicts_approach"
    if about.object_shift is not None:
        truths.append(about.object_shift[2])
    claims = [(m.start(), sign) for sign, pattern in ((-1, words.CLOSER), (1, words.FARTHER)) for m in pattern.finditer(low)]
    if len({sign for at, sign in claims if not denied(low, at)}) > 1:
        return None  # one after the other, or this against that
    decided = about.kind in ("object_camera_distance_change", "object_camera_longitudinal") and about.label in (
        "closer",
        "farther",
    )
    for at, sign in claims:
        not_so = denied(low, at)
        if decided:
            if ((about.label == "closer") == (sign < 0)) == not_so:
                return "contradicts_approach"
        elif about.label == "not moving" and about.kind == "object_camera_distance_change":
            if not not_so:
                return "contradicts_approach"
        elif truths and all((change * sign > _MUCH_M) if not_so else (change * sign < 0.02) for change in truths):
            return "contradicts_approach"
    return None


__all__ = ["Measured", "contradiction"]
