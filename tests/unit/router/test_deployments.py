"""The view of the deployments: what it shows when events come late, twice or out of order."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest

from berth_api.model_deployment import ModelDeployment
from berth_cluster.cluster import MODEL_DEPLOYMENTS, Kind, Object, ObjectList
from berth_router.lifecycle.deployments import Deployments
from tests.instruments import Instrumented, InstrumentedCluster

SPEC = {"model": "/models/tiny", "backend": "llamacpp", "device": "cpu"}


async def create(cluster: InstrumentedCluster, name: str, **spec: Any) -> Object:
    manifest = {
        "apiVersion": "berth.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name},
        "spec": {**SPEC, **spec},
    }
    return await cluster.create(MODEL_DEPLOYMENTS, manifest)


@pytest.fixture
async def view(cluster: InstrumentedCluster) -> AsyncIterator[Deployments]:
    """A view that follows a cluster in which `old` was there from the start."""
    await create(cluster, "old")
    deployments = Deployments(cluster)
    following = asyncio.create_task(deployments.run())
    await deployments.synced.wait()
    yield deployments
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


def existing(view: Deployments, name: str) -> ModelDeployment:
    found = view.get(name)
    assert found
    return found


async def shown(
    view: Deployments, name: str, condition: Callable[[ModelDeployment | None], bool] = lambda found: found is not None
) -> None:
    """Returns once what the view has of this name meets the condition."""
    async with asyncio.timeout(5):
        while not condition(view.get(name)):
            await view.change(name).wait()


async def test_it_follows_creation_change_and_deletion(cluster: InstrumentedCluster, view: Deployments) -> None:
    assert [one.name for one in view.all()] == ["old"]
    await create(cluster, "new", model="/models/other")
    await shown(view, "new")
    assert [one.name for one in view.of_model("/models/other")] == ["new"]
    await cluster.patch_status(MODEL_DEPLOYMENTS, "new", {"phase": "Ready"})
    await shown(view, "new", lambda found: found is not None and found.status.phase == "Ready")
    await cluster.delete(MODEL_DEPLOYMENTS, "new")
    await shown(view, "new", lambda found: found is None)
    assert list(view.of_model("/models/other")) == []


async def test_what_a_write_returned_is_seen_at_once_and_older_news_do_not_undo_it(
    cluster: InstrumentedCluster, view: Deployments
) -> None:
    created = await create(cluster, "new")
    written = await cluster.patch_status(MODEL_DEPLOYMENTS, "new", {"phase": "Ready"})
    view.put(written)
    view.put(created)
    assert existing(view, "new").status.phase == "Ready"
    await create(cluster, "later")
    await shown(view, "later")
    assert existing(view, "new").status.phase == "Ready"


async def test_what_a_write_returned_does_not_bring_back_what_is_deleted_since(
    cluster: InstrumentedCluster, view: Deployments
) -> None:
    written = await cluster.patch_status(MODEL_DEPLOYMENTS, "old", {"phase": "Ready"})
    await cluster.delete(MODEL_DEPLOYMENTS, "old")
    await shown(view, "old", lambda found: found is None)
    view.put(written)
    assert view.get("old") is None


async def test_a_successor_is_not_taken_out_with_its_predecessor(
    cluster: InstrumentedCluster, view: Deployments
) -> None:
    before = existing(view, "old")
    await cluster.delete(MODEL_DEPLOYMENTS, "old")
    view.put(await create(cluster, "old"))
    view.forget(before)
    await create(cluster, "later")
    await shown(view, "later")
    assert existing(view, "old").uid != before.uid


async def test_what_is_written_while_a_list_is_made_is_not_taken_for_gone(cluster: InstrumentedCluster) -> None:
    removed: list[str] = []
    listing = _WrittenMeanwhile(cluster)
    deployments = Deployments(listing)
    listing.on_written = deployments.put
    deployments.listen_for_removal(lambda gone: removed.append(gone.name))
    following = asyncio.create_task(deployments.run())
    async with asyncio.timeout(5):
        await deployments.synced.wait()
    assert deployments.get("new")
    assert removed == []
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


class _WrittenMeanwhile(Instrumented):
    """A cluster in which this process creates `new` before the answer to a list has come."""

    on_written: Callable[[Object], None]

    async def list(self, kind: Kind, labels: Mapping[str, str] | None = None) -> ObjectList:
        listed = await super().list(kind, labels)
        self.on_written(await create(self, "new"))
        return listed


@pytest.mark.in_memory("an API server refuses what its schema does not know")
async def test_an_object_that_is_not_understood_does_not_stop_the_view(
    cluster: InstrumentedCluster, view: Deployments
) -> None:
    await cluster.patch_status(MODEL_DEPLOYMENTS, "old", {"phase": "Levitating"})
    await create(cluster, "new")
    await shown(view, "new")
    assert view.get("new")
