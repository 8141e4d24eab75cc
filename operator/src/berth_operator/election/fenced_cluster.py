"""The cluster for who leads: it takes no write of an operator that leads no more."""

from collections.abc import AsyncIterator, Callable, Mapping

from berth_cluster.cluster import Cluster, Kind, Object, ObjectList, Preconditions, UnavailableError, WatchEvent


def fenced(cluster: Cluster, leads: Callable[[], bool]) -> Cluster:
    """The same cluster, whose writes need the lead: otherwise they raise UnavailableError.

    A process that was stopped for a minute and goes on has tasks that are about to write, before a timer has told it
    that another operator leads by now.
    """
    return _FencedCluster(cluster, leads)


class _FencedCluster:
    """Implements `berth_cluster.cluster.Cluster`."""

    def __init__(self, cluster: Cluster, leads: Callable[[], bool]) -> None:
        self._cluster = cluster
        self._leads = leads

    async def get(self, kind: Kind, name: str) -> Object:
        return await self._cluster.get(kind, name)

    async def list(self, kind: Kind, labels: Mapping[str, str] | None = None) -> ObjectList:
        return await self._cluster.list(kind, labels)

    def watch(self, kind: Kind, since: str, labels: Mapping[str, str] | None = None) -> AsyncIterator[WatchEvent]:
        return self._cluster.watch(kind, since, labels)

    async def create(self, kind: Kind, manifest: Object) -> Object:
        self._require_lead()
        return await self._cluster.create(kind, manifest)

    async def judge(self, kind: Kind, manifest: Object) -> None:
        await self._cluster.judge(kind, manifest)

    async def patch(self, kind: Kind, name: str, patch: Object, preconditions: Preconditions | None = None) -> Object:
        self._require_lead()
        return await self._cluster.patch(kind, name, patch, preconditions)

    async def patch_status(
        self, kind: Kind, name: str, status: Object, preconditions: Preconditions | None = None
    ) -> Object:
        self._require_lead()
        return await self._cluster.patch_status(kind, name, status, preconditions)

    async def delete(
        self,
        kind: Kind,
        name: str,
        preconditions: Preconditions | None = None,
        grace_seconds: int | None = None,
    ) -> None:
        self._require_lead()
        await self._cluster.delete(kind, name, preconditions, grace_seconds)

    def _require_lead(self) -> None:
        if not self._leads():
            raise UnavailableError("another operator leads")
