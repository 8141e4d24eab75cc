"""Whose turn it is to serve with the user's state folder: one process at a time does."""

import sys
import time
from urllib.parse import urlsplit

from berth_local.cli.errors import FailedError
from berth_local.cli.waiting import WaitingLine
from berth_local.serve.interface import RunningServer, ServeOptions, holder, running_server

_LOOK_SECONDS = 0.05
_SILENT_SECONDS = 0.5


def await_turn() -> RunningServer | None:
    """Waits until nobody serves: None. Or until a server takes requests that stays: that one.

    A command that serves by itself is waited for: it ends when it has its answer.
    """
    began = time.monotonic()
    with WaitingLine(sys.stderr) as line:
        while has := holder():
            running = running_server()
            if running and running.lasts:
                return running
            if time.monotonic() - began > _SILENT_SECONDS:
                what = "that starts or ends" if has.lasts else "of another command, which ends when that has its answer"
                line.show(f"waiting for the server {what} (pid {has.pid})")
            time.sleep(_LOOK_SECONDS)
    return None


def described(running: RunningServer) -> str:
    """Which server that is, in a sentence without its end."""
    return f"Berth serves {running.store} at {running.url}/v1 (pid {running.pid})"


def check_same(options: ServeOptions, running: RunningServer) -> None:
    """Raises FailedError if the server that runs has another store or port than these options ask for."""
    other_port = options.port not in (0, ServeOptions().port) and urlsplit(running.url).port != options.port
    other_store = options.models is not None and options.models.resolve() != running.store.resolve()
    if other_port or other_store:
        raise FailedError(f"{described(running)} already, which is not what you ask for: `berth down` ends it")
