"""How often a model is likely to be asked, from its own history."""

from datetime import UTC, datetime, timedelta

from berth_api.room.asks import Asks, asked, asks_per_second

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def history(requests: int, *, apart: float = 60.0, last: float = 60.0) -> Asks:
    """So many requests, so many seconds apart, the last one so many seconds ago."""
    found: Asks | None = None
    for number in reversed(range(requests)):
        found = asked(found, NOW - timedelta(seconds=last + number * apart))
    assert found
    return found


def rate(known: Asks) -> float:
    return asks_per_second(known, known.at, NOW)


def test_who_is_asked_more_often_is_likely_to_be_asked_sooner() -> None:
    assert rate(history(1)) < rate(history(3)) < rate(history(30))


def test_a_few_requests_say_little_and_many_say_much() -> None:
    # So of two models that were asked three times and once, the one that takes twice as long to start stays.
    assert rate(history(3)) < 2 * rate(history(1))
    assert rate(history(60)) > 5 * rate(history(1))


def test_who_has_not_been_asked_for_a_day_is_hardly_expected() -> None:
    assert rate(history(60, last=86_400)) < rate(history(1)) / 100


def test_a_clock_that_went_back_forgets_nothing() -> None:
    later = asked(None, NOW + timedelta(hours=1))
    assert asks_per_second(later, later.at, NOW) == asks_per_second(later, later.at, later.at)
    assert asked(later, NOW).sums == (2.0, 2.0, 2.0)
