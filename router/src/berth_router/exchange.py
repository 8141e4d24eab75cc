"""The client's side of one request: its body read, its answer sent in whatever form it has by then, its leaving noticed."""

import asyncio
from http import HTTPStatus
from typing import Any

from berth_router.asgi import Receive, Scope, Send
from berth_router.errors import APIError, RequestTooLargeError, event_of, request_id_of, send_error

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

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        self.request_id = request_id_of(self._headers)
        self.status = 0
        """The status that was sent; 0 before."""
        self.left = False
        """Whether the client has left."""
        self._streams_events = False
        self._event_complete = True
        self._finished = False
        self._watcher: asyncio.Task[None] | None = None

    @property
    def started(self) -> bool:
        """Whether the answer has begun."""
        return self.status != 0

    @property
    def streams_events(self) -> bool:
        """Whether the answer that has begun is a stream of events."""
        return self._streams_events

    def header(self, name: bytes) -> bytes | None:
        """The request header's first value. `name` in lower case."""
        return next((value for key, value in self._headers if key == name), None)

    async def read_body(self, limit: int) -> bytes:
        """The whole request body. Raises RequestTooLargeError, ClientLeftError."""
        length = self.header(b"content-length")
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

    def watch_for_leaving(self) -> None:
        """Cancels the current task when the client leaves. Call it once the body has been read."""
        task = asyncio.current_task()

        async def watch() -> None:
            message = await self._receive()
            if message["type"] == "http.disconnect" and not self._finished and task:
                self.left = True
                task.cancel()

        self._watcher = asyncio.create_task(watch())

    def close(self) -> None:
        """Stops watching."""
        self._finished = True
        if self._watcher:
            self._watcher.cancel()

    async def start(self, status: int, headers: list[tuple[bytes, bytes]], *, streams_events: bool) -> None:
        """Begins the answer."""
        self._streams_events = streams_events
        await self._start(status, [*headers, (b"x-request-id", self.request_id.encode())])

    async def start_events(self) -> None:
        """Begins a stream of events of the router's own."""
        await self.start(HTTPStatus.OK, list(_EVENT_STREAM), streams_events=True)

    async def write(self, data: bytes) -> None:
        """Sends a part of the answer; waits while the client is slow."""
        self._event_complete = data.endswith((b"\n\n", b"\r\n\r\n"))
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
            await send_error(self._send, error, self.request_id)
        elif self._streams_events:
            await self.finish((b"" if self._event_complete else b"\n\n") + event_of(error))

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status = status
        start: dict[str, Any] = {"type": "http.response.start", "status": status, "headers": headers}
        await self._send(start)


def _too_large(limit: int) -> RequestTooLargeError:
    return RequestTooLargeError(f"The body is larger than the {limit} bytes that this router takes.", code="request_too_large")
