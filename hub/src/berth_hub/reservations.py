"""Space in the store: each download reserves what it may still need before its first byte.

The ledger is the `reservation` file of each download's folder. One lock in the store guards all of them. A reservation
counts what is not written yet. It stays while its process writes heartbeats, and a while after, so that the next
attempt of a killed download finds its space again.
"""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

from berth_hub.errors import InsufficientStorageError
from berth_hub.staging import FOLDER, Staging, store_errors, try_lock, write_whole
from berth_process.sizes import readable

RESERVATION_SECONDS = 900.0
"""How long a reservation stays after the last heartbeat: longer than any wait between two attempts of a Job."""
STALE_SECONDS = 24 * 3600.0
"""The remains of a download are deleted after so long without a heartbeat."""
HEARTBEAT_SECONDS = 15.0
_FILE = "reservation"


@dataclass(frozen=True, slots=True)
class Reservation:
    """The bytes that one download still needs."""

    name: str
    missing: int


@dataclass(frozen=True, slots=True)
class StoreSpace:
    """The space of the store in bytes: what is free, what the administrator keeps free, what others reserved."""

    free: int
    kept: int
    others: tuple[Reservation, ...]

    @property
    def available(self) -> int:
        """What one more download may take. Negative: there is less than is reserved."""
        return self.free - self.kept - sum(each.missing for each in self.others)


def space_in(store: Path, kept: int, now: float, but: str | None = None) -> StoreSpace:
    """The space in the store, without the reservation of the download `but`. Needs no lock. Raises StoreError."""
    with store_errors(store):
        free = shutil.disk_usage(store).free
        others = tuple(each for folder in _folders(store) if folder.name != but and (each := _reservation(folder, now)))
        return StoreSpace(free, kept, others)


def reserve(store: Path, staging: Staging, size: int, kept: int, now: float) -> None:
    """Reserves what is missing of `size` bytes. Raises InsufficientStorageError with the figures, or StoreError."""
    with _ledger(store):
        missing = max(0, size - _written(staging.folder))
        space = space_in(store, kept, now, but=staging.folder.name)
        if missing > space.available:
            raise InsufficientStorageError(_figures(missing, space))
        keep_alive(staging, size, now)


def keep_alive(staging: Staging, size: int, now: float) -> None:
    """Writes down that the process is alive and still needs the space."""
    write_whole(staging.folder / _FILE, json.dumps({"size": size, "aliveAt": now}).encode())


def sweep(store: Path, now: float, report: Callable[[str], None]) -> None:
    """Deletes the remains of downloads without a heartbeat for `STALE_SECONDS`, and reports each.

    A folder whose lock somebody holds stays.
    """
    with store_errors(store), _ledger(store):
        for folder in _folders(store):
            alive_at = _read(folder)[1]
            if alive_at is None:
                alive_at = folder.stat().st_mtime
            if now - alive_at > STALE_SECONDS and (lock := try_lock(folder)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)
                report(folder.name)


def full(store: Path, error: OSError) -> InsufficientStorageError | None:
    """The error for a write that failed for lack of space. None: it failed for another reason."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    free = shutil.disk_usage(store).free
    return InsufficientStorageError(
        f"the model store ran full while it was written ({readable(free)} free): something else took the room; "
        "delete models or make it larger, then ask for the download again"
    )


def allocated(folder: Path) -> int:
    """The bytes of the file system that the files below the folder occupy."""
    total = 0
    for path in folder.rglob("*"):
        try:
            stat = path.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue  # it has been moved since it was listed
        total += stat.st_blocks * 512 if S_ISREG(stat.st_mode) else 0
    return total


def _figures(missing: int, space: StoreSpace) -> str:
    promised = sum(each.missing for each in space.others)
    names = ", ".join(each.name for each in space.others)
    return (
        f"the download needs {readable(missing)}, but the model store has {readable(space.free)} free"
        + (f", of which {readable(promised)} are promised to downloads under way ({names})" if promised else "")
        + (f" and {readable(space.kept)} are kept free" if space.kept else "")
        + ": delete models or make it larger, then ask for the download again"
    )


def _reservation(folder: Path, now: float) -> Reservation | None:
    size, alive_at = _read(folder)
    if size is None or alive_at is None or now - alive_at > RESERVATION_SECONDS:
        return None
    return Reservation(folder.name, max(0, size - _written(folder)))


def _written(folder: Path) -> int:
    """The bytes that a download's files occupy already, without its own notes."""
    return allocated(folder / "model") + allocated(folder / "parts")


def _read(folder: Path) -> tuple[int, float] | tuple[None, None]:
    try:
        stored = json.loads((folder / _FILE).read_bytes())
        return int(stored["size"]), float(stored["aliveAt"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, None


def _folders(store: Path) -> Iterable[Path]:
    below = store / FOLDER
    return sorted(folder for folder in below.iterdir() if folder.is_dir()) if below.is_dir() else []


@contextmanager
def _ledger(store: Path) -> Generator[None]:
    with store_errors(store):
        (store / FOLDER).mkdir(exist_ok=True)
        descriptor = os.open(store / FOLDER / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with store_errors(store):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
