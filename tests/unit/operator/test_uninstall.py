"""What is ended before a release goes, and what is left to people."""

import asyncio
from typing import Any

import pytest

from berth_cluster.cluster import (
    LABEL_DEPLOYMENT,
    LABEL_MANAGED_BY,
    MODEL_DEPLOYMENTS,
    MODEL_DOWNLOADS,
    PODS,
    ROUTER,
    Kind,
    Object,
)
from berth_operator.uninstall import end_all, what_is_left
from tests.instruments import InstrumentedCluster

DEPLOYMENT: Object = {"spec": {"model": "/models/a", "backend": "llamacpp", "device": "cpu"}}
DOWNLOAD: Object = {"spec": {"repository": "a/b", "destination": "b"}}


async def create(cluster: InstrumentedCluster, kind: Kind, name: str, content: Object, **labels: str) -> None:
    metadata = {"name": name, "labels": labels}
    await cluster.create(kind, {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **content})


async def names(cluster: InstrumentedCluster, kind: Kind) -> list[str]:
    return sorted(each["metadata"]["name"] for each in (await cluster.list(kind)).items)


async def at_once(_: float) -> None:
    await asyncio.sleep(0)


async def test_what_requests_started_ends_and_what_people_declared_is_named(cluster: InstrumentedCluster) -> None:
    made = {LABEL_MANAGED_BY: ROUTER}
    await create(cluster, MODEL_DEPLOYMENTS, "asked-for", DEPLOYMENT, **made)
    await create(cluster, MODEL_DEPLOYMENTS, "declared", DEPLOYMENT)
    await create(cluster, MODEL_DOWNLOADS, "asked-for", DOWNLOAD, **made)
    await create(cluster, MODEL_DOWNLOADS, "applied", DOWNLOAD)
    await end_all(cluster, sleep=at_once)
    assert await names(cluster, MODEL_DEPLOYMENTS) == ["declared"]
    assert await names(cluster, MODEL_DOWNLOADS) == ["applied"]
    told = await what_is_left(cluster)
    assert told[:2] == ["left: ModelDeployment declared", "left: ModelDownload applied"]
    assert "kubectl delete md,mdl --all" in told[2]


async def test_nothing_is_left_to_say(cluster: InstrumentedCluster) -> None:
    await end_all(cluster, sleep=at_once)
    assert await what_is_left(cluster) == ["left: no ModelDeployment and no ModelDownload"]


async def test_kinds_without_a_definition_are_not_asked_for(cluster: InstrumentedCluster) -> None:
    await end_all(cluster, [], sleep=at_once)
    assert await what_is_left(cluster, []) == ["left: no ModelDeployment and no ModelDownload"]
    assert not cluster.calls


@pytest.mark.in_memory("the pod has no owner, so that it ends when the test says so")
async def test_it_waits_for_pods_and_ends_what_is_made_meanwhile(cluster: InstrumentedCluster) -> None:
    made = {LABEL_MANAGED_BY: ROUTER}
    pod: dict[str, Any] = {"spec": {"containers": [{"name": "engine", "image": "a"}]}}
    await create(cluster, MODEL_DEPLOYMENTS, "asked-for", DEPLOYMENT, **made)
    await create(cluster, PODS, "engine", pod, **{LABEL_DEPLOYMENT: "asked-for"})
    await create(cluster, PODS, "other", pod, **{LABEL_DEPLOYMENT: "declared"})
    looks = 0

    async def looked(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            await create(cluster, MODEL_DEPLOYMENTS, "asked-for-late", DEPLOYMENT, **made)
        if looks == 5:
            await cluster.delete(PODS, "engine")

    await end_all(cluster, sleep=looked)
    assert (await names(cluster, MODEL_DEPLOYMENTS), await names(cluster, PODS)) == ([], ["other"])
    assert looks == 5


@pytest.mark.in_memory("the pod has no owner, and nobody ends it")
async def test_it_waits_for_no_pod_for_ever(cluster: InstrumentedCluster) -> None:
    pod: dict[str, Any] = {"spec": {"containers": [{"name": "engine", "image": "a"}]}}
    await create(cluster, MODEL_DEPLOYMENTS, "asked-for", DEPLOYMENT, **{LABEL_MANAGED_BY: ROUTER})
    await create(cluster, PODS, "engine", pod, **{LABEL_DEPLOYMENT: "asked-for"})
    await end_all(cluster, patience=3, sleep=at_once)
    assert await names(cluster, MODEL_DEPLOYMENTS) == []
