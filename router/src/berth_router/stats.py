"""How many requests found their model ready. One ConfigMap adds up the counts of all replicas and their restarts.

The ConfigMap has a key for each replica, which only that replica writes, and one for the replicas that are gone. Each
write is for the version that was read, so no count is lost or added twice. A replica that is killed loses what it has
counted since its last write.
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
"""A replica writes at least this often, even without new counts."""

GONE_AFTER = timedelta(hours=1)
"""A replica that has not written for so long counts as gone."""

GONE = "_gone"
"""The key for replicas that are gone. No pod can have this name."""

_ATTEMPTS = 5
"""How often a write is tried again at once when another replica has written first."""


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
    """The value of one key."""

    hits: int = Field(ge=0)
    misses: int = Field(ge=0)
    at: AwareDatetime

    def counts(self) -> Counts:
        return Counts(self.hits, self.misses)


class Stats:
    """The counts of this replica, and the last known counts of the others."""

    def __init__(self, cluster: Cluster, config_map: str | None, replica: str, clock: Clock = utc_now) -> None:
        self._cluster = cluster
        self._config_map = config_map
        self._replica = replica
        self._clock = clock
        self._hits = self._misses = 0
        self._others = Counts()
        self._written: Counts | None = None
        """What the ConfigMap has of this replica. None: not yet known."""
        self._not_understood: dict[str, str] = {}
        """The values that cannot be read, by key, as the log has them: each is logged once."""
        self._lock = asyncio.Lock()

    @property
    def _own(self) -> Counts:
        """What this replica has counted."""
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
        """The counts of all replicas, as each last wrote them; if the cluster does not answer, as last read."""
        try:
            await self._sync()
        except ClusterError as error:
            _log.warning("stats_not_read", error=str(error))
        return self._own + self._others

    async def run(self) -> None:
        """Writes the counts again and again, for ever."""
        while True:
            try:
                await self._sync()
            except ClusterError as error:
                _log.warning("stats_not_written", error=str(error))
            except Exception:  # noqa: BLE001 (no count is worth a restart of the router, which ends its streams)
                _log.exception("stats_not_written")
            await asyncio.sleep(WRITE_SECONDS)

    async def close(self) -> None:
        """Writes the counts for the last time."""
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
        """Reads the counts of the others, and writes this replica's where they are new. Raises ClusterError."""
        try:
            read = await self._cluster.get(CONFIG_MAPS, config_map)
        except NotFoundError:
            # Somebody deleted the ConfigMap. A new one gets all that is in memory: no other replica has added these
            # counts to those of the gone replicas.
            self._written = Counts()
            raise
        now = self._clock()
        entries = self._entries(read)
        stored = entries.pop(self._replica, None)
        self._continue_from(stored)
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
        """The entries by key. One that cannot be read stays as it is, and is logged once."""
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

    def _continue_from(self, stored: _Entry | None) -> None:
        """Adds what an earlier process of this replica wrote. Counts that were added to the gone ones stay there."""
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
