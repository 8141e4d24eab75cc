"""Ends the server of a state folder: `berth down`."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from berth_local.serve.home import lock_holder

_LOOK_SECONDS = 0.05
_SIGNAL_SECONDS = 0.3
"""The second signal ends the wait for answers. Two that come together are one."""

_PATIENCE_SECONDS = 2.0
"""So long the end of a server may take before somebody is told what it waits for."""


def end_server(home: Path, pid: int, *, now: bool, on_wait: Callable[[], None]) -> None:
    """Has this server of the folder end, and waits until it has.

    `now`: it cuts the answers under way off. `on_wait` is called if the end takes some time. Raises PermissionError if
    the server is another user's.
    """
    began = signalled = time.monotonic()
    told = False
    _signal(pid)
    while (holder := lock_holder(home)) and holder.pid == pid:
        time.sleep(_LOOK_SECONDS)
        moment = time.monotonic()
        if now and moment - signalled > _SIGNAL_SECONDS:
            signalled = moment
            _signal(pid)
        if not told and moment - began > _PATIENCE_SECONDS:
            told = True
            on_wait()


def _signal(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
