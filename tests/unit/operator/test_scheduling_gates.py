"""Pods that somebody keeps from the scheduler for a while, as Kueue does: no failure, no deadline, no room."""

import asyncio
from typing import Any

import pytest

from berth_api.conditions import ConditionType, condition_of
from berth_cluster.cluster import PODS, Object, Preconditions
from tests.unit.operator.building import at, deployment, pod
from tests.unit.operator.cases import Case, actions, plan_for
from tests.unit.operator.room.crowded import CrowdedWorld, asking
from tests.unit.virtual_time import run_in_virtual_time

A, B = "/models/a", "/models/b"
KUEUE = "kueue.x-k8s.io/admission"
STARTED = {
    "attempt": 1,
    "startRequestedAt": at(-7200),
    "startSteps": [{"name": "PodCreated", "at": at(-7200), "seconds": 0}],
}
HELD = [{"type": "Reconciling", "status": "True", "reason": "SchedulingGated", "lastTransitionTime": at(-7200)}]


def held(*gates: str, labels: dict[str, str] | None = None, **more: Any) -> Object:
    """A pod with these gates."""
    of = deployment({"pod": {"labels": labels}} if labels else None)
    made = pod(node=None, made_of=of, **more)
    return {**made, "spec": {**made["spec"], "schedulingGates": [{"name": gate} for gate in gates]}}


def no_node(seconds_ago: float) -> dict[str, Any]:
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}
    return {"phase": "Pending", "conditions": [{**said, "lastTransitionTime": at(-seconds_ago)}]}


CASES = [
    Case("it is waited for without end", deployment(status=STARTED), [held(KUEUE)], ["status"], "Starting"),
    Case(
        "once it may be scheduled, its start has its whole time",
        deployment(status={**STARTED, "conditions": HELD}),
        [pod(node=None)],
        ["status"],
        "Starting",
        wake_in=1800,
    ),
    Case(
        "and the scheduler has some time too",
        deployment(status={**STARTED, "conditions": HELD}),
        [pod(node=None, status=no_node(7200))],
        ["status"],
        "Starting",
        wake_in=5,
    ),
    Case(
        "a spec that has changed is applied: it may be what would let it through",
        deployment({"pod": {"labels": {"kueue.x-k8s.io/queue-name": "another"}}}, status=STARTED),
        [held(KUEUE)],
        ["status", "create smol-2", "delete smol-1 in 1 s"],
        "Pending",
        attempt=2,
        wake_in=0,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_plan(case: Case) -> None:
    case.check()


@pytest.mark.parametrize(
    ("waits", "told"),
    [
        (
            held(KUEUE, labels={"kueue.x-k8s.io/queue-name": "models"}),
            "Kueue has not admitted its pod yet, which waits in the queue models",
        ),
        (held("a/b"), "its pod may not be scheduled yet: the scheduling gate a/b must be taken off it"),
        (held("a/b", "c"), "its pod may not be scheduled yet: the scheduling gates a/b and c must be taken off it"),
    ],
    ids=["Kueue", "another one", "several"],
)
def test_it_says_what_it_waits_for(waits: Object, told: str) -> None:
    labels = {key: value for key, value in waits["metadata"]["labels"].items() if key.startswith("kueue")}
    plan = plan_for(deployment({"pod": {"labels": labels}} if labels else None), waits)
    assert actions(plan) == ["status"]
    said = {each.type: (each.status, each.reason, each.message) for each in plan.status.conditions}
    assert said[ConditionType.RECONCILING] == ("True", "SchedulingGated", told)
    assert said[ConditionType.READY] == ("False", "Starting", told)
    stalled = condition_of(plan.status.conditions, ConditionType.STALLED)
    assert stalled
    assert stalled.status == "False"


class QueuedWorld(CrowdedWorld):
    """Kueue keeps back the pods of model b until it admits them."""

    def __init__(self, *, sees_nodes: bool) -> None:
        super().__init__(sees_nodes=sees_nodes)
        self.admitted = asyncio.Event()

    async def _run(self, pod: Object, address: str) -> None:
        name, own = pod["metadata"]["name"], Preconditions(pod["metadata"]["uid"])
        if name.startswith("b"):
            await self.cluster.patch(PODS, name, {"spec": {"schedulingGates": [{"name": KUEUE}]}}, own)
            await self.admitted.wait()
            await self.cluster.patch(PODS, name, {"spec": {"schedulingGates": None}}, own)
        await super()._run(pod, address)

    async def engine_of(self, model: str) -> str | None:
        found = await self.of_model(model)
        return found.status.pod_name if found else None


@pytest.mark.parametrize("sees_nodes", [False, True], ids=["the scheduler is asked", "nodes are seen"])
def test_a_model_that_waits_in_a_queue_takes_nobodys_room_and_no_turn_until_it_is_admitted(sees_nodes: bool) -> None:
    async def story() -> None:
        world = QueuedWorld(sees_nodes=sees_nodes)
        async with world:
            async with asking(world, B) as waiting:
                await world.until_model(B, lambda found: found and found.status.pod_name)
                held_back = await world.engine_of(B)
                # An hour, beyond the deadline of a start: others come and go, and stay while they are idle.
                for _ in range(12):
                    await world.request(A)
                    await asyncio.sleep(250)
                others = world.answers[:]
                assert all(each.begun - each.asked < 1 for each in others)
                assert await world.engine_of(A) == others[-1].engine
                assert await world.engine_of(B) == held_back
                assert not waiting.done()
                world.admitted.set()
                served = await waiting
            assert served.engine == held_back
            assert served.begun - others[-1].ended < 260
            assert any("Kueue has not admitted" in each for each in world.progress), world.progress
            world.check_room()

    run_in_virtual_time(story())
