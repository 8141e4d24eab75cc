"""Who waits for room, who leaves for whom, and when a model that is busy yields."""

from datetime import timedelta
from typing import Any

import pytest

from berth_api.conditions import ConditionType
from berth_api.model_deployment import Phase
from berth_cluster.cluster import MODEL_DEPLOYMENTS, PODS
from berth_operator.deployments.health import ProbeHistory
from berth_operator.room.orders import EvictionOrder
from tests.unit.operator.building import NOW
from tests.unit.operator.room.house import IDLE, House, created, stated


@pytest.fixture
def house() -> House:
    return House()


async def test_it_waits_for_a_busy_model_and_says_so(house: House) -> None:
    await house.start("a", "large", -60, busy=True)
    await house.declare("b", "medium")
    plan = await house.round("b")
    assert plan.status.phase is Phase.PENDING
    assert "a (7.0 GB of memory, busy)" in stated(plan)[2]
    assert plan.status.queue
    assert plan.status.queue.place == 1
    assert plan.wake_at
    asked = (await house.round("a")).status.eviction
    assert asked
    assert (asked.wanted_by, asked.closed_until) == ("b", None), "it still takes requests"


async def test_a_busy_model_that_has_had_its_time_is_closed_until_it_is_out(house: House) -> None:
    await house.start("a", "large", -700, busy=True)
    await house.declare("b", "medium")
    await house.use("b")
    await house.plan("b")
    assert house.keeper.order("a") == EvictionOrder("b", close=False), "the patience is not over"
    await house.plan("b", 6)
    closed = await house.round("a")
    assert closed.status.phase is Phase.READY
    assert closed.status.eviction
    assert closed.status.eviction.closed_until == NOW + timedelta(seconds=66)
    status, reason, message = stated(closed, ConditionType.RECONCILING)
    assert (status, reason) == ("True", "MakingRoom")
    assert "b" in message
    renewed = (await house.round("a", 37)).status.eviction
    assert renewed
    assert renewed.closed_until == NOW + timedelta(seconds=97)
    await house.use("a", until=None)
    await house.plan("b", 38)
    await house.round("a")
    assert await house.names() == {"b"}
    assert created(await house.plan("b"))


async def test_a_lease_of_a_router_that_crashed_holds_the_model_until_it_has_run_out_by_every_clock(
    house: House,
) -> None:
    await house.start("a", "large", -700)
    await house.use("a", until=30)
    await house.declare("b", "medium", by_router=False)
    await house.plan("b", 10)
    await house.round("b", 20)
    closed = await house.round("a")
    assert closed.wake_at == NOW + timedelta(seconds=35)
    await house.plan("b", 34)
    await house.round("a")
    assert await house.names() == {"a", "b"}
    await house.plan("b", 36)
    await house.round("a")
    assert await house.names() == {"b"}


async def test_no_model_stays_closed_for_one_that_is_not_wanted_any_more(house: House) -> None:
    await house.start("a", "large", -700, busy=True)
    await house.declare("b", "medium")
    await house.use("b")
    await house.plan("b")
    await house.plan("b", 6)
    assert (await house.round("a")).status.eviction
    await house.take_away("b")
    await house.declare("c", "tiny")
    await house.plan("c")  # whoever comes next has it decided anew
    assert (await house.round("a")).status.eviction is None
    assert stated(await house.plan("a"), ConditionType.RECONCILING)[1] == "Done"


async def test_who_came_first_is_served_first(house: House) -> None:
    await house.start("a", "large", -60, busy=True)
    await house.declare("b", "medium")
    await house.declare("c", "medium")
    assert not created(await house.round("b"))
    second = await house.round("c", 1)
    assert second.status.queue
    assert second.status.queue.place == 2
    await house.take_away("a")
    assert created(await house.round("b"))
    assert created(await house.round("c"))


async def test_a_small_model_starts_beside_one_that_waits_for_more(house: House) -> None:
    await house.start("a", "medium", -60, busy=True)
    await house.start("b", "small", -60, busy=True)
    await house.declare("c", "large")
    assert not created(await house.round("c"))
    await house.declare("d", "small")
    assert not created(await house.round("d")), "what is free is kept for the one that came first"


async def test_who_left_the_queue_holds_up_nobody(house: House) -> None:
    await house.start("a", "large", -60, busy=True)
    await house.declare("b", "medium")
    await house.declare("c", "small")
    await house.plan("b")
    await house.take_away("b")
    await house.take_away("a")
    assert created(await house.plan("c"))


@pytest.mark.parametrize(
    ("has", "wants", "leaves"),
    [
        ({}, {}, True),
        ({"idle": {**IDLE, "pinned": True}}, {}, False),
        ({"priority": 1}, {}, False),
        ({"priority": 1}, {"priority": 1}, True),
        ({"priority": -1}, {}, True),
        ({"idle": {**IDLE, "minResidencySeconds": 700}}, {}, False),
        ({"idle": {**IDLE, "minResidencySeconds": 500}}, {}, True),
        ({"idle": {**IDLE, "ttlSeconds": 0}}, {}, True),
    ],
    ids=["any", "pinned", "higher", "same", "lower", "too young", "old enough", "endless"],
)
async def test_who_has_to_leave(house: House, has: dict[str, Any], wants: dict[str, Any], leaves: bool) -> None:
    await house.start("a", "large", -600, **has)
    await house.declare("b", "medium", **wants)
    await house.plan("b")
    order = house.keeper.order("a")
    assert (order is not None and order.close) == leaves


