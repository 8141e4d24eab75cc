"""A server for one command: it runs in a thread of the command's own process and ends with it."""

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from berth_local.errors import FailedError
from berth_local.home import home_directory, wrong_home
from berth_local.logging_setup import configure_log
from berth_local.output import print_note
from berth_local.server import Options, Server, StartError, serving

LOG_FILE = "berth.log"
"""In the state folder: what the last such server logged."""

_DRAIN_SECONDS = 86_400
"""Another command that uses this server gets its answer, however long that is."""

_OWN_REQUESTS_LOOKS, _LOOK_SECONDS = 20, 0.05


class _Background:
    """The thread. The command keeps the main one, for Ctrl-C and for what is typed."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="server", daemon=True)
        self.url: str | None = None
        self.error: BaseException | None = None

    def start(self) -> None:
        """Returns once the server serves or has failed."""
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """Returns once the server and all it started are gone."""
        if self._loop and self._stop and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread.ident is not None:
            self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with serving(self._options) as server:
                self.url = server.url
                self._started.set()
                await self._stop.wait()
                await _tell_of_others(server)
                await server.drain()
        except BaseException as error:  # noqa: BLE001 (it belongs to the main thread, which waits for it)
            self.error = error
        finally:
            self._started.set()


async def _tell_of_others(server: Server) -> None:
    """Says so if the server still works for another command. Its own command's last request takes a moment to end."""
    for _ in range(_OWN_REQUESTS_LOOKS):
        if not server.in_flight:
            return
        await asyncio.sleep(_LOOK_SECONDS)
    print_note("another command uses the server of this one, which ends when that has its answer; Ctrl-C ends it now")


@contextmanager
def serving_in_background(models: Path | None) -> Generator[str]:
    """The address of a server that runs while this is open. Raises FailedError where it cannot start."""
    home = home_directory()
    background = _Background(Options(models=models, port=0, home=home, drain_seconds=_DRAIN_SECONDS))
    with _opened_log(home) as log:
        configure_log(log, "INFO")
        try:
            background.start()
            if background.url is None:
                raise _start_failed(background.error)
            yield background.url
        finally:
            background.stop()


def _opened_log(home: Path) -> TextIO:
    try:
        home.mkdir(parents=True, exist_ok=True)
        return (home / LOG_FILE).open("w")
    except OSError as error:
        if wrong := wrong_home(home, error):
            raise wrong from None
        raise FailedError(f"{home} cannot be used: {error.strerror}; BERTH_HOME names another directory") from None


def _start_failed(error: BaseException | None) -> BaseException:
    if isinstance(error, StartError):
        return FailedError(str(error))
    return error or FailedError("the server ended before it had started")
