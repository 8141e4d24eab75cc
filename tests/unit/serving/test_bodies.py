"""Bodies of requests: in pieces, slow, too long, too many; and why the router refuses them."""

import asyncio
import tracemalloc
from contextlib import ExitStack

import orjson
import pytest

from berth_router.serving.exchange import Exchange
from berth_router.serving.heads import parse_request_head
from berth_router.serving.incoming import IncomingBody
from berth_router.serving.limits import ByteBudget, Limits
from tests.unit.router.conftest import MODEL, Serving
from tests.unit.router.engine import Call
from tests.unit.serving.wire import CHAT, PATIENCE_SECONDS, Wire, chat, chunked, get, request

KB = 1000
CHUNKED = "Transfer-Encoding: chunked\r\n"
SHORT = {"body_silence_seconds": 0.2}


def head(length: int, more: str = "", path: str = CHAT) -> bytes:
    return request(path=path, headers=f"{more}Content-Length: {length}\r\n")


async def room_taken(serving: Serving, size: int, requests: int | None = None) -> None:
    """Returns when so many bytes are reserved for bodies, and so many requests are in hand."""
    budget, count = serving.server.body_budget, requests
    async with asyncio.timeout(PATIENCE_SECONDS):
        while budget.reserved != size or count not in (None, serving.server.in_flight):  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.005)


async def test_a_body_may_come_in_chunks_cut_anywhere(ready: Serving) -> None:
    body = chat(MODEL, "x" * 50)
    coded = b"1;a=b\r\n" + body[:1] + b"\r\n" + chunked(body[1:20], body[20:])[:-2] + b"X-Trailer: y\r\n\r\n"
    data = request(headers=CHUNKED) + coded
    with await Wire.connect(ready.port) as wire:
        for cut in range(70, len(data), 7):
            await wire.send(data[:cut])
            await ready.in_hand(0)
            await wire.send(data[cut:])
            assert (await wire.answer()).status == 200
            assert orjson.dumps(ready.engine.calls[-1].body["messages"]) in body
    assert ready.server.body_budget.reserved == 0


async def test_a_body_that_is_not_in_the_coding_is_refused(ready: Serving) -> None:
    for coded in (
        b"0x2\r\n{}\r\n0\r\n\r\n",
        b"+2\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}0\r\n\r\n",
        b"2\n{}\n0\n\n",
        b"0\r\nGET / HTTP/1.1\r\n\r\n",
    ):
        with await Wire.connect(ready.port) as wire:
            answer = await wire.ask(request(headers=CHUNKED) + coded + get("/healthz"))
            assert (answer.status, answer.error["code"], answer.closes) == (400, "invalid_http", True)
            assert await wire.closed()
    assert ready.server.body_budget.reserved == 0


@pytest.mark.covers("408 request_timeout")
@pytest.mark.parametrize("settings", [SHORT], indirect=True)
async def test_half_a_body_has_its_time(serving: Serving) -> None:
    chunks = request(headers=CHUNKED)
    for half in (head(1000) + b"{", chunks + b"5\r\n{", chunks, head(5, path="/v1/models/unload")):
        with await Wire.connect(serving.port) as wire:
            answer = await wire.ask(half)
            assert (answer.status, answer.error["code"], answer.closes) == (408, "request_timeout", True)
            assert await wire.closed()
    assert serving.server.body_budget.reserved == 0


@pytest.mark.parametrize("settings", [{"body_seconds": 0.3}], indirect=True)
async def test_a_body_that_comes_slowly_has_its_time_too(serving: Serving) -> None:
    with await Wire.connect(serving.port) as wire:
        answering = asyncio.create_task(wire.answer())
        await wire.send(head(1000))
        while not answering.done():
            await wire.send(b" ")
            await asyncio.sleep(0.02)
        assert (await answering).status == 408


