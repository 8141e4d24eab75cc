"""Work that is done by who leads: when it begins, and what ends it."""

import asyncio
from collections.abc import Coroutine

import pytest

from berth_cluster.cluster import LEASES, UnavailableError
from berth_operator.election.elector import Elector
from berth_operator.election.leading import campaign_unless, lead
from berth_operator.election.rules import Terms
from tests.unit.memory_cluster import MemoryCluster
from tests.unit.virtual_time import run_in_virtual_time, wall_clock


def elector(cluster: MemoryCluster, name: str) -> Elector:
    now = asyncio.get_running_loop().time
    return Elector(cluster, "leader", name, f"10.0.0.{len(name)}", terms=Terms(), clock=wall_clock, now=now)


async def holder(cluster: MemoryCluster) -> str:
    return (await cluster.get(LEASES, "leader"))["spec"]["holderIdentity"]


def virtually(test: Coroutine[None, None, None]) -> None:
    run_in_virtual_time(test)


def test_work_that_ends_gives_the_lease_back() -> None:
    async def test() -> None:
        cluster = MemoryCluster(clock=wall_clock)
        first = elector(cluster, "a")
        assert await campaign_unless(asyncio.Event(), first)
        assert await lead(first, lambda: asyncio.sleep(100))
        assert await holder(cluster) == ""
        assert first.leader_address == "10.0.0.1"

    virtually(test())


def test_work_that_fails_gives_the_lease_back_and_the_failure_is_told() -> None:
    async def fail() -> None:
        raise ValueError("it failed")

    async def test() -> None:
        cluster = MemoryCluster(clock=wall_clock)
        first = elector(cluster, "a")
        await first.campaign()
        with pytest.raises(ValueError, match="it failed"):
            await lead(first, fail)
        assert await holder(cluster) == ""

    virtually(test())


def test_work_is_cancelled_when_the_lease_cannot_be_renewed() -> None:
    async def test() -> None:
        cluster = MemoryCluster(clock=wall_clock)
        first = elector(cluster, "a")
        await first.campaign()
        ended = asyncio.Event()

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                assert not first.leads
                ended.set()

        for _ in range(100):
            cluster.fail_next("patch", UnavailableError("no way"))
        assert not await lead(first, work)
        assert ended.is_set()
        assert asyncio.get_running_loop().time() <= Terms().renew_within + 0.1
        assert await holder(cluster) == "a", "another one may have it by now: it is left alone"

    virtually(test())


def test_a_signal_ends_one_that_waits() -> None:
    async def test() -> None:
        cluster = MemoryCluster(clock=wall_clock)
        first, second = elector(cluster, "a"), elector(cluster, "bb")
        await first.campaign()
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(5, stop.set)
        assert not await campaign_unless(stop, second)
        assert second.leader_address == "10.0.0.1"
        assert await holder(cluster) == "a"

    virtually(test())
