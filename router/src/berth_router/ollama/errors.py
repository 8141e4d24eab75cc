"""Ollama's errors: a status, and a JSON object with one text."""

import orjson

from berth_router.errors import APIError

_LONGEST_NAME = 500
"""Characters of a model's name that an error repeats."""


class OllamaError(APIError):
    """What Ollama's clients get in place of an answer.

    400: a field of the request is wrong, and `param` names it, such as `messages[0].images[1]`; 404: there is no such
    model; 501: this server does not do that; 502: the engine's answer makes no sense.
    """

    def __init__(self, message: str, *, status: int = 400, field: str | None = None) -> None:
        super().__init__(message, param=field)
        self.status = status


def model_not_found(name: str) -> OllamaError:
    """The error for a model that is not there, in the words that clients look for."""
    return OllamaError(f"model '{name[:_LONGEST_NAME]}' not found", status=404, field="model")


def no_thinking(name: str) -> OllamaError:
    """The error for a model that is to think and cannot, in Ollama's words."""
    return OllamaError(f'"{name[:_LONGEST_NAME]}" does not support thinking', field="think")


def wrong_field(field: str, right: str) -> OllamaError:
    """The error for a field with a wrong value. `right`: what would be right, such as "must be a string"."""
    return OllamaError(f"`{field}` {right}.", field=field)


def error_content(text: str) -> bytes:
    """The line that ends an answer which has begun: `{"error": text}` and a newline."""
    return orjson.dumps({"error": text}) + b"\n"
