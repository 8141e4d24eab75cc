"""Asks engines themselves whether they can serve: a kubelet's probe would tell up to a period later."""

import asyncio

import aiohttp

_INTERVALS = (0.01, 0.02, 0.03, 0.05)
"""Seconds between the first questions; the last goes on for ever. An engine answers them from memory."""

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
        attempt = 0
        while not await self.answers(url):
            await asyncio.sleep(_INTERVALS[min(attempt, len(_INTERVALS) - 1)])
            attempt += 1
