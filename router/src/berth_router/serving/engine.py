"""Connections to engines: HTTP/1.1 over sockets that the event loop owns, one request at a time."""

import asyncio
import socket
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol, cast

from berth_router.serving.chunked import ChunkedDecoder, ChunkError, whole_chunks
from berth_router.serving.heads import HEAD_END, HeadError, ResponseHead, parse_response_head
from berth_router.serving.repeats import Repeat


class BrokenError(Exception):
    """The connection broke while an answer was awaited or read."""


class AnswerTaker(Protocol):
    """Takes an engine's answer as it comes. After `on_end` or `on_broken` it hears no more, and the connection is not
    its any more."""

    takes_chunks: bool
    """Whether whole chunks of the answer's body can be given to it in their coding."""

    def on_head(self, head: ResponseHead, *, alone: bool) -> None:
        """The answer begins. `alone`: nothing of its body has come with it. Interim answers are left out."""
        ...

    def on_chunks(self, coded: bytes, size: int) -> None:
        """Whole chunks of the body, in HTTP/1.1's chunked coding, with `size` bytes of the body in them."""
        ...

    def on_body(self, data: bytes) -> None:
        """The next bytes of the body."""
        ...

    def on_end(self) -> None:
        """The answer is whole."""
        ...

    def on_broken(self, error: BrokenError) -> None:
        """The answer ends before it is whole, or before it has begun."""
        ...


class _Stage(Enum):
    IDLE = auto()
    HEAD = auto()
    LENGTH = auto()
    CHUNKS = auto()
    UNTIL_CLOSED = auto()


# Bound once: looking a member up in its class takes Python 3.11 longer than all that is done with it.
_IDLE, _HEAD, _LENGTH, _CHUNKS, _UNTIL_CLOSED = _Stage