@pytest.mark.parametrize(("longest", "closed"), [(None, False), (60, True), (3600, False)])
async def test_a_busy_model_yields_by_its_own_time(house: House, longest: int | None, closed: bool) -> None:
    idle = IDLE if longest is None else {**IDLE, "maxResidencySeconds": longest}
    await house.start("a", "large", -100, busy=True, idle=idle)
    await house.declare("b", "medium", by_router=False)
    await house.plan("b")
    await house.plan("b", 6)
    assert house.keeper.order("a") == EvictionOrder("b", close=closed)


async def test_of_two_that_wait_the_one_of_higher_priority_comes_first(house: House) -> None:
    await house.start("a", "large", -60, busy=True)
    await house.declare("b", "medium")
    await house.declare("c", "medium", priority=5)
    await house.round("b")
    first = await house.round("c", 1)
    assert first.status.queue
    assert first.status.queue.place == 1
    behind = (await house.round("b", 2)).status.queue
    assert behind
    assert behind.place == 2


async def test_what_a_router_made_and_nobody_asks_for_waits_no_longer_and_goes_when_its_ttl_is_over(
    house: House,
) -> None:
    await house.start("a", "large", -60, busy=True)
    await house.declare("b", "medium", idle={**IDLE, "ttlSeconds": 100})
    assert (await house.round("b")).status.queue
    later = await house.round("b", 20)
    assert later.status.queue is None
    assert stated(later)[1:] == ("WaitingForRoom", "nobody waits for it any more; the next request asks for room again")
    await house.use("b")
    assert (await house.round("b", 30)).status.queue
    await house.use("b", until=None)
    await house.round("b", 50)
    await house.cluster.patch_status(MODEL_DEPLOYMENTS, "b", {"activity": None})
    await house.round("b", 101)
    assert await house.names() == {"a"}


async def test_what_a_person_declared_waits_without_being_asked_for(house: House) -> None:
    await house.start("a", "large", -60, busy=True)
    await house.declare("b", "medium", by_router=False)
    await house.round("b")
    assert (await house.round("b", 300)).status.queue


async def test_what_a_person_declared_sleeps_to_make_room_and_nothing_that_was_promised_before_wakes_it(
    house: House,
) -> None:
    await house.start("a", "large", -600, idle={"action": "Sleep", "ttlSeconds": 0}, by_router=False)
    await house.use("a")
    await house.use("a", until=None)
    await house.declare("b", "medium")
    await house.plan("b")
    asleep = await house.round("a")
    assert asleep.status.phase is Phase.SLEEPING
    assert asleep.status.evicted_at == NOW
    assert stated(asleep)[1:] == ("MadeRoom", "it made room for b; the next request starts it again")
    again = await house.round("a", 5)
    assert again.status.phase is Phase.SLEEPING
    assert not created(again)
    assert stated(again)[1] == "MadeRoom"
    await house.take_away("b")
    house.now = NOW + timedelta(seconds=6)
    await house.use("a")
    assert created(await house.round("a", 7))


@pytest.mark.parametrize("ttl", [0, 600])
async def test_what_a_person_declared_comes_back_after_a_change_though_nobody_asks(house: House, ttl: int) -> None:
    asleep_when_idle = {"action": "Sleep", "ttlSeconds": ttl}
    await house.start("a", "small", -60, idle=asleep_when_idle, by_router=False)
    change = {"pod": {"labels": {"team": "ml"}}}
    await house.cluster.patch(MODEL_DEPLOYMENTS, "a", {"spec": change})
    answering = ProbeHistory((await house.pod("a"))["metadata"]["uid"], NOW, NOW)
    changed = await house.round("a", 10, answering)
    assert created(changed)
    assert changed.status.attempt == 2


async def test_what_a_person_declared_comes_back_when_its_pod_was_taken_away_though_nobody_asks(house: House) -> None:
    await house.start("a", "large", -60, idle={"action": "Sleep", "ttlSeconds": 0}, by_router=False)
    await house.cluster.delete(PODS, await house.pod_of("a"))
    assert created(await house.round("a", 20))


async def test_what_a_person_declared_and_nobody_has_asked_for_its_ttl_does_not_come_back(house: House) -> None:
    await house.start("a", "large", -60, idle={"action": "Sleep", "ttlSeconds": 70}, by_router=False)
    await house.cluster.delete(PODS, await house.pod_of("a"))
    asleep = await house.round("a", 20)
    assert (created(asleep), asleep.status.phase) == (None, Phase.SLEEPING)
