"""Candidates in made-up worlds: they crash and come back, their calls fail, hang, or succeed without an answer."""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress

import pytest

from berth_cluster.cluster import LEASES, Kind, NotFoundError, Object, Preconditions, UnavailableError
from berth_operator.election.elector import Elector
from berth_operator.election.fenced_cluster import fenced
from berth_operator.election.rules import Terms
from tests.instruments import Instrumented
from tests.unit.examples import sample
from tests.unit.memory_cluster import MemoryCluster
from tests.unit.virtual_time import run_in_virtual_time, wall_clock

TERMS = Terms()
FAILOVER_SECONDS = TERMS.lasts + 2 * TERMS.look_every
"""From the last renewal of a leader that vanishes until another one leads, at most."""


class Weather(Instrumented):
    """The cluster as one candidate reaches it. `trouble`: what happens to the next calls."""

    def __init__(self, cluster: MemoryCluster) -> None:
        super().__init__(cluster)
        self.trouble = "none"

    async def get(self, kind: Kind, name: str) -> Object:
        await self._before()
        return await super().get(kind, name)

    async def create(self, kind: Kind, manifest: Object) -> Object:
        await self._before()
        created = await super().create(kind, manifest)
        await self._after()
        return created

    async def patch(self, kind: Kind, name: str, patch: Object, preconditions: Preconditions | None = None) -> Object:
        await self._before()
        patched = await super().patch(kind, name, patch, preconditions)
        await self._after()
        return patched

    async def _before(self) -> None:
        if self.trouble == "fails":
            raise UnavailableError("it fails")
        if self.trouble == "hangs":
            await asyncio.sleep(15)
            raise UnavailableError("it has hung")
        await asyncio.sleep(0.01)

    async def _after(self) -> None:
        if self.trouble == "answers are lost":
            raise UnavailableError("the answer is lost")
        if self.trouble == "answers are late":
            await asyncio.sleep(5)


