"""The view of deployments: never older than the operator's own writes, however far the watch is behind."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from berth_cluster.cluster import (
    LABEL_DEPLOYMENT,
    LABEL_MANAGED_BY,
    MODEL_DEPLOYMENTS,
    PODS,
    Kind,
    NotFoundError,
    Object,
    ObjectList,
    Preconditions,
    WatchEvent,
)
from berth_local.node.cluster import LocalCluster
from berth_operator.deployments.view import Change, DeploymentView
from berth_operator.objects.parts import is_deleting, status_of
from tests.waiting import until


class LaggingCluster(LocalCluster):
    """Its watches show nothing while `lags` is set. It counts what it is asked."""

    def __init__(self) -> None:
        super().__init__({})
        self.asked: list[str] = []
        self._shows = asyncio.Event()
        self._shows.set()

    def lag(self) -> None:
        self._shows.clear()

    def catch_up(self) -> None:
        self._shows.set()

    async def get(self, kind: Kind, name: str) -> Object:
        self.asked.append(f"get {kind.plural}")
        return await super().get(kind, name)

    async def list(self, kind: Kind, labels: Mapping[str, str] | None = None) -> ObjectList:
        self.asked.append(f"list {kind.plural}")
        return await super().list(kind, labels)

    async def watch(self, kind: Kind, since: str, labels: Mapping[str, str] | None = None) -> AsyncIterator[WatchEvent]:
        async for event in super().watch(kind, since, labels):
            await self._shows.wait()
            yield event


class Scene:
    """A view that has seen one deployment and its pod, and what it has told since."""

    def __init__(self) -> None:
        self.cluster = LaggingCluster()
        self.view = DeploymentView(self.cluster)
        self.told: list[Change] = []
        self.view.listen(self.told.append)
        self._following: asyncio.Task[None] | None = None

    async def create(self, kind: Kind, name: str, **more: Any) -> Object:
        """Somebody else makes it."""
        return await self.cluster.create(kind, manifest(kind, name, **more))

    async def follow(self) -> None:
        self._following = asyncio.create_task(self.view.run())
        await until(lambda: self.view.synced)
        self.cluster.asked.clear()
        self.told.clear()

    async def caught_up(self, change: str) -> None:
        """Returns when the view has told of this: a name and a version."""
        self.cluster.catch_up()
        await until(
            lambda: change in {f"{metadata['name']} {metadata['resourceVersion']}" for metadata in self.metadata()}
        )

    def metadata(self) -> list[Object]:
        """Of each object that was told of."""
        return [change.item["metadata"] for change in self.told]

    async def close(self) -> None:
        if self._following:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)


def manifest(kind: Kind, name: str, **spec: Any) -> Object:
    labels = {LABEL_DEPLOYMENT: "smol", LABEL_MANAGED_BY: "berth-operator"} if kind == PODS else {}
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
    }


@asynccontextmanager
async def scene(*, followed: bool = True) -> AsyncGenerator[Scene]:
    scene = Scene()
    await scene.create(MODEL_DEPLOYMENTS, "smol")
    await scene.create(PODS, "smol-1", nodeName="n")
    if followed:
        await scene.follow()
    try:
        yield scene
    finally:
        await scene.close()


def versions(*items: Object) -> list[str]:
    return [item["metadata"]["resourceVersion"] for item in items]


async def test_a_look_asks_nobody() -> None:
    async with scene() as at:
        look = await at.view.look("smol")
        assert look.deployment["kind"] == "ModelDeployment"
        assert [pod["metadata"]["name"] for pod in look.pods] == ["smol-1"]
        assert not look.fresh
        assert at.cluster.asked == []


async def test_before_the_watch_has_begun_a_look_asks_the_api() -> None:
    async with scene(followed=False) as at:
        look = await at.view.look("smol")
        assert [pod["metadata"]["name"] for pod in look.pods] == ["smol-1"]
        assert look.fresh
        await at.cluster.delete(PODS, "smol-1", grace_seconds=0)
        at.cluster.finish(PODS, "smol-1", look.pods[0]["metadata"]["uid"])
        assert (await at.view.look("smol")).pods == []


async def test_own_writes_are_seen_at_once_though_the_watch_is_behind() -> None:
    async with scene() as at:
        at.cluster.lag()
        await at.view.cluster.patch_status(MODEL_DEPLOYMENTS, "smol", {"phase": "Ready"})
        await at.view.cluster.create(PODS, manifest(PODS, "smol-2"))
        look = await at.view.look("smol")
        assert status_of(look.deployment)["phase"] == "Ready"
        assert [pod["metadata"]["name"] for pod in look.pods] == ["smol-1", "smol-2"]
        assert at.cluster.asked == []


async def test_what_it_deleted_is_never_seen_as_if_it_had_not() -> None:
    async with scene() as at:
        at.cluster.lag()
        await at.view.cluster.delete(PODS, "smol-1")
        first = await at.view.look("smol")
        assert is_deleting(first.pods[0])
        assert at.cluster.asked == ["get modeldeployments", "get pods"]
        assert not (await at.view.look("smol")).fresh, "what the API said is in the view now"


async def test_once_the_watch_shows_the_deletion_nobody_is_asked() -> None:
    async with scene() as at:
        await at.view.cluster.delete(PODS, "smol-1")
        marked = await at.cluster.get(PODS, "smol-1")
        await at.caught_up(f"smol-1 {marked['metadata']['resourceVersion']}")
        at.cluster.asked.clear()
        look = await at.view.look("smol")
        assert is_deleting(look.pods[0])
        assert at.cluster.asked == []


async def test_a_deployment_that_it_deleted_is_gone() -> None:
    async with scene() as at:
        at.cluster.lag()
        before = (await at.view.look("smol")).deployment["metadata"]
        await at.view.cluster.delete(MODEL_DEPLOYMENTS, "smol", Preconditions(before["uid"], before["resourceVersion"]))
        for _ in range(2):
            with pytest.raises(NotFoundError):
                await at.view.look("smol")


async def test_a_write_whose_answer_was_lost_is_found() -> None:
    async with scene() as at:
        at.cluster.lag()
        await at.create(PODS, "smol-2")
        at.view.doubt("smol")
        look = await at.view.look("smol")
        assert [pod["metadata"]["name"] for pod in look.pods] == ["smol-1", "smol-2"]
        assert at.cluster.asked == ["get modeldeployments", "list pods"]
        assert not (await at.view.look("smol")).fresh


async def test_a_fresh_look_is_not_undone_by_the_watch() -> None:
    async with scene() as at:
        at.cluster.lag()
        old = await at.cluster.patch_status(PODS, "smol-1", {"phase": "Running"})
        await at.cluster.delete(PODS, "smol-1")
        at.cluster.finish(PODS, "smol-1", old["metadata"]["uid"])
        assert len((await at.view.look("smol")).pods) == 1, "the watch has not shown it"
        assert (await at.view.look("smol", fresh=True)).pods == []
        await at.caught_up(f"smol-1 {old['metadata']['resourceVersion']}")
        assert (await at.view.look("smol")).pods == []


async def test_one_that_was_made_again_under_the_name_is_another() -> None:
    async with scene() as at:
        first = (await at.view.look("smol")).deployment
        at.cluster.lag()
        await at.cluster.delete(MODEL_DEPLOYMENTS, "smol")
        second = await at.create(MODEL_DEPLOYMENTS, "smol")
        assert versions((await at.view.look("smol")).deployment) == versions(first)
        fresh = (await at.view.look("smol", fresh=True)).deployment
        assert fresh["metadata"]["uid"] == second["metadata"]["uid"]
        await at.caught_up(f"smol {second['metadata']['resourceVersion']}")
        again = (await at.view.look("smol")).deployment
        assert again["metadata"]["uid"] == second["metadata"]["uid"], "the end of the first is not that of the second"
        assert [change.gone for change in at.told if change.item["kind"] == "ModelDeployment"] == [True, False]


async def test_nobody_is_told_of_a_deployment_before_its_pods_are_known() -> None:
    async with scene(followed=False) as at:
        complete: list[bool] = []
        at.view.listen(lambda change: complete.append(bool(list(at.view.deployments()) and list(at.view.pods()))))
        following = asyncio.create_task(at.view.run())
        await until(lambda: len(at.told) == 2)
        following.cancel()
        assert complete == [True, True]
        assert {(change.deployment, change.item["kind"]) for change in at.told} == {
            ("smol", "ModelDeployment"),
            ("smol", "Pod"),
        }


async def test_pods_of_others_are_not_in_it() -> None:
    async with scene() as at:
        body = manifest(PODS, "theirs")
        body["metadata"]["labels"] = {"app": "theirs"}
        await at.cluster.create(PODS, body)
        mark = await at.create(PODS, "smol-2")
        await at.caught_up(f"smol-2 {mark['metadata']['resourceVersion']}")
        assert {pod["metadata"]["name"] for pod in at.view.pods()} == {"smol-1", "smol-2"}
