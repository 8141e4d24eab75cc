"""A request's fields, read with their names: what is wrong with one is said by its name."""

from collections.abc import Mapping, Sequence
from typing import Any

from berth_router.errors import InvalidRequestError


def wrong_field(field: str, right: str) -> InvalidRequestError:
    """The error for a field with a wrong value. `right`: what would be right, such as "must be a string"."""
    return InvalidRequestError(f"`{field}` {right}.", param=field, code="invalid_value")


def unsupported(field: str, why: str) -> InvalidRequestError:
    """The error for what Berth does not do. `why`: what it is, and what to send instead."""
    return InvalidRequestError(f"`{field}`: {why}", param=field, code="unsupported_value")


_ASKED_AS = {
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "messages": "input",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
}
"""Fields of chat completions, and those of a request that they were made of."""


def asked_as(field: str | None) -> str | None:
    """The client's name of a field of a chat completion, for errors about it."""
    if field is None:
        return None
    name = field.partition("[")[0].partition(".")[0]
    return _ASKED_AS.get(name, field)


def object_of(value: object, field: str) -> dict[str, Any]:
    """The JSON object. Raises InvalidRequestError."""
    if not isinstance(value, dict):
        raise wrong_field(field, "must be an object")
    return value  # pyright: ignore[reportUnknownVariableType] (JSON: string keys, any values)


def optional_object(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The JSON object of a field; an empty one where the field is null or absent. Raises InvalidRequestError."""
    value = fields.get(name)
    return {} if value is None else object_of(value, name)


def list_of(value: object, field: str) -> list[Any]:
    """The list. Raises InvalidRequestError."""
    if not isinstance(value, list):
        raise wrong_field(field, "must be a list")
    return value  # pyright: ignore[reportUnknownVariableType] (JSON: any values)


def optional_list(fields: Mapping[str, Any], name: str) -> list[Any]:
    """The list of a field; an empty one where the field is null or absent. Raises InvalidRequestError."""
    value = fields.get(name)
    return [] if value is None else list_of(value, name)


def text_of(fields: Mapping[str, Any], name: str, within: str) -> str:
    """The string of a field. Raises InvalidRequestError."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise wrong_field(f"{within}.{name}" if within else name, "must be a string")
    return value


def optional_text(fields: Mapping[str, Any], name: str, within: str = "") -> str | None:
    """The string of a field, or None. Raises InvalidRequestError."""
    return None if fields.get(name) is None else text_of(fields, name, within)


def one_of(value: object, field: str, values: Sequence[str]) -> str:
    """The value, if it is one of these. Raises InvalidRequestError."""
    if not isinstance(value, str) or value not in values:
        raise wrong_field(field, f"must be one of {', '.join(values)}")
    return value
