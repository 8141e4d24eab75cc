"""A server that serves in the main thread until a signal ends it: `berth up`."""

import sys
from collections.abc import Callable

import uvloop

from berth_local.serve.engine_processes import engine_processes
from berth_local.serve.options import ServeOptions
from berth_process.log import configure_log
from berth_process.stop_signals import stop_events


def serve_until_signal(
    options: ServeOptions, log_level: str, on_ready: Callable[[str], None], on_drain: Callable[[int], None]
) -> None:
    """Serves until SIGINT or SIGTERM, then drains; a second signal ends the drain. Logs to stderr.

    `on_ready` gets the server's address. `on_drain` gets the number of answers under way at the signal, if there are
    any. Raises StartError and SettingsError.
    """
    configure_log(sys.stderr, log_level, libraries="WARNING", readable=sys.stderr.isatty())
    uvloop.run(_serve(options, on_ready, on_drain))


async def _serve(options: ServeOptions, on_ready: Callable[[str], None], on_drain: Callable[[int], None]) -> None:
    with stop_events() as signals:
        async with engine_processes() as processes:
            # It takes a second to load, while the process for the first model starts.
            from berth_local.serve.server import serving  # noqa: PLC0415

            async with serving(options, processes) as server:
                on_ready(server.url)
                await signals.stop.wait()
                if server.in_flight:
                    on_drain(server.in_flight)
                await server.drain(signals.hurry)
