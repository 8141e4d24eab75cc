"""What this replica tells of its use of each deployment: the leases that keep a deployment from being idle.

Before a request is forwarded, the deployment must be protected: by a lease of this replica that the cluster has acknowledged, or by an
expiry that was read. Where the protection is near its end, the lease is written first. All other writes are put together and come later.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import structlog

from berth_api.activity import NEVER, expires_at, last_promise_end
from berth_api.cluster import (
    MODEL_DEPLOYMENTS,
    Cluster,
    ClusterError,
    ConflictError,
    NotFoundError,
    Object,
    Preconditions,
)
from berth_api.model_deployment import ModelDeployment, ReplicaActivity
from berth_router.lifecycle.deployments import Deployments

_log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=30)
"""How far ahead a deployment is kept while requests are in hand. A crashed router delays a deletion by no more than this or the TTL."""

SHORTEST_LEASE = timedelta(seconds=4)
MARGIN = timedelta(seconds=5)
"""Protection that ends sooner than this is renewed before a request is forwarded: room for clocks that differ and slow writes."""

WRITE_INTERVAL = timedelta(seconds=1)
REPORT_INTERVAL = timedelta(seconds=10)
"""How long news of a busy deployment can wait: nothing is decided by them until somebody unloads it, which every replica hears of.

A write costs the API server as much of a processor as the router needs for a hundred tokens.
"""

SETTLE = timedelta(seconds=0.3)
"""How long a deployment must have been without a request before that is told: the next one often comes at once."""

_RETRY = timedelta(seconds=1)

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The clock of a running router."""
    return datetime.now(UTC)


class DeploymentGoneError(Exception):
    """The deployment that a lease was for has been deleted."""


@dataclass(slots=True)
class Use:
    """This replica's use of one deployment, and what of it the cluster knows."""

    name: str
    uid: str
    since: datetime
    last_activity: datetime
    keep_until: datetime
    lease: timedelta = LEASE
    in_flight: int = 0
    acknowledged_until: datetime | None = None
    """The lease that the cluster has acknowledged."""
    leased_until: datetime | None = None
    """The end of the last lease of any router that was known when the first of the requests in flight came."""
    written_at: datetime | None = None
    asked: bool = False
    """Whether somebody who unloads the deployment has to know of the requests in flight."""
    told_in_flight: int = 0
    """The requests in flight that the cluster knows of."""
    unwritten: bool = True
    planned: datetime | None = None
    """When the keeper means to write next."""
    sooner: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a write is due sooner than planned."""
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while nothing is in flight."""
    writing: asyncio.Task[Object] | None = None
    keeper: asyncio.Task[None] | None = None

    def entry(self) -> ReplicaActivity:
        """What to write."""
        return ReplicaActivity(last_activity=self.last_activity, keep_until=self.keep_until, in_flight=self.in_flight)


def lease_end(now: datetime, ttl: int) -> datetime:
    """Until when a request that has ended keeps its deployment. `ttl` in seconds, 0 for ever."""
    return NEVER if ttl == 0 else now + _seconds(ttl)


@lru_cache(maxsize=256)
def _seconds(count: int) -> timedelta:
    return timedelta(seconds=count)


@lru_cache(maxsize=256)
def lease_length(ttl: int) -> timedelta:
    """The lease of a request in hand. No longer than the TTL where that is possible: a lease never shrinks, so it would outlast the TTL."""
    return LEASE if ttl == 0 else min(LEASE, max(timedelta(seconds=ttl), SHORTEST_LEASE))


@lru_cache(maxsize=256)
def margin(lease: timedelta) -> timedelta:
    """How much protection a request needs when it is forwarded."""
    return min(MARGIN, lease / 2)


def protected_until(use: Use, deployment: ModelDeployment) -> datetime:
    """The moment before which the operator cannot find the ready deployment idle, by all that this replica knows to be written."""
    own = use.acknowledged_until
    if own == NEVER:
        return NEVER
    observed = expires_at(deployment)
    if observed is None:
        return NEVER if deployment.status.loaded_at else (own or use.last_activity)
    return max(own, observed) if own else observed


def is_protected(use: Use, deployment: ModelDeployment, now: datetime) -> bool:
    """Whether the ready deployment cannot be found idle for the margin to come."""
    until = now + margin(use.lease)
    own = use.acknowledged_until
    return (own is not None and own > until) or protected_until(use, deployment) > until


