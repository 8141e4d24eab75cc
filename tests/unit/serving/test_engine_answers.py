"""What engines send: it reaches the client as one answer to one request, or as one that visibly broke off."""

import asyncio

import orjson
import pytest

from tests.unit.router.conftest import MODEL
from tests.unit.serving.conftest import Raw
from tests.unit.serving.raw_engine import CHUNKED, EVENTS, OK, counted
from tests.unit.serving.wire import CHAT, Answer, Wire, chat, chunked, get, request

ASK = request(chat(MODEL))
RENAMED = request(chat("tiny"))
STREAM = request(chat(MODEL, stream=True))
EVENT = b'data: {"choices":[]}\n\n'
POISON = b"POISON"
END = b"0\r\n\r\n"
BAD_CHUNKS = [
    b"0x5\r\nhello\r\n",
    b"+5\r\nhello\r\n",
    b" 5\r\nhello\r\n",
    b"5 \r\nhello\r\n",
    b"1_0\r\n0123456789abcdef\r\n",
    b"5\nhello\n",
    b"5\r\nhellox\r\n",
    b"5\r\nhello",
    b"fffffffffffffffff\r\n",
    b"\r\n",
    b"0\r\nno trailer\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n",
]


async def answered(raw: Raw, asked: bytes, *pieces: bytes, close: bool = False) -> Answer:
    """The client's answer when the engine's comes in these pieces."""
    with await Wire.connect(raw.port) as wire:
        await wire.send(asked)
        engine = await raw.asked()
        for piece in pieces:
            engine.send(piece)
            await asyncio.sleep(0.005)  # a piece that comes with the next one would be another case
        if close:
            engine.socket.close()
        return await wire.answer()


async def the_next_one_is_clean(raw: Raw) -> None:
    """The next client gets an answer of its own, on another connection of the engine."""
    with await Wire.connect(raw.port) as wire:
        await wire.send(ASK)
        engine = await raw.engine.connection()
        await engine.request()
        engine.send(counted(b"clean"))
        answer = await wire.answer()
        assert (answer.status, answer.body, wire.answers.unread) == (200, b"clean", b"")


@pytest.mark.parametrize(
    "answer",
    [
        counted(b"first"),
        OK + CHUNKED + chunked(b"fir", b"st"),
        OK + CHUNKED + b"5;name=value\r\nfirst\r\n0\r\nX-Trailer: y\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + counted(b"first"),
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 5 + counted(b"first"),
        counted(b"first", OK + b"Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nX-Request-Id: theirs\r\n"),
    ],
)
@pytest.mark.parametrize("behind", [counted(POISON), b"\r\n" + POISON, b"\x00"])
async def test_what_an_engine_sends_behind_its_answer_reaches_nobody(raw: Raw, answer: bytes, behind: bytes) -> None:
    got = await answered(raw, ASK, answer + behind)
    assert (got.status, got.body, got.whole) == (200, b"first", True)
    assert got.interim == []
    assert not {"link", "keep-alive", "trailer", "x-trailer"} & got.headers.keys()
    assert got.headers["x-request-id"].startswith("req_")
    await raw.idle.closed()
    await the_next_one_is_clean(raw)


@pytest.mark.parametrize("asked", [STREAM, request(chat("tiny", stream=True))], ids=["under its path", "renamed"])
async def test_what_an_engine_sends_behind_its_stream_reaches_nobody(raw: Raw, asked: bytes) -> None:
    got = await answered(raw, asked, EVENTS + CHUNKED, chunked(EVENT, EVENT) + counted(POISON))
    assert (got.status, got.body, got.whole) == (200, EVENT * 2, True)
    await the_next_one_is_clean(raw)


async def test_what_an_engine_sends_unasked_ends_its_connection(raw: Raw) -> None:
    raw.idle.send(counted(POISON))
    await raw.idle.closed()
    await the_next_one_is_clean(raw)


async def test_what_an_engine_has_sent_unasked_is_seen_before_the_next_request_is_passed_on(raw: Raw) -> None:
    with await Wire.connect(raw.port) as wire:
        assert (await wire.ask(get("/healthz"))).status == 200
        # Nothing is awaited in between: the router finds both when it looks next, and the request first.
        wire.socket.send(ASK)
        raw.idle.send(counted(POISON))
        engine = await raw.engine.connection()
        await engine.request()
        engine.send(counted(b"clean"))
        assert (await wire.answer()).body == b"clean"


async def test_an_engine_that_has_closed_an_idle_connection_gets_the_next_request_on_another(raw: Raw) -> None:
    with await Wire.connect(raw.port) as wire:
        assert (await wire.ask(get("/healthz"))).status == 200
        wire.socket.send(ASK)
        raw.idle.socket.close()
        engine = await raw.engine.connection()
        await engine.request()
        engine.send(counted(b"clean"))
        assert (await wire.answer()).body == b"clean"


async def test_a_stream_that_is_not_in_the_coding_ends_with_an_error(raw: Raw) -> None:
    begun = EVENTS + CHUNKED + b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
    for bad in [bad + END for bad in BAD_CHUNKS]:
        for pieces in ((begun, bad), (begun + bad,)):
            answer = await answered(raw, STREAM, *pieces, close=True)
            assert answer.whole, bad
            assert b"[DONE]" not in answer.body
            last = answer.body.removesuffix(b"\n\n").rpartition(b"\n\n")[2]
            assert orjson.loads(last.removeprefix(b"data: "))["error"]["code"] == "engine_failed", bad


