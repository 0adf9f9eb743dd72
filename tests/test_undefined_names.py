"""Names that nothing defines. Linter and type checker are told to overlook them, since shapes such as "t h w" look like some."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def undefined(*paths: str) -> list[str]:
    call = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "--output-format", "json", *paths]
    found = json.loads(subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False).stdout)
    out = []
    for item in found:
        at = item["location"]
        line = Path(item["filename"]).read_text(encoding="utf-8").splitlines()[at["row"] - 1]
        if line[: at["column"] - 1].count('"') % 2 == 0:  # not within a string
            out.append(f"{Path(item['filename']).name}:{at['row']}: {item['message']}")
    return out


def test_every_name_is_defined(tmp_path: Path) -> None:
    pytest.importorskip("ruff", reason="the extra 'dev' is not installed")
    wrong = tmp_path / "wrong.py"
    wrong.write_text('def f(a: Float[Array, "t h"]) -> None:\n    return path\n')
    assert undefined(str(wrong)) == [
        "wrong.py:1: Undefined name `Float`",
        "wrong.py:1: Undefined name `Array`",
        "wrong.py:2: Undefined name `path`",
    ]
    assert undefined("curation", "pipelines", "schemas", "tests") == []
