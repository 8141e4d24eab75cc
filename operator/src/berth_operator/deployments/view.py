"""The watched view of deployments and their pods: what a round of the reconciler looks at, instead of asking the API.

A decision is never made on a state older than this operator's own writes. What a write returns is in the view at once.
Where that is not known, as after a write that failed, the next look asks the API, and the view has what that found.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from berth_api.model_deployment import NAME_LENGTH
from berth_cluster.cluster import (
    LABEL_DEPLOYMENT,
    LABEL_MANAGED_BY,
    MODEL_DEPLOYMENTS,
    PODS,
    Cluster,
    Kind,
    NotFoundError,
    Object,
    ObjectList,
    Preconditions,
    WatchEvent,
)
from berth_cluster.following import follow
from berth_operator.deployments.newest import NewestObjects
from berth_operator.objects.parts import is_deleting, labels_of
from berth_operator.resources.pod import MANAGER


@dataclass(frozen=True, slots=True)
class Change:
    """Something of a deployment has changed, and the view has it."""

    deployment: str
    """The deployment's name."""
    item: Object
    """The deployment or the pod, as it is now."""
    gone: bool
    """The object has ended; `item` is what it was."""


@dataclass(frozen=True, slots=True)
class Look:
    """One deployment and the pods that carry its name."""

    deployment: Object
    pods: list[Object]
    fresh: bool
    """The API was asked just now."""


class DeploymentView:
    """Every deployment and every pod of one. `run` keeps it up to date; without that every look asks the API."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._deployments = NewestObjects()
        self._pods = NewestObjects(LABEL_DEPLOYMENT)
        self._of_kind = {MODEL_DEPLOYMENTS.plural: self._deployments, PODS.plural: self._pods}
        self._listeners: list[Callable[[Change], None]] = []
        self._listed = set[str]()
        """The kinds whose first list is in the view."""
        self._doubted = set[str]()
        """Deployments of which the view may be older than a write of this operator."""
        self._deleted: dict[str, set[str]] = {}
        """uids of what this operator has deleted, by deployment, while the view may show it as if it had not."""
        self.cluster: Cluster = _WritingThrough(cluster, self)
        """The same cluster. What is written through it is in the view at once."""

    @property
    def synced(self) -> bool:
        """Whether all that there was when `run` began is in the view."""
        return len(self._listed) == len(self._of_kind)

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Calls `listener` with each change once the view has it, and with every object once the view is complete."""
        self._listeners.append(listener)

    async def run(self) -> None:
        """Keeps the view up to date, for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(MODEL_DEPLOYMENTS, None))
            group.create_task(self._follow(PODS, {LABEL_MANAGED_BY: MANAGER}))

    def deployments(self) -> Iterator[Object]:
        """Every deployment. Each is read from its text when its turn comes: 20 µs."""
        return self._deployments.all()

    def pods(self) -> Iterator[Object]:
        """Every pod of a deployment, also of one that is gone."""
        return self._pods.all()

    def pods_of(self, name: str) -> list[Object]:
        """The pods that carry the deployment's name, whoever owns them."""
        return self._pods.group(name)

    async def look(self, name: str, *, fresh: bool = False) -> Look:
        """The deployment of this name and its pods. `fresh`: ask the API in any case. Raises ClusterError.

        The view itself raises nothing but NotFoundError.
        """
        ask = fresh or not self._is_sure_of(name)
        if ask:
            await self._read(name)
        deployment = self._deployments.get(name)
        if deployment is None:
            raise NotFoundError(f'{MODEL_DEPLOYMENTS.plural} "{name}" not found')
        return Look(deployment, self.pods_of(name), ask)

    def doubt(self, name: str) -> None:
        """The next look at this deployment asks the API: a write failed, or met what the view does not have."""
        self._doubted.add(name)

    def forget(self, name: str) -> None:
        """The deployment is gone, and nobody looks at it any more."""
        self._doubted.discard(name)
        self._deleted.pop(name, None)

    def put(self, kind: Kind, item: Object) -> None:
        """Takes in what a write or a read has returned."""
        if kind.plural in self._of_kind:
            self._of_kind[kind.plural].put(item)

    def deleting(self, kind: Kind, name: str) -> None:
        """This operator deletes the object. Until the view shows that, a look at its deployment asks the API."""
        objects = self._of_kind.get(kind.plural)
        item = objects.get(name) if objects else None
        if item:
            self._deleted.setdefault(_owner(kind, item), set()).add(item["metadata"]["uid"])

    def _is_sure_of(self, name: str) -> bool:
        """Whether the view of this deployment is as new as this operator's writes."""
        if not self.synced or name in self._doubted:
            return False
        if name in self._deleted:
            deployment = self._deployments.get(name)
            shown = [*self.pods_of(name), *([deployment] if deployment else [])]
            self._deleted[name] &= {item["metadata"]["uid"] for item in shown if not is_deleting(item)}
            if self._deleted[name]:
                return False
            del self._deleted[name]
        return True

    async def _read(self, name: str) -> None:
        """Asks the API for all of this deployment. Then the view is as new as the answers."""
        await asyncio.gather(self._read_deployment(name), self._read_pods(name))
        self.forget(name)

    async def _read_deployment(self, name: str) -> None:
        known = self._deployments.uid(name)
        await self._read_one(MODEL_DEPLOYMENTS, name, known)

    async def _read_pods(self, name: str) -> None:
        known = self._pods.uids(name)
        if self.synced and name not in self._doubted:  # then it has every pod, and only their states may be old
            await asyncio.gather(*(self._read_one(PODS, pod, uid) for pod, uid in known.items()))
            return
        if len(name) > NAME_LENGTH:  # the name cannot be a label: no pod has it, and the API server refuses the list
            return
        listed = (await self._cluster.list(PODS, {LABEL_DEPLOYMENT: name})).items
        for pod in listed:
            self._pods.put(pod)
        present = {pod["metadata"]["uid"] for pod in listed}
        for pod, uid in known.items():
            if uid not in present:
                self._pods.lose(uid, pod)

    async def _read_one(self, kind: Kind, name: str, known: str | None) -> None:
        """Asks the API for one object. `known`: the uid that the view has had of it before."""
        objects = self._of_kind[kind.plural]
        try:
            objects.put(await self._cluster.get(kind, name))
        except NotFoundError:
            if known:
                objects.lose(known, name)

    async def _follow(self, kind: Kind, labels: Mapping[str, str] | None) -> None:
        objects = self._of_kind[kind.plural]
        async for change in follow(self._cluster, kind, labels):
            if isinstance(change, WatchEvent):
                objects.show(change)
                self._tell(kind, [change.object], gone=change.type == "DELETED")
                continue
            news, ended = objects.show_all(change)
            del change  # it may be large, and the next change may come late
            self._tell(kind, news, gone=False)
            self._tell(kind, ended, gone=True)
            del news, ended
            if self.synced:
                continue
            self._listed.add(kind.plural)
            if self.synced:
                self._tell(MODEL_DEPLOYMENTS, self.deployments(), gone=False)
                self._tell(PODS, self.pods(), gone=False)

    def _tell(self, kind: Kind, items: Iterable[Object], *, gone: bool) -> None:
        if not self.synced:
            return
        for item in items:
            owner = _owner(kind, item)
            for listener in self._listeners if owner else ():
                listener(Change(owner, item, gone))


