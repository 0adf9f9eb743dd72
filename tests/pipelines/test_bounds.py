"""A run whose questions can be answered without the video does not end well."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.bounds import given_away
from schemas.tables import SFT
from tests.audit.test_bounds import rows


def publish(folder: Path, spoilt: float) -> Path:
    (folder / "publish" / "sft").mkdir(parents=True)
    table = pa.Table.from_pylist(rows(1500, letter=spoilt), schema=SFT)
    pq.write_table(table, folder / "publish" / "sft" / "train-00000-of-00001.parquet")
    return folder


def test_a_shard_that_breaks_its_bound_is_named_with_guesser_and_cause(tmp_path: Path) -> None:
    found = given_away(publish(tmp_path, 0.4), 0.02)
    assert any(words.startswith("sft: majority_letter answers all kinds blindly: letters are not uniform") for words in found)
    assert given_away(tmp_path, 1.0) == []


def test_a_sound_shard_and_an_empty_run_pass(tmp_path: Path) -> None:
    assert given_away(publish(tmp_path, 0.0), 0.02) == []
    assert given_away(tmp_path / "nothing", 0.02) == []