def next_write_at(use: Use) -> datetime | None:
    """When this use must next be written, if nothing else happens. None: there is nothing to write."""
    if use.asked and use.in_flight and use.told_in_flight == 0:
        return use.since
    wanted: list[datetime] = []
    if use.unwritten:
        wanted.append((use.written_at or use.since) + REPORT_INTERVAL)
        if use.in_flight == 0:
            wanted.append(use.last_activity + SETTLE)
    if use.in_flight and use.acknowledged_until:
        wanted.append(use.acknowledged_until - use.lease / 2)
    elif use.in_flight:
        # Without a lease the deployment is kept by its TTL, which somebody may shorten, or, where it starts or cannot, by nothing.
        wanted.append(max(use.since + SETTLE, (use.leased_until or use.since) - margin(use.lease)))
    if not wanted:
        return None
    return max(min(wanted), use.written_at + WRITE_INTERVAL) if use.written_at else min(wanted)


class Activity:
    """The leases of this replica."""

    def __init__(self, cluster: Cluster, deployments: Deployments, replica: str, clock: Clock = utc_now) -> None:
        self._cluster = cluster
        self._deployments = deployments
        self._replica = replica
        self._clock = clock
        self._uses: dict[str, Use] = {}
        deployments.listen(self._tell_whoever_unloads)

    def in_flight(self, uid: str) -> int:
        """Requests of the deployment with this uid that this replica has in hand."""
        use = self._uses.get(uid)
        return use.in_flight if use else 0

    def last_activity(self, uid: str) -> datetime | None:
        """When this replica last had a request of the deployment with this uid in hand; None where that was long ago, or never."""
        use = self._uses.get(uid)
        return use.last_activity if use else None

    async def drained(self, uid: str, within: float) -> bool:
        """Whether this replica's requests of the deployment have all ended within so many seconds."""
        use = self._uses.get(uid)
        if use is None or use.in_flight == 0:
            return True
        try:
            await asyncio.wait_for(use.let_go.wait(), within)
        except TimeoutError:
            return False
        return True

    def begin(self, deployment: ModelDeployment, ttl: int) -> Use:
        """Takes a request in hand. Every `begin` needs an `end`. `ttl`: see `lease_end`."""
        now = self._clock()
        lease = lease_length(ttl)
        use = self._uses.get(deployment.uid)
        if use is None:
            use = Use(deployment.name, deployment.uid, now, now, now, lease)
            self._uses[deployment.uid] = use
        first = use.in_flight == 0
        longer = lease > use.lease
        if first:
            use.let_go.clear()
            use.leased_until = last_promise_end(deployment)
        if first or longer:
            use.lease = lease
        use.in_flight += 1
        self._touch(use, now, max(lease_end(now, ttl), now + lease), news=first or longer)
        return use

    def end(self, use: Use, ttl: int) -> None:
        """Lets a request go."""
        use.in_flight -= 1
        last = use.in_flight == 0
        if last:
            use.let_go.set()
        now = self._clock()
        self._touch(use, now, lease_end(now, ttl), news=last)

    async def protect(self, use: Use, deployment: ModelDeployment) -> None:
        """Returns once the deployment cannot be found idle for the margin to come; nearly always at once.

        Raises DeploymentGoneError, or ClusterError where the lease cannot be written.
        """
        while not is_protected(use, deployment, self._clock()):
            await self.write_now(use)

    async def write_now(self, use: Use) -> None:
        """Writes the lease, or joins the write under way. Also wakes a sleeping deployment. Raises as `protect` does."""
        if use.writing is None:
            use.writing = asyncio.create_task(self._write(use))
            use.writing.add_done_callback(_retrieve_exception)
        # Shielded: a client that leaves must not undo a write that other requests wait for.
        await asyncio.shield(use.writing)

    def in_flight_elsewhere(self, deployment: ModelDeployment) -> int:
        """Requests of the deployment that other replicas whose leases still run have told of."""
        return sum(entry.in_flight for entry in self.others(deployment))

    def others(self, deployment: ModelDeployment) -> list[ReplicaActivity]:
        """What other replicas whose leases still run have told."""
        now = self._clock()
        return [entry for name, entry in deployment.status.activity.items() if name != self._replica and entry.keep_until > now]

    async def unload(self, deployment: ModelDeployment) -> None:
        """Says that nobody needs the deployment from now until the next request, and undoes `close_to_requests`. Raises ClusterError."""
        entry = self._entry(deployment)
        entry = entry.model_copy(update={"unload_at": max(self._clock(), entry.last_activity), "in_flight": 0})
        await self._put_entry(deployment, {**entry.manifest(), "closedUntil": None})

    async def close_to_requests(self, deployment: ModelDeployment, seconds: float) -> None:
        """Tells every router to pass the deployment no new requests for so long. Raises ClusterError."""
        entry = self._entry(deployment).model_copy(update={"closed_until": self._clock() + timedelta(seconds=seconds)})
        await self._put_entry(deployment, entry.manifest())

    async def open_to_requests(self, deployment: ModelDeployment) -> None:
        """Undoes `close_to_requests`. Raises ClusterError."""
        await self._put_entry(deployment, {**self._entry(deployment).manifest(), "closedUntil": None})

    async def close(self) -> None:
        """Says for every deployment in use that this replica has let go of it."""
        uses = list(self._uses.values())
        for use in uses:
            if use.keeper:
                use.keeper.cancel()
            use.unwritten = use.unwritten or use.in_flight > 0
            use.in_flight = 0
        for use in uses:
            if use.unwritten:
                with suppress(ClusterError, DeploymentGoneError):
                    await self.write_now(use)

    def _touch(self, use: Use, now: datetime, keep_until: datetime, *, news: bool) -> None:
        """Notes a use. `news`: more than the time of the last activity has changed, so that a write may be due sooner."""
        news = news or not use.unwritten
        use.last_activity = now
        if keep_until > use.keep_until:
            use.keep_until = keep_until
        use.unwritten = True
        if use.keeper is None:
            use.keeper = asyncio.create_task(self._keep(use))
        elif news:
            self._write_in_time(use)

    def _write_in_time(self, use: Use) -> None:
        """Has the keeper write sooner than it meant to, where that is due by now."""
        if use.planned and (due := next_write_at(use)) and due < use.planned:
            use.sooner.set()

    def _tell_whoever_unloads(self, deployment: ModelDeployment) -> None:
        """Writes at once that requests are in flight, of which nobody may have heard, where a replica closes the deployment to requests."""
        use = self._uses.get(deployment.uid)
        if use and use.in_flight and self._deployments.is_closing(deployment):
            use.asked = True
            self._write_in_time(use)

    async def _keep(self, use: Use) -> None:
        """Writes the use whenever that is due, until there is nothing left to tell."""
        while (due := next_write_at(use)) is not None:
            use.planned = due
            use.sooner.clear()
            delay = (due - self._clock()).total_seconds()
            if delay > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(use.sooner.wait(), delay)
                continue
            try:
                await self.write_now(use)
            except DeploymentGoneError:
                break
            except ClusterError as error:
                _log.warning("activity_not_written", deployment=use.name, error=str(error))
                await asyncio.sleep(_RETRY.total_seconds())
        use.keeper = None
        if use.in_flight == 0:
            self._uses.pop(use.uid, None)

    async def _write(self, use: Use) -> Object:
        try:
            return await self._patch(use)
        finally:
            use.writing = None

    async def _patch(self, use: Use) -> Object:
        if use.in_flight:
            use.last_activity = self._clock()
            use.keep_until = max(use.keep_until, use.last_activity + use.lease)
        entry = use.entry()
        use.unwritten = False
        try:
            written = await self._patch_entry(use.name, use.uid, entry.manifest())
        except (NotFoundError, ConflictError) as error:
            # Conflict: an object of another uid bears the name by now.
            held = self._deployments.get(use.name)
            if held and held.uid == use.uid:
                self._deployments.forget(held)
            raise DeploymentGoneError(use.name) from error
        except ClusterError:
            use.unwritten = True
            raise
        use.acknowledged_until = entry.keep_until
        use.asked = False
        use.told_in_flight = entry.in_flight
        use.written_at = self._clock()
        self._deployments.put(written)
        return written

    def _entry(self, deployment: ModelDeployment) -> ReplicaActivity:
        """What this replica has to say of the deployment: all but nothing, where it has not used it."""
        use = self._uses.get(deployment.uid)
        entry = use.entry() if use else deployment.status.activity.get(self._replica)
        return entry or ReplicaActivity(last_activity=deployment.created_at, keep_until=deployment.created_at)

    async def _put_entry(self, deployment: ModelDeployment, entry: Object) -> None:
        self._deployments.put(await self._patch_entry(deployment.name, deployment.uid, entry))

    async def _patch_entry(self, name: str, uid: str, entry: Object) -> Object:
        return await self._cluster.patch_status(MODEL_DEPLOYMENTS, name, {"activity": {self._replica: entry}}, Preconditions(uid))


def _retrieve_exception(task: asyncio.Task[Object]) -> None:
    """Keeps asyncio from reporting a failure that nobody waited for: the keeper tries again."""
    if not task.cancelled():
        task.exception()
