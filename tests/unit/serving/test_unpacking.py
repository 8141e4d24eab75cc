"""Bodies that come packed: on every path, cut anywhere, and those that are no such body, or unpack to too much."""

import gzip
import zlib
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from berth_router.serving.heads import parse_request_head
from berth_router.serving.unpacking import unpacking
from tests.unit.router.conftest import MODEL, Serving
from tests.unit.router.engine import Call
from tests.unit.serving.conftest import called
from tests.unit.serving.test_bodies import room_taken
from tests.unit.serving.test_keys import guarded, with_keys
from tests.unit.serving.wire import CHAT, Wire, chat, chunked, get, request

__all__ = ["guarded", "with_keys"]

KB = 1000
MIB = 1 << 20
GZIP = "Content-Encoding: gzip\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"


def zeros(size: int) -> bytes:
    """A chat of so many bytes, packed to a thousandth of them."""
    return gzip.compress(chat(MODEL, "0" * size))


@pytest.mark.covers("gzip, deflate")
@pytest.mark.parametrize(
    ("headers", "packed"),
    [
        (GZIP, gzip.compress(chat(MODEL))),
        ("Content-Encoding: X-GZIP \r\n", gzip.compress(chat(MODEL))),
        ("Content-Encoding: identity, gzip\r\n", gzip.compress(chat(MODEL))),
        ("Content-Encoding: deflate\r\n", zlib.compress(chat(MODEL))),
        ("Content-Encoding: identity\r\n", chat(MODEL)),
        ("Content-Encoding: \r\n", chat(MODEL)),
    ],
    ids=["gzip", "x-gzip", "identity, gzip", "deflate", "identity", "nothing"],
)
async def test_a_packed_body_is_what_it_unpacks_to(ready: Serving, headers: str, packed: bytes) -> None:
    with await Wire.connect(ready.port) as wire:
        for data in (
            request(packed, headers=headers),
            request(headers=headers + CHUNKED) + chunked(*[packed[at : at + 7] for at in range(0, len(packed), 7)]),
        ):
            assert (await wire.ask(data)).status == 200
            assert ready.engine.calls[-1].body["messages"] == orjson.loads(chat(MODEL))["messages"]
    await room_taken(ready, 0)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/models/unload", {"model": "tiny"}, 200),
        ("/api/chat", {"model": "tiny", "messages": [{"role": "user", "content": "hello"}], "stream": False}, 200),
        ("/api/show", {"model": "tiny"}, 200),
        ("/v1/embeddings", {"model": "tiny", "input": "hello"}, 200),
    ],
)
async def test_all_paths_unpack(ready: Serving, path: str, body: dict[str, Any], status: int) -> None:
    packed = gzip.compress(orjson.dumps(body))
    with await Wire.connect(ready.port) as wire:
        answer = await wire.ask(request(packed, path=path, headers=GZIP + "Content-Type: application/json\r\n"))
        assert (answer.status, answer.closes) == (status, False)
    await room_taken(ready, 0)


async def test_a_long_body_is_unpacked_in_steps_and_others_are_answered_meanwhile(ready: Serving) -> None:
    body = zeros(20 * MIB)
    with await Wire.connect(ready.port) as wire, await Wire.connect(ready.port) as other:
        await wire.send(request(body, headers=GZIP))
        assert (await other.ask(get(CHAT))).status == 405
        assert len(body) < ready.server.body_budget.reserved < 20 * MIB
        await called(ready.engine, 2)
        assert (await wire.answer()).status == 200
    assert len(ready.engine.calls[-1].body["messages"][0]["content"]) == 20 * MIB
    await room_taken(ready, 0)


class _Kept:
    """An exchange that keeps what it is to run in the background."""

    def __init__(self) -> None:
        self.work: list[Coroutine[Any, Any, None]] = []

    def reserve_body(self, size: int) -> bool:
        return True

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.work.append(work)


EMPTY_BLOCK = b"\0\0\0\xff\xff"


