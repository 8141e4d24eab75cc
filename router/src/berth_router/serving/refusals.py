"""An engine's refusal in the API's shape."""

from http import HTTPStatus
from typing import Any

import orjson

from berth_router.errors import APIError, Dialect, EngineFailedError, UnknownPathError

_MOST_WORDS = 1000
"""Bytes of an engine's own words that are passed on where it has no error object."""


def refusal_of(status: int, content: bytes, dialect: Dialect) -> dict[str, Any]:
    """What the client is told: the engine's own error object where it has one, else its words."""
    try:
        parsed = orjson.loads(content)
    except orjson.JSONDecodeError:
        parsed = None
    told: dict[str, Any] = parsed if isinstance(parsed, dict) else {}  # pyright: ignore[reportUnknownVariableType]
    if told.get("error"):
        return told
    detail = told.get("detail")  # as FastAPI has it
    text = detail if isinstance(detail, str) else content[:_MOST_WORDS].decode(errors="replace")
    error: APIError = EngineFailedError(f"The engine answered with status {status}: {text}", code="engine_error")
    if status == HTTPStatus.NOT_FOUND and detail == HTTPStatus.NOT_FOUND.phrase:
        # vLLM has only the paths that the model is made for.
        error = UnknownPathError(
            "The model's engine does not have this path for this model: embeddings come from embedding models, answers from others.",
            code="path_not_served",
        )
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        error.type = "invalid_request_error"
    return error.content(dialect)
