"""Held out by what the left eye shows, for good, and at least one of two."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.shards.split import Look, split_of, split_sources


def digest(n: int) -> str:
    return hashlib.sha256(str(n).encode()).hexdigest()


def look(n: int, *, turned: int = 0, count: int = 20) -> Look:
    """Footage number ``n``; ``turned`` bits of every hash differ, as after compression."""
    hashes = np.random.default_rng(n).integers(0, 2**64, count, dtype=np.uint64)
    mask = np.uint64(sum(1 << (7 * k) for k in range(turned)))
    return Look(digest(n * 1000 + turned + count), tuple(int(h ^ mask) for h in hashes))


def test_the_split_is_about_as_large_as_asked_and_larger_shares_keep_what_was_out() -> None:
    keys = [digest(n) for n in range(4000)]
    assert 0.08 < sum(split_of(k, 0.1) == "test" for k in keys) / 4000 < 0.12
    assert {split_of(k, 0.0) for k in keys} == {"train"} and {split_of(k, 1.0) for k in keys} == {"test"}
    assert {k for k in keys if split_of(k, 0.1) == "test"} <= {k for k in keys if split_of(k, 0.2) == "test"}


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_same_left_eye_falls_on_one_side_in_any_file(share: float) -> None:
    """As a pair, as its left eye alone (the same pictures), side by side and compressed anew (a few bits), and cut short."""
    looks = {}
    for n in range(60):
        looks[f"{n}-pair"] = look(n)
        looks[f"{n}-left"] = Look(digest(n + 10**6), look(n).hashes)
        looks[f"{n}-sbs"] = look(n, turned=3)
        looks[f"{n}-cut"] = Look(digest(n + 2 * 10**6), look(n).hashes[5:13])
    splits, _ = split_sources(looks, share)
    assert set(splits.values()) == {"train", "test"}
    for n in range(60):
        assert len({splits[f"{n}-{kind}"] for kind in ("pair", "left", "sbs", "cut")}) == 1


def test_other_footage_is_not_tied_together() -> None:
    splits, _ = split_sources({str(n): look(n) for n in range(300)}, 0.2)
    assert 30 < sum(split == "test" for split in splits.values()) < 90


def test_the_copy_does_not_move_what_was_there() -> None:
    """The key is of the left eye's pictures: a second file of the same ones changes no side."""
    for n in range(40):
        alone, _ = split_sources({"a": look(n), "other": look(n + 500)}, 0.5)
        both, _ = split_sources({"a": look(n), "left": Look(digest(n), look(n).hashes), "other": look(n + 500)}, 0.5)
        assert {name: both[name] for name in alone} == alone and both["left"] == both["a"]


def test_of_two_sources_one_is_held_out_and_of_one_none() -> None:
    for n in range(0, 60, 3):
        looks = {str(k): look(k) for k in range(n, n + 3)}
        splits, held_out = split_sources(looks, 1e-6)
        lowest = min(looks, key=lambda name: looks[name].key)
        assert [name for name, split in splits.items() if split == "test"] == [lowest] and held_out == {looks[lowest].key}
    assert split_sources({"a": look(1)}, 1e-6)[0] == {"a": "train"}
    assert split_sources({"a": look(1), "copy": look(1, turned=2)}, 1e-6)[0] == {"a": "train", "copy": "train"}
    assert split_sources({"a": look(1), "b": look(2)}, 0.0, held_out={look(1).key})[0] == {"a": "train", "b": "train"}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 40), max_size=6), min_size=1, max_size=5), st.sampled_from([1e-6, 0.1, 0.5]))
def test_what_was_held_out_stays_so_as_videos_are_added(batches: list[list[int]], share: float) -> None:
    looks: dict[str, Look] = {}
    held_out: set[str] = set()
    before: set[str] = set()
    for batch in batches:
        looks |= {f"{n}": look(n) for n in batch} | {f"{n}-again": look(n, turned=2) for n in batch if n % 3 == 0}
        splits, mine = split_sources(looks, share, held_out)
        held_out |= mine
        out = {name for name, split in splits.items() if split == "test"}
        assert before <= out
        assert out or len({n.split("-")[0] for n in looks}) < 2
        before = out


def test_the_order_in_which_sources_are_named_does_not_matter() -> None:
    looks = {str(n): look(n // 2, turned=n % 2) for n in range(80)}
    assert split_sources(looks, 0.3) == split_sources(dict(reversed(looks.items())), 0.3)


def test_sources_too_flat_to_be_told_apart_go_by_their_bytes() -> None:
    splits, _ = split_sources({str(n): Look(digest(n)) for n in range(200)}, 0.3)
    assert all(splits[str(n)] == split_of(digest(n), 0.3) for n in range(200))
