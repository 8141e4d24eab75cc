"""What clients of llama.cpp's router ask besides its list of models and answers: /models/unload and /models/sse.

These routes are not in the description of the API: they are llama.cpp's, and its clients know them.
"""

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ValidationError

from berth_router.lifecycle.deployments import Deployments
from berth_router.lifecycle.unloader import Unloader
from berth_router.management.model_feed import ModelFeed
from berth_router.management.unload import deployments_to_unload
from berth_router.request.ask import RequestParser, invalid_field, json_object

_ANSWER_SECONDS = 10.0
"""How long the answer waits for the end of answers under way. The unload goes on; its clients give up after 15 s."""


class EjectRequest(BaseModel):
    """What to unload."""

    model: str


class Ejected(BaseModel):
    """llama.cpp's answer."""

    success: bool = True


def llamacpp_routes(deployments: Deployments, unloader: Unloader, parser: RequestParser, feed: ModelFeed) -> APIRouter:
    """The routes of llama.cpp's router that no other file has."""
    routes = APIRouter(include_in_schema=False)
    unloading: set[asyncio.Task[None]] = set()

    @routes.post("/models/unload")
    async def eject(request: Request) -> Ejected:  # pyright: ignore[reportUnusedFunction]
        # llama.cpp reads JSON whatever the content type says.
        found = deployments_to_unload(parser.parse_name(_model_of(await request.body())), deployments)
        task = asyncio.create_task(unloader.unload(found))
        unloading.add(task)
        task.add_done_callback(unloading.discard)
        done, _ = await asyncio.wait({task}, timeout=_ANSWER_SECONDS)
        if done:
            await task
        return Ejected()

    @routes.get("/models/sse")
    async def follow() -> StreamingResponse:  # pyright: ignore[reportUnusedFunction]
        return StreamingResponse(feed.events(), media_type="text/event-stream")

    return routes


def _model_of(body: bytes) -> str:
    """The model that a request names. Raises InvalidRequestError."""
    try:
        return EjectRequest.model_validate(json_object(body)).model
    except ValidationError as error:
        raise invalid_field(error) from None
