"""The rules of one replica's lease on one deployment. Pure: what is known + what happens → what is to be done.

A router passes a request on only under its own lease, which the cluster has acknowledged and which has a margin left.
The content of a write is decided when the write begins, from all that is known then. One write is under way at most.
"""

from datetime import datetime, timedelta

from berth_api.activity import NEVER
from berth_process.backoff import exponential
from berth_router.lifecycle.lease_state import (
    EVER,
    INSTANT,
    LEASE,
    LEASE_AFTER,
    LONG_AGO,
    LONGEST_BACKOFF,
    LONGEST_IDLE_BACKOFF,
    MARGIN,
    PROMISE_SLACK,
    RENEWAL,
    SETTLE,
    WRITE_INTERVAL,
    ActivityEntry,
    DeploymentChanged,
    DeploymentRemoved,
    DeploymentVersion,
    Effect,
    Event,
    LeaseAnswer,
    LeaseNeeded,
    LeaseState,
    OrderGiven,
    ReplicaLeaving,
    RequestBegan,
    RequestCarriedOver,
    RequestEnded,
    SetTimer,
    TimerFired,
    WriteEntry,
    WriteFailed,
    WriteOutdated,
    WriteStored,
    promise_end,
)

_MOST_CONFLICTS = 5
"""In a row. After that the write has failed: others write the object all the time."""

_TRIES_AT_THE_END = 2
"""Of a write, while this replica ends."""


def first_state(seen: DeploymentVersion, now: datetime) -> LeaseState:
    """What is known at first: what is stored.

    A stored lease is an earlier process's: this one may release it, and may not use it.
    """
    own = seen.own
    created_at = min(seen.created_at, now)
    state = LeaseState(
        promise=own.keep_until if own else created_at,
        last_activity=own.last_activity if own else created_at,
        stored_promise=own.keep_until if own else created_at,
        stored=own,
        version=seen.version,
        unloaded_at=seen.unloaded_at,
        closed_until=seen.closed_until,
        wanted=seen.wanted,
        idle_since=now,
        uncertain_lease=own.lease_until if own else None,
    )
    if seen.unloaded_at and state.last_activity <= seen.unloaded_at:
        _end_promises(state, seen.unloaded_at)
    return state


def next_state(state: LeaseState, event: Event, now: datetime) -> tuple[LeaseState, list[Effect]]:
    """What is known after the event, and what is to be done. `state` itself does not change."""
    state = state.copy()
    answer = _note(state, event, now)
    _fold_ended(state)
    effects: list[Effect] = [answer] if answer else []
    moment = due(state, now)
    if moment and moment <= now:
        effects.append(WriteEntry(_begin_write(state, now), state.version))
    elif moment:
        effects.append(SetTimer(moment))
    _derive_limits(state, now)
    return state, effects


def due(state: LeaseState, now: datetime) -> datetime | None:
    """When to write next, if nothing else happens. None: nothing is to be written, or a write is under way."""
    if state.writing or state.gone:
        return None
    if state.orders:
        return now
    moments: list[datetime] = []
    if moment := _unrequested_write_at(state, now):
        moments.append(max(moment, state.written_at + _interval(state, now)))
    if state.lease_needed and not state.leaving:
        moments.append(state.written_at + WRITE_INTERVAL if state.failures else now)
    return min(moments, default=None)


def _note(state: LeaseState, event: Event, now: datetime) -> LeaseAnswer | None:
    """Records the event in the state."""
    match event:
        case RequestBegan(ttl):
            if not state.in_hand:
                state.in_hand_since = now
            state.count_begin(ttl)
            if state.failures and (state.lease is None or state.lease <= now + MARGIN):
                state.lease_needed = True
        case RequestEnded(ttl, epoch, promises):
            state.count_end(ttl, epoch, now, promises=promises)
        case RequestCarriedOver(ttl):
            state.by_ttl[ttl] = state.by_ttl.get(ttl, 0) + 1
        case LeaseNeeded():
            state.lease_needed = True
        case OrderGiven(order):
            state.orders = (*state.orders, order)
        case WriteStored(seen):
            return _acknowledged(state, seen, now)
        case WriteFailed():
            return _failed(state, now)
        case WriteOutdated(seen):
            return _outdated(state, seen, now)
        case DeploymentChanged(seen):
            _changed(state, seen)
        case DeploymentRemoved():
            state.gone, state.writing = True, None
            return LeaseAnswer.GONE
        case ReplicaLeaving():
            state.leaving, state.failures = True, 0
        case TimerFired():
            pass
    return None


