"""The counts of all replicas: added up, kept over restarts, lost by nobody's write."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from berth_cluster.cluster import CONFIG_MAPS, ConflictError, UnavailableError
from berth_router import stats
from berth_router.stats import GONE_AFTER, Counts, Stats
from tests.instruments import InstrumentedCluster

NAME = "berth-stats"
START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def shared(cluster: InstrumentedCluster) -> InstrumentedCluster:
    """A cluster with the chart's ConfigMap: without data."""
    await cluster.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}})
    return cluster


@pytest.fixture
def clock() -> Clock:
    return Clock()


def count(stats: Stats, hits: int, misses: int) -> None:
    for hit in [True] * hits + [False] * misses:
        stats.count(hit=hit)


async def test_each_replica_knows_what_the_others_told(shared: InstrumentedCluster, clock: Clock) -> None:
    one, two = (Stats(shared, NAME, name, clock) for name in ("router-1", "router-2"))
    count(one, 3, 1)
    count(two, 10, 20)
    assert await one.total() == Counts(3, 1)
    assert await two.total() == Counts(13, 21)
    count(one, 1, 0)
    assert await one.total() == Counts(14, 21)


async def test_a_restarted_replica_goes_on_from_what_it_wrote(shared: InstrumentedCluster, clock: Clock) -> None:
    before = Stats(shared, NAME, "router-1", clock)
    count(before, 2, 2)
    await before.close()
    after = Stats(shared, NAME, "router-1", clock)
    count(after, 1, 0)
    assert await after.total() == Counts(3, 2)
    assert await after.total() == Counts(3, 2)


async def test_replicas_long_gone_are_folded_into_one_entry(shared: InstrumentedCluster, clock: Clock) -> None:
    for name in ("router-1", "router-2"):
        gone = Stats(shared, NAME, name, clock)
        count(gone, 1, 2)
        await gone.close()
        clock.now += timedelta(seconds=1)
    clock.now += GONE_AFTER
    left = Stats(shared, NAME, "router-3", clock)
    assert await left.total() == Counts(2, 4)
    assert set((await shared.get(CONFIG_MAPS, NAME))["data"]) == {"_gone", "router-3"}
    clock.now += GONE_AFTER
    assert await left.total() == Counts(2, 4)


async def test_a_replica_that_was_taken_for_gone_is_not_counted_twice(
    shared: InstrumentedCluster, clock: Clock
) -> None:
    cut_off, other = (Stats(shared, NAME, name, clock) for name in ("router-1", "router-2"))
    count(cut_off, 5, 5)
    await cut_off.total()
    clock.now += GONE_AFTER + timedelta(seconds=1)
    await other.total()
    count(cut_off, 1, 0)
    assert await cut_off.total() == Counts(6, 5)
    assert await other.total() == Counts(6, 5)


async def test_a_replica_without_requests_is_not_taken_for_gone(shared: InstrumentedCluster, clock: Clock) -> None:
    quiet, other = (Stats(shared, NAME, name, clock) for name in ("router-1", "router-2"))
    count(quiet, 1, 0)
    for _ in range(10):
        await quiet.total()
        await other.total()
        clock.now += GONE_AFTER / 5
    assert set((await shared.get(CONFIG_MAPS, NAME))["data"]) == {"router-1", "router-2"}


async def test_nothing_is_written_while_nothing_is_new(shared: InstrumentedCluster, clock: Clock) -> None:
    stats = Stats(shared, NAME, "router-1", clock)
    count(stats, 1, 0)
    for _ in range(5):
        await stats.total()
    assert shared.calls["patch"] == 1


async def test_a_write_that_another_replica_outran_is_made_again(shared: InstrumentedCluster, clock: Clock) -> None:
    stats = Stats(shared, NAME, "router-1", clock)
    count(stats, 1, 0)
    shared.fail_next("patch", ConflictError("the version is another"))
    await stats.close()
    assert await Stats(shared, NAME, "router-2", clock).total() == Counts(1, 0)


async def test_what_was_last_known_is_told_while_the_cluster_is_away(shared: InstrumentedCluster, clock: Clock) -> None:
    one, two = (Stats(shared, NAME, name, clock) for name in ("router-1", "router-2"))
    count(two, 1, 1)
    await two.close()
    await one.total()
    count(one, 1, 0)
    shared.fail_next("get", UnavailableError("the API server cannot be reached"))
    assert await one.total() == Counts(2, 1)


async def test_counts_outlive_a_config_map_that_somebody_deleted(shared: InstrumentedCluster, clock: Clock) -> None:
    stats = Stats(shared, NAME, "router-1", clock)
    count(stats, 4, 2)
    await stats.total()
    await shared.delete(CONFIG_MAPS, NAME)
    assert await stats.total() == Counts(4, 2)
    await shared.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}})
    assert await stats.total() == Counts(4, 2)


async def test_without_a_config_map_a_replica_counts_for_itself(cluster: InstrumentedCluster, clock: Clock) -> None:
    stats = Stats(cluster, None, "router-1", clock)
    count(stats, 1, 1)
    assert await stats.total() == Counts(1, 1)


async def test_a_count_that_cannot_be_read_is_left_alone_and_told_once(
    shared: InstrumentedCluster, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    unreadable = {"router-8": "no JSON", "router-9": '{"hits": -1, "misses": "x"}', "_gone": "[]"}
    await shared.patch(CONFIG_MAPS, NAME, {"data": unreadable})
    one, two = (Stats(shared, NAME, name, clock) for name in ("router-1", "router-2"))
    count(one, 1, 1)
    count(two, 2, 2)
    await one.total()
    capsys.readouterr()
    for _ in range(3):
        assert await two.total() == Counts(3, 3)
    assert capsys.readouterr().out.count("stats_not_understood") == len(unreadable)
    assert (await shared.get(CONFIG_MAPS, NAME))["data"].items() >= unreadable.items()


async def test_a_replica_whose_own_count_cannot_be_read_begins_anew(shared: InstrumentedCluster, clock: Clock) -> None:
    await shared.patch(CONFIG_MAPS, NAME, {"data": {"router-1": "no JSON"}})
    one = Stats(shared, NAME, "router-1", clock)
    count(one, 1, 1)
    assert await one.total() == Counts(1, 1)
    assert await Stats(shared, NAME, "router-2", clock).total() == Counts(1, 1)


async def test_a_fault_that_nobody_expected_ends_no_counting(
    shared: InstrumentedCluster, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as an answer that is no object: whatever it is, it is no reason to restart a router."""
    monkeypatch.setattr(stats, "WRITE_SECONDS", 0.01)
    fault: Any = KeyError("metadata")
    shared.fail_next("get", fault)
    one = Stats(shared, NAME, "router-1", clock)
    count(one, 1, 1)
    running = asyncio.create_task(one.run())
    async with asyncio.timeout(10):
        while shared.calls["patch"] == 0:  # noqa: ASYNC110 (the calls are a number)
            await asyncio.sleep(0.01)
    assert "router-1" in (await shared.get(CONFIG_MAPS, NAME))["data"]
    assert not running.done()
    running.cancel()
    await asyncio.wait({running})
