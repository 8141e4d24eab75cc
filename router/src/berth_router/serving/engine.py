"""Connections to engines: HTTP/1.1 over sockets that the event loop owns, one request at a time."""

import asyncio
import socket
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol, cast

from berth_router.serving.chunked import ChunkedDecoder, ChunkError, whole_chunks
from berth_router.serving.heads import HEAD_END, HeadError, KnownHead, ResponseHead, parse_response_head


class BrokenAnswerError(Exception):
    """The connection broke before the answer was whole."""


class AnswerReceiver(Protocol):
    """Receives an engine's answer as it comes.

    After `on_end` or `on_broken` it hears no more of the connection, and must not use it.
    """

    accepts_chunks: bool
    """Whether `on_chunks` may be called: whole chunks of the body, still in their coding."""

    def on_head(self, head: ResponseHead, *, head_only: bool) -> None:
        """The answer begins. `head_only`: nothing of its body has come yet. Interim answers are left out."""
        ...

    def on_chunks(self, coded: bytes, size: int) -> None:
        """Whole chunks of the body, in HTTP/1.1's chunked coding, with `size` bytes of the body in them."""
        ...

    def on_body(self, data: bytes) -> None:
        """The next bytes of the body, out of any coding."""
        ...

    def on_end(self) -> None:
        """The answer is whole."""
        ...

    def on_broken(self, error: BrokenAnswerError) -> None:
        """The answer ends before it is whole, or before it has begun."""
        ...


class EngineStage(Enum):
    """What a connection to an engine reads."""

    IDLE = auto()
    HEAD = auto()
    LENGTH = auto()
    CHUNKS = auto()
    UNTIL_CLOSED = auto()


# Bound once: Python 3.11 takes long to look a member up in its class.
_IDLE, _HEAD, _LENGTH, _CHUNKS, _UNTIL_CLOSED = EngineStage


