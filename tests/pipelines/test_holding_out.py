"""What is held out and what is kept out, in whole runs of the fake line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.run import Refused
from tests.pipelines.fakes import make_input
from tests.pipelines.test_run import build, report, table

pytestmark = pytest.mark.usefixtures("kept_hosts")


def looks(seed: int) -> list[int]:
    return [int(h) for h in np.random.default_rng(seed).integers(0, 2**62, 12)]


def sides(out: Path) -> dict[str, str]:
    return {row["source"]: row["split"] for split in ("train", "test") for row in table(out, "clips", split)}


def test_copies_fall_on_one_side_and_what_is_held_out_stays_so_as_the_input_grows(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    tiny = {"bench_share": 1e-6}
    make_input(source, a={"looks": looks(1)}, b={"looks": looks(2)})
    assert build(source, out, shards=tiny) == 0
    first = sides(out)
    assert sorted(first.values()) == ["test", "train"], "of two sources one is held out"
    held = next(name for name, side in first.items() if side == "test")
    assert {row["clip_id"] for row in table(out, "bench", "test")} and not (out / "publish" / "sft" / "test-00000").exists()
    copy = {"looks": [h ^ 5 for h in looks(1 if held == "a" else 2)], "note": "compressed anew"}
    make_input(source, copy=copy, **{f"more{n}": {"looks": looks(n)} for n in range(10, 16)})
    assert build(source, out, shards=tiny) == 0
    grown = sides(out)
    assert grown[held] == grown["copy"] == "test" and {side for name, side in grown.items() if name not in (held, "copy")} == {
        "train"
    }
    trained = {row["clip_id"] for name in ("sft", "st_cot", "rft") for row in table(out, name, "train")}
    assert not trained & {row["clip_id"] for row in table(out, "clips", "test")}


def test_an_evaluation_video_is_rejected_by_look_and_by_name(tmp_path: Path) -> None:
    source = make_input(tmp_path / "in", a={"looks": looks(1)}, b={"looks": looks(2)}, c={"looks": looks(3)})
    listed = tmp_path / "list.jsonl"
    digits = ", ".join(f'"{h:016x}"' for h in looks(1)[2:8])
    listed.write_text(f'{{"name": "elsewhere/clip", "hashes": [{digits}]}}\nB.mp4\n')
    assert build(source, tmp_path / "out", shards={"exclude": str(listed)}) == 0
    assert report(tmp_path / "out")["sources"]["rejected"] == {"evaluation_video": 2}
    assert set(sides(tmp_path / "out")) == {"c"}


def test_rewriting_without_an_address_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    source = make_input(tmp_path / "in", a={})
    with pytest.raises(Refused, match="OPENAI_BASE_URL"):
        build(source, tmp_path / "out", rewrite={"by": "endpoint"})
    assert not (tmp_path / "out" / "clips").exists()
