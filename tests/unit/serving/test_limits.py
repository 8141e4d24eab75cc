"""ByteBudget and ConcurrencyLimit."""

import pytest

from berth_router.serving.limits import ByteBudget, ConcurrencyLimit


class Waiter:
    """Waits for room, and logs its name when it gets it."""

    def __init__(self, budget: ByteBudget, size: int, log: list[str], name: str) -> None:
        self.give_up = budget.wait(size, lambda: log.append(name))


def test_room_is_taken_and_given_back() -> None:
    budget = ByteBudget(100)
    assert budget.reserve(60)
    assert budget.reserved == 60
    assert not budget.reserve(41)
    assert budget.reserve(40)
    assert budget.reserved == 100
    budget.release(60)
    budget.release(40)
    assert budget.reserved == 0


def test_what_is_larger_than_all_the_room_gets_all_of_it() -> None:
    budget = ByteBudget(100)
    assert budget.reserve(1000)
    assert budget.reserved == 100
    assert not budget.reserve(1)
    budget.release(1000)
    assert budget.reserved == 0


def test_whoever_waits_is_served_in_turn_and_nobody_overtakes() -> None:
    budget, log = ByteBudget(100), list[str]()
    assert budget.reserve(80)
    Waiter(budget, 50, log, "first")
    Waiter(budget, 20, log, "second")
    assert not budget.reserve(10), "there would be room, but others came before"
    budget.release(20)
    assert log == []
    budget.release(20)
    assert log == ["first"]
    budget.release(40)
    assert log == ["first", "second"]
    assert budget.reserved == 70


def test_whoever_gives_up_lets_the_next_one_in() -> None:
    budget, log = ByteBudget(100), list[str]()
    assert budget.reserve(90)
    first = Waiter(budget, 100, log, "first")
    Waiter(budget, 10, log, "second")
    first.give_up()
    assert log == ["second"]
    first.give_up()
    assert budget.reserved == 100


def test_whoever_was_let_in_cannot_give_up_any_more() -> None:
    budget, log = ByteBudget(100), list[str]()
    assert budget.reserve(100)
    first = Waiter(budget, 100, log, "first")
    budget.release(100)
    assert log == ["first"]
    first.give_up()
    assert budget.reserved == 100


def test_whoever_is_let_in_may_give_back_at_once() -> None:
    budget, log = ByteBudget(100), list[str]()

    def serve(name: str) -> None:
        log.append(name)
        budget.release(100)

    assert budget.reserve(100)
    for name in ("first", "second", "third"):
        budget.wait(100, lambda name=name: serve(name))
    budget.release(100)
    assert log == ["first", "second", "third"]
    assert budget.reserved == 0


def test_nothing_needs_no_room() -> None:
    """A request without a body does not wait for those that have one: a probe, say."""
    budget, log = ByteBudget(100), list[str]()
    assert budget.reserve(100)
    assert budget.reserve(0)
    Waiter(budget, 50, log, "first")
    assert budget.reserve(0)
    budget.release(0)
    assert (log, budget.reserved) == ([], 100)


@pytest.mark.parametrize("sizes", [[10], [100, 1], [30, 30, 30], [1000, 1]])
def test_what_was_taken_is_given_back_whole(sizes: list[int]) -> None:
    budget = ByteBudget(100)
    taken = [size for size in sizes if budget.reserve(size)]
    assert 0 < budget.reserved <= 100
    for size in taken:
        budget.release(size)
    assert budget.reserved == 0
    assert budget.reserve(100)


def test_a_concurrency_limit_bounds_each_name_by_itself() -> None:
    limit = ConcurrencyLimit(2)
    assert [limit.try_acquire("a") for _ in range(3)] == [True, True, False]
    assert limit.try_acquire("b")
    assert (limit.count("a"), limit.count("b"), limit.count("c")) == (2, 1, 0)
    limit.release("a")
    assert limit.try_acquire("a")
    assert not limit.try_acquire("a")
    for name in ("a", "a", "b"):
        limit.release(name)
    assert (limit.count("a"), limit.count("b")) == (0, 0)
