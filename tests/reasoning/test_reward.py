"""The public reward, part by part."""

from __future__ import annotations

import math

import pytest

from curation.reasoning import CODE_WEIGHTS, PAPER_WEIGHTS, reward
from curation.reasoning.reward import centre_score, read_centers

THINKING = """The camera goes forward.
**Spatial State (Initial Frame):**
- Camera Center: [0.0, 0.0, 0.0]
- Object Center: [1.2, 0.1, 4.5]
**Spatial State (Final Frame):**
- Camera Center: [0.3, 0.0, 0.9]
- Object Center: [0.4, 0.1, 3.1]"""
CAMERA = [[0.0, 0.0, 0.0], [0.3, 0.0, 0.9]]
OBJECT = [[1.2, 0.1, 4.5], [0.4, 0.1, 3.1]]


def response(thinking: str = THINKING, answer: str = "A") -> str:
    return f"<thinking>\n{thinking}\n</thinking>\n<answer>{answer}</answer>"


def test_a_perfect_response_gets_one_with_either_set_of_weights() -> None:
    assert sum(CODE_WEIGHTS) == pytest.approx(1) and sum(PAPER_WEIGHTS) == pytest.approx(1)
    for weights in (CODE_WEIGHTS, PAPER_WEIGHTS):
        assert reward(response(), "A", CAMERA, OBJECT, weights=weights).total == pytest.approx(1.0)


def test_a_wrong_letter_costs_its_weight() -> None:
    assert reward(response(answer="B"), "A", CAMERA, OBJECT).total == pytest.approx(0.4)
    assert reward(response(answer="B"), "A", CAMERA, OBJECT, weights=PAPER_WEIGHTS).total == pytest.approx(0.5)
    assert reward(response(answer="A."), "A", CAMERA, OBJECT).accuracy == 0
    assert reward(response(answer="A."), "A", CAMERA, OBJECT, parser="tolerant").accuracy == 1


def test_the_format_has_three_parts() -> None:
    assert reward(response(), "A", CAMERA, OBJECT).format == pytest.approx(1.0)
    assert reward(THINKING, "A", CAMERA, OBJECT).format == pytest.approx(0.4)
    assert reward(response("Too short."), "A", None, None).format == pytest.approx(0.5)
    assert reward(response("Long enough, but it names neither of the two."), "A", None, None).format == pytest.approx(0.6)
    only_camera = THINKING.replace("Object Center", "Thing")
    assert reward(response(only_camera), "A", CAMERA, OBJECT).format == pytest.approx(0.6)


def test_centres_fall_off_with_the_mean_error() -> None:
    off = THINKING.replace("[0.3, 0.0, 0.9]", "[0.3, 0.0, 1.9]")
    assert reward(response(off), "A", CAMERA, OBJECT).camera == pytest.approx(math.exp(-0.5))
    assert centre_score([], None) == 1.0
    assert centre_score([], [None, None]) == 1.0
    assert centre_score([[0.0, 0, 0]], CAMERA) == 0.0
    assert centre_score([[0.0, 0, 0]], None) == 0.0


def test_one_null_and_one_value_score_nothing_so_both_or_neither_must_be_given() -> None:
    half = THINKING.replace("- Object Center: [1.2, 0.1, 4.5]", "- Object Center: null")
    assert reward(response(half), "A", CAMERA, OBJECT).object == 0.0
    assert centre_score(read_centers(half, "Object"), [None, OBJECT[1]]) == 1.0  # what dropping nulls would hide


@pytest.mark.parametrize(
    "line, strict, tolerant",
    [
        ("- Camera Center: [0.3, 0.0, 0.9]", 1, 1),
        ("- **Camera Center**: [0.3, 0.0, 0.9]", 0, 1),
        ("- Camera Center: [0.3 m, 0.0 m, 0.9 m]", 0, 1),
        ("- Camera Center: [[0.3, 0.0, 0.9]]", 0, 1),
        ("- camera centre: (0.3, 0.0, 0.9)", 0, 1),
        ("- Camera Center: null", 0, 0),
        ("- Camera Center: [NaN, 0.0, 0.9]", 0, 0),
        ("- Camera Center: [0.3, 0.0]", 0, 0),
    ],
)
def test_what_each_parser_reads(line: str, strict: int, tolerant: int) -> None:
    assert len(read_centers(line, "Camera", "strict")) == strict
    assert len(read_centers(line, "Camera", "tolerant")) == tolerant


def test_one_bad_list_empties_them_all() -> None:
    spoiled = THINKING.replace("[0.3, 0.0, 0.9]", "[0.3 m, 0.0 m, 0.9 m]")
    assert read_centers(spoiled, "Camera") == []
    assert read_centers(spoiled, "Object") == OBJECT


def test_a_list_broken_over_two_lines_is_not_read() -> None:
    assert read_centers("- Camera Center: [0.3,\n0.0, 0.9]", "Camera") == []
