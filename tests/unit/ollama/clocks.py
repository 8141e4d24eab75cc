"""Clocks of answers that begin at noon and stand until they are set."""

from collections.abc import Callable
from datetime import UTC, datetime

from berth_router.ollama.answer_clock import AnswerClock

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class SetClock:
    """Stands until it is set. Counts nanoseconds."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def answer_clock(clock: Callable[[], int] | None = None) -> AnswerClock:
    return AnswerClock(clock or SetClock(), NOON)
