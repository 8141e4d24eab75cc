"""Everything that is no inference path: FastAPI, which uvicorn serves over a pair of sockets within the process.

To the byte path it is one more engine, with a connection of its own for each request: no limit, no time-out and no rule
of a client's socket is left to another server.
"""

import asyncio
import socket
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from berth_router.asgi import ASGIApp
from berth_router.errors import ServiceUnavailableError
from berth_router.serving.engine import BrokenError, EngineConnection
from berth_router.serving.exchange import Exchange
from berth_router.serving.heads import ResponseHead

_NOT_PASSED_ON = frozenset(
    {
        b"connection",
        b"content-length",
        b"expect",
        b"keep-alive",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-request-id",
    }
)
"""Headers of a request that are this connection's alone, or said anew."""


class Management:
    """Answers the requests that are for the management API."""

    def __init__(self, app: ASGIApp, body_limit: int, head_bytes: int) -> None:
        self.body_limit = body_limit
        self._head_bytes = head_bytes
        self._config = uvicorn.Config(
            cast("Any", app),
            interface="asgi3",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
        )
        self._config.load()
        self._state = ServerState()

    def serve(self, exchange: Exchange, body: bytes) -> None:
        """Answers the request."""
        exchange.run(self._serve(exchange, body))

    async def _serve(self, exchange: Exchange, body: bytes) -> None:
        connection = await self._connect()
        rules = _AsItIs(exchange)
        exchange.forward(connection, _request(exchange, body), rules, lambda used: used.close())

    async def _connect(self) -> EngineConnection:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        try:
            await loop.connect_accepted_socket(lambda: HttpToolsProtocol(self._config, self._state, {}, loop), theirs)
        except BaseException:  # the client has left, say; from here on the event loop owns both
            ours.close()
            raise
        connection = EngineConnection(ours, self._head_bytes)
        await loop.create_connection(lambda: connection, sock=ours)
        return connection


class _AsItIs:
    """The answer passes unchanged."""

    renaming = None
    ending = None

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def answered(self, head: ResponseHead) -> None:
        """Nothing follows from it."""

    def refusal(self, head: ResponseHead, content: bytes) -> dict[str, Any] | None:
        """It has the API's shape."""
        return None

    def broken(self, error: BrokenError, *, stale: bool) -> None:
        """The application ended without an answer, or with half of one."""
        self._exchange.fail(ServiceUnavailableError("The router broke off its answer.", code="broken_off"))


def _request(exchange: Exchange, body: bytes) -> bytes:
    head = exchange.head
    lines = [b"%b %b HTTP/1.1\r\n" % (head.method.encode(), head.target)]
    lines += [b"%b: %b\r\n" % pair for pair in head.headers if pair[0] not in _NOT_PASSED_ON]
    if head.http10 and b"host" not in head.fields:
        lines.append(b"host: localhost\r\n")
    if body or head.method not in ("GET", "HEAD", "OPTIONS", "DELETE"):
        lines.append(b"content-length: %d\r\n" % len(body))
    lines.append(b"x-request-id: %b\r\nconnection: close\r\n\r\n" % exchange.request_id.encode())
    return b"".join(lines) + body
