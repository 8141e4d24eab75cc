"""StoreSpace in the store: what each download under way may still need is set aside for it before its first byte.

The ledger is the `reservation` file of each download's folder, read and written under one lock in the store. A
reservation counts what is not written yet, and holds while its process says that it is alive, and a while after, so
that a killed one finds its space again.
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
"""How long a reservation outlives the last sign of life: longer than any wait between two attempts of a Job."""
STALE_SECONDS = 24 * 3600.0
"""After so long without a sign of life what a download left is deleted."""
HEARTBEAT_SECONDS = 15.0
_FILE = "reservation"


@dataclass(frozen=True, slots=True)
class Reservation:
    """StoreSpace that one download still needs, in bytes."""

    name: str
    missing: int


@dataclass(frozen=True, slots=True)
class StoreSpace:
    """What there is, in bytes:
    `free` by the file system, `kept` by the administrator, the rest promised to other downloads.
    """

    free: int
    kept: int
    others: tuple[Reservation, ...]

    @property
    def available(self) -> int:
        """What one more download may take; negative where even the promises do not fit."""
        return self.free - self.kept - sum(each.missing for each in self.others)


def space_in(store: Path, kept: int, now: float, but: str | None = None) -> StoreSpace:
    """The space in the store, the reservation of the download `but` aside. Needs no lock. Raises StoreError."""
    with store_errors(store):
        free = shutil.disk_usage(store).free
        others = tuple(each for folder in _folders(store) if folder.name != but and (each := _reservation(folder, now)))
        return StoreSpace(free, kept, others)


def reserve(store: Path, staging: Staging, size: int, kept: int, now: float) -> None:
    """Sets aside what is missing of `size` bytes. Raises InsufficientStorageError with the figures, or StoreError."""
    with _ledger(store):
        missing = max(0, size - _written(staging.folder))
        space = space_in(store, kept, now, but=staging.folder.name)
        if missing > space.available:
            raise InsufficientStorageError(_figures(missing, space))
        keep_alive(staging, size, now)


def keep_alive(staging: Staging, size: int, now: float) -> None:
    """Says that the process is alive and still needs the space."""
    write_whole(staging.folder / _FILE, json.dumps({"size": size, "aliveAt": now}).encode())


def sweep(store: Path, now: float, report: Callable[[str], None]) -> None:
    """Deletes what downloads left that gave no sign of life for long; reports each.

    A folder whose lock is held is left alone.
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
    """What to say of a write that failed for want of space; None where it failed for something else."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return None
    free = shutil.disk_usage(store).free
    return InsufficientStorageError(
        f"the model store ran full while it was written ({readable(free)} free): something else took the space; delete models or enlarge "
        "its volume, then ask for the download again"
    )


def allocated(folder: Path) -> int:
    """Bytes of the file system that the files below the folder occupy."""
    total = 0
    for path in folder.rglob("*"):
        try:
            stat = path.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue  # it was moved while we looked
        total += stat.st_blocks * 512 if S_ISREG(stat.st_mode) else 0
    return total


def _figures(missing: int, space: StoreSpace) -> str:
    promised = sum(each.missing for each in space.others)
    names = ", ".join(each.name for each in space.others)
    return (
        f"the download needs {readable(missing)}, but the model store has {readable(space.free)} free"
        + (f", of which {readable(promised)} are promised to downloads under way ({names})" if promised else "")
        + (f" and {readable(space.kept)} are kept free" if space.kept else "")
        + ": delete models or enlarge its volume, then ask for the download again"
    )


def _reservation(folder: Path, now: float) -> Reservation | None:
    size, alive_at = _read(folder)
    if size is None or alive_at is None or now - alive_at > RESERVATION_SECONDS:
        return None
    return Reservation(folder.name, max(0, size - _written(folder)))


def _written(folder: Path) -> int:
    """What a download's files occupy already; its bookkeeping is not of the model."""
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
