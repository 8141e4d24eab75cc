"""A client's connection: requests are taken from it one after the other, each within its bounds, and answered in their
order."""

import asyncio
from enum import Enum, auto
from math import inf
from typing import Protocol, cast

import orjson

from berth_router.errors import (
    APIError,
    RequestTimeoutError,
    ServiceUnavailableError,
    new_request_id,
)
from berth_router.serving.answers import CONTINUE, answer_head, header_lines
from berth_router.serving.exchange import Exchange
from berth_router.serving.heads import RequestHead
from berth_router.serving.incoming import Destination, IncomingBody, check_length, no_room
from berth_router.serving.incoming_heads import IncomingHeads
from berth_router.serving.limits import EARLY_BYTES, LINGER_SECONDS, Budget, Limits
from berth_router.serving.sockets import end_with_reset


class Front(Protocol):
    """What a connection needs of its server."""

    limits: Limits
    loop: asyncio.AbstractEventLoop
    budget: Budget
    """Room for bodies."""
    heads: Budget
    """Room for heads that have not come whole."""
    early: Budget
    """Room for what comes behind requests that are being answered."""
    idle: "dict[ClientConnection, float]"
    """Since when a connection waits for a request, on the loop's clock; the one first that has waited for longest."""

    @property
    def draining(self) -> bool:
        """Whether each answer is to be the last on its connection."""
        ...

    def enter(self, connection: "ClientConnection") -> bool:
        """Takes note of a connection; False where there are too many."""
        ...

    def leave(self, connection: "ClientConnection") -> None:
        """Forgets a connection."""
        ...

    def destination(self, exchange: Exchange) -> Destination:
        """Who answers the request of this head. Raises APIError where nobody does, or where it is not let in."""
        ...


class Stage(Enum):
    """What a connection waits for."""

    HEAD = auto()
    BODY = auto()
    ROOM = auto()
    ANSWER = auto()
    CLOSED = auto()


# Bound once: looking a member up in its class takes Python 3.11 longer than all that is done with it.
_HEAD, _BODY, _ROOM, _ANSWER, _CLOSED = Stage


