"""Waits that grow."""

from datetime import timedelta

import pytest

from berth_process.backoff import exponential


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0), (1, 10), (2, 20), (3, 40), (5, 160), (6, 300), (7, 300), (10**18, 300)]
)
def test_a_wait_doubles_with_each_failure_up_to_the_longest(failures: int, seconds: float) -> None:
    assert exponential(10.0, 300.0, failures) == seconds
    assert exponential(timedelta(seconds=10), timedelta(seconds=300), failures) == timedelta(seconds=seconds)


def test_no_wait_is_longer_than_the_longest_not_even_the_first() -> None:
    assert exponential(10.0, 3.0, 1) == 3.0


def test_a_longest_wait_near_the_largest_number_does_not_overflow() -> None:
    longest = timedelta(days=499_999_999)
    assert exponential(timedelta(microseconds=1), longest, 10**18) == longest
    assert exponential(5e-324, 1.7e308, 10**18) == 1.7e308
    assert exponential(0.1, float("inf"), 10**18) == float("inf")
