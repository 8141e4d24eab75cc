"""A slow call, shared by all who need its result at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedCall(Generic[T]):
    """Calls `function`, never twice at once. A caller gets the result of a call that began after it asked.

    So everything that happened before it asked is in the result. However many ask while a call is under way, one more
    call serves all of them.
    """

    def __init__(self, function: Callable[[], Awaitable[T]]) -> None:
        self._function = function
        self._running: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def __call__(self) -> T:
        """The result. Raises what the function raises. A caller that is cancelled does not end the call for others."""
        if self._next is None:
            self._next = asyncio.create_task(self._call(self._running))
            self._next.add_done_callback(_retrieve_exception)
        return await asyncio.shield(self._next)

    async def _call(self, before: asyncio.Task[T] | None) -> T:
        if before is not None:
            await asyncio.wait({before})
        self._running, self._next = self._next, None
        return await self._function()


def _retrieve_exception(task: asyncio.Task[T]) -> None:
    """Whoever waits gets the exception. Read here, asyncio does not log it where nobody waits any more."""
    if not task.cancelled():
        task.exception()
