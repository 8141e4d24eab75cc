"""What a replica knows of its lease on one deployment, what can happen to it, and what it can do."""

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

from berth_api.activity import CLOCK_SKEW, NEVER
from berth_api.model_deployment import ReplicaActivity
from berth_router.lifecycle.lease_entry import Entry, Order, Seen

LEASE = timedelta(seconds=90)
"""How far ahead a lease is taken. A router that crashes delays a deletion by no more than this."""

RENEWAL = timedelta(seconds=60)
"""What a lease has left when it is renewed. So a cluster that takes no writes for RENEWAL - MARGIN costs no request."""

UNTOLD = timedelta(seconds=30)
"""How much longer than it is told a promise may be while there is a lease: the next renewal tells it."""

MARGIN = CLOCK_SKEW + timedelta(seconds=5)
"""What a lease must have left when a request is passed on:
room for clocks that differ, and for a renewal that is slow.
"""

SETTLE = timedelta(seconds=2)
"""How long nothing must have been in hand before a lease is given back: the next request often comes at once.

It also bounds the writes: two for each time that a request comes to a deployment without a lease.
"""

WRITE_INTERVAL = timedelta(seconds=1)
"""Between two writes that no request waits for, and between two tries for one that does."""

HELD_AFTER = timedelta(seconds=0.3)
"""How long a request must have been held before it is worth a lease: many are refused at once."""

LONGEST_BACKOFF = timedelta(seconds=5)
"""Between two tries while requests are in hand."""

LONGEST_IDLE_BACKOFF = timedelta(seconds=30)
"""Between two tries while none is."""

INSTANT = timedelta(milliseconds=1)
"""The smallest difference that a stored time can have."""

LONG_AGO = datetime.min.replace(tzinfo=UTC)
EVER = math.inf


@dataclass(slots=True)
class State:
    """What is known. `next_state` makes a new one of it; only the counts of requests are changed in place."""

    promise: datetime
    """Until when the requests that have ended want the deployment kept."""
    last_activity: datetime
    """When a request that makes a promise was last in hand."""
    told: datetime = LONG_AGO
    """The longest promise that has been stored since the last unload."""
    stored: ReplicaActivity | None = None
    """This replica's entry as it was last known to be stored."""
    version: int = 0
    """Of the newest object that was seen."""
    unloaded_at: datetime | None = None
    epoch: int = 0
    """How many unloads have been seen: each ends the promises of the requests before it."""
    closed_until: datetime | None = None

    in_hand: int = 0
    by_ttl: dict[int, int] = field(default_factory=dict[int, int])
    """The requests in hand of the present epoch, by TTL."""
    ended: dict[int, datetime] = field(default_factory=dict[int, datetime])
    """When the last request of each TTL ended, as far as the promise does not say so yet."""
    since: datetime = LONG_AGO
    """When the requests in hand began, as long as they have no lease."""
    idle_since: datetime = LONG_AGO
    """When the last one ended, while none is in hand."""

    lease: datetime | None = None
    """The lease that the cluster has acknowledged."""
    doubtful: datetime | None = None
    """The end of a lease that may be stored, or not: its write failed, or it is an earlier life's."""
    writing: Entry | None = None
    wanted: bool = False
    """Whether a request waits for a lease."""
    orders: tuple[Order, ...] = ()
    written_at: datetime = LONG_AGO
    """When the last write came back."""
    failures: int = 0
    """Of writes, in a row."""
    conflicts: int = 0
    """Writes in a row that were for an object that had changed."""
    leaving: bool = False
    gone: bool = False

    usable_until: datetime = LONG_AGO
    """Before this moment a request may be passed on."""
    longest_told: float = 0
    """Seconds: a request of this TTL or a shorter one has nothing to tell soon."""
    settling: bool = False
    """Whether it is looked at again within SETTLE in any case, so that the end of the last request need not say so."""

    def copy(self) -> "State":
        """Another state that is the same."""
        return replace(self, by_ttl=dict(self.by_ttl), ended=dict(self.ended))

    def may_begin(self, ttl: int, now: datetime) -> bool:
        """Whether a request can be passed on at once, and there is nothing else to do about it."""
        return now < self.usable_until and (ttl or EVER) <= self.longest_told

    def count_begin(self, ttl: int) -> None:
        """Takes a request in hand."""
        self.in_hand += 1
        self.by_ttl[ttl] = self.by_ttl.get(ttl, 0) + 1

    def count_end(self, ttl: int, epoch: int, now: datetime, *, promises: bool) -> None:
        """Lets one go that began in this epoch. `promises`: whether it wants the deployment kept for its TTL."""
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

    def is_closing(self, now: datetime) -> bool:
        """Whether a replica is about to unload the deployment."""
        return self.closed_until is not None and now < self.closed_until


def promise_end(now: datetime, ttl: int) -> datetime:
    """Until when a request that ends now keeps its deployment. `ttl` in seconds, 0 for ever."""
    return NEVER if ttl == 0 else now + timedelta(seconds=ttl)


# What can happen


@dataclass(frozen=True, slots=True)
class Begun:
    """A request has come."""

    ttl: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A request is over, or refused."""

    ttl: int
    epoch: int
    promises: bool = True


@dataclass(frozen=True, slots=True)
class Passed:
    """A request is passed on that began before the last unload: it counts as one after it."""

    ttl: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request in hand waits for a lease."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """Somebody closes, opens or unloads the deployment through this replica."""

    order: Order


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The write under way is stored, and this is what was stored."""

    seen: Seen


@dataclass(frozen=True, slots=True)
class Failed:
    """The write under way failed, or its answer is lost: it may be stored all the same."""


@dataclass(frozen=True, slots=True)
class Outdated:
    """The write under way was not done, since the object had changed, and this is what it says by now."""

    seen: Seen


@dataclass(frozen=True, slots=True)
class Changed:
    """The view shows another version."""

    seen: Seen


@dataclass(frozen=True, slots=True)
class Gone:
    """There is no such deployment any more."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The moment of a WakeAt has come."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """This replica ends."""


Event = Begun | Ended | Passed | Wanted | Ordered | Acknowledged | Failed | Outdated | Changed | Gone | Tick | Leaving


# What is to be done


@dataclass(frozen=True, slots=True)
class Write:
    """Write this entry to this version of the object and to no other, and tell what became of it."""

    entry: Entry
    version: int


@dataclass(frozen=True, slots=True)
class WakeAt:
    """Tick at this moment, and not at an earlier one that was asked for."""

    at: datetime


class Tell(Enum):
    """Tell the requests that wait for a lease."""

    GRANTED = auto()
    FAILED = auto()
    GONE = auto()


Effect = Write | WakeAt | Tell
