"""An engine of bare sockets: it sends whatever a test says, at once."""

import asyncio
import select
import socket
from contextlib import suppress
from typing import Any, Self

import orjson

from tests.unit.addresses import own_address
from tests.unit.serving.wire import PATIENCE_SECONDS

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"


def counted(body: bytes, head: bytes = OK) -> bytes:
    """An answer with its length."""
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


class RawEngineConnection:
    """A connection that the router has made."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._received = b""

    async def request(self) -> dict[str, Any]:
        """The body of the next request. Raises EOFError where the router has closed the connection."""
        while b"\r\n\r\n" not in self._received:
            await self._more()
        head, _, body = self._received.partition(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
        self._received = body
        while len(self._received) < length:
            await self._more()
        body, self._received = self._received[:length], self._received[length:]
        return orjson.loads(body)

    def has_received(self) -> bool:
        """Whether bytes are there that nobody has read."""
        try:
            return self.socket.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return False

    def has_ended(self) -> bool:
        """Whether the router has closed the connection."""
        try:
            return self.socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except ConnectionError:
            return True

    async def receives(self) -> bool:
        """Waits until bytes are there, and leaves them there; False where the router closes the connection."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    return self.socket.recv(1, socket.MSG_PEEK) != b""
                except BlockingIOError:
                    await asyncio.sleep(0.001)

    def send(self, data: bytes) -> None:
        """Sends these few bytes now."""
        assert self.socket.send(data) == len(data)

    async def send_all(self, data: bytes) -> None:
        """Sends these bytes as they are taken. Raises ConnectionError."""
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    def discard(self) -> None:
        """Reads what has come, whatever it is."""
        with suppress(BlockingIOError):
            self.socket.recv(65536)

    async def closed(self) -> None:
        """Returns when the router has closed the connection. Raises AssertionError where it sends something."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert await asyncio.get_running_loop().sock_recv(self.socket, 65536) == b""
        except ConnectionError:
            pass

    async def _more(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            data = await asyncio.get_running_loop().sock_recv(self.socket, 65536)
        if not data:
            raise EOFError
        self._received += data


class RawEngine:
    """The listener. Use as a context."""

    def __init__(self) -> None:
        self._listener = socket.create_server((own_address(), 0))
        self._listener.setblocking(False)
        self._connections: list[RawEngineConnection] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The base URL."""
        host, port = self._listener.getsockname()
        return f"http://{host}:{port}"

    def stop(self) -> None:
        """Closes the port and all connections."""
        self._listener.close()
        for connection in self._connections:
            connection.socket.close()

    async def connection(self) -> RawEngineConnection:
        """The next connection that the router makes."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            connected, _ = await asyncio.get_running_loop().sock_accept(self._listener)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = RawEngineConnection(connected)
        self._connections.append(connection)
        return connection

    @property
    def waiting(self) -> bool:
        """Whether the router has made a connection that nobody has taken, which is left there."""
        return bool(select.select([self._listener], [], [], 0)[0])

    @property
    def asked(self) -> bool:
        """Whether the router has made a connection that nobody has taken."""
        self._listener.setblocking(False)
        try:
            connected, _ = self._listener.accept()
        except BlockingIOError:
            return False
        connected.close()
        return True
