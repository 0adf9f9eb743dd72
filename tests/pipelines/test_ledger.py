"""The ledger: whole records or none, and never a record that speaks for other products."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from pathlib import Path

import pytest

from pipelines.files import json_safe, replacing, write_json
from pipelines.ledger import Ledger, Lock, OutputIsBusy, Record, fingerprint
from tests.pipelines.fakes import make_input
from tests.pipelines.test_run import build, calls, hashes


def test_a_record_round_trips_and_numbers_that_json_lacks_become_null(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    record = Record("ab12", "cameras", "f" * 24, "rejected", "pose_lost", "why", {"x": float("nan"), "n": 3}, attempts=2)
    ledger.write(record)
    found = ledger.read("cameras", "ab12")
    assert found is not None and found.stats == {"x": None, "n": 3} and found.reason == "pose_lost" and found.attempts == 2
    assert ledger.read("cameras", "cd34") is None


@pytest.mark.parametrize("content", ["", "{", '{"stage": "cameras"}', '{"unknown": 1}', "[]"])
def test_a_record_that_is_none_is_work_again(tmp_path: Path, content: str) -> None:
    ledger = Ledger(tmp_path)
    path = ledger.path("cameras", "ab12")
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert ledger.read("cameras", "ab12") is None


def test_a_write_that_breaks_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": 1})
    with pytest.raises(RuntimeError), replacing(tmp_path / "x.json") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": 1} and len(list(tmp_path.iterdir())) == 1


def test_fingerprints_tell_values_apart_and_not_the_order_of_keys() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert len({fingerprint(x) for x in ([1], ["1"], [1, None], {"a": 1}, [1.5], [])}) == 6


def test_json_safe_unwraps_everything(tmp_path: Path) -> None:
    import numpy as np

    assert json_safe({"a": np.float64(1.5), "b": np.arange(2), "c": (float("inf"), {"d": np.nan})}) == {
        "a": 1.5,
        "b": [0, 1],
        "c": [None, {"d": None}],
    }


def _hold(folder: str, held: object, let_go: object) -> None:
    with Lock(Path(folder)):
        held.set()  # type: ignore[attr-defined]
        let_go.wait(20)  # type: ignore[attr-defined]


def test_a_lock_dies_with_its_holder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, let_go = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(str(tmp_path), held, let_go))
    holder.start()
    assert held.wait(20)
    with pytest.raises(OutputIsBusy, match=f"pid {holder.pid} on .*another --output"), Lock(tmp_path):
        pass
    holder.kill()
    holder.join()
    with Lock(tmp_path):
        pass


def test_products_of_a_broken_off_rerun_are_not_taken_for_the_old_ones(tmp_path: Path) -> None:
    """Configuration A done; B begins and dies after it overwrote a product; A again must not publish B's product."""
    flag = tmp_path / "flag"
    source, out = make_input(tmp_path / "in", a={"at": "objects", "does": "abort", "flag": str(flag)}), tmp_path / "out"
    flag.write_text("")
    assert build(source, out, seed=1) == 0
    expected, _ = hashes(out), calls(out)
    flag.unlink()
    assert build(source, out, seed=2, run={"max_failure_rate": 1.0}) == 0
    assert calls(out) == {"video": 1, "cameras": 1, "objects": 1}
    assert build(source, out, seed=1) == 0
    assert calls(out)["cameras"] == 1 and hashes(out) == expected


def test_a_lost_product_folder_or_record_is_made_again(tmp_path: Path) -> None:
    source, out = make_input(tmp_path / "in", a={"clips": 2}), tmp_path / "out"
    assert build(source, out) == 0
    expected, _ = hashes(out), calls(out)
    next(iter((out / "ledger" / "questions").rglob("*.json"))).unlink()
    next(iter((out / "ledger" / "reasoning").rglob("*.json"))).write_text("{")
    (out / "publish" / "README.md").unlink()
    assert build(source, out) == 0
    assert hashes(out) == expected and calls(out)["reasoning"] == 1
    shutil.rmtree(next((out / "clips").iterdir()))
    assert build(source, out) == 0
    assert calls(out) == dict.fromkeys(("video", "cameras", "objects", "relations", "questions", "reasoning"), 1)
    (out / "publish" / "sft" / "train-00000-of-00001.parquet").unlink()
    assert build(source, out) == 0
    assert calls(out) == {} and hashes(out) == expected
