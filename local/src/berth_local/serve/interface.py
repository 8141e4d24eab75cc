"""What the command `berth` may use of the server of this machine. It imports nothing else of this room.

The modules that make a server take a second to load. They are loaded when a server starts, so that no other command
waits for them.
"""

from collections.abc import Callable, Generator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from berth_local.serve import ending, home
from berth_local.serve.home import Holder, RunningServer, UseLock, home_directory, user_home
from berth_local.serve.options import ServeOptions
from berth_local.serve.state import InUseError, StartError, WrongOptionError

__all__ = [
    "Holder",
    "InUseError",
    "RunningServer",
    "ServeOptions",
    "StartError",
    "UseLock",
    "WrongOptionError",
    "default_store",
    "describe_machine",
    "end_server",
    "holder",
    "home_directory",
    "install_engine",
    "remove_engine",
    "running_server",
    "serve_detached",
    "serve_until_signal",
    "serving_in_background",
    "use_lock",
    "user_home",
]


def default_store() -> Path:
    """The folder of models that a server of this machine uses unless the user names another. It may be missing."""
    return home.model_store(home_directory())


def running_server() -> RunningServer | None:
    """The server of the user's state folder; None: none takes requests.

    Raises SettingsError if it is another user's.
    """
    return home.running_server(home_directory())


def holder() -> Holder | None:
    """The process that has the user's state folder: a server that starts, serves or ends. None: there is none."""
    return home.lock_holder(home_directory())


def describe_machine() -> dict[str, Any]:
    """What this machine has for models: see `machine.Machine`."""
    from berth_local.serve import machine  # noqa: PLC0415 (see above)

    return machine.describe(home_directory(), default_store()).model_dump(mode="json")


def left_out(store: Path, names: Set[str]) -> list[str]:
    """What somebody has put into the store that no request can name, and why. `names`: those of its models."""
    from berth_local.serve import model_folder  # noqa: PLC0415 (see above)

    return list(model_folder.left_out(store, names))


def install_engine(name: str) -> Path:
    """Installs a Python engine: see `installed.install`. Raises StartError."""
    from berth_local.serve import installed  # noqa: PLC0415 (see above)

    return installed.install(home_directory(), name)


def remove_engine(name: str) -> Path | None:
    """Removes a Python engine: see `installed.remove`. Raises StartError."""
    from berth_local.serve import installed  # noqa: PLC0415 (see above)

    return installed.remove(home_directory(), name)


def use_lock() -> UseLock:
    """The lock of a command that may use the server of another command."""
    return UseLock(home_directory())


def end_server(pid: int, *, now: bool, on_wait: Callable[[], None]) -> None:
    """Ends the server of the user's state folder: see `ending.end_server`."""
    ending.end_server(home_directory(), pid, now=now, on_wait=on_wait)


def serve_until_signal(
    options: ServeOptions, log_level: str, on_ready: Callable[[str], None], on_drain: Callable[[int], None]
) -> None:
    """Serves in this process until SIGINT or SIGTERM. Logs to stderr from this level up.

    `on_ready` gets the server's address. `on_drain` gets the number of answers under way at the signal, if there are
    any. Raises StartError and SettingsError.
    """
    from berth_local.serve import foreground  # noqa: PLC0415 (see above)

    foreground.serve_until_signal(options, log_level, on_ready, on_drain)


def serve_detached(options: ServeOptions, log_level: str) -> tuple[str, int, Path]:
    """Starts a server that goes on without this process. Its address, its pid and its log.

    Raises StartError and SettingsError.
    """
    from berth_local.serve import detached  # noqa: PLC0415 (see above)

    return detached.serve_detached(options, log_level)


@contextmanager
def serving_in_background(models: Path | None, on_shared: Callable[[], None]) -> Generator[str]:
    """The address of a server that runs in a thread of this process while the context is open.

    `on_shared` is called at the end, if the server goes on because another command uses it. Raises InUseError if a
    server runs already, StartError and SettingsError.
    """
    from berth_local.serve import background  # noqa: PLC0415 (see above)

    with background.serving_in_background(models, on_shared) as url:
        yield url
