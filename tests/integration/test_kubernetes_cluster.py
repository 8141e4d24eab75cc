"""The Cluster interface over a real API server."""

import asyncio
from typing import Any

import pytest

from berth_api.cluster import (
    CONFIG_MAPS,
    MODEL_DEPLOYMENTS,
    AlreadyExistsError,
    ConflictError,
    ExpiredError,
    InvalidError,
    NotFoundError,
    Preconditions,
    UnavailableError,
    WatchEvent,
)
from berth_api.following import Snapshot, follow
from berth_api.kubernetes_cluster import KubernetesCluster
from tests.integration.test_resource import manifest


def status(phase: str) -> dict[str, Any]:
    return {"phase": phase}


async def test_create_get_list_delete(cluster: KubernetesCluster) -> None:
    created = await cluster.create(MODEL_DEPLOYMENTS, manifest())
    assert (await cluster.get(MODEL_DEPLOYMENTS, "smol"))["metadata"]["uid"] == created["metadata"]["uid"]
    [item] = (await cluster.list(MODEL_DEPLOYMENTS)).items
    assert (item["kind"], item["metadata"]["name"]) == ("ModelDeployment", "smol")
    assert (await cluster.list(MODEL_DEPLOYMENTS, {"no": "such"})).items == []
    await cluster.delete(MODEL_DEPLOYMENTS, "smol")
    with pytest.raises(NotFoundError):
        await cluster.get(MODEL_DEPLOYMENTS, "smol")


async def test_errors_say_what_is_wrong(cluster: KubernetesCluster) -> None:
    await cluster.create(MODEL_DEPLOYMENTS, manifest())
    with pytest.raises(AlreadyExistsError):
        await cluster.create(MODEL_DEPLOYMENTS, manifest())
    with pytest.raises(InvalidError, match=r"spec\.backend"):
        await cluster.create(MODEL_DEPLOYMENTS, manifest(backend="ollama"))
    with pytest.raises(NotFoundError, match="nobody"):
        await cluster.patch_status(MODEL_DEPLOYMENTS, "nobody", status("Ready"))


async def test_a_status_is_merged_and_null_removes(cluster: KubernetesCluster) -> None:
    await cluster.create(MODEL_DEPLOYMENTS, manifest())
    await cluster.patch_status(MODEL_DEPLOYMENTS, "smol", {"phase": "Ready", "endpoint": "http://x"})
    patched = await cluster.patch_status(MODEL_DEPLOYMENTS, "smol", {"endpoint": None, "podName": "smol-1"})
    assert patched["status"] == {"attempt": 1, "phase": "Ready", "podName": "smol-1"}


async def test_preconditions_hold_for_what_was_read_only(cluster: KubernetesCluster) -> None:
    read = (await cluster.create(MODEL_DEPLOYMENTS, manifest()))["metadata"]
    as_read = Preconditions(read["uid"], read["resourceVersion"])
    await cluster.patch_status(MODEL_DEPLOYMENTS, "smol", status("Ready"), Preconditions(read["uid"]))
    with pytest.raises(ConflictError):
        await cluster.patch_status(MODEL_DEPLOYMENTS, "smol", status("Sleeping"), as_read)
    with pytest.raises(ConflictError):
        await cluster.delete(MODEL_DEPLOYMENTS, "smol", as_read)
    with pytest.raises(ConflictError):
        await cluster.patch_status(MODEL_DEPLOYMENTS, "smol", status("Ready"), Preconditions("another-uid"))
    await cluster.delete(MODEL_DEPLOYMENTS, "smol", Preconditions(read["uid"]))


async def test_a_plain_object_is_merged_as_long_as_it_is_the_one_that_was_read(cluster: KubernetesCluster) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stats"}, "data": {"a": "1"}}
    read = (await cluster.create(CONFIG_MAPS, body))["metadata"]
    as_read = Preconditions(read["uid"], read["resourceVersion"])
    patched = await cluster.patch(CONFIG_MAPS, "stats", {"data": {"a": None, "b": "2"}}, as_read)
    assert patched["data"] == {"b": "2"}
    with pytest.raises(ConflictError):
        await cluster.patch(CONFIG_MAPS, "stats", {"data": {"c": "3"}}, as_read)
    with pytest.raises(ConflictError):
        await cluster.patch(CONFIG_MAPS, "stats", {"data": {"c": "3"}}, Preconditions("another-uid"))
    assert (await cluster.patch(CONFIG_MAPS, "stats", {"data": {"d": "4"}}))["data"]["d"] == "4"


async def test_a_watch_tells_every_change_after_a_version(cluster: KubernetesCluster) -> None:
    since = (await cluster.list(MODEL_DEPLOYMENTS)).resource_version
    await cluster.create(MODEL_DEPLOYMENTS, manifest())
    await cluster.patch_status(MODEL_DEPLOYMENTS, "smol", status("Ready"))
    await cluster.delete(MODEL_DEPLOYMENTS, "smol")
    seen: list[str] = []
    async with asyncio.timeout(30):
        async for event in cluster.watch(MODEL_DEPLOYMENTS, since):
            seen.append(event.type)
            if event.type == "DELETED":
                break
    assert seen == ["ADDED", "MODIFIED", "DELETED"]


async def test_a_version_that_is_too_old_is_told_apart(cluster: KubernetesCluster) -> None:
    with pytest.raises((ExpiredError, UnavailableError)) as refusal:
        async for _ in cluster.watch(MODEL_DEPLOYMENTS, "1"):
            pass
    assert isinstance(refusal.value, ExpiredError)


async def test_following_begins_with_all_and_goes_on_with_changes(cluster: KubernetesCluster) -> None:
    await cluster.create(MODEL_DEPLOYMENTS, manifest())
    async with asyncio.timeout(30):
        following = follow(cluster, MODEL_DEPLOYMENTS)
        first = await anext(following)
        assert isinstance(first, Snapshot)
        assert [item["metadata"]["name"] for item in first.items] == ["smol"]
        await cluster.delete(MODEL_DEPLOYMENTS, "smol")
        second = await anext(following)
        assert isinstance(second, WatchEvent)
        assert second.type == "DELETED"


async def test_without_an_api_server_it_says_so(tmp_path: Any) -> None:
    with pytest.raises(UnavailableError):
        await KubernetesCluster.connect("default", str(tmp_path / "kubeconfig"))
