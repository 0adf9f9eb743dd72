"""One body that a model finds under several nouns is one instance, with an honest name."""

from __future__ import annotations

import numpy as np
import pytest

from curation.objects.backends.doubles import one_per_body
from curation.objects.backends.instances import Instance, box_of
from curation.objects.masks import decode, encode

T, SHAPE = 6, (40, 60)


def seen(category: str, score: float, spans: dict[int, tuple[int, int, int, int]], certainty: float = 1.0) -> Instance:
    """An instance whose pixels are a box (u0, v0, u1, v1) per frame."""
    scores, masks = np.zeros(T), [None] * T
    boxes = np.full((T, 4), np.nan)
    for t, (u0, v0, u1, v1) in spans.items():
        mask = np.zeros(SHAPE, bool)
        mask[v0:v1, u0:u1] = True
        scores[t], masks[t] = score, encode(mask)
        boxes[t] = box_of(masks[t])
    return Instance(category, certainty, scores, boxes, tuple(masks), "m")


def still(box: tuple[int, int, int, int], frames: range = range(T)) -> dict[int, tuple[int, int, int, int]]:
    return dict.fromkeys(frames, box)


@pytest.mark.parametrize(
    ("nouns", "name"),
    [
        ({"car": 0.8, "truck": 0.7}, "vehicle"),  # about as sure of one as of the other
        ({"car": 0.9, "truck": 0.4}, "car"),
        ({"person": 0.6, "dog": 0.5}, ""),  # no word holds for both
        ({"woman in red": 0.8, "person": 0.7}, "woman in red"),  # another word for the same
        ({"person": 0.8, "woman in red": 0.7}, "person"),
    ],
)
def test_one_body_under_two_nouns_is_one_instance_that_they_vote_on(nouns: dict[str, float], name: str) -> None:
    box, nearly = (5, 5, 30, 30), (6, 5, 30, 31)
    found = [seen(noun, score, still(b)) for (noun, score), b in zip(nouns.items(), (box, nearly), strict=True)]
    (one,) = one_per_body(found)
    assert one.category == name and one.seen.all()
    assert decode(one.masks[0]).sum() == 25 * 25, "the more certain one's pixels"


def test_one_noun_twice_on_one_body_is_one_instance() -> None:
    early, late = seen("car", 0.9, still((5, 5, 30, 30), range(4))), seen("car", 0.8, still((5, 5, 30, 30), range(1, T)))
    (one,) = one_per_body([late, early])
    assert one.category == "car" and one.certainty == 1.0 and one.seen.all()
    assert one.scores.tolist() == [0.9] * 4 + [0.8] * 2


def test_two_bodies_that_touch_stay_two_and_a_pixel_is_one_ones() -> None:
    left, right = seen("person", 0.9, still((5, 5, 30, 30))), seen("person", 0.8, still((25, 5, 50, 30)))
    apart = seen("person", 0.5, still((52, 5, 60, 30)))
    found = one_per_body([apart, right, left])
    assert [i.scores[0] for i in found] == [0.9, 0.8, 0.5]
    masks = [decode(i.masks[0]) for i in found]
    assert [int(m.sum()) for m in masks] == [25 * 25, 20 * 25, 8 * 25] and np.stack(masks).sum(0).max() == 1
    assert found[1].boxes_px[0].tolist() == [30, 5, 50, 30]


def test_bodies_that_share_their_pixels_for_a_moment_stay_two() -> None:
    stays = seen("person", 0.9, still((5, 5, 30, 30)))
    passes = seen("person", 0.8, {t: (5 + 8 * (t - 3), 5, 30 + 8 * (t - 3), 30) if t >= 3 else (0, 5, 4, 30) for t in range(T)})
    found = one_per_body([stays, passes])
    assert len(found) == 2 and found[1].seen.tolist() == [True, True, True, False, True, True], "covered while it passes"


def test_a_part_of_a_body_is_no_double_of_it() -> None:
    found = one_per_body([seen("person", 0.8, still((5, 5, 30, 35))), seen("person", 0.9, still((5, 5, 30, 20)))])
    assert len(found) == 2
