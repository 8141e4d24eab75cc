"""The lease of one replica on one deployment, as a pure function: what is known, what happens, what is to be done.

A request is passed on only while the cluster has acknowledged a lease of this very replica, with a margin left. What a
write says is built when it begins, from all that is known by then; no more than one is under way.
"""

from datetime import datetime, timedelta

from berth_api.activity import NEVER
from berth_process.backoff import exponential
from berth_router.lifecycle.lease_entry import Entry, Seen
from berth_router.lifecycle.lease_state import (
    EVER,
    HELD_AFTER,
    INSTANT,
    LEASE,
    LONG_AGO,
    LONGEST_BACKOFF,
    LONGEST_IDLE_BACKOFF,
    MARGIN,
    RENEWAL,
    SETTLE,
    UNTOLD,
    WRITE_INTERVAL,
    Acknowledged,
    Begun,
    Changed,
    Effect,
    Ended,
    Event,
    Failed,
    Gone,
    Leaving,
    Ordered,
    Outdated,
    Passed,
    State,
    Tell,
    Tick,
    WakeAt,
    Wanted,
    Write,
    promise_end,
)

_MOST_CONFLICTS = 5
"""In a row: after that a write has failed, since the object is being written by others all the time."""

_TRIES_AT_THE_END = 2
"""Of a write, when this replica ends."""


def first_state(seen: Seen, now: datetime) -> State:
    """What is known at first: what is stored. A lease that is stored is an earlier life's:
    it may be given back, not used.
    """
    own = seen.own
    created_at = min(seen.created_at, now)
    state = State(
        promise=own.keep_until if own else created_at,
        last_activity=own.last_activity if own else created_at,
        told=own.keep_until if own else created_at,
        stored=own,
        version=seen.version,
        unloaded_at=seen.unloaded_at,
        closed_until=seen.closed_until,
        idle_since=now,
        doubtful=own.lease_until if own else None,
    )
    if seen.unloaded_at and state.last_activity <= seen.unloaded_at:
        _end_promises(state, seen.unloaded_at)
    return state


def next_state(state: State, event: Event, now: datetime) -> tuple[State, list[Effect]]:
    """What is known after the event, and what is to be done. `state` itself is left as it is."""
    state = state.copy()
    tell = _take(state, event, now)
    _fold(state)
    effects: list[Effect] = [tell] if tell else []
    moment = due(state, now)
    if moment and moment <= now:
        effects.append(Write(_begin_write(state, now), state.version))
    elif moment:
        effects.append(WakeAt(moment))
    _derive(state, now)
    return state, effects


def due(state: State, now: datetime) -> datetime | None:
    """When to write next, if nothing else happens. None: nothing is to be told, or the write under way comes first."""
    if state.writing or state.gone:
        return None
    if state.orders:
        return now
    moments: list[datetime] = []
    if moment := _of_its_own(state, now):
        moments.append(max(moment, state.written_at + _distance(state, now)))
    if state.wanted and not state.leaving:
        moments.append(state.written_at + WRITE_INTERVAL if state.failures else now)
    return min(moments, default=None)


def _take(state: State, event: Event, now: datetime) -> Tell | None:
    """Notes what has happened."""
    match event:
        case Begun(ttl):
            if not state.in_hand:
                state.since = now
            state.count_begin(ttl)
            if state.failures and (state.lease is None or state.lease <= now + MARGIN):
                state.wanted = True
        case Ended(ttl, epoch, promises):
            state.count_end(ttl, epoch, now, promises=promises)
        case Passed(ttl):
            state.by_ttl[ttl] = state.by_ttl.get(ttl, 0) + 1
        case Wanted():
            state.wanted = True
        case Ordered(order):
            state.orders = (*state.orders, order)
        case Acknowledged(seen):
            return _acknowledged(state, seen, now)
        case Failed():
            return _failed(state, now)
        case Outdated(seen):
            return _outdated(state, seen, now)
        case Changed(seen):
            _changed(state, seen)
        case Gone():
            state.gone, state.writing = True, None
            return Tell.GONE
        case Leaving():
            state.leaving, state.failures = True, 0
        case Tick():
            pass
    return None


def _acknowledged(state: State, seen: Seen, now: datetime) -> Tell | None:
    entry, state.writing = state.writing, None
    if entry is None:
        return None
    state.failures = state.conflicts = 0
    state.written_at, state.doubtful = now, None
    state.stored = seen.own
    state.told = max(state.told, entry.keep_until)
    state.lease = seen.own.lease_until if seen.own and entry.lease_until else None
    _learn(state, seen)
    if not state.lease:
        return None
    state.wanted = False
    return Tell.GRANTED


def _failed(state: State, now: datetime) -> Tell | None:
    entry, state.writing = state.writing, None
    if entry is None:
        return None
    state.failures, state.written_at = state.failures + 1, now
    ends = (state.doubtful, entry.lease_until, state.stored.lease_until if state.stored else None)
    state.doubtful = max((end for end in ends if end), default=None)
    state.conflicts = 0
    if entry.lease_until is None:  # it gave a lease back: those who came meanwhile get a write of their own
        return None
    state.wanted = False
    return Tell.FAILED


def _outdated(state: State, seen: Seen, now: datetime) -> Tell | None:
    """Nothing is written, and what is to be written is decided anew, from what is stored."""
    entry = state.writing
    if entry is None:
        return None
    state.conflicts += 1
    if state.conflicts > _MOST_CONFLICTS:
        tell = _failed(state, now)
    else:
        tell, state.writing, state.orders = None, None, (*entry.orders, *state.orders)
    _changed(state, seen)
    return tell


def _changed(state: State, seen: Seen) -> None:
    if seen.version < state.version:
        return
    # The same version is looked at again: it may have come while a write was under way.
    _learn(state, seen)
    if state.writing:
        return
    own = seen.own
    if own and own != state.stored and (state.unloaded_at is None or own.last_activity > state.unloaded_at):
        # Of a write whose answer is lost, or which was on its way when an earlier life of this replica ended.
        state.promise = max(state.promise, own.keep_until)
        state.last_activity = max(state.last_activity, own.last_activity)
    state.stored = own
    stored = own.lease_until if own else None
    if state.lease and (stored is None or stored < state.lease):  # somebody took it
        state.lease = stored


def _learn(state: State, seen: Seen) -> None:
    """Takes in what other replicas say: that the deployment is closed, and that it was unloaded."""
    if seen.version >= state.version:
        state.version = seen.version
        state.closed_until = seen.closed_until
    if seen.unloaded_at and (state.unloaded_at is None or seen.unloaded_at > state.unloaded_at):
        state.unloaded_at = seen.unloaded_at
        _end_promises(state, seen.unloaded_at)


def _end_promises(state: State, unloaded_at: datetime) -> None:
    """The promises of all requests so far end with the unload."""
    state.epoch += 1
    state.by_ttl, state.ended = {}, {}
    state.promise = min(state.promise, unloaded_at)
    state.told = min(state.told, unloaded_at)
    state.last_activity = min(state.last_activity, unloaded_at)


def _fold(state: State) -> None:
    """Makes of the requests that have ended what they promise."""
    if state.ended:
        state.promise = max(state.promise, *(promise_end(at, ttl) for ttl, at in state.ended.items()))
        state.ended = {}
        state.last_activity = _after_unload(state, state.last_activity)
    if not state.in_hand:
        state.wanted = False


def _after_unload(state: State, moment: datetime) -> datetime:
    """The moment, as it is to be told: one that is not after the last unload would mean a request before it."""
    return max(moment, state.unloaded_at + INSTANT) if state.unloaded_at else moment


