"""When this process's watch has shown each object first."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager

from berth_cluster.cluster import Cluster, Kind, Object, WatchEvent
from berth_cluster.following import follow

PATIENCE_SECONDS = 120


class Sightings:
    """Of the objects of a kind with some labels."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        """When each was first seen, in monotonic seconds; what was there before has the time of the list."""
        self.newest: dict[str, Object] = {}
        self._changed = asyncio.Event()
        self._listed = asyncio.Event()

    async def follow(self, cluster: Cluster, kind: Kind, labels: Mapping[str, str]) -> None:
        """Watches, for ever."""
        async for change in follow(cluster, kind, labels):
            now = time.monotonic()
            for item in [change.object] if isinstance(change, WatchEvent) else change.items:
                name = item["metadata"]["name"]
                self.at.setdefault(name, now)
                self.newest[name] = item
            self._listed.set()
            self._changed.set()
            self._changed = asyncio.Event()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Returns once this holds. Raises TimeoutError after PATIENCE_SECONDS without that."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._listed.wait()
            while True:
                changed = self._changed
                if holds():
                    return
                await changed.wait()


@asynccontextmanager
async def watching(cluster: Cluster, kind: Kind, labels: Mapping[str, str]) -> AsyncGenerator[Sightings]:
    """A watch that is open while the context is."""
    sightings = Sightings()
    task = asyncio.create_task(sightings.follow(cluster, kind, labels))
    try:
        await sightings.until(lambda: True)
        yield sightings
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
