"""The state folder of one machine's Berth: where it is, what is in it, and which server runs with it."""

import fcntl
import json
import os
import pwd
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from berth_process.settings_error import SettingsError, shown

RUNNING = "berth.json"
"""The file of the folder that says which server runs. It is there while that takes requests."""

LOCK = "lock"
"""The file of the folder that a server has locked for as long as its process lives. It has the pid."""

_USERS = "users"
"""The file of the folder that each command has locked, shared with others, while it may use a server of another one."""


def home_directory() -> Path:
    """BERTH_HOME, or berth in the user's data directory. Raises SettingsError if BERTH_HOME is something else there."""
    data = os.environ.get("XDG_DATA_HOME")
    home = Path(os.environ.get("BERTH_HOME") or (Path(data) if data else user_home() / ".local/share") / "berth")
    if home.exists() and not home.is_dir() and (wrong := wrong_home(home, NotADirectoryError(0, "Not a directory"))):
        raise wrong
    return home


def user_home() -> Path:
    """The user's own folder. Raises SettingsError where neither HOME nor the system's list of users names one."""
    try:
        return Path.home()
    except RuntimeError:
        raise SettingsError(
            "HOME is not set, and this user has no folder: HOME or BERTH_HOME must name one that can be written to"
        ) from None


def wrong_home(home: Path, error: OSError) -> SettingsError | None:
    """The error for a folder that cannot be used, if BERTH_HOME names it. None if BERTH_HOME does not."""
    stated = os.environ.get("BERTH_HOME")
    if not stated or Path(stated) != home:
        return None
    return SettingsError(
        f"BERTH_HOME is {shown(stated)}: it must be a folder that can be made and written to ({error.strerror})",
    )


def model_store(home: Path) -> Path:
    """The folder of models, unless the user names another with `--models`."""
    return home / "models"


@dataclass(frozen=True, slots=True)
class RunningServer:
    """What the server of a state folder says of itself."""

    url: str
    pid: int
    store: Path
    """Its folder of models."""
    lasts: bool
    """False: it ends with the command that has started it."""

    def written(self) -> str:
        """As the folder has it."""
        return json.dumps({"pid": self.pid, "url": self.url, "store": str(self.store), "lasts": self.lasts})

    @classmethod
    def read(cls, text: str) -> Self:
        """What `written` wrote. Raises ValueError, KeyError or TypeError for anything else."""
        told: Any = json.loads(text)
        return cls(str(told["url"]), int(told["pid"]), Path(told["store"]), bool(told["lasts"]))


def running_server(home: Path) -> RunningServer | None:
    """The server that runs with this folder. None: none does, or it does not take requests yet, or no more.

    Raises SettingsError if the folder has the server of another user.
    """
    file = home / RUNNING
    try:
        owner, text = file.stat().st_uid, file.read_text()
        server = RunningServer.read(text)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not is_locked(home):
        return None  # somebody has killed it
    if owner != os.geteuid():
        raise SettingsError(
            f"the server that runs with {home} is {_user(owner)}'s: BERTH_HOME names a folder of your own,"
            f" --url {server.url} uses that server all the same"
        )
    return server


def is_locked(home: Path) -> bool:
    """Whether a server runs with the folder: one that serves, one that starts, or one that ends."""
    try:
        lock = os.open(home / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        return True  # it is another user's
    except OSError:
        return False
    try:
        return not _locked(lock, fcntl.LOCK_SH)
    finally:
        os.close(lock)


class Holder(NamedTuple):
    """The process that has a state folder, whether it takes requests yet, still, or not."""

    pid: int
    lasts: bool
    """False: it is a command that serves by itself."""

    def written(self) -> bytes:
        """As the lock's file has it."""
        return f"{self.pid} {'server' if self.lasts else 'command'}\n".encode()


def lock_holder(home: Path) -> Holder | None:
    """Who runs with the folder. None: nobody does."""
    try:
        pid, _, kind = (home / LOCK).read_text().partition(" ")
        holder = Holder(int(pid), kind.strip() != "command")
    except (OSError, ValueError):
        return None
    return holder if is_locked(home) else None


class UseLock:
    """Says that this command may use the server of another one, which then does not end: see `Users`.

    It is a context manager. Where the folder is missing, nobody serves, and there is nothing to lock.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._file: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def taken(self) -> bool:
        """Takes it. False: a server ends, and no command may use it any more."""
        if self._file is None:
            try:
                self._file = os.open(self._home / _USERS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError:
                return True
        if _locked(self._file, fcntl.LOCK_SH):
            return True
        self.release()
        return False

    def release(self) -> None:
        """Gives it back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class Users:
    """The commands that may use a server which another command has started. It is its server's."""

    def __init__(self, home: Path) -> None:
        self._file = os.open(home / _USERS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def are_gone(self) -> bool:
        """Whether there are none. From then on there are none until `close`: newcomers wait."""
        return _locked(self._file, fcntl.LOCK_EX)

    def close(self) -> None:
        """Lets newcomers in."""
        os.close(self._file)


@contextmanager
def users_of(home: Path) -> Generator[Users]:
    """The commands that may use the server of this folder, while the server lives."""
    users = Users(home)
    try:
        yield users
    finally:
        users.close()


def _locked(file: int, kind: int) -> bool:
    """Locks the file, if nobody else has it locked otherwise. The kernel frees a lock when its process ends."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
