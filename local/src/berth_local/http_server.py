"""The router's HTTP server as one part of a process that has others, and the signals that end them all."""

import asyncio
import signal
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress

import uvicorn

from berth_router.app import Router
from berth_router.server import server_config
from berth_router.settings import Settings

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class HttpServer(uvicorn.Server):
    """uvicorn, which leaves the process's signals alone. `ready` is set once it listens, `ended` when it no longer does."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self.ended = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """See uvicorn.Server."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn.Server."""
        await super().startup(sockets)
        self.ready.set()


@asynccontextmanager
async def answering(router: Router, settings: Settings, listener: socket.socket) -> AsyncGenerator[HttpServer]:
    """The router answers on this socket while this is open; then running answers get the settings' time to end."""
    server = HttpServer(server_config(router, settings))

    def ended(_: object) -> None:
        server.ready.set()
        server.ended.set()

    task = asyncio.create_task(server.serve([listener]), name="HTTP server")
    task.add_done_callback(ended)
    await server.ready.wait()
    try:
        yield server
    finally:
        router.draining = True
        server.should_exit = True
        await task


@contextmanager
def ending_signals() -> Generator[asyncio.Event]:
    """An event that is set when the process is told to end, where this thread is the one that hears it."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    added: list[signal.Signals] = []
    for number in _ENDING:
        with suppress(RuntimeError, ValueError, NotImplementedError):
            loop.add_signal_handler(number, told.set)
            added.append(number)
    try:
        yield told
    finally:
        for number in added:
            loop.remove_signal_handler(number)
