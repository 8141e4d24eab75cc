"""Asks engines themselves whether they can serve: a kubelet's probe would tell up to a period later."""

from typing import Protocol

import aiohttp


class Prober(Protocol):
    """Asks an engine a question."""

    async def ask(self, url: str, seconds: float) -> str | None:
        """None where the engine says within so many seconds that it can serve; else in a few words what came instead."""
        ...


class EngineProber:
    """Asks engines over HTTP. Use as an async context."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "EngineProber":
        """Opens the session; to be called on the event loop that asks."""
        # A connection for each question: one that is kept would occupy a thread of the engine, and keep a pod that is deleted from going.
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def ask(self, url: str, seconds: float) -> str | None:
        """See Prober.ask."""
        if self._session is None:
            raise RuntimeError("EngineProber is used outside of its context")
        try:
            async with self._session.get(url, timeout=aiohttp.ClientTimeout(total=seconds), allow_redirects=False) as response:
                return None if response.status == 200 else f"it answers with status {response.status}"
        except TimeoutError:
            return f"no answer within {seconds:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
