"""Models take turns on one device: the whole operator, real routers and clients, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from berth_api.model_deployment import Phase
from berth_api.room.snapshot import RoomSettings
from berth_cluster.cluster import MODEL_DEPLOYMENTS, PODS
from tests.unit.examples import sample
from tests.unit.operator.faulty_cluster import Fault, points
from tests.unit.operator.room.crowded import Answer, CrowdedWorld, asking
from tests.unit.virtual_time import run_in_virtual_time

A, B, C = "/models/a", "/models/b", "/models/c"
OWN_START = 0.15
"""Seconds that an engine takes here."""

Story = Callable[[CrowdedWorld], Awaitable[None]]


def tell(story: Story, devices: int = 1, *, sees_nodes: bool = False, rules: RoomSettings | None = None) -> None:
    async def run() -> None:
        world = CrowdedWorld(devices, sees_nodes=sees_nodes, **({"rules": rules} if rules else {}))
        async with world:
            await story(world)
            world.check_room()

    run_in_virtual_time(run())


@pytest.fixture(params=[False, True], ids=["the scheduler is asked", "nodes are seen"])
def sees_nodes(request: pytest.FixtureRequest) -> bool:
    return request.param


def test_an_idle_model_goes_at_once_for_one_that_is_asked(sees_nodes: bool) -> None:
    async def story(world: CrowdedWorld) -> None:
        await world.request(A)
        await asyncio.sleep(10)
        answer = await world.request(B)
        assert answer.begun - answer.asked <= OWN_START + 1

    tell(story, sees_nodes=sees_nodes)


def test_a_model_that_was_in_use_a_moment_ago_gives_its_lease_back_and_goes(sees_nodes: bool) -> None:
    async def story(world: CrowdedWorld) -> None:
        await world.request(A, seconds=20)
        answer = await world.request(B)
        assert answer.begun - answer.asked <= OWN_START + 1.5

    tell(story, sees_nodes=sees_nodes)


def test_a_model_waits_for_one_that_answers_and_its_client_reads_its_place(sees_nodes: bool) -> None:
    async def story(world: CrowdedWorld) -> None:
        async with asking(world, A, seconds=20, router=1) as first:
            await asyncio.sleep(1)
            waited = await world.request(B)
            assert first.done()
            assert 0 <= waited.begun - first.result().ended <= OWN_START + 3
        assert any("place 1 in the queue" in each for each in world.progress), world.progress

    tell(story, sees_nodes=sees_nodes)


def test_who_came_first_is_served_first(sees_nodes: bool) -> None:
    async def story(world: CrowdedWorld) -> None:
        async with asking(world, A, seconds=15):
            await asyncio.sleep(1)
            async with asking(world, B) as second:
                await asyncio.sleep(3)
                third = await world.request(C)
                assert second.done()
                assert second.result().ended <= third.begun

    tell(story, sees_nodes=sees_nodes)


def test_a_model_whose_requests_never_cease_yields_and_none_of_them_is_cut(sees_nodes: bool) -> None:
    async def story(world: CrowdedWorld) -> None:
        async def client() -> None:
            while True:
                await world.request(A, seconds=3, ttl=30)

        clients = [asyncio.create_task(client()) for _ in range(3)]
        await asyncio.sleep(5)
        answer = await world.request(B)
        assert answer.begun - answer.asked <= world.rules.max_residency.total_seconds() + 5
        before = len(world.answers)
        await world.until_model(A, lambda found: len(world.answers) > before + 5)  # A has its turn again
        for each in clients:
            each.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    tell(story, sees_nodes=sees_nodes)


def test_what_is_closed_for_a_model_that_nobody_wants_any_more_opens_again() -> None:
    async def story(world: CrowdedWorld) -> None:
        async with asking(world, A, seconds=120) as first:
            await asyncio.sleep(31)
            async with asking(world, B):
                closed = await world.until_model(A, lambda found: found and found.status.eviction)
                assert closed
                closed = await world.until_model(
                    A, lambda found: found and found.status.eviction and found.status.eviction.closed_until
                )
                assert closed
            await world.until_model(A, lambda found: found and found.status.eviction is None)
            assert not first.done()
            answer = await world.request(A)
            assert answer.begun - answer.asked < 1
        assert world.made(PODS).total() <= 2

    tell(story)


def test_a_pod_that_nobody_waits_for_any_more_is_withdrawn_and_the_next_request_waits_again() -> None:
    async def story(world: CrowdedWorld) -> None:
        async with asking(world, A, seconds=200):
            await asyncio.sleep(1)
            async with asking(world, B, ttl=100):
                await world.until_pods(lambda pods: len(pods) == 2)
            await world.until_pods(lambda pods: len(pods) == 1)
            found = await world.of_model(B)
            assert found
            assert found.status.phase is Phase.PENDING
            assert found.status.queue is None
            async with asking(world, B, ttl=100):
                await world.until_pods(lambda pods: len(pods) == 2)
            await world.until_model(B, lambda found: found is None)
            assert [pod["metadata"]["name"][0] for pod in await world.pods()] == ["a"]

    tell(story)


def test_nothing_is_made_for_a_client_that_left_while_nodes_were_full() -> None:
    async def story(world: CrowdedWorld) -> None:
        async with asking(world, A, seconds=200):
            await asyncio.sleep(1)
            async with asking(world, B, ttl=60):
                await world.until_model(B, lambda found: found and found.status.queue)
            await world.until_model(B, lambda found: found is None)
        assert world.made(PODS).total() == 1

    tell(story, sees_nodes=True)


def test_a_declared_model_sleeps_to_make_room_and_wakes_in_turn(sees_nodes: bool) -> None:
    async def story(world: CrowdedWorld) -> None:
        await world.declare(A, idle={"action": "Sleep", "ttlSeconds": 0})
        await world.until_model(A, lambda found: found and found.status.phase is Phase.READY)
        await world.request(A, ttl=0)
        await asyncio.sleep(10)
        await world.request(B, ttl=20)
        asleep = await world.of_model(A)
        assert asleep
        assert asleep.status.phase is Phase.SLEEPING
        assert asleep.status.evicted_at
        await world.until_model(B, lambda found: found is None)
        await asyncio.sleep(120)
        found = await world.of_model(A)
        assert found
        assert found.status.phase is Phase.SLEEPING, "nobody has asked for it"
        await world.request(A)

    tell(story, sees_nodes=sees_nodes)


def test_a_pinned_model_stays_and_the_one_that_waits_says_who_has_the_device() -> None:
    async def story(world: CrowdedWorld) -> None:
        await world.declare(A, idle={"pinned": True})
        await world.until_model(A, lambda found: found and found.status.phase is Phase.READY)
        async with asking(world, B):
            waiting = await world.until_model(B, lambda found: found and found.status.queue)
            assert waiting
            await asyncio.sleep(60)
            assert any("pinned" in each for each in world.progress), world.progress
        assert world.made(PODS).total() == 1

    tell(story, sees_nodes=True)


def test_two_models_that_are_asked_in_turns_change_places_at_most_once_in_the_least_residency(sees_nodes: bool) -> None:
    rules = RoomSettings(min_residency=timedelta(seconds=20), max_residency=timedelta(seconds=60))

    async def story(world: CrowdedWorld) -> None:
        async def client(model: str, router: int) -> None:
            while True:
                await world.request(model, seconds=0.5, router=router)
                await asyncio.sleep(0.5)

        clients = [asyncio.create_task(client(model, at)) for at, model in enumerate((A, B))]
        await asyncio.sleep(120)
        for each in clients:
            each.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        assert {each.model for each in world.answers} == {A, B}
        assert sum(world.made(PODS).values()) <= 120 / 20 + 1

    tell(story, sees_nodes=sees_nodes, rules=rules)


def test_while_a_model_waits_hardly_anything_is_written(sees_nodes: bool) -> None:
    async def story(world: CrowdedWorld) -> None:
        await world.declare(A, idle={"pinned": True})
        await world.until_model(A, lambda found: found and found.status.phase is Phase.READY)
        async with asking(world, B):
            await asyncio.sleep(20)
            before = world.writes()
            await asyncio.sleep(120)
            assert world.writes() - before <= 120 / 30 * 2, "but for the renewal of its lease"

    tell(story, sees_nodes=sees_nodes)


async def alternate(world: CrowdedWorld) -> list[Answer]:
    """A is in use and then asked now and then; B is asked, and A again."""
    async with asking(world, A, seconds=8, ttl=60):
        await asyncio.sleep(1)
        return [await world.request(B, ttl=60, router=1), await world.request(A, ttl=60)]


def killed(fault: Fault | None, at: int, *, sees_nodes: bool) -> list[str]:
    """The operator's calls, one of which meets the fault."""

    async def run() -> list[str]:
        async with CrowdedWorld(sees_nodes=sees_nodes) as world:
            async with asyncio.timeout(60):
                await world.request(A, ttl=60)
            world.operators.meet(fault, at)
            async with asyncio.timeout(300):
                answers = await alternate(world)
            assert [each.model for each in answers] == [B, A]
            calls = list(world.operators.calls)
            await asyncio.sleep(200)
            left = (await world.cluster.list(MODEL_DEPLOYMENTS)).items
            assert left == [], "nobody wants them any more, and nobody holds them"
            world.check_room()
            return calls

    return run_in_virtual_time(run())


ENDS = [(fault, False) for fault in (Fault.KILLS_BEFORE, Fault.KILLS_AFTER)] + [(fault, True) for fault in Fault]


@pytest.mark.parametrize(("fault", "sees_nodes"), ENDS, ids=str)
def test_whenever_the_operator_is_killed_both_are_served_and_nothing_stays_closed(
    fault: Fault, sees_nodes: bool
) -> None:
    for at in sample(points(killed(None, 0, sees_nodes=sees_nodes), fault)):
        try:
            killed(fault, at, sees_nodes=sees_nodes)
        except Exception as error:
            raise AssertionError(f"{fault.name} at the operator's call {at}") from error
