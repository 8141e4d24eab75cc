"""Downloads as programs that run for seconds: beside another one, on a full disk, asked, ended and cancelled."""

import json
import os
import urllib.request
from pathlib import Path

import pytest

from tests.hub.server import HubServer
from tests.unit.hub.conftest import FILES, TAKEN
from tests.unit.hub.running import Running, run
from tests.unit.hub.test_download import TINY, assert_absent, assert_complete, download


def test_two_downloads_that_do_not_fit_together(hub: HubServer, small_store: Path) -> None:
    """The store has 8 MB; one download needs 3 MB, the other 4 MB, and 2 MB stay free."""
    hub.repository("acme/big").commit({"model.safetensors": os.urandom(4_000_000)})
    hub.bytes_per_second = 1_000_000
    first = Running(small_store, hub.url, [*TINY, "--id", "first"], {"BERTH_MIN_FREE_BYTES": str(2 << 20)})
    hub.until_sent(300_000, "model.safetensors")
    code, message = run(
        small_store,
        hub.url,
        "--repository",
        "acme/big",
        "--destination",
        "big",
        environment={"BERTH_MIN_FREE_BYTES": str(2 << 20)},
    )
    assert (code, message["reason"]) == (3, "InsufficientStorage")
    assert "needs 4 MB" in message["message"]
    assert "promised to downloads under way (first)" in message["message"]
    assert "2 MB are kept free" in message["message"]
    assert_absent(small_store, "big")
    assert first.ended() == 0
    assert_complete(small_store)


def test_a_disk_that_something_else_fills(hub: HubServer, small_store: Path) -> None:
    hub.bytes_per_second = 1_000_000
    running = Running(small_store, hub.url, TINY)
    hub.until_sent(300_000, "model.safetensors")
    filler = small_store / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(8 << 20))
    assert running.ended() == 3
    message = running.message()
    assert message["reason"] == "InsufficientStorage"
    assert "delete models or make it larger" in message["message"]
    assert_absent(small_store)
    filler.unlink()
    hub.bytes_per_second = None
    download(hub, small_store)
    assert_complete(small_store)


def test_progress_is_served_while_it_downloads(hub: HubServer, store: Path, free_port: int) -> None:
    hub.bytes_per_second = 1_000_000
    running = Running(store, hub.url, [*TINY, "--port", str(free_port)])
    hub.until_sent(300_000, "model.safetensors")
    with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/progress", timeout=5) as response:
        seen = json.load(response)
    assert seen["phase"] == "Downloading"
    assert 0 < seen["bytesDone"] < seen["bytesTotal"] == sum(len(FILES[path]) for path in TAKEN)
    assert running.ended() == 0


def test_being_told_to_end_keeps_what_is_there(hub: HubServer, store: Path) -> None:
    hub.bytes_per_second = 1_000_000
    running = Running(store, hub.url, TINY)
    there = 1_000_000
    hub.until_sent(there, "model.safetensors")
    running.process.terminate()
    assert running.ended() == 143
    assert running.message()["reason"] == "Interrupted"
    assert_absent(store)
    hub.bytes_per_second = None
    code, message = run(store, hub.url, *TINY)
    assert code == 0
    assert_complete(store)
    # A piece is counted before it is written: one that was under way at the end is fetched again, and counted twice.
    assert message["bytesTotal"] <= message["bytesFetched"] < message["bytesTotal"] + there / 2


def test_what_a_cancelled_download_left_is_removed(hub: HubServer, store: Path) -> None:
    hub.bytes_per_second = 1_000_000
    running = Running(store, hub.url, [*TINY, "--id", "mine"])
    hub.until_sent(300_000, "model.safetensors")
    running.kill()
    assert (store / ".downloads/mine").exists()
    for _ in range(2):  # the second finds nothing, which is fine
        assert Running(store, hub.url, ["--remove-staging", "mine"]).ended() == 0
        assert not (store / ".downloads/mine").exists()
