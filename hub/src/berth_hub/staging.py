"""Where a download grows: `STORE/.downloads/ID/`, on the file system of the models, hidden from everything that looks for models.

lock          held while a process is at work on it; the kernel releases it when the process dies
plan.json     what was asked for, the commit and the files: pinned at the first attempt
reservation   bytes promised to it, and when its process last said that it is alive
fetched       bytes that came over the network in all attempts
parts/        files under way, each under a hash of its path
model/        files that are whole, checked and on disk; published by one rename
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
"""Below the store; holds all downloads under way."""

_ID = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_LOCK_WAIT = 30.0
"""Seconds to wait for the process of an earlier attempt, which may still be ending."""
_LOCK_INTERVAL = 0.1


@dataclass(frozen=True, slots=True)
class FetchPlan:
    """What a download was asked for (`request`), and what that means:
    decided once, so that every attempt fetches the same.
    """

    request: dict[str, Any]
    commit: str
    files: tuple[RepositoryFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def checked_id(text: str) -> str:
    """The text, if it can name a download (a lower case DNS name); raises ValueError otherwise."""
    if not _ID.fullmatch(text) or ".." in text:
        raise ValueError(f"{text[:80]!a} cannot name a download: use lower case letters, digits, '-' and '.'")
    return text


class Staging:
    """One download's folder, while this process holds its lock."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self.model = folder / "model"
        self._lock = lock
        self._parts = folder / "parts"
        self._fetched = os.open(folder / "fetched", os.O_RDWR | os.O_CREAT, 0o644)
        self._counting = threading.Lock()
        stored = os.pread(self._fetched, 8, 0)
        self.fetched = struct.unpack("<Q", stored)[0] if len(stored) == 8 else 0
        """Bytes that came over the network in all attempts."""

    @classmethod
    def open(cls, store: Path, name: str) -> Self:
        """Makes or finds the folder and locks it.

        Raises StagingBusyError where another process keeps it locked, or StoreError.
        """
        folder = store / FOLDER / checked_id(name)
        with store_errors(store):
            folder.mkdir(parents=True, exist_ok=True)
            lock = _locked(folder, _LOCK_WAIT)
            (folder / "model").mkdir(exist_ok=True)
            (folder / "parts").mkdir(exist_ok=True)
            return cls(folder, lock)

    def close(self) -> None:
        """Lets go of the folder and leaves it for another attempt."""
        os.close(self._fetched)
        os.close(self._lock)

    def remove(self) -> None:
        """Deletes the folder and lets go of it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.close()

    def plan(self, request: dict[str, Any]) -> FetchPlan | None:
        """The plan of an earlier attempt at this very request; None where there is none.

        What is left of another request is deleted.
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
        """Pins the plan."""
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
        """Where the file grows."""
        return self._parts / hashlib.sha256(file.path.encode()).hexdigest()

    def whole(self, file: RepositoryFile) -> Path:
        """Where the file is once it is whole and checked."""
        return self.model / file.path

    def count_fetched(self, size: int) -> None:
        """Adds bytes that came over the network; a kill right after this does not forget them."""
        with self._counting:
            self.fetched += size
            os.pwrite(self._fetched, struct.pack("<Q", self.fetched), 0)


def remove_staging(store: Path, name: str, wait: float = _LOCK_WAIT) -> None:
    """Deletes what is left of a cancelled download; nothing there is fine.

    Waits so many seconds for a process that is still at work on it; raises StagingBusyError if it stays.
    """
    folder = store / FOLDER / checked_id(name)
    with store_errors(store):
        if folder.is_dir():
            lock = _locked(folder, wait)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def write_whole(path: Path, content: bytes) -> None:
    """Writes the file so that it has either the old content or all of the new, on disk."""
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


@contextmanager
def store_errors(store: Path) -> Generator[None]:
    """Turns the system's errors into a StoreError that says what it is about."""
    try:
        yield
    except OSError as error:
        text = f"the model store {store} cannot be used ({error.strerror or error}): see that its volume is mounted and writable"
        raise StoreError(text) from error


def try_lock(folder: Path) -> int | None:
    """The folder's lock as a file descriptor, or None where another process has it. Raises OSError."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(
            os.fstat(lock), (folder / "lock").stat()
        ):  # not one that was deleted meanwhile, with its folder
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
