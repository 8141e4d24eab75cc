"""A cluster with a node, engines and an operator, in virtual time; `faulty_cluster.py` has what befalls the operator.

Everything that happens is written down, and what must always hold is read from that.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from berth_cluster.cluster import (
    EVENTS,
    JOBS,
    PODS,
    Cluster,
    Kind,
    NotFoundError,
    Object,
    Preconditions,
)
from berth_cluster.following import Snapshot, follow
from berth_local.node.admission import SCHEMAS, Admit
from berth_local.node.cluster import LocalCluster
from berth_operator.engines.context import EngineContext
from berth_operator.objects.parts import status_of
from tests.unit.operator.faulty_cluster import OperatorsCluster, by_operator
from tests.unit.virtual_time import wall_clock

PATIENCE_SECONDS = 600
"""Of virtual time, for anything that is waited for."""


READ = "read"
"""In the history: a round begins to read."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of an object, or an answer of an engine that turned, or the beginning of an operator."""

    at: float
    by_operator: bool
    what: str
    """Plural of the object's kind; or "engine", "operator", READ."""
    type: str = ""
    object: Object = field(default_factory=dict[str, Any])


class RecordingCluster(LocalCluster):
    """Writes down each change, with its time and who made it."""

    def __init__(self, history: list[Change], changed: asyncio.Event, admission: Mapping[str, Admit]) -> None:
        super().__init__(admission, clock=wall_clock)
        self._record = history
        self._news = changed

    def _publish(self, change: Literal["ADDED", "MODIFIED", "DELETED"], plural: str, item: Object) -> None:
        super()._publish(change, plural, item)
        now = asyncio.get_running_loop().time()
        self._record.append(Change(now, by_operator.get(), plural, change, self._history[-1][2].object))
        self._news.set()


class Operator:
    """What a running operator is to the world: it watches, and is ended."""

    def __init__(self, watching: Sequence[Coroutine[Any, Any, None]], close: Callable[[], Awaitable[None]]) -> None:
        self.watching = watching
        self.close = close


