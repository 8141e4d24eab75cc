"""List, watch, and list again when that is needed: all changes of the objects of a kind, without end or gap."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from berth_cluster.cluster import Cluster, ClusterError, Kind, Object, WatchEvent
from berth_process.backoff import exponential

_log = structlog.get_logger(__name__)

_FIRST_RETRY_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 10.0

_HEALTHY_SECONDS = 1.0
"""A watch that ends sooner counts as failed, however it ended."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All objects that there are: any other one is gone."""

    items: Sequence[Object]
    resource_version: str
    """What has changed after this version is not in it."""


class RetryWaits:
    """How long to wait after a list or a watch has failed: longer each time, and short again after a healthy watch."""

    def __init__(self) -> None:
        self._failures = 0

    def was_healthy(self, seconds: float) -> bool:
        """Whether a watch that lasted so long was healthy: longer than the next wait. If so, the waits begin anew."""
        healthy = seconds >= max(_HEALTHY_SECONDS, self._after(self._failures + 1))
        if healthy:
            self._failures = 0
        return healthy

    def after_failure(self) -> float:
        """Seconds to wait now, 10 at most.

        Up to half of the wait is left out at random, so that clients that were cut off together do not return together.
        """
        self._failures += 1
        return self._after(self._failures) * random.uniform(0.5, 1.0)  # noqa: S311 (nothing secret)

    def _after(self, failures: int) -> float:
        return exponential(_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS, failures)


async def follow(
    cluster: Cluster,
    kind: Kind,
    labels: Mapping[str, str] | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[Snapshot | WatchEvent]:
    """Yields a Snapshot, then each change, without end; a new Snapshot whenever changes may have been missed.

    It raises no ClusterError: it waits, at most 10 s at a time, and tries again. `clock` and `sleep` count seconds.
    """
    waits = RetryWaits()
    version: str | None = None
    while True:
        why: ClusterError | None = None
        began: float | None = None
        try:
            if version is None:
                listed = await cluster.list(kind, labels)
                version = listed.resource_version
                yield Snapshot(listed.items, version)
                del listed  # a watch lasts for long, and the list of ten thousand objects takes 20 MB
            began = clock()
            async for event in cluster.watch(kind, version, labels):
                version = event.object["metadata"]["resourceVersion"]
                yield event
        except ClusterError as error:
            version, why = None, error
        if began is not None and waits.was_healthy(clock() - began) and why is None:
            continue  # the server closes each watch after a while; the next one goes on from the same version
        wait = waits.after_failure()
        _log.warning(
            "watch_interrupted",
            kind=kind.plural,
            error=str(why or "it ended at once"),
            retry_seconds=round(wait, 2),
        )
        await sleep(wait)
