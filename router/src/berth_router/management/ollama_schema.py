"""Ollama's paths in the description of the API. Its clients know them; people and checkers read of them here."""

from dataclasses import dataclass
from typing import Any

from pydantic.json_schema import models_json_schema

from berth_router.ollama.requests import ChatBody, EmbedBody, EmbeddingsBody, GenerateBody, ModelBody, OllamaBody

_REFERENCE = "#/components/schemas/{model}"
_JSON, _LINES, _TEXT, _HTML = "application/json", "application/x-ndjson", "text/plain", "text/html"
_NOT_ANSWERED = "Not answered: models come from the hub"


@dataclass(frozen=True, slots=True)
class _Operation:
    path: str
    method: str
    summary: str
    body: type[OllamaBody] | None = None
    answers: tuple[str, ...] = (_JSON,)
    """Content types of the answer; none where nothing is answered but a refusal."""


_OPERATIONS = (
    _Operation(
        "/", "get", "A greeting, by which clients know that Ollama is there; a page for people", answers=(_TEXT, _HTML)
    ),
    _Operation("/api/version", "get", "The version of Ollama's API"),
    _Operation("/api/tags", "get", "The models of the store"),
    _Operation("/api/ps", "get", "The models that run"),
    _Operation("/api/show", "post", "What is known of a model", ModelBody),
    _Operation("/api/chat", "post", "Answer a conversation", ChatBody, (_LINES, _JSON)),
    _Operation("/api/generate", "post", "Answer a prompt", GenerateBody, (_LINES, _JSON)),
    _Operation("/api/embed", "post", "Turn texts into vectors", EmbedBody),
    _Operation("/api/embeddings", "post", "Turn a text into a vector", EmbeddingsBody),
    _Operation("/api/pull", "post", "Download a model", ModelBody, (_LINES, _JSON)),
    _Operation("/api/delete", "delete", "Delete a model", ModelBody),
    *(_Operation(f"/api/{name}", "post", _NOT_ANSWERED, answers=()) for name in ("copy", "create", "push")),
    *(_Operation("/api/blobs/{digest}", method, _NOT_ANSWERED, answers=()) for method in ("get", "post")),
)


def add_ollama(schema: dict[str, Any]) -> None:
    """Adds every path of Ollama's API to an OpenAPI schema."""
    bodies = {operation.body for operation in _OPERATIONS if operation.body}
    references, definitions = models_json_schema(
        [(body, "validation") for body in sorted(bodies, key=lambda body: body.__name__)], ref_template=_REFERENCE
    )
    schema.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
    for operation in _OPERATIONS:
        reference = references[(operation.body, "validation")] if operation.body else None
        schema["paths"].setdefault(operation.path, {})[operation.method] = _described(operation, reference)


def _described(operation: _Operation, reference: dict[str, Any] | None) -> dict[str, Any]:
    described: dict[str, Any] = {
        "tags": ["ollama"],
        "summary": operation.summary,
        "operationId": f"{operation.method}{operation.path.replace('/', '_')}".replace("{", "").replace("}", ""),
        "responses": {},
    }
    if "{digest}" in operation.path:
        described["parameters"] = [{"name": "digest", "in": "path", "required": True, "schema": {"type": "string"}}]
    if reference:
        described["requestBody"] = {"required": True, "content": {_JSON: {"schema": reference}}}
    if operation.answers:
        content: dict[str, Any] = {kind: {} for kind in operation.answers}
        described["responses"]["200"] = {"description": "The answer, in Ollama's shape.", "content": content}
    return described
