"""What the command `berth` may use of the server of this machine. It imports nothing else of this room.

The modules that make a server take a second to load. They are loaded when a server starts, so that no other command
waits for them.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from berth_local.serve import home
from berth_local.serve.options import ServeOptions
from berth_local.serve.state import StartError

__all__ = [
    "ServeOptions",
    "StartError",
    "default_store",
    "running_server",
    "serve_until_signal",
    "serving_in_background",
]


def default_store() -> Path:
    """The folder of models that a server of this machine uses unless the user names another. It may be missing."""
    return home.model_store(home.home_directory())


def running_server() -> str | None:
    """The address that the server of this machine wrote down. Somebody may have killed that server since."""
    return home.running_server(home.home_directory())


def serve_until_signal(
    options: ServeOptions, log_level: str, on_ready: Callable[[str], None], on_drain: Callable[[int], None]
) -> None:
    """Serves in this process until SIGINT or SIGTERM. Logs to stderr from this level up.

    `on_ready` gets the server's address. `on_drain` gets the number of answers under way at the signal, if there are
    any. Raises StartError and SettingsError.
    """
    from berth_local.serve import foreground  # noqa: PLC0415 (see above)

    foreground.serve_until_signal(options, log_level, on_ready, on_drain)


@contextmanager
def serving_in_background(models: Path | None, on_shared: Callable[[], None]) -> Generator[str]:
    """The address of a server that runs in a thread of this process while the context is open.

    `on_shared` is called at the end, if the server goes on because it still answers another command. Raises StartError
    and SettingsError.
    """
    from berth_local.serve import background  # noqa: PLC0415 (see above)

    with background.serving_in_background(models, on_shared) as url:
        yield url
