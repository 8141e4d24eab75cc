"""The time of day, as an argument of whatever needs it."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present moment, with its time zone."""


def utc_now() -> datetime:
    """The clock of a running program."""
    return datetime.now(UTC)
