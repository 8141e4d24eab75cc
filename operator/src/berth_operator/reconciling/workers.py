"""One worker for each name, however often the name is woken.

A round comes at once where somebody else has changed something. Any other round waits: at least a second after the last
write, and after the round before it where that was of the same kind. So no mistake of a reconciler can make it spin.
What a worker has written or read itself is no change of somebody else when the watch shows it. Neither is the end of an
object that it has deleted.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from berth_cluster.cluster import ClusterError, ConflictError, NotFoundError, Object
from berth_operator.reconciling.metrics import ReconcileMetrics
from berth_process.backoff import exponential

_log = structlog.get_logger(__name__)

PACE_SECONDS = 1.0
"""Seconds between two writes of one object, and between two rounds, where nobody else has changed anything."""

_FIRST_RETRY_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 30.0

_REMEMBERED = 64
"""Versions of one name's objects that the watch may still have to show."""

_STRANGE_CONFLICTS = 5
"""So many in a row are logged: other writers are not that fast."""

Version = tuple[str, str]
"""An object at one moment: its uid and its resourceVersion."""


@dataclass(slots=True)
class _Worker:
    """What is known of one name."""

    name: str
    seen: set[Version | None] = field(default_factory=set["Version | None"])
    """The objects that woke it since its last round began. None: it was woken without one."""
    bell: "asyncio.Future[None] | None" = None
    """Done when something wakes it, where it waits for that. (An event has 800 bytes.)"""
    known: list[Version] = field(default_factory=list[Version])
    """The objects that it has written or read, the last _REMEMBERED of them. (An empty deque has 700 bytes.)"""
    deleted: list[str] = field(default_factory=list[str])
    """uids of the objects that it has deleted, the last _REMEMBERED of them."""
    wrote_at: float = float("-inf")
    """When its last write ended, on the event loop's clock."""
    task: "asyncio.Task[None] | None" = None

    def remember(self, versions: Iterable[Version]) -> None:
        """What it has written or read."""
        self.known += [version for version in versions if version not in self.known]
        del self.known[:-_REMEMBERED]

    def has_foreign_change(self) -> bool:
        """Whether somebody else has changed something since the last round began, which that round has not read."""
        self.seen.difference_update(self.known)
        return bool(self.seen)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How a round ended: the seconds until the next one is due, None where nothing is left."""

    wait: float | None
    conflict: bool = False
    """Somebody else wrote: a foreign change."""
    failed: bool = False
    """The cluster failed: what caused the round is still to be done."""
    crashed: bool = False
    """A fault of the reconciler."""


class Workers:
    """Calls `reconcile` for each name that is woken, never twice at once for the same one.

    `reconcile` returns the seconds until its next round is due, or None where nothing of this name is left; then
    `forget` is called. An error of it is logged, and it is called again: at once after a conflict, since somebody else
    has written, otherwise after waits that grow. It writes through `write`, and reports what it has read and deleted.
    """

    def __init__(
        self,
        what: str,
        reconcile: Callable[[str], Awaitable[float | None]],
        forget: Callable[[str], None],
        metrics: ReconcileMetrics | None = None,
    ) -> None:
        self._what = what
        self._reconcile = reconcile
        self._forget = forget
        self._metrics = metrics
        self._queued: set[str] = set()
        """Names that were woken, and whose round has not begun."""
        self._workers: dict[str, _Worker] = {}
        self.closed = False
        """Whether `close` was called."""

    def wake(self, name: str, seen: Object | None = None) -> None:
        """Has the name reconciled, now or right after the present round, because something may have changed.

        `seen`: the object whose change was seen. A state that the worker has written or read itself wakes nobody.
        """
        if self.closed:
            return
        worker = self._workers.get(name) or self._workers.setdefault(name, _Worker(name))
        version = _version(seen) if seen else None
        if version and (version in worker.known or version[0] in worker.deleted):
            return
        worker.seen.add(version)
        _ring(worker.bell)
        self._count_queued(name, waits=True)
        if worker.task is None or worker.task.done():
            worker.task = asyncio.create_task(self._work(worker), name=f"reconcile {self._what} {name}")
            worker.task.add_done_callback(self._report_end)

    async def write(self, name: str, writing: Awaitable[Object]) -> Object:
        """Carries out a write for this name. The watch's echo of its result wakes nobody. Raises what it raises."""
        worker = self._workers.get(name)
        try:
            written = await writing
        finally:
            # A write that failed may have taken effect all the same.
            if worker:
                worker.wrote_at = asyncio.get_running_loop().time()
        if worker and (version := _version(written)):
            worker.remember([version])
        return written

    def read(self, name: str, items: Iterable[Object]) -> None:
        """Reports what the present round of this name has read. The watch's echo of these objects wakes nobody."""
        if worker := self._workers.get(name):
            worker.remember(filter(None, map(_version, items)))

    def deleted(self, name: str, uid: str) -> None:
        """Reports that the worker of this name has deleted the object with this uid. The object's end wakes nobody."""
        if worker := self._workers.get(name):
            worker.deleted = [*worker.deleted, uid][-_REMEMBERED:]

    async def close(self) -> None:
        """Cancels all work, wherever it is. The next operator goes on from what the cluster has."""
        self.closed = True
        tasks = [worker.task for worker in self._workers.values() if worker.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, worker: _Worker) -> None:
        rounds = _Rounds(self._what, self._reconcile, self._metrics)
        by_change = True
        loop = asyncio.get_running_loop()
        while True:
            worker.seen.clear()
            self._count_queued(worker.name, waits=False)
            began = loop.time()
            outcome = await rounds.next(worker.name)
            wrote = worker.wrote_at >= began
            if outcome.failed and wrote:
                # The write may have taken effect: then the watch shows it like a change of somebody else.
                await asyncio.sleep(PACE_SECONDS)
            now = loop.time()
            if worker.has_foreign_change():
                by_change = True
                continue
            self._count_queued(worker.name, waits=False)
            if outcome.wait is None:
                self._end(worker)
                return
            caused = outcome.conflict or (outcome.failed and by_change and not wrote)
            soonest = worker.wrote_at if by_change else max(worker.wrote_at, now)
            wait = outcome.wait if caused else max(outcome.wait, soonest + PACE_SECONDS - now)
            by_change = await _woken_within(worker, wait) or caused

    def _count_queued(self, name: str, *, waits: bool) -> None:
        before = len(self._queued)
        (self._queued.add if waits else self._queued.discard)(name)
        if self._metrics and len(self._queued) != before:
            self._metrics.queued(self._what, len(self._queued))

    def _end(self, worker: _Worker) -> None:
        """Forgets a name of which nothing is left."""
        del self._workers[worker.name]
        try:
            self._forget(worker.name)
        except Exception:  # noqa: BLE001 (the name is gone all the same)
            _log.exception("not_forgotten", what=self._what, name=worker.name)

    def _report_end(self, task: asyncio.Task[None]) -> None:
        """Logs a worker that ended by an error. The next `wake` starts another one."""
        if not task.cancelled() and (error := task.exception()):
            _log.critical("worker_ended", what=self._what, task=task.get_name(), exc_info=error)


