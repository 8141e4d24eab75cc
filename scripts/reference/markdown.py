"""How the generated pages are put into Markdown."""

import json
from textwrap import fill
from typing import Any

_WIDTH = 120

JsonSchema = dict[str, Any]


def page(title: str, source: str, *parts: str) -> str:
    """A generated page: its title, where it comes from, and its parts with an empty line between them."""
    note = fill(f"<!-- Written by scripts/generate from {source}. Do not edit. -->", _WIDTH)
    return "\n\n".join([f"# {title}", note, *parts]) + "\n"


def paragraph(text: str) -> str:
    """The text on lines of at most 120 characters."""
    return fill(" ".join(text.split()), _WIDTH, break_long_words=False, break_on_hyphens=False)


def entry(name: str, facts: list[str], text: str, depth: int = 0) -> str:
    """A line of a list: the name, in brackets what may stand there, and what it means."""
    indent = "  " * depth
    said = f"- `{name}` ({'; '.join(facts)}). {text}" if facts else f"- `{name}`. {text}"
    return fill(
        " ".join(said.split()),
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def literal(value: object) -> str:
    """A value as code, as it stands in YAML or JSON."""
    return f"`{json.dumps(value)}`"


def allowed(schema: JsonSchema) -> str:
    """What a JSON schema allows, in words; empty where that is any object."""
    if choices := schema.get("enum"):
        return ", ".join(f"`{choice}`" if choice else "empty" for choice in choices)
    if several := schema.get("anyOf"):
        return " or ".join(filter(None, (allowed(one) for one in several)))
    if schema.get("x-kubernetes-int-or-string") and "minimum" in schema:
        return f"integer{_bounds(schema)}, or `{schema['pattern'].strip('^$')}`"
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type")
    names = [kind] if isinstance(kind, str) else list(kind or [])
    if "integer" in names or "number" in names:
        return f"{names[0]}{_bounds(schema)}"
    if names == ["string"] and schema.get("format") == "date-time":
        return "time"
    if names == ["string"] and "maxLength" in schema:
        return f"string, at most {schema['maxLength']} characters"
    if names == ["array"]:
        items = allowed(schema.get("items", {})) or "object"
        return f"list of {items}{', at most ' + str(schema['maxItems']) if 'maxItems' in schema else ''}"
    return " or ".join(names)


def _bounds(schema: JsonSchema) -> str:
    low, high, above = schema.get("minimum"), schema.get("maximum"), schema.get("exclusiveMinimum")
    if low is not None and high is not None:
        return f", {low} to {high}"
    if low is not None:
        return f", at least {low}"
    if above is not None:
        return f", more than {above}"
    return f", at most {high}" if high is not None else ""
