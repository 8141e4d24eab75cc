"""Pooled keep-alive HTTP/1.1 connections to engines, with back-pressure in both directions.

Written on sockets, since a general client costs several times the work of everything else in the router, and since every token of a stream
pays for each layer that it passes: engines of small models compute on the very processors that the router runs on.
"""

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol, cast
from urllib.parse import urlsplit

import httptools
from aiohappyeyeballs import start_connection  # pyright: ignore[reportUnknownVariableType]

CONNECT_SECONDS = 5.0
IDLE_SECONDS = 4.0
"""How long an idle connection is reused: below llama-server's keep-alive time-out, the shortest of the engines', of 5 s."""

MAX_IDLE_PER_ENGINE = 128
_HIGH_WATER = 256 * 1024
"""Bytes of an answer kept for a slow client before the engine is made to wait."""

_READ = 64 * 1024
"""Bytes read at once."""

_LONGEST_CHUNK_SIZE = 8
"""Digits of a chunk's size."""


class Taker(Protocol):
    """Is offered an answer as it comes; each method says whether it has taken what it was given."""

    def take(self, data: bytes) -> bool:
        """Bytes of the body."""
        ...

    def take_chunk(self, chunk: bytes, start: int) -> bool:
        """A whole chunk of HTTP/1.1's chunked coding, whose bytes of the body are `chunk[start:-2]`."""
        ...


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


def start_of_chunk(data: bytes) -> int:
    """Where the body's bytes begin, if these are one whole chunk and not the last one; else 0."""
    line = data.find(b"\r\n", 1, 2 + _LONGEST_CHUNK_SIZE)
    if line < 0:
        return 0
    try:
        size = int(data[:line], 16)
    except ValueError:
        return 0
    return line + 2 if size > 0 and len(data) == line + 4 + size and data.endswith(b"\r\n") else 0


class Connection:
    """One connection to an engine, over a connected socket that does not block: one request at a time, its answer read as it comes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connected: socket.socket, on_lost: Callable[["Connection"], None]) -> None:
        self._loop = loop
        self._socket = connected
        self._on_lost = on_lost
        self._unsent = memoryview(b"")
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
        self._taker: Taker | None = None
        self._between_chunks = False
        """Whether a chunk of the body was the last that came, and all of it."""
        self.reused = False
        self.idle_since = 0.0
        self.received_any = False
        """Whether any byte of the current answer came."""
        loop.add_reader(connected, self._on_readable)

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return not self._lost and self._complete

    @property
    def reusable(self) -> bool:
        """Whether the answer is over and the engine keeps the connection open."""
        return self.usable and not self._chunks and self._keep_alive and not self._unsent

    @property
    def ended(self) -> bool:
        """Whether all of the answer has been read."""
        return self._complete and not self._chunks

    def send(self, head: bytes, body: bytes) -> None:
        """Sends a request. Raises BrokenError."""
        if self._lost:
            raise BrokenError("the connection was closed")
        self._parser = httptools.HttpResponseParser(self)
        self._head = None
        self._head_done = False
        self._complete = False
        self._between_chunks = False
        self.received_any = False
        # The whole body is in memory anyway, so there is nothing to be gained from waiting until the engine has taken it.
        self._unsent = memoryview(head + body)
        self._send_on()
        if self._unsent:
            self._loop.add_writer(self._socket, self._send_on)

    async def head(self) -> Head:
        """Waits for the beginning of the answer. Raises BrokenError."""
        while not self._head_done:
            if self._error:
                raise self._error
            await self._news()
        return cast("Head", self._head)

    async def read(self, taker: Taker | None = None) -> bytes:
        """The next bytes of the answer's body, all that have come; b"" at its end. Raises BrokenError.

        What comes while this waits is offered to `taker` at once, in the order of the answer; what that takes is not returned here.
        """
        while not self._chunks:
            if self._complete:
                return b""
            if self._error:
                raise self._error
            self._taker = taker
            await self._news()
        data = self._chunks.popleft() if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        if self._paused and not self._lost:
            self._paused = False
            self._loop.add_reader(self._socket, self._on_readable)
        return data

    def close(self) -> None:
        """Closes at once; an engine in the middle of an answer stops making it."""
        if self._lost:
            return
        self._lost = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        if not self._complete and self._error is None:
            self._error = BrokenError("the connection was closed")
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

    def on_chunk_header(self) -> None:
        """See httptools."""
        self._between_chunks = False

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._chunks.append(body)
        self._buffered += len(body)

    def on_chunk_complete(self) -> None:
        """See httptools."""
        self._between_chunks = True

    def on_message_complete(self) -> None:
        """See httptools. An interim answer (1xx) is followed by the real one."""
        self._complete = self._head_done

    def _send_on(self) -> None:
        """Sends what is left of the request, as much of it as goes."""
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            # The engine closed the connection, perhaps after an answer that says why: whoever reads will find out.
            self._unsent = memoryview(b"")
        if not self._unsent:
            self._loop.remove_writer(self._socket)

    def _on_readable(self) -> None:
        try:
            data = self._socket.recv(_READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._break_off(f"the engine closed the connection: {error}")
            return
        if self._taker and self._between_chunks and (start := start_of_chunk(data)) and self._taker.take_chunk(data, start):
            # The parser stands where the chunk began and would stand there again after it: it need not see the chunk.
            return
        if data:
            self._on_data(data)
        elif self._ends_with_connection():
            self._complete = True
            self.close()
        else:
            self._break_off("the engine closed the connection")

    def _on_data(self, data: bytes) -> None:
        if self._complete:
            # Bytes that no request asked for: the next answer on this connection could not be trusted.
            self._break_off("the engine sent something that was not asked for")
            return
        self.received_any = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._break_off(f"the engine's answer is not HTTP: {error}")
            return
        # It may have ended within the size of the next chunk, which no callback tells of.
        self._between_chunks = self._between_chunks and data.endswith(b"\r\n")
        chunks = self._chunks
        if self._taker and chunks and not self._complete and self._taker.take(chunks[0] if len(chunks) == 1 else b"".join(chunks)):
            chunks.clear()
            self._buffered = 0
            return
        if self._buffered > _HIGH_WATER and not self._paused:
            self._paused = True
            self._loop.remove_reader(self._socket)
        self._wake()

    def _ends_with_connection(self) -> bool:
        head = self._head
        return self._head_done and head is not None and head.get(b"content-length") is None and head.get(b"transfer-encoding") is None

    def _break_off(self, reason: str) -> None:
        if not self._complete:
            self._error = self._error or BrokenError(reason)
        self.close()

    def _news(self) -> asyncio.Future[None]:
        """Done when more has come or the connection is lost."""
        self._waiter = self._loop.create_future()  # asking asyncio for the running loop would cost a system call
        return self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        self._taker = None
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
                connected = await _connected(loop, address)
        except (OSError, TimeoutError) as error:
            reason = str(error) or "timed out"
            raise ConnectError(f"no connection to the engine at {address.host}:{address.port}: {reason}") from error
        return Connection(loop, connected, lambda lost: self._forget(address, lost))

    def _forget(self, address: Address, connection: Connection) -> None:
        """Takes a closed connection out: engines close idle ones, and an engine that is gone leaves no entry behind."""
        idle = self._idle.get(address)
        if idle is None:
            return
        if connection in idle:
            idle.remove(connection)
        if not idle:
            del self._idle[address]


async def _connected(loop: asyncio.AbstractEventLoop, address: Address) -> socket.socket:
    """A socket connected to one of the host's addresses. Raises OSError."""
    resolved = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    connected = await start_connection(resolved)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected
