"""What a replica does about its lease, as a table."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_api.activity import NEVER
from berth_api.model_deployment import ReplicaActivity
from berth_router.lifecycle.lease_rules import first_state, next_state
from berth_router.lifecycle.lease_state import (
    LONG_AGO,
    ActivityEntry,
    DeploymentChanged,
    DeploymentRemoved,
    DeploymentVersion,
    Effect,
    Event,
    LeaseAnswer,
    LeaseNeeded,
    LeaseState,
    Order,
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
)

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def own(keep: float = 0, lease: float | None = None, activity: float = 0, in_flight: int = 0) -> ReplicaActivity:
    lease_until = None if lease is None else at(lease)
    return ReplicaActivity(
        last_activity=at(activity), keep_until=at(keep), lease_until=lease_until, in_flight=in_flight
    )


def seen(
    entry: ReplicaActivity | None = None, unloaded: float | None = None, closed: float | None = None, version: int = 5
) -> DeploymentVersion:
    moments = [None if moment is None else at(moment) for moment in (unloaded, closed)]
    return DeploymentVersion(version, entry, *moments, created_at=at(-900))


def entry(
    keep: float, lease: float | None, in_flight: int = 0, activity: float = 0, orders: Sequence[Order] = ()
) -> ActivityEntry:
    return ActivityEntry(at(activity), at(keep), None if lease is None else at(lease), in_flight, tuple(orders))


def writes(written: ActivityEntry) -> WriteEntry:
    """A write to the version that was seen last: see `test_a_write_is_for_the_version_that_was_seen_last`."""
    return WriteEntry(written, version=4)


UNUSED = LeaseState(promise=at(-900), last_activity=at(-900), stored_promise=at(-900), version=4)
BUSY = replace(
    UNUSED,
    promise=at(-900),
    stored_promise=at(300),
    stored=own(300, 90, in_flight=1),
    in_hand=1,
    by_ttl={300: 1},
    lease=at(90),
    written_at=at(0),
)
"""One request in hand, under a lease that was taken at 0."""
IDLE = replace(BUSY, promise=at(305), last_activity=at(5), in_hand=0, by_ttl=dict[int, int](), idle_since=at(5))
"""The request has ended at 5."""
WAITING = replace(UNUSED, in_hand=1, by_ttl={300: 1}, in_hand_since=at(0))
"""One request in hand, no lease."""


def asked(state: LeaseState, lease: float | None, **fields: Any) -> LeaseState:
    """The same state, with a write under way."""
    return replace(state, writing=entry(300, lease), **fields)


@pytest.mark.parametrize(
    ("case", "state", "event", "now", "effects"),
    [
        ("a request is queued: worth a lease if it goes on", UNUSED, RequestBegan(300), 0, [SetTimer(at(0.3))]),
        (
            "it is refused at once: its promise is written later",
            WAITING,
            RequestEnded(300, 0),
            0.1,
            [SetTimer(at(2.1))],
        ),
        (
            "it is refused because of an unload: nothing to write",
            WAITING,
            RequestEnded(300, 0, promises=False),
            0.1,
            [],
        ),
        ("it is still queued", WAITING, TimerFired(), 0.3, [writes(entry(300.3, 90.3, 1, 0.3))]),
        ("it needs a lease now", WAITING, LeaseNeeded(), 0, [writes(entry(300, 90, 1))]),
        (
            "soon after another write: it does not wait",
            replace(WAITING, written_at=at(0)),
            LeaseNeeded(),
            0.5,
            [writes(entry(300.5, 90.5, 1, 0.5))],
        ),
        (
            "soon after a failed write: it does",
            replace(WAITING, written_at=at(0), failures=3),
            LeaseNeeded(),
            0.5,
            [SetTimer(at(1))],
        ),
        ("another one while that is written", asked(WAITING, 90, lease_needed=True), LeaseNeeded(), 0, []),
        (
            "the lease is stored",
            asked(WAITING, 90, lease_needed=True),
            WriteStored(seen(own(300, 90, in_flight=1))),
            0.1,
            [LeaseAnswer.GRANTED, SetTimer(at(30))],
        ),
        (
            "the lease is refused",
            asked(WAITING, 90, lease_needed=True),
            WriteFailed(),
            0.1,
            [LeaseAnswer.FAILED, SetTimer(at(1.1))],
        ),
        ("it goes on failing", asked(WAITING, 90, failures=2), WriteFailed(), 0, [LeaseAnswer.FAILED, SetTimer(at(4))]),
        (
            "a request while no write comes through: another try",
            replace(IDLE, lease=None, failures=1),
            RequestBegan(300),
            7,
            [writes(entry(307, 97, 1, 7))],
        ),
        ("for long", asked(WAITING, 90, failures=9), WriteFailed(), 0, [LeaseAnswer.FAILED, SetTimer(at(5))]),
        ("busy: the lease is renewed when 60 s of it are left", BUSY, TimerFired(), 10, [SetTimer(at(30))]),
        ("so much is left", BUSY, TimerFired(), 30, [writes(entry(330, 120, 1, 30))]),
        (
            "a request that keeps it for longer: written within a second",
            BUSY,
            RequestBegan(3600),
            0.5,
            [SetTimer(at(1))],
        ),
        ("written", BUSY, RequestBegan(3600), 1, [writes(entry(3601, 91, 2, 1))]),
        ("for ever", BUSY, RequestBegan(0), 1, [writes(replace(entry(0, 91, 2, 1), keep_until=NEVER))]),
        ("the last request ends: once settled", BUSY, RequestEnded(300, 0), 5, [SetTimer(at(7))]),
        ("the lease is released, the promise stays", IDLE, TimerFired(), 7, [writes(entry(305, None, 0, 5))]),
        (
            "in use, but for this moment, and the lease is to be renewed",
            replace(IDLE, idle_since=at(29.9)),
            TimerFired(),
            30,
            [writes(entry(305, 120, 0, 5))],
        ),
        (
            "a replica closes it: released at once",
            IDLE,
            DeploymentChanged(seen(own(300, 90), closed=60)),
            5.1,
            [writes(entry(305, None, 0, 5))],
        ),
        (
            "a replica closes it that is in use: kept",
            BUSY,
            DeploymentChanged(seen(own(300, 90), closed=60)),
            5,
            [SetTimer(at(30))],
        ),
        ("renewed as before", replace(BUSY, closed_until=at(60)), TimerFired(), 30, [writes(entry(330, 120, 1, 30))]),
        (
            "the request ends: released at once",
            replace(BUSY, closed_until=at(60)),
            RequestEnded(300, 0),
            0.2,
            [writes(entry(300.2, None, 0, 0.2))],
        ),
        (
            "a request comes while the lease is released",
            asked(replace(IDLE, lease=None), None),
            RequestBegan(300),
            7,
            [],
        ),
        (
            "it gets a write of its own",
            asked(WAITING, None, lease_needed=True),
            WriteStored(seen(own(300))),
            7,
            [writes(entry(307, 97, 1, 7))],
        ),
        (
            "also where the first one failed",
            asked(WAITING, None, lease_needed=True),
            WriteFailed(),
            7,
            [SetTimer(at(8))],
        ),
        (
            "a lease that may be stored is released",
            replace(UNUSED, uncertain_lease=at(90), idle_since=at(0)),
            TimerFired(),
            2,
            [writes(entry(-900, None, 0, -900))],
        ),
        ("or has run out", replace(UNUSED, uncertain_lease=at(1), idle_since=at(0)), TimerFired(), 2, []),
        ("all is written", replace(IDLE, lease=None, stored=own(305), stored_promise=at(305)), TimerFired(), 60, []),
        (
            "somebody removed the lease: a request waits",
            replace(BUSY, in_hand_since=at(0)),
            DeploymentChanged(seen(None)),
            5,
            [writes(entry(305, 95, 1, 5))],
        ),
        ("an unload, as one writes", asked(IDLE, 90), OrderGiven(Order(unload_at=at(6))), 6, []),
        (
            "an unload",
            IDLE,
            OrderGiven(Order(unload_at=at(5.5))),
            5.5,
            [writes(entry(305, None, 0, 5, [Order(unload_at=at(5.5))]))],
        ),
        (
            "reported a request, then saw an unload before it: taken back",
            replace(IDLE, lease=None, stored=own(305, activity=5), stored_promise=at(305)),
            DeploymentChanged(seen(own(305, activity=5), unloaded=4)),
            60,
            [writes(entry(4, None, 0, 4))],
        ),
        (
            "a request that waited goes on after the unload",
            replace(BUSY, by_ttl={}, unloaded_at=at(4), stored_promise=at(4)),
            RequestCarriedOver(60),
            5,
            [writes(entry(65, 95, 1, 5))],
        ),
        ("gone", BUSY, DeploymentRemoved(), 5, [LeaseAnswer.GONE]),
        ("this replica ends", BUSY, ReplicaLeaving(), 0.1, [writes(entry(300.1, None, 0, 0.1))]),
        (
            "this replica ends that has no lease",
            replace(IDLE, lease=None, stored=own(305), stored_promise=at(305)),
            ReplicaLeaving(),
            60,
            [],
        ),
    ],
)
def test_what_is_done(case: str, state: LeaseState, event: Event, now: float, effects: list[Effect]) -> None:
    before = state.copy()
    done = next_state(state, event, at(now))[1]
    assert [replace(effect, version=4) if isinstance(effect, WriteEntry) else effect for effect in done] == effects, (
        case
    )
    assert state == before, "the state before is left as it is"


@pytest.mark.parametrize(
    ("case", "state", "event", "now", "until"),
    [
        ("a margin before the end", asked(WAITING, 90), WriteStored(seen(own(300, 90))), 0, 80),
        ("no lease", WAITING, TimerFired(), 0, None),
        ("its write failed, and nothing was promised before", asked(WAITING, 90), WriteFailed(), 0, -910),
        ("another replica's promise and lease are none of its own", WAITING, DeploymentChanged(seen(None)), 0, None),
        ("the renewal failed: the stored promise holds", asked(BUSY, 120), WriteFailed(), 31, 290),
        ("or the lease, whichever is longer", asked(replace(BUSY, stored_promise=at(40)), 120), WriteFailed(), 31, 80),
        (
            "the renewal failed of one that is closed",
            asked(replace(BUSY, closed_until=at(60)), 120),
            WriteFailed(),
            31,
            None,
        ),
        ("it is being released", IDLE, TimerFired(), 7, None),
        ("it is closed", BUSY, DeploymentChanged(seen(own(300, 90), closed=60)), 5, None),
        ("it was closed", replace(BUSY, closed_until=at(4)), TimerFired(), 5, 80),
        ("somebody removed it", BUSY, DeploymentChanged(seen(None)), 5, None),
        ("an older version does not say so", BUSY, DeploymentChanged(seen(None, version=3)), 5, 80),
        ("this replica ends", BUSY, ReplicaLeaving(), 0, None),
    ],
)
def test_until_when_requests_are_passed_on(
    case: str, state: LeaseState, event: Event, now: float, until: float | None
) -> None:
    assert next_state(state, event, at(now))[0].usable_until == (LONG_AGO if until is None else at(until)), case


@pytest.mark.parametrize(
    ("case", "stored", "promise"),
    [
        ("nothing is stored", seen(None), -900),
        ("the stored promise", seen(own(3600)), 3600),
        ("one that an unload has ended", seen(own(3600), unloaded=1), 1),
        ("one that was made after an unload", seen(own(3600), unloaded=-1), 3600),
    ],
)
def test_the_beginning_is_what_is_stored(case: str, stored: DeploymentVersion, promise: float) -> None:
    state = first_state(stored, at(10))
    assert (state.promise, state.lease) == (at(promise), None), case


def test_a_lease_of_an_earlier_process_is_not_used_but_released() -> None:
    state, effects = next_state(first_state(seen(own(300, 90)), at(10)), TimerFired(), at(10))
    assert (state.usable_until, effects) == (LONG_AGO, [SetTimer(at(12))])


def test_a_write_is_for_the_version_that_was_seen_last() -> None:
    """So nothing that is stored is overwritten unseen, such as a late write of this replica's earlier process."""
    state, _ = next_state(WAITING, DeploymentChanged(seen(version=7)), at(0))
    state, effects = next_state(state, LeaseNeeded(), at(0))
    assert effects == [WriteEntry(entry(300, 90, 1), version=7)]
    state, effects = next_state(state, WriteOutdated(seen(own(3600, 25, activity=-1), version=9)), at(0))
    assert effects == [WriteEntry(entry(3600, 90, 1), version=9)], "it is decided anew, from what is stored"
    for version in range(10, 14):
        state, effects = next_state(state, WriteOutdated(seen(version=version)), at(0))
        assert isinstance(effects[-1], WriteEntry)
    assert next_state(state, WriteOutdated(seen(version=14)), at(0))[1][0] is LeaseAnswer.FAILED, (
        "in the end it has failed"
    )


