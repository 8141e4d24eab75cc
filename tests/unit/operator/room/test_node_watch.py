"""What is known of a cluster's nodes, and of what pods of others hold there."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from berth_api.room.snapshot import RoomNode, Taint
from berth_cluster.cluster import LABEL_DEPLOYMENT, NODES, PODS_EVERYWHERE, ForbiddenError, Object
from berth_operator.room.node_watch import NodeWatch, room_node
from tests.unit.memory_cluster import MemoryCluster
from tests.waiting import until

READY = [{"type": "Ready", "status": "True"}]
GPU = "nvidia.com/gpu"


def node(spec: Object | None = None, conditions: list[Any] = READY, name: str = "n", **allocatable: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"zone": "a"}},
        "spec": spec or {},
        "status": {"conditions": conditions, "allocatable": allocatable or {GPU: "2"}},
    }


@pytest.mark.parametrize(
    ("manifest", "schedulable"),
    [
        (node(), True),
        (node({"unschedulable": True}), False),
        (node(conditions=[{"type": "Ready", "status": "False"}]), False),
        (node(conditions=[{"type": "Ready", "status": "Unknown"}]), False),
        (node(conditions=[]), False),
    ],
    ids=["ready", "cordoned", "not ready", "not heard of", "new"],
)
def test_whether_anything_may_start_on_a_node(manifest: Object, schedulable: bool) -> None:
    assert room_node(manifest) == RoomNode("n", {GPU: 2}, {"zone": "a"}, (), schedulable)


def test_a_taint_counts_unless_it_is_only_a_wish() -> None:
    taints = [
        {"key": "gpu", "value": "yes", "effect": "NoSchedule"},
        {"key": "ends", "effect": "NoExecute"},
        {"key": "rather", "effect": "PreferNoSchedule"},
    ]
    assert room_node(node({"taints": taints})).taints == (Taint("gpu", "yes"), Taint("ends", "", "NoExecute"))


def pod(name: str, node_name: str | None = "n", namespace: str = "others", **labels: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "containers": [{"name": "c", "resources": {"limits": {GPU: 1}}}],
            **({"nodeName": node_name} if node_name else {}),
        },
    }


@asynccontextmanager
async def watched(cluster: MemoryCluster) -> AsyncGenerator[NodeWatch]:
    watch = NodeWatch(cluster, "berth")
    running = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def with_node() -> MemoryCluster:
    cluster = MemoryCluster()
    await cluster.create(NODES, {key: value for key, value in node().items() if key != "status"})
    await cluster.patch_status(NODES, "n", node()["status"])
    return cluster


def foreign(watch: NodeWatch) -> Any:
    nodes = watch.nodes()
    return dict(nodes[0].foreign) if nodes else None


async def test_pods_of_others_hold_what_they_ask_for_until_they_have_ended() -> None:
    cluster = await with_node()
    await cluster.create(PODS_EVERYWHERE, pod("one"))
    async with watched(cluster) as watch:
        await until(lambda: foreign(watch) == {GPU: 1})
        await cluster.create(PODS_EVERYWHERE, pod("two"))
        await until(lambda: foreign(watch) == {GPU: 2})
        await cluster.patch_status(PODS_EVERYWHERE, "one", {"phase": "Succeeded"})
        await until(lambda: foreign(watch) == {GPU: 1})
        cluster.finish(PODS_EVERYWHERE, "two", (await cluster.get(PODS_EVERYWHERE, "two"))["metadata"]["uid"])
        await until(lambda: foreign(watch) == {})


async def test_engines_of_this_namespace_are_not_pods_of_others() -> None:
    cluster = await with_node()
    await cluster.create(PODS_EVERYWHERE, pod("engine", namespace="berth", **{LABEL_DEPLOYMENT: "a"}))
    await cluster.create(PODS_EVERYWHERE, pod("neighbour", namespace="berth"))
    await cluster.create(PODS_EVERYWHERE, pod("elsewhere", namespace="others", **{LABEL_DEPLOYMENT: "a"}))
    async with watched(cluster) as watch:
        await until(lambda: foreign(watch) == {GPU: 2})


async def test_a_pod_of_others_without_a_node_waits_until_it_has_one() -> None:
    cluster = await with_node()
    await cluster.create(PODS_EVERYWHERE, pod("one", None))
    async with watched(cluster) as watch:
        await until(lambda: [each.needs for each in watch.foreign_waiting()] == [{GPU: 1}])
        assert foreign(watch) == {}
        await cluster.patch(PODS_EVERYWHERE, "one", {"spec": {"nodeName": "n"}})
        await until(lambda: watch.foreign_waiting() == () and foreign(watch) == {GPU: 1})


async def test_a_node_that_left_while_the_watch_was_interrupted_is_gone() -> None:
    cluster = await with_node()
    async with watched(cluster) as watch:
        await until(watch.nodes)
        cluster.fail_next("watch", ForbiddenError("not for a moment"))
        await cluster.delete(NODES, "n")
        cluster.expire_watches()
        await until(lambda: watch.nodes() == ())


async def test_who_may_not_look_knows_no_nodes() -> None:
    class Closed(MemoryCluster):
        async def list(self, kind: Any, labels: Any = None) -> Any:
            if kind.everywhere:
                raise ForbiddenError("nodes is forbidden")
            return await super().list(kind, labels)

    async with watched(Closed()) as watch:
        await asyncio.sleep(0)
        assert watch.nodes() is None
        assert watch.foreign_waiting() == ()
