"""Asks engines themselves whether they can serve: the kubelet's probe would notice up to a period later."""

import json
import os
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from berth_operator.engines.context import MODELS_PATH, EngineContext, read_context

if TYPE_CHECKING:
    import aiohttp

_CONNECT_SECONDS = 1
"""Time for the kernel at the other end to answer. It is short, since asking again is faster than waiting."""


class Prober(Protocol):
    """Asks an engine a question."""

    async def ask(self, url: str, seconds: float) -> str | None:
        """None where the engine says within so many seconds that it can serve; otherwise what came instead."""
        ...

    async def context(self, url: str, seconds: float, owner: str = "") -> EngineContext | None:
        """The context that the engine has, as its list of models says. None: no such list came within the time.

        `owner`: the uid of its deployment.
        """
        ...


_MOST_LIST_BYTES = 64 * 1024
"""Of an engine's list of models that are read. Each lists one; a longer list is none."""


class EngineProber:
    """Asks engines over HTTP. Use as an async context.

    `engine_key`: the key of the engine at a base URL, of the deployment with a uid; None where it asks for none.
    """

    def __init__(self, engine_key: Callable[[str, str], str | None] = lambda _url, _owner: None) -> None:
        self._engine_key = engine_key
        self._open = False
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "EngineProber":
        """To be called on the event loop that asks."""
        self._open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open = False
        if self._session:
            await self._session.close()

    async def ask(self, url: str, seconds: float) -> str | None:
        """Asks with one GET."""
        import aiohttp  # noqa: PLC0415 (see _http)

        limits = aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS)
        try:
            async with self._http().get(url, timeout=limits, allow_redirects=False) as response:
                return None if response.status == 200 else f"it answers with status {response.status}"
        except aiohttp.ConnectionTimeoutError:
            return f"no connection within {_CONNECT_SECONDS} s"
        except TimeoutError:
            return f"no answer within {seconds:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            number = error.errno if isinstance(error, OSError) else None
            return os.strerror(number) if number else f"{type(error).__name__}: {error}"

    async def context(self, url: str, seconds: float, owner: str = "") -> EngineContext | None:
        """Asks with one GET."""
        import aiohttp  # noqa: PLC0415 (see _http)

        key = self._engine_key(url.removesuffix(MODELS_PATH), owner)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        limits = aiohttp.ClientTimeout(total=seconds)
        try:
            async with self._http().get(url, timeout=limits, headers=headers, allow_redirects=False) as response:
                if response.status != HTTPStatus.OK:
                    return None
                content = b""
                while len(content) < _MOST_LIST_BYTES and (more := await response.content.readany()):
                    content += more
                return read_context(json.loads(content))
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError, RecursionError):
            return None

    def _http(self) -> "aiohttp.ClientSession":
        # It takes up to a third of a second to load. On one machine nobody waits for that: the first engine loads too.
        import aiohttp  # noqa: PLC0415

        if not self._open:
            raise RuntimeError("EngineProber is used outside of its context")
        if self._session is None:
            # A new connection each time: a kept one would occupy a thread of the engine, and delay the end of its pod.
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))
        return self._session
