"""Which option a response chooses. In doubt none: a guess at what a model meant is no answer of the model."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from curation.questions.options import LETTERS

_ANSWER = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.DOTALL | re.IGNORECASE)
_THOUGHT = re.compile(r"^.*</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_OPEN_THOUGHT = re.compile(r"<think(?:ing)?>.*$", re.DOTALL | re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\s*\{\s*(?:\\text\s*\{)?([^{}]*)\}")
_LEADING = re.compile(r"^\W*(?:option|choice|answer)?\W*([A-Z])(?:\W*$|[\s*_]*[.):,\]=*\n-]+\s*(.*)$)", re.DOTALL | re.IGNORECASE)
_DECLARED = re.compile(
    r"\b(answer|option|choice|choose|select|pick|go with)(?:\s+(?:is|would be|should be|must be))?\s*[:=]?\s*(?:option\s*)?"
    r"[\W_]{0,4}([A-Z])(?![A-Za-z'])",
    re.IGNORECASE,
)
_STRONG = {"answer", "choose", "select", "pick", "go with"}
_GAP = r"[ *_\"'(]+"  # no comma: in "A is wrong, option B fits" it is A that is wrong
_DENIED = re.compile(rf"\b(?:not|isn't|wrong|incorrect|than){_GAP}(?:(?:the|answer|option|choice){_GAP})*$", re.IGNORECASE)
_REFUTED = re.compile(r"\W*(?:is|was|are)\s+(?:wrong|incorrect|not|false)", re.IGNORECASE)
_ALONE = re.compile(r"(?<![A-Za-z0-9'])([A-Z])(?![A-Za-z0-9'])")
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


def chosen(response: Any, options: Sequence[str]) -> str | None:
    """The letter that a response chooses, or None where it chooses none or more than one.

    Looks at the last ``<answer>``, else at what follows the thinking. There, in this order: the text of an option and nothing
    else, a letter at the start, a declared one ("the answer is B"), the text of exactly one option, a letter that stands alone.
    A letter beside the text of another option is no answer.

    Args:
        response: what the model said: text, or a number.
        options: in the order of the letters.
    """
    if response is None or isinstance(response, bool):
        return None
    text = str(response).strip()
    tagged = _ANSWER.findall(text)
    text = tagged[-1].strip() if tagged else _OPEN_THOUGHT.sub("", _THOUGHT.sub("", text)).strip()
    if boxed := _BOXED.findall(text):
        text = boxed[-1].strip()
    letters = LETTERS[: len(options)]
    by_text = letter_of(text, options, keys=False)
    if by_text is not None:
        return by_text
    if found := _LEADING.match(text):
        return _agreed(found[1].upper(), found[2] or "", options)
    declared = [
        m for m in _DECLARED.finditer(text) if _is_letter(m[2], text[m.end(2) :]) and not _denied(text, m.start(2), m.end(2))
    ]
    if declared:
        strong = [m[2].upper() for m in declared if m[1].lower() in _STRONG]
        said = strong[-1:] or list({m[2].upper() for m in declared})
        return said[0] if len(said) == 1 and said[0] in letters else None
    alone = {
        m[1] for m in _ALONE.finditer(text) if _is_letter(m[1], text[m.end(1) :]) and not _denied(text, m.start(1), m.end(1))
    }
    alone &= set(letters)
    named = _named(text, options)
    if named is not None:
        return named if alone <= {named} else None
    return alone.pop() if len(alone) == 1 else None


def letter_of(answer: Any, options: Sequence[str], *, keys: bool = True) -> str | None:
    """The letter of the option that has this text (or, with ``keys``, is this letter); numbers are equal by value.

    Where a file offers the same text twice, the first.
    """
    wanted = _plain(answer)
    same = [letter for letter, option in zip(LETTERS, options, strict=False) if _plain(option) == wanted]
    if not same and (value := _value(answer)) is not None:
        same = [letter for letter, option in zip(LETTERS, options, strict=False) if _same_value(value, _value(option))]
    if same:
        return same[0]
    text = str(answer).strip().strip("().").upper()
    return text if keys and len(text) == 1 and text in LETTERS[: len(options)] else None


def same_option(one: str | None, other: str, options: Sequence[str]) -> bool:
    """Whether two letters mean the same: the same letter, or the same text twice."""
    return one is not None and _plain(options[LETTERS.index(one)]) == _plain(options[LETTERS.index(other)])


def _agreed(letter: str, rest: str, options: Sequence[str]) -> str | None:
    """The letter, unless it is none of the options' or the words behind it are another option's."""
    if letter not in LETTERS[: len(options)]:
        return None
    said = letter_of(rest.strip().splitlines()[0], options, keys=False) if rest.strip() else None
    other = {m[2].upper() for m in _DECLARED.finditer(rest) if m[1].lower() in _STRONG and _is_letter(m[2], rest[m.end(2) :])}
    return letter if said in (None, letter) and other <= {letter} else None


def _named(text: str, options: Sequence[str]) -> str | None:
    """The option whose text stands in the response, where only one does; a longer text hides a shorter one within it."""
    left = _plain(text)
    found = []
    for letter, option in sorted(zip(LETTERS, options, strict=False), key=lambda pair: -len(pair[1])):
        pattern = rf"(?<![\w.]){re.escape(_plain(option))}(?!\w|\.\d)"
        if _plain(option) and re.search(pattern, left):
            found.append(letter)
            left = re.sub(pattern, " ", left)
    return found[0] if len(found) == 1 else None


def _is_letter(letter: str, follows: str) -> bool:
    """Whether it is one, and not the word "a" or "I" before another word."""
    article = letter in "aAI" and re.match(r"\s+(?!(?:or|and|is|was|but|because|since|as|seems|fits)\b)[a-z]", follows)
    return not article and (letter.isupper() or not re.match(r"\s*\w", follows))


def _denied(text: str, start: int, end: int) -> bool:
    """Whether the words before the letter or behind it say that it is not the answer."""
    return bool(_DENIED.search(text[:start]) or _REFUTED.match(text[end:]))


def _plain(value: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"[*_`\"]", "", str(value))).strip().rstrip(".").strip().casefold()


def _value(text: Any) -> tuple[float, str] | None:
    """A number and its unit, where the text is nothing else."""
    found = re.fullmatch(rf"({_NUMBER.pattern})\s*([a-z%°]*)", _plain(text))
    if not found:
        return None
    return float(found[1]), re.sub(r"^met(?:er|re)s?$", "m", found[2])


def _same_value(one: tuple[float, str], other: tuple[float, str] | None) -> bool:
    if other is None or (one[1] and other[1] and one[1] != other[1]):
        return False
    return math.isclose(one[0], other[0], rel_tol=1e-9, abs_tol=1e-12)
