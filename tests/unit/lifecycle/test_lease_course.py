"""Leases as virtual time passes: renewed, released, waited for, and what an operator does about them."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any

import pytest

from berth_api.activity import NEVER, expires_at, leased_until
from berth_cluster.cluster import MODEL_DEPLOYMENTS, Kind, NotFoundError, Object, Preconditions, UnavailableError
from berth_router.lifecycle import unloader
from berth_router.lifecycle.lease_keeper import DeploymentGoneError
from tests.unit.lifecycle.replicas import NAME, Replica, entry_of, make_ready, running, stored
from tests.unit.memory_cluster import MemoryCluster
from tests.unit.virtual_time import run_in_virtual_time, wall_clock


class Fragile(MemoryCluster):
    """Breaks with anything, and records when each status was written and by whom."""

    def __init__(self) -> None:
        super().__init__(clock=wall_clock)
        self.breaks_with: BaseException | None = None
        self.writes: list[float] = []

    async def patch_status(
        self, kind: Kind, name: str, status: Object, preconditions: Preconditions | None = None
    ) -> Object:
        self.writes.append(asyncio.get_running_loop().time())
        if self.breaks_with:
            raise self.breaks_with
        return await super().patch_status(kind, name, status, preconditions)


@asynccontextmanager
async def house(replicas: int = 1, **fields: Any) -> AsyncGenerator[tuple[Fragile, list[Replica]]]:
    """A cluster with a ready deployment, and so many replicas that know it."""
    cluster = Fragile()
    await make_ready(cluster, wall_clock(), **fields)
    async with AsyncExitStack() as stack:
        yield (
            cluster,
            [
                await stack.enter_async_context(running(cluster, f"router-{number}", wall_clock))
                for number in range(1, replicas + 1)
            ],
        )


def passes(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Runs the test in virtual time."""

    def run() -> None:
        run_in_virtual_time(test())

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


async def is_idle(cluster: Fragile) -> bool:
    moment = expires_at(await stored(cluster))
    return moment is not None and moment <= wall_clock()


def seconds_from_now(moment: datetime) -> float:
    return (moment - wall_clock()).total_seconds()


@passes
async def test_a_long_answer_under_a_short_ttl_is_kept_to_its_end_and_not_for_long_after_it() -> None:
    async with house(ttl=1) as (cluster, [router]):
        claim = await router.begin(1)
        for _ in range(300):
            await asyncio.sleep(1)
            assert not await is_idle(cluster)
        assert len(cluster.writes) < 14, "a lease costs one write in thirty seconds"
        router.leases.release(claim)
        await asyncio.sleep(2.5)
        assert await is_idle(cluster)


@passes
async def test_a_model_in_use_has_its_lease_all_the_time() -> None:
    async with house() as (cluster, [router]):
        await router.ask(300)
        writes = len(cluster.writes)
        for _ in range(1000):
            await asyncio.sleep(0.1)
            claim = router.leases.claim_now(router.deployment, 300)
            assert claim, "no request waits for a write"
            await asyncio.sleep(0)
            router.leases.release(claim)
        assert len(cluster.writes) - writes <= 4, "one in thirty seconds"


@passes
async def test_requests_now_and_then_cost_no_more_than_a_write_a_second() -> None:
    async with house() as (cluster, [router]):
        for _ in range(100):
            await router.ask(300)
            await asyncio.sleep(2.1)
        assert len(cluster.writes) <= 211


@passes
async def test_a_model_that_is_ready_is_served_while_the_cluster_takes_no_writes_and_is_leased_again_after_that() -> (
    None
):
    async with house() as (cluster, [router]):
        await router.ask(300)
        await asyncio.sleep(5)
        cluster.breaks_with = UnavailableError("gone fishing")
        for _ in range(28):  # for 280 of the 300 s that are promised
            await router.ask(300)
            await asyncio.sleep(10)
        cluster.breaks_with = None
        answering = await router.begin(300)
        await asyncio.sleep(1)
        assert leased_until(await stored(cluster)), "an unload would wait for it again"
        router.leases.release(answering)


@passes
async def test_beyond_what_is_promised_nothing_is_served_without_a_lease() -> None:
    async with house() as (cluster, [router]):
        await router.ask(300)
        await asyncio.sleep(5)
        cluster.breaks_with = UnavailableError("gone fishing")
        await asyncio.sleep(290)
        with pytest.raises(UnavailableError):
            await router.ask(300)


