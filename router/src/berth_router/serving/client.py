"""A client's connection: it reads one request after the other, each within its bounds, and answers in their order."""

import asyncio
from enum import Enum, auto
from math import inf
from typing import Protocol, cast

from berth_router.errors import APIError, RequestTimeoutError, ServiceUnavailableError, new_request_id
from berth_router.serving.answers import CONTINUE, answer_head, error_answer
from berth_router.serving.exchange import Exchange
from berth_router.serving.heads import RequestHead
from berth_router.serving.incoming import (
    Backlog,
    IncomingBody,
    IncomingHeads,
    Responder,
    check_body_length,
    no_room_error,
)
from berth_router.serving.interfaces import ExchangeHost
from berth_router.serving.limits import LINGER_SECONDS, ByteBudget
from berth_router.serving.sockets import reset_connection


class ConnectionHost(ExchangeHost, Protocol):
    """What a connection needs of its server."""

    head_budget: ByteBudget
    """Room for heads that have not come whole."""
    pipelined_budget: ByteBudget
    """Room for what comes behind requests that are being answered."""
    idle_since: "dict[ClientConnection, float]"
    """When each idle connection began to wait for a request, on the loop's clock; the longest wait comes first."""

    draining: bool
    """Whether each answer is to be the last on its connection."""

    def add_connection(self, connection: "ClientConnection") -> bool:
        """Takes note of a connection; False where there are too many."""
        ...

    def remove_connection(self, connection: "ClientConnection") -> None:
        """Forgets a connection."""
        ...

    def answers_after_end(self, exchange: Exchange, /) -> bool:
        """Whether the request is answered though its client has ended its side."""
        ...

    def dispatch(self, exchange: Exchange, /) -> Responder:
        """Who answers the request, by its head. Raises APIError, such as for a key that does not allow it."""
        ...


class ClientStage(Enum):
    """What a connection waits for."""

    HEAD = auto()
    BODY = auto()
    ROOM = auto()
    ANSWER = auto()
    CLOSED = auto()


# Bound once: Python 3.11 takes long to look a member up in its class.
_HEAD, _BODY, _ROOM, _ANSWER, _CLOSED = ClientStage


