"""A server that serves in the main thread until a signal ends it: `berth up`."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from berth_local.serve.engine_processes import engine_processes
from berth_local.serve.options import ServeOptions
from berth_local.serve.state import FolderGoneError
from berth_process.log import configure_log
from berth_process.stop_signals import stop_events


def serve_until_signal(
    options: ServeOptions, log_level: str, on_ready: Callable[[str], None], on_drain: Callable[[int], None]
) -> None:
    """Serves until SIGINT or SIGTERM, then drains; a second signal ends the drain. Logs to stderr.

    `on_ready` gets the server's address. `on_drain` gets the number of answers under way at the signal, if there are
    any. Raises StartError, a FolderGoneError where somebody deletes the state folder; SettingsError.
    """
    configure_log(sys.stderr, log_level, libraries="WARNING", readable=sys.stderr.isatty())
    uvloop.run(_serve(options, on_ready, on_drain))


async def _serve(options: ServeOptions, on_ready: Callable[[str], None], on_drain: Callable[[int], None]) -> None:
    with stop_events() as signals:
        async with engine_processes() as processes:
            # It takes a second to load, while the process for the first model starts.
            from berth_local.serve.server import serving  # noqa: PLC0415

            async with serving(options, processes) as server:
                if not signals.stop.is_set():
                    on_ready(server.url)
                gone = await _ends(server.folder_gone(), signals.stop)
                if server.in_flight:
                    on_drain(server.in_flight)
                await server.drain(signals.hurry)
    if gone:
        raise FolderGoneError(server.home)


async def _ends(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> bool:
    """Waits until the work has ended or `stop` is set. Whether the work has ended."""
    working, stopped = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
        return working.done()
    finally:
        working.cancel()
        stopped.cancel()
