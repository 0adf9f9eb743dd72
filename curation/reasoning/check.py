"""Whether a text that a model wrote may stand as a chain of thought: held against the facts, one counted reason if not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from curation.questions.rows import label_of
from curation.reasoning.amounts import wrong_number
from curation.reasoning.chain import prompts, state_blocks
from curation.reasoning.claims import Measured, contradiction
from curation.reasoning.evidence import Evidence, evidence
from curation.reasoning.statements import statements
from schemas.outcome import Rejected
from schemas.track import Fact

_REPLY = re.compile(r"<thinking>\n(.*)\n</thinking>\s*<answer>(.*?)</answer>", re.DOTALL)
_PREAMBLE = re.compile(r"\A\s*<think>.*?</think>\s*", re.DOTALL)  # of models that think before they write
_STATE_LIKE = re.compile(r"spatial state|(?:camera|object)[ _*`]*cent(?:er|re)", re.IGNORECASE)
_COMPUTED = re.compile(
    r"[\[\]=^√²]|\(\s*[-−]?\d+(?:\.\d+)?\s*,|\d\s*[-−–+*/×]\s*\(?\d|\bsqrt\b|\bsquare root\b|\bsquared\b|"
    r"\beuclid|\bnorm\b|\bvector|\bcoordinate|"
    r"\bsubtract|\b[xyz][- ](?:axis|coordinate|value|component|direction)|\b(?:delta|Δ)\b|\bnan\b|\binf(?:inity)?\b",
    re.IGNORECASE,
)
_LEAK = re.compile(
    r"\b(?:prompts?|instructions?|system messages?|ground truth|as an ai|language model|assistant|plain chain|chain of thought|"
    r"state lines?|these rules|the rules|rule \d|measurements?|measured (?:data|values?|facts?)|right answer|given text|"
    r"given answer|provided (?:data|text|answer)|metadata|annotations?|json|dataset|training example|rewrit\w+)\b|"
    r"https?:|www\.|```|</?\w+>|"
    r"ignore (?:all|any|the|previous|prior)|api[ _-]?key",
    re.IGNORECASE,
)
_CHOICE = re.compile(
    r"\b(?:answer|option|choice|choose|pick|select|letter|hence|therefore|so|go with)"
    r"(?: is| must be|s)?:?\s+(?:option\s+)?([A-F])\b(?!\w)"
)
_COMMON = {
    *("right", "left", "up", "down", "away", "towards", "forward", "backward", "ahead", "behind", "above", "below"),
    *("closer", "farther", "first", "second", "both", "never", "static", "faster", "slower"),
    *("first third", "middle third", "last third"),
}  # answers that are everyday words: what they claim is looked at in `claims`
_RUN = 9  # words in a row that are those of the request


@dataclass(frozen=True)
class Sample:
    """A question with all that a text about it is held against.

    Attributes:
        words: descriptions by object id.
    """

    row: Mapping[str, Any]
    fact: Fact
    clip: Mapping[str, Any]
    words: Mapping[str, str]

    @cached_property
    def seen(self) -> Evidence:
        """What the outlines do."""
        return evidence(self.fact, dict(self.clip))

    @cached_property
    def measured(self) -> Measured:
        """What claims are held against."""
        return Measured.of(self.fact.kind, self.fact.label, self.fact.details, self.seen)

    @cached_property
    def blocks(self) -> tuple[list[str], list[str]]:
        """The state lines of both frames."""
        return state_blocks(self.fact)


def check(reply: str, sample: Sample, *, min_words: int = 60, max_words: int = 450) -> str:
    """The thinking of a reply that stands all tests.

    Raises:
        Rejected: ``empty_reply``, ``half_reply``, ``wrong_form``, ``wrong_letter``, ``moved_states``, ``steps_missing``,
            ``too_short``, ``too_long``, ``not_english``, ``leaks_prompt``, ``computes``, ``contradicts_number``,
            ``contradicts_order``, ``contradicts_answer``, ``contradicts_direction``, ``contradicts_approach``,
            ``contradicts_motion``, ``contradicts_size``, ``contradicts_place``.
    """
    thinking = _form(reply, str(sample.row["answer"]))
    before, between, after = _sections(thinking, sample)
    if len(before) != 2 or len(between) != 2 or len(after) != 1:
        found = f"{len(before)} + {len(between)} + {len(after)} paragraphs"
        raise Rejected("steps_missing", f"expected 2 before, 2 between and 1 after the state lines, got {found}")
    prose = "\n".join((*before, *between, *after))
    _bounds(prose, min_words, max_words)
    _silence(prose, sample)
    _anchored(before, between, after, sample)
    _true(prose, sample)
    return thinking


def _form(reply: str, answer: str) -> str:
    text = _PREAMBLE.sub("", reply).strip()
    if not text:
        raise Rejected("empty_reply", "no text")
    found = _REPLY.fullmatch(text)
    if found is None:
        whole = all(tag in text for tag in ("<thinking>", "</thinking>", "<answer>", "</answer>"))
        raise Rejected("wrong_form" if whole or "<thinking>" not in text else "half_reply", f"begins with {text[:60]!r}")
    if re.search(r"</?(?:thinking|answer)>", found[1]):
        raise Rejected("wrong_form", "expected one pair of each tag")
    if found[2] != answer:
        raise Rejected("wrong_letter", f"expected {answer}, got {found[2][:20]!r}")
    return found[1]


def _sections(thinking: str, sample: Sample) -> tuple[list[str], list[str], list[str]]:
    """The paragraphs before, between and after the state lines, which must be those measured, byte for byte."""
    lines = thinking.split("\n")
    first, last = sample.blocks
    if [line for line in lines if _STATE_LIKE.search(line)] != [*first, *last]:
        raise Rejected("moved_states", "the state lines are not those that were given")
    at, to = lines.index(first[0]), lines.index(last[0])
    if lines[at : at + 3] != first or lines[to : to + 3] != last:
        raise Rejected("moved_states", "the state lines do not stand together")
    parts = lines[:at], lines[at + 3 : to], lines[to + 3 :]
    before, between, after = ([line.strip() for line in part if line.strip()] for part in parts)
    return before, between, after


def _bounds(prose: str, least: int, most: int) -> None:
    count = len(prose.split())
    if count < least:
        raise Rejected("too_short", f"{count} words, expected {least}")
    if count > most:
        raise Rejected("too_long", f"{count} words, at most {most}")
    letters = [c for c in prose if c.isalpha()]
    if sum(c.isascii() for c in letters) < 0.97 * len(letters):
        raise Rejected("not_english", "letters of another script")


def _silence(prose: str, sample: Sample) -> None:
    """Nothing of the request, and no computing."""
    plain = _named(prose, sample)
    if found := _LEAK.search(plain):
        raise Rejected("leaks_prompt", f"says {found[0]!r}")
    wanted = _request_runs()
    if shared := next((run for run in _runs(plain) if run in wanted), None):
        raise Rejected("leaks_prompt", f"repeats {' '.join(shared)!r}")
    for option in sample.row["options"]:
        plain = plain.replace(option, "OPTION")
    if found := _COMPUTED.search(plain):
        raise Rejected("computes", f"holds {found[0]!r}")


def _anchored(before: Sequence[str], between: Sequence[str], after: Sequence[str], sample: Sample) -> None:
    """The first step names both moments, all of the text in their order; the last step names the letter."""
    fact = sample.fact
    start, end = moment(sample, fact.frame_i), moment(sample, fact.frame_j)
    for frame, named in ((fact.frame_i, start), (fact.frame_j, end)):
        if not re.search(named, before[0], re.IGNORECASE):
            raise Rejected("steps_missing", f"the first paragraph does not name frame {frame}")
    if not re.search(rf"\b{sample.row['answer']}\b", after[0]):
        raise Rejected("steps_missing", "the last paragraph does not name the letter")
    link = r"(?:\s*:?\s*\b(?:is|at|as|of|in|the|frame|moment|one|with|comes|from)\b)*?\s*:?\s*"
    early, late = r"(?:starts?|beginning|begins|initial|first|earlier|opens)", r"(?:ends?|final|last|later|closes|then)"
    gap = r"[^.;]{0,30}?"
    swapped = (
        rf"\b{early}{link}{end}",
        rf"\b{late}{link}{start}",
        rf"\bfrom {end}[^.;]*\bto {start}",
        rf"\b(?:after|since) {end}[^.;]*{start}",
        rf"{end}{gap}\b(?:(?:comes|is|lies) (?:before|earlier)|precedes){gap}{start}",
        rf"{start}{gap}\b(?:(?:comes|is|lies) (?:after|later)|follows){gap}{end}",
        rf"{end},? (?:first|earlier)\b",
        rf"{start}[^.;]{{0,12}}?\b(?:afterwards|last)\b",
        rf"{end}{gap} (?:comes|is|lies) (?:first|before|earlier)",
        rf"{start}{gap} (?:comes|is|lies) (?:last|after|later)",
    )
    for sentence in re.split(r"(?<=[.;])\s+", " ".join((*before, *between, *after))):
        if any(re.search(pattern, sentence, re.IGNORECASE) for pattern in swapped):
            raise Rejected("contradicts_order", f"frame {fact.frame_i} comes before frame {fact.frame_j}")


def moment(sample: Sample, frame: int) -> str:
    """A pattern for the ways to name a frame: by index or by seconds."""
    return rf"(?:\bframe\s+{frame}\b|(?<![\d.]){sample.clip['frame_times_s'][frame]:.1f}\s*(?:s|seconds?)\b)"


def _true(prose: str, sample: Sample) -> None:
    """No number, answer or motion that the facts deny."""
    row, plain = sample.row, _named(prose, sample)
    if wrong := wrong_number(plain, sample.row, sample.fact, sample.clip, sample.seen):
        raise Rejected("contradicts_number", wrong)
    dated = plain
    for frame, when in ((sample.fact.frame_i, "at the start"), (sample.fact.frame_j, "at the end")):
        dated = re.sub(moment(sample, frame), when, dated, flags=re.IGNORECASE)
    others = [text for text in row["options"] if text != row["answer_text"] and not _everyday(text, row)]
    for clause in statements(dated):
        for letter in _CHOICE.findall(clause):
            if letter != row["answer"] and not re.search(r"\b(?:not|isn't|out)\b", clause):
                raise Rejected("contradicts_answer", f"chooses {letter}")
        if row["answer_text"] not in clause and not re.search(r"\b(?:not|out|no)\b", clause):
            for option in others:
                if re.search(rf"(?<!\w){re.escape(option)}(?!\w)", clause, re.IGNORECASE):
                    raise Rejected("contradicts_answer", f"states {option!r}")
        if word := contradiction(clause, sample.measured):
            raise Rejected(word, f"says {clause[:120]!r}")


def _everyday(option: str, row: Mapping[str, Any]) -> bool:
    """Whether an option's text says one of the words that texts use for other things too."""
    return len(option) <= 3 or bool({option.lower(), label_of(dict(row), option)} & _COMMON)


def _named(prose: str, sample: Sample) -> str:
    """The prose with OBJECT and OTHER in the place of the objects' descriptions, whose words claim nothing."""
    fact = sample.fact
    names = {fact.object_id: "OBJECT", fact.other_object_id: "OTHER"}
    known = {name: words for name, words in sample.words.items() if words}
    first = [name for name in (fact.object_id, fact.other_object_id) if name in known]  # short names may be shared
    forms = sorted(known.items(), key=lambda item: -len(item[1]))
    forms += [(name, known[name].split(" (")[0]) for name in [*first, *sorted(set(known) - set(first))]]
    for name, form in forms:
        prose = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", names.get(name, "THING"), prose, flags=re.IGNORECASE)
    return prose


@cache
def _request_runs() -> set[tuple[str, ...]]:
    return _runs(prompts()["rewrite_system"])


def _runs(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"[a-z']+", text.lower())
    return {tuple(words[n : n + _RUN]) for n in range(len(words) - _RUN + 1)}
