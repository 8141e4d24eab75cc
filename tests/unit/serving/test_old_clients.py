"""Clients of HTTP/1.0, requests of HEAD, and clients that leave."""

import asyncio
import gc
from typing import Any

import orjson
import pytest

from tests.unit.router.conftest import MODEL, Serving
from tests.unit.serving.conftest import Raw, connections
from tests.unit.serving.raw_engine import CHUNKED, EVENTS, OK, counted
from tests.unit.serving.wire import CHAT, Wire, chat, chunked, get, request

EVENT = b'data: {"choices":[]}\n\n'


def old(body: bytes = b"", path: str = CHAT, headers: str = "") -> bytes:
    return request(body, method="POST" if body else "GET", path=path, version="1.0", headers=headers)


async def test_http_1_0_gets_no_chunks_and_is_closed_after_each_answer(raw: Raw) -> None:
    for asked, sent, body in (
        (old(chat(MODEL)), OK + CHUNKED + chunked(b"{", b"}"), b"{}"),
        (old(chat(MODEL)), counted(b"{}"), b"{}"),
        (old(chat("tiny")), counted(b'{"model":"%b"}' % MODEL.encode()), b'{"model":"tiny"}'),
        (old(chat(MODEL, stream=True)), EVENTS + CHUNKED + chunked(EVENT, EVENT), EVENT * 2),
        (old(chat(MODEL), headers="Connection: keep-alive\r\n"), counted(b"{}"), b"{}"),
        (old(chat(MODEL), headers="Expect: 100-continue\r\n"), counted(b"{}"), b"{}"),
    ):
        with await Wire.connect(raw.port) as wire:
            await wire.send(asked + get("/healthz"))
            (await raw.asked()).send(sent)
            answer = await wire.answer()
            assert (answer.status, answer.body, answer.whole, answer.closes) == (200, body, True, True)
            assert "transfer-encoding" not in answer.headers
            assert await wire.closed()


async def test_http_1_0_is_answered_by_the_management_api(serving: Serving) -> None:
    for data in (old(path="/healthz"), b"GET /healthz HTTP/1.0\r\n\r\n"):
        with await Wire.connect(serving.port) as wire:
            answer = await wire.ask(data)
            assert (answer.status, answer.closes) == (200, True)
            assert await wire.closed()


@pytest.mark.parametrize(
    ("path", "fields", "ends"),
    [
        (CHAT, {"stream": True}, b"data: [DONE]\n\n"),
        ("/v1/completions", {"prompt": "x", "stream": True}, b"data: [DONE]\n\n"),
        ("/v1/embeddings", {"input": "x"}, b"}"),
        ("/api/chat", {}, b"}\n"),
        ("/api/pull", {}, b'{"status":"success"}\n'),
    ],
)
async def test_http_1_0_gets_every_answer_without_chunks(
    ready: Serving, path: str, fields: dict[str, Any], ends: bytes
) -> None:
    body = orjson.dumps({**orjson.loads(chat("tiny")), **fields})
    with await Wire.connect(ready.port) as wire:
        answer = await wire.ask(old(body, path))
        assert (answer.status, answer.whole, answer.closes) == (200, True, True)
        assert "transfer-encoding" not in answer.headers
        assert answer.body.endswith(ends)
        assert await wire.closed()


async def test_an_answer_that_ends_with_its_connection_is_reset_where_it_breaks(raw: Raw) -> None:
    """A client of HTTP/1.0 takes the end in order for the end of the answer."""
    for asked, sent in (
        (old(chat(MODEL)), OK + CHUNKED + b"1\r\n{\r\n"),
        (old(chat("tiny")), OK + b"content-length: 10\r\n\r\n{"),
    ):
        with await Wire.connect(raw.port) as wire:
            await wire.send(asked)
            engine = await raw.asked()
            engine.send(sent)
            await asyncio.sleep(0.01)
            engine.socket.close()
            answer = await wire.answer()
            assert (answer.status, answer.whole) == (200, False)


