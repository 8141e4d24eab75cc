"""The client's side of one request: its body read, its answer sent in whatever form it has by then, its leaving noticed."""

import asyncio
from http import HTTPStatus
from typing import Any

from berth_router.asgi import Receive, Scope, Send
from berth_router.errors import APIError, Dialect, RequestTooLargeError, event_of, request_id, send_error
from berth_router.server import on_leaving, writer

CLIENT_LEFT = 499
"""The status, known from nginx, under which a client is counted that left before its answer began."""

_EVENT_STREAM = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # a proxy in between must pass each event on as it comes
)


class ClientLeftError(Exception):
    """The client closed its connection before it had sent its whole request."""


class Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, dialect: Dialect = Dialect.OPENAI) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        """The request's headers, names in lower case; of a header that came twice, the last."""
        self.request_id = request_id(self.headers.get(b"x-request-id"))
        self.dialect = dialect
        self.status = 0
        """The status that was sent; 0 before."""
        self.left = False
        """Whether the client has left."""
        self._streams_events = False
        self.last_written = b""
        """The last piece of the answer that was sent."""
        self.writer = writer(scope)
        """What sends pieces of the answer at once; None where the server has none. Tell `last_written` of them."""
        self._finished = False
        self._task: asyncio.Task[Any] | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def started(self) -> bool:
        """Whether the answer has begun."""
        return self.status != 0

    @property
    def streams_events(self) -> bool:
        """Whether the answer that has begun is a stream of events."""
        return self._streams_events

    async def read_body(self, limit: int) -> bytes:
        """The whole request body. Raises RequestTooLargeError, ClientLeftError."""
        length = self.headers.get(b"content-length")
        if length and int(length) > limit:
            raise _too_large(limit)
        message = await self._receive()
        if not message.get("more_body") and message["type"] == "http.request":
            body: bytes = message.get("body", b"")
            return body
        parts: list[bytes] = []
        size = 0
        while True:
            if message["type"] == "http.disconnect":
                raise ClientLeftError
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise _too_large(limit)
            if not message.get("more_body"):
                return b"".join(parts)
            message = await self._receive()

    def watch_for_leaving(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancels the current task of the running loop when the client leaves. Call it once the body has been read."""
        self._task = asyncio.current_task(loop)
        if not on_leaving(self._scope, self._leave):
            self._watcher = asyncio.create_task(self._watch())

    def close(self) -> None:
        """Stops watching."""
        self._finished = True
        if self._watcher:
            self._watcher.cancel()

    async def start(self, status: int, headers: list[tuple[bytes, bytes]], *, streams_events: bool) -> None:
        """Begins the answer."""
        self._streams_events = streams_events
        self.status = status
        headers.append((b"x-request-id", self.request_id.encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def start_events(self) -> None:
        """Begins a stream of events of the router's own."""
        await self.start(HTTPStatus.OK, list(_EVENT_STREAM), streams_events=True)

    async def write(self, data: bytes) -> None:
        """Sends a part of the answer; waits while the client is slow."""
        self.last_written = data
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def comment(self, text: str) -> None:
        """Sends a comment, which clients of an event stream skip; begins the stream where it has not begun."""
        if not self.started:
            await self.start_events()
        await self.write(b": " + text.encode() + b"\n\n")

    async def finish(self, data: bytes = b"") -> None:
        """Ends the answer."""
        self._finished = True
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def fail(self, error: APIError) -> None:
        """Tells the client of the error in the form that the answer can still take.

        Not begun: as a plain answer. A stream: as an event, without [DONE]. Anything else is left unfinished, so that the server
        cuts the connection.
        """
        if not self.started:
            self._finished = True
            self.status = error.status
            await send_error(self._send, error, self.request_id, self.dialect)
        elif self._streams_events:
            cut_off = self.last_written and not self.last_written.endswith((b"\n\n", b"\r\n\r\n"))
            await self.finish((b"\n\n" if cut_off else b"") + event_of(error, self.dialect))

    async def _watch(self) -> None:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._leave()

    def _leave(self) -> None:
        if not self._finished and self._task:
            self.left = True
            self._task.cancel()


def _too_large(limit: int) -> RequestTooLargeError:
    return RequestTooLargeError(f"The body is larger than the {limit} bytes that this router takes.", code="request_too_large")
