"""The engine behind all contenders, as small and fast as it goes: a fixed answer, or a stream of chunks at a set pace.

    python -m benchmarks.router.upstream PORT

POST is answered at once, or with the stream that the prompt describes (`traffic.Pace`): its head, its first chunk, and
the rest from the moment when GET /go is asked. So any number of streams can be open before the first of them goes on.
Every other GET is answered with {}.
"""

import asyncio
import re
import sys
from typing import cast

import uvloop

from benchmarks.router.traffic import DONE, Pace, answer, event, pace_of

TICKS = 1000
"""Ticks in a second. The streams are spread over them, so that not all chunks come at once."""

_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_DATE = b"HTTP/1.1 200 OK\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\nserver: engine\r\n"
_STREAM_HEAD = _DATE + b"content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"


def _whole(body: bytes) -> bytes:
    return _DATE + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


_ANSWER = _whole(answer())
_EMPTY = _whole(b"{}")
_END = _chunk(DONE) + b"0\r\n\r\n"


class _UpstreamStream:
    """A stream under way."""

    def __init__(self, transport: asyncio.Transport, pace: Pace) -> None:
        self.transport = transport
        self.pace = pace
        self.sent = 0

    def send(self) -> bool:
        """Sends the next chunk, or the end after the last one. Whether more is to come."""
        self.transport.write(_chunk(event(self.pace.stream, self.sent)))
        self.sent += 1
        if self.sent < self.pace.chunks:
            return True
        self.transport.write(_END)
        return False


class _Pacer:
    """Has each stream send at its own pace.

    The second is a wheel of TICKS slots, and a stream stands in as many of them as it sends chunks.
    """

    def __init__(self) -> None:
        self._held: list[_UpstreamStream] = []
        self._slots: list[dict[_UpstreamStream, None]] = [{} for _ in range(TICKS)]
        self._running = 0
        self._placed = 0
        self._next = 0
        """The next tick, counted from the beginning of the loop's clock."""

    def hold(self, stream: _UpstreamStream) -> None:
        """Adds a stream that has sent its first chunk."""
        self._held.append(stream)

    def go(self) -> None:
        """Lets all streams go on that wait after their first chunk."""
        if not self._running:
            self._next = int(asyncio.get_running_loop().time() * TICKS)
            self._later()
        for stream in self._held:
            self._placed += 1
            self._running += 1
            for slot in self._slots_of(stream, self._placed):
                slot[stream] = None
        self._held.clear()

    def _slots_of(self, stream: _UpstreamStream, place: int) -> list[dict[_UpstreamStream, None]]:
        step = TICKS // stream.pace.per_second
        return self._slots[place % step :: step]

    def _later(self) -> None:
        asyncio.get_running_loop().call_later(1 / TICKS, self._tick)

    def _tick(self) -> None:
        now = int(asyncio.get_running_loop().time() * TICKS)
        while self._next <= now:
            slot = self._slots[self._next % TICKS]
            self._next += 1
            for stream in [stream for stream in slot if stream.transport.is_closing() or not stream.send()]:
                self._end(stream)
        if self._running:
            self._later()

    def _end(self, stream: _UpstreamStream) -> None:
        self._running -= 1
        for slot in self._slots:
            slot.pop(stream, None)


class _Engine(asyncio.Protocol):
    """One connection."""

    def __init__(self, pacer: _Pacer) -> None:
        self._pacer = pacer
        self._begun: bytes = b""
        """The part of a request that has come so far."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._begun:
            data = self._begun + data
        head_end = data.find(_HEAD_END)
        length = _LENGTH.search(data, 0, head_end) if head_end >= 0 else None
        end = head_end + len(_HEAD_END) + (int(length[1]) if length else 0)
        if head_end < 0 or len(data) < end:
            self._begun = data
            return
        self._begun = data[end:]
        if not data.startswith(b"POST "):
            self._answer_get(data)
        elif pace := pace_of(data):
            self._transport.write(_STREAM_HEAD)
            stream = _UpstreamStream(self._transport, pace)
            if stream.send():
                self._pacer.hold(stream)
        else:
            self._transport.write(_ANSWER)

    def _answer_get(self, request: bytes) -> None:
        if request.startswith(b"GET /go "):
            self._pacer.go()
        self._transport.write(_EMPTY)


async def serve(port: int) -> None:
    """Serves on loopback for ever."""
    pacer = _Pacer()
    server = await asyncio.get_running_loop().create_server(lambda: _Engine(pacer), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
