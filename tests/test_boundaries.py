"""Rooms do not know who carries them: imports point one way."""

from __future__ import annotations

import ast
import subprocess
import sys
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


def test_no_room_imports_a_learned_library_before_a_backend_is_chosen() -> None:
    """Every module of every room is imported, but the two that belong to another program."""
    apart = ("curation.report.recording", "curation.reasoning.swift_plugin")  # rerun's, ms-swift's
    heavy = ("torch", "transformers", "onnxruntime", "moge", "depth_anything_3", "vggt", "trl", "peft", "rerun", "mlcroissant")
    code = (
        "import importlib, pkgutil, sys, curation, pipelines.stages\n"
        f"names = [m.name for m in pkgutil.walk_packages(curation.__path__, 'curation.') if m.name not in {apart}]\n"
        "[importlib.import_module(name) for name in names]\n"
        f"print(len(names), [m for m in {heavy} if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    count, _, found = said.strip().partition(" ")
    assert int(count) > 150 and found == "[]"


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
