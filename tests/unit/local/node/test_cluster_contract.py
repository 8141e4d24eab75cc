"""What every Cluster does: the one in memory, and with --cluster=kubernetes a real API server."""

import asyncio
from typing import Any

import pytest

from berth_cluster.cluster import (
    CONFIG_MAPS,
    EVENTS,
    MODEL_DEPLOYMENTS,
    MODEL_DOWNLOADS,
    AlreadyExistsError,
    Cluster,
    ConflictError,
    InvalidError,
    Kind,
    NotFoundError,
    Object,
    Preconditions,
    WatchEvent,
)
from berth_cluster.following import Snapshot, follow

DOWNLOAD: Object = {"repository": "org/name", "revision": "main"}


def manifest(**spec: Any) -> Object:
    spec = {"model": "/models/SmolLM2", "backend": "llamacpp", "device": "cpu", **spec}
    return {"apiVersion": "berth.dev/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": "smol"}, "spec": spec}


def status(phase: str) -> dict[str, Any]:
    return {"phase": phase}


async def test_create_get_list_delete(cluster: Cluster) -> None:
    created = await cluster.create(MODEL_DEPLOYMENTS, manifest())
    assert (await cluster.get(MODEL_DEPLOYMENTS, "smol"))["metadata"]["uid"] == created["metadata"]["uid"]
    [item] = (await cluster.list(MODEL_DEPLOYMENTS)).items
    assert (item["kind"], item["metadata"]["name"]) == ("ModelDeployment", "smol")
    assert not (await cluster.list(MODEL_DEPLOYMENTS, {"no": "such"})).items
    await cluster.delete(MODEL_DEPLOYMENTS, "smol")
    with pytest.raises(NotFoundError):
        await cluster.get(MODEL_DEPLOYMENTS, "smol")


async def test_errors_say_what_is_wrong(cluster: Cluster) -> None:
    await cluster.create(MODEL_DEPLOYMENTS, manifest())
    with pytest.raises(AlreadyExistsError):
        await cluster.create(MODEL_DEPLOYMENTS, manifest())
    with pytest.raises(InvalidError, match=r"spec\.backend"):
        await cluster.create(MODEL_DEPLOYMENTS, {**manifest(backend="ollama"), "metadata": {"name": "other"}})
    with pytest.raises(NotFoundError, match="nobody"):
        await cluster.patch_status(MODEL_DEPLOYMENTS, "nobody", status("Ready"))


async def test_what_is_only_judged_is_not_there(cluster: Cluster) -> None:
    await cluster.judge(MODEL_DEPLOYMENTS, manifest())
    assert not (await cluster.list(MODEL_DEPLOYMENTS)).items
    await cluster.create(MODEL_DEPLOYMENTS, manifest())
    with pytest.raises(AlreadyExistsError):
        await cluster.judge(MODEL_DEPLOYMENTS, manifest())


@pytest.mark.parametrize("name", ["", "..", "x?watch=true", "smol/status", "smol#", "a b"])
async def test_a_name_that_no_object_can_have_is_not_found(cluster: Cluster, name: str) -> None:
    await cluster.create(MODEL_DEPLOYMENTS, manifest())
    with pytest.raises(NotFoundError):
        await cluster.get(MODEL_DEPLOYMENTS, name)
    with pytest.raises(NotFoundError):
        await cluster.patch_status(MODEL_DEPLOYMENTS, name, status("Ready"))
    with pytest.raises(NotFoundError):
        await cluster.delete(MODEL_DEPLOYMENTS, name)
    assert len((await cluster.list(MODEL_DEPLOYMENTS)).items) == 1


async def test_a_status_is_merged_and_null_removes(cluster: Cluster) -> None:
    await cluster.create(MODEL_DEPLOYMENTS, manifest())
    await cluster.patch_status(MODEL_DEPLOYMENTS, "smol", {"phase": "Ready", "endpoint": "http://x"})
    patched = await cluster.patch_status(MODEL_DEPLOYMENTS, "smol", {"endpoint": None, "podName": "smol-1"})
    assert patched["status"].items() >= {"phase": "Ready", "podName": "smol-1"}.items()
    assert "endpoint" not in patched["status"]


async def test_preconditions_hold_for_what_was_read_only(cluster: Cluster) -> None:
    read = (await cluster.create(MODEL_DEPLOYMENTS, manifest()))["metadata"]
    as_read = Preconditions(read["uid"], read["resourceVersion"])
    await cluster.patch_status(MODEL_DEPLOYMENTS, "smol", status("Ready"), Preconditions(read["uid"]))
    with pytest.raises(ConflictError):
        await cluster.patch_status(MODEL_DEPLOYMENTS, "smol", status("Sleeping"), as_read)
    with pytest.raises(ConflictError):
        await cluster.delete(MODEL_DEPLOYMENTS, "smol", as_read)
    for other in (Preconditions("another-uid"), Preconditions("another-uid", read["resourceVersion"])):
        with pytest.raises(ConflictError):
            await cluster.patch_status(MODEL_DEPLOYMENTS, "smol", status("Sleeping"), other)
        with pytest.raises(ConflictError):
            await cluster.patch(MODEL_DEPLOYMENTS, "smol", {"metadata": {"labels": {"a": "b"}}}, other)
    kept = await cluster.get(MODEL_DEPLOYMENTS, "smol")
    assert (kept["status"]["phase"], kept["metadata"].get("labels")) == ("Ready", None)
    await cluster.delete(MODEL_DEPLOYMENTS, "smol", Preconditions(read["uid"]))


