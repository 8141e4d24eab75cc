"""Every status with which the router refuses or fails, in the description of the API.

Most can come of any request, since the byte path sends them before a path has its say. The others stand in a table.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from berth_router.auth import OPEN_PATHS
from berth_router.errors import OLLAMA_PATHS, Dialect
from berth_router.ollama.endpoints import OLLAMA_ENDPOINTS
from berth_router.request.endpoints import INFERENCE_PATHS

_EVERYWHERE: Mapping[int, str] = {
    400: "The request is wrong; `error.param` names the field.",
    403: "The key lacks the scope, or this installation does not offer it, or a web page asks that may not.",
    405: "The path does not take this method. The header Allow has those that it takes.",
    408: "The request did not come whole in time.",
    413: "The body is longer than this router takes.",
    417: "The request expects something else than `100-continue`.",
    431: "The head is longer than this router takes.",
    500: "The router failed; its log says more under the request's id.",
    501: "The method or the transfer coding is not one that is known.",
    503: "Not now; `error.code` says why, and Retry-After when to try again.",
    505: "The request is not in HTTP/1.1 or HTTP/1.0.",
}
_WITH_KEY: Mapping[int, str] = {
    401: "There is no API key, or it is not valid.",
    415: "The body is packed in another way than gzip or deflate.",
    429: "As many requests are in hand, with this key or for this model, as the router takes.",
}
_INFERENCE: Mapping[int, str] = {
    404: "The model is not in the store, or its engine does not have this path.",
    422: "The engine refuses a field.",
    502: "The engine broke off, or failed to answer.",
}
_NO_MODEL = {404: "The model is not in the store."}
_OF_PATH: Mapping[tuple[str, str], Mapping[int, str]] = {
    ("/v1/models/unload", "post"): {404: "No such deployment is live."},
    **{(path, "post"): _NO_MODEL for path in ("/v1/models/load", "/models/load", "/models/unload")},
    ("/v1/models/manifest", "get"): _NO_MODEL,
    ("/v1/models/plan", "post"): _NO_MODEL,
    ("/v1/models/inventory/{name}", "delete"): {409: "A deployment uses the model, or a download fills it."},
    ("/v1/models/download", "post"): {409: "The place has other content, or another download fills it."},
    ("/api/show", "post"): _NO_MODEL,
    ("/api/pull", "post"): {409: "The place has other content, or another download fills it."},
    ("/api/delete", "delete"): {**_NO_MODEL, 409: "A deployment uses the model, or a download fills it."},
    **{(path, "post"): _INFERENCE for path in (*INFERENCE_PATHS, *OLLAMA_ENDPOINTS)},
}
"""What else an operation sends."""

_RETRIED = frozenset({429, 502, 503})
"""The statuses that may come with Retry-After."""

_SHAPES: Mapping[Dialect, tuple[str, Mapping[str, Any]]] = {
    Dialect.OPENAI: (
        "Error",
        {
            "error": {
                "type": "object",
                "required": ["message"],
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": ["string", "null"]},
                    "param": {"type": ["string", "null"]},
                    "code": {"type": ["string", "integer", "null"]},
                },
            }
        },
    ),
    Dialect.ANTHROPIC: (
        "AnthropicError",
        {
            "type": {"const": "error"},
            "error": {
                "type": "object",
                "required": ["type", "message"],
                "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    ),
    Dialect.OLLAMA: ("OllamaError", {"error": {"type": "string"}}),
}
"""The name and the properties of each API's errors. All properties are there in each."""

_UNREAD = ("HTTPValidationError", "ValidationError")
"""FastAPI's own shapes of errors, which nobody gets."""


def add_refusals(schema: dict[str, Any]) -> None:
    """Adds to each operation of an OpenAPI schema the statuses that it can send besides those it has.

    Says of those that need no key that they need none.
    """
    schemas: dict[str, Any] = schema.setdefault("components", {}).setdefault("schemas", {})
    for name in _UNREAD:
        schemas.pop(name, None)
    for name, properties in _SHAPES.values():
        schemas[name] = {"type": "object", "required": [*properties], "properties": properties}
    for path, method, operation in _operations(schema):
        responses: dict[str, Any] = operation.setdefault("responses", {})
        responses.pop("422", None)
        if path in OPEN_PATHS:
            operation["security"] = []
        shape = _SHAPES[_dialect(path)][0]
        for status, says in sorted({**_common(path), **_OF_PATH.get((path, method), {})}.items()):
            responses.setdefault(str(status), _reference(schema["components"], status, says, shape))


def _operations(schema: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _dialect(path: str) -> Dialect:
    if path in INFERENCE_PATHS:
        return INFERENCE_PATHS[path].dialect
    return Dialect.OLLAMA if path.startswith(OLLAMA_PATHS) else Dialect.OPENAI


def _common(path: str) -> Mapping[int, str]:
    """The statuses that do not depend on what the path does."""
    named = {404: "There is nothing of this name."} if "{" in path else {}
    return {**_EVERYWHERE, **named, **({} if path in OPEN_PATHS else _WITH_KEY)}


def _reference(components: dict[str, Any], status: int, says: str, shape: str) -> dict[str, Any]:
    """A response, or a reference to it where many operations have it."""
    response = _response(status, says, shape)
    if says not in (_EVERYWHERE.get(status), _WITH_KEY.get(status), _INFERENCE.get(status)):
        return response
    name = f"{shape}{status}"
    components.setdefault("responses", {})[name] = response
    return {"$ref": f"#/components/responses/{name}"}


def _response(status: int, says: str, shape: str) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": says,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{shape}"}}},
    }
    if status in _RETRIED:
        response["headers"] = {
            "Retry-After": {"description": "Seconds until it makes sense to try again.", "schema": {"type": "integer"}}
        }
    return response