@pytest.mark.parametrize("settings", [{"max_bodies_bytes": 100 * KB}], indirect=True)
async def test_bodies_have_a_bound_together_and_the_others_wait(ready: Serving) -> None:
    body = chat(MODEL, "x" * 63 * KB)
    taken: list[int] = []

    async def look(call: Call) -> None:
        taken.append(ready.server.body_budget.reserved)
        await call.answer()

    ready.engine.behaviour = look
    with ExitStack() as stack:
        wires = [stack.enter_context(await Wire.connect(ready.port)) for _ in range(20)]
        for wire in wires:
            await wire.send(head(len(body)) + body[: 30 * KB])
        await room_taken(ready, len(body))
        sending = [asyncio.create_task(wire.send(body[30 * KB :])) for wire in wires]
        for wire in wires:
            assert (await wire.answer()).status == 200
        await asyncio.gather(*sending)
    assert taken == [len(body)] * 20
    await room_taken(ready, 0)


@pytest.mark.parametrize("settings", [{"max_bodies_bytes": 100 * KB, "body_silence_seconds": 1}], indirect=True)
async def test_a_body_for_which_there_is_no_room_for_long_is_refused(serving: Serving) -> None:
    with await Wire.connect(serving.port) as first, await Wire.connect(serving.port) as second:
        await first.send(head(90 * KB))
        await room_taken(serving, 90 * KB)
        answering = asyncio.create_task(second.ask(head(20 * KB)))
        await room_taken(serving, 90 * KB, requests=2)
        with await Wire.connect(serving.port) as third, await Wire.connect(serving.port) as fourth:
            # What has no body waits for nobody; what comes in chunks, of nobody knows what length, waits not at all.
            assert (await third.ask(get("/healthz"))).status == 200
            answer = await fourth.ask(request(headers=CHUNKED) + chunked(b" " * 20 * KB))
            assert (answer.status, answer.error["code"]) == (503, "too_many_bodies")
            while not answering.done():
                await first.send(b" ")
                await asyncio.sleep(0.02)
        answer = await answering
        assert (answer.status, answer.error["code"], answer.headers["retry-after"]) == (503, "too_many_bodies", "5")


@pytest.mark.parametrize("settings", [{"max_bodies_bytes": 100 * KB}], indirect=True)
async def test_a_short_body_does_not_wait_for_those_that_come_slowly(ready: Serving) -> None:
    with (
        await Wire.connect(ready.port) as slow,
        await Wire.connect(ready.port) as other,
        await Wire.connect(ready.port) as wire,
    ):
        await slow.send(head(100 * KB))
        await room_taken(ready, 100 * KB)
        await other.send(head(20 * KB))
        await room_taken(ready, 100 * KB, requests=2)
        assert (await wire.ask(request(chat(MODEL)))).status == 200
        await room_taken(ready, 100 * KB, requests=2)


@pytest.mark.parametrize("settings", [{"max_bodies_bytes": 100 * KB}], indirect=True)
async def test_whoever_leaves_leaves_the_room_to_others(ready: Serving) -> None:
    body = chat(MODEL, "x" * 60 * KB)
    reading, waiting, last = [await Wire.connect(ready.port) for _ in range(3)]
    await reading.send(head(90 * KB) + b" " * 10 * KB)
    await room_taken(ready, 90 * KB)
    await waiting.send(head(90 * KB) + b" ")
    await room_taken(ready, 90 * KB, requests=2)
    await last.send(head(len(body)) + body)
    waiting.reset()
    reading.reset()
    assert (await last.answer()).status == 200
    last.reset()
    await room_taken(ready, 0)


@pytest.mark.covers("413 request_too_large")
@pytest.mark.parametrize("settings", [{"max_body_bytes": 10 * KB}], indirect=True)
async def test_a_body_that_is_too_long_is_refused_unread(serving: Serving) -> None:
    for data in (
        head(10 * KB + 1),
        head(2**64 - 1),
        head(10 * KB + 1, "Expect: 100-continue\r\n"),
        request(headers=CHUNKED) + b"ffffffffffffffff\r\n" + b" " * 10 * KB + b" ",
    ):
        with await Wire.connect(serving.port) as wire:
            answer = await wire.ask(data)
            assert (answer.status, answer.error["code"], answer.closes) == (413, "request_too_large", True)
            assert answer.interim == []
            assert await wire.closed()
    assert serving.server.body_budget.reserved == 0


