"""Publishes events, each object once: what happens again is counted up.

Events are for people, and nothing depends on them: a failure is only logged.
"""

import structlog

from berth_cluster.cluster import EVENTS, AlreadyExistsError, Cluster, ClusterError, NotFoundError, Object

_log = structlog.get_logger(__name__)

_MOST_REMEMBERED = 4096
"""Events whose counts are remembered. Of others the API server is asked."""


class EventRecorder:
    """Publishes events whose names say what counts as the same."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._counts: dict[str, int] = {}

    async def publish(self, event: Object) -> None:
        """Creates the event, or counts up the one of its name."""
        try:
            if not await self._counted_up(event):
                await self._create(event)
        except ClusterError as error:
            _log.warning("event_not_written", reason=event["reason"], error=str(error))

    async def _counted_up(self, event: Object) -> bool:
        """False: no event of this name is known, or the API server has forgotten it, as it does after an hour."""
        name: str = event["metadata"]["name"]
        if (count := self._counts.pop(name, None)) is None:
            return False
        news = {field: event[field] for field in ("type", "message", "lastTimestamp")}
        try:
            await self._cluster.patch(EVENTS, name, {**news, "count": count + 1})
        except NotFoundError:
            return False
        self._remember(name, count + 1)
        return True

    async def _create(self, event: Object) -> None:
        name: str = event["metadata"]["name"]
        try:
            await self._cluster.create(EVENTS, event)
        except AlreadyExistsError:  # from an earlier life of this operator, or it was not remembered
            found = await self._cluster.get(EVENTS, name)
            self._remember(name, int(found.get("count") or 1))
            await self._counted_up(event)
        else:
            self._remember(name, 1)

    def _remember(self, name: str, count: int) -> None:
        self._counts[name] = count
        if len(self._counts) > _MOST_REMEMBERED:
            del self._counts[next(iter(self._counts))]
