"""Pods are made within the budget: other models are evicted, or the deployment waits, or it is refused."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from berth_api.budget import Usage
from berth_api.conditions import ConditionType, condition_of
from berth_api.model_deployment import Device, ModelDeployment, ModelDeploymentSpec, Phase
from berth_cluster.cluster import (
    CONTEXT_ANNOTATION,
    LABEL_DEPLOYMENT,
    MEMORY_ANNOTATION,
    MODEL_DEPLOYMENTS,
    PODS,
    TRAINED_CONTEXT_ANNOTATION,
    Object,
)
from berth_operator.deployments.actions import CreatePod, DeletePod, DeploymentPlan, ObservedDeployment
from berth_operator.deployments.memory_gate import PATIENCE, ContextChoice, MemoryEstimate, MemoryGate
from berth_operator.deployments.plan import make_plan
from berth_operator.reconciling.writer import WriteStatus
from berth_operator.resources.made_from import difference
from tests.unit.memory_cluster import MemoryCluster
from tests.unit.operator.building import NOW, SETTINGS, at, deployment, ended_pod, loaded, silent
from tests.unit.virtual_time import run_in_virtual_time

GB = 1_000_000_000
SIZES: dict[str, int | None] = {
    "/models/small": 2 * GB,
    "/models/medium": 4 * GB,
    "/models/large": 7 * GB,
    "/models/huge": 9 * GB,
    "/models/strange": None,
    "/models/SmolLM2": 7 * GB,
}


class House:
    """A cluster, a gate of 8 GB, and the usage of each model."""

    def __init__(self, cluster: MemoryCluster | None = None) -> None:
        self.cluster = cluster or MemoryCluster()
        self.in_flight: dict[str, int] = {}
        self.closed: set[str] = set()
        self.gate = MemoryGate(self.cluster, {Device.CPU: 8 * GB}, self.estimate, self)

    async def estimate(self, spec: ModelDeploymentSpec) -> MemoryEstimate | None:
        if spec.model == "/models/elastic":
            choices = [ContextChoice(size * GB, tokens) for size, tokens in ((7, 8192), (4, 4096), (2, 2048))]
            return MemoryEstimate(tuple(choices), 8192)
        size = SIZES[spec.model]
        return None if size is None else MemoryEstimate((ContextChoice(size),))

    def usage(self, deployment: ModelDeployment) -> Usage:
        return Usage(self.in_flight.get(deployment.name, 0), None)

    def mark_evicting(self, deployment: ModelDeployment) -> None:
        self.closed.add(deployment.name)

    def unmark_evicting(self, deployment: ModelDeployment) -> None:
        self.closed.remove(deployment.name)

    async def evict(self, deployment: ModelDeployment) -> bool:
        if self.in_flight.get(deployment.name):
            return False
        await self.cluster.delete(MODEL_DEPLOYMENTS, deployment.name)
        return True

    async def declare(self, name: str, model: str, **spec: Any) -> None:
        identity = {
            "apiVersion": MODEL_DEPLOYMENTS.api_version,
            "kind": MODEL_DEPLOYMENTS.kind,
            "metadata": {"name": name},
        }
        body = {**identity, "spec": {"model": f"/models/{model}", "backend": "llamacpp", "device": "cpu", **spec}}
        await self.cluster.create(MODEL_DEPLOYMENTS, body)

    async def plan(self, name: str, now: datetime = NOW) -> DeploymentPlan:
        """What the reconciler does about the deployment, which has no pod."""
        deployment = replace(ModelDeployment.parse(await self.cluster.get(MODEL_DEPLOYMENTS, name)), created_at=NOW)
        observed = ObservedDeployment(deployment, [], None)
        return await self.gate.admit(make_plan(observed, SETTINGS, now), observed, now)

    async def start(self, name: str, model: str, loaded_at: float, in_flight: int = 0) -> None:
        """Has it started, and made ready so many seconds from NOW."""
        await self.declare(name, model)
        pod = created(await self.plan(name))
        assert pod
        await self.cluster.create(PODS, pod)
        status = {"phase": "Ready", "loadedAt": at(loaded_at), "podName": pod["metadata"]["name"]}
        await self.cluster.patch_status(MODEL_DEPLOYMENTS, name, status)
        self.in_flight[name] = in_flight

    async def pod_of(self, name: str) -> str:
        """The name of the deployment's pod."""
        return (await self.cluster.list(PODS, {LABEL_DEPLOYMENT: name})).items[0]["metadata"]["name"]

    async def names(self) -> set[str]:
        return {item["metadata"]["name"] for item in (await self.cluster.list(MODEL_DEPLOYMENTS)).items}


def created(plan: DeploymentPlan) -> Object | None:
    """The pod that the plan makes."""
    return next((action.manifest for action in plan.actions if isinstance(action, CreatePod)), None)


