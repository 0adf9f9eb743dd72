"""The questions of one clip."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curation.questions import ask, select
from curation.questions.options import ladder, least_ratio
from curation.questions.rows import label_of, option_values
from curation.questions.shares import PRESETS, asked_kinds, in_shares
from curation.questions.wordings import WORDINGS, read, say, wordings
from curation.relations.kinds import KINDS, PAPER_KINDS, STEP
from schemas.config import QuestionsConfig
from schemas.tables import SFT
from schemas.track import Fact
from tests.questions.fabricated import DESCRIPTIONS, random_facts
from tests.relations.fabricated import clip_row

CONFIG = QuestionsConfig()
Row = dict[str, Any]


def rows_of(facts: list[Fact], config: QuestionsConfig = CONFIG, seed: int = 0) -> list[Row]:
    return ask(clip_row(facts[0].clip_id), facts, DESCRIPTIONS, config, seed=seed, run_id="run")


@pytest.fixture(scope="module")
def clips() -> list[tuple[list[Fact], list[Row]]]:
    out = []
    for n in range(150):
        facts = random_facts(f"{n:016x}", np.random.default_rng(n))
        out.append((facts, rows_of(facts)))
    return out


def test_rows_fit_the_published_table(clips: list) -> None:
    for _, rows in clips[:20]:
        assert pa.Table.from_pylist(rows, schema=SFT).num_rows == len(rows) > 0
        assert all(set(row) == set(SFT.names) for row in rows)


def test_the_order_of_facts_does_not_matter_for_what_is_asked_of_whom() -> None:
    facts = random_facts("ab", np.random.default_rng(1))
    assert rows_of(facts) == rows_of(facts)
    assert rows_of(facts) != rows_of(facts, seed=1)


def test_only_safe_facts_about_describable_objects_are_asked(clips: list) -> None:
    for facts, rows in clips:
        known = {fact.fact_id: fact for fact in facts}
        for row in rows:
            fact = known[row["fact_ids"][0]]
            assert fact.safe and fact.object_id != "obj_3"
            assert (row["kind"], row["object_id"], row["frame_i"], row["frame_j"]) == (
                fact.kind, fact.object_id, fact.frame_i, fact.frame_j)  # fmt: skip


def test_the_answer_is_the_facts_answer(clips: list) -> None:
    for facts, rows in clips:
        known = {fact.fact_id: fact for fact in facts}
        for row in rows:
            fact = known[row["fact_ids"][0]]
            assert row["answer_text"] == row["options"]["ABCDEF".index(row["answer"])]
            assert len(set(row["options"])) == len(row["options"])
            if KINDS[row["kind"]].numeric:
                assert row["answer_value"] == pytest.approx(fact.value, abs=1e-4)
                assert abs(option_values(row)["ABCD".index(row["answer"])] - fact.value) <= 0.0501
            else:
                assert row["answer_value"] is None and label_of(row) == fact.label
                said = {step for text in row["options"] for step in label_of(row, text).split(STEP)}
                assert said <= set(KINDS[row["kind"]].labels)


def test_the_labelled_number_stays_the_nearest_if_the_measurement_errs_by_three_sigma(clips: list) -> None:
    seen = 0
    for facts, rows in clips:
        known = {fact.fact_id: fact for fact in facts}
        for row in rows:
            if row["answer_value"] is None:
                continue
            fact, values = known[row["fact_ids"][0]], np.array(option_values(row))
            right = "ABCD".index(row["answer"])
            for error in (-3, 3):
                assert np.argmin(np.abs(values - (fact.value + error * fact.sigma))) == right
            gaps = np.diff(np.sort(values))
            assert (np.abs(np.delete(values, right) - fact.value) > 6 * fact.sigma).all()
            assert (gaps > 0).all()
            seen += 1
    assert seen > 1000


def test_uncertain_numbers_get_wider_options_and_very_uncertain_ones_none() -> None:
    assert least_ratio(1.0, 0.0, CONFIG) == CONFIG.least_ratio
    assert least_ratio(1.0, 0.01, CONFIG) == CONFIG.least_ratio
    assert least_ratio(1.0, 0.06, CONFIG) > 1.6  # type: ignore[operator]
    assert least_ratio(1.0, 0.12, CONFIG) is None
    assert ladder(1.0, 0.12, CONFIG, [0.5] * 4) is None
    assert ladder(0.0, 0.01, CONFIG, [0.5] * 4) is None


def test_the_caps_hold_and_are_spread_over_the_kinds(clips: list) -> None:
    for _, rows in clips:
        assert len(rows) <= CONFIG.max_per_clip
        assert max(Counter(row["kind"] for row in rows).values()) <= CONFIG.max_per_kind
    few = rows_of(clips[0][0], QuestionsConfig(max_per_clip=7, preset="mllm4d-2m"))
    assert Counter(row["kind"] for row in few) == dict.fromkeys(PAPER_KINDS, 1)
    only = rows_of(clips[0][0], QuestionsConfig(kinds=("camera_distance",)))
    assert {row["kind"] for row in only} == {"camera_distance"}


def test_no_two_questions_of_a_clip_say_the_same(clips: list) -> None:
    for _, rows in clips:
        assert len({row["id"] for row in rows}) == len(rows)
        by_subject: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            about = row["id"].removeprefix(f"{row['clip_id']}_{row['kind']}_")[:-6]
            others = by_subject.setdefault((row["kind"], "+".join(sorted(about.split("+")))), [])
            for other in others:
                assert max(abs(row["frame_i"] - other["frame_i"]), abs(row["frame_j"] - other["frame_j"])) > CONFIG.near_frames
            others.append(row)


def test_a_question_names_frames_by_index_and_by_second(clips: list) -> None:
    for _, rows in clips[:30]:
        for row in rows:
            named = {int(n) for n in re.findall(r"[Ff]rame (\d+)", row["question"])}
            assert {row["frame_i"], row["frame_j"]} <= named
            times = clip_row()["frame_times_s"]
            for frame in (row["frame_i"], row["frame_j"]):
                assert f"{times[frame]:.1f} s" in row["question"]  # type: ignore[index]
            assert "31" in row["question"] and "{" not in row["question"] and "  " not in row["question"]


def test_messages_hold_the_video_the_options_and_the_bare_letter(clips: list) -> None:
    for row in clips[0][1]:
        user, assistant = row["messages"]
        assert (user["role"], assistant) == ("user", {"role": "assistant", "content": row["answer"]})
        lines = user["content"].split("\n")
        assert lines[:2] == ["<video>", row["question"]]
        assert lines[2:-1] == [f"{letter}. {text}" for letter, text in zip("ABCDEF", row["options"], strict=False)]


def test_every_kind_is_asked_in_eight_ways_or_more_that_differ() -> None:
    text = wordings()
    assert set(text.questions) == set(KINDS)
    for kind, ways in text.questions.items():
        assert len(set(ways)) == len(ways) >= 8
        openings = {" ".join(way.split()[:3]) for way in ways}
        assert len(openings) >= 0.8 * len(ways), kind
    for kind, about in KINDS.items():
        if about.labels:
            assert all(set(way) == set(about.labels) for way in text.options[kind]) and len(text.options[kind]) >= 3
            for label in about.labels:  # the other way round, a text must say one label only
                assert len({way[label] for way in text.options[kind]}) == len(text.options[kind])


def test_depth_is_not_worded_as_distance_nor_a_net_turn_as_one_of_the_whole_time() -> None:
    text = wordings()
    for kind in ("object_direction", "object_trajectory", "object_camera_longitudinal", "object_object_direction"):
        for way in text.options[kind]:
            for label in {"closer", "farther", "towards", "away", "behind", "in front"} & set(way):
                assert re.search(r"\bdeep|\bdepth", way[label].lower()) and not re.search("viewpoint|viewer|camera", way[label])
    assert not any("line of sight" in way or "points" in way for way in text.questions["camera_rotation"])
    assert all("view" in way for way in text.questions["camera_move"])
    assert not any("appear" in way for way in text.questions["object_camera_lateral"])


def test_a_wording_with_an_unknown_variable_is_refused(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "wordings.yaml"
    file.write_text(WORDINGS.read_text().replace("{{ object }}", "{{ subject }}", 1))
    monkeypatch.setattr("curation.questions.wordings.WORDINGS", file)
    wordings.cache_clear()
    try:
        with pytest.raises(ValueError, match="expected only the variables"):
            wordings()
    finally:
        wordings.cache_clear()


def test_letters_and_ranks_are_uniform(clips: list) -> None:
    rows = [row for _, rows in clips for row in rows]
    for count in (2, 3, 4, 6):
        letters = Counter(row["answer"] for row in rows if len(row["options"]) == count)
        total = sum(letters.values())
        for letter in "ABCDEF"[:count]:
            assert abs(letters[letter] / total - 1 / count) < 3.5 * np.sqrt(1 / count / total)
    ranks = Counter(
        sorted(option_values(r)).index(option_values(r)["ABCD".index(r["answer"])]) for r in rows if r["answer_value"]
    )
    total = sum(ranks.values())
    assert all(abs(ranks[n] / total - 0.25) < 3.5 * np.sqrt(0.1875 / total) for n in range(4)), ranks


def test_moments_are_named_by_index_or_by_second_alone_where_asked() -> None:
    facts = random_facts("cd", np.random.default_rng(5))
    for row in rows_of(facts, QuestionsConfig(frames="seconds", mark_share=1.0)):
        assert " s" in row["question"] and not re.search(r"[Ff]rame", row["question"]), row["question"]
    for row in rows_of(facts, QuestionsConfig(frames="index")):
        assert re.search(r"[Ff]rame", row["question"]) and not re.search(r"\d s\b", row["question"]), row["question"]


def test_a_mark_names_every_object_by_its_box_also_where_no_words_fit() -> None:
    rows = rows_of(random_facts("cd", np.random.default_rng(5)), QuestionsConfig(mark_share=1.0))
    mine = [row for row in rows if row["object_id"]]
    assert len(mine) > 20 and any(row["object_id"] == "obj_3" for row in mine)
    for row in mine:
        ids = row["fact_ids"][0].split(":")[2].split("+")
        assert all(f"<{name}> (in the box [10, 20, 110, 220] at frame 1)" in row["question"] for name in ids)


def test_an_open_question_has_a_number_and_its_unit_but_no_options() -> None:
    rows = rows_of(random_facts("cd", np.random.default_rng(5)), QuestionsConfig(open_share=1.0))
    unit = {"m": "metres", "deg": "degrees", "m/s": "metres per second"}
    for row in rows:
        kind = KINDS[row["kind"]]
        assert bool(row["options"]) != kind.numeric
        if kind.numeric:
            assert float(row["answer"]) == pytest.approx(row["answer_value"], abs=0.051)
            assert unit[kind.unit] in row["messages"][0]["content"].split("\n")[-1]
            assert row["messages"][1]["content"] == row["answer"]
    assert len([row for row in select(rows, CONFIG, seed=0) if not row["options"]]) == sum(not row["options"] for row in rows)


def test_two_kinds_that_say_the_same_are_not_asked_about_the_same_moments(clips: list) -> None:
    for _, rows in clips:
        for one in rows:
            for other in rows:
                if {one["kind"], other["kind"]} == {"object_distance", "object_speed"} and one["object_id"] == other["object_id"]:
                    apart = max(abs(one["frame_i"] - other["frame_i"]), abs(one["frame_j"] - other["frame_j"]))
                    assert apart > CONFIG.near_frames


def test_every_label_and_course_is_read_back_from_its_words() -> None:
    for kind, about in KINDS.items():
        for way in range(len(wordings().options.get(kind, ()))):
            for label in about.labels:
                course = STEP.join([label, about.labels[0], label]) if about.sequence else label
                assert read(kind, say(kind, way, course)) == (way, course)


def test_courses_are_offered_with_courses_of_as_many_bends(clips: list) -> None:
    seen = 0
    for _, rows in clips:
        for row in rows:
            if KINDS[row["kind"]].sequence:
                bends = {sum(a != b for a, b in itertools.pairwise(label_of(row, t).split(STEP))) for t in row["options"]}
                assert len(bends) == 1 and len(row["options"]) >= 2
                seen += 1
    assert seen > 100


def test_presets_and_shares_decide_kinds_and_proportions(clips: list) -> None:
    assert asked_kinds(QuestionsConfig()) == tuple(KINDS)
    assert asked_kinds(QuestionsConfig(preset="mllm4d-bench")) == PAPER_KINDS
    assert asked_kinds(QuestionsConfig(shares={"object_speed": 1})) == ("object_speed",)
    rows = [row for _, rows in clips for row in rows]
    kept = in_shares(rows, {"object_speed": 3, "camera_distance": 1, "camera_move": 0}, seed=0)
    counts = Counter(row["kind"] for row in kept)
    assert set(counts) == {"object_speed", "camera_distance"} and counts["object_speed"] / counts[
        "camera_distance"
    ] == pytest.approx(3, rel=0.02)
    assert in_shares(rows, {}, seed=0) == rows
    for bad in ({"shares": {"no_such": 1}}, {"shares": {"object_speed": -1}}, {"kinds": ("no_such",)},
                {"preset": "mllm4d-2m", "shares": {"object_speed": 1}}):  # fmt: skip
        with pytest.raises(ValueError, match="expected"):
            asked_kinds(QuestionsConfig(**bad))
    assert sum(PRESETS["mllm4d-r1-30k"].values()) == pytest.approx(100, abs=0.2)
