"""Pooled keep-alive HTTP/1.1 connections to engines, with back-pressure in both directions.

Written on asyncio's protocols, since a general client costs several times the work of everything else in the router.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import cast
from urllib.parse import urlsplit

import httptools

CONNECT_SECONDS = 5.0
IDLE_SECONDS = 4.0
"""How long an idle connection is reused: below llama-server's keep-alive time-out, the shortest of the engines', of 5 s."""

MAX_IDLE_PER_ENGINE = 128
_HIGH_WATER = 256 * 1024
"""Bytes of an answer kept for a slow client before the engine is made to wait."""


Take = Callable[[bytes], bool]
"""Is offered bytes of an answer as they come; says whether it has taken them."""


class UpstreamError(Exception):
    """A connection to an engine failed."""


class ConnectError(UpstreamError):
    """No connection could be made: the engine got nothing."""


class BrokenError(UpstreamError):
    """The connection broke while an answer was awaited or read."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where an engine listens."""

    host: str
    port: int
    host_header: bytes
    base_path: bytes


@lru_cache(maxsize=1024)
def address_of(endpoint: str) -> Address:
    """The address in a base URL such as http://10.0.0.3:8080."""
    parts = urlsplit(endpoint)
    return Address(parts.hostname or "", parts.port or 80, parts.netloc.encode(), parts.path.rstrip("/").encode())


@dataclass(slots=True)
class Head:
    """The beginning of an answer; header names in lower case."""

    status: int
    headers: list[tuple[bytes, bytes]] = field(default_factory=list[tuple[bytes, bytes]])

    def get(self, name: bytes) -> bytes | None:
        """The header's first value."""
        return next((value for key, value in self.headers if key == name), None)


class Connection(asyncio.Protocol):
    """One connection to an engine: one request at a time, its answer read in chunks as they come."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_lost: Callable[["Connection"], None]) -> None:
        self._loop = loop
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._head: Head | None = None
        self._head_done = False
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._paused = False
        self._keep_alive = False
        self._complete = True
        self._lost = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._take: Take | None = None
        self.reused = False
        self.idle_since = 0.0
        self.received_any = False
        """Whether any byte of the current answer came."""

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return not self._lost and self._complete and self._transport is not None and not self._transport.is_closing()

    @property
    def reusable(self) -> bool:
        """Whether the answer is over and the engine keeps the connection open."""
        return self.usable and not self._chunks and self._keep_alive

    @property
    def ended(self) -> bool:
        """Whether all of the answer has been read."""
        return self._complete and not self._chunks

    def send(self, head: bytes, body: bytes) -> None:
        """Sends a request. Raises BrokenError."""
        if self._transport is None or self._lost:
            raise BrokenError("the connection was closed")
        self._parser = httptools.HttpResponseParser(self)
        self._head = None
        self._head_done = False
        self._complete = False
        self.received_any = False
        # The whole body is in memory anyway, so there is nothing to be gained from waiting until the engine has taken it.
        self._transport.write(head + body)

    async def head(self) -> Head:
        """Waits for the beginning of the answer. Raises BrokenError."""
        while not self._head_done:
            if self._error:
                raise self._error
            await self._news()
        return cast("Head", self._head)

    async def read(self, take: Take | None = None) -> bytes:
        """The next bytes of the answer's body, all that have come; b"" at its end. Raises BrokenError.

        What comes while this waits is offered to `take` at once, in the order of the answer; what that takes is not returned here.
        """
        while not self._chunks:
            if self._complete:
                return b""
            if self._error:
                raise self._error
            self._take = take
            await self._news()
        data = self._chunks.popleft() if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        if self._paused and self._transport and not self._lost:
            self._paused = False
            self._transport.resume_reading()
        return data

    def close(self) -> None:
        """Closes at once; an engine in the middle of an answer stops making it."""
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol. The event loop sets TCP_NODELAY."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._complete:
            # Bytes that no request asked for: the next answer on this connection could not be trusted.
            self._fail(BrokenError("the engine sent something that was not asked for"))
            return
        self.received_any = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(BrokenError(f"the engine's answer is not HTTP: {error}"))
            return
        chunks = self._chunks
        if self._take and chunks and not self._complete and self._take(chunks[0] if len(chunks) == 1 else b"".join(chunks)):
            chunks.clear()
            self._buffered = 0
            return
        if self._buffered > _HIGH_WATER and not self._paused and self._transport:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._lost = True
        if not self._complete and self._error is None:
            if exc is None and self._ends_with_connection():
                self._complete = True
            else:
                self._error = BrokenError(f"the engine closed the connection{f': {exc}' if exc else ''}")
        self._wake()
        self._on_lost(self)

    def on_message_begin(self) -> None:
        """See httptools."""
        self._head = Head(0)

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools."""
        if self._head:
            self._head.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """See httptools."""
        head = self._head or Head(0)
        head.status = self._parser.get_status_code()
        self._head = head
        self._head_done = head.status >= 200
        self._keep_alive = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._chunks.append(body)
        self._buffered += len(body)

    def on_message_complete(self) -> None:
        """See httptools. An interim answer (1xx) is followed by the real one."""
        self._complete = self._head_done

    def _ends_with_connection(self) -> bool:
        head = self._head
        return self._head_done and head is not None and head.get(b"content-length") is None and head.get(b"transfer-encoding") is None

    def _fail(self, error: Exception) -> None:
        self._error = error
        self._lost = True
        self.close()
        self._wake()

    def _news(self) -> asyncio.Future[None]:
        """Done when more has come or the connection is lost."""
        self._waiter = self._loop.create_future()  # asking asyncio for the running loop would cost a system call
        return self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        self._take = None
        if waiter and not waiter.done():
            waiter.set_result(None)


class ConnectionPool:
    """Idle connections by engine; the one used last is taken first, so that the rest can time out."""

    def __init__(self) -> None:
        self._idle: dict[Address, list[Connection]] = {}

    async def acquire(self, address: Address, *, fresh: bool = False) -> Connection:
        """An idle connection, or a new one. `fresh`: only a new one. Raises ConnectError."""
        idle = self._idle.get(address)
        while idle and not fresh:
            connection = idle.pop()
            if connection.usable and time.monotonic() - connection.idle_since < IDLE_SECONDS:
                connection.reused = True
                return connection
            connection.close()
        return await self._connect(address)

    def release(self, address: Address, connection: Connection) -> None:
        """Takes a connection back: kept when its answer has been read to the end, else closed."""
        idle = self._idle.setdefault(address, [])
        if not connection.reusable or len(idle) >= MAX_IDLE_PER_ENGINE:
            connection.close()
            return
        connection.idle_since = time.monotonic()
        idle.append(connection)

    def close(self) -> None:
        """Closes all idle connections."""
        for idle in list(self._idle.values()):
            for connection in list(idle):
                connection.close()

    async def _connect(self, address: Address) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, lambda lost: self._forget(address, lost)), address.host, address.port
                )
        except (OSError, TimeoutError) as error:
            reason = str(error) or "timed out"
            raise ConnectError(f"no connection to the engine at {address.host}:{address.port}: {reason}") from error
        return connection

    def _forget(self, address: Address, connection: Connection) -> None:
        """Takes a closed connection out: engines close idle ones, and an engine that is gone leaves no entry behind."""
        idle = self._idle.get(address)
        if idle is None:
            return
        if connection in idle:
            idle.remove(connection)
        if not idle:
            del self._idle[address]
