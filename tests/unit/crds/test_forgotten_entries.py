"""Which entries of routers say nothing any more: taking them out must change nothing, whatever happens later."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from berth_api.activity import NEVER, expires_at, forgotten_entries, last_promise_end
from berth_api.model_deployment import ModelDeployment

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
HOUR = 3600


def at(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat()


def entry(
    activity: float,
    keep: float | None,
    lease: float | None = None,
    unload: float | None = None,
    closed: float | None = None,
) -> Any:
    """Times in seconds from now; a promise of None is for ever."""
    moments = {"leaseUntil": lease, "unloadAt": unload, "closedUntil": closed}
    told = {name: at(moment) for name, moment in moments.items() if moment is not None}
    return {"lastActivity": at(activity), "keepUntil": NEVER.isoformat() if keep is None else at(keep), **told}


def deployment(activity: dict[str, Any], loaded: float | None = -9 * HOUR, ttl: int = 300) -> ModelDeployment:
    metadata = {"name": "a", "uid": "1", "resourceVersion": "1", "creationTimestamp": at(-10 * HOUR)}
    spec = {"model": "/models/tiny", "backend": "llamacpp", "device": "cpu", "idle": {"ttlSeconds": ttl}}
    return ModelDeployment.parse(
        {
            "metadata": metadata,
            "spec": spec,
            "status": {"activity": activity, **({} if loaded is None else {"loadedAt": at(loaded)})},
        }
    )


QUIET = -2 * HOUR


@pytest.mark.parametrize(
    ("case", "activity", "forgotten"),
    [
        ("nothing left of it", {"a": entry(QUIET, -HOUR)}, ["a"]),
        ("it has spoken within the hour", {"a": entry(-3599, -3590)}, []),
        ("its promise lasts", {"a": entry(QUIET, 60)}, []),
        ("another's lasts longer", {"a": entry(QUIET, 60), "b": entry(-5, 90)}, ["a"]),
        ("two of a length: one must stay", {"a": entry(QUIET, 60), "b": entry(QUIET, 60)}, ["a"]),
        ("its promise is for ever", {"a": entry(QUIET, None)}, []),
        ("an unload has ended it", {"a": entry(QUIET, None), "b": entry(-50, -50, unload=-40)}, ["a"]),
        (
            "the unload still ends another's promise",
            {"a": entry(QUIET, QUIET, unload=QUIET), "b": entry(QUIET - 1, None)},
            ["b"],
        ),
        ("its lease has run out just now", {"a": entry(QUIET, QUIET, lease=-5)}, []),
        ("a lease that another holds may be given back", {"a": entry(QUIET, 20), "b": entry(-5, -5, lease=30)}, []),
        ("it keeps the deployment closed", {"a": entry(QUIET, QUIET, closed=30)}, []),
        ("it was unloaded, and nothing has happened since", {"a": entry(QUIET, QUIET, unload=QUIET)}, ["a"]),
    ],
)
def test_what_may_go(case: str, activity: dict[str, Any], forgotten: list[str]) -> None:
    assert forgotten_entries(deployment(activity), NOW) == forgotten, case


def test_an_unload_stays_for_as_long_as_the_engine_would_be_kept_without_it() -> None:
    activity = {"a": entry(QUIET, QUIET, unload=QUIET)}
    assert forgotten_entries(deployment(activity, loaded=QUIET - 100, ttl=9 * HOUR), NOW) == []
    assert forgotten_entries(deployment(activity, loaded=QUIET - 100, ttl=0), NOW) == []
    assert forgotten_entries(deployment(activity, loaded=QUIET + 100, ttl=0), NOW) == ["a"], (
        "it was before the engine's start"
    )


SOME_TIME = st.integers(-5, 4).map(lambda count: count * 1800)
PAST = SOME_TIME.filter(lambda seconds: seconds <= 0)
MAYBE = st.one_of(st.none(), PAST)
ENTRIES = st.dictionaries(
    st.sampled_from("abcd"),
    st.builds(entry, PAST, st.one_of(st.none(), SOME_TIME), st.one_of(st.none(), SOME_TIME), MAYBE, MAYBE),
)


@settings(max_examples=500, deadline=None)
@given(
    ENTRIES,
    MAYBE,
    st.sampled_from([0, 300, 9 * HOUR]),
    st.lists(st.sampled_from(["leases are given back", "request", "unload", "ready"]), max_size=3),
    st.sampled_from([0, 100, 1800, 4 * HOUR]),
)
def test_it_changes_nothing_now_or_later(
    activity: dict[str, Any], loaded: float | None, ttl: int, later: list[str], passes: int
) -> None:
    gone = forgotten_entries(deployment(activity, loaded, ttl), NOW)
    left = {name: each for name, each in activity.items() if name not in gone}
    before, after = (_outcome(dict(each), loaded, ttl, later, passes) for each in (activity, left))
    assert before == after, gone


def _outcome(activity: dict[str, Any], loaded: float | None, ttl: int, later: list[str], passes: int) -> Any:
    """Whether it is idle, and until when it is promised, after all of this."""
    moment = 0
    for step in later:
        moment += 10
        match step:
            case "leases are given back":
                activity = {name: {**each, "leaseUntil": None} for name, each in activity.items()}
            case "request":
                activity = {**activity, "live": entry(moment, moment + 60)}
            case "unload":
                activity = {**activity, "other": entry(-900, -900, unload=moment)}
            case _:
                loaded = moment
    then = NOW + timedelta(seconds=moment + passes)
    found = deployment(activity, loaded, ttl)
    expiry, promise = expires_at(found), last_promise_end(found)
    return expiry is not None and expiry <= then, promise if promise and promise > then else None
