"""What is the local Cluster's own."""

from typing import Any

import pytest

from berth_cluster.cluster import EVENTS, MODEL_DEPLOYMENTS, PODS, ExpiredError, Object, Preconditions
from berth_local.node.cluster import HISTORY, MOST_EVENTS, LocalCluster
from tests.unit.local.node.test_cluster_contract import manifest


def pod(**spec: Any) -> Object:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [], **spec}}


async def test_a_watch_that_is_too_far_behind_must_list_again() -> None:
    cluster = LocalCluster()
    await cluster.create(MODEL_DEPLOYMENTS, manifest())
    for number in range(2 * HISTORY):
        await cluster.patch_status(MODEL_DEPLOYMENTS, "smol", {"podName": f"smol-{number}"})
    with pytest.raises(ExpiredError, match="too old"):
        await anext(cluster.watch(MODEL_DEPLOYMENTS, "1"))
    recent = str(2 * HISTORY - 1)
    assert (await anext(cluster.watch(MODEL_DEPLOYMENTS, recent))).object["status"][
        "podName"
    ] == f"smol-{2 * HISTORY - 2}"


async def test_old_events_are_forgotten() -> None:
    cluster = LocalCluster()
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"generateName": "e."}}
    first = (await cluster.create(EVENTS, event))["metadata"]["name"]
    for _ in range(MOST_EVENTS):
        await cluster.create(EVENTS, event)
    names = {item["metadata"]["name"] for item in (await cluster.list(EVENTS)).items}
    assert len(names) == MOST_EVENTS
    assert first not in names


async def test_a_pod_that_no_node_has_goes_at_once() -> None:
    cluster = LocalCluster()
    await cluster.create(PODS, pod())
    await cluster.delete(PODS, "p")
    assert (await cluster.list(PODS)).items == []


async def test_a_pod_on_a_node_goes_when_the_node_says_so() -> None:
    cluster = LocalCluster()
    uid = (await cluster.create(PODS, pod()))["metadata"]["uid"]
    await cluster.patch(PODS, "p", {"spec": {"nodeName": "n"}})
    await cluster.delete(PODS, "p", Preconditions(uid))
    (marked,) = (await cluster.list(PODS)).items
    assert "deletionTimestamp" in marked["metadata"]
    cluster.finish(PODS, "p", "another-uid")
    assert (await cluster.list(PODS)).items
    cluster.finish(PODS, "p", uid)
    assert (await cluster.list(PODS)).items == []


async def test_the_grace_of_a_pod_that_is_being_deleted_can_only_be_shortened() -> None:
    cluster = LocalCluster()
    await cluster.create(PODS, pod(terminationGracePeriodSeconds=300, nodeName="n"))
    graces: list[int] = []
    for grace in (None, 400, 30, None, 1):
        await cluster.delete(PODS, "p", grace_seconds=grace)
        graces.append((await cluster.get(PODS, "p"))["metadata"]["deletionGracePeriodSeconds"])
    assert graces == [300, 300, 30, 30, 1]


async def test_what_is_made_for_an_owner_that_has_just_gone_goes_too() -> None:
    cluster = LocalCluster()
    gone = {"apiVersion": "berth.dev/v1alpha1", "kind": "ModelDeployment", "name": "smol", "uid": "gone"}
    await cluster.create(PODS, {**pod(), "metadata": {"name": "p", "ownerReferences": [gone]}})
    assert (await cluster.list(PODS)).items == []


async def test_what_was_read_is_the_readers_own() -> None:
    cluster = LocalCluster()
    await cluster.create(MODEL_DEPLOYMENTS, manifest())
    (await cluster.get(MODEL_DEPLOYMENTS, "smol"))["spec"]["model"] = "/models/other"
    assert (await cluster.get(MODEL_DEPLOYMENTS, "smol"))["spec"]["model"] == "/models/SmolLM2"
