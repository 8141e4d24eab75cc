"""What becomes of models, as it happens: the events of llama.cpp's router, which sends them at /models/sse.

It calls the event in which a model begins to load `model_status`, and every later one `status_change`. Clients know
both.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson

from berth_api.model_deployment import MODEL_STORE, ModelDeployment
from berth_router.lifecycle.deployments import Deployments
from berth_router.lifecycle.resolve import match
from berth_router.management.model_entries import ModelStatus, status_of
from berth_router.request.ask import Ask

_QUIET_SECONDS = 15.0
"""Longest silence: below the idle time-out of any proxy in between."""

_MOST_EVENTS = 1000
"""Events that a client can be behind. One that takes them no faster loses its stream, and asks anew."""


class ModelFeed:
    """Tells its listeners each change of a model's status."""

    def __init__(self, deployments: Deployments) -> None:
        self._deployments = deployments
        self._listeners: set[asyncio.Queue[bytes | None]] = set()
        self._last: dict[str, ModelStatus] = {}
        self._closed = False
        deployments.listen(self._changed)
        deployments.listen_for_removal(self._changed)

    async def events(self) -> AsyncIterator[bytes]:
        """The events from now on, as server-sent ones, until the feed is closed. A comment comes first."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(_MOST_EVENTS + 1)
        self._listeners.add(queue)
        try:
            yield b": the events of all models\n\n"
            if self._closed:  # who asks while the router ends would hold it up until its drain is over
                return
            while (event := await self._next(queue)) is not None:
                yield event
        finally:
            self._listeners.discard(queue)

    def close(self) -> None:
        """Ends every stream, and those that begin from now on: the router ends."""
        self._closed = True
        for queue in self._listeners:
            self._end(queue)

    async def _next(self, queue: asyncio.Queue[bytes | None]) -> bytes | None:
        try:
            async with asyncio.timeout(_QUIET_SECONDS):
                return await queue.get()
        except TimeoutError:
            return b": nothing new\n\n"

    def _changed(self, deployment: ModelDeployment) -> None:
        path = deployment.spec.model
        status = status_of(match(Ask(path), self._deployments.of_model(path)))
        if status == self._last.get(path, status_of(None)):
            return
        self._last[path] = status
        if status == status_of(None):
            del self._last[path]
        event = _event(path, status)
        for queue in self._listeners:
            if queue.qsize() >= _MOST_EVENTS:
                self._end(queue)
            else:
                queue.put_nowait(event)

    def _end(self, queue: asyncio.Queue[bytes | None]) -> None:
        if not queue.full():
            queue.put_nowait(None)


def _event(path: str, status: ModelStatus) -> bytes:
    data: dict[str, Any] = {"status": status.value}
    if status.value == "unloaded":
        data["exit_code"] = int(status.failed)
    name = "model_status" if status.value == "loading" else "status_change"
    return b"data: %b\n\n" % orjson.dumps({"model": path.removeprefix(f"{MODEL_STORE}/"), "event": name, "data": data})