@passes
async def test_the_longest_promise_lasts_however_long_ago_it_was_made() -> None:
    async with house(ttl=1) as (cluster, [router]):
        await router.ask(3600)
        await asyncio.sleep(600)
        await router.ask(1)
        await asyncio.sleep(600)
        assert seconds_from_now((await entry_of(cluster, "router-1")).keep_until) == pytest.approx(2400, abs=5)
        await router.ask(0)
        await asyncio.sleep(600)
        await router.ask(60)
        await asyncio.sleep(600)
        assert (await entry_of(cluster, "router-1")).keep_until == NEVER


@passes
async def test_a_replica_does_not_rely_on_what_another_one_has_promised() -> None:
    async with house(2, ttl=1) as (cluster, [one, other]):
        await one.ask(3600)
        await asyncio.sleep(10)
        answering = await other.begin(1)
        assert leased_until(await stored(cluster)), "it has written a lease of its own"
        await one.leases.unload(one.deployment)
        await asyncio.sleep(60)
        assert not await is_idle(cluster), "an unload ends the promise, and no lease"
        other.leases.release(answering)
        await asyncio.sleep(3)
        assert await is_idle(cluster)


@passes
async def test_whatever_goes_wrong_with_a_write_the_leases_go_on() -> None:
    async with house(ttl=1) as (cluster, [router]):
        claim = await router.begin(1)
        cluster.breaks_with = ValueError("unexpected end of data")  # what a broken proxy's body makes of a 200
        await asyncio.sleep(16)
        cluster.breaks_with = None
        await asyncio.sleep(300)
        assert not await is_idle(cluster)
        router.leases.release(claim)


@passes
async def test_a_request_is_told_what_is_wrong_and_the_next_one_tries_again_a_second_later() -> None:
    async with house() as (cluster, [router]):
        cluster.breaks_with = UnavailableError("gone fishing")
        for _ in range(10):
            claim = router.leases.claim(router.deployment, 300)
            with pytest.raises(UnavailableError, match="gone fishing"):
                await router.leases.ensure_lease(claim)
            router.leases.release(claim)
        first, *later = cluster.writes[1:]
        assert later[-1] - first >= 8.9, "a cluster that does not work is not asked as often as requests come"
        cluster.breaks_with = None
        await router.ask(300)


@passes
async def test_a_lease_that_may_have_been_written_is_released() -> None:
    class Forgetful(Fragile):
        loses = False

        async def patch_status(
            self, kind: Kind, name: str, status: Object, preconditions: Preconditions | None = None
        ) -> Object:
            written = await super().patch_status(kind, name, status, preconditions)
            if self.loses:
                raise UnavailableError("the answer is lost")
            return written

    cluster = Forgetful()
    await make_ready(cluster, wall_clock(), 1)
    async with running(cluster, "router-1", wall_clock) as router:
        cluster.loses = True
        claim = router.leases.claim(router.deployment, 1)
        with pytest.raises(UnavailableError):
            await router.leases.ensure_lease(claim)
        router.leases.release(claim)
        assert leased_until(await stored(cluster))
        cluster.loses = False
        await asyncio.sleep(5)
        assert leased_until(await stored(cluster)) is None


@passes
async def test_who_waits_is_told_that_the_deployment_is_gone() -> None:
    async with house() as (cluster, [router]):
        cluster.breaks_with = UnavailableError("gone fishing")
        claim = router.leases.claim(router.deployment, 300)
        with pytest.raises(UnavailableError):
            await router.leases.ensure_lease(claim)
        waiting = asyncio.create_task(router.leases.ensure_lease(claim))
        await asyncio.sleep(0.1)
        await cluster.delete(MODEL_DEPLOYMENTS, NAME)
        with pytest.raises(DeploymentGoneError):
            await waiting
        router.leases.release(claim)


@passes
async def test_a_router_that_crashed_delays_the_end_by_no_more_than_its_lease() -> None:
    async with house(ttl=1) as (cluster, [router]):
        await router.begin(1)
        await asyncio.sleep(20)
        router.leases._leases.clear()  # pyright: ignore[reportPrivateUsage] (as a crash does)
        cluster.breaks_with = UnavailableError("it is dead")
        await asyncio.sleep(91)
        assert await is_idle(cluster)


