"""The way to the management API, which FastAPI answers: uvicorn serves it over a pair of sockets in this process.

To the byte path the management API is one more engine, with a connection of its own for each request. So all bounds and
time-outs of a client's connection hold here too. Those of an engine's silence do not.
"""

import asyncio
import socket
from typing import Any, cast

import orjson
import structlog
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from berth_router.errors import APIError, InternalError, ServiceUnavailableError, request_id
from berth_router.serving.engine import BrokenAnswerError, EngineConnection
from berth_router.serving.exchange import Exchange

_log = structlog.get_logger(__name__)

_NOT_FORWARDED = frozenset(
    {
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"expect",
        b"keep-alive",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-request-id",
    }
)
"""A request's headers that concern the client's connection alone, that the bridge writes itself, or that say how the
body was packed before it came here. Every body is JSON: `curl -d` says that it is a form."""


class ManagementBridge:
    """Forwards requests to the management API. `body_limit` and `head_bytes` are in bytes."""

    def __init__(self, app: ASGIApp, body_limit: int, head_bytes: int) -> None:
        self.body_limit = body_limit
        self._head_bytes = head_bytes
        self._config = uvicorn.Config(
            cast("Any", _with_request_ids(app)),
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
        rules = _UnchangedAnswer(exchange)
        exchange.forward(connection, _request(exchange, body), rules, lambda used: used.close())

    async def _connect(self) -> EngineConnection:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        try:
            await loop.connect_accepted_socket(lambda: HttpToolsProtocol(self._config, self._state, {}, loop), theirs)
        except BaseException:  # such as a client that left; from here on the event loop owns both sockets
            ours.close()
            raise
        connection = EngineConnection(ours, self._head_bytes)
        await loop.create_connection(lambda: connection, sock=ours)
        return connection


class _UnchangedAnswer:
    """The AnswerRules of the management API: its answer passes as it is."""

    rewriter = None
    done_appender = None
    may_be_silent = True  # a download that is answered once, at its end, takes as long as the model is large

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def on_engine_answered(self) -> None:
        """Does nothing."""

    def refusal(self, status: int, content: bytes) -> APIError | None:
        """None: the management API's refusals already have the API's shape."""
        return None

    def asks_otherwise(self, error: APIError) -> bool:
        """Never: what the management API refuses, it refuses."""
        return False

    def on_engine_broken(self, error: BrokenAnswerError, *, stale: bool) -> None:
        """Reports to the client that the application ended without an answer, or with half of one."""
        self._exchange.fail(ServiceUnavailableError("The router broke off its answer.", code="broken_off"))


def _request(exchange: Exchange, body: bytes) -> bytes:
    head = exchange.head
    # What GET answers, HEAD answers without a body, and the exchange leaves that out.
    method = "GET" if head.method == "HEAD" else head.method
    lines = [b"%b %b HTTP/1.1\r\n" % (method.encode(), head.target)]
    lines += [b"%b: %b\r\n" % pair for pair in head.headers if pair[0] not in _NOT_FORWARDED]
    if head.http10 and b"host" not in head.fields:
        lines.append(b"host: localhost\r\n")
    if body or head.method not in ("GET", "HEAD", "OPTIONS", "DELETE"):
        lines.append(b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body))
    lines.append(b"x-request-id: %b\r\nconnection: close\r\n\r\n" % exchange.request_id.encode())
    return b"".join(lines) + body


def _with_request_ids(app: ASGIApp) -> ASGIApp:
    """The application, whose answers all have the request's id, also where the application fails before it answers."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        sent_id = next((value for name, value in scope["headers"] if name == b"x-request-id"), None)
        scope["berth_request_id"] = own_id = request_id(sent_id)
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", []), (b"x-request-id", own_id.encode())]
            await send(message)

        try:
            await app(scope, receive, send_with_id)
        except Exception:  # noqa: BLE001 (the last place where a fault can still become an answer)
            # FastAPI raises again what its handler has already logged and answered.
            if not started:
                _log.exception("request_failed", request_id=own_id)
                body = orjson.dumps(InternalError(own_id).content())
                headers = [
                    (b"content-type", b"application/json"),
                    (b"content-length", str(len(body)).encode()),
                ]
                await send_with_id({"type": "http.response.start", "status": InternalError.status, "headers": headers})
                await send({"type": "http.response.body", "body": body})

    return answer
