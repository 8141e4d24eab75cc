"""The router's HTTP server: uvicorn, with a protocol that costs an answer less."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any, cast

import httptools
import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from berth_router.asgi import ASGIApp, Scope
from berth_router.errors import HeadTooLargeError
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
    """Sends an answer in HTTP/1.1's chunked coding, a whole chunk at a time."""

    def __init__(self, cycle: RequestResponseCycle, transport: "_CombiningTransport") -> None:
        self._cycle = cycle
        self._transport = transport

    @property
    def ready(self) -> bool:
        """Whether a chunk can be sent at once: not to a client that is slow or gone, and not in an answer whose length was told."""
        cycle = self._cycle
        return cycle.chunked_encoding is True and not cycle.flow.write_paused and not cycle.disconnected

    def write(self, chunk: bytes) -> bool:
        """Sends the chunk, if that is possible at once; whether it did."""
        if not self.ready:
            return False
        # Through the transport alone: a number of a closed socket soon belongs to another client.
        self._transport.write_piece(chunk)
        return True


def writer(scope: Scope) -> ChunkWriter | None:
    """What sends pieces of the request's answer at once, once for each request; None where the server has none."""
    # Taken out: in its own scope it would keep the request alive after its end.
    return scope.pop(WRITING, None)


_HEAD = b"HTTP/1."
"""What the head of an answer begins with."""


MAX_HEAD_BYTES = 64 * 1024
"""The longest head of a request that is taken: what the parser costs grows with the square of a head that comes in pieces."""


_LINGER_SECONDS = 1.0
"""How long a client that was refused in the middle of its request has to take the refusal."""


class ClientProtocol(HttpToolsProtocol):
    """A client's connection, with the extensions LEAVING and WRITING, with a bound for heads, and with writes put together."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self.transport = cast("asyncio.Transport", _CombiningTransport(transport, self.loop))
        self._unanswered: list[RequestResponseCycle] = []
        self._in_head = False
        self._head_bytes = 0
        self._refused = False

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._refused:
            return
        was_in_head = self._in_head
        super().data_received(data)
        if was_in_head and self._in_head and not self._refused:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse_head()

    def on_message_begin(self) -> None:
        """See httptools."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0
        cast("dict[str, Any]", self.scope)["extensions"] = {LEAVING: {}, WRITING: {}}

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._in_head = False
        if sum(len(name) + len(value) + 4 for name, value in self.headers) + len(self.url) > MAX_HEAD_BYTES:
            raise _HeadTooLongError
        super().on_headers_complete()
        if self.cycle:  # of this very request, where it is not one for an upgrade
            cast("dict[str, Any]", self.cycle.scope)[WRITING] = ChunkWriter(self.cycle, cast("_CombiningTransport", self.transport))
            self._unanswered = [*(cycle for cycle in self._unanswered if not cycle.response_complete), self.cycle]

    def send_400_response(self, msg: str) -> None:
        """Refuses what the parser could not take, and closes the connection."""
        if isinstance(sys.exception(), httptools.HttpParserCallbackError):
            self._refuse_head()
        else:
            super().send_400_response(msg)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol. Tells each request that came on the connection, of which uvicorn itself tells the newest."""
        super().connection_lost(exc)
        for cycle in self._unanswered:
            if cycle.response_complete:
                continue
            cycle.disconnected = True
            cycle.message_event.set()
            callback = cast("dict[str, Any]", cycle.scope).get(LEAVING)
            if callback:
                callback()
        self._unanswered.clear()

    def _refuse_head(self) -> None:
        error = HeadTooLargeError(f"The head of the request is longer than {MAX_HEAD_BYTES} bytes.", code="head_too_large")
        body = orjson.dumps(error.content())
        head = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(head + b"content-length: %d\r\n\r\n%b" % (len(body), body))
        # A socket that is closed while its client still sends is reset, and the refusal with it.
        self._refused = True
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)


class _HeadTooLongError(Exception):
    """The head is longer than MAX_HEAD_BYTES."""


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
