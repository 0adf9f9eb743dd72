"""The page of the documentation, walked once: what its commands leave behind is the dataset and the models of these tests."""

from __future__ import annotations

import importlib
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "from-videos-to-model.md"


@dataclass
class Walk:
    folder: Path
    outputs: dict[str, tuple[int, str]] = field(default_factory=dict)

    @property
    def run(self) -> Path:
        return self.folder / "work" / "run"


def commands(kind: str) -> list[str]:
    """Lines of the page's fenced blocks of a kind: "" (run as they stand), "gpu", "setup"."""
    found: list[str] = []
    inside: str | None = None
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = None if inside is not None else line.removeprefix("```").strip()
        elif inside == f"bash {kind}".strip() and line.strip():
            found.append(line)
    return found


def call(line: str, *more: str) -> int:
    """Carry out ``python -m MODULE ...`` in this process; the exit status."""
    words = shlex.split(line)
    assert words[:2] == ["python", "-m"], f"expected python -m MODULE on the page, got {line!r}"
    try:
        return int(importlib.import_module(words[2]).main([*words[3:], *more]))
    except SystemExit as ended:  # argparse
        return int(ended.code or 0)


@pytest.fixture(scope="session")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    pytest.importorskip("trl", reason='training needs the extra: pip install -e ".[train]"')
    import contextlib
    import io

    done = Walk(tmp_path_factory.mktemp("page"))
    before = Path.cwd()
    os.chdir(done.folder)
    try:
        for line in commands(""):
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                status = call(line)
            done.outputs[line] = (status, said.getvalue())
            if status:
                print(f"{line}\n{said.getvalue()[-4000:]}", file=sys.stderr)
                break
        yield done
    finally:
        os.chdir(before)
