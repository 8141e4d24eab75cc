"""The router's HTTP server: it listens, bounds what is open, checks the deadlines of all connections, and drains."""

import asyncio
import resource
import socket
from collections.abc import Callable
from contextlib import suppress

import structlog

from berth_router.errors import ServiceUnavailableError
from berth_router.serving.client import ClientConnection
from berth_router.serving.exchange import Exchange
from berth_router.serving.incoming import Responder
from berth_router.serving.limits import ByteBudget, Limits
from berth_router.serving.pool import EnginePool
from berth_router.serving.sockets import set_peer_timeout

_log = structlog.get_logger(__name__)

_SWEEP_SECONDS = 1.0
"""How often the server checks deadlines while anything is open.

One timer serves all connections: a timer for each chunk would cost as much as the chunk.
"""

_LISTEN_BACKLOG = 2048

DRAIN_IDLE_SECONDS = 15.0
"""While the server drains, it closes a client's connection that has been idle for so long. A client that keeps
connections for longer expects to find them closed. One that uses a connection sooner gets an answer with
`Connection: close`."""

Dispatch = Callable[[Exchange], Responder]
"""Returns who answers a request, by its head. Raises APIError, such as for a key that does not allow it."""


class HttpServer:
    """Serves on listening sockets. Make it on the event loop that runs it. It is its connections' ConnectionHost."""

    def __init__(
        self, dispatch: Dispatch, answers_after_end: Callable[[Exchange], bool], limits: Limits, pool: EnginePool
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        self.dispatch = dispatch
        self.answers_after_end = answers_after_end
        self.body_budget = ByteBudget(limits.bodies_bytes)
        self.head_budget = ByteBudget(limits.heads_bytes)
        self.pipelined_budget = ByteBudget(limits.pipelined_bytes)
        self.draining = False
        self.idle_since: dict[ClientConnection, float] = {}
        self._pool = pool
        self._connections: set[ClientConnection] = set()
        self._connection_removed = asyncio.Event()
        self._listeners: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._deadlines_skipped = False
        """Whether the last sweep came late and checked no deadline."""

    @property
    def in_flight(self) -> int:
        """Requests that are being read or answered."""
        return sum(1 for connection in self._connections if connection.exchange)

    @property
    def connection_count(self) -> int:
        """Connections of clients."""
        return len(self._connections)

    async def listen(self, listener: socket.socket) -> None:
        """Accepts connections on this socket, whose options they inherit."""
        raise_file_limit()
        if listener.family != socket.AF_UNIX:
            set_peer_timeout(listener, self.limits.peer_seconds, self.limits.stalled_client_seconds)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._listeners.append(
            await self.loop.create_server(lambda: ClientConnection(self), sock=listener, backlog=_LISTEN_BACKLOG)
        )

    async def drain(self, seconds: float, *, lame_duck_seconds: float = 0, hurry: asyncio.Event | None = None) -> None:
        """Ends when the requests in hand are answered, or after `seconds`: then the other requests fail with an error.

        For `lame_duck_seconds` the server still accepts connections, since some clients do not know yet that it ends.
        Every answer is the last of its connection. `hurry`, once set, ends the wait.
        """
        self.draining = True
        hurry = hurry or asyncio.Event()
        started = self.loop.time()
        lame_duck_seconds = min(lame_duck_seconds, seconds)
        await self._wait(started + lame_duck_seconds, hurry, until_all_closed=False)
        self.close_listeners()
        idle_seconds = min(DRAIN_IDLE_SECONDS, lame_duck_seconds)
        while self._connections and (left := started + seconds - self.loop.time()) > 0 and not hurry.is_set():
            self._close_idle(idle_seconds)
            await self._wait(self.loop.time() + min(left, _SWEEP_SECONDS), hurry, until_all_closed=True)
        await self._cut_off()

    def close_listeners(self) -> None:
        """Accepts no more connections."""
        for listener in self._listeners:
            listener.close()

    async def _cut_off(self) -> None:
        """Fails all requests in hand with an error, and closes everything."""
        cut = [connection.exchange for connection in self._connections if connection.exchange]
        if cut:
            _log.warning("answers_cut_off", count=len(cut))
        for exchange in cut:
            exchange.fail(ServiceUnavailableError("This server ends.", code="server_ending", retry_after=1))
        if cut:
            await self._wait(self.loop.time() + _SWEEP_SECONDS, asyncio.Event(), until_all_closed=True)
        for connection in list(self._connections):
            connection.abort()
        if self._sweeper:
            self._sweeper.cancel()
        self._pool.close()
        for listener in self._listeners:
            listener.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(listener.wait_closed(), 1)

    async def _wait(self, until: float, hurry: asyncio.Event, *, until_all_closed: bool) -> None:
        """Returns at this moment of the loop's clock, or when `hurry` is set, or when no connection is left."""
        while (left := until - self.loop.time()) > 0 and not hurry.is_set():
            if until_all_closed and not self._connections:
                return
            self._connection_removed.clear()
            waiting = [asyncio.ensure_future(event.wait()) for event in (self._connection_removed, hurry)]
            await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            for future in waiting:
                future.cancel()

    def _close_idle(self, seconds: float) -> None:
        """Closes the connections that have been idle for so long."""
        oldest = self.loop.time() - seconds
        for connection, since in list(self.idle_since.items()):
            if since <= oldest:
                connection.close_idle()

    # -- for the connections: a ConnectionHost

    def add_connection(self, connection: ClientConnection) -> bool:
        """Takes note of a connection; False where there are too many."""
        full = len(self._connections) >= self.limits.connections and not self._close_longest_idle()
        self._connections.add(connection)
        if self._sweeper is None:
            self._sweeper = self.loop.call_later(_SWEEP_SECONDS, self._sweep)
        return not full

    def remove_connection(self, connection: ClientConnection) -> None:
        """Forgets a connection."""
        self._connections.discard(connection)
        self.idle_since.pop(connection, None)
        if self.draining:
            self._connection_removed.set()

    def _close_longest_idle(self) -> bool:
        """Closes the connection that has been idle for longest; whether there was one."""
        longest = next(iter(self.idle_since), None)
        if longest:
            longest.close_idle()
        return longest is not None

    def _sweep(self) -> None:
        """Checks all deadlines, and closes the engines' connections that have been idle for too long.

        A sweep that comes late checks no deadline, unless the sweep before did not either: while the process stood
        still, it could read nothing of what its peers have sent.
        """
        now = self.loop.time()
        due = self._sweeper.when() if self._sweeper else now
        self._deadlines_skipped = now - due > _SWEEP_SECONDS and not self._deadlines_skipped
        if not self._deadlines_skipped:
            self._check_deadlines(now)
        self._pool.sweep()
        idle = not self._connections and self._pool.empty
        self._sweeper = None if idle else self.loop.call_later(_SWEEP_SECONDS, self._sweep)

    def _check_deadlines(self, now: float) -> None:
        """Ends what has taken too long."""
        for connection in list(self._connections):
            try:
                if connection.deadline <= now:
                    connection.on_deadline()
                elif connection.exchange:
                    connection.exchange.check_engine_silence(now)
            except Exception:  # noqa: BLE001 (a fault in one connection must not end the time-outs of all)
                _log.exception("connection_failed")
                connection.abort()


def raise_file_limit() -> None:
    """Has the process open as many files as the system allows it: each stream takes two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and soft < hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