def stated(plan: DeploymentPlan, kind: ConditionType) -> tuple[str, str, str]:
    """Status, reason and message of a condition."""
    condition = condition_of(plan.status.conditions, kind)
    assert condition
    return condition.status, condition.reason, condition.message


@pytest.fixture
def house() -> House:
    return House()


async def test_with_room_the_pod_is_made_and_says_what_it_is_counted_with(house: House) -> None:
    await house.declare("a", "medium")
    pod = created(await house.plan("a"))
    assert pod
    assert pod["metadata"]["annotations"][MEMORY_ANNOTATION] == str(4 * GB)
    assert pod["metadata"]["labels"][LABEL_DEPLOYMENT] == "a"


AUTO = {"llamacpp": {"contextSize": "auto"}}


@pytest.mark.parametrize(
    ("beside", "tokens", "takes"),
    [([], 8192, 7), (["small"], 4096, 4), (["medium", "small"], 2048, 2)],
    ids=["alone", "beside a small one", "beside two"],
)
async def test_the_memory_that_is_free_decides_how_much_context_there_is(
    house: House, beside: list[str], tokens: int, takes: int
) -> None:
    for model in beside:
        await house.start(model, model, -60, in_flight=1)
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
    await house.start("idle", "large", -60)
    await house.declare("a", "elastic", **AUTO)
    assert created(await house.plan("a")) is None
    assert "idle" not in await house.names()
    made = created(await house.plan("a", NOW + timedelta(seconds=20)))
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
    assert created(await house.plan("b", NOW + timedelta(minutes=1)))


async def test_the_idle_model_that_was_ready_first_is_evicted(house: House) -> None:
    await house.start("old", "medium", -500)
    await house.start("new", "medium", -5)
    await house.declare("next", "medium")
    plan = await house.plan("next")
    assert not created(plan)
    assert plan.status.phase is Phase.PENDING
    assert stated(plan, ConditionType.RECONCILING) == ("True", "WaitingForMemory", "old gives its memory back")
    assert await house.names() == {"new", "next"}


async def test_the_pod_is_made_once_the_other_ones_pod_is_gone(house: House) -> None:
    await house.start("old", "large", -500)
    await house.declare("next", "medium")
    await house.plan("next")
    assert (await house.cluster.list(PODS)).items == []  # what its deployment owned
    assert created(await house.plan("next"))


async def test_what_can_never_fit_is_refused_at_once_and_no_model_is_evicted_for_it(house: House) -> None:
    await house.start("a", "medium", -500)
    await house.declare("b", "huge")
    plan = await house.plan("b")
    assert plan.status.phase is Phase.STALLED
    status, reason, message = stated(plan, ConditionType.STALLED)
    assert (status, reason) == ("True", "MemoryInsufficient")
    assert "9.0 GB" in message
    assert "8.0 GB" in message
    assert await house.names() == {"a", "b"}
    assert house.gate.waiting == ()


async def test_it_waits_for_a_busy_model_and_says_so(house: House) -> None:
    await house.start("a", "large", -500, in_flight=1)
    await house.declare("b", "medium")
    plan = await house.plan("b")
    assert plan.status.phase is Phase.PENDING
    assert "a (7.0 GB, busy)" in stated(plan, ConditionType.READY)[2]
    assert plan.wake_at
    assert house.gate.waiting == ("b",)
    assert house.closed == set()


async def test_after_a_while_the_busy_model_gets_no_new_requests_until_it_is_out(house: House) -> None:
    await house.start("a", "large", -500, in_flight=1)
    await house.declare("b", "medium")
    await house.plan("b")
    late = NOW + PATIENCE
    await house.plan("b", late)
    assert house.closed == {"a"}
    assert await house.names() == {"a", "b"}
    house.in_flight["a"] = 0
    await house.plan("b", late)
    assert await house.names() == {"b"}
    assert created(await house.plan("b", late))


async def test_no_model_stays_closed_for_one_that_is_not_wanted_any_more(house: House) -> None:
    await house.start("a", "large", -500, in_flight=1)
    await house.declare("b", "medium")
    await house.plan("b")
    await house.plan("b", NOW + PATIENCE)
    house.gate.forget("b")
    assert house.closed == set()


async def test_who_came_first_is_served_first(house: House) -> None:
    await house.start("a", "large", -500, in_flight=1)
    await house.declare("b", "medium")
    await house.declare("c", "small")
    assert not created(await house.plan("b"))
    await house.cluster.delete(MODEL_DEPLOYMENTS, "a")
    assert stated(await house.plan("c"), ConditionType.READY)[2] == "/models/medium waits for memory before it"
    assert created(await house.plan("b"))
    assert created(await house.plan("c"))


async def test_who_left_the_queue_holds_up_nobody(house: House) -> None:
    await house.start("a", "large", -500, in_flight=1)
    await house.declare("b", "medium")
    await house.declare("c", "small")
    await house.plan("b")
    await house.cluster.delete(MODEL_DEPLOYMENTS, "b")
    await house.cluster.delete(MODEL_DEPLOYMENTS, "a")
    assert created(await house.plan("c"))