def _acknowledged(state: LeaseState, seen: DeploymentVersion, now: datetime) -> LeaseAnswer | None:
    entry, state.writing = state.writing, None
    if entry is None:
        return None
    state.failures = state.conflicts = 0
    state.written_at, state.uncertain_lease = now, None
    state.stored = seen.own
    state.stored_promise = max(state.stored_promise, entry.keep_until)
    state.lease = seen.own.lease_until if seen.own and entry.lease_until else None
    _learn(state, seen)
    if not state.lease:
        return None
    state.lease_needed = False
    return LeaseAnswer.GRANTED


def _failed(state: LeaseState, now: datetime) -> LeaseAnswer | None:
    entry, state.writing = state.writing, None
    if entry is None:
        return None
    state.failures, state.written_at = state.failures + 1, now
    ends = (state.uncertain_lease, entry.lease_until, state.stored.lease_until if state.stored else None)
    state.uncertain_lease = max((end for end in ends if end), default=None)
    state.conflicts = 0
    if entry.lease_until is None:  # it released a lease: requests that came meanwhile get a write of their own
        return None
    state.lease_needed = False
    return LeaseAnswer.FAILED


def _outdated(state: LeaseState, seen: DeploymentVersion, now: datetime) -> LeaseAnswer | None:
    """Nothing was written. What to write is decided anew, from what is stored."""
    entry = state.writing
    if entry is None:
        return None
    state.conflicts += 1
    if state.conflicts > _MOST_CONFLICTS:
        answer = _failed(state, now)
    else:
        answer, state.writing, state.orders = None, None, (*entry.orders, *state.orders)
    _changed(state, seen)
    return answer


def _changed(state: LeaseState, seen: DeploymentVersion) -> None:
    if seen.version < state.version:
        return
    # The same version counts again: it may have come first while a write was under way.
    _learn(state, seen)
    if state.writing:
        return
    own = seen.own
    if own and own != state.stored and (state.unloaded_at is None or own.last_activity > state.unloaded_at):
        # A write whose answer was lost, or one that an earlier process of this replica had sent before it ended.
        state.promise = max(state.promise, own.keep_until)
        state.last_activity = max(state.last_activity, own.last_activity)
    state.stored = own
    stored = own.lease_until if own else None
    if state.lease and (stored is None or stored < state.lease):  # somebody removed it
        state.lease = stored


def _learn(state: LeaseState, seen: DeploymentVersion) -> None:
    """Records what other replicas wrote: that the deployment is closed, and that it was unloaded."""
    if seen.version >= state.version:
        state.version = seen.version
        state.closed_until = seen.closed_until
        state.wanted = seen.wanted
    if seen.unloaded_at and (state.unloaded_at is None or seen.unloaded_at > state.unloaded_at):
        state.unloaded_at = seen.unloaded_at
        _end_promises(state, seen.unloaded_at)


def _end_promises(state: LeaseState, unloaded_at: datetime) -> None:
    """The unload ends the promises of all requests before it."""
    state.epoch += 1
    state.by_ttl, state.ended = {}, {}
    state.promise = min(state.promise, unloaded_at)
    state.stored_promise = min(state.stored_promise, unloaded_at)
    state.last_activity = min(state.last_activity, unloaded_at)


def _fold_ended(state: LeaseState) -> None:
    """Adds the promises of the requests that have ended."""
    if state.ended:
        state.promise = max(state.promise, *(promise_end(at, ttl) for ttl, at in state.ended.items()))
        state.ended = {}
        state.last_activity = _after_unload(state, state.last_activity)
    if not state.in_hand:
        state.lease_needed = False


def _after_unload(state: LeaseState, moment: datetime) -> datetime:
    """The moment as it is to be written: one before the last unload would mean a request before the unload."""
    return max(moment, state.unloaded_at + INSTANT) if state.unloaded_at else moment


def _promise(state: LeaseState, now: datetime) -> datetime:
    """The promise, if all requests in hand ended now."""
    return max([state.promise, *(promise_end(now, ttl) for ttl in state.by_ttl)])


