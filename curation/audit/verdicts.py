"""Whether one question's labelled option is the true one, and whether its words lead to the object that was measured."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from curation.audit.answers import NUMERIC_KINDS, OBJECT_KINDS, along_axis, true_answer, true_label
from curation.audit.matching import Match
from curation.audit.naming import judge_description
from curation.audit.published import PublishedClip, Row
from curation.audit.trajectories import STATIC_M
from curation.worlds.truth import Truth

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
        return self.right and self.description not in ("wrong_colour", "points_elsewhere", "ambiguous")


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
    labelled = question["options"][ord(question["answer"]) - ord("A")]
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
            distances = [abs(length_of(option) - value) for option in question["options"]]
            true_option = question["options"][int(np.argmin(distances))]
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
