"""Pods are made where there is room: other models leave, or the deployment waits, or it is refused."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from berth_api.conditions import ConditionType
from berth_api.model_deployment import ModelDeployment, Phase
from berth_api.room.snapshot import RoomSettings
from berth_cluster.cluster import (
    CONTEXT_ANNOTATION,
    LABEL_DEPLOYMENT,
    MEMORY_ANNOTATION,
    MODEL_DEPLOYMENTS,
    PODS,
    TRAINED_CONTEXT_ANNOTATION,
)
from berth_operator.deployments.actions import CreatePod, DeletePod, ObservedDeployment
from berth_operator.deployments.plan import make_plan
from berth_operator.reconciling.writer import DeleteResource, WriteStatus, status_patch
from berth_operator.resources.made_from import difference
from tests.unit.operator.building import NOW, SETTINGS, silent
from tests.unit.operator.room.house import GB, IDLE, RULES, House, created, stated
from tests.unit.virtual_time import run_in_virtual_time


@pytest.fixture
def house() -> House:
    return House()


async def test_with_room_the_pod_is_made_and_says_what_it_is_counted_with(house: House) -> None:
    await house.declare("a", "medium")
    pod = created(await house.plan("a"))
    assert pod
    assert pod["metadata"]["annotations"][MEMORY_ANNOTATION] == str(4 * GB)
    assert pod["metadata"]["labels"][LABEL_DEPLOYMENT] == "a"


AUTO: dict[str, Any] = {"llamacpp": {"contextSize": "auto"}}


@pytest.mark.parametrize(
    ("beside", "tokens", "takes"),
    [([], 8192, 7), (["small"], 4096, 4), (["medium", "small"], 2048, 2)],
    ids=["alone", "beside a small one", "beside two"],
)
async def test_the_room_that_is_free_decides_how_much_context_there_is(
    house: House, beside: list[str], tokens: int, takes: int
) -> None:
    for model in beside:
        await house.start(model, model, -60, busy=True)
    await house.declare("a", "elastic", **AUTO)
    pod = created(await house.plan("a"))
    assert pod
    args, annotations = pod["spec"]["containers"][0]["args"], pod["metadata"]["annotations"]
    assert args[args.index("--context-size") + 1] == str(tokens)
    assert annotations[MEMORY_ANNOTATION] == str(takes * GB)
    assert (annotations[CONTEXT_ANNOTATION], annotations[TRAINED_CONTEXT_ANNOTATION]) == (str(tokens), "8192")
    # The pod is no other than the one that would be made again: nothing of its spec has changed.
    declared = ModelDeployment.parse(await house.cluster.get(MODEL_DEPLOYMENTS, "a"))
    wanted = make_plan(ObservedDeployment(declared, [], None), SETTINGS, NOW).actions[0]
    assert isinstance(wanted, CreatePod)
    assert difference(pod, wanted.manifest) is None


async def test_idle_models_make_room_for_the_least_context_and_what_is_free_then_decides(house: House) -> None:
    await house.start("idle", "large")
    await house.declare("a", "elastic", **AUTO)
    assert created(await house.round("a")) is None
    await house.round("idle")
    made = created(await house.plan("a"))
    assert made
    assert made["metadata"]["annotations"][CONTEXT_ANNOTATION] == "8192"


async def test_two_that_are_asked_for_at_once_do_not_get_the_same_room(house: House) -> None:
    await house.declare("a", "large")
    await house.declare("b", "medium")
    assert created(await house.plan("a"))
    assert not created(await house.plan("b"))


async def test_a_pod_that_could_not_be_made_keeps_its_room_only_for_a_while(house: House) -> None:
    await house.declare("a", "large")
    await house.declare("b", "medium")
    assert created(await house.plan("a"))
    assert not created(await house.plan("b", 9))
    await house.use("b")
    assert created(await house.plan("b", 60))


async def test_the_idle_model_that_was_not_used_for_longest_leaves(house: House) -> None:
    await house.start("old", "medium", -500)
    await house.start("new", "medium", -50)
    await house.declare("next", "medium")
    plan = await house.round("next")
    assert not created(plan)
    assert plan.status.phase is Phase.PENDING
    status, reason, message = stated(plan, ConditionType.RECONCILING)
    assert (status, reason) == ("True", "WaitingForRoom")
    assert message == "place 1 in the queue, with room expected at 12:00:02 UTC: old gives back what it needs"
    assert house.keeper.order("new") is None
    left = await house.round("old")
    assert isinstance(left.actions[0], DeleteResource)
    assert await house.names() == {"new", "next"}
    assert created(await house.plan("next"))


async def test_the_pod_is_made_only_when_the_other_ones_pod_is_gone(house: House) -> None:
    await house.start("old", "large")
    pod = await house.pod_of("old")
    await house.cluster.patch(PODS, pod, {"spec": {"nodeName": "here"}})  # from now on it takes a while to end
    await house.declare("next", "medium")
    await house.round("next")
    await house.round("old")
    assert await house.names() == {"next"}
    waits = await house.round("next")
    assert not created(waits)
    assert f"{pod} (7.0 GB of memory, ending)" in stated(waits)[2]
    house.cluster.finish(PODS, pod, (await house.cluster.get(PODS, pod))["metadata"]["uid"])
    assert created(await house.plan("next"))


async def test_what_can_never_fit_is_refused_at_once_and_no_model_leaves_for_it(house: House) -> None:
    await house.start("a", "medium")
    await house.declare("b", "huge")
    plan = await house.round("b")
    assert plan.status.phase is Phase.STALLED
    status, reason, message = stated(plan, ConditionType.STALLED)
    assert (status, reason) == ("True", "NeverFits")
    assert "9.0 GB" in message
    assert "8.0 GB" in message
    assert house.keeper.order("a") is None
    await house.declare("c", "medium")
    assert created(await house.plan("c")), "it stands in nobody's way"


async def test_a_model_that_cannot_be_estimated_is_left_to_its_engine(house: House) -> None:
    await house.declare("a", "strange")
    assert created(await house.plan("a"))


async def test_another_devices_models_do_not_count(house: House) -> None:
    await house.start("a", "large")
    await house.declare("b", "medium", device="cuda")
    assert created(await house.plan("b"))


async def test_an_engine_that_ended_holds_nothing(house: House) -> None:
    await house.start("a", "large", busy=True)
    await house.cluster.patch_status(PODS, await house.pod_of("a"), {"phase": "Failed"})
    await house.declare("b", "medium")
    assert created(await house.plan("b"))


def test_those_who_wait_are_woken_as_soon_as_there_is_room_and_the_cluster_is_not_asked_meanwhile() -> None:
    async def run() -> None:
        house = House()
        deciding = asyncio.create_task(house.keeper.run())
        await house.start("a", "large", busy=True)
        await house.declare("b", "medium", by_router=False)
        assert not created(await house.plan("b"))
        await asyncio.sleep(5)
        house.woken.clear()
        calls = house.cluster.calls.total()
        await asyncio.sleep(60)
        assert house.woken == []
        assert house.cluster.calls.total() == calls
        await house.take_away("a")
        await asyncio.sleep(0.1)
        assert set(house.woken) == {"a", "b"}
        deciding.cancel()

    run_in_virtual_time(run())


async def test_a_deployment_that_cannot_be_read_is_counted_and_stops_nobody() -> None:
    house = House(admission={})
    await house.start("a", "medium")
    await house.cluster.patch(MODEL_DEPLOYMENTS, "a", {"spec": {"backend": "ollama"}})
    await house.declare("b", "medium")
    assert created(await house.round("b"))
    await house.declare("c", "small")
    plan = await house.plan("c")
    assert not created(plan), "the memory of the first is not free, though nobody can say whose it is"
    assert f"{await house.pod_of('a')} (4.0 GB of memory, starting)" in stated(plan)[2]


async def test_what_is_no_number_is_not_counted(house: House) -> None:
    await house.start("a", "large")
    await house.cluster.patch(PODS, await house.pod_of("a"), {"metadata": {"annotations": {MEMORY_ANNOTATION: "much"}}})
    await house.declare("b", "medium")
    assert created(await house.plan("b"))


async def test_why_the_engine_before_ended_is_kept_while_there_is_no_room_for_the_next_one(house: House) -> None:
    await house.start("b", "medium", -500)
    await house.start("a", "medium", -500, busy=True)
    died = {"name": "engine", "state": {"terminated": {"exitCode": 139}}}
    await house.cluster.patch_status(PODS, await house.pod_of("b"), {"phase": "Failed", "containerStatuses": [died]})
    await house.declare("c", "small")
    assert created(await house.round("c")), "what the engine held is free, and somebody else was quicker"
    plan = await house.plan("b", probes=None)
    assert stated(plan)[1] == "WaitingForRoom"
    assert plan.status.attempt == 2
    assert plan.status.last_failure
    assert plan.status.last_failure.reason == "EngineCrashed"
    assert [type(action) for action in plan.actions] == [WriteStatus, DeletePod]


async def test_an_engine_that_hangs_gives_its_room_to_the_one_that_follows_it(house: House) -> None:
    await house.start("a", "large", -500, idle={**IDLE, "ttlSeconds": 0})
    name = await house.pod_of("a")
    await house.cluster.patch_status(MODEL_DEPLOYMENTS, "a", {"phase": "Unresponsive"})
    pod = await house.cluster.get(PODS, name)
    await house.cluster.patch(PODS, name, {"spec": {"nodeName": "here"}})
    plan = await house.round("a", probes=silent(60, pod=pod["metadata"]["uid"]))
    assert [type(action) for action in plan.actions] == [WriteStatus, DeletePod], "first it goes"
    assert stated(plan)[1] == "WaitingForRoom"
    assert await house.names() == {"a"}, "it does not leave for itself"
    house.cluster.finish(PODS, name, pod["metadata"]["uid"])
    assert created(await house.round("a"))


@pytest.mark.parametrize("busy", [True, False], ids=["one that waits", "one that is closed"])
async def test_what_is_planned_comes_to_rest(busy: bool) -> None:
    """What is written, stored as the API server does and planned again is the same: nothing more is written."""
    house = House(RoomSettings(max_residency=RULES.max_residency, patience=timedelta(0)))
    await house.start("a", "large", -60 if busy else -700, busy=True)
    await house.declare("b", "medium", by_router=False)
    for name in ("b", "a", "b", "a"):
        await house.round(name)
    for look in range(1, 10):
        for name in ("b", "a"):
            plan = await house.plan(name, look * 0.4)
            stored = ModelDeployment.parse(await house.cluster.get(MODEL_DEPLOYMENTS, name)).status
            assert status_patch(stored, plan.status, plan.forget) == {}, (look, name)
            assert [type(action) for action in plan.actions] == [WriteStatus]


async def test_an_expected_moment_that_is_put_off_again_and_again_is_written_ever_less_often() -> None:
    house = House(RoomSettings(max_residency=timedelta(seconds=1), patience=timedelta(0)))
    await house.start("a", "large", -60, busy=True)
    await house.declare("b", "medium", by_router=False)
    expected: list[str] = []
    for second in (*range(10), *range(10, 600, 10)):
        await house.round("b", second)
        expected.append((await house.status("b"))["queue"]["expectedAt"])
    assert len(set(expected[:10])) <= 2
    assert len(set(expected)) <= 8
