"""The FastAPI application of everything but inference, with OpenAI's shape for its errors too."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from berth_router.errors import (
    ANTHROPIC_VERSION,
    OLLAMA_PATHS,
    APIError,
    Dialect,
    InternalError,
    InvalidRequestError,
    MethodNotAllowedError,
    UnknownPathError,
)
from berth_router.management.absent import absent
from berth_router.management.examples import add_examples
from berth_router.management.inference_schema import add_inference
from berth_router.management.ollama_schema import add_ollama
from berth_router.management.refusal_schema import add_refusals
from berth_router.request.defaults import AnswerDefaults

_log = structlog.get_logger(__name__)

_DESCRIPTION = (
    "Any model of the store, on demand: the first request for it starts it, later requests share it, and a model that"
    " gets no request for its TTL is removed. Every OpenAI client works unchanged."
)


def management_api(routers: Sequence[APIRouter], defaults: AnswerDefaults) -> FastAPI:
    """The application made of these routes. `defaults`: what the API's description says of answers."""
    api = FastAPI(title="Berth", description=_DESCRIPTION, version="v1", docs_url=None, redoc_url=None)
    for router in routers:
        api.include_router(router)

    def openapi() -> dict[str, Any]:
        if not api.openapi_schema:
            schema = get_openapi(title=api.title, version=api.version, description=api.description, routes=api.routes)
            add_inference(schema, defaults)
            add_ollama(schema)
            add_examples(schema)
            add_refusals(schema)
            schema["components"]["securitySchemes"] = {"apiKey": {"type": "http", "scheme": "bearer"}}
            schema["security"] = [{"apiKey": []}]
            api.openapi_schema = schema
        return api.openapi_schema

    api.openapi = openapi
    api.add_exception_handler(APIError, _api_error)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(HTTPException, _http_error)
    api.add_exception_handler(Exception, _unexpected)
    return api


async def _api_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, APIError):
        raise error
    return JSONResponse(error.content(_dialect(request)), error.status, error.headers())


def _dialect(request: Request) -> Dialect:
    if request.url.path.startswith(OLLAMA_PATHS):
        return Dialect.OLLAMA
    return Dialect.ANTHROPIC if ANTHROPIC_VERSION in request.headers else Dialect.OPENAI


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    param = ".".join(str(part) for part in first["loc"][1:]) or None
    what = f"`{param}`" if param else "The body"
    message = first["msg"][:1].lower() + first["msg"][1:]
    got = f"; got {str(first['input'])[:100]!r}" if param and first["type"] != "missing" else ""
    return await _api_error(
        request, InvalidRequestError(f"{what} is not valid: {message}{got}.", param=param, code="invalid_value")
    )


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    path = request.url.path
    if error.status_code == 405:
        allow = _methods_of(request, (error.headers or {}).get("Allow", ""))
        return await _api_error(request, MethodNotAllowedError(request.method, path, allow))
    if error.status_code == 404:
        return await _api_error(request, unknown_path(request.app, path))
    refused = InvalidRequestError(str(error.detail))
    return JSONResponse(refused.content(_dialect(request)), error.status_code, error.headers)


def _methods_of(request: Request, of_one_route: str) -> str:
    """The methods that the request's path takes. Starlette's own refusal names those of one route alone."""
    paths, path = request.app.openapi()["paths"], request.url.path
    if path in paths:
        methods = {method.upper() for method in paths[path]}
    else:
        methods = {method for method in of_one_route.replace(" ", "").split(",") if method}
        found = (operations for template, operations in paths.items() if compile_path(template)[0].match(path))
        methods |= {method.upper() for operations in found for method in operations}
    if "GET" in methods:
        methods.add("HEAD")
    return ", ".join(sorted(methods))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    request_id = request.scope["berth_request_id"]
    _log.error("request_failed", request_id=request_id, exc_info=error)
    return await _api_error(request, InternalError(request_id))


def unknown_path(api: FastAPI, path: str) -> UnknownPathError:
    """The error for a path that the API does not have. It says what to do instead, or names the nearest path."""
    if instead := absent(path):
        return UnknownPathError(f"There is no {path} here. {instead}", code="unknown_path")
    paths: list[str] = [*api.openapi()["paths"]]
    nearest = get_close_matches(path, paths, n=1)
    hint = f" Did you mean {nearest[0]}?" if nearest else ""
    return UnknownPathError(f"There is no {path} here.{hint} GET /docs describes all paths.", code="unknown_path")