async def test_a_model_that_cannot_be_estimated_is_left_to_its_engine(house: House) -> None:
    await house.declare("a", "strange")
    assert created(await house.plan("a"))


async def test_another_devices_models_do_not_count(house: House) -> None:
    await house.start("a", "large", -500)
    await house.declare("b", "medium", device="cuda")
    assert created(await house.plan("b"))


async def test_an_engine_that_ended_has_no_memory(house: House) -> None:
    await house.start("a", "large", -500)
    await house.cluster.patch_status(PODS, await house.pod_of("a"), {"phase": "Failed"})
    await house.declare("b", "medium")
    assert created(await house.plan("b"))


def test_those_who_wait_are_woken_as_soon_as_a_busy_model_is_idle_and_the_cluster_is_not_asked_meanwhile() -> None:
    async def run() -> None:
        house = House()
        await house.start("a", "large", -500, in_flight=1)
        await house.declare("b", "medium")
        woken: list[str] = []
        watching = asyncio.create_task(house.gate.watch(woken.append))
        assert not created(await house.plan("b"))
        calls = house.cluster.calls.total()
        await asyncio.sleep(60)
        assert woken == []
        house.in_flight["a"] = 0
        await asyncio.sleep(0.2)
        assert woken == ["b"]
        assert house.cluster.calls.total() == calls
        watching.cancel()

    run_in_virtual_time(run())


async def test_a_deployment_that_cannot_be_read_is_counted_and_stops_nobody() -> None:
    house = House(MemoryCluster({}))
    await house.start("a", "medium", -500)
    await house.cluster.patch(MODEL_DEPLOYMENTS, "a", {"spec": {"backend": "ollama"}})
    await house.declare("b", "medium")
    assert created(await house.plan("b"))
    await house.declare("c", "small")
    plan = await house.plan("c")
    assert not created(plan), "the memory of the first is not free, though nobody can say whose it is"
    assert f"{await house.pod_of('a')} (4.0 GB, starting)" in stated(plan, ConditionType.READY)[2]


async def test_a_pod_without_labels_is_counted(house: House) -> None:
    metadata = {"name": "stray", "annotations": {MEMORY_ANNOTATION: str(7 * GB)}}
    await house.cluster.create(
        PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": []}}
    )
    await house.declare("a", "medium")
    assert not created(await house.plan("a"))


async def test_what_is_no_number_is_not_counted(house: House) -> None:
    metadata = {"name": "stray", "annotations": {MEMORY_ANNOTATION: "much"}}
    await house.cluster.create(
        PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": []}}
    )
    await house.declare("a", "medium")
    assert created(await house.plan("a"))


async def test_why_the_engine_before_ended_is_kept_while_there_is_no_memory_for_the_next_one(house: House) -> None:
    await house.start("a", "medium", -500)
    await house.declare("b", "large")
    died = ended_pod(exitCode=139)
    observed = ObservedDeployment(deployment(status=loaded(100)), [died], None)
    await house.declare("smol", "SmolLM2")
    house.in_flight["a"] = 1
    plan = await house.gate.admit(make_plan(observed, SETTINGS, NOW), observed, NOW)
    assert stated(plan, ConditionType.READY)[1] == "WaitingForMemory"
    assert plan.status.attempt == 2
    assert plan.status.last_failure
    assert plan.status.last_failure.reason == "EngineCrashed"
    assert [type(action) for action in plan.actions] == [WriteStatus, DeletePod]


async def test_an_engine_that_hangs_gives_its_memory_to_the_one_that_follows_it(house: House) -> None:
    await house.start("a", "large", -500)
    name, hung = await house.pod_of("a"), (await house.cluster.list(PODS)).items[0]
    await house.cluster.patch_status(PODS, name, {"phase": "Running", "podIP": "10.0.0.1"})
    await house.cluster.patch(MODEL_DEPLOYMENTS, "a", {"spec": {"idle": {"ttlSeconds": 0}}})
    steps = loaded(100)["startSteps"]
    await house.cluster.patch_status(
        MODEL_DEPLOYMENTS, "a", {"phase": "Unresponsive", "podName": name, "startSteps": steps}
    )
    read = ModelDeployment.parse(await house.cluster.get(MODEL_DEPLOYMENTS, "a"))
    observed = ObservedDeployment(read, (await house.cluster.list(PODS)).items, silent(60, pod=hung["metadata"]["uid"]))
    plan = await house.gate.admit(make_plan(observed, SETTINGS, NOW), observed, NOW)
    assert [type(action) for action in plan.actions] == [WriteStatus, DeletePod], "first it goes"
    assert stated(plan, ConditionType.READY)[1] == "WaitingForMemory"
    assert await house.names() == {"a"}, "it is not evicted for itself"
    await house.cluster.delete(PODS, name)
    assert created(await house.plan("a"))
