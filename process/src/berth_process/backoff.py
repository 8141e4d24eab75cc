"""Waits between tries that grow with each failure."""

from datetime import timedelta
from typing import TypeVar

T = TypeVar("T", float, timedelta)


def exponential(first: T, longest: T, failures: int) -> T:
    """The wait after so many failures in a row: `first`, doubled with each, at most `longest`.

    After no failure there is no wait. Any number of failures is allowed.
    """
    if failures < 1:
        return first * 0
    wait = min(first, longest)
    for _ in range(failures - 1):
        if wait == longest:
            break
        wait = min(wait * 2, longest)
    return wait
