"""What the documentation and the help texts say can be typed: commands parse, options and files exist, words mean something."""

from __future__ import annotations

import argparse
import ast
import functools
import importlib
import re
import shlex
from pathlib import Path

import pytest

from pipelines.bench_models import NAMES as BACKENDS
from pipelines.config_file import ConfigError, load_config
from schemas.config import Config

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", *sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").glob("*.md")), "docs/rayjob.yaml")
TOOLS = sorted(path.stem for path in (ROOT / "pipelines").glob("*.py") if "\ndef parser()" in path.read_text(encoding="utf-8"))
CODE = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for top in ("curation", "pipelines", "schemas")
    for path in sorted((ROOT / top).rglob("*.py"))
}
# An assignment as it is typed: a.b=value, up to a space or what ends it in prose.
ASSIGNED = re.compile(r"--set[ =]([a-z_]+\.[a-z_0-9]+)=((?:\[[^\]]*\]|\{[^}]*\}|[^\s`'\",;:)])*)")
OPTION = re.compile(rf"(?<![.\w])((?:{'|'.join(Config.model_fields)})\.[a-z_0-9]+)\b")
FILE_ENDINGS = {"json", "jsonl", "py", "yaml", "parquet", "md", "npz", "txt", "html", "sh", "png", "jpg", "mp4"}


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@functools.cache
def tool(name: str) -> argparse.ArgumentParser:
    return importlib.import_module(f"pipelines.{name}").parser()


def help_of(name: str) -> str:
    """What ``--help`` tells in sentences and examples, with the subcommands' own."""
    nested = [a for a in tool(name)._actions if isinstance(a, argparse._SubParsersAction)]
    every = [tool(name), *(sub for a in nested for sub in a.choices.values())]
    helps = [str(a.help) for p in every for a in p._actions if a.help]
    return "\n".join([text for p in every for text in (p.description, p.epilog) if text] + helps)


def commands(text: str) -> list[str]:
    """Every ``python -m pipelines.X ...`` of a text: lines, those of help texts (words after two spaces explain), inline code."""
    text = re.sub(r"\\\n\s*", "", text)
    found = re.findall(r"python -m (pipelines\.[a-z_]+(?:[^\n`]*[^\n`\s])?)", text)
    out = []
    for line in found:
        line = re.split(r" {2,}| +#|;|\)$|\.$| \(| \|| > |'$|\"$|``", line)[0]
        if " ..." not in line and not line.endswith("..."):
            out.append(line.strip(" ,.):'\""))
    return out


def why_it_fails(line: str) -> str:
    """What the tool itself says against a command; "" where it takes it."""
    module, *words = shlex.split(line)
    name = module.removeprefix("pipelines.")
    if name not in TOOLS:
        return f"there is no tool {name}"
    if not words:  # the tool is only named
        return ""
    try:
        known = tool(name).parse_args(words)
    except SystemExit as ended:
        return "" if ended.code == 0 else "its parser refuses it"
    if name in ("build", "bench_models"):
        assigned = getattr(known, "assignments", None) or getattr(known, "sets", [])
        try:
            load_config(None, [a for a in assigned if "=$" not in a])  # a shell's variable
        except ConfigError as error:
            return str(error)
    return ""


@pytest.mark.parametrize("where", [*PAGES, *(f"--help of {name}" for name in TOOLS)])
def test_every_command_that_is_written_down_is_taken_by_its_tool(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(where.split()[-1]) if where.startswith("--help") else read(where)
    wrong = {line: f"{why} {capsys.readouterr().err.strip()[-150:]}" for line in commands(text) if (why := why_it_fails(line))}
    assert not wrong


def test_commands_are_found_where_they_stand() -> None:
    assert len(commands(read("README.md"))) >= 12 and len(commands(help_of("build"))) >= 4
    assert {"questions.max_per_clip"} <= {name for name, _ in ASSIGNED.findall(help_of("build"))}
    text = "x `python -m pipelines.status RUN`; python -m pipelines.build --input a \\\n    --output b  # twice\n"
    assert commands(text) == ["pipelines.status RUN", "pipelines.build --input a --output b"]
    assert why_it_fails("pipelines.build --input a --output b --set depth.mono=none") == ""
    assert "did you mean 'mono'" in why_it_fails("pipelines.build --input a --output b --set depth.momo=none")
    assert why_it_fails("pipelines.status RUN --nothing") and why_it_fails("pipelines.nothing RUN")


@pytest.mark.parametrize("where", [*PAGES, *(f"--help of {name}" for name in TOOLS)])
def test_every_option_that_is_named_exists(where: str) -> None:
    helped = where.startswith("--help")
    text = help_of(where.split()[-1]) if helped else read(where)
    quoted = text if helped else " ".join(re.findall(r"`([^`\n]+)`", text))
    assert not _unknown(quoted) | {name for name, _ in ASSIGNED.findall(text) if not _exists(name)}


def test_every_option_that_errors_and_docstrings_name_exists() -> None:
    wrong = {}
    count = 0
    for path, code in CODE.items():
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                count += len(OPTION.findall(node.value))
                if unknown := _unknown(node.value) - {"questions.ask", "objects.swing_m"}:  # a module, an attribute
                    wrong[path] = unknown
    assert not wrong and count > 100


def _unknown(text: str) -> set[str]:
    """What looks like an option, and is neither one nor a file nor a backend of ``bench_models``."""
    named = {name for name in OPTION.findall(text) if name.split(".")[1] not in FILE_ENDINGS}
    return {name for name in named if not _exists(name)} - set(BACKENDS)


def _exists(name: str) -> bool:
    section, _, field = name.partition(".")
    found = Config.model_fields.get(section)
    return found is not None and field in getattr(found.annotation, "model_fields", {})


@pytest.mark.parametrize("page", PAGES)
def test_files_and_make_targets_that_a_page_names_exist(page: str) -> None:
    text = re.sub(r"https?://\S+?(?=[)\s])", "", read(page))
    paths = set(re.findall(r"\b((?:curation|pipelines|schemas|tests|docs)/[\w/.-]*\w)\b(?!\*)", text))
    paths |= {f"docs/{name}" for name in re.findall(r"\]\((?:docs/)?([\w.-]+\.(?:md|jpg|yaml))(?:#[\w-]+)?\)", text)}
    assert not {p for p in paths if not (ROOT / p).exists() and not (ROOT / f"{p}.py").exists()}
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), flags=re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, flags=re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", [p for p in PAGES if p.endswith(".md")])
def test_every_identifier_that_a_page_quotes_stands_in_the_code(page: str) -> None:
    """Reasons of rejections, names of columns, backends: what was renamed in the code and not in the page."""
    quoted = set(re.findall(r"`_?([a-z][a-z0-9]*(?:_[a-z0-9]+)+)`", read(page)))
    tests = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests").rglob("*.py")) if path.name != "test_docs.py"]
    words = set(re.findall(r"[A-Za-z0-9_]+", "\n".join([*CODE.values(), *tests])))
    # Of a series the first is told in full, the others by how they differ (`_direction`), so endings count.
    assert not {w for w in quoted - words if not any(word.endswith(f"_{w}") for word in words)}
