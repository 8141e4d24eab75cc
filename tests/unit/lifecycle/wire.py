"""A cluster in virtual time that reports each write, and each replica's way to it: slow, broken, cut or late."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping
from contextvars import ContextVar
from typing import Any, Literal, NoReturn

from berth_cluster.cluster import ConflictError, Kind, Object, ObjectList, Preconditions, UnavailableError, WatchEvent
from berth_local.node.cluster import LocalCluster
from tests.unit.virtual_time import wall_clock

Outcome = Literal["works", "fails", "lost", "slow", "late"]
"""Of a write. lost: it is done, and its answer is lost. slow: it is done later. late: its answer comes later."""

SLOW_SECONDS = 2.0
"""Together with all other delays, this stays below the 5 s that a renewal may take."""

writer: ContextVar[str] = ContextVar("writer", default="nobody")
"""Who makes the present call."""


def seconds() -> float:
    """The loop's clock."""
    return asyncio.get_running_loop().time()


class Store(LocalCluster):
    """Reports each change at once, and who made it."""

    def __init__(self, observer: Callable[[str, str, Object], None]) -> None:
        super().__init__({}, wall_clock)
        self._observer = observer
        self.changed = asyncio.Event()

    def _publish(self, change: Literal["ADDED", "MODIFIED", "DELETED"], plural: str, item: Object) -> None:
        super()._publish(change, plural, item)
        self._observer(change, writer.get(), item)
        self.changed.set()


class Wire:
    """The cluster as one process of a router reaches it."""

    def __init__(self, store: Store, who: str) -> None:
        self._store = store
        self._who = who
        self.dead = False
        self.outcomes: list[Outcome] = []
        """What becomes of the next writes."""
        self.out_until = 0.0
        """Until when all writes fail."""
        self.lag = 0.0
        """Seconds by which watches are late."""
        self.tries: defaultdict[str, list[float]] = defaultdict(list)
        """When a write of a lease was tried, without those of an unload; by uid of the object."""

    async def get(self, kind: Kind, name: str) -> Object:
        await self._reached()
        return await self._store.get(kind, name)

    async def list(self, kind: Kind, labels: Mapping[str, str] | None = None) -> ObjectList:
        return await self._store.list(kind, labels)

    async def watch(self, kind: Kind, since: str, labels: Mapping[str, str] | None = None) -> AsyncIterator[WatchEvent]:
        async for event in self._store.watch(kind, since, labels):
            if self.lag:
                await asyncio.sleep(self.lag)
            yield event

    async def create(self, kind: Kind, manifest: Object) -> Object:
        await self._reached()
        writer.set(self._who)
        return await self._store.create(kind, manifest)

    async def judge(self, kind: Kind, manifest: Object) -> NoReturn:
        raise AssertionError("a router has nothing judged")

    async def patch(self, kind: Kind, name: str, patch: Object, preconditions: Preconditions | None = None) -> NoReturn:
        raise AssertionError("a router patches no spec")

    async def delete(
        self, kind: Kind, name: str, preconditions: Preconditions | None = None, grace_seconds: int | None = None
    ) -> None:
        await self._reached()
        writer.set(self._who)
        await self._store.delete(kind, name, preconditions, grace_seconds)

    async def patch_status(
        self, kind: Kind, name: str, status: Object, preconditions: Preconditions | None = None
    ) -> Object:
        (entry,) = status["activity"].values()
        assert preconditions
        assert preconditions.uid
        tries = self.tries[preconditions.uid]
        if not {"closedUntil", "unloadAt"} & entry.keys():
            tries.append(seconds())
        outcome = self.outcomes.pop(0) if self.outcomes else "works"
        if outcome == "fails":
            raise UnavailableError("it fails")
        await self._reached()
        # A write that was sent arrives, even if its sender dies.
        writing = asyncio.create_task(
            self._arrive(kind, name, status, preconditions, SLOW_SECONDS if outcome == "slow" else 0)
        )
        writing.add_done_callback(_seen)
        try:
            written = await asyncio.shield(writing)
        except ConflictError:
            await self._alive()
            if tries:
                tries.pop()
            raise
        await self._alive()
        if outcome == "late":
            await asyncio.sleep(SLOW_SECONDS)
        if outcome == "lost":
            raise UnavailableError("the answer is lost")
        return written

    async def _arrive(
        self, kind: Kind, name: str, status: Object, preconditions: Preconditions, delay: float
    ) -> Object:
        writer.set(self._who)
        await asyncio.sleep(delay)
        return await self._store.patch_status(kind, name, status, preconditions)

    async def _reached(self) -> None:
        await self._alive()
        if seconds() < self.out_until:
            raise UnavailableError("it cannot be reached")

    async def _alive(self) -> None:
        if self.dead:
            await asyncio.Event().wait()


def _seen(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()
