"""Reading the choice out of a response: what is clear is read, what is not is not guessed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.evaluate.answers import chosen, letter_of

DIRECTIONS = ("left", "right", "not moving", "moving")
METRES = ("0.40 m", "0.80 m", "1.60 m", "4.0 m")
COUNTS = ("1", "2", "3", "13")


@pytest.mark.parametrize(
    "response, options, expected",
    [
        ("B", DIRECTIONS, "B"),
        ("b", DIRECTIONS, "B"),
        ("B.", DIRECTIONS, "B"),
        ("(B)", DIRECTIONS, "B"),
        ("**B**", DIRECTIONS, "B"),
        ("B: right", DIRECTIONS, "B"),
        ("B. right\n\nThe car goes to the right.", DIRECTIONS, "B"),
        ("right", DIRECTIONS, "B"),
        ("Right.", DIRECTIONS, "B"),
        ("not moving", DIRECTIONS, "C"),
        ("The car is not moving at all.", DIRECTIONS, "C"),
        ("The answer is B.", DIRECTIONS, "B"),
        ("Answer: **B**", DIRECTIONS, "B"),
        ("The correct option is (B) right", DIRECTIONS, "B"),
        ("\\boxed{B}", DIRECTIONS, "B"),
        ("So it is \\boxed{\\text{B}}.", DIRECTIONS, "B"),
        ("At first A seems right, but the answer is B", DIRECTIONS, "B"),
        ("The answer is A. Wait: the answer is B.", DIRECTIONS, "B"),
        ("I choose option B", DIRECTIONS, "B"),
        ("Option A is wrong, option B fits", DIRECTIONS, "B"),
        ("It's B, not A.", DIRECTIONS, "B"),
        ("<answer>B</answer>", DIRECTIONS, "B"),
        ("<thinking>A or B? I say A.</thinking>\n<answer> B </answer>", DIRECTIONS, "B"),
        ("<think>the answer is A</think>B", DIRECTIONS, "B"),
        ("<answer>A</answer> no: <answer>B</answer>", DIRECTIONS, "B"),
        ("<answer>B", DIRECTIONS, "B"),
        ("<answer>right</answer>", DIRECTIONS, "B"),
        ("0.80 m", METRES, "B"),
        ("0.8 m", METRES, "B"),
        ("0.8", METRES, "B"),
        ("0.8 metres", METRES, "B"),
        ("about 0.80 m, I think", METRES, "B"),
        ("B. 0.80 m", METRES, "B"),
        ("It moved 4.0 m", METRES, "D"),
        (3, COUNTS, "C"),
        ("3", COUNTS, "C"),
        ("There are 13 of them", COUNTS, "D"),
        ("3.0", COUNTS, "C"),
    ],
)
def test_a_clear_choice_is_read(response: Any, options: tuple[str, ...], expected: str) -> None:
    assert chosen(response, options) == expected


@pytest.mark.parametrize(
    "response, options",
    [
        ("", DIRECTIONS),
        (None, DIRECTIONS),
        (True, DIRECTIONS),
        ("I cannot see the video.", DIRECTIONS),
        ("A car is shown.", DIRECTIONS),
        ("A or B", DIRECTIONS),
        ("left or right", DIRECTIONS),
        ("B: left", DIRECTIONS),  # the letter of one, the words of another
        ("E", DIRECTIONS),
        ("The answer is E", DIRECTIONS),
        ("<thinking>the answer is B and I go on", DIRECTIONS),  # cut off before it answered
        ("<answer></answer>", DIRECTIONS),
        ("Bear", DIRECTIONS),
        ("It is not B.", DIRECTIONS),
        ("The answer is a matter of taste", DIRECTIONS),
        ("0.6 m", METRES),
        ("80 cm", METRES),
        ("10.80 m", METRES),
        ("130", COUNTS),
        ("B. 0.40 m", METRES),
        ("Both option A and option B", DIRECTIONS),
    ],
)
def test_what_is_not_clear_is_no_choice(response: Any, options: tuple[str, ...]) -> None:
    assert chosen(response, options) is None


@given(st.one_of(st.text(max_size=200), st.none(), st.integers(), st.floats(), st.lists(st.text(max_size=5), max_size=3)))
def test_whatever_comes_is_an_option_or_none(response: Any) -> None:
    for options in (DIRECTIONS, METRES, ("", "x"), ("(", "[")):
        assert chosen(response, options) in {None, *"ABCD"[: len(options)]}


@pytest.mark.parametrize(
    "answer, options, expected",
    [
        (3, ("1", "2", "3"), "C"),
        ("3", (1, 2, 3), "C"),
        (3.0, ("1", "2", "3"), "C"),
        ("Left ", ("left", "right"), "A"),
        ("B", ("left", "right"), "B"),
        ("B", ("A", "C", "B"), "C"),  # the text comes before the letter
        ("up", ("left", "right"), None),
        ("left", ("right", "left", "left"), "B"),
        (5, ("1", "2"), None),
    ],
)
def test_an_answer_is_found_by_its_text_its_value_or_its_letter(
    answer: Any, options: tuple[Any, ...], expected: str | None
) -> None:
    assert letter_of(answer, [str(option) for option in options]) == expected
