"""The router's HTTP server: uvicorn, with a protocol that costs an answer less."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

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


_HEAD = b"HTTP/1."
"""What the head of an answer begins with."""


class ClientProtocol(HttpToolsProtocol):
    """A client's connection, with the extension LEAVING, and with writes put together."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self.transport = cast("asyncio.Transport", _CombiningTransport(transport, self.loop))

    def on_message_begin(self) -> None:
        """See httptools."""
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)["extensions"] = {LEAVING: {}}

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
        elif self._pending:
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
