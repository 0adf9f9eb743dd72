"""A chain of thought written anew by a model: what is asked for, how a reply is judged, which texts are kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from curation.questions.options import listed
from curation.reasoning.chain import chain_row, prompts, states
from curation.reasoning.check import Sample, check
from curation.reasoning.reward import CODE_WEIGHTS, PAPER_WEIGHTS, reward
from curation.reasoning.telling import Register, rounded
from schemas.config import RewriteConfig
from schemas.outcome import Rejected

STYLES = (
    "someone who thinks aloud while watching, in the first person",
    "a matter-of-fact observer, impersonal, short sentences",
    "a careful viewer who weighs one cue against another",
    "a lively description that begins with what strikes the eye",
    "a teacher who explains to a student how to see it",
    "a film editor who compares two shots",
)
EPSILON = 1e-9


def request_messages(
    sample: Sample, plain: str, *, path: int, register: Register, pictures: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """The messages that ask for one text.

    Args:
        sample: the question with its facts.
        plain: thinking of the template.
        path: number of the text; each asks for another style.
        register: "quantitative" lets the text name measured amounts.
        pictures: data URLs of frames, in order.
    """
    texts, row = prompts(), sample.row
    first, last = sample.blocks
    style = STYLES[path % len(STYLES)]
    amounts = "may name the measured amounts" if register == "quantitative" else "no amounts but those of the answer"
    user = texts["rewrite_user"].format(
        question=row["question"],
        options=listed(row["options"]),
        answer=row["answer"],
        measured="\n".join(measured_lines(sample)),
        first="\n".join(first),
        last="\n".join(last),
        plain=plain,
        style=f"{style}; {amounts}",
    )
    content: Any = user
    if pictures:
        content = [{"type": "image_url", "image_url": {"url": url}} for url in pictures] + [{"type": "text", "text": user}]
    return [{"role": "system", "content": texts["rewrite_system"]}, {"role": "user", "content": content}]


def measured_lines(sample: Sample) -> list[str]:
    """What a text may state, one line each."""
    fact, seen, details = sample.fact, sample.seen, sample.fact.details
    times = sample.clip["frame_times_s"]
    lines = [
        f"start: frame {fact.frame_i} ({times[fact.frame_i]:.1f} s); end: frame {fact.frame_j} ({times[fact.frame_j]:.1f} s)",
        f"answer: {sample.row['answer_text']}",
    ]
    called = [sample.words.get(name, "") for name in filter(None, (fact.object_id, *fact.other_object_id.split("+")))]
    short = [words.split(" (")[0] for words in called]
    if len(set(short)) < len(short):  # two of one name need their pointing, as in the template's text
        short = called
    which = ("", "other ") if len(short) < 3 else tuple(f"{word} " for word in ("first", "second", "third", "fourth"))
    lines += [f"the {word}object is called: {words}" for word, words in zip(which, short, strict=False)]
    if seen.camera == "none":
        lines.append("camera: keeps its place")
    elif seen.camera and seen.camera != "unclear":
        lines.append(f"camera: moves {seen.camera} (in terms of the earlier view), {_metres(details['camera_moved_m'])}")
    if seen.turn:
        lines.append(f"camera: turns {seen.turn}")
    if seen.place:
        lines.append(f"object at the start: {seen.place}, {_percent(seen.height)} of the picture's height")
        lines.append(f"object at the end: {seen.place_j}, {seen.scale}, {_percent(seen.height_j)} of the picture's height")
    if "object_moved_m" in details:
        lines.append(f"object's displacement in the scene: {_metres(details['object_moved_m'])}")
    if "nearest_m" in details:
        lines.append("object's distance to the camera: {} m, then {} m".format(*map(rounded, details["nearest_m"])))
    return lines


def judge(reply: str, sample: Sample, config: RewriteConfig, *, path: int, register: str, model: str) -> dict[str, Any]:
    """The row of ``ST_COT`` that a reply gives.

    Raises:
        Rejected: see ``check``.
    """
    thinking = check(reply, sample, min_words=config.min_words, max_words=config.max_words)
    return chain_row(dict(sample.row), sample.fact, thinking, path=path, register=register, rewritten_by=model)


@dataclass(frozen=True)
class Scored:
    """One text of a sample: its reward, and its row where it stood the checks."""

    sample_id: str
    kind: str
    reward: float
    row: Mapping[str, Any] | None


def score(
    reply: str, sample: Sample, config: RewriteConfig, *, path: int, register: str, model: str
) -> tuple[Scored, Rejected | None]:
    """The reward of a reply, whether it stands or not, with the configured weights."""
    centres = states(sample.fact)
    weights = PAPER_WEIGHTS if config.weights == "paper" else CODE_WEIGHTS
    total = reward(reply, str(sample.row["answer"]), *centres, weights=weights).total
    row, why = None, None
    try:
        row = judge(reply, sample, config, path=path, register=register, model=model)
    except Rejected as rejected:
        why = rejected
    return Scored(str(sample.row["id"]), sample.fact.kind, total, row), why


def thresholds(texts: Iterable[Scored]) -> dict[str, float]:
    """Per kind, the mean over its samples of the best text's reward: the paper's scenario-adaptive threshold."""
    best: dict[str, dict[str, float]] = defaultdict(dict)
    for text in texts:
        mine = best[text.kind]
        mine[text.sample_id] = max(mine.get(text.sample_id, 0.0), text.reward)
    return {kind: sum(mine[name] for name in sorted(mine)) / len(mine) for kind, mine in sorted(best.items())}


def kept(text: Scored, limits: Mapping[str, float]) -> Literal["", "rejected", "below_threshold"]:
    """Empty for a text that is kept: it stood the checks, and its reward is above zero and at the threshold of its kind."""
    if text.row is None:
        return "rejected"
    return "" if text.reward > 0 and text.reward >= limits[text.kind] - EPSILON else "below_threshold"


def _metres(moved: Sequence[float]) -> str:
    return f"{rounded(moved[0])} m (+- {rounded(max(moved[1], 0.001))} m)"


def _percent(share: float | None) -> str:
    return "an unknown share" if share is None else f"{100 * share:.0f} %"
