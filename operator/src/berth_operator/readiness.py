"""Asks engines themselves whether they can serve: a kubelet's probe would tell up to a period later."""

import asyncio
from itertools import chain, repeat

import aiohttp

_PAUSES = ((500, 0.01), (1000, 0.05))
"""(number of questions, seconds after each): a small model is there within the first five seconds, and callers wait out each pause."""

_LAST_PAUSE = 0.25

_TIMEOUT = aiohttp.ClientTimeout(total=2, connect=1)


class EngineProber:
    """Asks engines over HTTP. Use as an async context."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "EngineProber":
        """Opens the connections' pool; to be called on the event loop that asks."""
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT, connector=aiohttp.TCPConnector(limit=0, limit_per_host=2))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def answers(self, url: str) -> bool:
        """Whether the engine says, now, that it can serve."""
        if self._session is None:
            raise RuntimeError("EngineProber is used outside of its context")
        try:
            async with self._session.get(url) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def wait_until_answers(self, url: str) -> None:
        """Returns once the engine can serve; to be cancelled when that is no longer wanted."""
        pauses = chain.from_iterable(repeat(pause, times) for times, pause in _PAUSES)
        while not await self.answers(url):  # noqa: ASYNC110 (another process: nothing here could set an event)
            await asyncio.sleep(next(pauses, _LAST_PAUSE))
