"""What clients do with a connection: what they should, or what no client should."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from random import Random

from berth_router.serving.limits import PIPELINED_BYTES
from tests.integration.serving import asking
from tests.integration.serving.asking import CUT, Asked
from tests.integration.serving.outcomes import FaultError, judge
from tests.integration.serving.prompts import Lookout
from tests.unit.serving.wire import PATIENCE_SECONDS, NotHttpError, Wire

SMALL_BUFFERS = 4096
STALLED_SECONDS = 4.0
"""The router's setting: when it cuts a client that reads nothing."""

WAITING_SECONDS = 3.0
"""For which the router is set to wait for the rest of a head, and in the middle of a body."""

_QUIET_SECONDS = 0.3
"""After which a client that reads on takes it that no more comes."""


class Watched(Wire):
    """A connection of which every byte is checked."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__(connected)
        self.lookout = Lookout()
        self.pace = 0.0
        """Seconds before each reading."""

    async def receive(self) -> bytes:
        """The next bytes. Raises FaultError where they are another's."""
        if self.pace:
            await asyncio.sleep(self.pace)
        data = await super().receive()
        if foreign := self.lookout.look(data):
            raise FaultError(f"bytes of another's answer: {foreign} in {data[:2000]!r}")
        return data


class Client:
    """One connection, and a random program for it."""

    def __init__(self, port: int, random: Random, until: float, *, hostile: bool, counts: Counter[str]) -> None:
        """`until`: when it should come to an end, by the monotonic clock."""
        self._port = port
        self._random = random
        self._until = until
        self._hostile = hostile
        self._counts = counts
        self.poison: set[bytes] = set()
        """What came of what engines sent outside of answers."""
        self._sent_at: float | None = None
        """When all of what is sent last had been sent, by the monotonic clock; None where it has not."""
        self.trace: list[str] = []
        """What it did, to explain a fault."""

    async def run(self) -> None:
        """Runs the program. Raises FaultError."""
        programs: dict[Callable[[Watched], Awaitable[None]], int] = {
            self._steady: 8,
            self._leaver: 6,
            self._slow: 2,
            self._stalled: 1,
            self._dripper: 2,
            self._old: 1,
            self._flood: 1,
            self._idle: 1,
        }
        program = self._random.choices(list(programs), list(programs.values()))[0]
        small = program in (self._slow, self._stalled) or self._random.random() < 0.1
        self.trace.append(program.__name__)
        with await Watched.connect(self._port, buffers=SMALL_BUFFERS if small else None) as wire:
            try:
                await program(wire)
            except (NotHttpError, TimeoutError) as error:
                raise FaultError(f"{type(error).__name__}: {error}") from error
            finally:
                self.poison = wire.lookout.poison

    # -- programs

    async def _steady(self, wire: Watched) -> None:
        """Asks, alone and many at once, until an answer is the last."""
        for _ in range(self._random.randint(1, 6)):
            if not await self._exchange(wire, [self._any() for _ in range(self._random.choice((1, 1, 2, 5, 10)))]):
                return
            await asyncio.sleep(self._random.choice((0, 0, 0.01, 0.1)))
            if time.monotonic() > self._until:
                return

    async def _leaver(self, wire: Watched) -> None:
        """Leaves in any state, in any way, with more behind."""
        if self._random.random() < 0.3 and not await self._exchange(wire, [asking.managing(self._random)]):
            return
        first = asking.endless(self._random) if self._random.random() < 0.5 else self._any()
        asked = [first, *(self._any() for _ in range(self._random.choice((0, 0, 1, 3))))]
        data = self._own(wire, asked)
        where = self._random.choice(("in its head", "in its body", "at once", "after a while", *["in the answer"] * 2))
        if where == "in its head":
            data = data[: self._random.randrange(first.body + 1)]
        elif where == "in its body":
            data = data[: self._random.randrange(first.body, len(first.data) + 1)]
        how = self._random.choice((wire.reset, wire.socket.close, wire.half_close))
        self.trace.append(f"leaves {where} by {how.__name__}")
        with suppress(ConnectionError):
            sending = asyncio.create_task(self._send(wire, data))
            if where == "in the answer":
                await self._take(wire, self._random.choice((1, 300, 5000, 200_000)))
            elif where == "after a while":
                await asyncio.sleep(self._random.random() * 0.1)
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending
        with suppress(OSError):
            how()
        if how == wire.half_close and len(data) - len(first.data) < PIPELINED_BYTES:
            # With more behind it the router does not read on, and does not see the end before it has answered.
            async with asyncio.timeout(PATIENCE_SECONDS):
                with suppress(ConnectionError):
                    await wire.answers.rest()
        self._counts["left"] += 1

    async def _slow(self, wire: Watched) -> None:
        """Takes a long answer slowly, and then another one."""
        wire.most = self._random.randint(1000, 20_000)
        wire.pace = self._random.random() * 0.005
        asked = [asking.friendly(self._random, megabytes=0.2), asking.managing(self._random)]
        await self._exchange(wire, asked[: self._random.randint(1, 2)])

    async def _stalled(self, wire: Watched) -> None:
        """Takes nothing, for longer than it may; asks for more than any buffer holds, all at once or without an end."""
        asked = [asking.friendly(self._random, megabytes=1) for _ in range(10)]
        if self._random.random() < 0.5:
            asked.insert(self._random.randrange(10), asking.endless(self._random))
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(2 * STALLED_SECONDS):
                await self._send(wire, self._own(wire, asked))
                await asyncio.sleep(2 * STALLED_SECONDS)
        if self._random.random() < 0.5:
            await self._take(wire, 100_000_000)
        self._counts["stalled"] += 1

    async def _dripper(self, wire: Watched) -> None:
        """Sends a part of a request; then the rest of it in time, or never."""
        asked = self._any()
        cut = self._random.randrange(1, len(asked.data) + 1)
        begun = time.monotonic()
        await self._send(wire, self._own(wire, [asked])[:cut])
        if self._random.random() < 0.5:
            await asyncio.sleep(WAITING_SECONDS / 6)
            await self._exchange(wire, [asked], sent=cut, begun=begun)
            return
        answer = await wire.answer(asked.method)
        if cut < len(asked.data) and not asked.closes and answer.status not in (408, *asked.statuses, 401, 429, 503):
            raise FaultError(f"half a request is answered: {answer}")
        self._counts[f"half a request: {answer.status}"] += 1

    async def _old(self, wire: Watched) -> None:
        """Speaks HTTP/1.0, as long as the connection lives: for one request."""
        asked = asking.hostile(self._random, old=True) if self._mean() else asking.friendly(self._random, old=True)
        if await self._exchange(wire, [asked]):
            raise FaultError("a connection of HTTP/1.0 is kept")

    async def _flood(self, wire: Watched) -> None:
        """Sends very many small requests at once."""
        await self._exchange(wire, [asking.managing(self._random) for _ in range(100)])

    async def _idle(self, wire: Watched) -> None:
        """Connects, and says nothing."""
        if not await wire.closed():
            raise FaultError("an idle connection is told something")
        self._counts["idle"] += 1

    # -- their parts

    def _mean(self) -> bool:
        return self._hostile and self._random.random() < 0.6

    def _any(self) -> Asked:
        sort = self._random.random()
        if sort < 0.6:
            return asking.hostile(self._random) if self._mean() else asking.friendly(self._random)
        if sort < 0.85:
            return asking.managing(self._random)
        return asking.refusable(self._random) if sort < 0.95 else asking.malformed(self._random)

    def _own(self, wire: Watched, asked: Sequence[Asked]) -> bytes:
        """The requests' bytes. What comes back with their markers is the connection's own."""
        wire.lookout.own.update(one.prompt.marker.encode() for one in asked if one.prompt)
        self.trace += [f"{one.kind}{' and waits for 100' if one.expects else ''}" for one in asked]
        return b"".join([one.data for one in asked])

    async def _exchange(self, wire: Watched, asked: Sequence[Asked], sent: int = 0, begun: float | None = None) -> bool:
        """Sends requests and judges their answers; whether the connection goes on. Raises FaultError.

        `sent`: bytes of them that are sent, since `begun`.
        """
        first = asked[0]
        begun = time.monotonic() if begun is None else begun
        data = self._own(wire, asked)[sent:]
        waits = first.expects and len(asked) == 1 and sent < first.body
        body = data[first.body - sent :] if waits else b""
        sending = asyncio.create_task(self._send(wire, data[: first.body - sent] if waits else data))

        async def send_body() -> None:
            nonlocal sending
            sending = asyncio.create_task(self._send(wire, body))

        try:
            for one in asked:
                answer = await wire.answers.answer(one.method, send_body if waits else None)
                if answer.status == HTTPStatus.REQUEST_TIMEOUT and self._was_slow(begun):
                    self._counts["slow by itself"] += 1
                    return False
                outcome = judge(one, answer)
                self._counts[f"{one.kind}: {outcome}"] += 1
                if outcome == CUT or answer.closes or not answer.whole:
                    with suppress(ConnectionError):
                        if answer.whole and (more := await wire.answers.rest()):
                            raise FaultError(f"behind the last answer, to {one.kind}, comes {more[:500]!r}")
                    return False
                if body and not answer.interim:
                    raise FaultError(f"a body is not wanted, and the connection goes on: {answer}")
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await sending
        return True

    async def _send(self, wire: Watched, data: bytes) -> None:
        """Sends these bytes, in pieces of any size. That the router closes meanwhile is for the answers to judge."""
        size = max(self._random.choice((1, 20, 500, 5000, 1 << 20)), len(data) // 200)
        self._sent_at = None
        with suppress(ConnectionError):
            for start in range(0, len(data), size):
                await wire.send(data[start : start + size])
                if size < 5000:
                    await asyncio.sleep(0)
            self._sent_at = time.monotonic()

    def _was_slow(self, begun: float) -> bool:
        """Whether this client itself, on a busy machine, came near the time that the router gives it to send."""
        return self._sent_at is None or self._sent_at - begun > WAITING_SECONDS / 2

    async def _take(self, wire: Watched, most: int) -> None:
        """Reads up to so many bytes, until the end, or until nothing comes for a while."""
        taken = 0
        with suppress(ConnectionError, TimeoutError):
            while taken < most:
                async with asyncio.timeout(_QUIET_SECONDS + wire.pace):
                    data = await wire.receive()
                if not data:
                    return
                taken += len(data)