class _WritingThrough:
    """The cluster, for a view: what it answers is in the view at once. Implements `berth_cluster.cluster.Cluster`."""

    def __init__(self, cluster: Cluster, view: DeploymentView) -> None:
        self._cluster = cluster
        self._view = view

    async def get(self, kind: Kind, name: str) -> Object:
        return self._seen(kind, await self._cluster.get(kind, name))

    async def list(self, kind: Kind, labels: Mapping[str, str] | None = None) -> ObjectList:
        return await self._cluster.list(kind, labels)

    def watch(self, kind: Kind, since: str, labels: Mapping[str, str] | None = None) -> AsyncIterator[WatchEvent]:
        return self._cluster.watch(kind, since, labels)

    async def create(self, kind: Kind, manifest: Object) -> Object:
        return self._seen(kind, await self._cluster.create(kind, manifest))

    async def judge(self, kind: Kind, manifest: Object) -> None:
        await self._cluster.judge(kind, manifest)

    async def patch(self, kind: Kind, name: str, patch: Object, preconditions: Preconditions | None = None) -> Object:
        return self._seen(kind, await self._cluster.patch(kind, name, patch, preconditions))

    async def patch_status(
        self, kind: Kind, name: str, status: Object, preconditions: Preconditions | None = None
    ) -> Object:
        return self._seen(kind, await self._cluster.patch_status(kind, name, status, preconditions))

    async def delete(
        self,
        kind: Kind,
        name: str,
        preconditions: Preconditions | None = None,
        grace_seconds: int | None = None,
    ) -> None:
        self._view.deleting(kind, name)
        await self._cluster.delete(kind, name, preconditions, grace_seconds)

    def _seen(self, kind: Kind, item: Object) -> Object:
        self._view.put(kind, item)
        return item


def _owner(kind: Kind, item: Object) -> str:
    """The name of the deployment that the object is, or belongs to. Empty: of none."""
    return item["metadata"]["name"] if kind == MODEL_DEPLOYMENTS else labels_of(item).get(LABEL_DEPLOYMENT, "")
