"""The folder of one running Berth: one process at a time, and nothing in it that outlives its meaning."""

import fcntl
import json
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from berth_local.home import RUNNING, running_server, wrong_home

_LOCK = "lock"
_SCRATCH = "run"


class StartError(Exception):
    """Berth cannot start here: what is wrong and what would be right, in one line."""


class StateFolder:
    """A folder that this process holds alone. `scratch` is empty at the start and gone at the end."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.scratch = home / _SCRATCH

    def announce(self, url: str) -> None:
        """Writes down where this Berth is reached."""
        unpublished = self.home / f".{RUNNING}"
        unpublished.write_text(json.dumps({"pid": os.getpid(), "url": url}))
        unpublished.replace(self.home / RUNNING)


@contextmanager
def held(home: Path) -> Generator[StateFolder]:
    """The folder, made where it is missing, and held until the end. Raises StartError where another process holds it.

    Raises SettingsError where it is the one that BERTH_HOME names, and cannot be used.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        # The kernel lets go of the lock with the process, however it ends. Children do not inherit it.
        lock = os.open(home / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if wrong := wrong_home(home, error):
            raise wrong from error
        raise StartError(f"{home} cannot be used: {error.strerror}; BERTH_HOME names another directory") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = "stop it, or name another directory with BERTH_HOME"
            raise StartError(f"Berth is running already with {home}{_where(home)}: {other}") from None
        state = StateFolder(home)
        _clean(state)
        state.scratch.mkdir(mode=0o700)
        try:
            yield state
        finally:
            _clean(state)
    finally:
        os.close(lock)


def _clean(state: StateFolder) -> None:
    """Takes away what belongs to a process: this one at its end, or one that was killed."""
    (state.home / RUNNING).unlink(missing_ok=True)
    shutil.rmtree(state.scratch, ignore_errors=True)


def _where(home: Path) -> str:
    url = running_server(home)
    return f", at {url}" if url else ""