class World:
    """Use as an async context, on a loop of virtual time."""

    def __init__(
        self, begin: Callable[[Cluster, "World"], Operator], kind: Kind, admission: Mapping[str, Admit] = SCHEMAS
    ) -> None:
        """`begin` makes an operator for objects of this kind. `admission`: what the cluster lets in."""
        self.history: list[Change] = []
        self.changed = asyncio.Event()
        self.cluster = RecordingCluster(self.history, self.changed, admission)
        self._begin = begin
        self.kind = kind
        self._killed = asyncio.Event()
        self.operators = OperatorsCluster(self.cluster, self._killed.set, self.note_read)
        self.engines: dict[str, Literal["loading", "answers", "hangs"]] = {}
        """What the engine of each pod does, by the pod's address."""
        self._heard: dict[str, str | None] = {}
        """What it did when the present operator last asked."""
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "World":
        self._tasks = [asyncio.create_task(work) for work in (self._node(), self._keep_operator())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def context(self, url: str, seconds: float, owner: str = "") -> EngineContext | None:
        return EngineContext(2048, 8192)

    async def ask(self, url: str, seconds: float) -> str | None:
        address = url.removeprefix("http://").partition(":")[0]
        if self._heard.get(address) != self.engines.get(address):
            self._heard[address] = self.engines.get(address)
            self.note("engine")
        match self.engines.get(address):
            case "answers":
                return None
            case "hangs":
                await asyncio.sleep(seconds)
                return f"no answer within {seconds:g} s"
            case _:
                return "nobody listens"

    async def until(
        self, holds: Callable[[Object | None], object], name: str = "smol", patience: float = PATIENCE_SECONDS
    ) -> Object | None:
        """The object of the operator's kind as soon as this holds of it; None where there is none."""
        async with asyncio.timeout(patience):
            while True:
                self.changed.clear()
                try:
                    found = await self.cluster.get(self.kind, name)
                except NotFoundError:
                    found = None
                if holds(found):
                    return found
                await self.changed.wait()

    async def until_pods(self, holds: Callable[[list[Object]], object]) -> None:
        """Returns as soon as this holds of all pods."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds(list((await self.cluster.list(PODS)).items)):
                self.changed.clear()
                await self.changed.wait()

    async def pods(self) -> list[Object]:
        """Those that nobody has deleted."""
        return [pod for pod in (await self.cluster.list(PODS)).items if "deletionTimestamp" not in pod["metadata"]]

    async def engine_turns(self, doing: Literal["answers", "hangs"]) -> None:
        """What the engine does from now on whose pod nobody has deleted."""
        [pod] = await self.pods()
        self.engines[pod["status"]["podIP"]] = doing

    async def container_ends(self, **terminated: Any) -> None:
        """The container ends of the pod that nobody has deleted."""
        [pod] = await self.pods()
        self.engines.pop(pod["status"].get("podIP", ""), None)
        state = {"name": pod["spec"]["containers"][0]["name"], "state": {"terminated": {"exitCode": 1, **terminated}}}
        phase = "Failed" if terminated.get("exitCode", 1) else "Succeeded"
        await self.cluster.patch_status(PODS, pod["metadata"]["name"], {"phase": phase, "containerStatuses": [state]})

    def node_dies(self) -> None:
        """Nothing of pods is heard any more, and none runs."""
        self._tasks[0].cancel()

    def another_node_comes(self) -> None:
        """Pods that are made from now on run."""
        self._tasks[0] = asyncio.create_task(self._node())

    def note(self, what: str) -> None:
        """Writes down what happened outside of the cluster."""
        self.history.append(Change(asyncio.get_running_loop().time(), by_operator=False, what=what))
        self.changed.set()

    def note_read(self) -> None:
        """Writes down that a round begins to read."""
        self.history.append(Change(asyncio.get_running_loop().time(), by_operator=True, what=READ))

    async def _keep_operator(self) -> None:
        """An operator, and after it is killed another one."""
        while True:
            self._killed.clear()
            self._heard.clear()
            self.note("operator")
            async with _running(self._begin(self.operators, self)):
                await self._killed.wait()

    async def _node(self) -> None:
        """Scheduler and kubelet: a pod runs a moment after it was made, and goes a moment after it is deleted."""
        running: dict[str, asyncio.Task[None]] = {}
        try:
            async for news in follow(self.cluster, PODS):
                for pod in news.items if isinstance(news, Snapshot) else [news.object]:
                    uid = pod["metadata"]["uid"]
                    if uid not in running and pod["spec"].get("nodeName"):
                        continue  # of another node
                    if uid not in running:
                        running[uid] = asyncio.create_task(self._run(pod, f"10.0.0.{len(running) + 1}"))
                    elif "deletionTimestamp" in pod["metadata"] and not running[uid].done():
                        running[uid].cancel()
                        running[uid] = asyncio.create_task(self._end(pod))
        finally:
            for task in running.values():
                task.cancel()

    async def _run(self, pod: Object, address: str) -> None:
        metadata, containers = pod["metadata"], pod["spec"]["containers"]
        own = Preconditions(metadata["uid"])
        await asyncio.sleep(0.05)
        await self.cluster.patch(PODS, metadata["name"], {"spec": {"nodeName": "node1"}}, own)
        await asyncio.sleep(0.05)
        state = {"name": containers[0]["name"], "state": {"running": {"startedAt": "2026-01-02T12:00:00Z"}}}
        status = {"phase": "Running", "podIP": address, "containerStatuses": [state]}
        await self.cluster.patch_status(PODS, metadata["name"], status, own)
        self.engines[address] = "loading"
        await asyncio.sleep(0.05)
        self.engines[address] = "answers"
        await asyncio.Event().wait()

    async def _end(self, pod: Object) -> None:
        await asyncio.sleep(0.3)
        self.engines.pop(status_of(pod).get("podIP", ""), None)
        self.cluster.finish(PODS, pod["metadata"]["name"], pod["metadata"]["uid"])

    # What must always hold

    def writes_without_news(self) -> list[float]:
        """Seconds between each two status writes to one object of which only the operator itself caused the second.

        What happened after the read that the first one follows from is news for the second.
        """
        told = [change for change in self.history if change.what != EVENTS.plural]
        reads = [at for at, change in enumerate(told) if change.what == READ]
        mine = [
            at
            for at, change in enumerate(told)
            if change.by_operator and change.what == self.kind.plural and change.type == "MODIFIED"
        ]
        return [
            told[after].at - told[before].at
            for before, after in pairwise(mine)
            if all(change.by_operator for change in told[max(at for at in reads if at < before) : after])
        ]

    def writes(self) -> int:
        """How many changes there were of objects."""
        return sum(1 for change in self.history if change.object)

    def made(self, kind: Kind) -> Counter[str]:
        """How often an object of each name was made."""
        return Counter(
            change.object["metadata"]["name"]
            for change in self.history
            if change.what == kind.plural and change.type == "ADDED"
        )

    def told(self, read: Callable[[Object], Any]) -> list[Any]:
        """What was ever said in the status of the operator's objects, as `read` takes it from a status."""
        statuses: list[Object] = [
            status_of(change.object)
            for change in self.history
            if change.what == self.kind.plural and change.type == "MODIFIED"
        ]
        return [read(status) for status in statuses]

    def check(self) -> None:
        """Raises AssertionError where anything does not hold that always must."""
        gaps = self.writes_without_news()
        assert all(gap >= 1 - 1e-6 for gap in gaps), gaps
        twice = {name: times for kind in (PODS, JOBS) for name, times in self.made(kind).items() if times > 1}
        assert not twice, twice


@asynccontextmanager
async def _running(operator: Operator) -> AsyncGenerator[None]:
    """An operator that watches."""
    tasks = [asyncio.create_task(watch) for watch in operator.watching]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await operator.close()
