"""One worker for each name: nothing twice at once, nothing lost, no fault that ends it, and no round that spins."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any

import pytest
from prometheus_client import generate_latest

from berth_cluster.cluster import ClusterError, ConflictError, ForbiddenError, NotFoundError, Object, UnavailableError
from berth_operator.reconciling.metrics import ReconcileMetrics
from berth_operator.reconciling.workers import PACE_SECONDS, Workers
from tests.unit.virtual_time import run_in_virtual_time

LONG = 3600.0


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Has a test run in virtual time."""

    @wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        run_in_virtual_time(test(*arguments, **named))

    return run


def version(number: int, uid: str = "u") -> Object:
    return {"metadata": {"uid": uid, "resourceVersion": str(number)}}


Outcome = float | BaseException | Callable[[], Awaitable[float | None]] | None


class Rounds:
    """A reconcile function that is told what its rounds do: seconds until the next, None for the end, an error, a call.

    The last one is repeated.
    """

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.times: list[float] = []
        self.forgotten = 0
        self.running = 0
        self.metrics = ReconcileMetrics()
        self.workers = Workers("thing", self.reconcile, self.forget, self.metrics)

    async def reconcile(self, name: str) -> float | None:
        assert name == "a"
        assert self.running == 0
        self.running += 1
        self.times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0)
        self.running -= 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, BaseException):
            raise outcome
        return await outcome() if callable(outcome) else outcome

    def do(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)

    def forget(self, name: str) -> None:
        assert name == "a"
        self.forgotten += 1

    def writes(self, number: int, then: float | ClusterError = LONG) -> Callable[[], Awaitable[float | None]]:
        """A round that writes, which makes this version, and then ends so."""

        async def write() -> float | None:
            async def answered() -> Object:
                await asyncio.sleep(0)
                return version(number)

            await self.workers.write("a", answered())
            if isinstance(then, ClusterError):
                raise then
            return then

        return write

    def gaps(self) -> list[float]:
        return [round(after - before, 3) for before, after in itertools.pairwise(self.times)]


async def passed(seconds: float) -> None:
    """Returns when so much virtual time is over."""
    await asyncio.sleep(seconds)


@virtual
@pytest.mark.parametrize(
    "fault", [ConflictError("changed"), NotFoundError("gone"), UnavailableError("away"), ValueError("a fault"), 0.0]
)
async def test_a_round_is_repeated_until_nothing_is_left(fault: Exception | float) -> None:
    rounds = Rounds(fault, None)
    rounds.workers.wake("a")
    await passed(60)
    assert (len(rounds.times), rounds.forgotten) == (2, 1)


@virtual
async def test_a_wake_during_a_round_leads_to_another_and_never_to_two_at_once() -> None:
    rounds = Rounds(60.0, None)
    for _ in range(3):
        rounds.workers.wake("a")
    await asyncio.sleep(0)
    rounds.workers.wake("a")
    await passed(0.1)
    assert (len(rounds.times), rounds.forgotten) == (2, 1)


@virtual
async def test_after_the_end_a_wake_begins_anew() -> None:
    rounds = Rounds(None, LONG)
    rounds.workers.wake("a")
    await passed(0.1)
    rounds.workers.wake("a")
    await passed(0.1)
    assert len(rounds.times) == 2
    await rounds.workers.close()


@virtual
async def test_a_change_leads_to_a_round_at_once_even_right_after_a_write() -> None:
    rounds = Rounds()
    rounds.do(rounds.writes(2), rounds.writes(4), LONG)
    for seen in (1, 3, 5):
        rounds.workers.wake("a", version(seen))
        await passed(0.01)
    assert rounds.gaps() == [0.01, 0.01]
    await rounds.workers.close()


@virtual
async def test_what_a_worker_wrote_itself_wakes_nobody() -> None:
    rounds = Rounds()
    rounds.do(rounds.writes(2), LONG)
    rounds.workers.wake("a", version(1))
    await passed(0.01)
    rounds.workers.wake("a", version(2))
    await passed(10)
    assert len(rounds.times) == 1
    rounds.workers.wake("a", version(2, uid="another"))
    await passed(0)
    assert len(rounds.times) == 2, "another object has versions of its own"
    await rounds.workers.close()


@virtual
async def test_nor_is_what_a_round_has_read() -> None:
    rounds = Rounds()

    async def reads() -> float:
        rounds.workers.wake("a", version(1))
        rounds.workers.read("a", [version(1), version(5, uid="pod")])
        return LONG

    rounds.do(reads, LONG)
    rounds.workers.wake("a")
    await passed(0.01)
    rounds.workers.wake("a", version(5, uid="pod"))
    await passed(10)
    assert len(rounds.times) == 1
    rounds.workers.wake("a", version(6, uid="pod"))
    await passed(0.01)
    assert len(rounds.times) == 2
    await rounds.workers.close()


@virtual
async def test_nor_is_the_end_of_what_it_deleted() -> None:
    rounds = Rounds()

    async def deletes() -> float:
        rounds.workers.deleted("a", "pod")
        return LONG

    rounds.do(deletes, LONG)
    rounds.workers.wake("a", version(1))
    await passed(0.01)
    for number in (2, 3):
        rounds.workers.wake("a", version(number, uid="pod"))
    await passed(10)
    assert len(rounds.times) == 1
    rounds.workers.wake("a", version(4, uid="another pod"))
    await passed(0.01)
    assert len(rounds.times) == 2
    await rounds.workers.close()


