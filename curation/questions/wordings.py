"""The wordings, read once from ``wordings.yaml`` and turned from Jinja2 templates into plain format strings.

Rendering a Jinja2 template per row would cost more than everything else that a row needs; the templates have only variables,
so each is rendered once with a format field in the place of every variable.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import yaml

_FIELDS = ("a", "b", "i", "j", "last", "time_i", "time_j", "object", "Object")
WORDINGS = Path(__file__).with_name("wordings.yaml")


@dataclass(frozen=True)
class Wordings:
    """Format strings over the fields named at the top of ``wordings.yaml``.

    Attributes:
        leads: sentences that say how frames are numbered.
        instructions: sentences that ask for the letter.
        questions: by kind.
        options: by kind that answers with a label: ways to say every label.
    """

    leads: tuple[str, ...]
    instructions: tuple[str, ...]
    questions: dict[str, tuple[str, ...]]
    options: dict[str, tuple[dict[str, str], ...]]


class _Field:
    """Stands for a variable while a template is rendered: prints itself as a format field, also after ``+ 1``."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return "{" + self.name + "}"

    def __add__(self, other: int) -> _Field:
        return _Field(f"{self.name}_plus_{other}")


@cache
def wordings() -> Wordings:
    """The wordings of ``wordings.yaml``.

    Raises:
        ValueError: a template holds braces of its own, or names a variable that does not exist.
    """
    data: dict[str, Any] = yaml.safe_load(WORDINGS.read_text(encoding="utf-8"))
    env = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    fields = {name: _Field(name) for name in _FIELDS}

    def compile_(text: str) -> str:
        if "{" in text.replace("{{", ""):
            raise ValueError(f"expected only {{{{ variables }}}} in a wording, got: {text}")
        try:
            return env.from_string(text).render(fields)
        except jinja2.UndefinedError as error:
            raise ValueError(f"expected only the variables {_FIELDS} in a wording, got: {text} ({error})") from error

    kinds = {name: value for name, value in data.items() if name not in ("leads", "instructions")}
    return Wordings(
        tuple(map(compile_, data["leads"])),
        tuple(map(compile_, data["instructions"])),
        {kind: tuple(map(compile_, value["questions"])) for kind, value in kinds.items()},
        {kind: tuple(dict(way) for way in value["options"]) for kind, value in kinds.items() if "options" in value},
    )
