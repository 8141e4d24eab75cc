"""The reconciler of deployments in a world of its own: what no table shows, as it takes rounds, or others who write."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest
from structlog.testing import capture_logs

from berth_api.conditions import ConditionType
from berth_api.identity import pod_name
from berth_cluster.cluster import MODEL_DEPLOYMENTS, PODS, ForbiddenError, InvalidError, Kind, Object, Preconditions
from berth_local.node.admission import Admit
from berth_operator.objects.parts import condition, status_of
from tests.unit.operator.building import lease
from tests.unit.operator.test_faults import begin, declare, phase, ready, reasons
from tests.unit.operator.world import World
from tests.unit.virtual_time import run_in_virtual_time

Test = Callable[[World], Coroutine[Any, Any, None]]


def in_a_world(test: Test) -> Callable[[], None]:
    """Has a test run in a world of its own; what must always hold is checked at the end."""

    @wraps(test)
    def run() -> None:
        async def whole() -> None:
            async with World(begin, MODEL_DEPLOYMENTS) as world:
                await test(world)
                world.check()

        run_in_virtual_time(whole())

    del run.__wrapped__  # pytest would take its argument for a fixture
    return run


def reason(name: str) -> Callable[[Object | None], bool]:
    """Whether the condition Ready has this reason."""
    return lambda found: (condition(found or {}, ConditionType.READY) or {}).get("reason") == name


def stalled(name: str) -> Callable[[Object | None], bool]:
    """Whether nothing more is to be expected, for this reason."""

    def told(found: Object | None) -> bool:
        stated = condition(found or {}, ConditionType.STALLED) or {}
        return (stated.get("status"), stated.get("reason")) == ("True", name)

    return told


async def deployment(world: World) -> Object:
    return await world.cluster.get(MODEL_DEPLOYMENTS, "smol")


@in_a_world
async def test_a_deployment_that_is_made_again_starts_beside_the_pod_of_its_predecessor_on_a_dead_node(
    world: World,
) -> None:
    await declare(world)
    await world.until(ready(1))
    world.node_dies()
    await world.cluster.delete(MODEL_DEPLOYMENTS, "smol")
    await world.until(lambda found: found is None)
    [ending] = (await world.cluster.list(PODS)).items
    assert "deletionTimestamp" in ending["metadata"]
    world.another_node_comes()
    await declare(world)
    found = await world.until(ready(1))
    assert found
    assert ending["metadata"]["name"] in [pod["metadata"]["name"] for pod in (await world.cluster.list(PODS)).items]
    assert found["status"]["podName"] == pod_name("smol", found["metadata"]["uid"], 1)
    assert "attempt" not in found["status"] or found["status"]["attempt"] == 1


@in_a_world
async def test_a_start_on_a_dead_node_ends_at_its_deadline(world: World) -> None:
    world.node_dies()
    await declare(world)
    await world.until(reason("StartDeadlineExceeded"), patience=2000)


@in_a_world
async def test_somebody_elses_pod_of_the_same_name_is_told_and_left(world: World) -> None:
    created = await declare(world)
    taken = pod_name("smol", created["metadata"]["uid"], 1)
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": taken},
        "spec": {"containers": [{"name": "theirs"}]},
    }
    await world.cluster.create(PODS, body)
    found = await world.until(ready(2))
    assert found
    assert "PodNameTaken" in reasons(world)
    assert taken in [pod["metadata"]["name"] for pod in await world.pods()], "it is left alone"


@in_a_world
async def test_a_failed_start_and_then_no_node_makes_no_end_of_writes(world: World) -> None:
    await declare(world)
    await world.until_pods(lambda pods: any(status_of(pod) for pod in pods))
    world.node_dies()
    await world.container_ends(exitCode=1)
    await world.until(lambda found: status_of(found or {}).get("attempt") == 2)
    await world.until_pods(lambda pods: any(pod["metadata"]["name"].endswith("-2") for pod in pods))
    [pod] = await world.pods()
    nowhere = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    status = {"phase": "Pending", "conditions": [{**nowhere, "lastTransitionTime": "2026-01-02T12:00:00Z"}]}
    await world.cluster.patch_status(PODS, pod["metadata"]["name"], status)
    await world.until(reason("Unschedulable"))
    written = world.writes()
    await asyncio.sleep(120)
    assert world.writes() == written
    failure = status_of(await deployment(world))["lastFailure"]
    assert (failure["reason"], failure["count"]) == ("EngineExited", 1), "how the engine ended stays on record"


@in_a_world
async def test_a_router_that_has_just_taken_a_lease_keeps_the_engine_from_being_replaced(world: World) -> None:
    await declare(world)
    await world.until(ready(1))
    await asyncio.sleep(10)
    taken: list[Object] = []

    async def take_a_lease() -> None:
        entry = {**lease(30, 1), "leaseUntil": "2026-01-02T13:00:00Z"}
        taken.append(await world.cluster.patch_status(MODEL_DEPLOYMENTS, "smol", {"activity": {"router": entry}}))

    world.operators.before("patch_status", take_a_lease)
    await world.cluster.patch(MODEL_DEPLOYMENTS, "smol", {"spec": {"nodeSelector": {"zone": "b"}}})
    found = await world.until(
        lambda found: (condition(found or {}, ConditionType.UP_TO_DATE) or {}).get("status") == "False"
    )
    assert taken
    assert ready(1)(found)
    assert sum(world.made(PODS).values()) == 1
    await asyncio.sleep(120)
    assert sum(world.made(PODS).values()) == 1, "not while the lease runs"
    await world.cluster.patch_status(
        MODEL_DEPLOYMENTS, "smol", {"activity": {"router": {"leaseUntil": "2026-01-02T12:00:00Z"}}}
    )
    await world.until(ready(2))
    assert "SpecChanged" in reasons(world)


@in_a_world
async def test_an_engine_stays_while_the_pod_of_its_changed_spec_would_be_refused(world: World) -> None:
    await declare(world)
    await world.until(ready(1))
    world.operators.verdict = InvalidError('unknown field "spec.affinity.nodeAfinity"')
    await world.cluster.patch(MODEL_DEPLOYMENTS, "smol", {"spec": {"nodeSelector": {"zone": "b"}}})
    found = await world.until(stalled("PodRefused"))
    assert ready(1)(found), "it serves as before"
    assert "nodeAfinity" in (condition(found or {}, ConditionType.STALLED) or {})["message"]
    written = world.writes()
    await asyncio.sleep(600)
    assert world.writes() == written
    assert ready(1)(await deployment(world))
    assert sum(world.made(PODS).values()) == 1

    world.operators.verdict = None
    found = await world.until(ready(2), patience=600)
    assert not stalled("PodRefused")(found)


@in_a_world
async def test_requests_hide_not_that_a_changed_spec_was_refused(world: World) -> None:
    await declare(world)
    await world.until(ready(1))
    world.operators.verdict = InvalidError("not like this")
    await world.cluster.patch(MODEL_DEPLOYMENTS, "smol", {"spec": {"nodeSelector": {"zone": "b"}}})
    await world.until(stalled("PodRefused"))
    entry = {**lease(30, 1), "leaseUntil": "2026-01-02T13:00:00Z"}
    await world.cluster.patch_status(MODEL_DEPLOYMENTS, "smol", {"activity": {"router": entry}})
    asked = len(world.operators.judged)
    await asyncio.sleep(200)
    assert stalled("PodRefused")(await deployment(world))
    assert len(world.operators.judged) == asked, "nothing would follow from it"


@in_a_world
async def test_a_changed_spec_that_was_refused_is_told_while_its_deployment_sleeps(world: World) -> None:
    await declare(world, ttl=60)
    await world.until(ready(1))
    world.operators.verdict = InvalidError("not like this")
    await world.cluster.patch(MODEL_DEPLOYMENTS, "smol", {"spec": {"nodeSelector": {"zone": "b"}}})
    await world.until(stalled("PodRefused"))
    found = await world.until(phase("Sleeping"))
    assert stalled("PodRefused")(found)
    await asyncio.sleep(600)
    assert stalled("PodRefused")(await deployment(world))

    await world.cluster.patch(MODEL_DEPLOYMENTS, "smol", {"spec": {"nodeSelector": None}})
    await world.until(lambda found: not stalled("PodRefused")(found))


@in_a_world
async def test_a_pod_that_is_refused_hides_not_why_the_one_before_it_ended(world: World) -> None:
    await declare(world)
    await world.until(ready(1))
    world.operators.refuse("create", PODS, ForbiddenError("exceeded quota: pods"))
    await world.container_ends(exitCode=139)
    await world.until(reason("EngineCrashed"))
    found = await world.until(reason("PodRefused"))
    assert found
    assert found["status"]["phase"] == "Stalled"
    await world.until(ready(3))
    assert {"EngineCrashed", "PodRefused"} <= reasons(world)


@in_a_world
async def test_a_deployment_that_goes_at_the_moment_its_pod_is_made_leaves_none(world: World) -> None:
    async def unload() -> None:
        await world.cluster.delete(MODEL_DEPLOYMENTS, "smol")

    world.operators.before("create", unload)
    await declare(world)
    await world.until(lambda found: found is None and bool(world.made(PODS)))
    await world.until_pods(lambda pods: not pods)


@in_a_world
async def test_an_idle_operator_writes_nothing(world: World) -> None:
    await declare(world, ttl=5)
    await world.until(phase("Sleeping"))
    await world.until_pods(lambda pods: not pods)
    written = world.writes()
    await asyncio.sleep(600)
    assert world.writes() == written


@in_a_world
async def test_whoever_deletes_each_pod_is_answered_with_one_in_ten_seconds(world: World) -> None:
    await declare(world)
    for _ in range(600):
        await asyncio.sleep(0.2)
        for pod in await world.pods():
            await world.cluster.delete(PODS, pod["metadata"]["name"])
    assert sum(world.made(PODS).values()) <= 13
    assert status_of(await deployment(world))["phase"] == "Pending", "no status says that it cannot start"
    await world.until(ready(2))


def older(kind: Kind) -> dict[str, Admit]:
    """Admits what an earlier version of the CRD let in."""
    del kind
    return {}


@pytest.mark.parametrize("broken", ["spec", "status"])
def test_one_that_cannot_be_read_stops_no_other_and_is_told(broken: str) -> None:
    async def run() -> None:
        async with World(begin, MODEL_DEPLOYMENTS, older(MODEL_DEPLOYMENTS)) as world:
            body = {
                "apiVersion": MODEL_DEPLOYMENTS.api_version,
                "kind": MODEL_DEPLOYMENTS.kind,
                "metadata": {"name": "old"},
            }
            spec = {"model": "/models/x", "backend": "ollama" if broken == "spec" else "llamacpp", "device": "cpu"}
            with capture_logs() as logs:
                await world.cluster.create(MODEL_DEPLOYMENTS, {**body, "spec": spec})
                if broken == "status":
                    await world.cluster.patch_status(MODEL_DEPLOYMENTS, "old", {"startSteps": "none"})
                await declare(world)
                await world.until(ready(1))
                told = await world.until(lambda found: status_of(found or {}).get("phase") == "Stalled", name="old")
                written = world.writes()
                await asyncio.sleep(120)
            assert told
            stalled = condition(told, ConditionType.STALLED)
            assert stalled
            assert (stalled["status"], stalled["reason"]) == ("True", "NotUnderstood")
            assert ("backend" if broken == "spec" else "startSteps") in stalled["message"]
            assert world.writes() == written, "once it is reported there is nothing more to write"
            assert [log["name"] for log in logs if log["event"] == "not_understood"] == ["old"], "logged once"

    run_in_virtual_time(run())


def test_a_name_that_cannot_be_a_label_is_told() -> None:
    async def run() -> None:
        async with World(begin, MODEL_DEPLOYMENTS, older(MODEL_DEPLOYMENTS)) as world:
            await declare(world, name="n" * 64)
            found = await world.until(reason("NameTooLong"), name="n" * 64)
            assert found
            assert found["status"]["phase"] == "Stalled"
            stalled = condition(found, ConditionType.STALLED)
            assert stalled
            assert "has 64 characters, and at most 63" in stalled["message"]
            await world.cluster.delete(MODEL_DEPLOYMENTS, "n" * 64, Preconditions(found["metadata"]["uid"]))

    run_in_virtual_time(run())


def test_the_longest_name_that_is_allowed_works_all_the_way() -> None:
    async def run() -> None:
        name = f"{'n' * 50}.{'m' * 12}"
        assert len(name) == 63
        async with World(begin, MODEL_DEPLOYMENTS) as world:
            await declare(world, name=name)
            await world.until(ready(1), name=name)
            [pod] = await world.pods()
            assert pod["metadata"]["labels"]["berth.dev/deployment"] == name
            assert len(pod["metadata"]["name"]) <= 63

    run_in_virtual_time(run())
