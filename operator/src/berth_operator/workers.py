"""One worker for each name, however often it is woken: what all reconcilers share.

A round that no news caused keeps its distance: a second at least from the last write, and from the round before where
that had no news either. So nothing that a reconciler gets wrong can make it spin. What a reconciler wrote itself, or
has read, is no news when the watch shows it, and neither is the end of what it deleted.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import structlog

from berth_cluster.cluster import ClusterError, ConflictError, NotFoundError, Object
from berth_process.backoff import exponential

_log = structlog.get_logger(__name__)

PACE_SECONDS = 1.0
"""Between two writes of one object that no news caused, and between two rounds of such."""

_FIRST_RETRY_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 30.0

_REMEMBERED = 64
"""Versions of one name's objects that the watch may still have to show."""

_STRANGE_CONFLICTS = 5
"""So many in a row are told of: other writers are not that fast."""

Version = tuple[str, str]
"""An object at one moment: its uid and its resourceVersion."""


@dataclass(slots=True)
class _Worker:
    """What is known of one name."""

    name: str
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    heard: set[Version | None] = field(default_factory=set["Version | None"])
    """What woke it since its last round began. None: something that has no version."""
    known: deque[Version] = field(default_factory=lambda: deque[Version](maxlen=_REMEMBERED))
    """What it wrote itself, or has read."""
    deleted: deque[str] = field(default_factory=lambda: deque[str](maxlen=_REMEMBERED))
    """uids of what it deleted itself."""
    wrote_at: float = float("-inf")
    """When its last write ended, on the event loop's clock."""
    task: "asyncio.Task[None] | None" = None

    def has_news(self) -> bool:
        """Whether somebody else did something since the last round began, and that round does not know it."""
        self.heard.difference_update(self.known)
        if not self.heard:
            self.woken.clear()
        return bool(self.heard)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How a round ended: the seconds until the next is due, None where nothing is left."""

    wait: float | None
    conflict: bool = False
    """Somebody else wrote, which is news."""
    failed: bool = False
    """The cluster failed: what caused the round is not dealt with."""


class Workers:
    """Calls `reconcile` for each name that is woken, never twice at once for the same one.

    `reconcile` returns the seconds until its next round is due, or None where there is nothing of this name any more;
    then `forget` is called. What it raises is logged, and it is called again: at once after a conflict, which is news
    of another writer, else with growing waits. It writes through `write`, and tells what it has read and deleted.
    """

    def __init__(
        self, what: str, reconcile: Callable[[str], Awaitable[float | None]], forget: Callable[[str], None]
    ) -> None:
        self._what = what
        self._reconcile = reconcile
        self._forget = forget
        self._workers: dict[str, _Worker] = {}
        self.closed = False
        """Whether nothing is done any more."""

    def wake(self, name: str, seen: Object | None = None) -> None:
        """Something about this name may have changed: look at it, now or right after the present look.

        `seen`: the object whose change was seen. One that the worker wrote or read like this wakes nobody.
        """
        if self.closed:
            return
        worker = self._workers.setdefault(name, _Worker(name))
        version = _version(seen) if seen else None
        if version and (version in worker.known or version[0] in worker.deleted):
            return
        worker.heard.add(version)
        worker.woken.set()
        if worker.task is None or worker.task.done():
            worker.task = asyncio.create_task(self._work(worker), name=f"reconcile {self._what} {name}")
            worker.task.add_done_callback(self._report_end)

    async def write(self, name: str, writing: Awaitable[Object]) -> Object:
        """Carries out a write for this name: what it returns is no news when it is seen. Raises what that raises."""
        worker = self._workers.get(name)
        try:
            written = await writing
        finally:
            # One that failed may have taken effect all the same.
            if worker:
                worker.wrote_at = asyncio.get_running_loop().time()
        if worker and (version := _version(written)):
            worker.known.append(version)
        return written

    def read(self, name: str, items: Iterable[Object]) -> None:
        """The present round of this name goes by these objects: that the watch shows them is no news."""
        if worker := self._workers.get(name):
            worker.known.extend(filter(None, map(_version, items)))

    def deleted(self, name: str, uid: str) -> None:
        """The worker of this name has deleted the object with this uid: how it ends is no news."""
        if worker := self._workers.get(name):
            worker.deleted.append(uid)

    async def close(self) -> None:
        """Stops all work, wherever it is; whoever comes next goes on from what the cluster says."""
        self.closed = True
        tasks = [worker.task for worker in self._workers.values() if worker.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, worker: _Worker) -> None:
        rounds = _Rounds(self._what, self._reconcile)
        by_news = True
        loop = asyncio.get_running_loop()
        while True:
            worker.heard.clear()
            worker.woken.clear()
            began = loop.time()
            outcome = await rounds.next(worker.name)
            wrote = worker.wrote_at >= began
            if outcome.failed and wrote:
                # That write may have taken effect, and the watch show it as if somebody else had done it.
                await asyncio.sleep(PACE_SECONDS)
            now = loop.time()
            if worker.has_news():
                by_news = True
                continue
            if outcome.wait is None:
                self._end(worker)
                return
            caused = outcome.conflict or (outcome.failed and by_news and not wrote)
            soonest = worker.wrote_at if by_news else max(worker.wrote_at, now)
            wait = outcome.wait if caused else max(outcome.wait, soonest + PACE_SECONDS - now)
            by_news = await _heard_within(worker, wait) or caused

    def _end(self, worker: _Worker) -> None:
        """Forgets a name of which nothing is left."""
        del self._workers[worker.name]
        try:
            self._forget(worker.name)
        except Exception:  # noqa: BLE001 (the name is gone all the same)
            _log.exception("not_forgotten", what=self._what, name=worker.name)

    def _report_end(self, task: asyncio.Task[None]) -> None:
        """A worker ends with nothing left, or cancelled. Should it end otherwise, the next wake begins it again."""
        if not task.cancelled() and (error := task.exception()):
            _log.critical("worker_ended", what=self._what, task=task.get_name(), exc_info=error)


class _Rounds:
    """The rounds of one worker, and what follows from how each ended."""

    def __init__(self, what: str, reconcile: Callable[[str], Awaitable[float | None]]) -> None:
        self._what = what
        self._reconcile = reconcile
        self._failures = 0
        self._conflicts = 0

    async def next(self, name: str) -> _Outcome:
        """Carries one round out."""
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
            # Something inside was cancelled, not this worker.
            return self._after_crash(name)
        except Exception:  # noqa: BLE001 (one object that cannot be handled must not end its worker)
            return self._after_crash(name)
        self._conflicts = self._failures = 0
        return _Outcome(wait)

    def _after_conflict(self, name: str, error: ClusterError) -> _Outcome:
        """It changed or went since it was read: look again, at once; not so fast where that is so again and again."""
        self._conflicts += 1
        if self._conflicts == _STRANGE_CONFLICTS:
            _log.warning("reconcile_conflicts", what=self._what, name=name, error=str(error), in_a_row=self._conflicts)
        wait = exponential(_FIRST_RETRY_SECONDS, PACE_SECONDS, self._conflicts - 1)
        return _Outcome(wait, conflict=True)

    def _after_crash(self, name: str) -> _Outcome:
        self._conflicts = 0
        _log.exception("reconcile_crashed", what=self._what, name=name, retry_seconds=_LONGEST_RETRY_SECONDS)
        return _Outcome(_LONGEST_RETRY_SECONDS)


async def _heard_within(worker: _Worker, seconds: float) -> bool:
    """Whether news came within so many seconds."""
    try:
        # Not asyncio.wait_for: in Python 3.11 that loses a cancellation which comes together with the news.
        async with asyncio.timeout(seconds):
            await worker.woken.wait()
    except TimeoutError:
        return False
    return True


def _version(item: Object) -> Version | None:
    metadata: dict[str, Any] = item.get("metadata") or {}
    uid, version = metadata.get("uid"), metadata.get("resourceVersion")
    return (uid, version) if uid and version else None
