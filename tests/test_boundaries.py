"""Rooms do not know who carries them: imports point one way."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN = {
    "curation": {"ray", "pipelines", "tests"},
    "schemas": {"ray", "pipelines", "curation", "tests"},
    "pipelines": {"tests"},
}


def imported(source: str, package: tuple[str, ...] = ()) -> set[str]:
    """Top-level names of every import statement and ``import_module("...")`` call, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # `from ..pipelines import x` inside curation.video climbs to the project root
            base = package[: len(package) - node.level + 1] if node.level else ()
            names |= {((*base, *(node.module or alias.name).split("."))[0]) for alias in node.names}
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__"):
                names.add(str(node.args[0].value).split(".")[0])
    return names


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_package_imports_what_stands_above_it(package: str) -> None:
    assert files(package), f"expected modules in {package}"
    wrong = {
        str(file.relative_to(ROOT)): sorted(found)
        for file in files(package)
        if (found := imported(file.read_text(), file.relative_to(ROOT).parts[:-1]) & FORBIDDEN[package])
    }
    assert not wrong


def test_ray_is_imported_where_its_work_is_done() -> None:
    users = {str(f.relative_to(ROOT)) for f in files("pipelines") if "ray" in imported(f.read_text())}
    assert users <= {"pipelines/ray_runner.py", "pipelines/ray_conductor.py", "pipelines/ray_rewriter.py", "pipelines/events.py"}


@pytest.mark.parametrize(
    "source",
    [
        "import ray.data",
        "def f():\n    from ray import data",
        "import importlib\nimportlib.import_module('ray.data')",
        "try:\n    import ray as r\nexcept ImportError:\n    r = None",
    ],
)
def test_the_walk_sees_every_way_to_import(source: str) -> None:
    assert "ray" in imported(source)


def test_a_relative_import_counts_as_the_package_it_reaches() -> None:
    assert imported("from ... import pipelines", ("curation", "video")) == {"pipelines"}
    assert imported("from ..geometry import pose", ("curation", "video")) == {"curation"}
