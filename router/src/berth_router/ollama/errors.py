"""Ollama's errors: a status, and a JSON object with one text."""

from typing import Any

import orjson

_LONGEST_TEXT = 2000
"""Characters of an engine's own words that an error repeats."""


class OllamaError(Exception):
    """What Ollama's clients are told in place of an answer.

    400: a field of the request is wrong, and `field` names it, such as `messages[0].images[1]`; 404: there is no such
    model; 502: the engine's answer makes no sense.
    """

    def __init__(self, message: str, *, status: int = 400, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.field = field

    def content(self) -> bytes:
        """The body of the answer, or a line of one that has begun."""
        return error_content(self.message)


def model_not_found(name: str) -> OllamaError:
    """The error for a model that is not there, in the words that clients look for."""
    return OllamaError(f"model '{name[:_LONGEST_TEXT]}' not found", status=404, field="model")


def wrong_field(field: str, right: str) -> OllamaError:
    """The error for a field with a wrong value. `right`: what would be right, such as "must be a string"."""
    return OllamaError(f"`{field}` {right}.", field=field)


def error_content(text: str) -> bytes:
    """`{"error": text}` and a newline."""
    return orjson.dumps({"error": text}) + b"\n"


def error_text(error: object) -> str:
    """The words of an error in the shape of OpenAI's API, or of an engine: with or without its `error` around it."""
    if isinstance(error, dict):
        known: dict[str, Any] = error  # pyright: ignore[reportUnknownVariableType] (JSON: string keys, any values)
        for name in ("error", "message", "detail"):
            if known.get(name):
                return error_text(known[name])
    if isinstance(error, str):
        return error[:_LONGEST_TEXT]
    try:
        return orjson.dumps(error).decode()[:_LONGEST_TEXT]
    except TypeError:  # nested too deeply to be written
        return "The engine failed, and what it says of that cannot be read."
