"""One worker for each name, however often it is woken: what all reconcilers share."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from berth_api.cluster import ClusterError, ConflictError, NotFoundError

_log = structlog.get_logger(__name__)

_FIRST_RETRY_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 30.0


class Workers:
    """Calls `reconcile` for each name that is woken, never twice at once for the same one.

    `reconcile` returns the seconds until its next round is due, or None where there is nothing of this name any more; then `forget` is
    called. What it raises is logged, and it is called again: at once after a conflict, else with growing waits.
    """

    def __init__(self, what: str, reconcile: Callable[[str], Awaitable[float | None]], forget: Callable[[str], None]) -> None:
        self._what = what
        self._reconcile = reconcile
        self._forget = forget
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._woken: dict[str, asyncio.Event] = {}

    def wake(self, name: str) -> None:
        """Something about this name may have changed: look at it, now or right after the present look."""
        self._woken.setdefault(name, asyncio.Event()).set()
        if name not in self._tasks:
            self._tasks[name] = asyncio.create_task(self._work(name), name=f"reconcile {self._what} {name}")

    async def close(self) -> None:
        """Stops all work, wherever it is; whoever comes next goes on from what the cluster says."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, name: str) -> None:
        delay = _FIRST_RETRY_SECONDS
        woken = self._woken[name]
        while True:
            woken.clear()
            try:
                wait = await self._reconcile(name)
                delay = _FIRST_RETRY_SECONDS
            except (ConflictError, NotFoundError):
                wait = 0.0  # it changed or went since it was read: look again
            except ClusterError as error:
                _log.warning("reconcile_failed", what=self._what, name=name, error=str(error), retry_seconds=delay)
                wait, delay = delay, min(delay * 2, _LONGEST_RETRY_SECONDS)
            except Exception:  # noqa: BLE001
                # One object that cannot be handled must not end its worker, nor pass in silence.
                _log.exception("reconcile_crashed", what=self._what, name=name, retry_seconds=_LONGEST_RETRY_SECONDS)
                wait = _LONGEST_RETRY_SECONDS
            if wait is None and not woken.is_set():
                del self._tasks[name], self._woken[name]
                self._forget(name)
                return
            try:
                await asyncio.wait_for(woken.wait(), timeout=wait)
            except TimeoutError:
                continue