class ClientConnection(asyncio.Protocol):
    """One connection of a client."""

    __slots__ = (
        "_early",
        "_early_room",
        "_front",
        "_heads",
        "_incoming",
        "_overrun",
        "_reading",
        "_transport",
        "_unsent",
        "deadline",
        "exchange",
        "slow",
        "stage",
    )

    def __init__(self, front: Front) -> None:
        self._front = front
        self._transport: asyncio.Transport | None = None
        self._heads = IncomingHeads(front.limits.head_bytes, front.heads)
        self._early = b""
        """What came behind the request that is being answered."""
        self._early_room = 0
        """Bytes of the budget that are taken for it."""
        self._overrun = False
        """Whether there was no room for something that came, so that the answer in hand is the last one."""
        self._incoming: IncomingBody | None = None
        self._reading = True
        self._unsent = 0
        """Bytes that the client had not taken when that was last looked at."""
        self.stage = _HEAD
        self.exchange: Exchange | None = None
        self.slow = False
        self.deadline = inf
        """When `on_deadline` is due, on the loop's clock."""

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast("asyncio.Transport", transport)
        now = self._front.loop.time()
        if self._front.enter(self):
            self.deadline = now + self._front.limits.head_seconds
            self._front.idle[self] = now
        else:
            self._tell(
                ServiceUnavailableError(
                    "This router has as many connections as it takes.", code="too_many_connections", retry_after=1
                )
            )
            self._close()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        stage = self.stage
        if stage is _HEAD and not self._early:  # what came early is taken up in a moment, and comes first
            self._on_head_bytes(data)
        elif stage is _BODY:
            self._on_body_bytes(data)
        elif stage is _ANSWER:
            self._keep_early(data)
        elif stage is not _CLOSED:
            self._early += data
            if len(self._early) > EARLY_BYTES:
                self._pause_reading()

    def eof_received(self) -> bool:
        """The client sends no more, which means that it has left: nobody could tell the two apart. The event loop
        closes the connection, once what is kept of whole answers has been taken."""
        exchange, self.exchange = self.exchange, None
        if exchange:
            exchange.client_left()
            self.abort()
        elif self.stage is not _CLOSED:
            self.stage = _CLOSED
            self.deadline = self._front.loop.time() + self._front.limits.stalled_client_seconds
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._front.leave(self)
        self._transport = None
        self.stage = _CLOSED
        self.deadline = inf
        self._heads.drop()
        self._take_kept()
        self._drop_incoming()
        if self.exchange:
            self.exchange.client_left()

    def pause_writing(self) -> None:
        """The client takes its answer more slowly than it comes."""
        self.slow = True
        self._unsent = 0
        self.deadline = self._front.loop.time()  # at the next look at the clock it is noted what has not been taken
        if self.exchange:
            self.exchange.client_slow()

    def resume_writing(self) -> None:
        """The client has taken what was kept for it."""
        self.slow = False
        if self.stage is not _ANSWER:
            return
        self.deadline = inf
        if self.exchange:
            self.exchange.client_ready()
        else:  # the answer was over before
            self._next()

    # -- for the exchange: see ClientSide

    @property
    def closing(self) -> bool:
        """Whether the connection ends after the answer that begins now."""
        last = self._overrun or self._front.draining or self.stage is _BODY or self.stage is _ROOM
        return last or self.exchange is None or not self.exchange.head.keep_alive

    def write(self, data: bytes) -> None:
        """Sends these bytes."""
        if self._transport:
            self._transport.write(data)

    def exchange_done(self, exchange: Exchange, *, whole: bool, reusable: bool) -> None:
        """The exchange is over."""
        if self.exchange is not exchange or self._transport is None:
            return
        self.exchange = None
        self._drop_incoming()
        if not whole:
            self.stage = _CLOSED
            if exchange.head.http10:  # whose answers end with their connection
                end_with_reset(self._transport)
            self._transport.abort()
        elif not reusable:
            self._linger()
        elif not self.slow:
            self._next()

    # -- the life of a connection

    def close_idle(self) -> None:
        """Closes the connection, which waits for a request."""
        self._front.idle.pop(self, None)
        self._close()

    def on_deadline(self) -> None:
        """What was waited for has not come in time."""
        limits = self._front.limits
        if self.stage is _HEAD and not self._heads.partial:
            self._close()
        elif self.stage is _HEAD:
            self._refuse(
                RequestTimeoutError(f"The head of the request was not whole within {limits.head_seconds:g} s.")
            )
        elif self.stage is _BODY and self.exchange:
            self.exchange.fail(
                RequestTimeoutError(
                    f"The body of the request was silent for {limits.body_silence_seconds:g} s, or took too long."
                )
            )
        elif self.stage is _ROOM and self.exchange:
            self.exchange.fail(no_room())
        else:
            self._abort_if_stalled()

    def _abort_if_stalled(self) -> None:
        """Cuts the connection of a client that takes nothing of its answer, or that was refused and sends on."""
        if self._transport is None:
            return
        unsent = self._transport.get_write_buffer_size()
        if unsent and unsent != self._unsent:
            self._unsent = unsent
            self.deadline = self._front.loop.time() + self._front.limits.stalled_client_seconds
        else:
            self._transport.abort()

    def abort(self) -> None:
        """Cuts the connection."""
        if self._transport:
            self._transport.abort()

    def _next(self) -> None:
        """Waits for the next request, or begins the one that has come."""
        if self._overrun:
            self._linger()
            return
        self.stage = _HEAD
        front = self._front
        now = front.loop.time()
        self.deadline = now + front.limits.keep_alive_seconds
        if self._early:
            # Not from here: a thousand requests that came at once would be a thousand calls deep.
            front.loop.call_soon(self._take_early)
        else:
            front.idle[self] = now
            self._resume_reading()

    def _take_early(self) -> None:
        if self.stage is _HEAD and self._transport and self._early:
            self._on_head_bytes(self._take_kept())
            if self.stage is _HEAD:
                self._resume_reading()

    def _keep_early(self, data: bytes) -> None:
        """Keeps what came behind the request in hand. Where there is no room for it, nothing more is answered than that
        one."""
        if self._front.early.reserve(len(data)):
            self._early_room += len(data)
            self._early += data
        else:
            self._overrun = True
        if self._overrun or len(self._early) > EARLY_BYTES:
            self._pause_reading()

    def _take_kept(self) -> bytes:
        """What was kept, which takes no room any more."""
        early, self._early = self._early, b""
        room, self._early_room = self._early_room, 0
        if room:
            self._front.early.release(room)
        return early

    def _linger(self) -> None:
        """Closes the connection once its client has had the time to take what was sent."""
        self.stage = _CLOSED
        self._take_kept()
        self._heads.drop()
        if self._transport is None:
            return
        self._resume_reading()
        try:
            self._transport.write_eof()
        except OSError:  # the client has reset the connection
            self._transport.abort()
        limits = self._front.limits
        self.deadline = self._front.loop.time() + (limits.stalled_client_seconds if self.slow else LINGER_SECONDS)

    def _close(self) -> None:
        self.stage = _CLOSED
        if self._transport:
            self._transport.close()

    def _refuse(self, error: APIError) -> None:
        """Answers what is no request that could be answered, and closes."""
        self._tell(error)
        self._linger()

    def _tell(self, error: APIError) -> None:
        body = orjson.dumps(error.content())
        headers = [(name.encode(), value.encode()) for name, value in error.headers().items()]
        headers.append((b"content-type", b"application/json"))
        self.write(
            answer_head(error.status, header_lines(headers), new_request_id(), len(body), chunked=False, closing=True)
            + body
        )

    def _pause_reading(self) -> None:
        if self._reading and self._transport:
            self._reading = False
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if not self._reading and self._transport and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()

    # -- a request

    def _on_head_bytes(self, data: bytes) -> None:
        front, heads = self._front, self._heads
        try:
            found = heads.feed(data)
        except APIError as error:
            front.idle.pop(self, None)
            self._refuse(error)
            return
        if found:
            front.idle.pop(self, None)
            head, length, data, end = found
            self._on_head(head, length, data, end)
        elif heads.begun:
            front.idle.pop(self, None)
            self.deadline = front.loop.time() + front.limits.head_seconds
        elif not heads.partial:  # an empty line, as old clients send behind a body
            front.idle.setdefault(self, front.loop.time())

    def _on_head(self, head: RequestHead, length: int, data: bytes, end: int) -> None:
        """A request begins. `length` and the rest: see IncomingHeads.feed."""
        front = self._front
        exchange = self.exchange = Exchange(front, self, head)
        self.stage = _BODY
        self.deadline = inf
        body_end = end + length
        came_whole = not head.chunked and len(data) >= body_end
        try:
            destination = front.destination(exchange)
            check_length(1 if head.chunked else length, destination)  # of a body in chunks nobody knows more yet
        except APIError as error:
            if came_whole:
                self._whole(data[body_end:])
            exchange.fail(error)
            return
        if came_whole:
            # It is in memory, and waits for none: those who send their bodies slowly must not hold up all others.
            front.budget.take(length)
            exchange.room = length
            self._whole(data[body_end:])
            destination.serve(exchange, data[end:body_end])
        else:
            self._begin_body(exchange, destination, length, data[end:])

    def _whole(self, early: bytes) -> None:
        """The request is whole. `early`: what came behind it."""
        self.stage = _ANSWER
        self.deadline = inf
        if not self._reading:
            self._resume_reading()
        if early:
            self._keep_early(early)

    def _begin_body(self, exchange: Exchange, destination: Destination, length: int, data: bytes) -> None:
        front = self._front
        now = front.loop.time()
        body = self._incoming = IncomingBody(
            exchange, destination, length, front.budget, now + front.limits.body_seconds
        )
        if body.take_room(self._read_body_on):
            self._read_body(body, data)
        else:
            self.stage = _ROOM
            self.deadline = now + front.limits.body_silence_seconds
            self._early = data
            self._resume_reading()

    def _read_body_on(self) -> None:
        if self._incoming:
            self._read_body(self._incoming, self._take_kept())

    def _read_body(self, body: IncomingBody, data: bytes) -> None:
        """Reads the body, for which there is room. `data`: what has come of it."""
        self.stage = _BODY
        if body.exchange.head.expects_continue and not data:
            self.write(CONTINUE)
        self._resume_reading()
        self._on_body_bytes(data)

    def _on_body_bytes(self, data: bytes) -> None:
        body = self._incoming
        if body is None:
            return
        try:
            rest = body.feed(data)
        except APIError as error:
            body.exchange.fail(error)
            return
        if rest is None:
            self.deadline = min(self._front.loop.time() + self._front.limits.body_silence_seconds, body.until)
            return
        self._incoming = None
        self._whole(rest)
        body.serve()

    def _drop_incoming(self) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming:
            incoming.drop()
