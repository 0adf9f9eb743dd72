"""The reward as TRL reward functions: ``GRPOTrainer(reward_funcs=[st_reward])``, with the column ``solution`` of our exports.

Either the total (``st_reward``, ``st_reward_paper``) or its parts with ``GRPOConfig(reward_weights=list(CODE_WEIGHTS))``:
``reward_funcs=PARTS``. All read tolerantly: a bold label or a unit is no wrong state. No completion raises; a
solution that cannot be read is an error of the data set, and does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from .reward import CODE_WEIGHTS, PAPER_WEIGHTS, Reward, Weights, reward  # relative: swift_plugin loads both by their paths

RewardFunction = Callable[..., list[float]]


def scores(completions: Sequence[Any], solution: Sequence[Any], weights: Weights = CODE_WEIGHTS) -> list[Reward]:
    """The reward of each completion.

    Args:
        completions: strings, or conversations (``[{"role": "assistant", "content": ...}]``), n of them.
        solution: for each the solution: a dict ``answer``, ``camera_center``, ``object_center``, a list of one, or such as JSON.
        weights: of accuracy, format, camera, object.

    Raises:
        ValueError: the numbers of both differ, or a solution has no answer.
    """
    if len(completions) != len(solution):
        raise ValueError(f"expected one solution per completion, got {len(completions)} completions, {len(solution)} solutions")
    out = []
    for completion, given in zip(completions, solution, strict=True):
        truth = solution_of(given)
        centers = truth.get("camera_center"), truth.get("object_center")
        out.append(reward(text_of(completion), truth["answer"], *centers, weights=weights, parser="tolerant"))
    return out


def st_reward(completions: Sequence[Any], solution: Sequence[Any], **_: Any) -> list[float]:
    """The total with the weights of the public code: 0.6 accuracy, 0.2 format, 0.1 camera, 0.1 object."""
    return [score.total for score in scores(completions, solution)]


def st_reward_paper(completions: Sequence[Any], solution: Sequence[Any], **_: Any) -> list[float]:
    """The total with the weights of the paper: 0.5, 0.2, 0.15, 0.15."""
    return [score.total for score in scores(completions, solution, PAPER_WEIGHTS)]


def st_accuracy(completions: Sequence[Any], solution: Sequence[Any], **_: Any) -> list[float]:
    """1 where the letter is right, else 0."""
    return [score.accuracy for score in scores(completions, solution)]


def st_format(completions: Sequence[Any], solution: Sequence[Any], **_: Any) -> list[float]:
    """Tags, both kinds of centre, some thinking: in [0, 1]."""
    return [score.format for score in scores(completions, solution)]


def st_camera(completions: Sequence[Any], solution: Sequence[Any], **_: Any) -> list[float]:
    """``exp(-mean error)`` of the camera's centres, metres."""
    return [score.camera for score in scores(completions, solution)]


def st_object(completions: Sequence[Any], solution: Sequence[Any], **_: Any) -> list[float]:
    """``exp(-mean error)`` of the object's centres, metres."""
    return [score.object for score in scores(completions, solution)]


PARTS: tuple[RewardFunction, ...] = (st_accuracy, st_format, st_camera, st_object)
"""In the order of the weights."""


def text_of(completion: Any) -> str:
    """The text of a completion in any of the trainers' shapes; "" where there is none."""
    if isinstance(completion, str):
        return completion
    if isinstance(completion, dict):
        return text_of(completion.get("content") or completion.get("text") or "")
    if isinstance(completion, (list, tuple)):  # turns, of which the last counts; or parts of one turn, which belong together
        if completion and isinstance(completion[-1], dict) and "role" in completion[-1]:
            return text_of(completion[-1])
        return "".join(text_of(part) for part in completion)
    return ""


def solution_of(value: Any) -> dict[str, Any]:
    """The solution as a dict.

    Raises:
        ValueError: it is not one, or has no letter.
    """
    found = json.loads(value) if isinstance(value, str) else value
    if isinstance(found, (list, tuple)) and len(found) == 1:
        found = found[0]
    if not isinstance(found, dict) or not isinstance(found.get("answer"), str):
        raise ValueError(f"expected a solution such as {{'answer': 'A', 'camera_center': null, ...}}, got {value!r}")
    return found
