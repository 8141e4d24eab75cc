"""Heads of requests: in pieces, slow, too long, too many."""

import asyncio
from contextlib import suppress

import pytest

from berth_router.serving.client import ClientConnection
from berth_router.serving.limits import ByteBudget
from tests.unit.router.conftest import MODEL, Serving
from tests.unit.serving.conftest import connections
from tests.unit.serving.wire import Wire, chat, get, request

KIB = 1024


async def test_a_head_may_come_in_pieces_cut_anywhere(serving: Serving) -> None:
    data = b"\r\n" + get("/healthz", "X-Request-Id: one\r\n") + get("/healthz", "X-Request-Id: two\r\n")
    for cut in range(1, len(data)):
        with await Wire.connect(serving.port) as wire:
            await wire.send(data[:cut])
            await connections(serving, 1)
            await wire.send(data[cut:])
            for number in ("one", "two"):
                answer = await wire.answer()
                assert (answer.status, answer.headers["x-request-id"]) == (200, number), cut
        await connections(serving, 0)


async def test_a_head_may_come_byte_by_byte(serving: Serving) -> None:
    with await Wire.connect(serving.port) as wire:
        for byte in get("/healthz"):
            await wire.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await wire.answer()).status == 200


@pytest.mark.covers("431 head_too_large")
@pytest.mark.parametrize("piece", [1 << 27, 40_000, 1000])
async def test_a_head_that_never_ends_is_refused_while_it_comes(serving: Serving, piece: int) -> None:
    async def never_end(wire: Wire) -> None:
        with suppress(ConnectionError):
            while True:
                await wire.send(b"a" * piece)

    with await Wire.connect(serving.port) as wire:
        await wire.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ")
        sending = asyncio.create_task(never_end(wire))
        answer = await wire.answer()
        assert (answer.status, answer.error["code"], answer.closes) == (431, "head_too_large", True)
        await sending


@pytest.mark.parametrize("settings", [{"head_seconds": 0.2}], indirect=True)
async def test_half_a_head_has_its_time(serving: Serving) -> None:
    with await Wire.connect(serving.port) as wire:
        await wire.send(get("/healthz")[:30])
        answer = await wire.answer()
        assert (answer.status, answer.error["code"], answer.closes) == (408, "request_timeout", True)
        assert await wire.closed()


@pytest.mark.parametrize("settings", [{"head_seconds": 0.2}], indirect=True)
async def test_a_head_that_comes_slowly_has_no_more_time(serving: Serving) -> None:
    with await Wire.connect(serving.port) as wire:
        answering = asyncio.create_task(wire.answer())
        await wire.send(b"GET /healthz HTTP/1.1\r\n")
        with suppress(ConnectionError):
            while not answering.done():
                await wire.send(b"X: y\r\n")
                await asyncio.sleep(0.02)
        assert (await answering).status == 408


@pytest.mark.parametrize("settings", [{"head_seconds": 0.2, "keep_alive_seconds": 30}], indirect=True)
async def test_half_a_head_behind_an_answer_has_its_time_too(serving: Serving) -> None:
    with await Wire.connect(serving.port) as wire:
        await wire.send(get("/healthz") + get("/healthz")[:30])
        assert [(await wire.answer()).status for _ in range(2)] == [200, 408]


@pytest.mark.parametrize("settings", [{"head_seconds": 0.2}], indirect=True)
async def test_a_fault_in_one_connection_does_not_end_the_time_outs_of_the_others(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty: list[ClientConnection] = []
    on_deadline = ClientConnection.on_deadline

    def fail_for_the_first(connection: ClientConnection) -> None:
        faulty.append(connection)
        if connection is faulty[0]:
            raise RuntimeError("planted")
        on_deadline(connection)

    monkeypatch.setattr(ClientConnection, "on_deadline", fail_for_the_first)
    for status in (0, 408):
        with await Wire.connect(serving.port) as wire:
            assert (await wire.ask(get("/healthz")[:20])).status == status
    await connections(serving, 0)


@pytest.mark.parametrize("settings", [{"head_seconds": 0.2}], indirect=True)
async def test_a_connection_on_which_nothing_comes_is_closed(serving: Serving) -> None:
    with await Wire.connect(serving.port) as wire:
        assert await wire.closed()


@pytest.mark.parametrize("settings", [{"keep_alive_seconds": 0.2}], indirect=True)
async def test_a_connection_on_which_nothing_more_comes_is_closed(serving: Serving) -> None:
    with await Wire.connect(serving.port) as wire:
        assert (await wire.ask(get("/healthz"))).status == 200
        await wire.send(b"\r\n")  # no request
        assert await wire.closed()


async def test_half_heads_have_a_bound_together(serving: Serving) -> None:
    serving.server.head_budget = ByteBudget(100 * KIB)
    wires = [await Wire.connect(serving.port) for _ in range(50)]
    half = get("/healthz")[:-2] + b"X: " + b"y" * 10 * KIB
    try:
        for wire in wires:
            await wire.send(half)
        for wire in wires[9:]:
            answer = await wire.answer()
            assert (answer.status, answer.error["code"], answer.headers["retry-after"]) == (503, "too_many_heads", "5")
        with await Wire.connect(serving.port) as other:
            assert (await other.ask(get("/healthz"))).status == 200
        await wires[0].send(b"\r\n\r\n")
        assert (await wires[0].answer()).status == 200
    finally:
        for wire in wires:
            wire.reset()
    await connections(serving, 0)
    assert serving.server.head_budget.reserved == 0


NO_REQUESTS = [
    (request(b"{}", headers="Transfer-Encoding: chunked\r\n"), 400),
    (request(b"{}", headers="Content-Length: 2\r\n"), 400),
    (get("/healthz", "X: y\r\n z\r\n"), 400),
    (b"GET http://[::1/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET /\r\n\r\n", 505),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 501),
    (request(b"{}", headers="Expect: 200-ok\r\n"), 417),
]


async def test_what_is_no_request_is_told_and_ends_the_connection(serving: Serving) -> None:
    """What comes behind it could be anything, and is not read as a request."""
    for data, status in NO_REQUESTS:
        with await Wire.connect(serving.port) as wire:
            await wire.send(data + get("/healthz"))
            answer = await wire.answer()
            assert (answer.status, answer.error["code"], answer.closes) == (status, "invalid_http", True)
            assert await wire.closed()


async def test_an_upgrade_that_is_not_taken_up_is_answered_with_all_of_its_body(ready: Serving) -> None:
    body = chat(MODEL, "all of it")
    upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
    with await Wire.connect(ready.port) as wire:
        assert (await wire.ask(request(body, headers=upgrade))).status == 200
        assert ready.engine.calls[-1].body["messages"][0]["content"] == "all of it"
        assert (await wire.ask(request(body))).status == 200
