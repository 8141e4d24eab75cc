"""How a server drains: it cuts nobody off without an error, and leaves nobody without an answer."""

import asyncio
from contextlib import ExitStack

import orjson
import pytest

from tests.unit.router.conftest import MODEL
from tests.unit.serving.conftest import Raw, connections
from tests.unit.serving.raw_engine import CHUNKED, EVENTS, OK, counted
from tests.unit.serving.wire import CHAT, PATIENCE_SECONDS, Wire, chat, get, request

ASK = request(chat(MODEL))
STREAM = request(chat(MODEL, stream=True))
EVENT = b'data: {"choices":[]}\n\n'
HOUR = 3600.0


def ending(raw: Raw, seconds: float, lame_duck: float = 0, hurry: asyncio.Event | None = None) -> asyncio.Task[None]:
    """The server, which drains."""
    return asyncio.create_task(raw.serving.router.drain(raw.serving.server, seconds, lame_duck, hurry))


async def ended(draining: asyncio.Task[None]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await draining


async def in_flight(raw: Raw, count: int) -> None:
    """Returns when the server has so many requests in hand."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while raw.serving.server.in_flight != count:  # noqa: ASYNC110 (only the server knows)
            await asyncio.sleep(0.005)


async def takes_no_connections(port: int) -> None:
    """Returns once it does not."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                with await Wire.connect(port):
                    await asyncio.sleep(0.01)
            except ConnectionError:
                return


async def test_every_answer_says_that_it_is_the_last(raw: Raw) -> None:
    with ExitStack() as stack:
        wires = [stack.enter_context(await Wire.connect(raw.port)) for _ in range(5)]
        for wire in wires:
            assert not (await wire.ask(get("/healthz"))).closes
        draining = ending(raw, HOUR, HOUR)
        await asyncio.sleep(0)
        for wire, data in zip(wires, (get("/healthz"), get("/nowhere"), get(CHAT), ASK, STREAM), strict=True):
            await wire.send(data + get("/healthz"))
            if data in (ASK, STREAM):
                (await raw.asked()).send(counted(b"{}"))
            answer = await wire.answer()
            assert answer.closes, data
            assert await wire.closed(), "what came behind it is not answered, as the answer says"
        # Clients that do not know of the drain may still connect; the probe knows.
        with await Wire.connect(raw.port) as new:
            answer = await new.ask(get("/readyz"))
            assert (answer.status, answer.closes) == (503, True)
        draining.cancel()


async def test_a_client_that_asks_steadily_is_never_cut_without_a_word(raw: Raw) -> None:
    """From the first moment to the last, on one connection after the other, until there is no server any more."""
    hurry = asyncio.Event()
    told = 0

    async def ask_steadily() -> None:
        nonlocal told
        while True:
            try:
                wire = await Wire.connect(raw.port)
                first = await wire.ask(get("/healthz"))
            except ConnectionError:
                return
            with wire:
                if not first.whole:
                    return  # nobody had taken the connection yet when there was no server any more
                answer = first
                while not answer.closes:
                    answer = await wire.ask(get("/healthz"))
                    assert answer.whole, "cut without a word"
                told += 1

    asking = [asyncio.create_task(ask_steadily()) for _ in range(3)]
    await connections(raw.serving, 3 + 1)
    draining = ending(raw, HOUR, 0.5, hurry)
    await asyncio.gather(*asking)
    assert told >= 3
    hurry.set()
    await ended(draining)


async def test_answers_under_way_end_whole(raw: Raw) -> None:
    with await Wire.connect(raw.port) as streamed, await Wire.connect(raw.port) as plain:
        await streamed.send(STREAM)
        first = await raw.asked()
        first.send(EVENTS + CHUNKED + b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
        await plain.send(ASK)
        second = await raw.engine.connection()
        await second.request()
        draining = ending(raw, HOUR)
        await takes_no_connections(raw.port)
        first.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(EVENT), EVENT))
        second.send(counted(b"{}"))
        answers = [await streamed.answer(), await plain.answer()]
        assert [(answer.whole, answer.body) for answer in answers] == [(True, EVENT * 2), (True, b"{}")]
        assert answers[1].closes
        streamed.half_close()
        await ended(draining)


async def test_a_request_whose_body_still_comes_is_answered(raw: Raw) -> None:
    with await Wire.connect(raw.port) as wire:
        await wire.send(ASK[:-5])
        await in_flight(raw, 1)
        draining = ending(raw, HOUR)
        await takes_no_connections(raw.port)
        await wire.send(ASK[-5:])
        (await raw.asked()).send(counted(b"{}"))
        answer = await wire.answer()
        assert (answer.status, answer.closes) == (200, True)
        assert await wire.closed()
        await ended(draining)


@pytest.mark.parametrize("how", ["the time is over", "somebody is in a hurry"])
async def test_whoever_is_not_answered_by_the_end_is_told(raw: Raw, how: str) -> None:
    hurry = asyncio.Event()
    with ExitStack() as stack:
        stream, plain, begun, waiting, idle = [stack.enter_context(await Wire.connect(raw.port)) for _ in range(5)]
        assert (await idle.ask(get("/healthz"))).status == 200
        await stream.send(STREAM)
        engines = [await raw.asked()]
        engines[0].send(EVENTS + CHUNKED + b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
        await stream.until(EVENT)
        for wire in (plain, begun):
            await wire.send(ASK)
            engines.append(await raw.engine.connection())
            await engines[-1].request()
        engines[2].send(OK + b"content-length: 10\r\n\r\n{")
        await begun.until(b"{")
        await waiting.send(request(chat(MODEL, n_ctx=4096)))  # its model is not there yet
        await in_flight(raw, 4)
        draining = ending(raw, 0.2 if how == "the time is over" else HOUR, hurry=hurry)
        if how != "the time is over":
            await takes_no_connections(raw.port)
            hurry.set()
        last = (await stream.until(b"0\r\n\r\n")).partition(b"data: ")[2].partition(b"\n\n")[0]
        assert orjson.loads(last)["error"]["code"] == "server_ending"
        for wire in (plain, waiting):
            answer = await wire.answer()
            assert (answer.status, answer.error["code"], answer.headers["retry-after"]) == (503, "server_ending", "1")
            assert answer.closes
        with pytest.raises((EOFError, ConnectionError)):  # the half answer is not made to look whole
            await begun.until(b"}")
        await ended(draining)
        for engine in engines:
            await engine.closed()
    assert (raw.serving.server.connection_count, raw.serving.server.in_flight) == (0, 0)


async def test_a_client_that_takes_nothing_does_not_hold_up_the_end(raw: Raw) -> None:
    with await Wire.connect(raw.port, buffers=4096) as wire:
        await wire.send(STREAM)
        engine = await raw.asked()
        sending = asyncio.create_task(engine.send_all(EVENTS + CHUNKED + b"2000000\r\n" + b"x" * 0x2000000))
        await ended(ending(raw, 0.1))
        with pytest.raises(ConnectionError):
            await sending
    assert raw.serving.server.connection_count == 0


async def test_the_lame_ducks_time_is_a_part_of_the_drain(raw: Raw) -> None:
    await ended(ending(raw, 0, HOUR))
    assert raw.serving.server.connection_count == 0


async def test_a_server_may_be_ended_twice(raw: Raw) -> None:
    with await Wire.connect(raw.port) as wire:
        await wire.send(ASK)
        await raw.asked()
        await ended(ending(raw, 0))
        await ended(ending(raw, 0))
        assert (await wire.answer()).status == 503
    assert (raw.serving.server.connection_count, raw.serving.server.in_flight) == (0, 0)
