"""Connections to engines, opened and kept: where an engine listens, and which connections to it are idle."""

import asyncio
import socket
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from aiohappyeyeballs import start_connection  # pyright: ignore[reportUnknownVariableType]

from berth_router.serving.engine import EngineConnection
from berth_router.serving.sockets import set_peer_timeout

IDLE_SECONDS = 4.0
"""How long an idle connection is kept. llama-server, the first of the engines to close one, does so after 5 s."""

MAX_IDLE_PER_ENGINE = 128

_MOST_WITHDRAWN = 1024
"""Of so many engines that were withdrawn the pool knows it: the last ones. Requests to the others have ended long ago,
and their connections are closed when they have been idle for `IDLE_SECONDS`."""


class EngineConnectError(Exception):
    """The router could not connect to the engine, which got nothing of the request."""


@dataclass(frozen=True, slots=True, eq=False)
class EngineAddress:
    """Where an engine listens.

    `engine_address` makes one object for each endpoint. So addresses compare by identity, which is fast.
    """

    host: str
    port: int
    host_header: bytes
    base_path: bytes
    authorization: bytes = b""
    """The line of a request's head that carries the engine's key; empty where it asks for none."""


@lru_cache(maxsize=1024)
def engine_address(endpoint: str, key: str | None = None) -> EngineAddress:
    """The address of a base URL such as http://10.0.0.3:8080, whose engine asks for this key."""
    parts = urlsplit(endpoint)
    return EngineAddress(
        parts.hostname or "",
        parts.port or 80,
        parts.netloc.encode(),
        parts.path.rstrip("/").encode(),
        f"authorization: Bearer {key}\r\n".encode() if key else b"",
    )


class EnginePool:
    """Idle connections by engine. The connection used last is taken first, so that the rest can time out."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, head_bytes: int, connect_seconds: float, peer_seconds: float
    ) -> None:
        self._loop = loop
        self._head_bytes = head_bytes
        self._connect_seconds = connect_seconds
        self._peer_seconds = peer_seconds
        self._idle: dict[EngineAddress, list[EngineConnection]] = {}
        self._withdrawn: dict[EngineAddress, None] = {}
        """Engines that get no more requests. A dictionary, since that keeps the order."""

    def take_idle(self, address: EngineAddress) -> EngineConnection | None:
        """An idle connection, which is the caller's now; None where there is none."""
        idle = self._idle.get(address)
        while idle:
            connection = idle.pop()
            fresh = self._loop.time() - connection.idle_since < IDLE_SECONDS
            if fresh and connection.usable and connection.nothing_unread:
                connection.reused = True
                return connection
            connection.close()
        return None

    async def connect(self, address: EngineAddress) -> EngineConnection:
        """A new connection, which is the caller's. Raises EngineConnectError."""
        connection: EngineConnection | None = None
        connected: socket.socket | None = None
        try:
            async with asyncio.timeout(self._connect_seconds):
                connected = await self._open_socket(address)
                connection = protocol = EngineConnection(
                    connected, self._head_bytes, lambda closed: self._remove_closed(address, closed)
                )
                await self._loop.create_connection(lambda: protocol, sock=connected)
        except (OSError, TimeoutError) as error:
            _close(connection, connected)
            reason = str(error) or "timed out"
            text = f"no connection to the engine at {address.host}:{address.port}: {reason}"
            raise EngineConnectError(text) from error
        except asyncio.CancelledError:
            _close(connection, connected)
            raise
        return connection

    def release(self, address: EngineAddress, connection: EngineConnection) -> None:
        """Takes a connection back, to keep it or to close it.

        It is kept if its answer was whole, the engine keeps it open, and the engine was not withdrawn.
        """
        idle = self._idle.setdefault(address, [])
        if not connection.reusable or len(idle) >= MAX_IDLE_PER_ENGINE or address in self._withdrawn:
            connection.close()
            if not idle:
                del self._idle[address]
            return
        connection.idle_since = self._loop.time()
        idle.append(connection)

    def offer(self, address: EngineAddress) -> None:
        """The engine takes requests: its connections are kept."""
        self._withdrawn.pop(address, None)

    def withdraw(self, address: EngineAddress) -> None:
        """The engine gets no more requests: its connections are closed, those in use when their answers are complete.

        The end of its pod waits for them, and somebody may wait for what it holds.
        """
        self._withdrawn[address] = None
        if len(self._withdrawn) > _MOST_WITHDRAWN:
            del self._withdrawn[next(iter(self._withdrawn))]
        for connection in self._idle.pop(address, ()):
            connection.close()

    def sweep(self) -> None:
        """Closes what has been idle for too long. Open connections would hold up the drain of an engine."""
        oldest = self._loop.time() - IDLE_SECONDS
        for address, idle in list(self._idle.items()):
            fresh = [connection for connection in idle if connection.idle_since > oldest]
            for connection in idle[: len(idle) - len(fresh)]:
                connection.close()
            if fresh:
                self._idle[address] = fresh
            else:
                del self._idle[address]

    @property
    def empty(self) -> bool:
        """Whether no connection is idle."""
        return not self._idle

    def close(self) -> None:
        """Closes all idle connections."""
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()

    def _remove_closed(self, address: EngineAddress, connection: EngineConnection) -> None:
        """Forgets an idle connection that its engine closed, so that an engine that is gone leaves no entry behind."""
        idle = self._idle.get(address)
        if idle and connection in idle:
            idle.remove(connection)
            if not idle:
                del self._idle[address]

    async def _open_socket(self, address: EngineAddress) -> socket.socket:
        """A socket connected to one of the host's addresses. Raises OSError."""
        resolved = await self._loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        connected = await start_connection(resolved)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        set_peer_timeout(connected, self._peer_seconds)
        return connected


def _close(connection: EngineConnection | None, connected: socket.socket | None) -> None:
    """Closes whatever is open of a connection that did not come about."""
    if connection and connection.opened:
        connection.close()
    elif connected:
        connected.close()
