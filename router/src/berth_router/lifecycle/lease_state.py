"""One replica's lease on one deployment: what is known, what can happen, what can be done, and the times."""

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Self

from berth_api.activity import CLOCK_SKEW, NEVER, evicted_until, last_unload
from berth_api.model_deployment import ModelDeployment, ReplicaActivity
from berth_api.schema import format_timestamp
from berth_cluster.cluster import Object

LEASE = timedelta(seconds=90)
"""How long a lease lasts. A router that crashes delays a deletion by no more than this."""

RENEWAL = timedelta(seconds=60)
"""A lease is renewed when it has this much left. So a cluster may take no writes for RENEWAL - MARGIN, at no cost."""

PROMISE_SLACK = timedelta(seconds=30)
"""While there is a lease, a promise may be this much longer than the stored one: the next renewal stores it."""

MARGIN = CLOCK_SKEW + timedelta(seconds=5)
"""What a lease must have left when a request is passed on: for clocks that differ, and for a slow renewal."""

SETTLE = timedelta(seconds=2)
"""A lease is released after so long without a request: often the next request comes at once.

This also limits the writes: two for each time that a request comes to a deployment without a lease.
"""

WRITE_INTERVAL = timedelta(seconds=1)
"""Between two writes that no request waits for, and between two tries of one that a request waits for."""

LEASE_AFTER = timedelta(seconds=0.3)
"""A queued request takes a lease after so long: many requests are refused at once, and need none."""

LONGEST_BACKOFF = timedelta(seconds=5)
"""Between two tries of a write while requests are in hand."""

LONGEST_IDLE_BACKOFF = timedelta(seconds=30)
"""Between two tries of a write while none is."""

INSTANT = timedelta(milliseconds=1)
"""The smallest difference that a stored time can have."""

LONG_AGO = datetime.min.replace(tzinfo=UTC)
EVER = math.inf


# What is read and written


@dataclass(frozen=True, slots=True)
class DeploymentVersion:
    """What one version of a deployment says to the leases of one replica."""

    version: int
    own: ReplicaActivity | None
    """This replica's entry."""
    unloaded_at: datetime | None
    """When any replica last unloaded it."""
    closed_until: datetime | None
    """Until when it is closed to new claims: a replica unloads it, or the operator evicts it."""
    created_at: datetime
    wanted: bool = False
    """Whether its room is wanted for another deployment."""

    @classmethod
    def of(cls, deployment: ModelDeployment, replica: str) -> Self:
        """What the deployment says to this replica."""
        entries = deployment.status.activity
        closed = [*(entry.closed_until for entry in entries.values()), evicted_until(deployment)]
        return cls(
            version=int(deployment.resource_version),
            own=entries.get(replica),
            unloaded_at=last_unload(deployment),
            closed_until=max((moment for moment in closed if moment), default=None),
            created_at=deployment.created_at,
            wanted=deployment.status.eviction is not None,
        )


@dataclass(frozen=True, slots=True)
class Order:
    """A step of an unload, to be written at once. It needs no lease."""

    close_until: datetime | None = None
    """Close the deployment to new claims until then. None: open it."""
    unload_at: datetime | None = None
    """Unload it at this moment, or at the last activity that the entry states, whichever is later."""


@dataclass(frozen=True, slots=True)
class ActivityEntry:
    """This replica's entry in `status.activity`, as it is to be written."""

    last_activity: datetime
    keep_until: datetime
    lease_until: datetime | None
    in_flight: int
    orders: tuple[Order, ...] = ()

    def patch(self) -> Object:
        """The merge patch of the entry: a null removes a field; a field that the patch does not name stays."""
        patch: Object = {
            "lastActivity": format_timestamp(self.last_activity),
            "keepUntil": format_timestamp(self.keep_until),
            "leaseUntil": format_timestamp(self.lease_until) if self.lease_until else None,
            "inFlight": self.in_flight,
        }
        for order in self.orders:
            patch["closedUntil"] = format_timestamp(order.close_until) if order.close_until else None
            if order.unload_at:
                patch["unloadAt"] = format_timestamp(max(order.unload_at, self.last_activity))
        return patch


# What is known