class EngineConnection(asyncio.Protocol):
    """One connection to an engine."""

    __slots__ = (
        "_bodyless",
        "_closed",
        "_decoder",
        "_head_bytes",
        "_keep_alive",
        "_last_head",
        "_on_closed",
        "_partial",
        "_paused",
        "_receiver",
        "_remaining",
        "_socket",
        "_stage",
        "_transport",
        "idle_since",
        "received_any",
        "reused",
    )

    def __init__(
        self,
        connected: socket.socket,
        head_bytes: int,
        on_closed: Callable[["EngineConnection"], None] | None = None,
    ) -> None:
        """`head_bytes`: longest head of an answer. `on_closed` is called when the connection is gone."""
        self._socket = connected  # its transport reads, writes and closes it; here it is only looked at
        self._head_bytes = head_bytes
        self._on_closed = on_closed
        self._transport: asyncio.Transport | None = None
        self._receiver: AnswerReceiver | None = None
        self._stage = _IDLE
        self._partial = b""
        """What came of a head that is not whole."""
        self._remaining = 0
        self._decoder: ChunkedDecoder | None = None
        self._bodyless = False
        self._last_head: tuple[KnownHead, ResponseHead] | None = None
        """The next head is mostly the same."""
        self._keep_alive = False
        self._paused = False
        self._closed = False
        self.reused = False
        self.received_any = False
        """Whether a byte of the current answer came."""
        self.idle_since = 0.0

    @property
    def opened(self) -> bool:
        """Whether the event loop owns the socket."""
        return self._transport is not None

    @property
    def usable(self) -> bool:
        """Whether a request can be sent."""
        return self._stage is _IDLE and not self._closed

    @property
    def reusable(self) -> bool:
        """Whether the answer is over and the engine keeps the connection open."""
        return self._keep_alive and self._stage is _IDLE and not self._closed

    @property
    def nothing_unread(self) -> bool:
        """Whether the socket holds nothing that the event loop has not read yet.

        Bytes that no request asked for would be taken for the next answer. An end means that the engine closed.
        """
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except OSError as error:
            return isinstance(error, BlockingIOError)
        return False

    def send(self, receiver: AnswerReceiver, request: bytes, *, bodyless: bool = False) -> None:
        """Sends a request, whose answer `receiver` gets. Raises BrokenAnswerError where the connection is closed.

        `bodyless`: the answer has no body, whatever its head says, as for HEAD.
        """
        if not self.usable or self._transport is None:
            raise BrokenAnswerError("the connection was closed")
        self._receiver = receiver
        self._stage = _HEAD
        self._bodyless = bodyless
        self._keep_alive = False
        self.received_any = False
        self._transport.write(request)

    def pause(self) -> None:
        """Reads no more for now, so that the engine waits: the client takes its answer more slowly than it comes."""
        if self._transport and not self._closed and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Undoes `pause`."""
        if self._transport and not self._closed and self._paused:
            self._paused = False
            self._transport.resume_reading()

    def close(self) -> None:
        """Closes at once, without a word to the receiver. An engine in the middle of an answer stops its work."""
        self._receiver = None
        self._closed = True
        if self._transport:
            self._transport.abort()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The event loop owns the socket now."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Reads the bytes as a part of the answer."""
        receiver = self._receiver
        if receiver is None:
            # Bytes that no request asked for: the next answer on this connection could not be trusted.
            self.close()
            return
        stage = self._stage
        if stage is _CHUNKS:
            self._on_chunked_bytes(receiver, data)
        elif stage is _LENGTH:
            self._on_counted_bytes(receiver, data)
        elif stage is _UNTIL_CLOSED:
            receiver.on_body(data)
        else:
            self._on_head_bytes(receiver, data)

    def eof_received(self) -> bool:
        """Ends an answer that lasts until the connection ends. The event loop then closes the connection."""
        if self._stage is _UNTIL_CLOSED:
            self._end_answer(b"")
        if self._stage is _IDLE:
            self._closed = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Breaks off the answer, if there is one."""
        self._closed = True
        if self._on_closed:
            self._on_closed(self)
        self._break_off(f"the engine closed the connection{f': {exc}' if exc else ''}")

    # -- an answer

    def _on_head_bytes(self, receiver: AnswerReceiver, data: bytes) -> None:
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
        receiver.on_head(head, head_only=not data)
        if self._receiver is not receiver:
            return
        if self._stage is _LENGTH and self._remaining == 0:
            self._end_answer(data)
        elif data:
            self.data_received(data)

    def _read_head(self, data: bytes, end: int) -> ResponseHead:
        """The head in `data[:end]`. Raises HeadError."""
        last = self._last_head
        if last:
            known, head = last
            length = known.body_length(data, end)
            if length >= 0:
                if head.length is not None:
                    head.length = (
                        length  # safe to change: no other connection has this head, and its earlier answer is over
                    )
                return head
        raw = data[:end]
        head = parse_response_head(raw)
        if not head.interim and (head.length is None or (b"content-length" in head.fields and not head.bodiless)):
            self._last_head = KnownHead(raw), head
        return head

    def _begin_body(self, head: ResponseHead) -> None:
        self._keep_alive = head.keep_alive
        if self._bodyless:
            self._stage, self._remaining = _LENGTH, 0
        elif head.chunked:
            self._stage, self._decoder = _CHUNKS, ChunkedDecoder()
        elif head.length is not None:
            self._stage, self._remaining = _LENGTH, head.length
        else:
            self._stage = _UNTIL_CLOSED

    def _on_counted_bytes(self, receiver: AnswerReceiver, data: bytes) -> None:
        if len(data) < self._remaining:
            self._remaining -= len(data)
            receiver.on_body(data)
            return
        rest = data[self._remaining :] if len(data) > self._remaining else b""
        receiver.on_body(data[: self._remaining] if rest else data)
        if self._receiver is receiver:
            self._end_answer(rest)

    def _on_chunked_bytes(self, receiver: AnswerReceiver, data: bytes) -> None:
        decoder = cast("ChunkedDecoder", self._decoder)
        if receiver.accepts_chunks and decoder.between_chunks and (size := whole_chunks(data)):
            # The decoder stands between two chunks before them and after them, so it need not see them.
            receiver.on_chunks(data, size)
            return
        try:
            body = decoder.feed(data)
        except ChunkError as error:
            self._break_off(f"the engine's answer is not HTTP: {error}")
            return
        if body:
            receiver.on_body(body)
        if decoder.ended and self._receiver is receiver:
            self._end_answer(decoder.rest)

    def _end_answer(self, rest: bytes) -> None:
        """The answer is whole. `rest`: what came behind it, which no request asked for."""
        receiver, self._receiver = self._receiver, None
        self._decoder = None
        if self._paused:
            self.resume()
        if self._stage is _UNTIL_CLOSED or rest:
            self._keep_alive = False
        self._stage = _IDLE
        if receiver:
            receiver.on_end()

    def _break_off(self, reason: str) -> None:
        receiver = self._receiver
        self.close()
        if receiver:
            receiver.on_broken(BrokenAnswerError(reason))