async def test_bodies_that_would_cost_too_much_are_refused(ready: Serving) -> None:
    with await Wire.connect(ready.port) as wire:
        for body, code in (
            (b"[" * 600 * KB, "too_complex"),
            (b'{"model":"tiny","messages":[' + b"[]," * 600 * KB + b"[]]}", "too_complex"),
            (b'{"model":"tiny","messages":[' + b"1," * 2_100 * KB + b"1]}", "too_complex"),
            (b"[" * 300 + b"]" * 300, "invalid_json"),
            (chat(MODEL, x=1)[:-2] + b"[" * 2000 + b"]" * 2000 + b"}", "invalid_json"),
        ):
            answer = await wire.ask(request(body))
            assert (answer.status, answer.error["code"]) == (400, code), body[:40]


async def test_the_deepest_body_passes_and_a_deeper_one_is_refused(ready: Serving) -> None:
    def nested(levels: int) -> bytes:
        return (
            b'{"model":"%b","messages":[{"role":"user","content":"Hi"}],"x":' % MODEL.encode()
            + b"[" * levels
            + b"]" * levels
            + b"}"
        )

    with await Wire.connect(ready.port) as wire:
        for levels, status in ((1, 200), (252, 200), (253, 200), (254, 400), (255, 400), (900, 400)):
            assert (await wire.ask(request(nested(levels)))).status == status, levels


async def test_100_continue_is_said_where_the_body_is_wanted(ready: Serving) -> None:
    body = chat(MODEL)
    with await Wire.connect(ready.port) as wire:
        await wire.send(head(len(body), "Expect: 100-continue\r\n"))
        assert await wire.receive() == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await wire.ask(body)).status == 200
        # Who does not wait for it needs none.
        answer = await wire.ask(head(len(body), "Expect: 100-continue\r\n") + body)
        assert (answer.status, answer.interim) == (200, [])
        answer = await wire.ask(request(method="GET", path="/healthz", headers="Expect: 100-continue\r\n"))
        assert (answer.status, answer.interim) == (200, [])


async def test_100_continue_is_not_said_where_the_body_is_not_wanted(ready: Serving) -> None:
    for data, status in (
        (request(method="PUT", headers="Expect: 100-continue\r\nContent-Length: 5\r\n"), 405),
        (head(2_000_000, "Expect: 100-continue\r\n", "/v1/models/unload"), 413),
    ):
        with await Wire.connect(ready.port) as wire:
            answer = await wire.ask(data)
            assert (answer.status, answer.interim, answer.closes) == (status, [], True)
            assert await wire.closed()


async def test_a_body_in_the_smallest_pieces_takes_no_more_room_than_it_has_bytes(serving: Serving) -> None:
    """Each piece would take thirty times its size if it were kept by itself."""

    class Anywhere:
        body_limit = 1 << 20

        def serve(self, exchange: Exchange, body: bytes) -> None:
            """Nothing is served here."""

    count = 100_000
    exchange = Exchange(serving.server, _Nobody(), parse_request_head(head(2 * count)))
    body = IncomingBody(exchange, Anywhere(), 2 * count, ByteBudget(Limits.body_bytes), 0)
    pieces = [bytes([number & 255, number >> 8 & 255]) for number in range(count)]
    tracemalloc.start()
    try:
        for piece in pieces:
            body.feed(bytes(bytearray(piece)))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 4 * count


class _Nobody:
    slow = closes_after_answer = False

    def write(self, data: bytes) -> None:
        """Nobody reads it."""

    def exchange_done(self, exchange: Exchange, *, whole: bool, reusable: bool) -> None:
        """Nobody waits for it."""
