"""Whether one question's labelled option is the true one, and whether its words lead to the object that was measured."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from curation.audit.answers import NUMERIC_KINDS, OBJECT_KINDS, along_axis, true_answer, true_label
from curation.audit.answers_further import CAMERA_FURTHER, NUMERIC_FURTHER, further_answer
from curation.audit.matching import Match
from curation.audit.naming import judge_description
from curation.audit.published import PublishedClip, Row
from curation.audit.trajectories import STATIC_M
from curation.worlds.truth import Truth

_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
_PAPER_KINDS = (*OBJECT_KINDS, "camera_distance", "camera_direction")
_BAD_WORDS = ("wrong_colour", "points_elsewhere", "ambiguous")
_LENGTH = re.compile(r"([-+]?\d+(?:\.\d+)?)\s*(mm|cm|m|km)?\b")
_METRES = {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "km": 1e3, None: 1.0}


@dataclass(frozen=True)
class Verdict:
    """What became of one question.

    Attributes:
        right: the labelled option is the true one.
        problem: "" or why it is no fair question: "phantom" (its object is nothing), "parked" (its object never moves),
            "static_camera" (a motion of the camera is asked about, and there was none).
        measured, sigma: of the fact behind it, metres; None where it has none.
        truth: the true value, metres; None for a phantom.
        labelled, true_option: texts of the options.
        error: |measured - truth|, metres.
        description: verdict on the words for its object (``naming.VERDICTS``), "" where it has none.
    """

    id: str
    source: str
    kind: str
    object_id: str
    body: str
    frame_i: int
    frame_j: int
    right: bool
    problem: str
    measured: float | None
    sigma: float | None
    truth: float | None
    labelled: str
    true_option: str
    error: float | None
    description: str

    @property
    def sound(self) -> bool:
        """The label is right, and the words do not lead to another object."""
        return self.right and self.description not in _BAD_WORDS


def length_of(option: str) -> float:
    """Metres that an option states, such as "1.30 m" or "45 cm".

    Raises:
        ValueError: the option states no length.
    """
    found = _LENGTH.search(option)
    if not found:
        raise ValueError(f"expected an option with a length such as '1.30 m', got {option!r}")
    return float(found[1]) * _METRES[found[2]]


def judge(
    question: Row,
    clip: PublishedClip,
    truth: Truth,
    matches: dict[str, Match],
    label_of: Callable[[Row, str], str],
    still_m: float,
) -> Verdict:
    """Whether one question's labelled option is the true one. ``label_of(question, option)`` gives an option's label."""
    kind, object_id = question["kind"], question["object_id"] or ""
    frames = clip.source_frames
    i, j = frames[question["frame_i"]], frames[question["frame_j"]]
    match = matches.get(object_id)
    body = match.body if match else None
    if kind not in _PAPER_KINDS:
        return _judge_further(question, clip, truth, matches, label_of)
    labelled = _said(question)
    fact = next((f for f in clip.facts if f["fact_id"] in (question["fact_ids"] or [])), None)
    measured, sigma = (fact["value"], fact["sigma"]) if fact else (question["answer_value"], None)
    problem, true_option, value = "", "", None
    if kind in OBJECT_KINDS and body is None:
        problem = "phantom"
    else:
        if kind in OBJECT_KINDS and match is not None and not match.is_mover:
            problem = "parked"
        elif kind not in OBJECT_KINDS and true_answer("camera_distance", truth, None, i, j).value < STATIC_M:
            problem = "static_camera"
        answer = true_answer(kind, truth, body, i, j)
        value = answer.value
        if kind in NUMERIC_KINDS:
            true_option = _nearest(question, value, length_of)
        else:
            labels = {label_of(question, option): option for option in question["options"]}
            true_option = labels.get(true_label(kind, answer, list(labels), still_m), "")
            said = label_of(question, labelled)
            if kind == "camera_direction" and fact and fact["label"]:
                value = along_axis(answer, fact["label"])
            elif kind == "camera_direction" and said in ("right", "left", "down", "up", "forward", "backward"):
                value = along_axis(answer, said)
    error = abs(measured - value) if measured is not None and value is not None else None
    name = truth.names[body] if body is not None else ""
    words = next((row["description"] or "" for row in clip.objects if object_id and row["object_id"] == object_id), "")
    return Verdict(
        question["id"], clip.row["source"], kind, object_id, name, question["frame_i"], question["frame_j"],
        labelled == true_option and problem != "static_camera", problem, measured, sigma, value, labelled, true_option, error,
        judge_description(words, clip, truth, match) if match else "",
    )  # fmt: skip


def _judge_further(
    question: Row, clip: PublishedClip, truth: Truth, matches: dict[str, Match], label_of: Callable[[Row, str], str]
) -> Verdict:
    """The same for the kinds beyond the paper's. Words for any of several objects that lead elsewhere spoil the question."""
    kind, frames = question["kind"], clip.source_frames
    i, j = frames[question["frame_i"]], frames[question["frame_j"]]
    fact = next(f for f in clip.facts if f["fact_id"] in question["fact_ids"])
    ids = [] if kind in CAMERA_FURTHER else [fact["object_id"], *filter(None, (fact["other_object_id"] or "").split("+"))]
    found = [matches.get(name) for name in ids]
    bodies = [match.body for match in found if match is not None and match.body is not None]
    labelled = _said(question)
    problem, true_option, value = "", "", None
    if len(bodies) < len(ids):
        problem = "phantom"
    elif len(set(bodies)) < len(bodies):
        problem = "fragment"
    else:
        if any(match is not None and not match.is_mover for match in found):
            problem = "parked"
        answer = further_answer(kind, truth, bodies, i, j)
        value = answer.value
        if kind in NUMERIC_FURTHER:
            assert value is not None
            true_option = _nearest(question, value, lambda text: float(_NUMBER.findall(text)[0]))
        else:
            true_option = {label_of(question, option): option for option in question["options"]}.get(answer.label, answer.label)
    measured = fact["value"]
    error = abs(measured - value) if measured is not None and value is not None else None
    words = {row["object_id"]: row["description"] or "" for row in clip.objects}
    judged = [judge_description(words.get(n, ""), clip, truth, m) for n, m in zip(ids, found, strict=True) if m is not None]
    described = next((verdict for verdict in judged if verdict in _BAD_WORDS), judged[0] if judged else "")
    return Verdict(
        question["id"], clip.row["source"], kind, "+".join(ids), "+".join(truth.names[b] for b in bodies), question["frame_i"],
        question["frame_j"], labelled == true_option, problem, measured, fact["sigma"], value, labelled, true_option, error,
        described,
    )  # fmt: skip


def _said(question: Row) -> str:
    """The text that the question gives as right."""
    return question["options"][ord(question["answer"]) - ord("A")] if question["options"] else question["answer_text"]


def _nearest(question: Row, value: float, number_of: Callable[[str], float]) -> str:
    """The option nearest to the true number; of an open question, its answer if it is within a fifth of it."""
    options = question["options"]
    if not options:
        stated = question["answer_text"]
        return stated if abs(number_of(stated) - value) <= max(0.2 * abs(value), 0.02) else f"{value:.3g}"
    return options[int(np.argmin([abs(number_of(option) - value) for option in options]))]