@virtual
async def test_nor_where_the_watch_is_faster_than_the_answer() -> None:
    rounds = Rounds()

    async def write() -> float:
        async def answered() -> Object:
            rounds.workers.wake("a", version(2))
            await asyncio.sleep(0.01)
            return version(2)

        await rounds.workers.write("a", answered())
        return LONG

    rounds.do(write, LONG)
    rounds.workers.wake("a", version(1))
    await passed(10)
    assert len(rounds.times) == 1
    await rounds.workers.close()


@virtual
async def test_without_a_change_a_second_lies_between_two_writes_whatever_is_asked_for() -> None:
    rounds = Rounds()
    rounds.do(rounds.writes(2, then=0.0))
    rounds.workers.wake("a")
    await passed(10)
    await rounds.workers.close()
    assert min(rounds.gaps()) >= PACE_SECONDS
    assert len(rounds.times) >= 9


@virtual
async def test_nor_does_a_round_spin_that_writes_nothing() -> None:
    rounds = Rounds(0.0)
    rounds.workers.wake("a")
    await passed(10)
    await rounds.workers.close()
    assert rounds.gaps()[1:] == [PACE_SECONDS] * (len(rounds.times) - 2)


@virtual
async def test_what_is_due_at_a_moment_is_looked_at_then() -> None:
    rounds = Rounds(0.25, LONG)
    rounds.workers.wake("a")
    await passed(10)
    await rounds.workers.close()
    assert rounds.gaps() == [0.25]


@virtual
async def test_a_write_that_failed_counts_as_one() -> None:
    rounds = Rounds()

    async def fails() -> float:
        async def answered() -> Object:
            raise UnavailableError("no answer, though it took effect")

        await rounds.workers.write("a", answered())
        return LONG

    rounds.do(fails)
    rounds.workers.wake("a")
    await passed(30)
    await rounds.workers.close()
    assert min(rounds.gaps()) >= PACE_SECONDS


@virtual
async def test_a_write_that_failed_wakes_nobody_when_it_took_effect_and_the_watch_shows_it() -> None:
    rounds = Rounds()

    async def fails() -> float:
        async def answered() -> Object:
            asyncio.get_running_loop().call_later(0.01, rounds.workers.wake, "a", version(2))
            raise UnavailableError("no answer, though it took effect")

        await rounds.workers.write("a", answered())
        return LONG

    rounds.do(fails, fails, LONG)
    rounds.workers.wake("a", version(1))
    await passed(30)
    await rounds.workers.close()
    assert min(rounds.gaps()) >= PACE_SECONDS


@virtual
@pytest.mark.parametrize("fault", [UnavailableError("away"), ForbiddenError("not allowed")])
async def test_a_cluster_that_fails_is_asked_ever_less_often(fault: Exception) -> None:
    rounds = Rounds(fault)
    rounds.workers.wake("a")
    await passed(200)
    await rounds.workers.close()
    gaps = rounds.gaps()
    assert gaps[0] == 0.1
    assert gaps == sorted(gaps)
    assert gaps[-1] == 30


@virtual
async def test_after_a_conflict_a_round_comes_at_once_but_conflicts_without_end_do_not_spin() -> None:
    rounds = Rounds(ConflictError("changed"))
    rounds.workers.wake("a")
    await passed(20)
    await rounds.workers.close()
    gaps = rounds.gaps()
    assert gaps[0] == 0
    assert gaps[-1] == PACE_SECONDS
    assert len(gaps) < 30


@virtual
async def test_a_cancellation_from_inside_ends_no_worker() -> None:
    rounds = Rounds(asyncio.CancelledError(), None)
    rounds.workers.wake("a")
    await passed(60)
    assert (len(rounds.times), rounds.forgotten) == (2, 1)


@virtual
async def test_a_worker_that_was_ended_all_the_same_is_begun_anew_by_the_next_wake() -> None:
    class KilledError(BaseException):
        """Nothing catches this."""

    rounds = Rounds(KilledError(), LONG)
    rounds.workers.wake("a")
    await passed(1)
    rounds.workers.wake("a")
    await passed(1)
    assert len(rounds.times) == 2
    await rounds.workers.close()


@virtual
async def test_a_fault_in_forgetting_is_logged_and_no_more() -> None:
    rounds = Rounds(None)

    def forget(_: str) -> None:
        raise ValueError

    rounds.workers = Workers("thing", rounds.reconcile, forget)
    rounds.workers.wake("a")
    await passed(1)
    rounds.workers.wake("a")
    await passed(1)
    assert len(rounds.times) == 2


@virtual
async def test_once_closed_nothing_begins_any_more() -> None:
    rounds = Rounds(LONG)
    rounds.workers.wake("a")
    await rounds.workers.close()
    rounds.workers.wake("a")
    await passed(1)
    assert len(rounds.times) <= 1


@virtual
async def test_closing_ends_a_worker_that_is_woken_at_that_very_moment() -> None:
    rounds = Rounds(LONG)
    rounds.workers.wake("a")
    await passed(1)
    rounds.workers.wake("a")
    async with asyncio.timeout(5):
        await rounds.workers.close()


@virtual
async def test_rounds_and_what_waits_for_one_are_counted() -> None:
    rounds = Rounds(ConflictError("changed"), UnavailableError("away"), ValueError("a fault"), 60.0)

    def lines() -> list[str]:
        return generate_latest(rounds.metrics.registry).decode().splitlines()

    rounds.workers.wake("a")
    assert 'berth_operator_queue_length{kind="thing"} 1.0' in lines()
    await passed(100)
    assert 'berth_operator_queue_length{kind="thing"} 0.0' in lines()
    for cause in ("conflict", "cluster", "fault"):
        assert f'berth_operator_reconcile_errors_total{{cause="{cause}",kind="thing"}} 1.0' in lines()
    assert f'berth_operator_reconcile_seconds_count{{kind="thing"}} {len(rounds.times)}.0' in lines()
