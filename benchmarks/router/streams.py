"""Many streams at once through one port, every byte of them checked."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import httptools

from benchmarks.router.traffic import CHUNK_BYTES, Pace, checksum, events, request, stream_body

OPENING_AT_ONCE = 64
OPENING_SECONDS = 120.0
"""A stream that is not open after so many seconds counts as dropped."""

ENDING_SECONDS = 60.0
"""How many seconds more than its pace a stream may take."""


class _Tally:
    """The counts of all streams."""

    def __init__(self) -> None:
        self.bytes = 0


class _ClientStream(asyncio.Protocol):
    """One stream, on a connection of its own."""

    def __init__(self, pace: Pace, port: int, tally: _Tally) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        """Done when the head of the answer has come, or the connection has ended."""
        self.ended: asyncio.Future[None] = loop.create_future()
        self._pace = pace
        self._request = request(stream_body(pace), port)
        self._tally = tally
        self._parser: Any = httptools.HttpResponseParser(self)
        self._bytes = 0
        self._checksum = 0
        self._status = 0
        self._complete = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish()

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()
        if not self.opened.done():
            self.opened.set_result(None)

    def on_body(self, body: bytes) -> None:
        self._tally.bytes += len(body)
        self._bytes += len(body)
        self._checksum = checksum(body, self._checksum)

    def on_message_complete(self) -> None:
        self._complete = True
        self._finish()

    @property
    def is_open(self) -> bool:
        """Whether it has begun as it should, and not ended."""
        return self._status == 200 and not self.ended.done()

    def fault(self) -> str | None:
        """Why the stream is not whole. None: it is whole, to the last byte."""
        if self._status != 200:
            return f"status {self._status}" if self._status else "no answer"
        if not self._complete:
            return "cut" if self.ended.done() else "not ended in time"
        expected = events(self._pace)
        if self._bytes != len(expected):
            return "shorter or longer than what was sent"
        return None if self._checksum == checksum(expected) else "other bytes than were sent"

    def _finish(self) -> None:
        for future in (self.opened, self.ended):
            if not future.done():
                future.set_result(None)


class Streams:
    """Streams that are open. None goes beyond its first chunk before the upstream may go on."""

    def __init__(self, streams: Sequence[_ClientStream], tally: _Tally, faults: Counter[str]) -> None:
        self._streams = streams
        self._tally = tally
        self._faults = faults

    @property
    def chunks(self) -> float:
        """Chunks that have come so far, of all streams."""
        return self._tally.bytes / CHUNK_BYTES

    @property
    def open(self) -> int:
        """Streams under way."""
        return sum(stream.is_open for stream in self._streams)

    async def end(self, seconds: float) -> Counter[str]:
        """Waits for all of them, for so long. How many streams have each fault."""
        if waited := [stream.ended for stream in self._streams]:
            await asyncio.wait(waited, timeout=seconds)
        return self._faults + Counter(fault for stream in self._streams if (fault := stream.fault()))


@asynccontextmanager
async def opened(port: int, paces: Sequence[Pace]) -> AsyncGenerator[Streams]:
    """Opens a stream for each of the paces. Closes at the end what is still open."""
    loop = asyncio.get_running_loop()
    tally, faults = _Tally(), Counter[str]()
    streams: list[_ClientStream] = []
    places = asyncio.Semaphore(OPENING_AT_ONCE)

    async def begin(pace: Pace) -> None:
        async with places:
            try:
                _, stream = await loop.create_connection(lambda: _ClientStream(pace, port, tally), "127.0.0.1", port)
            except OSError as error:
                faults[f"not connected: {error.strerror or error}"] += 1
                return
            streams.append(stream)
            await stream.opened

    _, late = await asyncio.wait([asyncio.create_task(begin(pace)) for pace in paces], timeout=OPENING_SECONDS)
    for task in late:
        task.cancel()
    if never := len(paces) - len(streams) - faults.total():
        faults["not connected in time"] += never
    try:
        yield Streams(streams, tally, faults)
    finally:
        for stream in streams:
            stream.transport.abort()
