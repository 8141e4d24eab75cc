"""What the cluster shows of a run while it happens, stamped with the benchmark's own clock."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Self, TypeVar

from benchmarks.steps import Sighting
from berth_cluster.cluster import MODEL_DEPLOYMENTS, PODS, Cluster, Kind, Object
from berth_cluster.following import Snapshot, follow

T = TypeVar("T")
Objects = Mapping[str, Object]
"""Objects of one kind that exist now, by name."""


class ClusterWatch:
    """Watches the deployments and pods of a namespace. Use as an async context; inside it, both watches are open."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._objects: dict[Kind, dict[str, Object]] = {}
        self._changed = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []
        self.sightings: list[Sighting] = []
        """What the watches have shown since the last `forget`."""

    async def __aenter__(self) -> Self:
        """Waits for the first snapshot of both kinds."""
        self._tasks = [asyncio.create_task(self._follow(kind)) for kind in (MODEL_DEPLOYMENTS, PODS)]
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._objects) == len(self._tasks))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def forget(self) -> None:
        """Starts a new list of sightings."""
        self.sightings = []

    async def until(self, found: Callable[[Objects, Objects], T | None]) -> T:
        """Waits until `found` returns something for the deployments and the pods. What it returns."""
        async with self._changed:
            while (result := found(self._objects[MODEL_DEPLOYMENTS], self._objects[PODS])) is None:
                await self._changed.wait()
        return result

    async def _follow(self, kind: Kind) -> None:
        async for change in follow(self._cluster, kind):
            at = time.monotonic()
            if isinstance(change, Snapshot):
                shown, gone = change.items, set(self._objects.get(kind, {}))
                self._objects[kind] = {}
            else:
                name = change.object["metadata"]["name"]
                shown, gone = ([], {name}) if change.type == "DELETED" else ([change.object], set[str]())
            for name in gone:
                self._objects[kind].pop(name, None)
            self._objects[kind].update({item["metadata"]["name"]: item for item in shown})
            self.sightings += [Sighting(at, kind, item) for item in shown]
            async with self._changed:
                self._changed.notify_all()
