"""A table that can be answered blindly is refused, with guesser and cause; luck is no cause."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from curation.audit.blind_text import fit_reader
from curation.audit.leaks import WHY, blind_guessers, broken_bounds

Row = dict[str, Any]
LABELS = ["To the left", "To the right"]


def rows(count: int, seed: int = 0, **odds: float) -> list[Row]:
    """Sound questions, five to a clip, spoilt by ``odds``: share of the answers that a cue gives away."""
    rng = np.random.default_rng(seed)
    out = []
    for n in range(count):
        numeric = n % 2 == 0
        options = [f"{v:.2f} m" for v in rng.permutation(np.exp(rng.uniform(-1, 2, 4)))] if numeric else LABELS
        right = int(rng.integers(len(options)))
        word = str(rng.choice(["first", "second"]))
        if rng.random() < odds.get("letter", 0):
            right = 0
        if numeric and rng.random() < odds.get("rank", 0):
            right = int(np.argsort([float(o[:-2]) for o in options])[1])
        if not numeric and rng.random() < odds.get("word", 0):
            word = "first" if right == 0 else "second"
        i = int(rng.integers(0, 10))
        out.append(
            {
                "id": f"{n:06d}",
                "clip_id": f"clip{n // 5}",
                "kind": "object_distance" if numeric else "object_camera_lateral",
                "question": f"From frame {i} on, what becomes of the {word} object by frame {i + 9}?",
                "options": options,
                "answer": "ABCD"[right],
                "answer_text": options[right],
                "answer_value": float(options[right][:-2]) if numeric else None,
                "frame_i": i,
                "frame_j": i + 9,
            }
        )
    return out


def test_sound_tables_of_every_size_pass() -> None:
    for count in (3, 20, 100, 600, 3000):
        assert broken_bounds(rows(count, seed=count)) == []
    assert broken_bounds([]) == []


@pytest.mark.parametrize(
    "cue, guesser", [("letter", "majority_letter"), ("rank", "second_smallest"), ("word", "words_of_question")]
)
def test_a_cue_is_found_and_named(cue: str, guesser: str) -> None:
    found = {entry["guesser"]: entry["why"] for entry in broken_bounds(rows(2500, **{cue: 0.3}))}
    assert guesser in found and WHY[guesser] in found[guesser] and "by chance" in found[guesser]
    assert "text_classifier" in found


def test_a_small_table_is_refused_only_where_it_is_surely_broken() -> None:
    assert broken_bounds(rows(40, letter=0.2)) == []
    assert "majority_letter" in {entry["guesser"] for entry in broken_bounds(rows(200, letter=1.0))}


def test_two_points_over_chance_are_enough_on_a_large_table() -> None:
    """Three and a half points in letters, on 20,000 rows."""
    spoilt = rows(20_000, seed=4, letter=0.06)
    table = {entry["guesser"]: entry for entry in broken_bounds(spoilt) if entry["kind"] == "all"}
    assert 0.02 < table["majority_letter"]["excess"] < 0.05


def test_every_guesser_has_its_cause_in_words() -> None:
    assert {entry["guesser"] for entry in blind_guessers(rows(400))} <= set(WHY)


def test_the_reader_learns_the_same_from_the_same_rows() -> None:
    some = rows(600, word=0.5)
    assert fit_reader(some[:300])(some[300:]) == fit_reader(some[:300])(some[300:])


def test_open_questions_offer_nothing_to_guess_from() -> None:
    opened = [{**row, "options": [], "answer": "1.0"} for row in rows(50)]
    assert blind_guessers(opened) == []