def test_what_may_be_stored_stays_promised_though_its_request_is_refused() -> None:
    state, _ = next_state(WAITING, LeaseNeeded(), at(0))
    state, _ = next_state(state, RequestEnded(300, 0, promises=False), at(0.1))
    assert state.promise == at(300)


def test_an_entry_names_only_what_it_means_to_change() -> None:
    assert set(entry(300, None).patch()) == {"lastActivity", "keepUntil", "leaseUntil", "inFlight"}
    order = entry(300, None, activity=9, orders=[Order(unload_at=at(8))]).patch()
    assert order["unloadAt"] == order["lastActivity"], "an unload is never before what the entry states"
    assert order["closedUntil"] is None


@given(
    st.lists(
        st.tuples(st.sampled_from(["begin", "end"]), st.sampled_from([0, 5, 300]), st.integers(1, 100)), max_size=30
    )
)
def test_the_counts_of_the_short_way_are_those_of_the_long_one(steps: list[tuple[str, int, int]]) -> None:
    """Requests of a model in use change counts in place: later results are those that events would have had."""
    short, long, now = BUSY.copy(), BUSY.copy(), 0.0
    in_hand = [300]
    for step, ttl, milliseconds in steps:
        now += milliseconds / 1000
        if step == "begin":
            in_hand.append(ttl)
            short.count_begin(ttl)
            long, _ = next_state(long, RequestBegan(ttl), at(now))
        elif ttl in in_hand:
            in_hand.remove(ttl)
            short.count_end(ttl, 0, at(now), promises=True)
            long, _ = next_state(long, RequestEnded(ttl, 0), at(now))
        long.writing = None
    now += 60  # both have renewed or released the lease
    (one, effects), (other, likewise) = (
        next_state(replace(state, lease=at(90), in_hand_since=at(0)), TimerFired(), at(now)) for state in (short, long)
    )
    assert (one.in_hand, one.by_ttl, one.promise) == (other.in_hand, other.by_ttl, other.promise)
    assert effects == likewise


def test_what_came_while_a_write_was_under_way_is_looked_at_again_once_that_turns_out_to_be_outdated() -> None:
    """The view shows the newer version before the write fails because of it."""
    newer = seen(own(3600, 25, activity=-1), version=9)
    state, _ = next_state(asked(WAITING, 90, version=7, lease_needed=True), DeploymentChanged(newer), at(0))
    _, effects = next_state(state, WriteOutdated(newer), at(0))
    assert effects == [WriteEntry(entry(3600, 90, 1), version=9)]
