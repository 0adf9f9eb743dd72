"""A small grammar for sentences: rules expand by random draws, what cannot be said of a sample is not on offer.

A rule is a list of templates. In a template, ``{field}`` is a value, ``<rule>`` another rule, ``[one|other|]`` a choice in
place, and leading ``@tag`` words say when it may be used. A template is on offer only where its tags are active, its fields
have values and its rules can be expanded; so one grammar serves all registers and all kinds of facts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

_TOKEN = re.compile(r"\{(\w+)\}|<(\w+)>|([\[\]|])")
_START = re.compile(r"(^|[.!?]\s+|\n)([a-z])")


@dataclass(frozen=True)
class _Field:
    name: str


@dataclass(frozen=True)
class _Rule:
    name: str


@dataclass(frozen=True)
class _Choice:
    ways: tuple[_Sequence, ...]


_Part = str | _Field | _Rule | _Choice
_Sequence = tuple[_Part, ...]


@dataclass(frozen=True)
class _Template:
    tags: frozenset[str]
    parts: _Sequence


@dataclass(frozen=True)
class Said:
    """An expanded rule: its text, and its skeleton (the text with the names of the fields in the place of their values)."""

    text: str
    skeleton: str


class Grammar:
    """Compiled rules."""

    def __init__(self, rules: Mapping[str, Sequence[str]]) -> None:
        self._rules = {name: tuple(map(_compiled, templates)) for name, templates in rules.items()}
        used = {rule for templates in self._rules.values() for t in templates for rule in _rules_in(t.parts)}
        if missing := used - set(self._rules):
            raise ValueError(f"expected every <rule> to be defined, these are not: {sorted(missing)}")

    def __contains__(self, rule: str) -> bool:
        return rule in self._rules

    def expander(self, fields: Mapping[str, str | Said | None], tags: Collection[str], draw: Callable[[], float]) -> Expander:
        """What says rules about one sample.

        Args:
            fields: values by name, some of them expanded before; None and "" mean that there is none.
            tags: that are active.
            draw: gives uniforms in [0, 1).
        """
        values = {k: Said(v, "{" + k + "}") if isinstance(v, str) else v for k, v in fields.items() if v}
        return Expander(self._rules, values, frozenset(tags), draw)


class Expander:
    """Expands rules for one sample; the same draws give the same text."""

    def __init__(
        self, rules: Mapping[str, tuple[_Template, ...]], fields: dict[str, Said], tags: frozenset[str], draw: Callable[[], float]
    ) -> None:
        self._rules, self._fields, self._tags, self._draw = rules, fields, tags, draw
        self._open: dict[str, list[_Template]] = {}

    def offers(self, rule: str) -> bool:
        """Whether the rule exists and has a template that can be said."""
        return rule in self._rules and bool(self._ways(rule))

    def say(self, rule: str, *, sentence: bool = True) -> Said:
        """Expand one rule; as a ``sentence`` it begins with a capital.

        Raises:
            ValueError: no template of it can be said.
        """
        ways = self._ways(rule)
        if not ways:
            raise ValueError(f"expected a template of <{rule}> that fits {sorted(self._tags)} and {sorted(self._fields)}")
        pieces = self._expanded(ways[int(self._draw() * len(ways))].parts)
        said = [Said(p, p) if isinstance(p, str) else self._fields[p.name] for p in pieces]
        return Said(_tidy("".join(s.text for s in said), sentence), _tidy("".join(s.skeleton for s in said), sentence))

    def _ways(self, rule: str) -> list[_Template]:
        if rule not in self._open:
            self._open[rule] = []  # a rule that needs itself is not on offer
            self._open[rule] = [t for t in self._rules[rule] if t.tags <= self._tags and self._fits(t.parts)]
        return self._open[rule]

    def _fits(self, parts: _Sequence) -> bool:
        return all(
            (part.name in self._fields)
            if isinstance(part, _Field)
            else bool(self._ways(part.name))
            if isinstance(part, _Rule)
            else any(map(self._fits, part.ways))
            if isinstance(part, _Choice)
            else True
            for part in parts
        )

    def _expanded(self, parts: _Sequence) -> list[str | _Field]:
        out: list[str | _Field] = []
        for part in parts:
            if isinstance(part, (str, _Field)):
                out.append(part)
            elif isinstance(part, _Rule):
                ways = self._ways(part.name)
                out += self._expanded(ways[int(self._draw() * len(ways))].parts)
            else:
                fitting = [way for way in part.ways if self._fits(way)]
                out += self._expanded(fitting[int(self._draw() * len(fitting))])
        return out


@cache
def load_grammar(*files: Path) -> Grammar:
    """The rules of several YAML files, each a mapping from a rule's name to its templates."""
    rules: dict[str, list[str]] = {}
    for file in files:
        for name, templates in yaml.safe_load(file.read_text(encoding="utf-8")).items():
            if name in rules:
                raise ValueError(f"expected one definition of <{name}>, {file.name} has another")
            rules[name] = templates
    return Grammar(rules)


def _tidy(text: str, sentence: bool) -> str:
    text = re.sub(r"\s+([,.;:!?])", r"\1", re.sub(r"\s+", " ", text)).strip()
    text = re.sub(r",(?=[,.;:!?])", "", text)  # a parenthesis that ends its sentence needs no second comma
    return text if not sentence else _START.sub(lambda found: found[1] + found[2].upper(), text)


def _compiled(template: str) -> _Template:
    tags = set()
    while found := re.match(r"@(\w+)\s+", template):
        tags.add(found[1])
        template = template[found.end() :]
    parts, end = _parsed(template, 0, closing=False)
    if end != len(template):
        raise ValueError(f"expected balanced brackets in {template!r}")
    return _Template(frozenset(tags), parts[0])


def _parsed(text: str, at: int, *, closing: bool) -> tuple[list[_Sequence], int]:
    """The alternatives from ``at`` up to the closing bracket or the end, and where they end."""
    ways: list[list[_Part]] = [[]]
    while at < len(text):
        found = _TOKEN.search(text, at)
        if found is None:
            ways[-1].append(text[at:])
            at = len(text)
            break
        if found.start() > at:
            ways[-1].append(text[at : found.start()])
        at = found.end()
        if found[1]:
            ways[-1].append(_Field(found[1]))
        elif found[2]:
            ways[-1].append(_Rule(found[2]))
        elif found[3] == "[":
            inner, at = _parsed(text, at, closing=True)
            ways[-1].append(_Choice(tuple(inner)))
        elif found[3] == "|" and closing:
            ways.append([])
        elif found[3] == "]" and closing:
            return [tuple(way) for way in ways], at
        else:
            raise ValueError(f"expected {found[3]!r} inside of brackets only, in {text!r}")
    if closing:
        raise ValueError(f"expected a closing bracket in {text!r}")
    return [tuple(way) for way in ways], at


def _rules_in(parts: _Sequence) -> set[str]:
    out: set[str] = set()
    for part in parts:
        if isinstance(part, _Rule):
            out.add(part.name)
        elif isinstance(part, _Choice):
            out |= {name for way in part.ways for name in _rules_in(way)}
    return out
