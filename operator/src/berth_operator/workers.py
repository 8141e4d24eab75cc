"""One worker for each name, however often it is woken: what all reconcilers share.

A round that no news caused keeps its distance: a second at least from the last write, and from the round before where that had no news
either. So nothing that a reconciler gets wrong can make it spin. What a reconciler wrote itself is no news when the watch shows it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from berth_api.cluster import ClusterError, ConflictError, NotFoundError, Object

_log = structlog.get_logger(__name__)

PACE_SECONDS = 1.0
"""Between two writes of one object that no news caused, and between two rounds of such."""

_FIRST_RETRY_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 30.0

_REMEMBERED_WRITES = 32
"""Own writes of one name that the watch may still have to show."""

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
    own: deque[Version] = field(default_factory=lambda: deque[Version](maxlen=_REMEMBERED_WRITES))
    """What it wrote itself."""
    wrote_at: float = float("-inf")
    """When its last write ended, on the event loop's clock."""
    task: "asyncio.Task[None] | None" = None

    def has_news(self) -> bool:
        """Whether somebody else did something since the last round began."""
        self.heard.difference_update(self.own)
        if not self.heard:
            self.woken.clear()
        return bool(self.heard)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How a round ended: the seconds until the next is due, None where nothing is left; and whether that next one has its own cause."""

    wait: float | None
    news: bool = False


class Workers:
    """Calls `reconcile` for each name that is woken, never twice at once for the same one.

    `reconcile` returns the seconds until its next round is due, or None where there is nothing of this name any more; then `forget` is
    called. What it raises is logged, and it is called again: at once after a conflict, which is news of another writer, else with growing
    waits. It writes through `write`.
    """

    def __init__(self, what: str, reconcile: Callable[[str], Awaitable[float | None]], forget: Callable[[str], None]) -> None:
        self._what = what
        self._reconcile = reconcile
        self._forget = forget
        self._workers: dict[str, _Worker] = {}
        self._closed = False

    def wake(self, name: str, seen: Object | None = None) -> None:
        """Something about this name may have changed: look at it, now or right after the present look.

        `seen`: the object whose change was seen. The worker's own write of it wakes nobody.
        """
        if self._closed:
            return
        worker = self._workers.setdefault(name, _Worker(name))
        version = _version(seen) if seen else None
        if version in worker.own:
            return
        worker.heard.add(version)
        worker.woken.set()
        if worker.task is None or worker.task.done():
            worker.task = asyncio.create_task(self._work(worker), name=f"reconcile {self._what} {name}")
            worker.task.add_done_callback(self._report_end)

    async def write(self, name: str, writing: Awaitable[Object]) -> Object:
        """Carries out a write for this name; what it returns is no news when it is seen again. Raises what the write raises."""
        worker = self._workers.get(name)
        try:
            written = await writing
        finally:
            # One that failed may have taken effect all the same.
            if worker:
                worker.wrote_at = asyncio.get_running_loop().time()
        if worker and (version := _version(written)):
            worker.own.append(version)
        return written

    async def close(self) -> None:
        """Stops all work, wherever it is; whoever comes next goes on from what the cluster says."""
        self._closed = True
        tasks = [worker.task for worker in self._workers.values() if worker.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, worker: _Worker) -> None:
        rounds = _Rounds(self._what, self._reconcile)
        by_news = True
        while True:
            worker.heard.clear()
            worker.woken.clear()
            outcome = await rounds.next(worker.name)
            now = asyncio.get_running_loop().time()
            if worker.has_news():
                by_news = True
                continue
            if outcome.wait is None:
                self._end(worker)
                return
            soonest = worker.wrote_at if by_news else max(worker.wrote_at, now)
            wait = outcome.wait if outcome.news else max(outcome.wait, soonest + PACE_SECONDS - now)
            by_news = await _heard_within(worker, wait) or outcome.news

    def _end(self, worker: _Worker) -> None:
        """Forgets a name of which nothing is left."""
        del self._workers[worker.name]
        try:
            self._forget(worker.name)
        except Exception:  # noqa: BLE001 (the name is gone all the same)
            _log.exception("not_forgotten", what=self._what, name=worker.name)

    def _report_end(self, task: asyncio.Task[None]) -> None:
        """A worker ends because nothing is left, or is cancelled. Should it end otherwise, the next wake begins it anew."""
        if not task.cancelled() and (error := task.exception()):
            _log.critical("worker_ended", what=self._what, task=task.get_name(), exc_info=error)


class _Rounds:
    """The rounds of one worker, and what follows from how each ended."""

    def __init__(self, what: str, reconcile: Callable[[str], Awaitable[float | None]]) -> None:
        self._what = what
        self._reconcile = reconcile
        self._delay = _FIRST_RETRY_SECONDS
        self._conflicts = 0

    async def next(self, name: str) -> _Outcome:
        """Carries one round out."""
        try:
            wait = await self._reconcile(name)
        except (ConflictError, NotFoundError) as error:
            return self._after_conflict(name, error)
        except ClusterError as error:
            self._conflicts = 0
            wait, self._delay = self._delay, min(self._delay * 2, _LONGEST_RETRY_SECONDS)
            _log.warning("reconcile_failed", what=self._what, name=name, error=str(error), retry_seconds=wait)
            return _Outcome(wait)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Something inside was cancelled, not this worker.
            return self._after_crash(name)
        except Exception:  # noqa: BLE001 (one object that cannot be handled must not end its worker)
            return self._after_crash(name)
        self._conflicts, self._delay = 0, _FIRST_RETRY_SECONDS
        return _Outcome(wait)

    def _after_conflict(self, name: str, error: ClusterError) -> _Outcome:
        """It changed or went since it was read: look again, at once; not so fast where that is so again and again."""
        self._conflicts += 1
        if self._conflicts == _STRANGE_CONFLICTS:
            _log.warning("reconcile_conflicts", what=self._what, name=name, error=str(error), in_a_row=self._conflicts)
        wait = min(_FIRST_RETRY_SECONDS * 2 ** (self._conflicts - 2), PACE_SECONDS) if self._conflicts > 1 else 0.0
        return _Outcome(wait, news=True)

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