class Candidate:
    """An operator that comes and goes."""

    def __init__(self, name: str, cluster: MemoryCluster, offset: float) -> None:
        self.weather = Weather(cluster)
        self._name = name
        self._lives = 0
        self._offset = offset
        self._task: asyncio.Task[None] | None = None
        self.elector: Elector | None = None

    @property
    def leads(self) -> bool:
        return self.elector is not None and self.elector.leads

    def live(self) -> None:
        """Begins a life, under the name of the pod or of a new one."""
        self._lives += 1
        loop = asyncio.get_running_loop()
        self.elector = elector = Elector(
            self.weather,
            "leader",
            f"{self._name}-{self._lives // 2}",
            terms=TERMS,
            clock=wall_clock,
            now=lambda: loop.time() + self._offset,
        )
        self._task = asyncio.create_task(self._campaign_for_ever(elector))

    async def crash(self) -> None:
        """Ends the life without a word."""
        self.elector = None
        await self._ended()

    async def leave(self) -> None:
        """Ends the life as a signal does."""
        elector = self.elector
        await self._ended()
        if elector:
            await elector.release()
        self.elector = None

    async def _ended(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _campaign_for_ever(self, elector: Elector) -> None:
        while True:
            await elector.campaign()
            await elector.keep()


async def until_one_leads(candidates: list[Candidate]) -> float:
    """Seconds until one leads."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not any(candidate.leads for candidate in candidates):  # noqa: ASYNC110 (a clock decides it)
        await asyncio.sleep(0.05)
    return loop.time() - began


async def watch_for_two(candidates: list[Candidate]) -> None:
    """Ends with an error as soon as two lead."""
    while True:
        leading = [candidate for candidate in candidates if candidate.leads]
        assert len(leading) < 2, f"two lead at {asyncio.get_running_loop().time()}"
        await asyncio.sleep(0.05)


async def world(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 (chance, not secrets)
    cluster = MemoryCluster(clock=wall_clock)
    candidates = [Candidate(name, cluster, chance.uniform(0, 1e6)) for name in "abc"[: chance.choice([2, 3])]]
    watching = asyncio.create_task(watch_for_two(candidates))
    for candidate in candidates:
        candidate.live()
    for _ in range(40):
        await asyncio.sleep(chance.expovariate(1 / 5))
        candidate = chance.choice(candidates)
        match chance.choice(["crash", "leave", "live", "trouble", "calm", "delete"]):
            case "crash":
                await candidate.crash()
            case "leave":
                await candidate.leave()
            case "live" if candidate.elector is None:
                candidate.live()
            case "trouble":
                troubles = ["fails", "hangs", "answers are lost", "answers are late"]
                candidate.weather.trouble = chance.choice(troubles)
            case "delete" if chance.random() < 0.2 and not any(each.leads for each in candidates):
                await delete_lease(cluster)
            case _:
                candidate.weather.trouble = "none"
        if watching.done():
            break
    for candidate in candidates:
        candidate.weather.trouble = "none"
        if candidate.elector is None:
            candidate.live()
    within = FAILOVER_SECONDS + 15  # a call that hangs now comes to its end first
    assert await until_one_leads(candidates) <= within
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    if not watching.cancelled():
        watching.result()
    for candidate in candidates:
        await candidate.crash()


async def delete_lease(cluster: MemoryCluster) -> None:
    with suppress(NotFoundError):
        await cluster.delete(LEASES, "leader")


def test_never_two_lead_and_in_the_end_one_does() -> None:
    for seed in sample(range(60)):
        print(f"seed {seed}")
        run_in_virtual_time(world(seed))


async def two() -> tuple[MemoryCluster, list[Candidate]]:
    """Two candidates, of which the first leads."""
    cluster = MemoryCluster(clock=wall_clock)
    candidates = [Candidate("a", cluster, 0), Candidate("b", cluster, 7)]
    candidates[0].live()
    await until_one_leads(candidates[:1])
    candidates[1].live()
    await asyncio.sleep(30)
    return cluster, candidates


def in_world_of_two(check: Callable[[MemoryCluster, list[Candidate]], object]) -> None:
    async def run() -> None:
        cluster, candidates = await two()
        assert [candidate.leads for candidate in candidates] == [True, False]
        await check(cluster, candidates)  # type: ignore[misc]
        for candidate in candidates:
            await candidate.crash()

    run_in_virtual_time(run())


def test_a_leader_that_vanishes_is_followed_within_the_bound() -> None:
    async def check(_: MemoryCluster, candidates: list[Candidate]) -> None:
        await candidates[0].crash()
        assert await until_one_leads(candidates) <= FAILOVER_SECONDS

    in_world_of_two(check)


def test_a_leader_that_ends_is_followed_at_the_next_look() -> None:
    async def check(cluster: MemoryCluster, candidates: list[Candidate]) -> None:
        await candidates[0].leave()
        assert await until_one_leads(candidates) <= TERMS.look_every + 0.1
        lease = await cluster.get(LEASES, "leader")
        assert lease["spec"]["holderIdentity"].startswith("b-")
        assert lease["spec"]["leaseTransitions"] == 1

    in_world_of_two(check)


def test_a_leader_that_is_cut_off_stops_before_another_one_leads_and_writes_no_more() -> None:
    async def check(cluster: MemoryCluster, candidates: list[Candidate]) -> None:
        first = candidates[0]
        elector = first.elector
        assert elector is not None
        guarded = fenced(cluster, lambda: elector.leads)
        first.weather.trouble = "hangs"
        while first.leads:
            assert not candidates[1].leads
            await asyncio.sleep(0.05)
        with pytest.raises(UnavailableError, match="another operator leads"):
            await guarded.delete(LEASES, "leader")
        assert await until_one_leads(candidates[1:]) <= FAILOVER_SECONDS

    in_world_of_two(check)
