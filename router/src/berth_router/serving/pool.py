"""Connections to engines, made and kept: where an engine listens, and which connections to it are idle."""

import asyncio
import socket
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from aiohappyeyeballs import start_connection  # pyright: ignore[reportUnknownVariableType]

from berth_router.serving.engine import EngineConnection
from berth_router.serving.sockets import keep_alive

IDLE_SECONDS = 4.0
"""How long an idle connection is kept: below llama-server's keep-alive time-out, the shortest of the engines', of 5
s."""

MAX_IDLE_PER_ENGINE = 128


class ConnectError(Exception):
    """No connection could be made: the engine got nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Address:
    """Where an engine listens. One endpoint has one of these (`address_of`), which is on every request's way: so it is
    known by its identity."""

    host: str
    port: int
    host_header: bytes
    base_path: bytes


@lru_cache(maxsize=1024)
def address_of(endpoint: str) -> Address:
    """The address in a base URL such as http://10.0.0.3:8080."""
    parts = urlsplit(endpoint)
    return Address(parts.hostname or "", parts.port or 80, parts.netloc.encode(), parts.path.rstrip("/").encode())


class EnginePool:
    """Idle connections by engine; the one used last is taken first, so that the rest can time out."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, *, head_bytes: int, connect_seconds: float, peer_seconds: float
    ) -> None:
        self._loop = loop
        self._head_bytes = head_bytes
        self._connect_seconds = connect_seconds
        self._peer_seconds = peer_seconds
        self._idle: dict[Address, list[EngineConnection]] = {}

    def idle(self, address: Address) -> EngineConnection | None:
        """An idle connection; None where there is none."""
        idle = self._idle.get(address)
        while idle:
            connection = idle.pop()
            if connection.usable and self._loop.time() - connection.idle_since < IDLE_SECONDS and connection.silent:
                connection.reused = True
                return connection
            connection.close()
        return None

    async def connect(self, address: Address) -> EngineConnection:
        """A new connection. Raises ConnectError."""
        connection: EngineConnection | None = None
        connected: socket.socket | None = None
        try:
            async with asyncio.timeout(self._connect_seconds):
                connected = await self._connected(address)
                connection = EngineConnection(connected, self._head_bytes, lambda lost: self._forget(address, lost))
                made = connection
                await self._loop.create_connection(lambda: made, sock=connected)
        except (OSError, TimeoutError) as error:
            _close(connection, connected)
            reason = str(error) or "timed out"
            raise ConnectError(f"no connection to the engine at {address.host}:{address.port}: {reason}") from error
        except asyncio.CancelledError:
            _close(connection, connected)
            raise
        return connection

    def release(self, address: Address, connection: EngineConnection) -> None:
        """Takes a connection back: kept when its answer was whole and the engine keeps it open, else closed."""
        idle = self._idle.setdefault(address, [])
        if not connection.reusable or len(idle) >= MAX_IDLE_PER_ENGINE:
            connection.close()
            if not idle:
                del self._idle[address]
            return
        connection.idle_since = self._loop.time()
        idle.append(connection)

    def sweep(self) -> None:
        """Closes what has been idle for too long. An engine that is drained waits for nothing else."""
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

    def _forget(self, address: Address, connection: EngineConnection) -> None:
        """Takes a closed connection out: engines close idle ones, and an engine that is gone leaves no entry behind."""
        idle = self._idle.get(address)
        if idle and connection in idle:
            idle.remove(connection)
            if not idle:
                del self._idle[address]

    async def _connected(self, address: Address) -> socket.socket:
        """A socket connected to one of the host's addresses. Raises OSError."""
        resolved = await self._loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        connected = await start_connection(resolved)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(connected, self._peer_seconds)
        return connected


def _close(connection: EngineConnection | None, connected: socket.socket | None) -> None:
    """Leaves nothing open of a connection that was not finished."""
    if connection and connection.made:
        connection.close()
    elif connected:
        connected.close()
