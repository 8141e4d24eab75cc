"""What Ollama's clients change: /api/pull and /api/delete; and what Berth does not do for them.

`ollama_schema.py` describes these routes: their bodies are JSON, of whatever content type.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from berth_api.model_download import ModelDownload, ModelDownloadSpec
from berth_router.errors import APIError, InvalidRequestError, UnknownPathError
from berth_router.lifecycle.unloader import Unloader
from berth_router.management.download_fields import SourceFields, checked_spec
from berth_router.management.inventory import store_not_writable
from berth_router.management.ollama_inventory import path_of
from berth_router.ollama.errors import OllamaError, error_content, model_not_found
from berth_router.ollama.names import hub_name
from berth_router.ollama.pull import PullCall, PullProgress, pull_call, success
from berth_router.ollama.requests import model_of, naming_field
from berth_router.request.ask import Ask, json_object
from berth_router.store.model_downloads import Downloads
from berth_router.store.model_store import ModelStore
from berth_router.store.removal import Remover

LOOK_SECONDS = 0.5
"""How often the router looks how far a download is, while a client waits for it."""

_LOOKS_IN_SILENCE = 60
"""After so many looks without a change, the client gets the latest line again: silence would end the answer."""

_LINES = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class StoreChanges:
    """What changes the store. `hub`: the endpoint of the hub. `remover`: None where routers may not delete."""

    store: ModelStore
    downloads: Downloads
    hub: str
    unloader: Unloader
    remover: Remover | None


def ollama_store_routes(changes: StoreChanges) -> APIRouter:
    """The routes that change the store."""
    routes = APIRouter(include_in_schema=False)

    @routes.post("/api/pull")
    async def pull(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        body = json_object(await request.body())
        if await _is_stored(changes.store, model_of(body)):
            return Response(success(), media_type=_LINES)
        call = pull_call(body)
        download = await changes.downloads.request(_spec(call, changes.hub, naming_field(body)))
        progress = PullProgress()
        lines = _progress(changes.downloads, download, progress)
        if call.streams:
            return StreamingResponse(lines, media_type=_LINES)
        last = b""
        async for line in lines:
            last = line
        if progress.failed:
            raise OllamaError(orjson.loads(last)["error"], status=HTTPStatus.INTERNAL_SERVER_ERROR)
        return Response(success(), media_type="application/json")

    @routes.delete("/api/delete")
    async def delete(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        name = model_of(json_object(await request.body()))
        path = path_of(name)
        stored = next((model for model in await changes.store.models() if model.path == path), None)
        if stored is None:
            raise model_not_found(name)
        if changes.remover is None:
            raise store_not_writable()
        await changes.unloader.unload_unused(Ask(path))  # Ollama's clients delete models that were used just now
        await changes.remover.remove(stored.name)
        return Response()

    @routes.post("/api/copy")
    @routes.post("/api/create")
    @routes.post("/api/push")
    @routes.api_route("/api/blobs/{digest}", methods=["GET", "POST"])  # HEAD comes as GET
    async def refuse(request: Request) -> Response:  # pyright: ignore[reportUnusedFunction]
        raise OllamaError(
            f"{request.url.path} is not answered here: models come from the hub, by /api/pull.",
            status=HTTPStatus.NOT_IMPLEMENTED,
        )

    return routes


def _spec(call: PullCall, hub: str, field: str) -> ModelDownloadSpec:
    """What is to be downloaded. `field`: where the client has named it. Raises OllamaError."""
    try:
        return checked_spec(SourceFields(url=call.url, quantization=call.quantization), hub)
    except InvalidRequestError as error:
        raise OllamaError(error.message.replace(f"`{error.param}`", f"`{field}`", 1), field=field) from None


async def _is_stored(store: ModelStore, name: str) -> bool:
    """Whether the store has the model. Not asked of a name with the hub's host: its download may be under way."""
    if hub_name(name):
        return False
    try:
        path = path_of(name)
    except APIError:
        return False
    return any(model.path == path for model in await store.models())


async def _progress(downloads: Downloads, download: ModelDownload, progress: PullProgress) -> AsyncIterator[bytes]:
    """The lines of a download until it ends."""
    silent = 0
    while True:
        lines = progress.lines(download)
        silent = 0 if lines else silent + 1
        if silent >= _LOOKS_IN_SILENCE:
            lines, silent = progress.latest, 0
        if lines:
            yield lines
        if progress.ended:
            return
        await asyncio.sleep(LOOK_SECONDS)
        try:
            download = await downloads.get(download.name)
        except UnknownPathError:
            yield progress.gone()
            return
        except APIError as error:
            yield error_content(error.message)
            return
