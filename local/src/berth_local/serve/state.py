"""The state folder, while a Berth runs: one process holds it at a time."""

import fcntl
import json
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from berth_local.serve.home import RUNNING, running_server, wrong_home

_LOCK = "lock"
_SCRATCH = "run"


class StartError(Exception):
    """Berth cannot start. The message says in one line what is wrong and what would be right."""


class StateFolder:
    """The folder that this process holds alone. Its subfolder `scratch` is empty at the start, and gone at the end."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.scratch = home / _SCRATCH

    def announce(self, url: str) -> None:
        """Writes down the address of this Berth, for commands of this machine."""
        unpublished = self.home / f".{RUNNING}"
        unpublished.write_text(json.dumps({"pid": os.getpid(), "url": url}))
        unpublished.replace(self.home / RUNNING)


@contextmanager
def locked_state(home: Path) -> Generator[StateFolder]:
    """Makes the folder if it is missing, and holds it while the context is open.

    Raises StartError if another process holds it, or where it cannot be used; SettingsError if it cannot be used
    and BERTH_HOME names it.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        # The kernel frees the lock when the process ends, however it ends. Children do not inherit it.
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
    """Deletes the files of one run: of this one at its end, or of an earlier one that was killed."""
    (state.home / RUNNING).unlink(missing_ok=True)
    shutil.rmtree(state.scratch, ignore_errors=True)


def _where(home: Path) -> str:
    url = running_server(home)
    return f", at {url}" if url else ""