async def test_a_plain_object_is_merged_as_long_as_it_is_the_one_that_was_read(cluster: Cluster) -> None:
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


async def test_a_watch_tells_every_change_after_a_version(cluster: Cluster) -> None:
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


async def test_following_begins_with_all_and_goes_on_with_changes(cluster: Cluster) -> None:
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


async def test_a_schemas_defaults_are_stored(cluster: Cluster) -> None:
    created = await cluster.create(MODEL_DEPLOYMENTS, manifest())
    assert created["spec"]["idle"] == {"ttlSeconds": 300, "action": "Sleep"}
    assert created["spec"]["devices"] == 1


async def test_an_object_of_another_kind_is_refused(cluster: Cluster) -> None:
    with pytest.raises(InvalidError):
        await cluster.create(MODEL_DEPLOYMENTS, {**manifest(), "kind": "ModelDownload"})


async def test_the_status_is_written_by_itself_alone(cluster: Cluster) -> None:
    await cluster.create(MODEL_DEPLOYMENTS, {**manifest(), "status": status("Ready")})
    patched = await cluster.patch(
        MODEL_DEPLOYMENTS, "smol", {"metadata": {"labels": {"a": "b"}}, "status": status("Stalled")}
    )
    assert patched["metadata"]["labels"] == {"a": "b"}
    assert "phase" not in patched.get("status", {})


async def test_a_changed_spec_is_another_generation(cluster: Cluster) -> None:
    await cluster.create(MODEL_DEPLOYMENTS, manifest())
    await cluster.patch_status(MODEL_DEPLOYMENTS, "smol", status("Ready"))
    assert (await cluster.get(MODEL_DEPLOYMENTS, "smol"))["metadata"]["generation"] == 1
    patched = await cluster.patch(MODEL_DEPLOYMENTS, "smol", {"spec": {"idle": {"ttlSeconds": 5}}})
    assert (patched["metadata"]["generation"], patched["spec"]["idle"]["ttlSeconds"]) == (2, 5)


async def test_a_download_cannot_be_changed(cluster: Cluster) -> None:
    identity = {"apiVersion": MODEL_DOWNLOADS.api_version, "kind": MODEL_DOWNLOADS.kind, "metadata": {"name": "d"}}
    await cluster.create(MODEL_DOWNLOADS, {**identity, "spec": DOWNLOAD})
    with pytest.raises(InvalidError):
        await cluster.patch(MODEL_DOWNLOADS, "d", {"spec": {"revision": "other"}})


@pytest.mark.parametrize(
    ("kind", "spec", "longest"),
    [(MODEL_DEPLOYMENTS, manifest()["spec"], 63), (MODEL_DOWNLOADS, DOWNLOAD, 52)],
    ids=["deployment", "download"],
)
async def test_a_name_that_is_too_long_to_be_worked_with_is_refused(
    cluster: Cluster, kind: Kind, spec: Object, longest: int
) -> None:
    body = {"apiVersion": kind.api_version, "kind": kind.kind, "spec": spec}
    await cluster.create(kind, {**body, "metadata": {"name": "n" * longest}})
    with pytest.raises(InvalidError, match=rf"metadata\.name: at most {longest} characters"):
        await cluster.create(kind, {**body, "metadata": {"name": "n" * (longest + 1)}})


async def test_a_name_is_made_where_only_its_beginning_is_given(cluster: Cluster) -> None:
    # In the namespace that the event is in, whatever that is called.
    involved = {"kind": "Pod", "name": "x", "namespace": getattr(cluster, "namespace", "")}
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"generateName": "x."}, "involvedObject": involved}
    names = [(await cluster.create(EVENTS, event))["metadata"]["name"] for _ in range(2)]
    assert names[0] != names[1]
    assert all(name.startswith("x.") for name in names)


async def test_what_is_owned_goes_with_its_owner(cluster: Cluster) -> None:
    owner = (await cluster.create(MODEL_DEPLOYMENTS, manifest()))["metadata"]
    reference = {"apiVersion": "berth.dev/v1alpha1", "kind": "ModelDeployment", "name": "smol", "uid": owner["uid"]}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned", "ownerReferences": [reference]}}
    since = (await cluster.create(CONFIG_MAPS, body))["metadata"]["resourceVersion"]
    await cluster.delete(MODEL_DEPLOYMENTS, "smol")
    async with asyncio.timeout(30):
        gone = await anext(
            event async for event in cluster.watch(CONFIG_MAPS, since) if event.object["metadata"]["name"] == "owned"
        )
    assert gone.type == "DELETED"
