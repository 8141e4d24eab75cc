"""Who gets memory, who has to go, and who waits."""

from datetime import UTC, datetime, timedelta

import pytest

from berth_api.budget import Demand, Evict, Occupancy, Occupant, Start, TooLarge, Verdict, Wait, decide

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
GB = 1_000_000_000


def occupant(
    name: str,
    gigabytes: float,
    occupancy: Occupancy = Occupancy.IDLE,
    *,
    used: float = 60,
    ready: float = 600,
    pinned: bool = False,
) -> Occupant:
    """A model last used and made ready so many seconds ago."""
    return Occupant(
        name, int(gigabytes * GB), occupancy, NOW - timedelta(seconds=used), NOW - timedelta(seconds=ready), pinned
    )


def decided(occupants: list[Occupant], gigabytes: float, *, budget: float = 8, patient: bool = True) -> Verdict:
    return decide(int(budget * GB), occupants, Demand("new", int(gigabytes * GB)), patient=patient)


@pytest.mark.parametrize(
    ("occupants", "gigabytes", "expected"),
    [
        pytest.param([], 8, Start(), id="exactly the budget"),
        pytest.param([occupant("a", 5)], 3, Start(), id="beside another"),
        pytest.param([occupant("a", 5)], 4, Evict(("a",)), id="the only one"),
        pytest.param(
            [occupant("a", 4, used=10), occupant("b", 4, used=20)], 4, Evict(("b",)), id="the one not used for longest"
        ),
        pytest.param(
            [occupant("a", 4, used=10), occupant("b", 4, used=20)], 8, Evict(("b", "a")), id="as many as it takes"
        ),
        pytest.param(
            [occupant("a", 4, used=20, pinned=True), occupant("b", 4, used=10)],
            4,
            Evict(("b",)),
            id="those to be pinned go last",
        ),
        pytest.param(
            [occupant("a", 4, used=20, pinned=True), occupant("b", 4, Occupancy.BUSY)],
            4,
            Evict(("a",)),
            id="but they go",
        ),
        pytest.param(
            [occupant("a", 1, used=20), occupant("b", 7, used=10)],
            6,
            Evict(("b",)),
            id="a small one does not go for nothing",
        ),
        pytest.param(
            [occupant("a", 4, Occupancy.BUSY, used=99), occupant("b", 4, used=1)],
            4,
            Evict(("b",)),
            id="never a busy one",
        ),
        pytest.param(
            [occupant("a", 4, Occupancy.STARTING, used=99), occupant("b", 4)],
            4,
            Evict(("b",)),
            id="never one that starts",
        ),
    ],
)
def test_room_is_made_of_what_is_idle(occupants: list[Occupant], gigabytes: float, expected: Verdict) -> None:
    assert decided(occupants, gigabytes) == expected


def test_what_is_larger_than_the_budget_is_refused_with_the_figures() -> None:
    verdict = decided([occupant("a", 1, Occupancy.BUSY)], 8.5)
    assert isinstance(verdict, TooLarge)
    assert "8.5 GB" in verdict.reason
    assert "8.0 GB" in verdict.reason


@pytest.mark.parametrize("occupancy", [Occupancy.BUSY, Occupancy.STARTING, Occupancy.LEAVING])
def test_it_waits_for_models_that_cannot_be_evicted_and_names_them(occupancy: Occupancy) -> None:
    verdict = decided([occupant("a", 5, occupancy)], 4)
    assert isinstance(verdict, Wait)
    assert "a (5.0 GB" in verdict.reason
    assert verdict.close == ()


def test_no_model_is_evicted_while_the_memory_of_one_that_ends_is_enough() -> None:
    assert isinstance(decided([occupant("a", 4, Occupancy.LEAVING), occupant("b", 4)], 4), Wait)


def test_no_model_is_evicted_in_vain() -> None:
    assert isinstance(decided([occupant("a", 2), occupant("b", 6, Occupancy.BUSY)], 4), Wait)


def test_whoever_has_waited_long_has_the_one_closed_that_was_ready_longest() -> None:
    occupants = [occupant("a", 4, Occupancy.BUSY, ready=10), occupant("b", 4, Occupancy.BUSY, ready=900)]
    verdict = decided(occupants, 4, patient=False)
    assert isinstance(verdict, Wait)
    assert verdict.close == ("b",)


def test_idle_ones_count_before_a_busy_one_is_closed() -> None:
    occupants = [
        occupant("idle", 2),
        occupant("a", 3, Occupancy.BUSY, ready=900),
        occupant("b", 3, Occupancy.BUSY, ready=10),
    ]
    verdict = decided(occupants, 5, patient=False)
    assert isinstance(verdict, Wait)
    assert verdict.close == ("a",)


def test_one_that_starts_is_not_closed() -> None:
    verdict = decided([occupant("a", 8, Occupancy.STARTING)], 4, patient=False)
    assert isinstance(verdict, Wait)
    assert verdict.close == ()


def test_a_model_whose_memory_is_over_the_budget_already_leaves_no_room() -> None:
    assert decided([occupant("a", 9)], 1) == Evict(("a",))
