"""Leases on a cluster: what is written before a request is passed on, and what follows when the cluster refuses it."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import pytest

from berth_api.activity import NEVER
from berth_api.model_deployment import ModelDeployment
from berth_cluster.cluster import MODEL_DEPLOYMENTS, UnavailableError
from berth_router.lifecycle.lease_keeper import DeploymentGoneError
from tests.instruments import InstrumentedCluster
from tests.unit.lifecycle.replicas import Replica, entry_of, make_ready, stored

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


class Router1(Replica):
    """A replica whose clock stands, and which knows what the test gives it."""

    def __init__(self, cluster: InstrumentedCluster) -> None:
        self.cluster = cluster
        self.now = NOW
        super().__init__(cluster, "router-1", lambda: self.now)

    async def known(self) -> ModelDeployment:
        """A ready deployment that it knows."""
        written = await make_ready(self.cluster, NOW)
        self.deployments.put(written)
        return ModelDeployment.parse(written)

    async def writes(self) -> int:
        return self.cluster.calls["patch_status"]


@pytest.fixture
def router(cluster: InstrumentedCluster) -> Router1:
    return Router1(cluster)


async def test_a_request_is_passed_on_under_a_lease_that_is_stored_and_the_next_one_at_once(router: Router1) -> None:
    deployment = await router.known()
    assert router.leases.claim_now(deployment, 300) is None
    first = router.leases.claim(deployment, 300)
    assert await router.leases.ensure_lease(first)
    entry = await entry_of(router.cluster, "router-1")
    assert (entry.last_activity, entry.keep_until, entry.lease_until, entry.in_flight) == (NOW, at(300), at(90), 1)
    writes = await router.writes()
    second = router.leases.claim_now(deployment, 300)
    assert second
    assert await router.writes() == writes
    router.leases.release(first)
    router.leases.release(second)
    await router.leases.leave()


@pytest.mark.parametrize(("left", "at_once"), [(10, False), (11, True)])
async def test_a_lease_that_is_near_its_end_is_renewed_first(router: Router1, left: float, at_once: bool) -> None:
    await router.known()
    claim = await router.begin(300)
    router.now = at(90 - left)
    later = router.leases.claim_now(router.deployment, 300)
    assert bool(later) == at_once
    assert later or await router.begin(300)
    until = (await entry_of(router.cluster, "router-1")).lease_until
    assert until == (at(90) if at_once else at(170))
    router.leases.release(claim)
    await router.leases.leave()


async def test_the_longest_promise_lasts(router: Router1) -> None:
    await router.known()
    for ttl in (0, 5):
        await router.ask(ttl)
    await router.leases.leave()
    assert (await entry_of(router.cluster, "router-1")).keep_until == NEVER


async def test_a_restarted_router_goes_on_from_what_is_stored(router: Router1) -> None:
    await router.known()
    await router.ask(3600)
    await router.leases.leave()
    restarted = Router1(router.cluster)
    restarted.deployments.put(await router.cluster.get(MODEL_DEPLOYMENTS, "a"))
    restarted.now = at(10)
    await restarted.ask(5)
    await restarted.leases.leave()
    assert (await entry_of(router.cluster, "router-1")).keep_until == at(3600)


async def test_a_router_that_ends_gives_its_leases_back_and_leaves_its_promises(router: Router1) -> None:
    await router.known()
    await router.begin(300)
    router.now = at(7)
    await router.leases.leave()
    entry = await entry_of(router.cluster, "router-1")
    assert (entry.lease_until, entry.in_flight, entry.keep_until) == (None, 0, at(307))


async def test_a_router_ends_though_a_request_is_in_hand_whose_promise_grows(cluster: InstrumentedCluster) -> None:
    ticks = itertools.count()
    replica = Replica(cluster, "router-1", lambda: NOW + timedelta(milliseconds=next(ticks)))
    replica.deployments.put(await make_ready(cluster, NOW))
    await replica.begin(300)
    async with asyncio.timeout(10):
        await replica.leases.leave()
    assert (await entry_of(cluster, "router-1")).lease_until is None


async def test_an_unload_ends_the_promises_of_all_and_is_not_lost_by_the_next_write(router: Router1) -> None:
    await router.known()
    gone = {"lastActivity": at(-5).isoformat(), "keepUntil": NEVER.isoformat(), "inFlight": 0}
    router.deployments.put(await router.cluster.patch_status(MODEL_DEPLOYMENTS, "a", {"activity": {"gone": gone}}))
    await router.ask(3600)
    router.now = at(1)
    await router.leases.unload(router.deployment)
    router.now = at(2)
    await router.ask(5)
    await router.leases.leave()
    entry = await entry_of(router.cluster, "router-1")
    assert (entry.unload_at, entry.keep_until) == (at(1), at(7))


async def test_a_closed_deployment_stays_closed_when_its_lease_is_renewed(router: Router1) -> None:
    await router.known()
    claim = await router.begin(300)
    await router.leases.close_to_requests(router.deployment, 60)
    router.now = at(25)
    queued = router.leases.claim(router.deployment, 300)
    assert not await router.leases.ensure_lease(queued)
    router.leases.release(queued, promises=False)
    router.leases.release(claim)
    await router.leases.leave()
    assert (await entry_of(router.cluster, "router-1")).closed_until == at(60)


async def test_a_lease_on_a_successor_of_the_same_name_is_not_taken(router: Router1) -> None:
    deployment = await router.known()
    await router.cluster.delete(MODEL_DEPLOYMENTS, "a")
    await make_ready(router.cluster, NOW)
    claim = router.leases.claim(deployment, 300)
    with pytest.raises(DeploymentGoneError):
        await router.leases.ensure_lease(claim)
    router.leases.release(claim)
    await router.leases.leave()
    assert (await stored(router.cluster)).status.activity == {}


async def test_a_deployment_that_is_found_gone_is_gone_from_the_view(router: Router1) -> None:
    await router.known()
    await router.cluster.delete(MODEL_DEPLOYMENTS, "a")
    claim = router.leases.claim(router.deployment, 300)
    with pytest.raises(DeploymentGoneError):
        await router.leases.ensure_lease(claim)
    assert router.deployments.get("a") is None
    assert router.leases.in_flight(claim.deployment.uid) == 0
    with pytest.raises(DeploymentGoneError):
        await router.leases.close_to_requests(claim.deployment, 60)
    router.leases.release(claim)


async def test_a_lease_that_cannot_be_written_lets_nothing_pass_and_is_tried_again(router: Router1) -> None:
    deployment = await router.known()
    router.cluster.fail_next("patch_status", UnavailableError("gone fishing"))
    claim = router.leases.claim(deployment, 300)
    with pytest.raises(UnavailableError):
        await router.leases.ensure_lease(claim)
    router.now = at(1)
    assert await router.leases.ensure_lease(claim)
    assert (await entry_of(router.cluster, "router-1")).in_flight == 1
    router.leases.release(claim)
    await router.leases.leave()