def _unrequested_write_at(state: LeaseState, now: datetime) -> datetime | None:
    """When to write what no request waits for, without the interval between writes."""
    if state.leaving and state.failures >= _TRIES_AT_THE_END:
        return None
    promise = _promise(state, now)
    moments: list[datetime] = []
    if state.in_hand and not state.leaving:
        moments.append(state.lease - RENEWAL if state.lease else state.in_hand_since + LEASE_AFTER)
    elif _may_be_stored(state, now):
        settled = _settled_at(state, now)
        moments.append(settled)
        if state.lease and settled > now:  # in use, though not in this moment
            moments.append(state.lease - RENEWAL)
    elif promise > max(state.stored_promise + (PROMISE_SLACK if state.in_hand else timedelta()), now):
        # With a request in hand the promise grows all the time: without the slack a router that ends would write on.
        moments.append(_settled_at(state, now))
    if state.lease and promise > max(state.stored_promise + PROMISE_SLACK, now):
        moments.append(now)
    if _contradicts_unload(state):
        moments.append(now)
    return min(moments, default=None)


def _may_be_stored(state: LeaseState, now: datetime) -> bool:
    """Whether a lease that has not run out may be stored."""
    stored = state.stored.lease_until if state.stored else None
    return any(end and end > now for end in (state.lease, state.uncertain_lease, stored))


def _settled_at(state: LeaseState, now: datetime) -> datetime:
    """When no request has been in hand for long enough to release the lease."""
    return now if state.leaving or state.wanted or state.is_closed(now) else state.idle_since + SETTLE


def _contradicts_unload(state: LeaseState) -> bool:
    """Whether the stored entry states a request since the last unload where there was none."""
    stored, unloaded_at = state.stored, state.unloaded_at
    if stored is None or unloaded_at is None or state.by_ttl:
        return False
    return stored.last_activity > unloaded_at >= state.last_activity


def _interval(state: LeaseState, now: datetime) -> timedelta:
    """The time from the last write to one that no request waits for."""
    if state.leaving or (state.is_closed(now) and not state.failures):
        return timedelta()
    if not state.failures:
        return WRITE_INTERVAL
    longest = LONGEST_BACKOFF if state.in_hand else LONGEST_IDLE_BACKOFF
    return exponential(WRITE_INTERVAL, longest, state.failures)


def _begin_write(state: LeaseState, now: datetime) -> ActivityEntry:
    just_used = state.lease is not None and not state.orders and _settled_at(state, now) > now
    lease = max(now + LEASE, state.lease or now) if (state.in_hand or just_used) and not state.leaving else None
    entry = ActivityEntry(
        last_activity=_after_unload(state, now) if state.by_ttl else state.last_activity,
        keep_until=_promise(state, now),
        lease_until=lease,
        in_flight=state.in_hand if lease else 0,
        orders=state.orders,
    )
    state.writing, state.orders = entry, ()
    # From here on the promise may be stored. So it counts, even if its request is refused in the end.
    state.promise, state.last_activity = entry.keep_until, entry.last_activity
    if lease is None:  # from here on no request relies on the lease, which is about to be released
        state.lease = None
    return entry


def _protection(state: LeaseState) -> datetime | None:
    """Until when nobody can remove the deployment: the lease, or the stored promise while the cluster takes no writes.

    A cluster that takes no writes deletes nothing either. Where only this replica cannot reach it, the promise still
    keeps the deployment from being idle.
    """
    if not state.failures:
        return state.lease
    return max(state.lease, state.stored_promise) if state.lease else state.stored_promise


def _derive_limits(state: LeaseState, now: datetime) -> None:
    """Sets what the path of a request reads."""
    shut = state.leaving or state.gone or state.is_closed(now)
    protection = None if shut else _protection(state)
    state.usable_until = protection - MARGIN if protection else LONG_AGO
    covered = max(state.stored_promise, _promise(state, now))
    if state.failures:  # then each request is an event, which may cause a write
        state.covered_ttl = 0
    else:
        state.covered_ttl = EVER if covered >= NEVER else (covered + PROMISE_SLACK - now).total_seconds()
    state.settling = not (state.in_hand or state.writing or state.failures) and state.lease is not None
