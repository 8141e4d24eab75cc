"""A server for one command: it runs in a thread of the command's process and ends with the command."""

import asyncio
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from berth_local.serve.engine_processes import engine_processes
from berth_local.serve.home import Users, home_directory, is_locked, users_of, wrong_home
from berth_local.serve.options import ServeOptions
from berth_local.serve.state import InUseError, StartError
from berth_process.log import configure_log

if TYPE_CHECKING:
    from berth_local.serve.server import LocalServer

LOG_FILE = "berth.log"
"""The file of the state folder that holds the log of the last such server."""

_DRAIN_SECONDS = 86_400
"""Long enough for another command that uses this server to get its answer."""

_OWN_REQUESTS_LOOKS, _LOOK_SECONDS = 20, 0.05


class _ServerThread:
    """The thread of the server. The command keeps the main thread, for Ctrl-C and for what the user types."""

    def __init__(self, options: ServeOptions, on_shared: Callable[[], None]) -> None:
        self._options = options
        self._on_shared = on_shared
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="server", daemon=True)
        self.url: str | None = None
        self.error: BaseException | None = None

    def start(self) -> None:
        """Starts the server, and waits until it serves or has failed."""
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """Stops the server, and waits until it and all that it started are gone.

        It goes on for other commands that use it. Ctrl-C, or whatever else is raised meanwhile, ends it for them too.
        """
        self._set(self._stop)
        try:
            self._wait()
        except BaseException:
            self._set(self._hurry)
            self._wait()
            raise

    def _set(self, event: asyncio.Event) -> None:
        if self._loop is None:
            event.set()
        else:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(event.set)

    def _wait(self) -> None:
        if self._thread.ident is not None:
            self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            async with engine_processes() as processes:
                # It takes a second to load, while the process for the model starts.
                from berth_local.serve.server import serving  # noqa: PLC0415

                async with serving(self._options, processes) as server:
                    self.url = server.url
                    self._started.set()
                    await self._stop.wait()
                    with users_of(server.home) as users:
                        await _until_unused(server, users, self._hurry, self._on_shared)
                        await server.drain(self._hurry)
        except BaseException as error:  # noqa: BLE001 (the main thread raises it)
            self.error = error
        finally:
            self._started.set()


async def _until_unused(
    server: "LocalServer", users: Users, hurry: asyncio.Event, on_shared: Callable[[], None]
) -> None:
    """Returns when no other command uses the server, or `hurry` is set. Calls `on_shared` if it has to wait for that.

    Its own command's last request takes a moment to end.
    """
    looks = 0
    while not hurry.is_set() and not (users.are_gone() and not server.in_flight):
        looks += 1
        if looks == _OWN_REQUESTS_LOOKS:
            on_shared()
        await asyncio.sleep(_LOOK_SECONDS)


@contextmanager
def serving_in_background(models: Path | None, on_shared: Callable[[], None]) -> Generator[str]:
    """The address of a server that runs in a thread while the context is open.

    `on_shared` is called in that thread at the end, if the server goes on because another command uses it. Raises
    InUseError if a server runs already, StartError and SettingsError.
    """
    home = home_directory()
    if is_locked(home):  # before its log is overwritten
        raise InUseError(f"Berth runs already with {home}")
    options = ServeOptions(models=models, port=0, home=home, drain_seconds=_DRAIN_SECONDS, lasts=False)
    thread = _ServerThread(options, on_shared)
    with _opened_log(home) as log, _ending_signals():
        configure_log(log, "INFO", libraries="WARNING")
        try:
            thread.start()
            if thread.url is None:
                raise thread.error or StartError("the server ended before it had started")
            yield thread.url
        finally:
            thread.stop()


@contextmanager
def _ending_signals() -> Generator[None]:
    """Has SIGTERM and SIGHUP end the command as Ctrl-C does, with its server, unless they are ignored."""

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    before: dict[signal.Signals, Any] = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            with suppress(ValueError):  # only the main thread hears signals
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _opened_log(home: Path) -> TextIO:
    try:
        home.mkdir(parents=True, exist_ok=True)
        return (home / LOG_FILE).open("w")
    except OSError as error:
        if wrong := wrong_home(home, error):
            raise wrong from None
        raise StartError(f"{home} cannot be used: {error.strerror}; BERTH_HOME names another directory") from None
