"""The cluster as an operator has it, whose calls fail where a test says so."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from enum import Enum, auto
from typing import Any

from berth_cluster.cluster import (
    Cluster,
    ClusterError,
    Kind,
    Object,
    ObjectList,
    Preconditions,
    UnavailableError,
    WatchEvent,
)

by_operator: ContextVar[bool] = ContextVar("by_operator", default=False)
"""Whether the operator makes the change that is being made."""


class Fault(Enum):
    """What befalls one call of the operator."""

    FAILS_BEFORE = auto()
    """It raises, and has done nothing."""
    FAILS_AFTER = auto()
    """It raises, and has taken effect."""
    KILLS_BEFORE = auto()
    """The operator is killed in the middle of it; it has done nothing. Another one begins."""
    KILLS_AFTER = auto()
    """The operator is killed in the middle of it; it has taken effect."""


class OperatorsCluster:
    """The cluster as the operator has it: its calls are counted, and one of them meets a fault."""

    def __init__(self, cluster: Cluster, die: Callable[[], None], reads: Callable[[], None]) -> None:
        """`die` is called to kill the operator, `reads` whenever a round begins to read."""
        self._cluster = cluster
        self._die = die
        self._reads = reads
        self._before: dict[str, Callable[[], Awaitable[None]]] = {}
        self._refused: dict[tuple[str, str], ClusterError] = {}
        self._refusals = 0
        self._fault: Fault | None = None
        self._at = 0
        self.verdict: ClusterError | None = None
        """What the cluster says of every object that it is to judge. None: it refuses none."""
        self.judged: list[Object] = []
        """What it was to judge."""
        self.calls: list[str] = []
        """The methods called."""

    def meet(self, fault: Fault | None, at: int) -> None:
        """From now on calls are counted anew, and this is what befalls the one of this number."""
        self._fault, self._at, self.calls = fault, at, []

    async def get(self, kind: Kind, name: str) -> Object:
        self._reads()
        return await self._call(self._cluster.get(kind, name))

    async def list(self, kind: Kind, labels: Mapping[str, str] | None = None) -> ObjectList:
        if labels is None:
            self._reads()
        return await self._call(self._cluster.list(kind, labels))

    def watch(self, kind: Kind, since: str, labels: Mapping[str, str] | None = None) -> AsyncIterator[WatchEvent]:
        return self._cluster.watch(kind, since, labels)

    def before(self, method: str, happens: Callable[[], Awaitable[None]]) -> None:
        """This happens right before the next call of the method."""
        self._before[method] = happens

    def refuse(self, method: str, kind: Kind, error: ClusterError) -> None:
        """The cluster refuses the next two calls of the method for this kind."""
        self._refused[method, kind.plural] = error

    async def create(self, kind: Kind, manifest: Object) -> Object:
        if error := self._refused.get(("create", kind.plural)):
            self._refusals += 1
            if self._refusals == 2:
                del self._refused["create", kind.plural]
            raise error
        return await self._call(self._cluster.create(kind, manifest))

    async def judge(self, kind: Kind, manifest: Object) -> None:
        self.judged.append(manifest)
        if self.verdict:
            raise self.verdict
        await self._call(self._cluster.judge(kind, manifest))

    async def patch(self, kind: Kind, name: str, patch: Object, preconditions: Preconditions | None = None) -> Object:
        return await self._call(self._cluster.patch(kind, name, patch, preconditions))

    async def patch_status(
        self, kind: Kind, name: str, status: Object, preconditions: Preconditions | None = None
    ) -> Object:
        return await self._call(self._cluster.patch_status(kind, name, status, preconditions))

    async def delete(
        self,
        kind: Kind,
        name: str,
        preconditions: Preconditions | None = None,
        grace_seconds: int | None = None,
    ) -> None:
        await self._call(self._cluster.delete(kind, name, preconditions, grace_seconds))

    async def _call(self, call: Coroutine[Any, Any, Any]) -> Any:
        if happens := self._before.pop(call.__name__, None):
            await happens()
        self.calls.append(call.__name__)
        fault = self._fault if len(self.calls) == self._at else None
        token = by_operator.set(True)
        try:
            if fault in (Fault.FAILS_BEFORE, Fault.KILLS_BEFORE):
                await asyncio.sleep(0)
                call.close()
            else:
                answer = await call
        finally:
            by_operator.reset(token)
        if fault in (Fault.FAILS_BEFORE, Fault.FAILS_AFTER):
            raise UnavailableError("it broke off")
        if fault:
            self._die()
            await asyncio.Event().wait()
        return answer  # pyright: ignore[reportPossiblyUnboundVariable]


def points(calls: Sequence[str], fault: Fault) -> list[int]:
    """The numbers of the calls at which this fault is to be tried.

    A read has no effect to be lost: it fails before that, and not after. Of reads that are made together the first one
    fails.
    """
    reads = ("get", "list", "judge")
    if fault in (Fault.FAILS_AFTER, Fault.KILLS_AFTER):
        return [number for number, method in enumerate(calls, 1) if method not in reads]
    return [
        number
        for number, method in enumerate(calls, 1)
        if not (number > 1 and method in reads and calls[number - 2] in reads)
    ]
