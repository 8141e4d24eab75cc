"""When the router cuts a slow client off, and when not. The test sets the clock, and what the client reads."""

import asyncio
from typing import Any

import pytest

from berth_router.serving.client import ClientConnection
from berth_router.serving.exchange import Exchange
from berth_router.serving.incoming import Responder
from berth_router.serving.limits import LINGER_SECONDS, ByteBudget, Limits
from tests.unit.serving.wire import get, request

STALLED = 60.0
LIMITS = Limits(stalled_client_seconds=STALLED)


class Clock:
    """A loop that is nothing but a clock."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Any, *arguments: Any) -> None:
        callback(*arguments)


class Transport(asyncio.Transport):
    """Keeps what the client has not taken."""

    def __init__(self, connection: ClientConnection) -> None:
        super().__init__()
        self._connection = connection
        self._paused = False
        self.kept = 0
        self.cut = self.ended = False

    def write(self, data: Any) -> None:
        assert not self.ended
        self.kept += len(data)
        if self.kept > 1000 and not self._paused:
            self._paused = True
            self._connection.pause_writing()

    def take(self, size: int) -> None:
        """The client takes so many bytes."""
        self.kept -= size
        if self._paused and self.kept <= 100:
            self._paused = False
            self._connection.resume_writing()

    def get_write_buffer_size(self) -> int:
        return self.kept

    def write_eof(self) -> None:
        self.ended = True

    def pause_reading(self) -> None:
        """Nothing is read here."""

    def resume_reading(self) -> None:
        """Nothing is read here."""

    def is_closing(self) -> bool:
        return self.cut

    def abort(self) -> None:
        self.cut = True

    close = abort


class Bench:
    """A connection with an answer under way, on a server that looks at the clock every second."""

    limits = LIMITS
    draining = False
    body_limit = 0

    def __init__(self, asked: bytes) -> None:
        self.clock = Clock()
        self.loop: Any = self.clock
        self.body_budget, self.head_budget, self.pipelined_budget = ByteBudget(1000), ByteBudget(1000), ByteBudget(1000)
        self.idle_since: dict[ClientConnection, float] = {}
        self.exchanges: list[Exchange] = []
        self.connection = ClientConnection(self)
        self.transport = Transport(self.connection)
        self.connection.connection_made(self.transport)
        self.connection.data_received(asked)

    def add_connection(self, connection: ClientConnection) -> bool:
        return True

    def remove_connection(self, connection: ClientConnection) -> None:
        """Nobody counts."""

    def dispatch(self, exchange: Exchange) -> Responder:
        return self

    def answers_after_end(self, exchange: Exchange) -> bool:
        return False

    def serve(self, exchange: Exchange, body: bytes) -> None:
        self.exchanges.append(exchange)
        exchange.begin(200, b"", length=None)

    @property
    def exchange(self) -> Exchange:
        return self.exchanges[-1]

    def wait(self, seconds: float) -> bool:
        """Lets so many seconds go by; whether the connection still stands."""
        until = self.clock.now + seconds
        while self.clock.now < until and not self.transport.cut:
            self.clock.now += 1
            if self.connection.deadline <= self.clock.now:
                self.connection.on_deadline()
        return not self.transport.cut


def test_a_client_that_takes_nothing_is_cut_off_in_time() -> None:
    bench = Bench(get("/"))
    bench.exchange.write(b"x" * 2000)
    assert bench.wait(STALLED)
    assert not bench.wait(3)


def test_a_client_that_takes_something_now_and_then_is_not_cut_off() -> None:
    bench = Bench(get("/"))
    bench.exchange.write(b"x" * 2000)
    for _ in range(10):
        assert bench.wait(STALLED - 3)
        bench.transport.take(50)
    assert not bench.wait(2 * STALLED)


def test_a_client_that_has_taken_all_may_wait_for_more() -> None:
    bench = Bench(get("/"))
    for _ in range(3):
        bench.exchange.write(b"x" * 2000)
        assert bench.wait(STALLED - 3)
        bench.transport.take(bench.transport.kept)
        assert bench.wait(1000)


@pytest.mark.parametrize(
    "asked",
    [get("/"), get("/", "Connection: close\r\n"), request(method="GET", path="/", version="1.0")],
)
def test_the_end_of_an_answer_has_as_much_time_as_its_beginning(asked: bytes) -> None:
    bench = Bench(asked)
    bench.exchange.write(b"x" * 2000)
    assert bench.wait(10)
    bench.exchange.finish()
    assert bench.wait(STALLED - 12)
    bench.transport.take(50)
    assert bench.wait(STALLED - 12)
    assert not bench.wait(STALLED + 20)


def test_an_answer_that_has_been_taken_lingers_only_for_a_moment() -> None:
    bench = Bench(get("/", "Connection: close\r\n"))
    bench.exchange.finish(b"x" * 500)
    assert bench.transport.ended
    bench.transport.take(bench.transport.kept)
    assert not bench.wait(LINGER_SECONDS + 2)


def test_the_next_request_waits_and_has_its_own_time() -> None:
    bench = Bench(get("/first") + get("/second"))
    bench.exchange.write(b"x" * 2000)
    bench.exchange.finish()
    assert [exchange.head.path for exchange in bench.exchanges] == ["/first"]
    assert bench.wait(STALLED - 3)
    bench.transport.take(bench.transport.kept)
    assert [exchange.head.path for exchange in bench.exchanges] == ["/first", "/second"]
    bench.transport.take(bench.transport.kept)
    assert bench.wait(1000)
    bench.exchange.write(b"x" * 2000)
    assert bench.wait(STALLED)
    assert not bench.wait(3)
