"""How many requests found their model ready: counted here, added up over all replicas and their restarts in one ConfigMap.

The ConfigMap has a key for each replica, which that replica alone writes, and one for the replicas that are gone. Every
write holds only for the version that was read, so no count is lost or taken twice. A replica that is killed loses what
it counted since its last write.
"""

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from berth_cluster.cluster import (
    CONFIG_MAPS,
    Cluster,
    ClusterError,
    ConflictError,
    NotFoundError,
    Object,
    Preconditions,
)
from berth_process.clock import Clock, utc_now
from berth_process.settings_validation import findings

_log = structlog.get_logger(__name__)

WRITE_SECONDS = 10.0
HEARTBEAT = timedelta(minutes=10)
"""How often a replica writes although it has nothing new to tell."""

GONE_AFTER = timedelta(hours=1)
"""A replica that has not written for so long is taken for gone."""

GONE = "_gone"
"""The key for replicas that are gone: no pod's name."""

_ATTEMPTS = 5
"""How often a write is tried again at once when another replica came first."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests that found their model ready, and those that did not."""

    hits: int = 0
    misses: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.hits + other.hits, self.misses + other.misses)

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(self.hits - other.hits, self.misses - other.misses)


class _Entry(BaseModel):
    """What stands under one key."""

    hits: int = Field(ge=0)
    misses: int = Field(ge=0)
    at: AwareDatetime

    def counts(self) -> Counts:
        return Counts(self.hits, self.misses)


class Stats:
    """The counts of this replica, and what the others last told."""

    def __init__(self, cluster: Cluster, config_map: str | None, replica: str, clock: Clock = utc_now) -> None:
        self._cluster = cluster
        self._config_map = config_map
        self._replica = replica
        self._clock = clock
        self._hits = self._misses = 0
        self._others = Counts()
        self._written: Counts | None = None
        """What the ConfigMap has of this replica; None: not yet known."""
        self._not_understood: dict[str, str] = {}
        """What stands under other keys that cannot be read, as it was told in the log."""
        self._lock = asyncio.Lock()

    @property
    def _own(self) -> Counts:
        """What this replica has counted and not yet written."""
        return Counts(self._hits, self._misses)

    @_own.setter
    def _own(self, counts: Counts) -> None:
        self._hits, self._misses = counts.hits, counts.misses

    def count(self, *, hit: bool) -> None:
        """Counts a request for a model."""
        if hit:
            self._hits += 1
        else:
            self._misses += 1

    async def total(self) -> Counts:
        """All counts, those of other replicas as they last told.

        Where the cluster cannot be asked, as they were last known.
        """
        try:
            await self._sync()
        except ClusterError as error:
            _log.warning("stats_not_read", error=str(error))
        return self._own + self._others

    async def run(self) -> None:
        """Writes what was counted, for ever."""
        while True:
            try:
                await self._sync()
            except ClusterError as error:
                _log.warning("stats_not_written", error=str(error))
            except Exception:  # noqa: BLE001 (no count is worth a restart of the router, which ends its streams)
                _log.exception("stats_not_written")
            await asyncio.sleep(WRITE_SECONDS)

    async def close(self) -> None:
        """Writes what was counted, for the last time."""
        with suppress(ClusterError):
            await self._sync()

    async def _sync(self) -> None:
        if self._config_map is None:
            return
        async with self._lock:
            for attempt in range(_ATTEMPTS):
                try:
                    await self._exchange(self._config_map)
                except ConflictError:
                    if attempt == _ATTEMPTS - 1:
                        raise
                else:
                    return

    async def _exchange(self, config_map: str) -> None:
        """Reads what the others told, and writes what is new. Raises ClusterError."""
        try:
            read = await self._cluster.get(CONFIG_MAPS, config_map)
        except NotFoundError:
            # It was deleted: whoever makes it anew gets what is in memory, and nobody has taken that for a gone
            # replica's.
            self._written = Counts()
            raise
        now = self._clock()
        entries = self._entries(read)
        stored = entries.pop(self._replica, None)
        self._take_up(stored)
        gone = [name for name, entry in entries.items() if name != GONE and now - entry.at > GONE_AFTER]
        self._others = sum((entry.counts() for entry in entries.values()), Counts())
        if stored and stored.counts() == self._own and now - stored.at < HEARTBEAT and not gone:
            return
        own = self._own
        patch: dict[str, str | None] = {self._replica: _text(own, now)}
        if gone:
            folded = sum((entries[name].counts() for name in [*gone, GONE] if name in entries), Counts())
            patch |= {GONE: _text(folded, now), **dict.fromkeys(gone)}
        metadata = read["metadata"]
        await self._cluster.patch(
            CONFIG_MAPS, config_map, {"data": patch}, Preconditions(metadata["uid"], metadata["resourceVersion"])
        )
        self._written = own

    def _entries(self, config_map: Object) -> dict[str, _Entry]:
        """What the replicas told. What cannot be read is left as it is, and told once."""
        data: dict[str, str] = config_map.get("data") or {}
        entries: dict[str, _Entry] = {}
        unreadable: dict[str, str] = {}
        for name, text in data.items():
            try:
                entries[name] = _Entry.model_validate_json(text)
            except ValidationError as error:
                unreadable[name] = text
                if self._not_understood.get(name) != text:
                    _log.warning("stats_not_understood", key=name, error=findings(error))
        self._not_understood = unreadable
        return entries

    def _take_up(self, stored: _Entry | None) -> None:
        """Goes on from what an earlier process of this replica wrote; leaves to the gone what was taken for theirs meanwhile."""
        if self._written is None:
            self._written = stored.counts() if stored else Counts()
            self._own += self._written
        elif stored:
            self._written = stored.counts()
        else:
            self._own -= self._written
            self._written = Counts()


def _text(counts: Counts, now: datetime) -> str:
    return json.dumps({"hits": counts.hits, "misses": counts.misses, "at": now.isoformat(timespec="seconds")})
