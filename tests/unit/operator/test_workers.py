"""One worker for each name: nothing twice at once, nothing lost, no fault that ends it."""

import asyncio

import pytest

from berth_api.cluster import ConflictError, UnavailableError
from berth_operator.workers import Workers


class Rounds:
    """A reconcile function that is told what each of its rounds does: the seconds until the next, None for the end, or an error."""

    def __init__(self, *outcomes: float | Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.names: list[str] = []
        self.forgotten = asyncio.Event()
        self.all_done = asyncio.Event()
        self.running = 0

    async def reconcile(self, name: str) -> float | None:
        assert self.running == 0
        self.running += 1
        await asyncio.sleep(0)
        self.running -= 1
        self.names.append(name)
        outcome = self.outcomes.pop(0)
        if not self.outcomes:
            self.all_done.set()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def forget(self, _: str) -> None:
        self.forgotten.set()


@pytest.mark.parametrize("fault", [ConflictError("changed"), UnavailableError("away"), 0.0])
async def test_a_round_is_repeated_until_nothing_is_left(fault: Exception | float) -> None:
    rounds = Rounds(fault, None)
    workers = Workers("thing", rounds.reconcile, rounds.forget)
    workers.wake("a")
    async with asyncio.timeout(5):
        await rounds.forgotten.wait()
    assert rounds.names == ["a", "a"]


async def test_a_wake_during_a_round_leads_to_another_and_never_to_two_at_once() -> None:
    rounds = Rounds(60.0, None)
    workers = Workers("thing", rounds.reconcile, rounds.forget)
    for _ in range(3):
        workers.wake("a")
    await asyncio.sleep(0)
    workers.wake("a")
    async with asyncio.timeout(5):
        await rounds.forgotten.wait()
    assert rounds.names == ["a", "a"]


async def test_after_the_end_a_wake_begins_anew() -> None:
    rounds = Rounds(None, 60.0)
    workers = Workers("thing", rounds.reconcile, rounds.forget)
    workers.wake("a")
    async with asyncio.timeout(5):
        await rounds.forgotten.wait()
    workers.wake("a")
    async with asyncio.timeout(5):
        await rounds.all_done.wait()
    assert rounds.names == ["a", "a"]
    await workers.close()
