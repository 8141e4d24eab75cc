"""Downloads that are killed: the next attempt takes up where it was, whatever the point."""

import os
import random
from pathlib import Path

from berth_hub.publishing import MANIFEST
from tests.hub.server import HubServer
from tests.unit.hub.running import Running, run

KILLS = 10
FETCHED_TWICE = 1 << 20
"""Bytes of a kill that may be fetched again: what was in the kernel's buffers, unread, on four connections."""

ARGUMENTS = ("--repository", "acme/large", "--destination", "large")


def test_killed_at_ten_random_points(hub: HubServer, store: Path) -> None:
    """In one download, one kill after the other."""
    files = {f"model-0000{number}-of-00003.safetensors": os.urandom(4_000_000) for number in (1, 2, 3)} | {
        "config.json": b"{}"
    }
    hub.repository("acme/large").commit(files)
    hub.bytes_per_second = 3_000_000
    size = sum(map(len, files.values()))
    points = sorted(random.Random().sample(range(100_000, size - 500_000), KILLS))  # noqa: S311 (no secret)
    for point in points:
        running = Running(store, hub.url, ARGUMENTS)
        hub.until_sent(point)
        running.kill()
        assert running.process.exitcode == -9
        assert not (store / "large").exists()
    code, message = run(store, hub.url, *ARGUMENTS)
    assert code == 0, message
    found = {path.name: path.read_bytes() for path in (store / "large").iterdir() if path.name != MANIFEST}
    assert found == files
    twice = message["bytesFetched"] - size
    sent_twice = sum(hub.sent.values()) - size
    print(f"killed at {points}: {twice} of {size} bytes were fetched twice, {sent_twice} sent twice")
    assert 0 <= twice <= sent_twice <= KILLS * FETCHED_TWICE


def test_killed_between_publishing_and_the_end(hub: HubServer, store: Path) -> None:
    """The model is in its place already: the next attempt finds that, and tidies up."""
    assert run(store, hub.url, "--repository", "acme/tiny", "--destination", "tiny")[0] == 0
    left = store / ".downloads/tiny"
    (left / "model").mkdir(parents=True)
    sent = sum(hub.sent.values())
    assert run(store, hub.url, "--repository", "acme/tiny", "--destination", "tiny", "--id", "tiny")[0] == 0
    assert sum(hub.sent.values()) == sent
    assert not left.exists()
