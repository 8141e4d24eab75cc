"""Pipelined requests: answered in order, or the connection says that it closes."""

import asyncio

from berth_router.serving.limits import PIPELINED_BYTES, ByteBudget
from tests.unit.router.conftest import MODEL, Serving
from tests.unit.router.engine import COMPLETION, Call, chunk
from tests.unit.serving.conftest import Raw
from tests.unit.serving.raw_engine import CHUNKED, EVENTS, counted
from tests.unit.serving.wire import CHAT, Wire, chat, get, request

STREAM = request(chat(MODEL, stream=True))


async def echo(call: Call) -> None:
    """Answers with the prompt."""
    prompt = call.body["messages"][0]["content"]
    if call.body.get("stream"):
        await call.begin_stream()
        for word in (prompt, prompt, prompt):
            await call.stream(chunk(word))
        await call.stream(b"")
    else:
        await call.answer({**COMPLETION, "prompt": prompt})


async def test_ten_requests_at_once_are_answered_in_their_order(ready: Serving) -> None:
    ready.engine.behaviour = echo
    requests = [
        request(chat(MODEL, "one", stream=True)),
        get("/healthz"),
        request(chat(MODEL, "two")),
        get("/v1/models"),
        get("/nowhere"),
        request(chat(MODEL, "three", stream=True)),
        request(b"not json"),
        get(CHAT),
        request(method="HEAD", path="/healthz"),
        request(chat(MODEL, "four")),
    ]
    with await Wire.connect(ready.port) as wire:
        await wire.send(b"".join(requests))
        answers = [await wire.answer("HEAD" if number == 8 else "POST") for number in range(10)]
        assert [answer.status for answer in answers] == [200, 200, 200, 200, 404, 200, 400, 405, 200, 200]
        assert all(answer.whole and not answer.closes for answer in answers)
        for number, word in ((0, b"one"), (2, b"two"), (5, b"three"), (9, b"four")):
            assert word in answers[number].body
            assert not any(word in answer.body for answer in answers if answer is not answers[number])
        assert wire.answers.unread == b""
        assert (await wire.ask(get("/healthz"))).status == 200


async def test_a_thousand_requests_at_once_are_answered_in_their_order(ready: Serving) -> None:
    async with asyncio.timeout(60):
        with await Wire.connect(ready.port) as wire:
            requests = [get(CHAT, f"X-Request-Id: number-{number}\r\n") for number in range(1000)]
            sending = asyncio.create_task(wire.send(b"".join(requests)))
            for number in range(1000):
                answer = await wire.answer()
                assert (answer.status, answer.headers["x-request-id"]) == (405, f"number-{number}")
            await sending


async def test_the_rest_of_a_request_never_overtakes_its_beginning(raw: Raw) -> None:
    """The beginning came while the answer before was made; the rest in the same moment as the end of that answer."""
    second = request(chat(MODEL, "second"))
    with await Wire.connect(raw.port) as wire:
        await wire.send(STREAM + second[:100])
        await raw.idle.request()
        raw.idle.send(EVENTS + CHUNKED + b"5\r\nfirst\r\n")
        await wire.until(b"first")
        # Nothing is awaited in between: the router finds both when it looks next, and the engine's bytes first.
        raw.idle.send(b"0\r\n\r\n")
        wire.socket.send(second[100:])
        body = await raw.idle.request()
        assert body["messages"][0]["content"] == "second"
        raw.idle.send(counted(b"second"))
        assert b"HTTP/1.1 200" in await wire.until(b"second")


READ_AT_ONCE = 256 * 1024
"""Bytes that an event loop reads from a socket in one call."""


async def test_what_comes_behind_a_request_is_read_no_further_than_a_bound(raw: Raw) -> None:
    with await Wire.connect(raw.port) as wire:
        sending = asyncio.create_task(wire.send(STREAM + get("/nowhere") * 100_000))
        await raw.idle.request()
        await asyncio.sleep(0.2)  # in which all would be read that could be
        assert raw.serving.server.pipelined_budget.reserved <= PIPELINED_BYTES + READ_AT_ONCE
        wire.reset()
        sending.cancel()


async def test_where_there_is_no_room_for_more_requests_the_answer_in_hand_is_the_last(raw: Raw) -> None:
    server = raw.serving.server
    server.pipelined_budget = ByteBudget(1000)
    with await Wire.connect(raw.port) as wire, await Wire.connect(raw.port) as other:
        await wire.send(STREAM + get("/healthz") * 10)
        engine = await raw.asked()
        await other.send(STREAM)
        others_engine = await raw.engine.connection()
        await others_engine.request()
        await other.send(get("/healthz") * 100)
        await asyncio.sleep(0.05)
        for used in (engine, others_engine):
            used.send(EVENTS + CHUNKED + b"5\r\nwhole\r\n0\r\n\r\n")
        answer = await other.answer()
        assert (answer.body, answer.whole, answer.closes) == (b"whole", True, True)
        assert await other.closed()
        assert not (await wire.answer()).closes
        for _ in range(10):
            assert (await wire.answer()).status == 200
        assert server.pipelined_budget.reserved == 0
