"""An event loop whose clock runs ahead to the next timer when nothing else is left to do: minutes pass in milliseconds.

For code that waits on the loop's clock and does no input or output of its own.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

_MOST_STEPS = 20_000
"""Of the loop, without its clock moving: more than any work of a test takes."""

BEGINNING = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
"""What `wall_clock` says when a loop begins."""


class _Selector(selectors.DefaultSelector):
    """Never waits: what would be waited for is added to the loop's clock."""

    loop: "VirtualLoop"
    steps = 0
    """Of the loop, since its clock last moved."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("nothing is left that could ever happen")
        self.steps += 1
        if not ready and timeout:
            self.loop.now += timeout
            self.steps = 0
        if self.steps > _MOST_STEPS:
            self.steps = 0
            raise RuntimeError("something spins: the clock does not move any more")
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its clock begins at 0."""

    def __init__(self) -> None:
        self.now = 0.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def run_in_virtual_time(work: Coroutine[Any, Any, T]) -> T:
    """Runs it to its end on a loop of its own. Raises RuntimeError where it spins, or waits for what never comes."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def wall_clock() -> datetime:
    """The time of day that belongs to the running loop's clock."""
    return BEGINNING + timedelta(seconds=asyncio.get_running_loop().time())
