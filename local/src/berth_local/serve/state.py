"""The state folder, while a Berth runs: one process holds it at a time."""

import fcntl
import os
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from berth_local.serve.home import LOCK, RUNNING, Holder, RunningServer, running_server, wrong_home

_SCRATCH = "run"
_LOOKS, _LOOK_SECONDS = 10, 0.02
"""Who looks whether a server runs has the lock for an instant. That must keep nobody from serving."""


class StartError(Exception):
    """Berth cannot start. The message says in one line what is wrong and what would be right."""


class WrongOptionError(StartError):
    """Berth cannot start as it was told to: another option is needed."""


class InUseError(StartError):
    """Another Berth runs with the state folder."""


class FolderGoneError(StartError):
    """Somebody has deleted the state folder of a server that runs."""

    def __init__(self, home: Path) -> None:
        super().__init__(f"{home} was deleted: this server has ended, since no command could find it any more")


class StateFolder:
    """The folder that this process holds alone. Its subfolder `scratch` is empty at the start, and gone at the end."""

    def __init__(self, home: Path, lock: int, *, lasts: bool) -> None:
        """`lock`: the open file LOCK of the folder."""
        self.home = home
        self._lock = lock
        self._lasts = lasts
        self.scratch = home / _SCRATCH

    def announce(self, url: str, store: Path) -> None:
        """Writes down where this Berth serves what, for commands of this machine."""
        unpublished = self.home / f".{RUNNING}"
        unpublished.write_text(RunningServer(url, os.getpid(), store, self._lasts).written())
        unpublished.replace(self.home / RUNNING)

    def withdraw(self) -> None:
        """Takes back what `announce` wrote: this Berth takes no more requests."""
        if not self.is_gone():
            (self.home / RUNNING).unlink(missing_ok=True)

    def is_gone(self) -> bool:
        """Whether somebody has deleted the folder. Another Berth may have made it anew."""
        try:
            return not os.path.samestat((self.home / LOCK).stat(), os.fstat(self._lock))
        except OSError:
            return True


@contextmanager
def locked_state(home: Path, *, lasts: bool = True) -> Generator[StateFolder]:
    """Makes the folder if it is missing, and holds it while the context is open. `lasts`: as in RunningServer.

    Raises InUseError if another process holds it; StartError where it cannot be used, or SettingsError if BERTH_HOME
    names it then.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        # The kernel frees the lock when the process ends, however it ends. Children do not inherit it.
        lock = os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if wrong := wrong_home(home, error):
            raise wrong from error
        raise StartError(f"{home} cannot be used: {error.strerror}; BERTH_HOME names another directory") from error
    try:
        _take(lock, home, Holder(os.getpid(), lasts))
        state = StateFolder(home, lock, lasts=lasts)
        _clean(state)
        state.scratch.mkdir(mode=0o700)
        try:
            yield state
        finally:
            _clean(state)
    finally:
        os.close(lock)


def _take(lock: int, home: Path, holder: Holder) -> None:
    for look in range(_LOOKS):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if look < _LOOKS - 1:
                time.sleep(_LOOK_SECONDS)
        else:
            os.truncate(lock, 0)
            os.pwrite(lock, holder.written(), 0)
            return
    raise InUseError(f"Berth runs already with {home}{_where(home)}: `berth down` ends it")


def _clean(state: StateFolder) -> None:
    """Deletes the files of one run: of this one at its end, or of an earlier one that was killed."""
    if not state.is_gone():
        state.withdraw()
        shutil.rmtree(state.scratch, ignore_errors=True)


def _where(home: Path) -> str:
    server = running_server(home)
    return f", at {server.url} (pid {server.pid})" if server else ""
