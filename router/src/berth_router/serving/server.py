"""The router's HTTP server: it listens, bounds what is open, looks at the clock for all connections, and drains at the
end."""

import asyncio
import resource
import socket
from collections.abc import Callable
from contextlib import suppress

import structlog

from berth_router.errors import ServiceUnavailableError
from berth_router.serving.client import ClientConnection
from berth_router.serving.exchange import Exchange
from berth_router.serving.incoming import Destination
from berth_router.serving.limits import Budget, Limits
from berth_router.serving.pool import EnginePool
from berth_router.serving.sockets import keep_alive

_log = structlog.get_logger(__name__)

_SWEEP_SECONDS = 1.0
"""How often deadlines are looked at, while anything is open. One timer for all: a timer a chunk would cost as much as
the chunk."""

_BACKLOG = 2048

IDLE_AT_THE_END_SECONDS = 15.0
"""A client's connection that has been idle for so long is closed while the server drains. Clients that keep connections
for longer expect to
find them closed; those that use them sooner get an answer that says that it is the last."""

Router = Callable[[Exchange], Destination]
"""Who answers the request of an exchange. Raises APIError where nobody does, or where it is not let in."""


class HttpServer:
    """Serves on listening sockets. Make it on the event loop that runs it."""

    def __init__(self, route: Router, limits: Limits, pool: EnginePool) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        self.budget = Budget(limits.bodies_bytes)
        self.heads = Budget(limits.heads_bytes)
        self.early = Budget(limits.early_bytes)
        self.draining = False
        self._route = route
        self._pool = pool
        self._connections: set[ClientConnection] = set()
        self.idle: dict[ClientConnection, float] = {}
        self._servers: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._waited = False
        """Whether the last sweep came late and judged nobody."""
        self._changed = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """Requests that are being read or answered."""
        return sum(1 for connection in self._connections if connection.exchange)

    @property
    def open(self) -> int:
        """Connections of clients."""
        return len(self._connections)

    async def listen(self, listener: socket.socket) -> None:
        """Answers on this socket, whose options its connections inherit."""
        raise_file_limit()
        if listener.family != socket.AF_UNIX:
            keep_alive(listener, self.limits.peer_seconds, self.limits.stalled_client_seconds)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._servers.append(
            await self.loop.create_server(lambda: ClientConnection(self), sock=listener, backlog=_BACKLOG)
        )

    async def drain(self, seconds: float, *, lame_duck_seconds: float = 0, hurry: asyncio.Event | None = None) -> None:
        """Ends without cutting an answer, as far as `seconds` allow; then tells those that are still being made.

        For `lame_duck_seconds` new connections are still taken: whoever sends them here has not heard yet that this
        server ends. Every answer says that it is the last of its connection. `hurry` ends the waiting.
        """
        self.draining = True
        hurry = hurry or asyncio.Event()
        started = self.loop.time()
        lame_duck_seconds = min(lame_duck_seconds, seconds)
        await self._wait(started + lame_duck_seconds, hurry, until_none=False)
        for server in self._servers:
            server.close()
        idle_seconds = min(IDLE_AT_THE_END_SECONDS, lame_duck_seconds)
        while self._connections and (left := started + seconds - self.loop.time()) > 0 and not hurry.is_set():
            self._close_idle(idle_seconds)
            await self._wait(self.loop.time() + min(left, _SWEEP_SECONDS), hurry, until_none=True)
        await self._end()

    def close_listeners(self) -> None:
        """Takes no new connections any more."""
        for server in self._servers:
            server.close()

    async def _end(self) -> None:
        """Tells everybody who still waits for an answer, and closes."""
        cut = [connection.exchange for connection in self._connections if connection.exchange]
        if cut:
            _log.warning("answers_cut_off", count=len(cut))
        for exchange in cut:
            exchange.fail(ServiceUnavailableError("This server ends.", code="server_ending", retry_after=1))
        if cut:
            await self._wait(self.loop.time() + _SWEEP_SECONDS, asyncio.Event(), until_none=True)
        for connection in list(self._connections):
            connection.abort()
        if self._sweeper:
            self._sweeper.cancel()
        self._pool.close()
        for server in self._servers:
            server.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(server.wait_closed(), 1)

    async def _wait(self, until: float, hurry: asyncio.Event, *, until_none: bool) -> None:
        """Returns at this moment, when there is hurry, or when no connection is left where that is waited for."""
        while (
            (left := until - self.loop.time()) > 0 and not hurry.is_set() and not (until_none and not self._connections)
        ):
            self._changed.clear()
            waiting = [asyncio.ensure_future(event.wait()) for event in (self._changed, hurry)]
            await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            for future in waiting:
                future.cancel()

    def _close_idle(self, seconds: float) -> None:
        oldest = self.loop.time() - seconds
        for connection, since in list(self.idle.items()):
            if since <= oldest:
                connection.close_idle()

    # -- for the connections: see Front

    def enter(self, connection: ClientConnection) -> bool:
        """Takes note of a connection; False where there are too many."""
        full = len(self._connections) >= self.limits.connections and not self._make_room()
        self._connections.add(connection)
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(_SWEEP_SECONDS, self._sweep)
        return not full

    def leave(self, connection: ClientConnection) -> None:
        """Forgets a connection."""
        self._connections.discard(connection)
        self.idle.pop(connection, None)
        if self.draining:
            self._changed.set()

    def destination(self, exchange: Exchange) -> Destination:
        """Who answers the request of this head."""
        return self._route(exchange)

    def _make_room(self) -> bool:
        """Closes the connection that has been idle for longest; whether there was one."""
        oldest = next(iter(self.idle), None)
        if oldest:
            oldest.close_idle()
        return oldest is not None

    def _sweep(self) -> None:
        """Looks at the clock for everybody.

        A sweep that comes late judges nobody, unless the one before did so too: while the process stood still, nobody
        could be heard, and what they have sent is not read yet.
        """
        now = self.loop.time()
        due = self._sweeper.when() if self._sweeper else now
        self._waited = now - due > _SWEEP_SECONDS and not self._waited
        if not self._waited:
            self._judge(now)
        self._pool.sweep()
        idle = not self._connections and self._pool.empty
        self._sweeper = None if idle else self.loop.call_later(_SWEEP_SECONDS, self._sweep)

    def _judge(self, now: float) -> None:
        """Ends what has taken too long."""
        for connection in list(self._connections):
            try:
                if connection.deadline <= now:
                    connection.on_deadline()
                elif connection.exchange:
                    connection.exchange.check_silence(now)
            except Exception:  # noqa: BLE001 (a fault in one must not end the time-outs of all)
                _log.exception("connection_failed")
                connection.abort()


def raise_file_limit() -> None:
    """Lets the process open as many files as the system allows it: each stream takes two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and soft < hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
