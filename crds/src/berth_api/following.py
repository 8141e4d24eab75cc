"""List, then watch, then list again when that is needed: an endless and complete account of the objects of a kind."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import structlog

from berth_api.cluster import Cluster, ClusterError, ExpiredError, Kind, Object, WatchEvent

_log = structlog.get_logger(__name__)

_FIRST_RETRY_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All objects there are: whatever is not among them is gone."""

    items: list[Object]


async def follow(cluster: Cluster, kind: Kind, labels: Mapping[str, str] | None = None) -> AsyncIterator[Snapshot | WatchEvent]:
    """Yields a Snapshot, then each change, for ever; a new Snapshot whenever changes may have been missed.

    Never raises a ClusterError: it waits, at most 10 s at a time, and goes on.
    """
    delay = _FIRST_RETRY_SECONDS
    while True:
        try:
            listed = await cluster.list(kind, labels)
            yield Snapshot(listed.items)
            version = listed.resource_version
            while True:
                async for event in cluster.watch(kind, version, labels):
                    version = event.object["metadata"]["resourceVersion"]
                    delay = _FIRST_RETRY_SECONDS
                    yield event
        except ExpiredError:
            continue
        except ClusterError as error:
            _log.warning("watch_interrupted", kind=kind.plural, error=str(error), retry_seconds=delay)
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_RETRY_SECONDS)
