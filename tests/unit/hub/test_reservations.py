"""The ledger: what is promised to downloads, for how long, and what becomes of what they leave."""

import os
import shutil
from pathlib import Path

import pytest

from berth_hub.errors import InsufficientStorageError, StagingBusyError
from berth_hub.reservations import RESERVATION_SECONDS, STALE_SECONDS, reserve, space_in, sweep
from berth_hub.staging import Staging, remove_staging

MIB = 1 << 20
NOW = 1_800_000_000.0


@pytest.fixture
def free(store: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """A store on a disk with 100 MiB free, whatever this machine has."""
    usage = shutil.disk_usage(store)

    def disk_usage(path: Path) -> object:
        return usage._replace(free=100 * MIB)

    monkeypatch.setattr(shutil, "disk_usage", disk_usage)
    return 100 * MIB


def test_promises_count_as_taken(store: Path, free: int) -> None:
    first, second = Staging.open(store, "first"), Staging.open(store, "second")
    reserve(store, first, 60 * MIB, 10 * MIB, NOW)
    with pytest.raises(InsufficientStorageError) as raised:
        reserve(store, second, 31 * MIB, 10 * MIB, NOW)
    for figure in ("needs 33 MB", "105 MB free", "63 MB are promised", "(first)", "10 MB are kept free"):
        assert figure in str(raised.value)
    reserve(store, second, 30 * MIB, 10 * MIB, NOW)
    assert space_in(store, 10 * MIB, NOW).available == 0


def test_what_is_written_is_no_longer_promised(store: Path, free: int) -> None:
    first = Staging.open(store, "first")
    (first.model / "weights").write_bytes(os.urandom(8 * MIB))
    reserve(store, first, 60 * MIB, 0, NOW)
    assert space_in(store, 0, NOW).available == free - 52 * MIB


def test_a_download_may_reserve_again(store: Path, free: int) -> None:
    first = Staging.open(store, "first")
    for _ in range(2):
        reserve(store, first, 90 * MIB, 0, NOW)


@pytest.mark.parametrize(
    ("age", "available"), [(RESERVATION_SECONDS - 1, 40 * MIB), (RESERVATION_SECONDS + 1, 100 * MIB)]
)
def test_the_promise_to_a_dead_download_ends(store: Path, free: int, age: float, available: int) -> None:
    staging = Staging.open(store, "first")
    reserve(store, staging, 60 * MIB, 0, NOW)
    staging.close()
    assert space_in(store, 0, NOW + age).available == available


def test_a_download_that_is_removed_gives_its_room_back(store: Path, free: int) -> None:
    staging = Staging.open(store, "first")
    reserve(store, staging, 60 * MIB, 0, NOW)
    staging.remove()
    assert space_in(store, 0, NOW).available == free


def test_what_old_downloads_left_is_swept(store: Path) -> None:
    old, held, fresh = (Staging.open(store, name) for name in ("old", "held", "fresh"))
    for staging in (old, held):
        reserve(store, staging, MIB, 0, NOW - STALE_SECONDS - 1)
    reserve(store, fresh, MIB, 0, NOW - STALE_SECONDS + 1)
    old.close()
    fresh.close()
    swept: list[str] = []
    sweep(store, NOW, swept.append)
    assert swept == ["old"]
    assert sorted(path.name for path in (store / ".downloads").iterdir() if path.is_dir()) == ["fresh", "held"]


def test_a_staging_folder_belongs_to_one_process(store: Path) -> None:
    staging = Staging.open(store, "mine")
    with pytest.raises(StagingBusyError, match="another process is at work"):
        remove_staging(store, "mine", wait=0)
    staging.close()
    remove_staging(store, "mine", wait=0)
    assert not staging.folder.exists()


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "/etc", ".hidden", "UPPER", "a" * 254, "a\n"])
def test_a_name_cannot_leave_the_folder_of_downloads(store: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a download"):
        remove_staging(store, name)
