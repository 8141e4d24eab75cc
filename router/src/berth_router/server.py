"""The router's HTTP server: uvicorn, with a protocol that costs an answer less."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from berth_router.asgi import ASGIApp, Scope
from berth_router.settings import Settings

LEAVING = "berth.leaving"
"""The ASGI extension by which a request hears that its client left: a function put into its scope under this name is called then.

Listening on `receive` says the same, but costs a task for every request.
"""


def on_leaving(scope: Scope, callback: Callable[[], None]) -> bool:
    """Has `callback` called when the client of the request leaves before its answer is over; False where the server cannot."""
    if LEAVING not in scope.get("extensions", ()):
        return False
    scope[LEAVING] = callback
    return True


WRITING = "berth.writing"
"""The ASGI extension by which an answer is written without a coroutine: under this name the scope has a function that sends a piece of
the body if it can do so at once, and says whether it did.

A stream is made of small pieces, whose cost is that of the calls that they pass through.
"""


def writer(scope: Scope) -> Callable[[bytes], bool] | None:
    """The function that sends a piece of the request's answer at once, once for each request; None where the server has none."""
    # Taken out: in its own scope it would keep the request alive after its end.
    return scope.pop(WRITING, None)


def _write_at_once(cycle: RequestResponseCycle, data: bytes) -> bool:
    """See WRITING. Not where the client is slow, and not in an answer whose length was told, which uvicorn keeps count of."""
    if cycle.flow.write_paused or cycle.disconnected or not cycle.chunked_encoding:
        return False
    if data:
        cast("_CombiningTransport", cycle.transport).write_piece(b"%x\r\n%b\r\n" % (len(data), data))
    return True


_HEAD = b"HTTP/1."
"""What the head of an answer begins with."""


class ClientProtocol(HttpToolsProtocol):
    """A client's connection, with the extensions LEAVING and WRITING, and with writes put together."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self.transport = cast("asyncio.Transport", _CombiningTransport(transport, self.loop))

    def on_message_begin(self) -> None:
        """See httptools."""
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)["extensions"] = {LEAVING: {}, WRITING: {}}

    def on_headers_complete(self) -> None:
        """See httptools."""
        super().on_headers_complete()
        if self.cycle:  # of this very request, where it is not one for an upgrade
            cast("dict[str, Any]", self.cycle.scope)[WRITING] = partial(_write_at_once, self.cycle)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        super().connection_lost(exc)
        if self.cycle and self.cycle.disconnected:
            callback = cast("dict[str, Any]", self.cycle.scope).get(LEAVING)
            if callback:
                callback()


class _CombiningTransport:
    """Sends the head of an answer together with what follows within the same turn of the event loop, and all else at once.

    Deferring every piece of a stream would cost each of them another turn of the loop.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pending: list[bytes] = []

    def write(self, data: bytes) -> None:
        """See asyncio.WriteTransport."""
        if data.startswith(_HEAD):
            if not self._pending:
                self._loop.call_soon(self._flush)
            self._pending.append(data)
        else:
            self.write_piece(data)

    def write_piece(self, data: bytes) -> None:
        """As `write`, of what is not the head of an answer."""
        if self._pending:
            self._pending.append(data)
            self._flush()
        else:
            self._transport.write(data)

    def close(self) -> None:
        """See asyncio.BaseTransport. What was written is still sent."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._pending:
            data = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
            self._pending.clear()
            self._transport.write(data)


def server_config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    """How the router is served."""
    return uvicorn.Config(
        cast("Any", app),
        host=settings.host,
        port=settings.port,
        http=ClientProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=settings.drain_seconds,
    )
