"""docs/reference/chart-values.md, from the chart's values.yaml and values.schema.json."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reference.markdown import JsonSchema, allowed, entry, literal, page, paragraph

_KEY = re.compile(r"^(?P<indent> *)(?P<name>[A-Za-z]\w*):")
_MEANING = "-- "
"""What a comment begins with that says what a value means. Other comments are about all values below their key."""


@dataclass(frozen=True)
class _Described:
    path: tuple[str, ...]
    comment: str


def chart_values_page(chart: Path) -> str:
    """The page: each value with its default, what is allowed, and its meaning."""
    text = (chart / "values.yaml").read_text()
    schema = json.loads((chart / "values.schema.json").read_text())
    values = yaml.safe_load(text)
    intro = paragraph(
        "Every value of the chart `charts/berth`. Set one with `--set NAME=VALUE`, several with `--values FILE`. "
        "The chart refuses a value that is not named here, and one that is not allowed."
    )
    parts = [intro]
    for described in _described(text):
        name = ".".join(described.path)
        if len(described.path) == 1:
            parts.append(f"## `{name}`")
        if described.comment.startswith(_MEANING):
            value, rules = _at(values, described.path), _schema_at(schema, described.path)
            facts = [*filter(None, [allowed(rules)]), f"default {literal(value)}"]
            line = entry(name, facts, described.comment.removeprefix(_MEANING))
            if parts[-1].startswith("- "):
                parts[-1] += f"\n{line}"
            else:
                parts.append(line)
        elif described.comment:
            parts.append(paragraph(f"`{name}`: {described.comment}" if len(described.path) > 1 else described.comment))
    return page("Values of the chart", "charts/berth/values.yaml and values.schema.json", *parts)


def _described(text: str) -> Iterator[_Described]:
    """Every key with the comment right above it."""
    path: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.strip().removeprefix("#").strip())
        elif found := _KEY.match(line):
            path = [*path[: len(found["indent"]) // 2], found["name"]]
            yield _Described(tuple(path), " ".join(comment))
            comment = []
        else:
            comment = []


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        values = values[name]
    return values


def _schema_at(schema: JsonSchema, path: tuple[str, ...]) -> JsonSchema:
    part = schema
    for name in path:
        part = part.get("properties", {}).get(name, {})
        while reference := part.get("$ref"):
            part = schema["$defs"][reference.rpartition("/")[2]]
    return _resolved(part, schema)


def _resolved(part: JsonSchema, schema: JsonSchema) -> JsonSchema:
    """The schema of a list with the schema of its items in place."""
    items = part.get("items", {})
    if reference := items.get("$ref"):
        return part | {"items": schema["$defs"][reference.rpartition("/")[2]]}
    return part