@pytest.mark.parametrize(
    "packed",
    [gzip.compress(chat(MODEL, "0" * 2 * MIB), 0), gzip.compress(b"", 0)[:10] + EMPTY_BLOCK * MIB],
    ids=["as long as before", "nothing at all"],
)
def test_a_long_body_is_unpacked_in_steps_even_if_it_hardly_grows(packed: bytes) -> None:
    exchange: Any = _Kept()
    responder: Any = SimpleNamespace(body_limit=64 * MIB)
    unpacking(parse_request_head(request(headers=GZIP)), responder).serve(exchange, packed)
    [work] = exchange.work
    steps = [work.send(None) for _ in range(len(packed) // (64 * 1024) - 1)]
    assert steps
    work.close()


@pytest.mark.covers("400 invalid_content_encoding")
@pytest.mark.parametrize(
    "packed",
    [
        chat(MODEL),
        gzip.compress(chat(MODEL))[:-1],
        gzip.compress(chat(MODEL))[:10],
        gzip.compress(chat(MODEL))[:-8] + bytes(8),
        gzip.compress(chat(MODEL)) + b" ",
        gzip.compress(chat(MODEL)) + bytes(100 * KB),
        gzip.compress(chat(MODEL)) * 2,
        gzip.compress(b"") * 100_000,
        zlib.compress(chat(MODEL)),
        zeros(MIB)[:-9] + b"x" * 9,
    ],
    ids=["not packed", "cut", "no data", "sum", "a byte", "bytes", "two", "many", "another coding", "late"],
)
async def test_what_is_no_gzip_is_refused_and_the_connection_goes_on(ready: Serving, packed: bytes) -> None:
    with await Wire.connect(ready.port) as wire:
        answer = await wire.ask(request(packed, headers=GZIP))
        assert (answer.status, answer.error["code"]) == (400, "invalid_content_encoding")
        assert answer.error["param"] == "Content-Encoding"
        assert (await wire.ask(request(chat(MODEL)))).status == 200
    await room_taken(ready, 0)


@pytest.mark.covers("415 unsupported_content_encoding")
@pytest.mark.parametrize(
    "headers",
    [
        "Content-Encoding: br\r\n",
        "Content-Encoding: zstd\r\n",
        "Content-Encoding: gzip, gzip\r\n",
        GZIP + GZIP,
        "Content-Encoding: deflate\r\n" + GZIP,
        "Content-Encoding: \xff\r\n",
    ],
)
@pytest.mark.parametrize("path", [CHAT, "/v1/models/unload", "/api/chat", "/api/show"])
async def test_another_coding_is_refused_unread(serving: Serving, headers: str, path: str) -> None:
    with await Wire.connect(serving.port) as wire:
        answer = await wire.ask(request(path=path, headers=headers + "Content-Length: 1000\r\n"))
        assert (answer.status, answer.headers["accept-encoding"]) == (415, "gzip, deflate")
        assert b"Content-Encoding must be gzip or deflate" in answer.body
        assert answer.closes


@pytest.mark.parametrize("settings", [{"max_body_bytes": 900 * KB}], indirect=True)
async def test_a_body_that_unpacks_to_more_than_the_limit_is_refused(ready: Serving) -> None:
    """Of a bomb of thirty mebibytes nothing is unpacked beyond the limit."""
    for path, body in (
        (CHAT, zeros(901 * KB)),
        (CHAT, gzip.compress(bytes(30 * MIB))),
        ("/api/chat", zeros(901 * KB)),
        ("/v1/models/unload", zeros(901 * KB)),
    ):
        with await Wire.connect(ready.port) as wire:
            answer = await wire.ask(request(body, path=path, headers=GZIP))
            assert (answer.status, answer.closes) == (413, False), path
    assert len(ready.engine.calls) == 1
    await room_taken(ready, 0)


@pytest.mark.parametrize("settings", [{"max_bodies_bytes": 1 * MIB}], indirect=True)
async def test_what_is_unpacked_takes_its_room(ready: Serving) -> None:
    taken: list[int] = []

    async def look(call: Call) -> None:
        taken.append(ready.server.body_budget.reserved)
        await call.answer()

    ready.engine.behaviour = look
    with await Wire.connect(ready.port) as wire:
        assert (await wire.ask(request(zeros(600 * KB), headers=GZIP))).status == 200
        assert taken == [len(chat(MODEL, "0" * 600 * KB))]
        answer = await wire.ask(request(zeros(1100 * KB), headers=GZIP))
        assert (answer.status, answer.error["code"]) == (503, "too_many_bodies")
        await room_taken(ready, 0)


async def test_a_client_may_leave_while_its_body_is_unpacked(ready: Serving) -> None:
    body = zeros(20 * MIB)
    for _ in range(3):
        with await Wire.connect(ready.port) as wire:
            await wire.send(request(body, headers=GZIP))
            assert (await ready.raw("GET", CHAT)).status == 405
            wire.reset()
        await room_taken(ready, 0)


async def test_a_key_is_checked_before_anything_is_unpacked(guarded: Serving) -> None:
    with await Wire.connect(guarded.port) as wire:
        assert (await wire.ask(request(zeros(MIB), headers=GZIP))).status == 401
    with await Wire.connect(guarded.port) as wire:
        assert (await wire.ask(request(zeros(MIB), path="/healthz", headers=GZIP))).status == 413


async def test_a_request_without_a_body_may_name_a_coding(serving: Serving) -> None:
    with await Wire.connect(serving.port) as wire:
        for _ in range(2):
            assert (await wire.ask(request(method="GET", path="/v1/models", headers=GZIP))).status == 200