async def test_a_stream_of_a_told_length_ends_with_an_error_where_it_breaks_and_the_next_answer_is_its_own(
    raw: Raw,
) -> None:
    with await Wire.connect(raw.port) as wire:
        for asked in (STREAM, ASK):
            await wire.send(asked)
            engine = await raw.asked()
            engine.send(EVENTS + b"content-length: 1000\r\n\r\n" + EVENT)
            engine.socket.close()
            answer = await wire.answer()
            assert answer.whole
            last = answer.body.removesuffix(b"\n\n").rpartition(b"\n\n")[2]
            assert orjson.loads(last.removeprefix(b"data: "))["error"]["code"] == "engine_failed"
            assert (await wire.ask(get("/healthz"), "GET")).body == b'{"status":"ok"}'


async def test_an_answer_that_is_not_in_the_coding_is_seen_to_break(raw: Raw) -> None:
    begun = OK + CHUNKED + b"2\r\n{}\r\n"
    for bad in [bad + END for bad in BAD_CHUNKS]:
        for pieces in ((begun, bad), (begun + bad,), (OK + CHUNKED + bad,)):
            assert not (await answered(raw, ASK, *pieces, close=True)).whole, bad


NONSENSE = [
    b"\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"HTTP/2.0 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n",  # and then nothing
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 099 Wait\r\n\r\n" + counted(b"{}"),
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" + counted(b"{}"),
    OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    OK + b"X: y\rSet-Cookie: z\r\nContent-Length: 2\r\n\r\n{}",
    OK + b"X: " + b"y" * 100_000,
    b"HTTP/1.1 103 Early Hints\r\nX: " + b"y" * 100_000,
]


async def test_what_is_no_answer_is_a_502(raw: Raw) -> None:
    for nonsense in NONSENSE:
        answer = await answered(raw, ASK, nonsense, close=True)
        assert (answer.status, answer.error["code"], answer.headers["retry-after"]) == (502, "engine_failed", "2")
        assert answer.whole, nonsense
        assert not raw.engine.asked, "it is not asked again: the request may be why"
    await the_next_one_is_clean(raw)


async def test_a_head_of_20_mib_is_a_502_before_it_has_come(raw: Raw) -> None:
    with await Wire.connect(raw.port) as wire:
        await wire.send(ASK)
        engine = await raw.asked()
        with pytest.raises(ConnectionError):
            await engine.send_all(OK + b"".join(b"X-%d: %b\r\n" % (number, b"y" * 10_000) for number in range(2000)))
        assert (await wire.answer()).status == 502


async def test_an_answer_that_ends_with_its_connection_is_whole(raw: Raw) -> None:
    answer = await answered(raw, ASK, OK + b"\r\n", b'{"until":', b'"the end"}', close=True)
    assert (answer.status, answer.body, answer.whole) == (200, b'{"until":"the end"}', True)
    await the_next_one_is_clean(raw)


async def test_an_answer_that_is_shorter_than_it_says_is_seen_to_break(raw: Raw) -> None:
    answer = await answered(raw, ASK, OK + b"content-length: 100\r\n\r\n{", close=True)
    assert (answer.status, answer.body, answer.whole) == (200, b"{", False)


WITHOUT_A_BODY = [
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\n\r\n",
]


async def test_an_answer_without_a_body_has_none_for_the_client_either(raw: Raw) -> None:
    with await Wire.connect(raw.port) as wire:
        for head in WITHOUT_A_BODY:
            for asked in (ASK, RENAMED, STREAM, request(chat("tiny", stream=True))):
                await wire.send(asked)
                (await raw.asked()).send(head)
                answer = await wire.answer()
                assert (answer.status, answer.body, answer.whole) == (int(head[9:12]), b"", True)
                assert wire.answers.unread == b""


async def test_a_long_refusal_passes_as_it_is(raw: Raw) -> None:
    words = b"no" * 100_000
    answer = await answered(raw, ASK, b"HTTP/1.1 400 Bad Request\r\ncontent-length: %d\r\n\r\n" % len(words), words)
    assert (answer.status, answer.body, answer.whole) == (400, words, True)


async def test_a_long_refusal_has_a_head_where_an_answer_would_be_changed_as_a_whole(raw: Raw) -> None:
    """Its bytes are never taken for the head of an answer."""
    asked = request(b'{"model":"tiny","content":"x"}', path="/tokenize")
    refused = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nbad" + b"x" * 70_000
    with await Wire.connect(raw.port) as wire:
        await wire.send(asked)
        engine = await raw.asked()
        await engine.send_all(counted(refused, b"HTTP/1.1 400 Bad Request\r\n"))
        answer = await wire.answer()
        assert (answer.status, answer.error["code"], answer.whole) == (502, "engine_error", True)
        assert b"bad" not in answer.body
        assert (await wire.ask(get(CHAT))).status == 405


async def test_a_fault_in_what_changes_an_answer_is_an_answer_too(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("berth_router.repairs.tokens._count", fail)
    with await Wire.connect(raw.port) as wire:
        await wire.send(request(b'{"model":"tiny","content":"x"}', path="/tokenize"))
        (await raw.asked()).send(counted(b'{"tokens":[1]}'))
        answer = await wire.answer()
        assert (answer.status, answer.whole) == (500, True)


async def test_an_engine_may_answer_before_it_has_read(raw: Raw) -> None:
    with await Wire.connect(raw.port) as wire:
        await wire.send(request(chat(MODEL, "x" * 20_000_000)))
        engine = await raw.called()
        refusal = b'{"error":{"message":"too long"}}'
        engine.send(counted(refusal, b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n"))
        answer = await wire.answer()
        assert (answer.status, answer.error["message"]) == (400, "too long")
    assert raw.serving.server.body_budget.reserved == 0
