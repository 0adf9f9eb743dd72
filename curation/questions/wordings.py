"""The wordings, read once from the ``wordings*.yaml`` and turned from Jinja2 templates into plain format strings.

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

from curation.relations.kinds import KINDS, STEP

_FIELDS = ("a", "b", "i", "j", "last", "time_i", "time_j", "object", "Object", "other", "Other", "objects")
WORDINGS = Path(__file__).with_name("wordings.yaml")
FURTHER = ("wordings_camera.yaml", "wordings_objects.yaml", "wordings_pairs.yaml")
JOINS = (", then ", " \u2192 ", "; ")  # between the steps of a sequence, by the number of the way of wording


@dataclass(frozen=True)
class Wordings:
    """Format strings over the fields named at the top of ``wordings.yaml``.

    Attributes:
        leads: sentences that say how frames are numbered.
        instructions: sentences that ask for the letter.
        questions: by kind.
        open: sentences that ask for a number, by unit.
        options: by kind that answers with a label: ways to say every label.
    """

    leads: tuple[str, ...]
    instructions: tuple[str, ...]
    open: dict[str, tuple[str, ...]]
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
    data: dict[str, Any] = {}
    for file in (WORDINGS, *(Path(__file__).with_name(name) for name in FURTHER)):
        data |= yaml.safe_load(file.read_text(encoding="utf-8"))
    env = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    fields = {name: _Field(name) for name in _FIELDS}

    def compile_(text: str) -> str:
        if "{" in text.replace("{{", ""):
            raise ValueError(f"expected only {{{{ variables }}}} in a wording, got: {text}")
        try:
            return _brief(env.from_string(text).render(fields))
        except jinja2.UndefinedError as error:
            raise ValueError(f"expected only the variables {_FIELDS} in a wording, got: {text} ({error})") from error

    kinds = {name: value for name, value in data.items() if name not in ("leads", "instructions", "open")}
    return Wordings(
        tuple(map(compile_, data["leads"])),
        tuple(map(compile_, data["instructions"])),
        {unit: tuple(map(compile_, texts)) for unit, texts in data["open"].items()},
        {kind: tuple(map(compile_, value["questions"])) for kind, value in kinds.items()},
        {kind: tuple(dict(way) for way in value["options"]) for kind, value in kinds.items() if "options" in value},
    )


def _brief(text: str) -> str:
    """Mentions of moments as fields of their own, so that they can be named by index, by seconds, or both."""
    for end in "ij":
        text = text.replace(f"{{time_{end}}} s (frame {{{end}}})", f"{{t_{end}}}").replace(f"frame {{{end}}}", f"{{f_{end}}}")
    return text


def say(kind: str, way: int, label: str) -> str:
    """The text of a label, or of a sequence of labels, in way number ``way`` of the kind."""
    words = wordings().options[kind][way]
    return words[label] if label in words else JOINS[way % len(JOINS)].join(words[step] for step in label.split(STEP))


@cache
def read(kind: str, text: str) -> tuple[int, str] | None:
    """The inverse of ``say``: number of the way and label; None where no way says ``text``."""
    for n, words in enumerate(wordings().options.get(kind, ())):
        labels = {said: label for label, said in words.items()}
        if text in labels and not KINDS[kind].sequence:
            return n, labels[text]
        steps = text.split(JOINS[n % len(JOINS)])
        if KINDS[kind].sequence and all(step in labels for step in steps):
            return n, STEP.join(labels[step] for step in steps)
    return None
