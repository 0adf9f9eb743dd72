"""``rft`` from clips that move, ``bench`` with equally many questions of each kind, neither with a habit to learn."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from curation.questions.shares import PRESETS, table_shares
from curation.relations.kinds import PAPER_KINDS
from curation.shards.choose import Candidate, choose_bench, choose_rft, habit_of
from curation.shards.exclusion import Evaluated, bare, line_of, match, read_list
from pipelines.config_file import ConfigError, load_config
from schemas.config import Config

SIDES = (("Left", "Right"), "Left"), (("Left", "Right"), "Right")


def rows(kind: str, count: int, *, share: float = 0.5, clips: int = 20, motion: float = 1.0) -> list[Candidate]:
    """Questions of one kind, ``share`` of which have the first habit."""
    return [
        Candidate(f"{kind}-{n:05d}", f"clip{n % clips}", kind, SIDES[n >= share * count], motion * (n % clips) / clips)
        for n in range(count)
    ]


def test_bench_has_equally_many_of_each_kind_and_even_answers() -> None:
    found = [*rows("a", 200, share=0.8), *rows("b", 150), *rows("c", 90), *rows("rare", 3)]
    ids = choose_bench(found, size=0)
    kinds = Counter(name.split("-")[0] for name in ids)
    assert set(kinds) == {"a", "b", "c"} and set(kinds.values()) == {90}
    right = Counter(row.habit[1] for row in found if row.id in ids and row.kind == "b")
    assert right == {"Left": 45, "Right": 45}
    of_a = Counter(row.habit[1] for row in found if row.id in ids and row.kind == "a")
    assert of_a["Right"] == 40, "the balanced ones come first"
    small = choose_bench(found, size=30)
    assert set(Counter(name.split("-")[0] for name in small).values()) == {10} and small <= ids
    assert choose_bench([], size=0) == set() and choose_bench(found[::-1], size=0) == ids


def test_rft_takes_clips_that_move_and_never_questions_by_their_motion() -> None:
    found = [*rows("a", 400), *rows("b", 400)]
    ids = choose_rft(found, min_motion_m=0.5, size=0, shares={})
    taken = {row.clip_id for row in found if row.id in ids}
    assert taken == {f"clip{n}" for n in range(10, 20)}, "the score of clip n is n / 20"
    still = [Candidate(f"z-{n}", "clip19", "a", SIDES[n % 2], 0.0) for n in range(10)]
    more = choose_rft([*found, *still], min_motion_m=0.5, size=0, shares={})
    assert {row.id for row in still} <= more, "a question about what stands still comes along with its clip"
    assert choose_rft(found, min_motion_m=2.0, size=0, shares={}) == set()


def test_rft_loses_what_is_right_too_often() -> None:
    found = rows("a", 400, share=0.9, clips=1, motion=0.0)
    ids = choose_rft(found, min_motion_m=0.0, size=0, shares={})
    assert Counter(row.habit[1] for row in found if row.id in ids) == {"Left": 40, "Right": 40}
    lone = [Candidate(f"n-{n}", "c", "n", (4, 2), 1.0) for n in range(50)]
    assert len(choose_rft(lone, min_motion_m=0.0, size=0, shares={})) == 4


def test_rft_follows_the_shares_of_the_kinds() -> None:
    found = [*rows("a", 400, motion=0), *rows("b", 100, motion=0), *rows("c", 400, motion=0)]
    ids = choose_rft(found, min_motion_m=0.0, size=0, shares={"a": 50.0, "b": 25.0, "d": 25.0})
    assert Counter(name[0] for name in ids) == {"a": 200, "b": 100}
    few = choose_rft(found, min_motion_m=0.0, size=90, shares={"a": 2, "b": 1})
    assert Counter(name[0] for name in few) == {"a": 60, "b": 30}
    all_kinds = choose_rft(found, min_motion_m=0.0, size=90, shares={})
    assert Counter(name[0] for name in all_kinds) == {"a": 40, "b": 10, "c": 40}


def test_bench_follows_shares_where_a_preset_gives_them() -> None:
    found = [*rows("a", 200), *rows("b", 120), *rows("c", 120), *rows("d", 400)]
    ids = choose_bench(found, size=0, shares={"a": 16.7, "b": 8.35, "c": 8.35, "e": 16.7})
    assert Counter(name[0] for name in ids) == {"a": 200, "b": 100, "c": 100}
    few = choose_bench(found, size=40, shares={"a": 2, "b": 1, "c": 1})
    assert Counter(name[0] for name in few) == {"a": 20, "b": 10, "c": 10} and few <= choose_bench(found, size=0)


def test_the_papers_presets_give_rft_and_bench_the_papers_shares() -> None:
    assert table_shares(Config()) == {"rft": {}, "bench": {}}
    for preset in ("mllm4d-2m", "mllm4d-r1-30k", "mllm4d-bench"):
        shares = table_shares(Config.model_validate({"questions": {"preset": preset}}))
        assert shares == {"rft": PRESETS["mllm4d-r1-30k"], "bench": PRESETS["mllm4d-bench"]}
    found = [row for kind in PAPER_KINDS for row in rows(kind, 400, motion=2.0, clips=1)]
    found = [dataclasses.replace(row, motion=2.0) for row in found]
    rft = Counter(name.rsplit("-", 1)[0] for name in choose_rft(found, min_motion_m=0.5, size=1000, shares=shares["rft"]))
    assert {kind: count / 10 for kind, count in rft.items()} == pytest.approx(PRESETS["mllm4d-r1-30k"], abs=0.25)
    bench = Counter(name.rsplit("-", 1)[0] for name in choose_bench(found, size=600, shares=shares["bench"]))
    sides = bench["object_camera_lateral"] + bench["object_camera_longitudinal"]
    assert {count for kind, count in bench.items() if "_l" not in kind} == {100} and sides == 100


def test_shares_of_rft_that_cannot_be_had_are_refused_before_anything_is_measured() -> None:
    for wrong in (
        "shards.rft_shares={no_such: 1}",
        "shards.rft_shares={camera_distance: -1}",
        "shards.rft_shares={camera_distance: 0}",
        "questions.shares={no_such: 1}",
        "questions.kinds=[no_such]",
    ):
        with pytest.raises(ConfigError, match="expected"):
            load_config(None, [wrong])
    with pytest.raises(ConfigError, match="leave out object_speed"):
        load_config(None, ["questions.preset=mllm4d-2m", "shards.rft_shares={object_speed: 1}"])
    kept = load_config(None, ["questions.preset=mllm4d-2m", "shards.rft_shares={camera_distance: 1}"])
    assert table_shares(kept)["rft"] == {"camera_distance": 1}


def test_habits_are_ranks_and_labels() -> None:
    assert habit_of(["2.0 m", "1.0 m", "4.0 m", "3.0 m"], "A", 2.0) == (4, 1)
    assert habit_of(["Right", "Left"], "B", None) == (("Left", "Right"), "Left")
    assert habit_of([], "3.1 m", 3.1) == (1, 0)


def test_evaluation_videos_are_found_by_name_and_by_look(tmp_path: Path) -> None:
    listed = [Evaluated("bench/Scene_7.mp4"), Evaluated("other", tuple(range(0, 2**62, 2**58)))]
    assert "Scene_7" in match("deep/scene_7", (), listed) and not match("scene_70", (), listed)
    shown = tuple(h ^ 0b1010 for h in listed[1].hashes)
    assert "perceptual hash" in match("renamed", shown, listed) and "perceptual" in match("part", shown[3:9], listed)
    assert not match("else", (0x123456789ABCDEF0, 0x0FEDCBA987654321), listed)
    assert bare("worlds/test_1/left.mp4") == "test_1" and bare("A/B.MOV") == "b" and bare("v1.2") == "v1.2"
    file = tmp_path / "list"
    file.write_text("# names\nplain_name\n\n" + "\n".join(map(line_of, listed)) + "\n")
    assert read_list(file) == [Evaluated("plain_name"), *listed]
    file.write_text('{"name": 3, "hashes": ["zz"]}\n')
    with pytest.raises(ValueError, match="line 1"):
        read_list(file)
