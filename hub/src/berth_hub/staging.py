"""The folder of a download under way, `STORE/.downloads/ID/`: on the models' file system, but hidden from readers.

lock          locked while a process works on the download; the kernel releases it when the process dies
plan.json     the request, the commit and the files: the first attempt decides them
reservation   bytes reserved for it, and the time of the last heartbeat
fetched       bytes that all attempts together have fetched over the network
parts/        files under way, each under a hash of its path
model/        files that are complete, checked and on disk; one rename publishes them
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import struct
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from berth_hub.errors import StagingBusyError, StoreError
from berth_hub.repository import RepositoryFile

FOLDER = ".downloads"
"""The folder in the store that holds all downloads under way."""

_ID = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_LOCK_WAIT = 30.0
"""Seconds to wait for the process of an earlier attempt, which may not have ended yet."""
_LOCK_INTERVAL = 0.1


@dataclass(frozen=True, slots=True)
class FetchPlan:
    """The request of a download, and the files that it means. It is made once: every attempt fetches the same."""

    request: dict[str, Any]
    commit: str
    files: tuple[RepositoryFile, ...]

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)


def checked_id(text: str) -> str:
    """The text, if it can name a download, as a lower case DNS name can. Raises ValueError otherwise."""
    if not _ID.fullmatch(text) or ".." in text:
        raise ValueError(f"{text[:80]!a} cannot name a download: use lower case letters, digits, '-' and '.'")
    return text


class Staging:
    """The folder of one download, which this process has locked."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self.model = folder / "model"
        self._lock = lock
        self._parts = folder / "parts"
        self._fetched = os.open(folder / "fetched", os.O_RDWR | os.O_CREAT, 0o644)
        self._counting = threading.Lock()
        stored = os.pread(self._fetched, 8, 0)
        self.fetched = struct.unpack("<Q", stored)[0] if len(stored) == 8 else 0
        """The bytes that all attempts together have fetched over the network."""

    @classmethod
    def open(cls, store: Path, name: str) -> Self:
        """Makes the folder unless it is there, and locks it.

        Raises StagingBusyError if another process keeps it locked, and StoreError.
        """
        folder = store / FOLDER / checked_id(name)
        with store_errors(store):
            folder.mkdir(parents=True, exist_ok=True)
            lock = _locked(folder, _LOCK_WAIT)
            (folder / "model").mkdir(exist_ok=True)
            (folder / "parts").mkdir(exist_ok=True)
            return cls(folder, lock)

    def close(self) -> None:
        """Unlocks the folder, and leaves it for another attempt."""
        os.close(self._fetched)
        os.close(self._lock)

    def remove(self) -> None:
        """Deletes the folder, and unlocks it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.close()

    def plan(self, request: dict[str, Any]) -> FetchPlan | None:
        """The plan of an earlier attempt at the same request. None: there is none.

        Deletes what is left of another request.
        """
        try:
            stored = json.loads((self.folder / "plan.json").read_bytes())
            plan = FetchPlan(
                stored["request"], stored["commit"], tuple(RepositoryFile(**file) for file in stored["files"])
            )
        except (OSError, ValueError, KeyError, TypeError):
            plan = None
        if plan and plan.request == request:
            return plan
        self.clear()
        return None

    def keep(self, plan: FetchPlan) -> None:
        """Stores the plan for later attempts."""
        text = json.dumps(
            {"request": plan.request, "commit": plan.commit, "files": [asdict(file) for file in plan.files]}
        )
        write_whole(self.folder / "plan.json", text.encode())

    def clear(self) -> None:
        """Deletes what was fetched, and the plan."""
        (self.folder / "plan.json").unlink(missing_ok=True)
        for folder in (self.model, self._parts):
            shutil.rmtree(folder)
            folder.mkdir()

    def part(self, file: RepositoryFile) -> Path:
        """The path of the file while it is being fetched."""
        return self._parts / hashlib.sha256(file.path.encode()).hexdigest()

    def whole(self, file: RepositoryFile) -> Path:
        """The path of the file once it is complete and checked."""
        return self.model / file.path

    def count_fetched(self, size: int) -> None:
        """Counts bytes that came over the network, so that even a kill right after this does not lose the count."""
        with self._counting:
            self.fetched += size
            os.pwrite(self._fetched, struct.pack("<Q", self.fetched), 0)


def remove_staging(store: Path, name: str, wait: float = _LOCK_WAIT) -> None:
    """Deletes what is left of a cancelled download, if anything is.

    Waits so many seconds for a process that still works on it. Raises StagingBusyError if that does not end.
    """
    folder = store / FOLDER / checked_id(name)
    with store_errors(store):
        if folder.is_dir():
            lock = _locked(folder, wait)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def write_whole(path: Path, content: bytes) -> None:
    """Writes the file to disk. Whatever happens, it has either the old content or all of the new."""
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


@contextmanager
def store_errors(store: Path) -> Generator[None]:
    """Raises StoreError in place of the system's errors in its block."""
    try:
        yield
    except OSError as error:
        why = f"the model store {store} cannot be used ({error.strerror or error})"
        raise StoreError(f"{why}: see that its volume is mounted and writable") from error


def try_lock(folder: Path) -> int | None:
    """The folder's lock, as a file descriptor. None: another process has it. Raises OSError."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The lock may have been deleted meanwhile, with its folder.
        if os.path.samestat(os.fstat(lock), (folder / "lock").stat()):
            return lock
    os.close(lock)
    return None


def _locked(folder: Path, wait: float) -> int:
    deadline = time.monotonic() + wait
    while (lock := try_lock(folder)) is None:
        if time.monotonic() >= deadline:
            raise StagingBusyError(
                f"another process is at work on the download {folder.name}: try again when it has ended"
            )
        time.sleep(_LOCK_INTERVAL)
    return lock