async def test_a_stream_that_breaks_tells_http_1_0_too(raw: Raw) -> None:
    with await Wire.connect(raw.port) as wire:
        await wire.send(old(chat(MODEL, stream=True)))
        engine = await raw.asked()
        engine.send(EVENTS + CHUNKED + b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
        engine.socket.close()
        answer = await wire.answer()
        assert answer.whole
        assert b'data: {"error"' in answer.body


async def test_head_has_no_body_and_the_connection_goes_on(serving: Serving) -> None:
    with await Wire.connect(serving.port) as wire:
        for path, status in (("/healthz", 200), ("/v1/models", 200), ("/nowhere", 404), (CHAT, 405)):
            answer = await wire.ask(request(method="HEAD", path=path), "HEAD")
            assert (answer.status, answer.body, wire.answers.unread) == (status, b"", b""), path
            assert (await wire.ask(get("/healthz"))).status == 200


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", ["half-close", "close", "reset"])
async def test_a_client_that_ends_its_side_has_left(raw: Raw, how: str, stream: bool) -> None:
    with await Wire.connect(raw.port) as wire:
        await wire.send(request(chat(MODEL, stream=stream)))
        engine = await raw.asked()
        if stream:
            engine.send(EVENTS + CHUNKED + b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
            await wire.until(EVENT)
        if how == "half-close":
            wire.half_close()
        elif how == "close":
            wire.socket.close()
        else:
            wire.reset()
        await engine.closed()
    await connections(raw.serving, 1)  # the one by which the fixture waits
    await raw.serving.in_hand(0)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (get("/v1/models"), 200),
        (get("/healthz") + get("/v1/models"), 200),
        (request(b'{"model":"tiny"}', path="/v1/models/unload"), 404),
        (request(b'{"model":"tiny"}', path="/api/show"), 200),
        (b"GET /nowhere HTTP/1.0\r\n\r\n", 404),
    ],
)
async def test_what_takes_no_engine_is_answered_after_the_client_has_ended_its_side(
    serving: Serving, data: bytes, status: int
) -> None:
    await serving.client.close()
    with await Wire.connect(serving.port) as wire:
        await wire.send(data)
        wire.half_close()
        answer = await wire.answer()
        assert (answer.status, answer.whole) == (status, True)
        assert await wire.closed()
    await connections(serving, 0)


@pytest.mark.parametrize("how", ["half-close", "close", "reset"])
async def test_a_client_may_leave_in_any_state(ready: Serving, how: str) -> None:
    body = chat(MODEL)
    whole = request(body, headers="Expect: 100-continue\r\n")
    await ready.client.close()
    for cut in (0, 1, 20, len(whole) - len(body), len(whole) - 5, len(whole)):
        with await Wire.connect(ready.port) as wire:
            await wire.send(whole[:cut])
            if how == "half-close":
                wire.half_close()
                await wire.answers.rest()
            elif how == "close":
                wire.socket.close()
            else:
                wire.reset()
        await connections(ready, 0)
        assert ready.server.body_budget.reserved == ready.server.head_budget.reserved == 0
    assert ready.server.in_flight == 0


async def test_a_client_that_leaves_with_more_requests_behind_has_left_them_all(raw: Raw) -> None:
    asked = request(chat(MODEL, stream=True))
    with await Wire.connect(raw.port) as wire:
        await wire.send(asked + asked + get("/v1/models"))
        engine = await raw.asked()
        engine.send(EVENTS + CHUNKED + b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
        await wire.until(EVENT)
        wire.reset()
        await engine.closed()
    with await Wire.connect(raw.port) as other:
        received = await other.ask(get("/healthz"))
        assert received.status == 200
        assert EVENT not in received.body
    assert not raw.engine.asked
    await raw.serving.in_hand(0)


async def test_a_client_may_leave_in_the_moment_in_which_its_engine_breaks(raw: Raw) -> None:
    """What was about to be done about it is not begun, and complains to nobody."""
    with await Wire.connect(raw.port) as wire:
        await wire.send(request(chat(MODEL)))
        engine = await raw.asked()
        engine.socket.close()
        wire.reset()
    await connections(raw.serving, 1)
    gc.collect()
    await raw.serving.in_hand(0)
