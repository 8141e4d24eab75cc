"""When a deployment is idle: a pure function that the operator and the routers share.

A router's entry in `status.activity` states two times:

- `keepUntil`, its promise: until when the model stays for the TTLs of its requests. A promise only grows.
- `leaseUntil`, its lease: until when it may pass requests on. It renews the lease while it has requests in hand, and
  releases it afterwards.

A deployment is idle when its TTL since it became ready, every promise and every lease have run out. An unload ends the
promises that were made before it. It ends no lease: the router that unloads waits until each lease is released or has
run out.

A deployment that has to make room for another one is closed by the operator, in `status.eviction`. Then no router
takes a lease, and each releases its own as soon as it has no request in hand; when there is no lease any more, the
deployment is vacated.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from berth_api.model_deployment import ModelDeployment, ReplicaActivity

NEVER = datetime(9999, 12, 31, tzinfo=UTC)
"""The end of an endless promise: of a request with a TTL of 0."""

CLOCK_SKEW = timedelta(seconds=5)
"""How much the clocks of two machines may differ. A router relies on a lease only until this long before its end."""

_QUIET = timedelta(hours=1)
"""A router that has written nothing about a deployment for so long may be gone."""


def expires_at(deployment: ModelDeployment) -> datetime | None:
    """When the deployment becomes idle. None: never, or unknown because it has not been ready."""
    loaded_at = deployment.status.loaded_at
    if loaded_at is None:
        return None
    ttl = deployment.spec.idle.ttl_seconds
    unloaded_at = last_unload(deployment)
    promises = [entry.keep_until for entry in valid_promises(deployment)]
    if unloaded_at is None or unloaded_at < loaded_at:
        if ttl == 0:
            return None
        promises.append(loaded_at + timedelta(seconds=ttl))
    elif not promises:
        promises.append(unloaded_at)
    elif ttl == 0:
        return None
    leased = leased_until(deployment)
    moment = max([*promises, leased] if leased else promises)
    return None if moment >= NEVER else moment


def leased_until(deployment: ModelDeployment, besides: str | None = None) -> datetime | None:
    """When the last lease runs out; None where no router has one. `besides`: a replica whose lease does not count."""
    leases = [end for name, entry in deployment.status.activity.items() if name != besides and (end := lease_of(entry))]
    return max(leases, default=None)


def lease_of(entry: ReplicaActivity) -> datetime | None:
    """When the lease of this entry runs out; None where it has none."""
    if entry.lease_until is None and entry.in_flight:
        return entry.keep_until  # an earlier version of the router wrote no field for the lease
    return entry.lease_until


def last_promise_end(deployment: ModelDeployment) -> datetime | None:
    """When the last valid promise runs out; None where there is none."""
    return max((entry.keep_until for entry in valid_promises(deployment)), default=None)


def last_activity(deployment: ModelDeployment) -> datetime | None:
    """When any router last had a request of the deployment in hand."""
    return max((entry.last_activity for entry in deployment.status.activity.values()), default=None)


def last_unload(deployment: ModelDeployment) -> datetime | None:
    """When the deployment was last unloaded, or fell asleep to make room; None where it never was."""
    status = deployment.status
    unloads = [entry.unload_at for entry in status.activity.values() if entry.unload_at]
    return max([*unloads, status.evicted_at] if status.evicted_at else unloads, default=None)


def evicted_until(deployment: ModelDeployment) -> datetime | None:
    """Until when new requests wait because the deployment has to make room; None where it need not."""
    return deployment.status.eviction.closed_until if deployment.status.eviction else None


def vacated_at(deployment: ModelDeployment, now: datetime) -> datetime:
    """When a deployment that has to make room is used by no router any more, by all clocks, if none takes a lease.

    A moment that has come is the time to remove the engine: by a write to this very version. A router that takes a
    lease first has that write fail, and one that comes later finds the deployment gone or asleep.
    """
    leased = leased_until(deployment)
    return leased + CLOCK_SKEW if leased else now


def evicted(deployment: ModelDeployment, now: datetime) -> datetime:
    """What `status.evictedAt` says if the deployment falls asleep now: not before any request that a router reports."""
    return max([now, *(entry.last_activity for entry in deployment.status.activity.values())])


def valid_promises(deployment: ModelDeployment) -> list[ReplicaActivity]:
    """The entries with a valid promise: those with a request since the last unload."""
    unloaded_at = last_unload(deployment)
    entries = deployment.status.activity.values()
    return [entry for entry in entries if unloaded_at is None or entry.last_activity > unloaded_at]


def forgotten_entries(deployment: ModelDeployment, now: datetime) -> list[str]:
    """The replicas whose entries have no meaning any more: all of them may be removed at once.

    Such an entry has been quiet for an hour, its lease has run out, and without it no promise, unload or expiry
    changes, now or later. An endless promise stays until an unload ends it; the unload stays as long as it ends a
    promise.
    """
    kept = dict(deployment.status.activity)
    forgotten: list[str] = []
    for name, entry in deployment.status.activity.items():
        others = {other: each for other, each in kept.items() if other != name}
        if _quiet_since(entry) + _QUIET < now and _mean_the_same(deployment, kept, others, now):
            kept = others
            forgotten.append(name)
    return forgotten


def _quiet_since(entry: ReplicaActivity) -> datetime:
    """The latest moment in the entry, but for its promise."""
    moments = (entry.last_activity, lease_of(entry), entry.unload_at, entry.closed_until)
    return max(moment for moment in moments if moment)


def _mean_the_same(
    deployment: ModelDeployment,
    entries: Mapping[str, ReplicaActivity],
    fewer: Mapping[str, ReplicaActivity],
    now: datetime,
) -> bool:
    """Whether fewer entries mean the same promise and expiry. Leases do not count: a router may release its own."""
    before, after = (_without_leases(deployment, each) for each in (entries, fewer))
    same_promise = _or_past(last_promise_end(before), now) == _or_past(last_promise_end(after), now)
    ends = [expires_at(each) for each in (before, after)]
    if None in ends:
        return same_promise and ends[0] is ends[1]
    return same_promise and _or_past(ends[0], now) == _or_past(ends[1], now)


def _without_leases(deployment: ModelDeployment, entries: Mapping[str, ReplicaActivity]) -> ModelDeployment:
    activity = {name: entry.model_copy(update={"lease_until": None, "in_flight": 0}) for name, entry in entries.items()}
    return replace(deployment, status=deployment.status.model_copy(update={"activity": activity}))


def _or_past(moment: datetime | None, now: datetime) -> datetime | None:
    """The moment; None where it has come."""
    return moment if moment and moment > now else None
