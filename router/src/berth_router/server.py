"""The router's HTTP server: uvicorn, with a protocol that costs an answer less."""

import asyncio
import os
from collections.abc import Callable
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
"""The ASGI extension by which an answer is written without a coroutine: under this name the scope has a ChunkWriter.

A stream is made of small pieces, whose cost is that of the calls that they pass through.
"""


class ChunkWriter:
    """Sends an answer in HTTP/1.1's chunked coding, a whole chunk at a time.

    It writes past the event loop, whose own way to the socket is a long one, as long as the event loop has nothing to write.
    """

    def __init__(self, cycle: RequestResponseCycle, transport: "_CombiningTransport") -> None:
        self._cycle = cycle
        self._transport = transport
        self._waiting: Callable[[], int] = transport.get_write_buffer_size
        self._descriptor: int = transport.get_extra_info("socket").fileno()

    @property
    def ready(self) -> bool:
        """Whether a chunk can be sent at once: not to a client that is slow or gone, and not in an answer whose length was told."""
        cycle = self._cycle
        return cycle.chunked_encoding is True and not cycle.flow.write_paused and not cycle.disconnected

    def write(self, chunk: bytes) -> bool:
        """Sends the chunk, if that is possible at once; whether it did."""
        if not self.ready:
            return False
        if self._waiting() or self._transport.pending:
            self._transport.write_piece(chunk)
            return True
        # The descriptor is closed, and free for another connection, only after the protocol has been told: not while the client is there.
        try:
            written = os.write(self._descriptor, chunk)
        except OSError:
            written = 0  # the event loop will meet the same error and handle it, or wait
        if written < len(chunk):
            self._transport.write_piece(chunk[written:])
        return True


def writer(scope: Scope) -> ChunkWriter | None:
    """What sends pieces of the request's answer at once, once for each request; None where the server has none."""
    # Taken out: in its own scope it would keep the request alive after its end.
    return scope.pop(WRITING, None)


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
            cast("dict[str, Any]", self.cycle.scope)[WRITING] = ChunkWriter(self.cycle, cast("_CombiningTransport", self.transport))

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
        self.pending: list[bytes] = []
        """What is still to be sent in this turn."""

    def write(self, data: bytes) -> None:
        """See asyncio.WriteTransport."""
        if data.startswith(_HEAD):
            if not self.pending:
                self._loop.call_soon(self._flush)
            self.pending.append(data)
        else:
            self.write_piece(data)

    def write_piece(self, data: bytes) -> None:
        """As `write`, of what is not the head of an answer."""
        if self.pending:
            self.pending.append(data)
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
        if self.pending:
            data = self.pending[0] if len(self.pending) == 1 else b"".join(self.pending)
            self.pending.clear()
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
