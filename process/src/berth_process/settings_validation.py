"""What pydantic found wrong, in the words of those who wrote it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from berth_process.settings_error import SettingsError, WrongValueError, shown

_RIGHT = {
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a number that is not infinite",
    "bool": "true or false",
    "string": "a text",
    "dict": "a set of names and values",
    "list": "a list",
    "model": "a set of names and values",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "string_too_short": "{min_length} characters or more",
    "string_too_long": "{max_length} characters or less",
    "too_short": "one entry long at least",
    "enum": "{expected}",
    "literal_error": "{expected}",
}
"""What would be right, by the kind of error or by the first word of it."""

NameOf = Callable[[Sequence[str]], str]
"""Gives a value the name that people know it by: of the field's name and of the keys that lead to the value in it."""


def settings_error(
    error: ValidationError,
    name_of: NameOf = ".".join,
    patterns: Mapping[str, str] | None = None,
) -> SettingsError:
    """The error for what pydantic found. `patterns`: a pattern's meaning, to be read after "it must be"."""
    return SettingsError(findings(error, name_of, patterns))


def findings(error: ValidationError, name_of: NameOf = ".".join, patterns: Mapping[str, str] | None = None) -> str:
    """What pydantic found, in one line."""
    return "; ".join(dict.fromkeys(_line(item, name_of, patterns or {}) for item in error.errors(include_url=False)))


def _line(item: ErrorDetails, name_of: NameOf, patterns: Mapping[str, str]) -> str:
    kind, context = item["type"], item.get("ctx", {})
    path = [str(part) for part in item["loc"] if part != "[key]"]
    if not path:  # it is about several settings, and names them itself
        return str(context.get("error", item["msg"]))
    name = name_of(path)
    raised = context.get("error")
    if kind == "missing":
        return f"{name} is missing"
    if kind == "extra_forbidden":
        return f"{name} is no setting: is it misspelt?"
    if kind == "value_error" and not isinstance(raised, WrongValueError):
        return f"{name}: {raised}"
    what = f"the name {shown(path[-1])}" if item["loc"][-1] == "[key]" else shown(item["input"])
    return f"{name} is {what}: it must be {_right(kind, item['msg'], context, patterns)}"


def _right(kind: str, message: str, context: Mapping[str, Any], patterns: Mapping[str, str]) -> str:
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_pattern_mismatch":
        return patterns.get(context["pattern"], f"of the pattern {context['pattern']}")
    template = _RIGHT.get(kind) or _RIGHT.get(kind.partition("_")[0])
    if template is None:
        return message.removeprefix("Input should be ").removeprefix("Value should be ")
    return template.format(**{name: _number(value) for name, value in context.items()})


def _number(value: Any) -> Any:
    """Without the fraction of a whole number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