def _promise(state: State, now: datetime) -> datetime:
    """Until when the deployment is wanted, should all that is in hand end now."""
    return max([state.promise, *(promise_end(now, ttl) for ttl in state.by_ttl)])


def _of_its_own(state: State, now: datetime) -> datetime | None:
    """When to write what no request waits for, but for the distance between writes."""
    if state.leaving and state.failures >= _TRIES_AT_THE_END:
        return None
    promise = _promise(state, now)
    moments: list[datetime] = []
    if state.in_hand and not state.leaving:
        moments.append(state.lease - RENEWAL if state.lease else state.since + HELD_AFTER)
    elif _may_be_stored(state, now):
        settled = _settled_at(state, now)
        moments.append(settled)
        if state.lease and settled > now:  # in use, but for this moment
            moments.append(state.lease - RENEWAL)
    elif promise > max(state.told, now):
        moments.append(_settled_at(state, now))
    if state.lease and promise > max(state.told + UNTOLD, now):
        moments.append(now)
    if _contradicts_unload(state):
        moments.append(now)
    return min(moments, default=None)


def _may_be_stored(state: State, now: datetime) -> bool:
    """Whether a lease may be stored that has not run out."""
    stored = state.stored.lease_until if state.stored else None
    return any(end and end > now for end in (state.lease, state.doubtful, stored))


def _settled_at(state: State, now: datetime) -> datetime:
    """When nothing has been in hand for long enough."""
    return now if state.leaving or state.is_closing(now) else state.idle_since + SETTLE


def _contradicts_unload(state: State) -> bool:
    """Whether the stored entry tells of a request since the last unload where there was none."""
    stored, unloaded_at = state.stored, state.unloaded_at
    if stored is None or unloaded_at is None or state.by_ttl:
        return False
    return stored.last_activity > unloaded_at >= state.last_activity


def _distance(state: State, now: datetime) -> timedelta:
    """From the last write to one that no request waits for."""
    if state.leaving or (state.is_closing(now) and not state.failures):
        return timedelta()
    if not state.failures:
        return WRITE_INTERVAL
    return exponential(WRITE_INTERVAL, LONGEST_BACKOFF if state.in_hand else LONGEST_IDLE_BACKOFF, state.failures)


def _begin_write(state: State, now: datetime) -> Entry:
    just_used = state.lease is not None and not state.orders and _settled_at(state, now) > now
    lease = max(now + LEASE, state.lease or now) if (state.in_hand or just_used) and not state.leaving else None
    entry = Entry(
        last_activity=_after_unload(state, now) if state.by_ttl else state.last_activity,
        keep_until=_promise(state, now),
        lease_until=lease,
        in_flight=state.in_hand if lease else 0,
        orders=state.orders,
    )
    state.writing, state.orders = entry, ()
    # What may be stored from here on is promised, also if the request that wanted it is refused in the end.
    state.promise, state.last_activity = entry.keep_until, entry.last_activity
    if lease is None:  # from here on nobody relies on what is about to be given back
        state.lease = None
    return entry


def _protection(state: State) -> datetime | None:
    """Until when the deployment cannot be taken away: the lease, and the stored promise while the cluster takes no writes.

    A cluster that takes none deletes nothing either. Where only this replica cannot reach it, its promise still keeps
    the deployment from being idle.
    """
    if not state.failures:
        return state.lease
    return max(state.lease, state.told) if state.lease else state.told


def _derive(state: State, now: datetime) -> None:
    """What the path of a request looks at."""
    shut = state.leaving or state.gone or state.is_closing(now)
    protection = None if shut else _protection(state)
    state.usable_until = protection - MARGIN if protection else LONG_AGO
    told = max(state.told, _promise(state, now))
    if state.failures:  # each request is an event, which may have the lease written
        state.longest_told = 0
    else:
        state.longest_told = EVER if told >= NEVER else (told + UNTOLD - now).total_seconds()
    state.settling = not (state.in_hand or state.writing or state.failures) and state.lease is not None
