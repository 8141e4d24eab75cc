"""The least that a proxy in Python can do: bytes from socket to socket, none of them looked at.

    python -m benchmarks.router.splice PORT UPSTREAM_PORT

What it cannot do shows what parsing is for: as it does not know where an answer ends, an upstream connection serves one
client and is never given to another. A pool keeps some that are connected already.
"""

import asyncio
import sys
from collections import deque
from typing import cast

import uvloop

_POOLED = 64


class _Side(asyncio.Protocol):
    """One of two sockets. What comes from it goes to the other one."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.other: _Side | None = None
        self._early: list[bytes] = []
        """What came before there was another side: uvloop reads from a new connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def join(self, other: "_Side") -> None:
        """Connects two sides."""
        self.other = other
        other.other = self
        other.transport.writelines(self._early)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        if self.other:
            self.other.transport.write(data)
        else:
            self._early.append(data)

    def pause_writing(self) -> None:
        if self.other:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other:
            self.other.transport.close()


class _Pool:
    """Connections to the upstream that no client has used yet."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ready: deque[_Side] = deque()
        self._filling: set[asyncio.Task[None]] = set()

    async def fill(self) -> None:
        """Opens a connection."""
        self._ready.append(await self._connect())

    async def take(self) -> _Side:
        """A connection. Another one is opened in its place."""
        if not self._ready:
            return await self._connect()
        task = asyncio.create_task(self.fill())
        self._filling.add(task)
        task.add_done_callback(self._filling.discard)
        return self._ready.popleft()

    async def _connect(self) -> _Side:
        _, side = await asyncio.get_running_loop().create_connection(_Side, "127.0.0.1", self._port)
        return side


class _Client(_Side):
    """The side of a client. It is connected to a side of the upstream."""

    def __init__(self, pool: _Pool) -> None:
        super().__init__()
        self._pool = pool

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._joining = asyncio.create_task(self._join())

    async def _join(self) -> None:
        upstream = await self._pool.take()
        if self.transport.is_closing():
            upstream.transport.close()
            return
        self.join(upstream)


async def serve(port: int, upstream_port: int) -> None:
    """Serves on loopback for ever."""
    pool = _Pool(upstream_port)
    for _ in range(_POOLED):
        await pool.fill()
    server = await asyncio.get_running_loop().create_server(lambda: _Client(pool), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
