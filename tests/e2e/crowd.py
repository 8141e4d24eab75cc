"""Clients that ask without a pause, half of them for streams, each on a connection that it keeps:
what a fault costs them is counted.
"""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import aiohttp

from tests.e2e.release import DEADLINE, MODEL, Release, user

CLIENTS = 30
PATIENCE_SECONDS = 120
"""A request that has had no word for so long is lost."""

_PAUSE_AFTER_FAILURE = 0.2


class Outcome(StrEnum):
    """What became of a request."""

    WHOLE = "whole"
    RETRYABLE = "clear retryable error"
    """429, 502 or 503 with Retry-After, before any of the answer."""
    DISCONNECTED = "disconnected before the answer"
    """No answer, and the connection is closed: every SDK tries again."""
    CUT_AND_TOLD = "cut and told"
    """A part of an answer, and then an error event or a visibly broken connection."""
    LOST = "lost"
    """No word, a wrong answer, or a part of one that looks like all of it."""


@dataclass
class Tally:
    """What became of all requests."""

    counts: Counter[Outcome] = field(default_factory=Counter[Outcome])
    words: Counter[str] = field(default_factory=Counter[str])
    """What the failed ones were told."""
    longest: float = 0.0
    """Seconds of the request that took longest, of those that have a whole answer."""

    @property
    def sent(self) -> int:
        """Requests that have an outcome."""
        return self.counts.total()

    @property
    def failed(self) -> int:
        """Requests that have no whole answer."""
        return self.sent - self.counts[Outcome.WHOLE]

    def __str__(self) -> str:
        told = "".join(f"\n    {count} x {word}" for word, count in self.words.most_common(12))
        counts = ", ".join(f"{self.counts[outcome]} {outcome}" for outcome in Outcome)
        return f"{self.sent} sent: {counts}{told}"


class Crowd:
    """The clients. `rest` of the test goes on while they ask."""

    def __init__(self, berth: Release, models: Sequence[str] = (MODEL,), clients: int = CLIENTS, **fields: Any) -> None:
        self._berth = berth
        self._models = models
        self._clients = clients
        self._fields = fields
        self._ending = False
        self._whole_by_client: Counter[int] = Counter()
        self.tally = Tally()

    async def run(self) -> None:
        """Asks until `end`."""
        await asyncio.gather(*(self._ask_on(number) for number in range(self._clients)))

    def end(self) -> None:
        """Has every client end after its present request."""
        self._ending = True

    async def served(self, times: int = 2) -> None:
        """Returns when every client has had so many more whole answers. Raises TimeoutError."""
        before = Counter(self._whole_by_client)
        async with asyncio.timeout(DEADLINE):
            while any(self._whole_by_client[number] - before[number] < times for number in range(self._clients)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def _ask_on(self, number: int) -> None:
        limits = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        connector = aiohttp.TCPConnector(limit=1, keepalive_timeout=PATIENCE_SECONDS)
        headers = {"Authorization": f"Bearer {self._berth.api_key}"}
        async with aiohttp.ClientSession(connector=connector, timeout=limits, headers=headers) as session:
            while not self._ending:
                began = time.monotonic()
                outcome, word = await self._ask(session, streaming=number % 2 == 0)
                self.tally.counts[outcome] += 1
                if outcome is Outcome.WHOLE:
                    self.tally.longest = max(self.tally.longest, time.monotonic() - began)
                    self._whole_by_client[number] += 1
                else:
                    self.tally.words[f"{outcome}: {word}"] += 1
                    await asyncio.sleep(_PAUSE_AFTER_FAILURE)

    async def _ask(self, session: aiohttp.ClientSession, *, streaming: bool) -> tuple[Outcome, str]:
        body = {
            "model": random.choice(self._models),  # noqa: S311
            "messages": user("Hello"),
            "max_tokens": 6,
            "stream": streaming,
            **self._fields,
        }
        begun = False
        try:
            async with session.post(f"{self._berth.url}/v1/chat/completions", json=body) as response:
                if response.status != 200:
                    return await _refused(response)
                begun = True
                return await (_streamed(response) if streaming else _answered(response))
        except TimeoutError:
            return Outcome.LOST, f"no word for {PATIENCE_SECONDS} s"
        except (aiohttp.ClientError, OSError) as error:
            word = f"{type(error).__name__} {error}"[:160]
            return (Outcome.CUT_AND_TOLD if begun else Outcome.DISCONNECTED), word


async def _refused(response: aiohttp.ClientResponse) -> tuple[Outcome, str]:
    text = (await response.text())[:300]
    retryable = response.status in (429, 502, 503) and "Retry-After" in response.headers
    return (Outcome.RETRYABLE if retryable else Outcome.LOST), f"{response.status} {text}"


async def _answered(response: aiohttp.ClientResponse) -> tuple[Outcome, str]:
    answer = await response.json()
    whole = bool(answer["choices"][0]["message"]["content"])
    return (Outcome.WHOLE if whole else Outcome.LOST), str(answer)[:200]


async def _streamed(response: aiohttp.ClientResponse) -> tuple[Outcome, str]:
    last = ""
    async for line in response.content:
        text = line.decode().strip()
        if text.startswith("data: "):
            last = text.removeprefix("data: ")
            if last != "[DONE]" and "error" in (event := json.loads(last)):
                return Outcome.CUT_AND_TOLD, str(event["error"].get("message"))[:200]
    return (Outcome.WHOLE if last == "[DONE]" else Outcome.LOST), f"the stream ended with {last[:100]!r}"


@asynccontextmanager
async def crowd(
    berth: Release, what: str, models: Sequence[str] = (MODEL,), clients: int = CLIENTS, **fields: Any
) -> AsyncGenerator[Crowd]:
    """Clients that ask while this is open. The tally is printed at the end, for whoever wants the figures."""
    many = Crowd(berth, models, clients, **fields)
    running = asyncio.create_task(many.run())
    began = time.monotonic()
    try:
        await many.served(1)
        yield many
    finally:
        many.end()
        await running
        print(f"\n{what} ({clients} clients, {time.monotonic() - began:.0f} s): {many.tally}")
