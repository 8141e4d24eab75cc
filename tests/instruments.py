"""Clusters that count their calls and fail on demand: what tests hold on to, whatever holds the objects."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from berth_cluster.cluster import Cluster, ClusterError, Kind, Object, ObjectList, Preconditions, WatchEvent


class InstrumentedCluster(Cluster, Protocol):
    """`calls` counts the calls of each method."""

    calls: Counter[str]

    def fail_next(self, method: str, error: ClusterError) -> None:
        """The next call of the method raises the error instead."""
        ...


class Instruments:
    """The counts and the failures to come."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._failures: dict[str, list[ClusterError]] = {}

    def fail_next(self, method: str, error: ClusterError) -> None:
        """The next call of the method raises the error instead."""
        self._failures.setdefault(method, []).append(error)

    def called(self, method: str) -> None:
        """Counts a call. Raises what it is to fail with."""
        self.calls[method] += 1
        failures = self._failures.get(method)
        if failures:
            raise failures.pop(0)


class Instrumented(Instruments):
    """Another cluster, with instruments."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self._cluster = cluster
        self.namespace: str = getattr(cluster, "namespace", "")

    async def get(self, kind: Kind, name: str) -> Object:
        self.called("get")
        return await self._cluster.get(kind, name)

    async def list(self, kind: Kind, labels: Mapping[str, str] | None = None) -> ObjectList:
        self.called("list")
        return await self._cluster.list(kind, labels)

    async def watch(self, kind: Kind, since: str, labels: Mapping[str, str] | None = None) -> AsyncIterator[WatchEvent]:
        self.called("watch")
        async for event in self._cluster.watch(kind, since, labels):
            yield event

    async def create(self, kind: Kind, manifest: Object) -> Object:
        self.called("create")
        return await self._cluster.create(kind, manifest)

    async def judge(self, kind: Kind, manifest: Object) -> None:
        self.called("judge")
        await self._cluster.judge(kind, manifest)

    async def patch(self, kind: Kind, name: str, patch: Object, preconditions: Preconditions | None = None) -> Object:
        self.called("patch")
        return await self._cluster.patch(kind, name, patch, preconditions)

    async def patch_status(
        self, kind: Kind, name: str, status: Object, preconditions: Preconditions | None = None
    ) -> Object:
        self.called("patch_status")
        return await self._cluster.patch_status(kind, name, status, preconditions)

    async def delete(
        self,
        kind: Kind,
        name: str,
        preconditions: Preconditions | None = None,
        grace_seconds: int | None = None,
    ) -> None:
        self.called("delete")
        await self._cluster.delete(kind, name, preconditions, grace_seconds)
