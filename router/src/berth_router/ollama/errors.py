"""Ollama's errors: a status, and a JSON object with one text."""

import orjson

_LONGEST_NAME = 500
"""Characters of a model's name that an error repeats."""


class OllamaError(Exception):
    """What Ollama's clients get in place of an answer.

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
    return OllamaError(f"model '{name[:_LONGEST_NAME]}' not found", status=404, field="model")


def wrong_field(field: str, right: str) -> OllamaError:
    """The error for a field with a wrong value. `right`: what would be right, such as "must be a string"."""
    return OllamaError(f"`{field}` {right}.", field=field)


def error_content(text: str) -> bytes:
    """`{"error": text}` and a newline."""
    return orjson.dumps({"error": text}) + b"\n"
