"""A changed spec whose pod could never be made, or would be refused: the engine of the spec before goes on serving."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from berth_api.conditions import ConditionType
from berth_api.room.snapshot import RoomNode
from berth_cluster.cluster import MODEL_DEPLOYMENTS, PODS, Object
from berth_operator.objects.parts import condition, status_of
from berth_operator.room.places import NodePlaces
from tests.unit.formats.weights import write_gguf
from tests.unit.operator.building import SETTINGS
from tests.unit.operator.room.test_memory_estimates import operator_of, spec_of
from tests.unit.operator.world import World
from tests.unit.virtual_time import run_in_virtual_time

DEVICES = {"cpu": {"cpuRequest": "250m"}}


class OneNode(NodePlaces):
    """A cluster whose only node is known."""

    def nodes(self) -> tuple[RoomNode, ...] | None:
        """That node."""
        return (RoomNode("node1", {"memory": 8 << 30, "cpu": 4000}, {}),)


@pytest.fixture(autouse=True)
def reads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read on the loop: its clock must not run ahead meanwhile."""

    async def at_once(work: Callable[[], Any]) -> Any:
        return work()

    monkeypatch.setattr(asyncio, "to_thread", at_once)


def serving(world: World) -> Coroutine[Any, Any, Object | None]:
    return world.until(lambda found: found and status_of(found).get("phase") == "Ready")


def run(tmp_path: Path, test: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    """Runs the test in a cluster where the engine of a tiny model serves."""
    write_gguf(tmp_path / "tiny" / "tiny.gguf")
    settings = SETTINGS.model_validate({**SETTINGS.model_dump(by_alias=True), "devices": DEVICES})

    async def whole() -> None:
        places = OneNode(settings.devices)
        world = World(lambda cluster, world: operator_of(settings, tmp_path, world, cluster, places), MODEL_DEPLOYMENTS)
        async with world:
            kind = {"apiVersion": MODEL_DEPLOYMENTS.api_version, "kind": MODEL_DEPLOYMENTS.kind}
            await world.cluster.create(
                MODEL_DEPLOYMENTS, {**kind, "metadata": {"name": "smol"}, "spec": spec_of().manifest()}
            )
            await serving(world)
            await test(world)

    run_in_virtual_time(whole())


@pytest.mark.parametrize(
    ("change", "reason", "why"),
    [
        ({"resources": {"requests": {"memory": "9Gi"}}}, "NeverFits", "the nearest node, node1, has 8.6 GB"),
        ({"nodeSelector": {"zone": "b"}}, "NoNodeAllowed", "no node has the labels"),
    ],
)
def test_what_no_node_could_take_ends_no_engine(tmp_path: Path, change: dict[str, Any], reason: str, why: str) -> None:
    async def test(world: World) -> None:
        await world.cluster.patch(MODEL_DEPLOYMENTS, "smol", {"spec": change})
        await asyncio.sleep(120)
        found = await world.cluster.get(MODEL_DEPLOYMENTS, "smol")
        assert status_of(found)["phase"] == "Ready"
        assert sum(world.made(PODS).values()) == 1
        stalled = condition(found, ConditionType.STALLED) or {}
        assert (stalled["status"], stalled["reason"]) == ("True", reason)
        assert why in stalled["message"]
        ready = condition(found, ConditionType.READY) or {}
        assert (ready["status"], ready["observedGeneration"]) == ("True", 1)
        world.check()

        await world.cluster.patch(MODEL_DEPLOYMENTS, "smol", {"spec": dict.fromkeys(change)})
        await world.until(lambda each: (condition(each or {}, ConditionType.STALLED) or {})["status"] == "False")
        assert sum(world.made(PODS).values()) == 1

    run(tmp_path, test)


def test_the_operator_rests_while_a_model_can_never_fit(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        one = await world.cluster.get(MODEL_DEPLOYMENTS, "smol")
        spec = {**one["spec"], "resources": {"requests": {"memory": "9Gi"}}}
        kind = {"apiVersion": one["apiVersion"], "kind": one["kind"]}
        await world.cluster.create(MODEL_DEPLOYMENTS, {**kind, "metadata": {"name": "huge"}, "spec": spec})
        found = await world.until(lambda each: each and status_of(each).get("phase") == "Stalled", "huge")
        assert (condition(found or {}, ConditionType.STALLED) or {})["reason"] == "NeverFits"
        written = world.writes()
        await asyncio.sleep(100)
        assert world.writes() == written

        await world.cluster.patch(MODEL_DEPLOYMENTS, "huge", {"spec": {"resources": None}})
        await world.until(lambda each: each and status_of(each).get("phase") == "Ready", "huge")

    run(tmp_path, test)


def test_the_pod_is_judged_with_the_requests_that_it_would_have(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await world.cluster.patch(MODEL_DEPLOYMENTS, "smol", {"spec": {"resources": {"limits": {"cpu": "2"}}}})
        await world.until_pods(lambda pods: len(pods) == 1 and len(world.made(PODS)) == 2)
        [judged] = world.operators.judged
        made = await world.cluster.get(PODS, judged["metadata"]["name"])
        requests = judged["spec"]["containers"][0]["resources"]["requests"]
        assert requests == made["spec"]["containers"][0]["resources"]["requests"]
        assert "memory" in requests

    run(tmp_path, test)
