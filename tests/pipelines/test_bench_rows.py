"""The benchmark of rows writes what it says."""

from __future__ import annotations

from pipelines.bench_rows import measure, sentences


def test_rows_are_asked_written_and_counted() -> None:
    found = measure(2500, workers=2)
    assert found["written_rows"] == 2500 and found["workers"] == 2
    assert found["rows_per_core_s"] > 2000 and 0 < found["peak_mb"] < 2000 and found["size_mb"] > 0.1
    assert "2,500 asked and written" in sentences(found)
