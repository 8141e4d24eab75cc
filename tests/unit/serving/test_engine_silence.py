"""Silent engines: the router notices, reports it to the client, and closes the connection."""

import asyncio
import time

import orjson
import pytest

from tests.unit.router.conftest import MODEL
from tests.unit.serving.conftest import Raw
from tests.unit.serving.raw_engine import CHUNKED, EVENTS, OK, RawEngineConnection
from tests.unit.serving.wire import Wire, chat, chunked, request

ASK = request(chat(MODEL))
STREAM = request(chat(MODEL, stream=True))
EVENT = b'data: {"choices":[]}\n\n'
FIRST = {"engine_first_byte_seconds": 0.3, "engine_silence_seconds": 30}
SILENCE = {"engine_first_byte_seconds": 30, "engine_silence_seconds": 0.3}


async def trickle(engine: RawEngineConnection, piece: bytes) -> None:
    """Sends the piece again and again until the router closes the connection."""
    try:
        while not engine.has_ended():
            engine.send(piece)
            await asyncio.sleep(0.02)
    except ConnectionError:
        pass


@pytest.mark.parametrize("settings", [FIRST], indirect=True)
async def test_an_engine_that_says_nothing_is_a_502_and_its_request_goes_to_no_other(raw: Raw) -> None:
    for asked in (ASK, STREAM, request(chat("tiny"))):
        with await Wire.connect(raw.port) as wire:
            await wire.send(asked)
            engine = await raw.asked()
            answer = await wire.answer()
            assert (answer.status, answer.error["code"], answer.headers["retry-after"]) == (502, "engine_failed", "2")
            assert "silent for 0.3 s" in answer.error["message"]
            await engine.closed()
            engine.socket.close()
            assert not raw.engine.asked


@pytest.mark.parametrize("settings", [FIRST], indirect=True)
async def test_an_engine_that_never_gets_to_its_answer_is_a_502(raw: Raw) -> None:
    for piece in (b"HTTP/1.1 102 Processing\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"):
        with await Wire.connect(raw.port) as wire:
            await wire.send(ASK)
            engine = await raw.asked()
            if piece == b"X: y\r\n":
                engine.send(OK)
            sending = asyncio.create_task(trickle(engine, piece))
            assert (await wire.answer()).status == 502
            await sending
            engine.socket.close()


@pytest.mark.parametrize("settings", [SILENCE], indirect=True)
async def test_a_stream_that_falls_silent_ends_with_an_error(raw: Raw) -> None:
    for pieces in (
        (EVENTS + CHUNKED,),
        (EVENTS + CHUNKED + b"%x\r\n%b\r\n" % (len(EVENT), EVENT),),
        (EVENTS + CHUNKED, b"ff\r\nhalf of a"),
        (EVENTS + b"\r\n", EVENT),  # one that ends with its connection
    ):
        with await Wire.connect(raw.port) as wire:
            await wire.send(STREAM)
            engine = await raw.asked()
            for piece in pieces:
                engine.send(piece)
                await asyncio.sleep(0.005)
            answer = await wire.answer()
            assert answer.whole
            assert b"[DONE]" not in answer.body
            last = orjson.loads(answer.body.removesuffix(b"\n\n").rpartition(b"data: ")[2])
            assert "silent for 0.3 s" in last["error"]["message"]
            await engine.closed()
            engine.socket.close()


@pytest.mark.parametrize("settings", [SILENCE], indirect=True)
async def test_what_is_no_part_of_the_answer_is_silence(raw: Raw) -> None:
    with await Wire.connect(raw.port) as wire:
        await wire.send(STREAM)
        engine = await raw.asked()
        engine.send(EVENTS + CHUNKED + b"%x\r\n%b\r\n" % (len(EVENT), EVENT) + b"5;")
        sending = asyncio.create_task(trickle(engine, b"x"))
        assert b"silent for 0.3 s" in (await wire.answer()).body
        await sending


@pytest.mark.parametrize("settings", [SILENCE], indirect=True)
async def test_an_answer_that_falls_silent_is_cut(raw: Raw) -> None:
    for piece in (OK + b"content-length: 10\r\n\r\n{", OK + CHUNKED + b"1\r\n{\r\n", OK + CHUNKED):
        with await Wire.connect(raw.port) as wire:
            await wire.send(ASK)
            engine = await raw.asked()
            engine.send(piece)
            answer = await wire.answer()
            assert (answer.status, answer.whole) == (200, False)
            engine.socket.close()


@pytest.mark.parametrize("settings", [SILENCE], indirect=True)
async def test_an_engine_that_goes_on_is_not_silent_however_long_it_takes(raw: Raw) -> None:
    with await Wire.connect(raw.port) as wire:
        await wire.send(STREAM)
        engine = await raw.asked()
        engine.send(EVENTS + CHUNKED)
        for _ in range(20):
            await asyncio.sleep(0.05)
            engine.send(b"1\r\nx\r\n")
        engine.send(b"0\r\n\r\n")
        answer = await wire.answer()
        assert (answer.body, answer.whole) == (b"x" * 20, True)


@pytest.mark.parametrize("settings", [SILENCE], indirect=True)
async def test_an_engine_whose_client_is_slow_is_not_silent(raw: Raw) -> None:
    body = b"x" * 20_000_000
    with await Wire.connect(raw.port, buffers=4096) as wire:
        await wire.send(STREAM)
        engine = await raw.asked()
        sending = asyncio.create_task(engine.send_all(EVENTS + CHUNKED + chunked(body)))
        await asyncio.sleep(1)  # three times as long as an engine may be silent
        answer = await wire.answer()
        await sending
        assert answer.whole
        assert answer.body == body


@pytest.mark.parametrize("settings", [SILENCE], indirect=True)
async def test_the_time_before_an_answer_is_no_silence_within_it(raw: Raw) -> None:
    with await Wire.connect(raw.port) as wire:
        await wire.send(ASK)
        engine = await raw.asked()
        await asyncio.sleep(0.5)  # longer than the answer may be silent
        engine.send(OK + b"content-length: 2\r\n\r\n")
        await asyncio.sleep(0.12)  # in which the clock has been looked at
        engine.send(b"{}")
        answer = await wire.answer()
        assert (answer.body, answer.whole) == (b"{}", True)


@pytest.mark.parametrize("settings", [SILENCE], indirect=True)
async def test_while_the_router_stood_still_the_engine_was_not_silent(raw: Raw) -> None:
    with await Wire.connect(raw.port) as wire:
        await wire.send(ASK)
        engine = await raw.asked()
        engine.send(OK + b"content-length: 2\r\n\r\n")
        await asyncio.sleep(0.12)  # in which the clock has been looked at
        time.sleep(0.5)  # noqa: ASYNC251 (a machine that is suspended, or has no processor to spare)
        await asyncio.sleep(0.01)
        engine.send(b"{}")
        answer = await wire.answer()
        assert (answer.body, answer.whole) == (b"{}", True)