class _Rounds:
    """The rounds of one worker, and how long it waits after each."""

    def __init__(
        self, what: str, reconcile: Callable[[str], Awaitable[float | None]], metrics: ReconcileMetrics | None
    ) -> None:
        self._what = what
        self._reconcile = reconcile
        self._metrics = metrics
        self._failures = 0
        self._conflicts = 0

    async def next(self, name: str) -> _Outcome:
        """Carries one round out."""
        began = time.perf_counter()
        outcome = await self._outcome(name)
        if self._metrics:
            cause = "conflict" if outcome.conflict else "cluster" if outcome.failed else None
            self._metrics.round_ended(self._what, time.perf_counter() - began, "fault" if outcome.crashed else cause)
        return outcome

    async def _outcome(self, name: str) -> _Outcome:
        try:
            wait = await self._reconcile(name)
        except (ConflictError, NotFoundError) as error:
            return self._after_conflict(name, error)
        except ClusterError as error:
            self._conflicts, self._failures = 0, self._failures + 1
            wait = exponential(_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS, self._failures)
            _log.warning("reconcile_failed", what=self._what, name=name, error=str(error), retry_seconds=wait)
            return _Outcome(wait, failed=True)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # `reconcile` has cancelled something of its own, and nobody has cancelled this worker.
            return self._after_crash(name)
        except Exception:  # noqa: BLE001 (one object that cannot be handled must not end its worker)
            return self._after_crash(name)
        self._conflicts = self._failures = 0
        return _Outcome(wait)

    def _after_conflict(self, name: str, error: ClusterError) -> _Outcome:
        """Somebody has changed the object since it was read: at once again, but later after each further conflict."""
        self._conflicts += 1
        if self._conflicts == _STRANGE_CONFLICTS:
            _log.warning("reconcile_conflicts", what=self._what, name=name, error=str(error), in_a_row=self._conflicts)
        wait = exponential(_FIRST_RETRY_SECONDS, PACE_SECONDS, self._conflicts - 1)
        return _Outcome(wait, conflict=True)

    def _after_crash(self, name: str) -> _Outcome:
        self._conflicts = 0
        _log.exception("reconcile_crashed", what=self._what, name=name, retry_seconds=_LONGEST_RETRY_SECONDS)
        return _Outcome(_LONGEST_RETRY_SECONDS, crashed=True)


async def _woken_within(worker: _Worker, seconds: float) -> bool:
    """Whether the worker was woken within so many seconds.

    With a future and a timer alone: ten thousand workers wait at the same time.
    """
    if not worker.seen:
        loop = asyncio.get_running_loop()
        worker.bell = loop.create_future()
        timer = loop.call_later(seconds, _ring, worker.bell)
        try:
            await worker.bell
        finally:
            timer.cancel()
            worker.bell = None
    return bool(worker.seen)


def _ring(bell: "asyncio.Future[None] | None") -> None:
    if bell and not bell.done():
        bell.set_result(None)


def seconds_until(moment: datetime | None, now: datetime, longest: float) -> float:
    """Seconds until the moment, `longest` at most; `longest` where there is no moment."""
    return longest if moment is None else max(0.0, min((moment - now).total_seconds(), longest))


def _version(item: Object) -> Version | None:
    metadata: dict[str, Any] = item.get("metadata") or {}
    uid, version = metadata.get("uid"), metadata.get("resourceVersion")
    return (uid, version) if uid and version else None
