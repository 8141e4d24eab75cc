"""Who gets memory, who has to go, and who waits."""

from datetime import UTC, datetime, timedelta

import pytest

from berth_api.budget import Evict, Hold, NeverFits, Resident, Start, Verdict, Wait, Wanted, decide

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
GB = 1_000_000_000


def resident(
    name: str, gigabytes: float, hold: Hold = Hold.IDLE, *, used: float = 60, ready: float = 600, kept: bool = False
) -> Resident:
    """A model last used and made ready so many seconds ago."""
    return Resident(
        name, int(gigabytes * GB), hold, NOW - timedelta(seconds=used), NOW - timedelta(seconds=ready), kept
    )


def decided(residents: list[Resident], gigabytes: float, *, budget: float = 8, patient: bool = True) -> Verdict:
    return decide(int(budget * GB), residents, Wanted("new", int(gigabytes * GB)), patient=patient)


@pytest.mark.parametrize(
    ("residents", "gigabytes", "expected"),
    [
        pytest.param([], 8, Start(), id="exactly the budget"),
        pytest.param([resident("a", 5)], 3, Start(), id="beside another"),
        pytest.param([resident("a", 5)], 4, Evict(("a",)), id="the only one"),
        pytest.param(
            [resident("a", 4, used=10), resident("b", 4, used=20)], 4, Evict(("b",)), id="the one not used for longest"
        ),
        pytest.param(
            [resident("a", 4, used=10), resident("b", 4, used=20)], 8, Evict(("b", "a")), id="as many as it takes"
        ),
        pytest.param(
            [resident("a", 4, used=20, kept=True), resident("b", 4, used=10)],
            4,
            Evict(("b",)),
            id="those to be kept go last",
        ),
        pytest.param(
            [resident("a", 4, used=20, kept=True), resident("b", 4, Hold.BUSY)], 4, Evict(("a",)), id="but they go"
        ),
        pytest.param(
            [resident("a", 1, used=20), resident("b", 7, used=10)],
            6,
            Evict(("b",)),
            id="a small one does not go for nothing",
        ),
        pytest.param(
            [resident("a", 4, Hold.BUSY, used=99), resident("b", 4, used=1)], 4, Evict(("b",)), id="never a busy one"
        ),
        pytest.param(
            [resident("a", 4, Hold.STARTING, used=99), resident("b", 4)], 4, Evict(("b",)), id="never one that starts"
        ),
    ],
)
def test_room_is_made_of_what_is_idle(residents: list[Resident], gigabytes: float, expected: Verdict) -> None:
    assert decided(residents, gigabytes) == expected


def test_what_is_larger_than_the_budget_is_refused_with_the_figures() -> None:
    verdict = decided([resident("a", 1, Hold.BUSY)], 8.5)
    assert isinstance(verdict, NeverFits)
    assert "8.5 GB" in verdict.reason
    assert "8.0 GB" in verdict.reason


@pytest.mark.parametrize("hold", [Hold.BUSY, Hold.STARTING, Hold.LEAVING])
def test_it_waits_for_those_that_cannot_be_put_out_and_says_for_whom(hold: Hold) -> None:
    verdict = decided([resident("a", 5, hold)], 4)
    assert isinstance(verdict, Wait)
    assert "a (5.0 GB" in verdict.reason
    assert verdict.close == ()


def test_nobody_is_put_out_while_the_memory_of_one_that_ends_will_do() -> None:
    assert isinstance(decided([resident("a", 4, Hold.LEAVING), resident("b", 4)], 4), Wait)


def test_nobody_is_put_out_in_vain() -> None:
    assert isinstance(decided([resident("a", 2), resident("b", 6, Hold.BUSY)], 4), Wait)


def test_whoever_has_waited_long_has_the_one_closed_that_was_ready_longest() -> None:
    residents = [resident("a", 4, Hold.BUSY, ready=10), resident("b", 4, Hold.BUSY, ready=900)]
    verdict = decided(residents, 4, patient=False)
    assert isinstance(verdict, Wait)
    assert verdict.close == ("b",)


def test_idle_ones_count_before_a_busy_one_is_closed() -> None:
    residents = [resident("idle", 2), resident("a", 3, Hold.BUSY, ready=900), resident("b", 3, Hold.BUSY, ready=10)]
    verdict = decided(residents, 5, patient=False)
    assert isinstance(verdict, Wait)
    assert verdict.close == ("a",)


def test_one_that_starts_is_not_closed() -> None:
    verdict = decided([resident("a", 8, Hold.STARTING)], 4, patient=False)
    assert isinstance(verdict, Wait)
    assert verdict.close == ()


def test_a_model_whose_memory_is_over_the_budget_already_leaves_no_room() -> None:
    assert decided([resident("a", 9)], 1) == Evict(("a",))
