"""GET /v1/models and /v1/models/{name}: the models that a request can name, and what is known of each."""

import asyncio
from collections.abc import Sequence
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from berth_router.errors import ANTHROPIC_VERSION, MethodNotAllowedError
from berth_router.management.anthropic_models import anthropic_list, anthropic_model
from berth_router.management.catalog import Catalog
from berth_router.management.model_entries import ModelEntry

_ONLY_POSTED = frozenset({"unload", "unload-all", "verify-repo", "plan"})


class ModelList(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: Sequence[ModelEntry]


def models_routes(catalog: Catalog) -> APIRouter:
    """The routes about the models there are. Every other route below /v1/models comes before these."""
    routes = APIRouter(tags=["models"])
    rendered: tuple[Sequence[ModelEntry], bytes] | None = None

    @routes.get("/v1/models", summary="Models that can be asked for", response_model=ModelList)
    @routes.get("/models", include_in_schema=False)
    async def list_models(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        """The models of the store, whether they run or not, and those of deployments with another path in it.

        Headers that are new are read for half a second; what the others say is null. With the header
        `anthropic-version`, the list is a page in the shape of Anthropic's API.
        """
        nonlocal rendered
        entries = await catalog.entries()
        if ANTHROPIC_VERSION in request.headers:
            return _answer(anthropic_list(entries, request.query_params))
        if rendered is None or rendered[0] is not entries:
            made = await asyncio.to_thread(lambda: ModelList(data=entries).model_dump_json().encode())
            rendered = (entries, made)
        return Response(rendered[1], media_type="application/json")

    @routes.get("/v1/models/{name:path}", summary="One model", response_model=ModelEntry)
    async def show_model(request: Request, name: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        """The entry of one name: a model's, with or without `/models/` before it, or `name@profile`.

        With the header `anthropic-version`, it has the shape of Anthropic's API.
        """
        if name in _ONLY_POSTED:
            raise MethodNotAllowedError("GET", f"/v1/models/{name}", "POST")
        entry = await catalog.entry(name)
        return _answer(anthropic_model(entry) if ANTHROPIC_VERSION in request.headers else entry)

    return routes


def _answer(content: BaseModel) -> Response:
    return Response(content.model_dump_json(), media_type="application/json")