@dataclass(slots=True)
class LeaseState:
    """What is known. `next_state` makes a new one of it; only the counts of requests change in place."""

    promise: datetime
    """Until when the requests that have ended keep the deployment."""
    last_activity: datetime
    """When a request that makes a promise was last in hand."""
    stored_promise: datetime = LONG_AGO
    """The longest promise that was stored since the last unload."""
    stored: ReplicaActivity | None = None
    """This replica's entry as it was last known to be stored."""
    version: int = 0
    """Of the newest object that was read."""
    unloaded_at: datetime | None = None
    epoch: int = 0
    """How many unloads were seen: each ends the promises of the requests before it."""
    closed_until: datetime | None = None
    wanted: bool = False
    """Whether the operator waits for the deployment to be idle: then a lease is released without delay."""

    in_hand: int = 0
    by_ttl: dict[int, int] = field(default_factory=dict[int, int])
    """The requests in hand of the present epoch, by TTL."""
    ended: dict[int, datetime] = field(default_factory=dict[int, datetime])
    """When the last request of each TTL ended, where the promise does not yet include it."""
    in_hand_since: datetime = LONG_AGO
    """When the requests in hand began, while they have no lease."""
    idle_since: datetime = LONG_AGO
    """When the last request ended, while none is in hand."""

    lease: datetime | None = None
    """End of the lease that the cluster has acknowledged."""
    uncertain_lease: datetime | None = None
    """End of a lease that may be stored or not: its write failed, or an earlier process of this replica wrote it."""
    writing: ActivityEntry | None = None
    lease_needed: bool = False
    """Whether a request waits for a lease."""
    orders: tuple[Order, ...] = ()
    written_at: datetime = LONG_AGO
    """When the last write returned."""
    failures: int = 0
    """Failed writes in a row."""
    conflicts: int = 0
    """Writes in a row that found another version of the object."""
    leaving: bool = False
    """Whether this replica ends."""
    gone: bool = False
    """Whether the deployment is deleted."""

    usable_until: datetime = LONG_AGO
    """Before this moment a request may be passed on."""
    covered_ttl: float = 0
    """Seconds: for a request of this TTL or a shorter one, the stored promise is long enough for now."""
    settling: bool = False
    """Whether the rules look again within SETTLE in any case, so that the end of the last request is no event."""

    def copy(self) -> "LeaseState":
        """Another state with the same content."""
        return replace(self, by_ttl=dict(self.by_ttl), ended=dict(self.ended))

    def may_begin(self, ttl: int, now: datetime) -> bool:
        """Whether a request can be passed on at once, and needs nothing else."""
        return now < self.usable_until and (ttl or EVER) <= self.covered_ttl

    def count_begin(self, ttl: int) -> None:
        """Counts a request that begins."""
        self.in_hand += 1
        self.by_ttl[ttl] = self.by_ttl.get(ttl, 0) + 1

    def count_end(self, ttl: int, epoch: int, now: datetime, *, promises: bool) -> None:
        """Counts the end of a request that began in this epoch. `promises`: whether it keeps the model for its TTL."""
        self.in_hand -= 1
        if not self.in_hand:
            self.idle_since = now
        if epoch != self.epoch:
            return
        left = self.by_ttl[ttl] - 1
        if left:
            self.by_ttl[ttl] = left
        else:
            del self.by_ttl[ttl]
        if promises:
            self.last_activity = self.ended[ttl] = now

    def is_closed(self, now: datetime) -> bool:
        """Whether the deployment is unloaded or evicted, so that it takes no new claims."""
        return self.closed_until is not None and now < self.closed_until


def promise_end(now: datetime, ttl: int) -> datetime:
    """Until when a request that ends now keeps its deployment. `ttl` in seconds, 0 for ever."""
    return NEVER if ttl == 0 else now + timedelta(seconds=ttl)


# What can happen


@dataclass(frozen=True, slots=True)
class RequestBegan:
    """A request has come."""

    ttl: int


@dataclass(frozen=True, slots=True)
class RequestEnded:
    """A request has ended, or was refused."""

    ttl: int
    epoch: int
    promises: bool = True


@dataclass(frozen=True, slots=True)
class RequestCarriedOver:
    """A request that began before the last unload is passed on only now: it counts as one after the unload."""

    ttl: int


@dataclass(frozen=True, slots=True)
class LeaseNeeded:
    """A request in hand waits for a lease."""


@dataclass(frozen=True, slots=True)
class OrderGiven:
    """This replica is to close, open or unload the deployment."""

    order: Order


@dataclass(frozen=True, slots=True)
class WriteStored:
    """The write under way is stored. `seen`: the version that it made."""

    seen: DeploymentVersion


@dataclass(frozen=True, slots=True)
class WriteFailed:
    """The write under way failed, or its answer is lost: then the entry may be stored all the same."""


@dataclass(frozen=True, slots=True)
class WriteOutdated:
    """The write under way was not done, because the object had changed. `seen`: its present version."""

    seen: DeploymentVersion


@dataclass(frozen=True, slots=True)
class DeploymentChanged:
    """The view shows another version."""

    seen: DeploymentVersion


@dataclass(frozen=True, slots=True)
class DeploymentRemoved:
    """The deployment does not exist any more."""


@dataclass(frozen=True, slots=True)
class TimerFired:
    """The moment of the last SetTimer has come."""


@dataclass(frozen=True, slots=True)
class ReplicaLeaving:
    """This replica ends."""


Event = (
    RequestBegan
    | RequestEnded
    | RequestCarriedOver
    | LeaseNeeded
    | OrderGiven
    | WriteStored
    | WriteFailed
    | WriteOutdated
    | DeploymentChanged
    | DeploymentRemoved
    | TimerFired
    | ReplicaLeaving
)


# What is to be done


@dataclass(frozen=True, slots=True)
class WriteEntry:
    """Write this entry to this version of the object and to no other; the result comes back as an event."""

    entry: ActivityEntry
    version: int


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Fire TimerFired at this moment. It replaces the timer that was set before."""

    at: datetime


class LeaseAnswer(Enum):
    """What the requests that wait for a lease are to hear."""

    GRANTED = auto()
    FAILED = auto()
    GONE = auto()


Effect = WriteEntry | SetTimer | LeaseAnswer