@passes
async def test_a_restarted_router_releases_the_lease_of_its_earlier_process() -> None:
    async with house(ttl=1) as (cluster, _):
        now = wall_clock()
        entry = {"lastActivity": now.isoformat(), "keepUntil": now.isoformat(), "inFlight": 1}
        lease = {"leaseUntil": now.replace(minute=1).isoformat()}
        await cluster.patch_status(MODEL_DEPLOYMENTS, NAME, {"activity": {"router-2": {**entry, **lease}}})
        async with running(cluster, "router-2", wall_clock):
            await asyncio.sleep(3)
            assert leased_until(await stored(cluster)) is None


# -- Unloading


@passes
async def test_an_unload_of_what_nobody_uses_takes_no_time() -> None:
    async with house(2) as (cluster, [one, other]):
        await one.ask(300)
        await other.ask(300)
        await asyncio.sleep(5)
        began = asyncio.get_running_loop().time()
        await one.unloader.unload([one.deployment])
        assert asyncio.get_running_loop().time() == began
        with pytest.raises(NotFoundError):
            await stored(cluster)


@passes
async def test_an_unload_waits_for_a_lease_that_was_written_as_it_began() -> None:
    """Neither replica has seen the other's write: the order of the writes decides."""
    async with house(2) as (cluster, [one, other]):
        for ahead in range(4):
            taking = asyncio.create_task(other.begin(300)) if ahead else None
            for _ in range(ahead):
                await asyncio.sleep(0)
            unloading = asyncio.create_task(one.unloader.unload([one.deployment]))
            taking = taking or asyncio.create_task(other.begin(300))
            done, _ = await asyncio.wait([taking], timeout=0.5)
            if done and not taking.exception():
                await asyncio.sleep(20)
                assert not unloading.done(), "an answer is being made"
                other.leases.release(taking.result())
            await unloading
            await asyncio.gather(taking, return_exceptions=True)
            await make_ready(cluster, wall_clock())
            await asyncio.sleep(0.1)


@passes
async def test_a_replica_that_has_not_heard_of_an_unload_passes_nothing_on_that_comes_after_it() -> None:
    async with house(2) as (_, [one, other]):
        answering = await one.begin(300)
        hears = other.deployments._store  # pyright: ignore[reportPrivateUsage]

        def deaf(manifest: Object) -> None:
            pass

        other.deployments._store = deaf  # pyright: ignore[reportPrivateUsage]
        unloading = asyncio.create_task(one.unloader.unload([one.deployment]))
        await asyncio.sleep(1)
        claim = other.leases.claim(other.deployment, 300)
        assert not await other.leases.ensure_lease(claim)
        other.leases.release(claim, promises=False)
        other.deployments._store = hears  # pyright: ignore[reportPrivateUsage]
        one.leases.release(answering)
        await unloading


@passes
async def test_a_replica_that_does_not_answer_holds_an_unload_up_for_as_long_as_answers_get() -> None:
    async with house(2) as (cluster, [one, other]):
        await other.begin(300)
        began = asyncio.get_running_loop().time()
        await one.unloader.unload([one.deployment])
        assert asyncio.get_running_loop().time() - began == pytest.approx(unloader.DRAIN_SECONDS, abs=0.1)
        with pytest.raises(NotFoundError):
            await stored(cluster)


@passes
async def test_an_unload_of_what_a_person_declared_ends_all_promises_until_the_next_request() -> None:
    async with house(2, action="Sleep") as (cluster, [one, other]):
        await one.ask(3600)
        await other.ask(0)
        await asyncio.sleep(5)
        await one.unloader.unload([one.deployment])
        assert await is_idle(cluster)
        await asyncio.sleep(100)
        await other.ask(5)
        await asyncio.sleep(4)
        assert not await is_idle(cluster)
        await asyncio.sleep(4)
        assert await is_idle(cluster), "the promise of before the unload does not come back"


@passes
async def test_an_answer_that_outlasts_an_unload_makes_no_promise() -> None:
    async with house(2, action="Sleep") as (cluster, [one, other]):
        answering = await other.begin(3600)
        await one.unloader.unload([one.deployment])
        await asyncio.sleep(60)
        assert not await is_idle(cluster)
        other.leases.release(answering)
        await asyncio.sleep(4)
        assert await is_idle(cluster)
