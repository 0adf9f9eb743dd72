"""Sidecars, records and tables of any content: read, or refused in the one way that is meant for it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from curation.shards.products import ClipInfo
from curation.shards.writer import read_table, table_of, write_table
from curation.video.calibration import Calibration, read_calibration
from pipelines.config_file import ConfigError, load_config
from pipelines.ledger import Ledger, Record
from schemas.outcome import Rejected

FAST = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
KEYS = st.sampled_from(
    ["layout", "fps", "camera", "baseline_m", "pixel_center", "pixel_aspect", "hfov_deg", "fx", "cx", "width", "?"]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from(["pair", "mono", "vr180", 1e999]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)


def read_or_refuse(path: Path) -> Calibration | None:
    try:
        return read_calibration(path)
    except Rejected as why:
        assert why.reason == "bad_calibration" and why.detail and "\n" not in why.detail and len(why.detail) < 500
        return None


@FAST
@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_a_sidecar_of_any_values_is_read_or_refused(tmp_path: Path, values: dict[str, object]) -> None:
    path = tmp_path / "calib.yaml"
    path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    found = read_or_refuse(path)
    if found is not None:
        for number in (
            found.fps,
            found.baseline_m,
            found.pixel_aspect,
            *(found.camera.values().values() if found.camera else ()),
        ):
            assert number is None or math.isfinite(number)
        assert found.baseline_m is None or 0 < found.baseline_m <= 5


@FAST
@given(st.binary(max_size=400))
@example(b"\xff\xfe\x00b")
@example(b"%YAML 9.9\n---\n")
@example(b"? {a: b}\n: c\n")
@example(b"camera: {<<: {fx: 1}}")
@example(b"fps: 2001-02-30")
@example(b"- " * 200)
def test_a_sidecar_of_any_bytes_is_read_or_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "calib.yaml"
    path.write_bytes(data)
    read_or_refuse(path)


@FAST
@given(
    st.binary(max_size=300)
    | st.recursive(st.none() | st.floats() | st.text(max_size=9), st.lists).map(lambda v: json.dumps(v).encode())
)
@example(b'{"item_id": 1, "stage": 2, "fingerprint": [], "outcome": {}}')
def test_a_record_of_any_bytes_is_work_again_or_a_record(tmp_path: Path, data: bytes) -> None:
    ledger = Ledger(tmp_path)
    path = ledger.path("cameras", "ab12")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    record = ledger.read("cameras", "ab12")
    assert record is None or isinstance(record, Record)


@FAST
@given(st.data())
def test_a_table_with_damaged_bytes_raises_what_can_be_caught_as_one_failure(tmp_path: Path, data: st.DataObject) -> None:
    schema = pa.schema([("id", pa.string()), ("value", pa.float64()), ("list", pa.list_(pa.int64()))])
    path = tmp_path / "x.parquet"
    write_table(path, table_of([{"id": str(n), "value": n / 3, "list": [n] * n} for n in range(5)], schema))
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        read_table(path, schema)
    except (OSError, ValueError, KeyError, NotImplementedError, pa.ArrowException):
        return


@FAST
@given(st.text(max_size=60))
@example("a=b")
@example("run.workers={")
@example("run=3")
@example("run.workers=.nan")
def test_an_assignment_of_any_text_is_taken_or_explained(text: str) -> None:
    try:
        load_config(None, [text])
    except ConfigError as error:
        assert str(error)


def test_a_clip_file_that_lacks_something_is_one_failure(tmp_path: Path) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        ClipInfo.from_json({"spec": {}})
