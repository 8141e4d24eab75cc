"""Loads a model without a prompt: for /v1/models/load, and for /models/load of llama.cpp's router.

The first answers when the model is ready. The second answers as soon as its start is certain to be under way, as
llama.cpp does: its clients ask /models, or listen to /models/sse, for what becomes of it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

import orjson
import structlog

from berth_api.inference import COMPLETIONS
from berth_router.errors import APIError, Dialect, InternalError, TooManyRequestsError
from berth_router.lifecycle.activator import Activator
from berth_router.request.ask import Ask, as_written, json_object
from berth_router.request.endpoints import INFERENCE_PATHS
from berth_router.request.fields import refuse_other_fields
from berth_router.serving.answers import JSON_TYPE
from berth_router.serving.exchange import Exchange
from berth_router.serving.inference import EngineRequest, InferenceContext

_log = structlog.get_logger(__name__)

LOAD_PATHS: Mapping[str, bool] = {"/v1/models/load": True, "/models/load": False}
"""The paths, and whether the answer waits until the model is ready."""

_MOST_LOADS = 256
"""Loads that go on at once: each of them waits for its model, though its client has had its answer."""


class LoadsBegun:
    """The loads that go on after their clients got an answer: one for each model and what was stated."""

    def __init__(self, activator: Activator) -> None:
        self._activator = activator
        self._running: dict[Ask, asyncio.Task[None]] = {}

    async def begin(self, ask: Ask) -> bool:
        """Returns when the start is under way, or True when the model is ready. Raises APIError: it cannot start."""
        begun = asyncio.Event()

        async def note(_: str) -> None:
            begun.set()

        ask = await self._activator.known(ask)
        task = self._running.get(ask)
        if task is not None:
            return False
        if len(self._running) >= _MOST_LOADS:
            raise TooManyRequestsError(
                f"{_MOST_LOADS} loads are under way, which is as many as this router takes at once.",
                code="too_many_requests",
            )
        task = self._running[ask] = asyncio.create_task(self._load(ask, note))
        task.add_done_callback(lambda done: self._ended(ask, done))
        waiting = asyncio.create_task(begun.wait())
        try:
            await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if not task.done():
            return False
        await task
        return True

    async def close(self) -> None:
        """Ends all that go on: the router ends, and a start goes on without it."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _load(self, ask: Ask, note: Any) -> None:
        activator = self._activator
        activator.release(await activator.activate(ask, activator.deadline(), note))

    def _ended(self, ask: Ask, task: asyncio.Task[None]) -> None:
        del self._running[ask]
        error = None if task.cancelled() else task.exception()
        if error:
            _log.warning("model_not_loaded", model=ask.model, error=str(error))


@dataclass(frozen=True, slots=True)
class LoadPath:
    """The Responder of the requests that load. `body_limit` is in bytes; `waits`: see LOAD_PATHS."""

    context: InferenceContext
    path: str
    loads: LoadsBegun
    body_limit: int
    waits: bool
    dialect: Dialect = field(default=Dialect.OPENAI, init=False)
    """The shape of its errors."""

    def serve(self, exchange: Exchange, body: bytes) -> None:
        """Loads the model; every failure becomes an answer in the API's shape."""
        call = EngineRequest(self.context, self.path, exchange)
        try:
            fields = as_written(body, json_object(body))
            refuse_other_fields(fields)
            ask = self.context.parser.parse_fields(fields, INFERENCE_PATHS[COMPLETIONS])
            ask = replace(ask, path=None, otherwise=ask.otherwise and replace(ask.otherwise, path=None))
            if self.waits:
                call.load(ask, lambda: _answer(fields["model"], ready=True))
            else:
                exchange.run(self._begin(exchange, ask, fields["model"]))
        except APIError as error:
            exchange.fail(error)
        except Exception:  # noqa: BLE001 (the last place where a fault can still become an answer)
            _log.exception("request_failed", request_id=exchange.request_id)
            exchange.fail(InternalError(exchange.request_id))

    async def _begin(self, exchange: Exchange, ask: Ask, name: str) -> None:
        ready = await self.loads.begin(ask)
        exchange.answer(HTTPStatus.OK, JSON_TYPE, _answer(name, ready=ready))


def _answer(name: str, *, ready: bool) -> bytes:
    return orjson.dumps({"success": True, "model": name, "status": "loaded" if ready else "loading"})