class EngineConnection(asyncio.Protocol):
    """One connection to an engine."""

    __slots__ = (
        "_bodyless",
        "_decoder",
        "_head_bytes",
        "_keep_alive",
        "_known",
        "_left",
        "_lost",
        "_on_lost",
        "_partial",
        "_paused",
        "_socket",
        "_stage",
        "_taker",
        "_transport",
        "idle_since",
        "received_any",
        "reused",
    )

    def __init__(
        self,
        connected: socket.socket,
        head_bytes: int,
        on_lost: Callable[["EngineConnection"], None] | None = None,
    ) -> None:
        self._socket = connected  # its transport reads, writes and closes it; here it is only looked at
        self._head_bytes = head_bytes
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._taker: AnswerTaker | None = None
        self._stage = _IDLE
        self._partial = b""
        """What came of a head that is not whole."""
        self._left = 0
        self._decoder: ChunkedDecoder | None = None
        self._bodyless = False
        self._known: tuple[Repeat, ResponseHead] | None = None
        """The last head, which mostly comes again."""
        self._keep_alive = False
        self._paused = False
        self._lost = False
        self.reused = False
        self.received_any = False
        """Whether a byte of the current answer came."""
        self.idle_since = 0.0

    @property
    def made(self) -> bool:
        """Whether the event loop has the connection."""
        return self._transport is not None

    @property
    def usable(self) -> bool:
        """Whether a request can be sent."""
        return self._stage is _IDLE and not self._lost

    @property
    def reusable(self) -> bool:
        """Whether the answer is over and the engine keeps the connection open."""
        return self.usable and self._keep_alive

    @property
    def silent(self) -> bool:
        """Whether nothing has come that the event loop has not read yet: neither bytes that nobody asked for, which
        would be taken for the next answer, nor the end."""
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except OSError as error:
            return isinstance(error, BlockingIOError)
        return False

    def send(self, taker: AnswerTaker, request: bytes, *, bodyless: bool = False) -> None:
        """Sends a request. `bodyless`: whatever the head of its answer says, it has no body, as that of HEAD. Raises
        BrokenError."""
        if not self.usable or self._transport is None:
            raise BrokenError("the connection was closed")
        self._taker = taker
        self._stage = _HEAD
        self._bodyless = bodyless
        self._keep_alive = False
        self.received_any = False
        self._transport.write(request)

    def pause(self) -> None:
        """Has the engine wait: its answer is taken more slowly than it comes."""
        if self._transport and not self._lost and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Undoes `pause`."""
        if self._transport and not self._lost and self._paused:
            self._paused = False
            self._transport.resume_reading()

    def close(self) -> None:
        """Closes at once, and tells nobody; an engine in the middle of an answer stops making it."""
        self._taker = None
        self._lost = True
        if self._transport:
            self._transport.abort()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        taker = self._taker
        if taker is None:
            # Bytes that no request asked for: the next answer on this connection could not be trusted.
            self.close()
            return
        stage = self._stage
        if stage is _CHUNKS:
            self._on_chunked(taker, data)
        elif stage is _LENGTH:
            self._on_counted(taker, data)
        elif stage is _UNTIL_CLOSED:
            taker.on_body(data)
        else:
            self._on_head(taker, data)

    def eof_received(self) -> bool:
        """The engine sends no more. The event loop closes the connection."""
        if self._stage is _UNTIL_CLOSED:
            self._finish(b"")
        if self._stage is _IDLE:
            self._lost = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._lost = True
        if self._on_lost:
            self._on_lost(self)
        self._break_off(f"the engine closed the connection{f': {exc}' if exc else ''}")

    # -- an answer

    def _on_head(self, taker: AnswerTaker, data: bytes) -> None:
        self.received_any = True
        if self._partial:
            data = self._partial + data
        while True:
            end = data.find(HEAD_END)
            if end < 0:
                self._partial = data
                if len(data) > self._head_bytes:
                    self._break_off("the head of the engine's answer is too long")
                return
            try:
                head = self._read_head(data, end + 4)
            except HeadError as error:
                self._break_off(f"the engine's answer is not HTTP: {error}")
                return
            data = data[end + 4 :]
            if not head.interim:
                break
        self._partial = b""
        self._begin_body(head)
        taker.on_head(head, alone=not data)
        if self._taker is not taker:
            return
        if self._stage is _LENGTH and self._left == 0:
            self._finish(data)
        elif data:
            self.data_received(data)

    def _read_head(self, data: bytes, end: int) -> ResponseHead:
        """The head in `data[:end]`. Raises HeadError."""
        known = self._known
        if known:
            repeat, head = known
            length = repeat.length(data, end)
            if length >= 0:
                if head.length is not None:
                    head.length = length  # the head is this connection's own, and what it told before is over
                return head
        raw = data[:end]
        head = parse_response_head(raw)
        if not head.interim and (head.length is None or (b"content-length" in head.fields and not head.bodiless)):
            self._known = Repeat(raw), head
        return head

    def _begin_body(self, head: ResponseHead) -> None:
        self._keep_alive = head.keep_alive
        if self._bodyless:
            self._stage, self._left = _LENGTH, 0
        elif head.chunked:
            self._stage, self._decoder = _CHUNKS, ChunkedDecoder()
        elif head.length is not None:
            self._stage, self._left = _LENGTH, head.length
        else:
            self._stage = _UNTIL_CLOSED

    def _on_counted(self, taker: AnswerTaker, data: bytes) -> None:
        if len(data) < self._left:
            self._left -= len(data)
            taker.on_body(data)
            return
        rest = data[self._left :] if len(data) > self._left else b""
        taker.on_body(data[: self._left] if rest else data)
        if self._taker is taker:
            self._finish(rest)

    def _on_chunked(self, taker: AnswerTaker, data: bytes) -> None:
        decoder = cast("ChunkedDecoder", self._decoder)
        if taker.takes_chunks and decoder.between_chunks and (size := whole_chunks(data)):
            # The decoder stands where the first of these begins and would stand there again after the last: it need not
            # see them.
            taker.on_chunks(data, size)
            return
        try:
            body = decoder.feed(data)
        except ChunkError as error:
            self._break_off(f"the engine's answer is not HTTP: {error}")
            return
        if body:
            taker.on_body(body)
        if decoder.ended and self._taker is taker:
            self._finish(decoder.rest)

    def _finish(self, rest: bytes) -> None:
        """The answer is whole. `rest`: what came behind it, which nobody asked for."""
        taker, self._taker = self._taker, None
        self._decoder = None
        self.resume()
        if self._stage is _UNTIL_CLOSED or rest:
            self._keep_alive = False
        self._stage = _IDLE
        if taker:
            taker.on_end()

    def _break_off(self, reason: str) -> None:
        taker = self._taker
        self.close()
        if taker:
            taker.on_broken(BrokenError(reason))
