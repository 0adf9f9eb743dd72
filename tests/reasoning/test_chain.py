"""Chains of thought, cold-start and reinforcement rows."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curation.reasoning import motion_score, reason, reason_clip, reinforcement_row
from curation.reasoning.chain import states
from curation.reasoning.evidence import evidence
from curation.reasoning.telling import kind_of, misleading, tell
from curation.relations.kinds import PAPER_KINDS
from schemas.config import ReasoningConfig
from schemas.tables import RFT, ST_COT
from schemas.track import Description, Fact
from tests.reasoning.fabricated import ALL_KINDS, CLIP, WORDS, samples
from tests.relations.fabricated import clip_row

Row = dict[str, Any]


@pytest.fixture(scope="module")
def chains() -> list[tuple[Row, Fact]]:
    """Questions of every kind, each reasoned in both registers."""
    out = []
    for row, fact in samples(12 * len(ALL_KINDS), seed=3):
        for path, register in enumerate(("qualitative", "quantitative")):
            made = reason(row, fact, CLIP, WORDS, seed=0, path=path, register=register)  # type: ignore[arg-type]
            assert made is not None
            out.append((made, fact))
    return out


def test_template_text_earns_the_full_reward(chains: list) -> None:
    assert {row["kind"] for row, _ in chains} == set(ALL_KINDS)
    for row, _ in chains:
        assert row["reward"] == pytest.approx(1.0), row["response"]
        assert row["reward_paper"] == pytest.approx(1.0) and row["rewritten_by"] == "template"
        parts = (row["reward_accuracy"], row["reward_format"], row["reward_camera"], row["reward_object"])
        assert parts == pytest.approx((1, 1, 1, 1))


def test_rows_fit_the_published_table(chains: list) -> None:
    table = pa.Table.from_pylist([row for row, _ in chains], schema=ST_COT)
    assert table.num_rows == len(chains)
    assert all(set(row) == set(ST_COT.names) for row, _ in chains)


def test_the_states_are_those_of_the_fact_both_or_neither(chains: list) -> None:
    for row, fact in chains:
        kind = kind_of(row["kind"])
        for column, needed, lines in (
            ("camera_center", kind.needs_camera, "Camera Center"),
            ("object_center", kind.needs_object, "Object Center"),
        ):
            stated = re.findall(rf"^- {lines}: (.*)$", row["thinking"], re.MULTILINE)
            assert len(stated) == 2
            if needed:
                assert np.allclose(row[column], fact.details[column], atol=0.0051)
                assert [np.fromstring(s.strip("[]"), sep=",").tolist() for s in stated] == row[column]
            else:
                assert row[column] is None and stated == ["null", "null"]


def test_the_response_is_what_a_trainer_parses(chains: list) -> None:
    for row, _ in chains:
        assert row["response"].startswith("<thinking>\n")
        assert row["response"].endswith(f"</thinking>\n<answer>{row['answer']}</answer>")
        assert [turn["role"] for turn in row["messages"]] == ["system", "user", "assistant"]
        assert row["messages"][2]["content"] == row["response"]
        user = row["messages"][1]["content"].split("\n")
        assert user[0] == "<video>" and "<thinking>" in user[-1] and "<answer>" in user[-1]
        assert row["thinking"].count("**Spatial State (Initial Frame):**") == 1
        assert row["thinking"].count("**Spatial State (Final Frame):**") == 1


def test_the_prose_argues_without_coordinates(chains: list) -> None:
    for row, _ in chains:
        prose = [line for line in row["thinking"].split("\n") if not line.startswith(("- ", "**"))]
        assert len(prose) == 5  # anchors, start, progression, end, synthesis
        text = " ".join(prose)
        assert not re.search(r"\[|\]|coordinate|\bx\b|\bz\b|[=+*<]|sqrt", text), text
        assert not re.search(r"[{}]|  |,,|,\.| [.,;]|\b(\w+) \1\b", text), text
        if row["register"] == "qualitative" and not row["kind"].startswith("camera_rotation_angle"):
            assert "%" not in text and "degrees" not in text


def test_the_synthesis_names_the_answer_and_why_the_others_fail(chains: list) -> None:
    for row, fact in chains:
        last = row["thinking"].split("\n")[-1]
        assert re.search(rf"\b{row['answer']}\b", last)
        assert re.search(r"\bwould\b|[Nn]one of the others|do not fit|does not fit", last), last
        if kind_of(fact.kind).numeric:
            assert re.search(r"about [\d.]+ |[\d.]+ \w+.*, give or take", last)


def test_a_thousand_texts_have_nearly_as_many_skeletons() -> None:
    """Skeletons are texts with the names of the fields in the place of their values."""
    told = [
        tell(row, fact, CLIP, WORDS, seed=0, path=0, register="qualitative" if n % 2 else "quantitative")
        for n, (row, fact) in enumerate(samples(1000, seed=8))
    ]
    assert len({steps.skeleton for steps in told}) >= 990
    steps = Counter(said.skeleton for steps in told for said in steps.said)
    assert len(steps) > 2500 and max(steps.values()) < 150, (len(steps), steps.most_common(3))
    openings = Counter(" ".join(steps.anchors.skeleton.split()[:3]) for steps in told)
    assert len(openings) >= 20 and max(openings.values()) < 200


def test_two_paths_differ_and_the_same_path_repeats(chains: list) -> None:
    texts: dict[str, set[str]] = {}
    for row, _ in chains:
        texts.setdefault(row["id"], set()).add(row["thinking"])
    assert Counter(map(len, texts.values()))[2] > 0.95 * len(texts)
    row, fact = next(samples(1))
    assert reason(row, fact, CLIP, WORDS, seed=0) == reason(row, fact, CLIP, WORDS, seed=0)
    assert reason(row, fact, CLIP, WORDS, seed=0) != reason(row, fact, CLIP, WORDS, seed=1)


def fact_with(**details: Any) -> Fact:
    base = {
        "times_s": [0.0, 3.0],
        "turn_deg": [0.0, 0.0, 0.0],
        "camera_center": [[0.0, 0, 0], [0.0, 0, 1.0]],
        "camera_shift": [0.0, 0.0, 1.0],
        "camera_moved_m": [1.0, 0.01],
        "object_center": [[0.0, 0, 6.0], [0.0, 0, 4.0]],
        "object_moved_m": [2.0, 0.1],
        "boxes_px": [[300.0, 150, 340, 250], [300.0, 120, 340, 280]],
    }
    return Fact("c", "object_camera_lateral", "obj_1", "", 0, 10, 0.5, "m", "right", 0.05, 9.0, 3.0, base | details)


@pytest.mark.parametrize(
    "shift, expected",
    [([1.0, 0, 0], "right"), ([-1.0, 0, 0], "left"), ([0, 1.0, 0], "down"), ([0, -1.0, 0], "up"), ([0, 0, 1.0], "forward"),
     ([0, 0, -1.0], "backward"), ([0.9, 0, 1.0], "unclear"), ([0.5, 0, 1.0], "unclear"),
     ([0.2, 0, -1.0], "backward"), ([1.0, 0, 0.5], "right")],
)  # fmt: skip
def test_evidence_tells_the_cameras_motion(shift: list[float], expected: str) -> None:
    length = float(np.linalg.norm(shift))
    assert evidence(fact_with(camera_shift=shift, camera_moved_m=[length, 0.01]), clip_row()).camera == expected


def test_evidence_tells_turns_by_the_right_hand_rule_of_opencv_axes() -> None:
    for turn, expected in (([0, 15.0, 0], "right"), ([0, -15.0, 0], "left"), ([15.0, 0, 0], "up"), ([-15.0, 0, 0], "down")):
        assert evidence(fact_with(turn_deg=turn), clip_row()).turn == expected
    assert evidence(fact_with(turn_deg=[2.0, 3.0, 0]), clip_row()).turn == ""


def test_a_picture_is_not_said_to_spread_from_its_middle_where_the_camera_turns() -> None:
    for turn, expected in (([4.0, 3.0, 0], "forward"), ([5.0, 0, 5.0], ""), ([0, -15.0, 0], "")):
        assert evidence(fact_with(turn_deg=turn), clip_row()).camera == expected
    assert evidence(fact_with(turn_deg=[0, 15.0, 0], camera_shift=[1.0, 0, 0]), clip_row()).camera == "right"


def test_a_camera_that_only_turns_is_told_without_parallax_and_a_still_object_as_still() -> None:
    options = ["Only the object", "Only the camera", "Both the object and the camera"]
    facts = fact_with(camera_moved_m=[0.01, 0.01], turn_deg=[0, 9.0, 0], object_moved_m=[0.12, 0.01])
    said = ""
    for n in range(12):
        for letter, label in (("B", "only the camera"), ("C", "both")):
            fact = dataclasses.replace(facts, kind="object_true_motion", label=label)
            question = {"id": "q", "question": "What moved?", "options": options, "answer": letter, "kind": fact.kind,
                        "answer_text": options["ABC".index(letter)], "answer_value": None}  # fmt: skip
            made = reason(question, fact, clip_row(), WORDS, seed=0, path=n)
            assert made is not None
            said += made["thinking"]
            fixed = re.search("keeps its place among|no change in the place", made["thinking"])
            assert fixed or label == "both"
    assert re.search("moves or turns", said)
    assert not re.search(r"viewpoint changes|would be (?:no )?parallax|camera (?:stays|keeps|remains)", said)


def test_a_turn_that_is_told_alone_is_told_as_nothing_besides() -> None:
    fact = dataclasses.replace(
        fact_with(camera_moved_m=[0.08, 0.05], turn_deg=[0.0, 18.0, 0.0]), kind="object_true_motion", label="both"
    )
    row = {"id": "q", "question": "What moved?", "options": ["Only the object", "Both"], "answer": "B", "answer_text": "Both",
           "answer_value": None, "kind": "object_true_motion"}  # fmt: skip
    for n in range(20):
        made = reason(row, fact, clip_row(), {"obj_1": "the red object"}, seed=0, path=n)
        assert made is not None and re.search("right", made["thinking"])
        assert not re.search(r"[Bb]esides|In addition|also swings|Plus", made["thinking"]), made["thinking"]


def test_what_stays_still_is_seen_to_stay_and_what_never_stops_is_said_to() -> None:
    for kind, label, options, said in (
        (
            "object_motion_pattern",
            "stays still",
            ["Moving on throughout", "Not moving at all"],
            "keeps its place|no change in the place",
        ),
        ("object_stop_time", "never", ["In the middle third", "Never"], "does not come to rest|never comes to rest"),
    ):
        fact = dataclasses.replace(fact_with(object_moved_m=[0.01, 0.01]), kind=kind, label=label)
        row = {"id": "q", "question": "What?", "options": options, "answer": "B", "answer_text": options[1], "answer_value": None,
               "kind": kind}  # fmt: skip
        for n in range(10):
            made = reason(row, fact, clip_row(), {"obj_1": "the red object"}, seed=0, path=n)
            assert made is not None and re.search(said, made["thinking"]), made["thinking"]


def test_evidence_tells_a_still_camera_and_what_the_outline_does() -> None:
    still = evidence(fact_with(camera_moved_m=[0.02, 0.01]), clip_row())
    assert still.camera == "none"
    assert still.size == "about a quarter" and still.growth == pytest.approx(1.6)
    assert still.scale == "about one and a half times as tall" and still.place == "in the middle of the picture"
    cut = evidence(fact_with(boxes_px=[[300.0, 150, 340, 250], [0.0, 120, 40, 280]]), clip_row())
    assert cut.growth is None and "cut off" in cut.scale


def test_an_apparent_motion_that_misleads_is_said_to_mislead() -> None:
    """The object goes right in the scene, while its outline drifts to the left because the camera moves."""
    boxes = [[300.0, 150, 340, 250], [200.0, 150, 240, 250]]
    question = {"id": "q", "question": "Which way?", "options": ["Left", "Right"], "answer": "B", "answer_text": "Right",
                "answer_value": None, "kind": "object_camera_lateral"}  # fmt: skip
    for n, (box, expected) in enumerate([(boxes, True), (boxes[::-1], False)] * 6):
        made = reason(question, fact_with(boxes_px=box), clip_row(), {"obj_1": "the red object"}, seed=0, path=n)
        assert made is not None
        assert bool(re.search("misleading|seems to go the other way", made["thinking"])) is expected


def test_an_outline_that_stays_as_tall_is_said_to_be_no_guide_to_a_change_of_distance() -> None:
    """Closer by a third, and yet as tall, since another side is seen: a reader must be told why that is no contradiction."""
    alike, taller = [[300.0, 150, 340, 250], [300.0, 150, 340, 252]], [[300.0, 150, 340, 250], [300.0, 120, 340, 280]]
    for boxes, label, expected in ((alike, "closer", True), (taller, "closer", False), (taller, "farther", True),
                                   (alike, "not moving", False), (taller, "not moving", True)):  # fmt: skip
        fact = dataclasses.replace(fact_with(boxes_px=boxes), kind="object_camera_distance_change", label=label)
        assert misleading(fact, evidence(fact, clip_row())) is expected, (boxes, label)


def test_a_number_and_its_doubt_have_the_same_decimals() -> None:
    """Not "about 1.2 m, give or take 0.0043 m": the value would be rounded by more than its own error."""
    for value, sigma, said in ((1.211, 0.0043, "1.211 m, give or take 0.004 m"), (12.654, 0.27, "12.65 m, give or take 0.27 m"),
                               (0.2, 0.0002, "0.200 m, give or take 0.001 m")):  # fmt: skip
        row = {"id": "q", "question": "How far?", "options": ["9.00 m", "1.00 m"], "answer": "B", "answer_text": "1.00 m",
               "answer_value": value, "answer_sigma": sigma, "kind": "camera_distance"}  # fmt: skip
        fact = dataclasses.replace(fact_with(), kind="camera_distance", object_id="", label="", value=value, sigma=sigma)
        texts = [reason(row, fact, clip_row(), {}, seed=0, path=n, register="quantitative")["thinking"] for n in range(40)]  # type: ignore[index]
        told = [
            re.sub(r" (apart|from)[^,]*,", ",", found[0])
            for text in texts
            if (found := re.search(r"[\d.]+ m[^.,]*, give or take [\d.]+ m", text))
        ]
        assert len(told) >= 3 and set(told) == {said}, (told, said)


def test_the_other_options_fail_by_what_would_be_seen(chains: list) -> None:
    """Not "would not agree with this": of every kind whose answers are labels, but courses."""
    plain = Counter(
        row["kind"] for row, fact in chains
        if kind_of(fact.kind).labels and not kind_of(fact.kind).sequence
        and re.search(r"would not agree with this|would go against|would contradict what is seen", row["thinking"])
        and len(row["options"]) <= 4
    )  # fmt: skip
    total = Counter(row["kind"] for row, _ in chains)
    assert all(plain[kind] <= 0.25 * total[kind] for kind in plain), plain


def test_a_clip_gets_its_cap_of_chains_spread_over_kinds_and_all_its_reinforcement_rows() -> None:
    pairs = [(dict(row, id=f"{n:03d}_{row['kind']}"), fact) for n, (row, fact) in enumerate(samples(3 * len(ALL_KINDS), seed=4))]
    rows, facts = [row for row, _ in pairs], [fact for _, fact in pairs]
    words = [Description(name, "thing", text, "geometry") for name, text in WORDS.items()]
    cap = len(ALL_KINDS)
    chains, reinforcement = reason_clip(CLIP, rows, facts, words, ReasoningConfig(max_per_clip=cap, paths=2), seed=0)
    assert len(chains) == 2 * cap and {row["kind"] for row in chains} == set(ALL_KINDS)
    by_sample: dict[str, list[str]] = {}
    for row in chains:
        by_sample.setdefault(row["id"], []).append(row["register"])
    assert all(sorted(two) == ["qualitative", "quantitative"] for two in by_sample.values())
    plain, _ = reason_clip(CLIP, rows, facts, words, ReasoningConfig(prose="qualitative"), seed=0)
    assert {row["register"] for row in plain} == {"qualitative"}
    assert [row["id"] for row in reinforcement] == sorted(row["id"] for row in rows)
    table = pa.Table.from_pylist(reinforcement, schema=RFT)
    assert all(len(solution) == 1 for solution in table.column("solution").to_pylist())
    known = {fact.fact_id: fact for fact in facts}
    for row in reinforcement:
        (solution,) = row["solution"]
        assert solution["answer"] == row["answer"] and (solution["camera_center"], solution["object_center"]) == states(
            known[row["fact_ids"][0]]
        )
        assert [turn["role"] for turn in row["messages"]] == ["system", "user"]


def test_a_cap_below_the_number_of_kinds_leaves_out_another_kind_in_each_clip() -> None:
    pairs = [(row, fact) for row, fact in samples(2 * len(ALL_KINDS), seed=4) if row["kind"] in PAPER_KINDS]
    rows, facts = [dict(row, id=f"{n}_{row['id']}") for n, (row, _) in enumerate(pairs)], [fact for _, fact in pairs]
    words = [Description(name, "thing", text, "geometry") for name, text in WORDS.items()]
    found = Counter(
        row["kind"]
        for n in range(70)
        for row in reason_clip({**CLIP, "clip_id": f"{n:016x}"}, rows, facts, words, ReasoningConfig(max_per_clip=6), seed=0)[0]
    )
    assert found.total() == 420 and set(found) == set(PAPER_KINDS) and 48 <= min(found.values()) <= max(found.values()) <= 70


def test_the_motion_score_counts_certain_metres_of_camera_and_object() -> None:
    assert motion_score(fact_with()) == pytest.approx(0.98 + 1.8)
    assert motion_score(fact_with(camera_moved_m=[0.01, 0.01], object_moved_m=[0.1, 0.2])) == 0.0


def test_a_fact_without_scale_is_not_reasoned_about() -> None:
    relative = dataclasses.replace(fact_with(), kind="camera_direction", object_id="", value=None)
    del relative.details["camera_center"]
    assert reason({"id": "q", "options": ["a"]}, relative, clip_row(), {}, seed=0) is None
    assert reinforcement_row({"id": "q", "options": ["a"]}, relative) is None