class ClientConnection(asyncio.Protocol):
    """One connection of a client. It is the ClientWriter of its exchanges."""

    __slots__ = (
        "_backlog",
        "_heads",
        "_host",
        "_incoming",
        "_reading",
        "_transport",
        "_unsent",
        "deadline",
        "exchange",
        "slow",
        "stage",
    )

    def __init__(self, host: ConnectionHost) -> None:
        self._host = host
        self._transport: asyncio.Transport | None = None
        self._heads = IncomingHeads(host.limits.head_bytes, host.head_budget)
        self._backlog = Backlog(host.pipelined_budget)
        self._incoming: IncomingBody | None = None
        self._reading = True
        self._unsent = 0
        """Bytes that the client had not taken at the last look."""
        self.stage = _HEAD
        self.exchange: Exchange | None = None
        self.slow = False
        self.deadline = inf
        """When the server calls `on_deadline`, on the loop's clock."""

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Waits for a request, or refuses the connection where there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        now = self._host.loop.time()
        if self._host.add_connection(self):
            self.deadline = now + self._host.limits.head_seconds
            self._host.idle_since[self] = now
        else:
            text = "This router has as many connections as it takes."
            self._write_error(ServiceUnavailableError(text, code="too_many_connections", retry_after=1))
            self._close()

    def data_received(self, data: bytes) -> None:
        """Reads the bytes as a part of what the connection waits for."""
        stage = self.stage
        if stage is _HEAD and not self._backlog.data:  # the backlog is read in a moment, and comes first
            self._on_head_bytes(data)
        elif stage is _BODY:
            self._on_body_bytes(data)
        elif stage is _ANSWER:
            self._add_pipelined(data)
        elif stage is not _CLOSED:
            self._backlog.add(data)
            if self._backlog.full:
                self._pause_reading()

    def eof_received(self) -> bool:
        """Ends the request in hand, unless it is answered soon: a client that sends no more has most likely left."""
        exchange = self.exchange
        if exchange and self.stage is _ANSWER and self._host.answers_after_end(exchange):
            self._backlog.drop_all()
            return True  # the connection stays open for the answer, which is its last
        self.exchange = None
        if exchange:
            exchange.on_client_left()
            self.abort()
        elif self.stage is not _CLOSED:
            self.stage = _CLOSED
            self.deadline = self._host.loop.time() + self._host.limits.stalled_client_seconds
        return False  # the event loop closes the connection, once the client has taken what is kept of whole answers

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the request in hand, and gives back all room."""
        self._host.remove_connection(self)
        self._transport = None
        self.stage = _CLOSED
        self.deadline = inf
        self._heads.drop()
        self._backlog.take()
        self._drop_incoming()
        if self.exchange:
            self.exchange.on_client_left()

    def pause_writing(self) -> None:
        """The client takes its answer more slowly than it comes."""
        self.slow = True
        self._unsent = 0
        self.deadline = self._host.loop.time()  # at the next sweep `_abort_if_stalled` notes what is not taken
        if self.exchange:
            self.exchange.on_client_slow()

    def resume_writing(self) -> None:
        """The client has taken what was kept for it."""
        self.slow = False
        if self.stage is not _ANSWER:
            return
        self.deadline = inf
        if self.exchange:
            self.exchange.on_client_caught_up()
        else:  # the answer ended before the client took it
            self._await_request()

    # -- for the exchange: a ClientWriter

    @property
    def closes_after_answer(self) -> bool:
        """Whether the connection ends after the answer that begins now."""
        last = self._backlog.overflowed or self._host.draining or self.stage is _BODY or self.stage is _ROOM
        return last or self.exchange is None or not self.exchange.head.keep_alive

    def write(self, data: bytes) -> None:
        """Sends these bytes."""
        if self._transport:
            self._transport.write(data)

    def exchange_done(self, exchange: Exchange, *, whole: bool, reusable: bool) -> None:
        """Waits for the next request, or closes the connection."""
        if self.exchange is not exchange or self._transport is None:
            return
        self.exchange = None
        if self._incoming:
            self._drop_incoming()
        if not whole:
            self.stage = _CLOSED
            if exchange.head.http10:  # a plain close would end an HTTP/1.0 answer as if it were whole
                reset_connection(self._transport)
            self._transport.abort()
        elif not reusable:
            self._linger()
        elif not self.slow:
            self._await_request()

    # -- for the server

    def close_idle(self) -> None:
        """Closes the connection, which waits for a request."""
        self._host.idle_since.pop(self, None)
        self._close()

    def abort(self) -> None:
        """Cuts the connection."""
        if self._transport:
            self._transport.abort()

    def on_deadline(self) -> None:
        """Ends what the connection waits for: it has not come in time."""
        limits, exchange = self._host.limits, self.exchange
        if self.stage is _HEAD and not self._heads.partial:
            self._close()
        elif self.stage is _HEAD:
            seconds = limits.head_seconds
            self._refuse(RequestTimeoutError(f"The head of the request was not whole within {seconds:g} s."))
        elif self.stage is _BODY and exchange:
            silence = limits.body_silence_seconds
            exchange.fail(
                RequestTimeoutError(f"The body of the request was silent for {silence:g} s, or took too long.")
            )
        elif self.stage is _ROOM and exchange:
            exchange.fail(no_room_error())
        else:
            self._abort_if_stalled()

    def _abort_if_stalled(self) -> None:
        """Cuts the connection of a client that takes nothing of its answer, or that was refused and sends on."""
        if self._transport is None:
            return
        unsent = self._transport.get_write_buffer_size()
        if unsent and unsent != self._unsent:
            self._unsent = unsent
            self.deadline = self._host.loop.time() + self._host.limits.stalled_client_seconds
        else:
            self._transport.abort()

    # -- between requests

    def _await_request(self) -> None:
        """Waits for the next request, or begins the one that has come."""
        if self._backlog.overflowed:
            self._linger()
            return
        self.stage = _HEAD
        host = self._host
        now = host.loop.time()
        self.deadline = now + host.limits.keep_alive_seconds
        if self._backlog.data:
            # Not from here: a thousand requests that came at once would be a thousand calls deep.
            host.loop.call_soon(self._read_backlog)
        else:
            host.idle_since[self] = now
            if not self._reading:
                self._resume_reading()

    def _read_backlog(self) -> None:
        if self.stage is _HEAD and self._transport and self._backlog.data:
            self._on_head_bytes(self._backlog.take())
            if self.stage is _HEAD:
                self._resume_reading()

    def _add_pipelined(self, data: bytes) -> None:
        self._backlog.add_pipelined(data)
        if self._backlog.full:
            self._pause_reading()

    def _linger(self) -> None:
        """Closes the connection once its client has had the time to take what was sent."""
        self.stage = _CLOSED
        self._backlog.take()
        self._heads.drop()
        if self._transport is None:
            return
        self._resume_reading()
        try:
            self._transport.write_eof()
        except OSError:  # the client has reset the connection
            self._transport.abort()
        limits = self._host.limits
        self.deadline = self._host.loop.time() + (limits.stalled_client_seconds if self.slow else LINGER_SECONDS)

    def _close(self) -> None:
        self.stage = _CLOSED
        if self._transport:
            self._transport.close()

    def _refuse(self, error: APIError) -> None:
        """Answers what cannot be read as a request, and closes."""
        self._write_error(error)
        self._linger()

    def _write_error(self, error: APIError) -> None:
        headers, body = error_answer(error)
        self.write(answer_head(error.status, headers, new_request_id(), len(body), chunked=False, closes=True) + body)

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
        host, heads = self._host, self._heads
        try:
            found = heads.feed(data)
        except APIError as error:
            host.idle_since.pop(self, None)
            self._refuse(error)
            return
        if found:
            host.idle_since.pop(self, None)
            head, length, data, end = found
            self._on_head(head, length, data, end)
        elif heads.begun:
            host.idle_since.pop(self, None)
            self.deadline = host.loop.time() + host.limits.head_seconds
        elif not heads.partial:  # an empty line, as old clients send behind a body
            host.idle_since.setdefault(self, host.loop.time())

    def _on_head(self, head: RequestHead, length: int, data: bytes, end: int) -> None:
        """Begins a request. The arguments are what IncomingHeads.feed returned."""
        host = self._host
        exchange = self.exchange = Exchange(host, self, head)
        self.stage = _BODY
        self.deadline = inf
        body_end = end + length
        came_whole = not head.chunked and len(data) >= body_end
        try:
            responder = host.dispatch(exchange)
            check_body_length(1 if head.chunked else length, responder)  # the length of a chunked body is not known yet
        except APIError as error:
            if came_whole:
                self._on_request_whole(data[body_end:])
            exchange.fail(error)
            return
        if came_whole:
            # The body is in memory already, and does not wait: clients that send slowly must not hold up all others.
            host.body_budget.reserve_beyond(length)
            exchange.body_room = length
            self._on_request_whole(data[body_end:])
            responder.serve(exchange, data[end:body_end])
        else:
            self._begin_body(exchange, responder, length, data[end:])

    def _on_request_whole(self, rest: bytes) -> None:
        """The request is whole. `rest`: what came behind it."""
        self.stage = _ANSWER
        self.deadline = inf
        if not self._reading:
            self._resume_reading()
        if rest:
            self._add_pipelined(rest)

    def _begin_body(self, exchange: Exchange, responder: Responder, length: int, data: bytes) -> None:
        host = self._host
        now = host.loop.time()
        deadline = now + host.limits.body_seconds
        body = self._incoming = IncomingBody(exchange, responder, length, host.body_budget, deadline)
        if body.reserve_room(self._on_room):
            self._read_body(body, data)
        else:
            self.stage = _ROOM
            self.deadline = now + host.limits.body_silence_seconds
            self._backlog.add(data)
            self._resume_reading()

    def _on_room(self) -> None:
        if self._incoming:
            self._read_body(self._incoming, self._backlog.take())

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
            self.deadline = min(self._host.loop.time() + self._host.limits.body_silence_seconds, body.deadline)
            return
        self._incoming = None
        self._on_request_whole(rest)
        body.serve()

    def _drop_incoming(self) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming:
            incoming.drop()
