"""A slow look at something, shared by all who want to know at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedCall(Generic[T]):
    """Calls `function`, never twice at once; who asks gets the result of a call that began after the asking.

    What happened before the asking is so always in the answer; a call that is under way may have looked already.
    However many ask meanwhile, one more call serves all of them.
    """

    def __init__(self, function: Callable[[], Awaitable[T]]) -> None:
        self._function = function
        self._running: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        """The result.

        Raises what the function raises. A caller that leaves does not end the call, which others may wait for.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._call(self._running))
            self._next.add_done_callback(_take_note)
        return await asyncio.shield(self._next)

    async def _call(self, before: asyncio.Task[T] | None) -> T:
        if before is not None:
            await asyncio.wait({before})
        self._running, self._next = self._next, None
        return await self._function()


def _take_note(task: asyncio.Task[T]) -> None:
    """Whoever waits has the exception; where nobody does any more, nobody has to be told."""
    if not task.cancelled():
        task.exception()
